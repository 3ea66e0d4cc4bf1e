//! Epochs: when the history of a branch is cut, how a new epoch's first commit names the one it goes on from, and what came before a
//! commit. Whoever walks the past asks here, so an epoch's beginning is a commit like any other to them.
//!
//! The first commit of an epoch has no parent and the files of the last one before it. Its trailers name that commit and the ref
//! under `refs/archive/` that keeps it. Whatever else is known of epochs follows from these two.

pub mod chain;
pub mod count;

use std::time::Duration;

use super::commit::trailer;
use super::layout::{self, ARCHIVE_REF_PREFIX};
use super::objects::Objects;
use super::oid::Oid;
use super::tree::LoadError;
use crate::git::child::Program;

/// What the first commit of an epoch is called in events.
pub const BEGUN: &str = "epoch.begun";
/// Names the commit that an epoch goes on from.
const GOES_ON_FROM: &str = "Mrx-Epoch";
/// Names the ref that keeps it.
const KEPT_BY: &str = "Mrx-Archive";
/// An epoch of fewer commits is not ended, however old it is: its first one says nothing.
const COMMITS_MIN: u64 = 2;
/// So many commits are walked before git is asked for the first one of an epoch.
const NEAR: usize = 1_000;

/// When an epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// After so many commits; never if zero.
    pub commits: u64,
    /// After so many days; never if zero.
    pub days: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { commits: 1_000_000, days: 365 }
    }
}

impl Limits {
    /// Whether an epoch that is so long and so old has ended.
    pub fn are_reached(&self, commits: u64, age: Duration) -> bool {
        let is_long = self.commits > 0 && commits >= self.commits;
        let is_old = self.days > 0 && age.as_secs() / (24 * 3600) >= self.days;
        commits >= COMMITS_MIN && (is_long || is_old)
    }

    /// Whether an epoch never ends.
    pub fn are_none(&self) -> bool {
        self.commits == 0 && self.days == 0
    }
}

/// What the first commit of an epoch says to whoever reads `git log`.
pub(super) fn body(before: Oid, archive: &str) -> String {
    format!(
        "\n\nHistory goes on here without the commits before, which are kept: the last of\nthem is {before},\nand {archive} leads to all. The files are as they were there."
    )
}

/// What it says to programs.
pub(super) fn write_trailers(before: Oid, archive: &str, out: &mut Vec<u8>) {
    for part in ["\n", GOES_ON_FROM, ": "] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(&before.hex());
    for part in ["\n", KEPT_BY, ": ", archive] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The commit that this one goes on from, if it begins an epoch. It may be missing where the archive was not copied.
pub(super) fn goes_on_from(commit: &git2::Commit<'_>) -> Option<Oid> {
    if commit.parent_count() > 0 {
        return None;
    }
    trailer(&String::from_utf8_lossy(commit.message_bytes()), GOES_ON_FROM)?.parse().ok()
}

/// The ref that keeps the commit that this one goes on from.
fn kept_by(commit: &git2::Commit<'_>) -> Option<String> {
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    trailer(&message, KEPT_BY).filter(|name| layout::archive_number(name).is_some()).map(str::to_owned)
}

/// The commit before this one, also over the beginning of an epoch; `None` if it is the first there is.
pub fn before<'r>(
    repo: &'r git2::Repository,
    commit: &git2::Commit<'_>,
) -> Result<Option<git2::Commit<'r>>, git2::Error> {
    let before = match commit.parent_id(0) {
        Ok(parent) => return repo.find_commit(parent).map(Some),
        Err(_) => goes_on_from(commit),
    };
    match before.map(|before| repo.find_commit(before.to_git())) {
        None => Ok(None),
        // The archive was not copied here: this is where history begins.
        Some(Err(error)) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Some(found) => found.map(Some),
    }
}

/// The files before a commit; `None` before the first. Those before an epoch's first commit are its own.
pub(super) fn tree_before<'r>(commit: &git2::Commit<'r>) -> Result<Option<git2::Tree<'r>>, git2::Error> {
    match goes_on_from(commit) {
        Some(_) => commit.tree().map(Some),
        None => commit.parent(0).ok().map(|parent| parent.tree()).transpose(),
    }
}

/// The end of an epoch that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The ref that keeps it.
    pub ref_name: String,
    /// The epoch's number, from one on.
    pub number: u32,
    /// Its last commit.
    pub tip: Oid,
}

/// The epochs of a repository that are over, newest first.
pub fn archives(repo: &git2::Repository) -> Result<Vec<Archive>, git2::Error> {
    let mut found = Vec::new();
    for reference in repo.references_glob(&format!("{ARCHIVE_REF_PREFIX}*"))? {
        let reference = reference?;
        // A ref whose name is not one of ours is somebody's own.
        let Ok(name) = reference.name() else { continue };
        if let (Some(number), Some(tip)) = (layout::archive_number(name), reference.target()) {
            found.push(Archive { ref_name: name.to_owned(), number, tip: tip.into() });
        }
    }
    found.sort_unstable_by_key(|archive| std::cmp::Reverse(archive.number));
    Ok(found)
}

