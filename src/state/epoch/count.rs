//! How long and how old the epoch of a branch is. A short one is walked; git counts a long one with its commit-graph, and one that is
//! known from where it was last counted on.

use super::first_of_epoch;
use crate::clock::Time;
use crate::git::child::{Halt, Program};
use crate::state::objects::Objects;
use crate::state::oid::Oid;
use crate::state::tree::LoadError;

/// So many commits are walked here; two starts of git take longer.
const WALKED_MAX: u64 = 250;

/// An epoch as it was when it was last counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Its newest commit.
    pub tip: Oid,
    /// How many it has.
    pub commits: u64,
    /// The time of its first one.
    pub began: Time,
}

/// Counts the commits of the epoch that ends at `tip`.
pub fn count(objects: &Objects, tip: Oid, halt: Option<&Halt>) -> Result<Counted, LoadError> {
    let walked = objects.with(|repo| walk(repo, tip)).map_err(|error| failed(objects, error.message()))?;
    if let Some(counted) = walked {
        return Ok(counted);
    }
    let first = first_of_epoch(objects, tip)?;
    let began =
        objects.with(|repo| time_of(repo, first)).map_err(|error| failed(objects, error.message()))?;
    Ok(Counted { tip, commits: ask_git(objects, tip, None, halt)?, began })
}

/// Counts on from what is known of the same epoch.
pub(in crate::state) fn count_on(
    objects: &Objects,
    tip: Oid,
    known: Counted,
    halt: &Halt,
) -> Result<Counted, LoadError> {
    let more = if tip == known.tip { 0 } else { ask_git(objects, tip, Some(known.tip), Some(halt))? };
    Ok(Counted { tip, commits: known.commits + more, began: known.began })
}

/// `None` if the epoch is longer than what is walked.
fn walk(repo: &git2::Repository, tip: Oid) -> Result<Option<Counted>, git2::Error> {
    let mut commit = repo.find_commit(tip.to_git())?;
    for commits in 1..=WALKED_MAX {
        if commit.parent_count() == 0 {
            return Ok(Some(Counted { tip, commits, began: time(&commit) }));
        }
        commit = commit.parent(0)?;
    }
    Ok(None)
}

fn time_of(repo: &git2::Repository, commit: Oid) -> Result<Time, git2::Error> {
    Ok(time(&repo.find_commit(commit.to_git())?))
}

fn time(commit: &git2::Commit<'_>) -> Time {
    Time::from_millis(u64::try_from(commit.time().seconds()).unwrap_or(0).saturating_mul(1000))
}

fn ask_git(objects: &Objects, tip: Oid, behind: Option<Oid>, halt: Option<&Halt>) -> Result<u64, LoadError> {
    let mut git = Program::git(objects.path()).args(["rev-list", "--count", "--first-parent"]);
    if let Some(halt) = halt {
        git = git.in_background(halt);
    }
    git = git.args([tip.to_string()]).args(behind.map(|known| format!("^{known}"))).args(["--"]);
    let output = git.run().map_err(|error| failed(objects, &error.cause.to_string()))?;
    let told = String::from_utf8_lossy(&output);
    told.trim().parse().map_err(|_| failed(objects, "git told no number"))
}

fn failed(objects: &Objects, cause: &str) -> LoadError {
    LoadError {
        what: "the commits of the epoch".to_owned(),
        repo: objects.path().display().to_string(),
        cause: cause.to_owned(),
    }
}
