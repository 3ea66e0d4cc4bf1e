//! Which request led to what: a repeated request with the same idempotency key gets the same answer.
//!
//! It is read back from the commits themselves (`Mrx-Request:`), so it survives a restart with no file of its own.

use std::collections::{HashMap, VecDeque};

use super::commit;
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
        let read = objects.with(|repo| {
            let mut found = Vec::new();
            let mut next = repo.find_commit(tip.to_git()).ok();
            for _ in 0..COMMITS_READ_BACK {
                let Some(commit) = next else { break };
                let event = commit::read_event(None, &commit);
                if now.since(event.time) > REMEMBERED {
                    break;
                }
                found.push(event);
                next = epoch::before(repo, &commit)?;
            }
            Ok(found)
        });
        let events = read.map_err(|error| objects.load_error(format!("the commits before {tip}"), &error))?;
        for event in events.into_iter().rev() {
            let actor = event.actor.split_once(' ').map_or(event.actor.as_str(), |(_, name)| name);
            if let Some(key) = &event.request {
                requests.remember(actor, key, event.commit, &event.subject, event.time);
            }
        }
        Ok(requests)
    }
}

fn full_key(actor: &str, key: &str) -> String {
    format!("{actor}\n{key}")
}
