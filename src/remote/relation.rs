//! Decides what is to be done about a remote's branch, from where its refs stand. Reads no repository.

use std::collections::BTreeMap;

use crate::state::layout::{ARCHIVE_REF_PREFIX, archive_number};
use crate::state::oid::Oid;

/// The branches of a remote, by their refs' names.
pub type Heads = BTreeMap<String, Oid>;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has no branch at all: what is pushed first becomes its default branch, and that is for people to choose.
    Empty,
    /// It stands where the state does.
    Nothing,
    /// The state is pushed: the branch is not there, or behind.
    Push,
    /// The branch has commits that the state does not lead to.
    Join(Oid),
}

/// What is to be done about the branch `ref_name`, if the state stands at `ours`. `is_past` tells whether a commit is in its past.
pub fn next(heads: &Heads, ref_name: &str, ours: Oid, is_past: impl Fn(Oid) -> bool) -> Next {
    match heads.get(ref_name) {
        _ if heads.is_empty() => Next::Empty,
        None => Next::Push,
        Some(theirs) if *theirs == ours => Next::Nothing,
        Some(theirs) if is_past(*theirs) => Next::Push,
        Some(theirs) => Next::Join(*theirs),
    }
}

/// What keeps the end of an epoch there, by the branch, of which a remote may have several: `refs/archive/mrx/state/2026-11-21-1`.
pub fn archive_there(ref_name: &str, archive: &str) -> String {
    let branch = ref_name.strip_prefix("refs/heads/").unwrap_or(ref_name);
    let name = archive.strip_prefix(ARCHIVE_REF_PREFIX).unwrap_or(archive);
    format!("{ARCHIVE_REF_PREFIX}{branch}/{name}")
}

/// The ref here of one there that keeps the end of an epoch of this branch; `None` for any other.
pub fn archive_here(branch: &str, there: &str) -> Option<String> {
    let name = there.strip_prefix(ARCHIVE_REF_PREFIX)?.strip_prefix(branch)?.strip_prefix('/')?;
    let here = format!("{ARCHIVE_REF_PREFIX}{name}");
    archive_number(&here).is_some().then_some(here)
}

/// From which commit on the remote's changes are its own. `met` is where both histories met last; `merged` is how far it was
/// brought in, if that is in its past; `merged_there` is what the state said of that at `met`.
///
/// Usually that is `met`. But what was brought in and not pushed since must not be brought in twice: then it is `merged`.
pub fn base(met: Oid, merged: Option<Oid>, merged_there: Option<Oid>) -> Oid {
    match merged {
        Some(merged) if merged_there != Some(merged) => merged,
        _ => met,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::oid::Kind;

    fn oid(text: &str) -> Oid {
        Oid::of(Kind::Blob, text.as_bytes())
    }

    #[test]
    fn the_first_branch_of_an_empty_remote_is_never_pushed() {
        let ours = oid("ours");
        let heads =
            |of: &[(&str, Oid)]| of.iter().map(|(name, tip)| ((*name).to_owned(), *tip)).collect::<Heads>();
        let next =
            |of: &[(&str, Oid)]| next(&heads(of), "refs/heads/mrx/state", ours, |tip| tip == oid("past"));
        assert_eq!(next(&[]), Next::Empty);
        assert_eq!(next(&[("refs/heads/main", oid("x"))]), Next::Push);
        assert_eq!(next(&[("refs/heads/mrx/state", ours)]), Next::Nothing);
        assert_eq!(next(&[("refs/heads/mrx/state", oid("past"))]), Next::Push);
        assert_eq!(next(&[("refs/heads/mrx/state", oid("theirs"))]), Next::Join(oid("theirs")));
    }

    #[test]
    fn what_was_brought_in_and_not_yet_pushed_is_not_brought_in_twice() {
        let (met, merged) = (oid("met"), oid("merged"));
        assert_eq!(base(met, None, None), met);
        assert_eq!(base(met, Some(merged), None), merged, "the join was not pushed");
        assert_eq!(base(met, Some(merged), Some(merged)), met, "it was");
        assert_eq!(base(met, Some(merged), Some(oid("older"))), merged);
    }
}
