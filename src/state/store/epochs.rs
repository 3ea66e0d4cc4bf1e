//! Ending epochs: which branches are long or old enough, found without a look at each commit, and the cut itself.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Done, Engine, EngineError, State};
use crate::clock::Time;
use crate::state::edit::{Actor, Change, Cut, Step};
use crate::state::epoch::count::{self, Counted};
use crate::state::epoch::{self, BEGUN, Limits};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::objects::Objects;
use crate::state::oid::Oid;
use crate::state::refs;
use crate::state::repo::{Decision, View};
use crate::state::tree::LoadError;

/// How many branches are counted for the first time in one round: each opens its repository for a moment. Ten thousand take some
/// ten minutes of rounds.
const FIRST_COUNTS_MAX: usize = 100;
/// How many epochs are ended in one round: each brings its repository into memory, and may have others follow it.
const ENDED_MAX: usize = 20;
/// A branch that cannot be counted or cut is let be for so long.
const RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What is known of the epochs that branches are in. It is memory alone: after a start it is counted again.
pub(super) struct Epochs {
    limits: Limits,
    known: Mutex<HashMap<RepoName, Known>>,
    /// Held while one is ended, so that each has a number of its own.
    ending: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    /// And how many objects had been published to the repository: since then there are at most as many commits as objects more.
    Counted(Counted, u64),
    /// It cannot be read, or has no commit; it is looked at again then.
    Not(Time),
}

/// What a round does about a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    First,
    Again(Counted),
    Pass,
}

/// Decides whether a branch is counted. Reads no clock and no disk.
fn look(known: Option<Known>, published: u64, limits: Limits, now: Time) -> Look {
    match known {
        None => Look::First,
        Some(Known::Not(until)) if now < until => Look::Pass,
        Some(Known::Not(_)) => Look::First,
        Some(Known::Counted(counted, then)) => {
            let most = counted.commits.saturating_add(published.saturating_sub(then));
            let may_be_due = limits.are_reached(most, now.since(counted.began));
            if may_be_due { Look::Again(counted) } else { Look::Pass }
        }
    }
}

impl Epochs {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, known: Mutex::default(), ending: tokio::sync::Mutex::default() }
    }

    fn note(&self, name: &RepoName, known: Known) {
        self.known.lock().insert(name.clone(), known);
    }
}

impl State {
    /// Ends the epochs that are long or old enough. Each round looks at some of the repositories that it does not know, so that all
    /// are reached. Asked for now and then by the daemon, and apart from [`State::maintain`], which a repack can keep for long.
    pub async fn end_due_epochs(&self) -> Result<(), EngineError> {
        if self.0.epochs.limits.are_none() {
            return Ok(());
        }
        let state = self.clone();
        let due = tokio::task::spawn_blocking(move || state.0.due_epochs()).await;
        for name in due.map_err(|_| EngineError::Unknown)?.into_iter().take(ENDED_MAX) {
            let was_open = self.0.repos.lock().contains_key(&name);
            match self.end_epoch(&name).await {
                // It was removed meanwhile.
                Err(EngineError::NoRepo(_)) | Ok(None) => {}
                Ok(Some(kept)) => tracing::info!(repo = %name, %kept, "a new epoch has begun"),
                Err(error @ (EngineError::Full(_) | EngineError::Unknown)) => return Err(error),
                Err(error) => {
                    // The others do not wait for it.
                    self.0.epochs.note(&name, Known::Not(self.0.clock.now().after(RETRY_AFTER)));
                    tracing::error!(repo = %name, %error, "its epoch cannot be ended");
                }
            }
            if !was_open {
                self.let_go(&name);
            }
        }
        Ok(())
    }

    /// Lets the history of a state branch go on without what was before, which stays under the ref that is told; `None` if the
    /// branch's last commit is the first of an epoch itself.
    pub async fn end_epoch(&self, name: &RepoName) -> Result<Option<String>, EngineError> {
        Ok(self.end_epoch_for(name, Actor::daemon()).await?.map(|done| done.answer))
    }

