//! The epochs of a branch, one after another from the newest back, and where one does not lead to the one before it. Whoever checks a
//! folder asks here; it changes nothing.

use super::count::{self, Counted};
use super::{Archive, archives, first_of_epoch, goes_on_from, kept_by};
use crate::state::layout::archive_number;
use crate::state::objects::Objects;
use crate::state::oid::Oid;
use crate::state::tree::LoadError;

/// The epochs of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The one that it is in.
    pub now: Counted,
    /// Its number, from one on.
    pub number: u32,
    /// Those before it whose ends are kept and lead to their first commits.
    pub kept: Vec<Archive>,
    /// Where the past ends before its time; those further back are not looked at.
    pub gap: Option<Gap>,
}

/// An epoch goes on from one that cannot be reached as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The ref that should keep it.
    pub ref_name: String,
    /// The commit that the ref should lead to.
    pub end: Oid,
    /// What is wrong.
    pub why: Missing,
}

/// Why an epoch cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Its commits are not here: it was not copied.
    Commits,
    /// They are, and nothing keeps them.
    Ref,
    /// The ref leads to this one instead.
    Elsewhere(Oid),
}

/// Follows the epochs from the tip of a branch back to the first.
pub fn follow(objects: &Objects, tip: Oid) -> Result<Chain, LoadError> {
    let now = count::count(objects, tip, None)?;
    let all = objects.with(archives).map_err(|error| objects.load_error("the epochs".to_owned(), &error))?;
    let (mut kept, mut number, mut gap) = (Vec::new(), None, None);
    let mut first = first_of_epoch(objects, tip)?;
    // Each step takes one of the archives away, so a ring of them ends too.
    let mut left = all.clone();
    while let Some((end, ref_name)) = before(objects, first)? {
        number = number.or_else(|| archive_number(&ref_name).map(|before| before.saturating_add(1)));
        let place = left.iter().position(|archive| archive.ref_name == ref_name);
        let found = place.map(|place| left.swap_remove(place));
        if let Some(why) = missing(objects, end, found.as_ref())? {
            gap = Some(Gap { ref_name, end, why });
            break;
        }
        kept.extend(found);
        first = first_of_epoch(objects, end)?;
    }
    Ok(Chain { now, number: number.unwrap_or(1), kept, gap })
}

/// What an epoch's first commit goes on from, and the ref that keeps it.
fn before(objects: &Objects, first: Oid) -> Result<Option<(Oid, String)>, LoadError> {
    let read = |repo: &git2::Repository| {
        let commit = repo.find_commit(first.to_git())?;
        Ok(goes_on_from(&commit).zip(kept_by(&commit)))
    };
    objects.with(read).map_err(|error| objects.load_error(format!("commit {first}"), &error))
}

fn missing(objects: &Objects, end: Oid, found: Option<&Archive>) -> Result<Option<Missing>, LoadError> {
    match found {
        Some(archive) if archive.tip == end => Ok(None),
        Some(archive) => Ok(Some(Missing::Elsewhere(archive.tip))),
        None => {
            let is_here = objects.find_tree_of(end)?.is_some();
            Ok(Some(if is_here { Missing::Ref } else { Missing::Commits }))
        }
    }
}
