//! Which request led to what: a repeated request with the same idempotency key gets the same answer.
//!
//! It is read back from the commits themselves (`Mrx-Request:`), so it survives a restart with no file of its own.

use std::collections::{HashMap, VecDeque};

use super::commit::{self, Event};
use super::epoch;
use super::objects::Objects;
use super::oid::Oid;
use super::tree::LoadError;
use crate::clock::Time;

/// A request is remembered at least this long, if no more than [`REQUESTS_MAX`] came since.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// How many requests a repository remembers.
const REQUESTS_MAX: usize = 10_000;
/// How many commits are read back when a repository is opened, to remember the requests of the last day.
const COMMITS_READ_BACK: usize = 2_000;
/// How many of them through one handle: it maps what stands around each in the packs, which may be a few hundred KiB, until it is
/// closed.
const COMMITS_A_HANDLE: usize = 200;

/// The remembered requests of one repository.
#[derive(Default)]
pub(super) struct Requests {
    known: HashMap<Box<str>, Box<str>>,
    order: VecDeque<(Time, Box<str>)>,
}

impl Requests {
    /// Remembers that this actor's request led to the commit with this subject.
    pub(super) fn remember(&mut self, actor: &str, key: &str, _commit: Oid, subject: &str, now: Time) {
        let full: Box<str> = full_key(actor, key).into();
        self.known.insert(full.clone(), subject.into());
        self.order.push_back((now, full));
        while self.order.len() > REQUESTS_MAX
            || self.order.front().is_some_and(|(at, _)| now.since(*at) > REMEMBERED)
        {
            if let Some((_, oldest)) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// The subject of the commit that this actor's request led to.
    pub(super) fn find(&self, actor: &str, key: &str) -> Option<&str> {
        self.known.get(full_key(actor, key).as_str()).map(AsRef::as_ref)
    }

    /// Remembers the requests of the last commits before `tip`.
    pub(super) fn read_back(objects: &Objects, tip: Oid, now: Time) -> Result<Self, LoadError> {
        let mut requests = Self::default();
        if tip == Oid::ZERO {
            return Ok(requests);
        }
        let (mut events, mut next) = (Vec::new(), Some(tip));
        while let Some(from) = next.filter(|_| events.len() < COMMITS_READ_BACK) {
            let read = objects.with(|repo| read_some(repo, from, now, &mut events));
            next = read.map_err(|error| objects.load_error(format!("the commits before {tip}"), &error))?;
            if next.is_some() {
                objects.close_idle();
            }
        }
        for event in events.into_iter().rev() {
            let actor = event.actor.split_once(' ').map_or(event.actor.as_str(), |(_, name)| name);
            if let Some(key) = &event.request {
                requests.remember(actor, key, event.commit, &event.subject, event.time);
            }
        }
        Ok(requests)
    }
}

/// Reads what the commits from this one on say; tells which comes next, if it may be read too.
fn read_some(
    repo: &git2::Repository,
    from: Oid,
    now: Time,
    events: &mut Vec<Event>,
) -> Result<Option<Oid>, git2::Error> {
    let mut next = repo.find_commit(from.to_git()).ok();
    for _ in 0..COMMITS_A_HANDLE {
        let Some(commit) = next else { return Ok(None) };
        let event = commit::read_event(None, &commit);
        if now.since(event.time) > REMEMBERED {
            return Ok(None);
        }
        events.push(event);
        next = epoch::before(repo, &commit)?;
    }
    Ok(next.map(|commit| commit.id().into()))
}

fn full_key(actor: &str, key: &str) -> String {
    format!("{actor}\n{key}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::commit::CommitText;
    use crate::state::edit::{Actor, Change};

    /// Writes commits one on the other, each by a request of its own number; gives the last.
    fn history(repo: &git2::Repository, commits: usize, now: Time) -> Oid {
        let odb = repo.odb().unwrap();
        let tree = odb.write(git2::ObjectType::Tree, b"").unwrap().into();
        (0..commits).fold(Oid::ZERO, |parent, number| {
            let change = Change {
                branch: "refs/heads/state".into(),
                subject: format!("change {number}"),
                event: "test.put",
                actor: Actor::daemon(),
                request: Some(format!("key-{number}")),
                edits: Vec::new(),
            };
            let text = CommitText { tree, parent, change: &change, now, archive: None }.encode();
            odb.write(git2::ObjectType::Commit, &text).unwrap().into()
        })
    }

    #[test]
    fn as_many_requests_are_read_back_however_many_handles_that_takes() {
        let folder = tempfile::tempdir().unwrap();
        let repo = git2::Repository::init_bare(folder.path()).unwrap();
        let (objects, now) = (Objects::new(folder.path().to_owned()), Time::from_millis(1_763_663_400_000));
        let actor = Actor::daemon().name;
        for commits in
            [0, 1, COMMITS_A_HANDLE - 1, COMMITS_A_HANDLE, COMMITS_A_HANDLE + 1, COMMITS_READ_BACK + 5]
        {
            let tip = history(&repo, commits, now);
            let requests = Requests::read_back(&objects, tip, now).unwrap();
            let first = commits.saturating_sub(COMMITS_READ_BACK);
            let is_known = |number: usize| requests.find(&actor, &format!("key-{number}")).is_some();
            assert_eq!(
                (0..commits + 1).filter(|number| is_known(*number)).collect::<Vec<_>>(),
                (first..commits).collect::<Vec<_>>()
            );
        }
        let tip = history(&repo, COMMITS_A_HANDLE + 1, now);
        let later = now.after(REMEMBERED * 2);
        assert!(
            Requests::read_back(&objects, tip, later).unwrap().known.is_empty(),
            "they are forgotten after a day"
        );
    }
}