    /// The same, for somebody who wants it now.
    pub async fn end_epoch_for(
        &self,
        name: &RepoName,
        actor: Actor,
    ) -> Result<Option<Done<String>>, EngineError> {
        let _turn = self.0.epochs.ending.lock().await;
        let (tip, last) = self.read(name, |view| (view.tip(), view.last())).await?;
        self.published(name, last).await?;
        let (path, now) = (self.0.folder.repo(name), self.0.clock.now());
        let read = tokio::task::spawn_blocking(move || next_archive(path, tip, now)).await;
        let Some(archive) = read.map_err(|_| EngineError::Unknown)?? else { return Ok(None) };
        let decide = |view: &mut View<'_>| -> Result<Decision<String>, EngineError> {
            Ok(Decision { steps: vec![Step::Cut(cut(view.tip(), &archive, actor))], answer: archive })
        };
        let done = self.change(name, decide).await?;
        self.published(name, done.lsn).await?;
        self.0.epochs.known.lock().remove(name);
        Ok(Some(done))
    }
}

impl State {
    /// The last commits of the epochs before that of a commit which is or just was the tip of the state branch, newest first.
    pub async fn ended_epochs(&self, name: &RepoName, tip: Oid) -> Result<Vec<Oid>, EngineError> {
        let path = self.0.folder.repo(name);
        let read = move || epoch::ended_before(&Objects::new(path), epoch::From::Tip(tip));
        let ended = tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)??;
        Ok(ended.into_iter().map(|archive| archive.tip).collect())
    }
}

/// The epoch that a state branch is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochNow {
    /// Its number, from one on.
    pub number: u32,
    /// Its commits and its beginning, as upkeep counted them last; `None` if it has not looked at it since the start.
    pub counted: Option<Counted>,
}

impl State {
    /// Tells of the epoch that a branch is in. It blocks; the repository is not brought into memory for it.
    pub fn epoch_now(&self, name: &RepoName) -> Result<EpochNow, LoadError> {
        let objects = Objects::new(self.0.folder.repo(name));
        let newest =
            objects.with(|repo| Ok(epoch::archives(repo)?.first().map_or(0, |newest| newest.number)));
        let newest = newest.map_err(|error| objects.load_error("the epochs".to_owned(), &error))?;
        let counted = match self.0.epochs.known.lock().get(name) {
            Some(Known::Counted(counted, _)) => Some(*counted),
            _ => None,
        };
        Ok(EpochNow { number: newest + 1, counted })
    }

    /// The epochs that upkeep has counted since the start.
    pub fn epochs_counted(&self) -> Vec<(RepoName, Counted)> {
        let known = self.0.epochs.known.lock();
        let counted = known.iter().filter_map(|(name, known)| match known {
            Known::Counted(counted, _) => Some((name.clone(), *counted)),
            Known::Not(_) => None,
        });
        counted.collect()
    }
}

/// The first commit of the epoch behind `tip`. Reads no clock and no disk.
fn cut(tip: Oid, archive: &str, actor: Actor) -> Cut {
    let number = layout::archive_number(archive).unwrap_or(0) + 1;
    let change = Change {
        branch: STATE_REF.into(),
        subject: format!("epoch {number}: goes on from {}", &tip.to_string()[..10]),
        event: BEGUN,
        actor,
        request: None,
        edits: Vec::new(),
    };
    Cut { change, archive: archive.into() }
}

/// The ref for the epoch that ends now; `None` if it has only begun.
fn next_archive(path: std::path::PathBuf, tip: Oid, now: Time) -> Result<Option<String>, LoadError> {
    let objects = Objects::new(path);
    let read = |repo: &git2::Repository| {
        if tip == Oid::ZERO || epoch::goes_on_from(&repo.find_commit(tip.to_git())?).is_some() {
            return Ok(None);
        }
        let newest = epoch::archives(repo)?.first().map_or(0, |archive| archive.number);
        Ok(Some(layout::archive_ref(now, newest + 1)))
    };
    objects.with(read).map_err(|error| objects.load_error("the epochs".to_owned(), &error))
}