/// From where the past of a commit is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A commit that was the branch's tip a moment ago.
    Tip(Oid),
    /// Any commit.
    Any(Oid),
}

/// The epochs before that of a commit, newest first: those that are in its past.
pub fn ended_before(objects: &Objects, from: From) -> Result<Vec<Archive>, LoadError> {
    let (From::Tip(commit) | From::Any(commit)) = from;
    let failed = |error: &git2::Error| objects.load_error(format!("the epochs before {commit}"), error);
    let looked = objects.with(|repo| look(repo, from)).map_err(|error| failed(&error))?;
    let (mut all, last) = match looked {
        Looked::Known(known) => return Ok(known),
        Looked::From(all, last) => (all, last),
        Looked::Further(all) => {
            let first = first_of_epoch(objects, commit)?;
            let read = |repo: &git2::Repository| Ok(goes_on_from(&repo.find_commit(first.to_git())?));
            (all, objects.with(read).map_err(|error| failed(&error))?)
        }
    };
    match all.iter().position(|archive| Some(archive.tip) == last) {
        Some(place) => Ok(all.split_off(place)),
        None => Ok(Vec::new()),
    }
}

enum Looked {
    Known(Vec<Archive>),
    /// The commit's epoch goes on from this one, which is the end of one of these.
    From(Vec<Archive>, Option<Oid>),
    /// The beginning of the epoch is not near.
    Further(Vec<Archive>),
}

fn look(repo: &git2::Repository, from: From) -> Result<Looked, git2::Error> {
    let (From::Tip(oid) | From::Any(oid)) = from;
    let mut all = archives(repo)?;
    if all.is_empty() || oid == Oid::ZERO {
        return Ok(Looked::Known(Vec::new()));
    }
    if let Some(place) = all.iter().position(|archive| archive.tip == oid) {
        return Ok(Looked::Known(all.split_off(place + 1)));
    }
    let seconds = |oid: Oid| Ok::<_, git2::Error>(repo.find_commit(oid.to_git())?.time().seconds());
    // A newer epoch may have begun since the tip was looked at; then the newest archive is no older than it.
    if let (From::Tip(_), true) = (from, seconds(all[0].tip)? < seconds(oid)?) {
        return Ok(Looked::Known(all));
    }
    let mut commit = repo.find_commit(oid.to_git())?;
    for _ in 0..NEAR {
        match commit.parent(0) {
            Ok(parent) => commit = parent,
            Err(_) => return Ok(Looked::From(all, goes_on_from(&commit))),
        }
    }
    Ok(Looked::Further(all))
}

/// The commit without a parent that a commit leads to.
pub(super) fn first_of_epoch(objects: &Objects, commit: Oid) -> Result<Oid, LoadError> {
    let failed = |cause: String| LoadError {
        what: format!("the beginning of the epoch of {commit}"),
        repo: objects.path().display().to_string(),
        cause,
    };
    let arguments = ["rev-list", "--first-parent", "--max-parents=0", "--max-count=1"];
    let git = Program::git(objects.path()).args(arguments).args([commit.to_string(), "--".to_owned()]);
    let output = git.run().map_err(|error| failed(error.cause.to_string()))?;
    String::from_utf8_lossy(&output).trim().parse().map_err(|_| failed("git found none".to_owned()))
}

/// The refs that keep what the commits from `new` back to `old` go on from, oldest first: they are to be there before the branch
/// stands at `new`.
pub(super) fn archives_between(
    repo: &git2::Repository,
    old: Oid,
    new: Oid,
) -> Result<Vec<(String, Oid)>, git2::Error> {
    let mut found = Vec::new();
    let mut next = (new != old).then(|| repo.find_commit(new.to_git())).transpose()?;
    while let Some(commit) = next {
        let from = goes_on_from(&commit);
        if let (Some(tip), Some(name)) = (from, kept_by(&commit)) {
            found.push((name, tip));
        }
        // The commit at `old` itself is not read: nothing of it is asked.
        let is_last = commit.parent_id(0).ok().map(Oid::from).or(from).is_none_or(|before| before == old);
        next = if is_last { None } else { before(repo, &commit)? };
    }
    found.reverse();
    Ok(found)
}

/// Whether `of` is `commit`, or leads to it over whatever epochs are between.
pub fn is_in_past(repo: &git2::Repository, commit: Oid, of: Oid) -> Result<bool, git2::Error> {
    if commit == of {
        return Ok(true);
    }
    let odb = repo.odb()?;
    if of == Oid::ZERO || !odb.exists(of.to_git()) || !odb.exists(commit.to_git()) {
        return Ok(false);
    }
    // What is near is found without a look at all that is behind it, which is what libgit2 takes where the answer is no.
    let mut next = Some(repo.find_commit(of.to_git())?);
    for _ in 0..NEAR {
        let Some(at) = next else { return Ok(false) };
        if at.id() == commit.to_git() {
            return Ok(true);
        }
        next = before(repo, &at)?;
    }
    let ends = archives(repo)?.into_iter().map(|archive| archive.tip);
    for end in std::iter::once(of).chain(ends) {
        if end == commit || repo.graph_descendant_of(end.to_git(), commit.to_git())? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
