//! What a step of a decision becomes: its files as blobs, its folders as trees, and the commit object.

use bytes::Bytes;

use super::{Branch, CommitError};
use crate::clock::Time;
use crate::state::commit::CommitText;
use crate::state::edit::{Cut, Edit, Foreign, Step};
use crate::state::oid::{Kind, Oid};
use crate::state::pack::{Draft, OidMap};
use crate::state::sign::Signer;
use crate::state::tree::{self, EditError, TreeSource};

/// What was encoded of some steps: the commit of each, and what its paths held before.
#[derive(Default)]
pub(super) struct Written {
    pub(super) commits: Vec<Oid>,
    pub(super) before: Vec<Vec<Option<Oid>>>,
}

/// Loads every folder on the changed paths, so that the writing cannot fail; tells what each path held.
pub(super) fn load_paths(
    branch: &mut Branch,
    edits: &[Edit],
    source: &dyn TreeSource,
    pack_number: u64,
    loaded: &mut usize,
) -> Result<Vec<Option<Oid>>, EditError> {
    let load = |edit: &Edit| tree::load(&mut branch.tree, edit.path(), source, pack_number, loaded);
    edits.iter().map(load).collect()
}

pub(super) fn write_edits(
    branch: &mut Branch,
    edits: &[Edit],
    draft: &mut Draft,
    fresh_blobs: &mut OidMap<Bytes>,
    pack_number: u64,
) -> Oid {
    for edit in edits {
        let Some(bytes) = edit.bytes() else {
            tree::remove(&mut branch.tree, edit.path());
            continue;
        };
        let blob = Oid::of(Kind::Blob, &bytes);
        draft.put(Kind::Blob, blob, &bytes);
        fresh_blobs.insert(blob, bytes);
        tree::put(&mut branch.tree, edit.path(), blob);
    }
    tree::write(&mut branch.tree, draft, pack_number)
}

/// The commit object of a step whose tree was written, and its id.
pub(super) fn commit_text(
    step: &Step,
    tree: Oid,
    parent: Oid,
    now: Time,
    signer: Option<&Signer>,
) -> Result<(Oid, Bytes), CommitError> {
    let archive = match step {
        Step::Cut(cut) => Some(cut.archive.as_ref()),
        _ => None,
    };
    match step {
        Step::Own(change) | Step::Cut(Cut { change, .. }) => {
            Ok(own(CommitText { tree, parent, change, now, archive }.encode(), signer))
        }
        Step::Foreign(Foreign { commit, text, is_replayed: true, .. }) => {
            let text = CommitText::replayed(text, tree, parent, now);
            text.map(|text| own(text, signer)).ok_or(CommitError::OtherTree(*commit))
        }
        Step::Foreign(Foreign { commit, text, .. }) => {
            let mut wanted = Vec::with_capacity(96);
            CommitText::write_place(tree, parent, &mut wanted);
            let fits = text.starts_with(&wanted) && text.get(wanted.len()) == Some(&b'\n');
            if fits { Ok((*commit, text.clone())) } else { Err(CommitError::OtherTree(*commit)) }
        }
    }
}

/// A commit that the daemon makes, signed if it signs.
fn own(text: Vec<u8>, signer: Option<&Signer>) -> (Oid, Bytes) {
    let text = match signer {
        Some(signer) => signer.signed(&text),
        None => text,
    };
    (Oid::of(Kind::Commit, &text), text.into())
}