impl Engine {
    fn due_epochs(&self) -> Vec<RepoName> {
        let published: HashMap<RepoName, u64> = self.upkeep.published_since_start().into_iter().collect();
        let mut names = self.folder.repositories();
        self.forget_removed(&names);
        // Those that are written to are not kept waiting by those that are not.
        names.sort_by_key(|name| !published.contains_key(name));
        let (mut due, mut first_counts) = (Vec::new(), 0);
        for name in names {
            let published = published.get(&name).copied().unwrap_or(0);
            let known = self.epochs.known.lock().get(&name).copied();
            let counted = match look(known, published, self.epochs.limits, self.clock.now()) {
                Look::Pass => continue,
                Look::First if first_counts == FIRST_COUNTS_MAX => continue,
                Look::First => {
                    first_counts += 1;
                    None
                }
                Look::Again(counted) => Some(counted),
            };
            if self.is_due(&name, counted, published) {
                due.push(name);
            }
        }
        due
    }

    fn forget_removed(&self, names: &[RepoName]) {
        let there: HashSet<&RepoName> = names.iter().collect();
        self.epochs.known.lock().retain(|name, _| there.contains(name));
    }

    /// Counts an epoch, and whether it has ended.
    fn is_due(&self, name: &RepoName, known: Option<Counted>, published: u64) -> bool {
        let (limits, now) = (self.epochs.limits, self.clock.now());
        let not = Known::Not(now.after(RETRY_AFTER));
        match self.count_epoch(name, known) {
            Ok(Some(counted)) => {
                self.epochs.note(name, Known::Counted(counted, published));
                limits.are_reached(counted.commits, now.since(counted.began))
            }
            // Its first commit may be on its way.
            Ok(None) if published > 0 => false,
            Ok(None) => {
                self.epochs.note(name, not);
                false
            }
            Err(error) => {
                // A repository that was made anew has no commit of the one before: then it is counted from its start.
                let known = if known.is_some() { Known::Not(now) } else { not };
                self.epochs.note(name, known);
                tracing::warn!(repo = %name, %error, "the commits of an epoch cannot be counted");
                false
            }
        }
    }

    /// Counts the commits of the epoch that a branch is in, from where they were last counted on; `None` if it has none.
    fn count_epoch(&self, name: &RepoName, known: Option<Counted>) -> Result<Option<Counted>, LoadError> {
        let objects = Objects::new(self.folder.repo(name));
        let (what, repo) = ("the tip of the state".to_owned(), name.key());
        let tip = refs::read(objects.path(), STATE_REF).map_err(|error| LoadError {
            what,
            repo,
            cause: error.to_string(),
        })?;
        if tip == Oid::ZERO {
            return Ok(None);
        }
        let halt = self.upkeep.halt();
        match known {
            Some(known) => count::count_on(&objects, tip, known, halt),
            None => count::count(&objects, tip, Some(halt)),
        }
        .map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_counted_at_first_and_again_when_it_may_be_long_or_old_enough() {
        let limits = Limits { commits: 100, days: 10 };
        let time = |text: &str| -> Time { text.parse().unwrap() };
        let (began, later) = (time("2026-11-01T00:00:00.000Z"), time("2026-11-10T00:00:00.000Z"));
        let counted = Counted { tip: Oid::ZERO, commits: 60, began };
        let known = Some(Known::Counted(counted, 1_000));
        assert_eq!(look(None, 0, limits, later), Look::First);
        assert_eq!(look(known, 1_039, limits, later), Look::Pass, "99 commits at most");
        assert_eq!(look(known, 1_040, limits, later), Look::Again(counted));
        let old = time("2026-11-11T00:00:00.000Z");
        assert_eq!(
            look(known, 1_000, limits, old),
            Look::Again(counted),
            "nobody needs to have written to it"
        );
        let one = Counted { commits: 1, ..counted };
        assert_eq!(look(Some(Known::Counted(one, 0)), 0, limits, old), Look::Pass, "it has only begun");
        assert_eq!(look(Some(Known::Not(old)), 500, limits, later), Look::Pass);
        assert_eq!(look(Some(Known::Not(later)), 500, limits, later), Look::First);
    }
}
