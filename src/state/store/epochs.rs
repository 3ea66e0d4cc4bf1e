//! Ending epochs: which branches are long or old enough, found without a look at each commit, and the cut itself.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::{Engine, EngineError, State};
use crate::clock::Time;
use crate::git::child::Program;
use crate::state::edit::{Actor, Change, Cut, Step};
use crate::state::epoch::{self, BEGUN, Limits};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::objects::Objects;
use crate::state::oid::Oid;
use crate::state::refs;
use crate::state::repo::{Decision, View};
use crate::state::tree::LoadError;

/// How many branches are counted for the first time in one round: each asks git twice.
const FIRST_COUNTS_MAX: usize = 100;

/// What is known of the epochs that branches are in. It is memory alone: after a start it is counted again.
pub(super) struct Epochs {
    limits: Limits,
    counted: Mutex<HashMap<RepoName, Counted>>,
    /// Held while one is ended, so that each has a number of its own.
    ending: tokio::sync::Mutex<()>,
}

/// An epoch as it was when it was last counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    tip: Oid,
    commits: u64,
    began: Time,
    /// How many objects had been published to the repository: since then there are at most as many commits as objects more.
    published: u64,
}

impl Epochs {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, counted: Mutex::default(), ending: tokio::sync::Mutex::default() }
    }
}

impl State {
    /// Ends the epochs that are long or old enough, of the repositories that were written to since the start.
    pub(super) async fn end_due_epochs(&self) -> Result<(), EngineError> {
        if self.0.epochs.limits.are_none() {
            return Ok(());
        }
        let state = self.clone();
        let due = tokio::task::spawn_blocking(move || state.0.due_epochs()).await;
        for name in due.map_err(|_| EngineError::Unknown)? {
            match self.end_epoch(&name).await {
                // It was removed meanwhile.
                Err(EngineError::NoRepo(_)) | Ok(None) => {}
                Ok(Some(kept)) => tracing::info!(repo = %name, %kept, "a new epoch has begun"),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Lets the history of a state branch go on without what was before, which stays under the ref that is told; `None` if the
    /// branch's last commit is the first of an epoch itself.
    pub async fn end_epoch(&self, name: &RepoName) -> Result<Option<String>, EngineError> {
        let _turn = self.0.epochs.ending.lock().await;
        let (tip, last) = self.read(name, |view| (view.tip(), view.last())).await?;
        self.published(name, last).await?;
        let (path, now) = (self.0.folder.repo(name), self.0.clock.now());
        let read = tokio::task::spawn_blocking(move || next_archive(path, tip, now)).await;
        let Some(archive) = read.map_err(|_| EngineError::Unknown)?? else { return Ok(None) };
        let decide = |view: &mut View<'_>| -> Result<Decision<()>, EngineError> {
            Ok(Decision { steps: vec![Step::Cut(cut(view.tip(), &archive))], answer: () })
        };
        let done = self.change(name, decide).await?;
        self.published(name, done.lsn).await?;
        self.0.epochs.counted.lock().remove(name);
        Ok(Some(archive))
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

/// The first commit of the epoch behind `tip`. Reads no clock and no disk.
fn cut(tip: Oid, archive: &str) -> Cut {
    let number = layout::archive_number(archive).unwrap_or(0) + 1;
    let change = Change {
        branch: STATE_REF.into(),
        subject: format!("epoch {number}: goes on from {}", &tip.to_string()[..10]),
        event: BEGUN,
        actor: Actor::daemon(),
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
        let (limits, now) = (self.epochs.limits, self.clock.now());
        let (mut due, mut first_counts) = (Vec::new(), 0);
        for (name, published) in self.upkeep.published_since_start() {
            let known = self.epochs.counted.lock().get(&name).copied();
            let may_be_due = |known: &Counted| {
                let most = known.commits.saturating_add(published.saturating_sub(known.published));
                limits.are_reached(most, now.since(known.began))
            };
            if known.as_ref().is_some_and(|known| !may_be_due(known)) {
                continue;
            }
            first_counts += usize::from(known.is_none());
            if known.is_none() && first_counts > FIRST_COUNTS_MAX {
                continue;
            }
            match self.count_epoch(&name, known, published) {
                Ok(Some(counted)) => {
                    if limits.are_reached(counted.commits, now.since(counted.began)) {
                        due.push(name.clone());
                    }
                    self.epochs.counted.lock().insert(name, counted);
                }
                Ok(None) => {}
                Err(error) => {
                    // A repository that was made anew has no commit of the one before.
                    self.epochs.counted.lock().remove(&name);
                    tracing::warn!(repo = %name, %error, "the commits of an epoch cannot be counted");
                }
            }
        }
        due
    }

    /// Counts the commits of the epoch that a branch is in, from where they were last counted on.
    fn count_epoch(
        &self,
        name: &RepoName,
        known: Option<Counted>,
        published: u64,
    ) -> Result<Option<Counted>, LoadError> {
        let objects = Objects::new(self.folder.repo(name));
        let failed = |cause: String| LoadError {
            what: "the commits of the epoch".to_owned(),
            repo: name.key(),
            cause,
        };
        // A repository that was removed has no epoch.
        let tip = refs::read(objects.path(), STATE_REF).map_err(|error| failed(error.to_string()))?;
        if tip == Oid::ZERO {
            return Ok(None);
        }
        let mut git = Program::git(objects.path()).in_background(self.upkeep.halt());
        git = git.args(["rev-list", "--count", "--first-parent"]).args([tip.to_string()]);
        git = git.args(known.map(|known| format!("^{}", known.tip))).args(["--"]);
        let output = git.run().map_err(|error| failed(error.cause.to_string()))?;
        let counted: u64 = String::from_utf8_lossy(&output).trim().parse().unwrap_or(0);
        let began = match known {
            Some(known) => known.began,
            None => {
                let first = epoch::first_of_epoch(&objects, tip)?;
                let read = |repo: &git2::Repository| Ok(repo.find_commit(first.to_git())?.time().seconds());
                let seconds = objects.with(read).map_err(|error| failed(error.message().to_owned()))?;
                Time::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
            }
        };
        let commits = known.map_or(0, |known| known.commits) + counted;
        Ok(Some(Counted { tip, commits, began, published }))
    }
}
