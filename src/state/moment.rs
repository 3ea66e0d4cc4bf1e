//! Which commit of a branch a moment of the past is: a commit's own id, or a time. Nothing here is on a writer's way.
//!
//! What is near the tip is walked by libgit2; what is far is asked of git, which has the commit-graph: in a history of 100,000
//! commits the first one is found in about 0.05 s, and without the graph in about 0.3 s.

use std::fmt;
use std::str::FromStr;

use super::epoch::{self, Archive, From};
use super::objects::Objects;
use super::oid::Oid;
use super::tree::LoadError;
use crate::clock::Time;
use crate::git::child::Program;

/// So many commits are walked before git is asked: a few milliseconds, about what starting git takes.
const NEAR: usize = 1_000;

/// A moment of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Right behind this commit.
    Commit(Oid),
    /// At this time: behind the newest commit that is not younger. Commits know their time to the second.
    Time(Time),
}

/// The text is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a commit's 40 digits nor a time such as 2026-11-20T18:30:00Z (RFC 3339)")]
pub struct BadMoment(String);

impl FromStr for Moment {
    type Err = BadMoment;
    fn from_str(text: &str) -> Result<Self, BadMoment> {
        if let Ok(commit) = text.parse() {
            return Ok(Self::Commit(commit));
        }
        // A plus sign in a query that was not written as %2B arrives as a space.
        let time = text.parse().or_else(|_| text.replace(' ', "+").parse());
        time.map(Self::Time).map_err(|_| BadMoment(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(commit) => write!(f, "{commit}"),
            Self::Time(time) => write!(f, "{time}"),
        }
    }
}

/// The commit of the branch that ends at `tip`; `None` if the branch does not have it, or had not begun.
pub(super) fn find(objects: &Objects, tip: Oid, moment: Moment) -> Result<Option<Oid>, LoadError> {
    let failed = |error: &git2::Error| objects.load_error(format!("the commit at {moment}"), error);
    match objects.with(|repo| near(repo, tip, moment)).map_err(|error| failed(&error))? {
        Near::Found(commit) => Ok(Some(commit)),
        Near::Nowhere => Ok(None),
        Near::Further => far(objects, tip, moment),
    }
}

enum Near {
    Found(Oid),
    /// The walk has reached the first commit.
    Nowhere,
    Further,
}

fn near(repo: &git2::Repository, tip: Oid, moment: Moment) -> Result<Near, git2::Error> {
    let mut commit = repo.find_commit(tip.to_git())?;
    for _ in 0..NEAR {
        let is_it = match moment {
            Moment::Commit(wanted) => wanted.to_git() == commit.id(),
            Moment::Time(time) => u64::try_from(commit.time().seconds()).unwrap_or(0) <= time.seconds(),
        };
        if is_it {
            return Ok(Near::Found(commit.id().into()));
        }
        match epoch::before(repo, &commit)? {
            None => return Ok(Near::Nowhere),
            Some(before) => commit = before,
        }
    }
    Ok(Near::Further)
}

fn far(objects: &Objects, tip: Oid, moment: Moment) -> Result<Option<Oid>, LoadError> {
    let ended = epoch::ended_before(objects, From::Tip(tip))?;
    let ends: Vec<Oid> = std::iter::once(tip).chain(ended.iter().map(|Archive { tip, .. }| *tip)).collect();
    let first = |arguments: Vec<String>| -> Result<Option<Oid>, LoadError> {
        let git = Program::git(objects.path()).args(["rev-list", "--max-count=1"]).args(arguments);
        let output = git.args(["--"]).run().map_err(|error| LoadError {
            what: format!("the commit at {moment}"),
            repo: objects.path().display().to_string(),
            cause: error.cause.to_string(),
        })?;
        Ok(String::from_utf8_lossy(&output).trim().parse().ok())
    };
    match moment {
        Moment::Commit(wanted) if objects.find_tree_of(wanted)?.is_none() => Ok(None),
        // What no end of an epoch leads to is the rest; an own id that is not among it is the branch's.
        Moment::Commit(wanted) => {
            let known = ends.iter().map(|end| format!("^{end}"));
            let is_beside = first(std::iter::once(wanted.to_string()).chain(known).collect())?.is_some();
            Ok((!is_beside).then_some(wanted))
        }
        Moment::Time(time) => {
            let age = format!("--min-age={}", time.seconds());
            for end in ends {
                let found = first(vec!["--first-parent".to_owned(), age.clone(), end.to_string()])?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of commits, one a second from 1000 on, the oldest first; and a commit beside it.
    fn chain(folder: &std::path::Path, length: i64) -> (Objects, Vec<Oid>, Oid) {
        let repo = git2::Repository::init_bare(folder).unwrap();
        let tree = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let make = |second: i64, parent: Option<Oid>| -> Oid {
            let signature = git2::Signature::new("a", "a@b", &git2::Time::new(second, 0)).unwrap();
            let parent = parent.map(|parent| repo.find_commit(parent.to_git()).unwrap());
            let parents: Vec<_> = parent.iter().collect();
            let text = repo.commit_create_buffer(&signature, &signature, "x", &tree, &parents).unwrap();
            repo.odb().unwrap().write(git2::ObjectType::Commit, &text).unwrap().into()
        };
        let mut made: Vec<Oid> = Vec::new();
        for second in 0..length {
            made.push(make(1000 + second, made.last().copied()));
        }
        let beside = make(5, None);
        (Objects::new(folder.to_owned()), made, beside)
    }

    #[test]
    fn a_moment_is_found_near_and_far_and_what_is_beside_the_branch_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (objects, made, beside) = chain(folder.path(), NEAR as i64 + 50);
        let tip = *made.last().unwrap();
        let at = |millis| find(&objects, tip, Moment::Time(Time::from_millis(millis))).unwrap();
        let commit = |oid| find(&objects, tip, Moment::Commit(oid)).unwrap();
        for place in [0, 7, 49, 60, NEAR, NEAR + 49] {
            assert_eq!(commit(made[place]), Some(made[place]), "{place}");
            let millis = (1000 + place as u64) * 1000;
            assert_eq!((at(millis), at(millis + 999)), (Some(made[place]), Some(made[place])), "{place}");
        }
        assert_eq!(at(999_999), None, "it had not begun");
        assert_eq!(at(9_999_999_000), Some(tip));
        assert_eq!((commit(beside), commit(Oid::ZERO)), (None, None));
        // Of a branch that ends earlier, later commits are none.
        assert_eq!(find(&objects, made[3], Moment::Commit(made[4])).unwrap(), None);
    }

    #[test]
    fn a_moment_is_a_commit_or_a_time_with_any_offset() {
        let utc = Moment::Time("2026-11-20T17:30:00.000Z".parse().unwrap());
        for text in ["2026-11-20T17:30:00Z", "2026-11-20T18:30:00+01:00", "2026-11-20T18:30:00 01:00"] {
            assert_eq!(text.parse(), Ok(utc), "{text}");
        }
        let oid = "0123456789012345678901234567890123456789";
        assert_eq!(oid.parse(), Ok(Moment::Commit(oid.parse().unwrap())));
        for bad in ["", "HEAD", "yesterday", "2026-11-20", "01234567", "refs/heads/state", "1763663400"] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }
}
