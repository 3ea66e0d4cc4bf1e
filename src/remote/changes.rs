//! Reads what a remote's branch changed by itself, as hostile until all of it is read: files within bounds, from a scratch repository.

use std::path::Path;

use bytes::Bytes;

use super::relation;
use super::types::RemoteFile;
use crate::state::epoch;
use crate::state::layout::REMOTE_FILE;
use crate::state::oid::Oid;
use crate::state::yaml::{self, FILE_BYTES_MAX};

/// Files that are brought in at once; more is no work of people.
const FILES_MAX: usize = 1000;
/// Their bytes, before and after together, so that what comes of them fits into a record of the journal.
const BYTES_MAX: usize = 8 << 20;

/// What the remote's branch has of its own.
#[derive(Debug)]
pub struct Theirs {
    /// Its tip.
    pub tip: Oid,
    /// Whether it leads to the state's tip and has the same files: there is nothing to do.
    pub is_joined: bool,
    /// The files that it changed.
    pub changed: Vec<Changed>,
}

/// A file that the remote changed.
#[derive(Debug)]
pub struct Changed {
    /// Where.
    pub path: String,
    /// What it held before; absent if it was not there.
    pub base: Option<Bytes>,
    /// What it holds there now; absent if it is gone.
    pub theirs: Option<Bytes>,
    /// Why it is no file that the state can have, if it is none.
    pub oddity: Option<String>,
}

/// Why the remote's changes are not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The histories have no common commit.
    #[error(
        "the branch has another history than the state: give the remote a branch that is not there yet, or remove that one"
    )]
    Unrelated,
    /// There are too many.
    #[error(
        "the branch changes more than {FILES_MAX} files or {BYTES_MAX} bytes of them: bring in fewer at a time, or put them back there"
    )]
    TooMuch,
    /// Git does not read it.
    #[error("the branch cannot be read: {0}")]
    Git(String),
}

impl From<git2::Error> for Unread {
    fn from(error: git2::Error) -> Self {
        Self::Git(error.message().to_owned())
    }
}

/// Whether the state's repository has a commit, in the past of `of`.
pub fn is_past(repo: &Path, commit: Oid, of: Oid) -> bool {
    let known = || epoch::is_in_past(&git2::Repository::open_bare(repo)?, commit, of);
    known().unwrap_or(false)
}

/// Whether a branch at `from` moves to `to` as git moves it, which knows nothing of epochs.
pub fn is_forward(repo: &Path, from: Oid, to: Oid) -> bool {
    let known = || git2::Repository::open_bare(repo)?.graph_descendant_of(to.to_git(), from.to_git());
    known().unwrap_or(false)
}

/// What the branch at `tip`, whose commits are all in the scratch repository, changed by itself. `ends` are those of the epochs
/// before `ours`, newest first.
pub fn read(scratch: &Path, ours: Oid, ends: &[Oid], tip: Oid) -> Result<Theirs, Unread> {
    let repo = git2::Repository::open_bare(scratch)?;
    let (our_tree, their_tree) = (tree(&repo, ours)?, tree(&repo, tip)?);
    let met = met(&repo, ours, ends, tip)?;
    let is_in_theirs = |commit: &Oid| {
        *commit == tip || repo.graph_descendant_of(tip.to_git(), commit.to_git()).unwrap_or(false)
    };
    let merged = merged(&repo, &our_tree).filter(is_in_theirs);
    let base = tree(&repo, relation::base(met, merged, self::merged(&repo, &tree(&repo, met)?)))?;
    let changed = diff(&repo, &base, &their_tree)?;
    Ok(Theirs { tip, is_joined: met == ours && our_tree.id() == their_tree.id(), changed })
}

/// Where both histories met last.
fn met(repo: &git2::Repository, ours: Oid, ends: &[Oid], tip: Oid) -> Result<Oid, Unread> {
    for end in std::iter::once(&ours).chain(ends) {
        match repo.merge_base(end.to_git(), tip.to_git()) {
            Ok(met) => return Ok(met.into()),
            Err(error) if error.code() == git2::ErrorCode::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Unread::Unrelated)
}

fn tree(repo: &git2::Repository, commit: Oid) -> Result<git2::Tree<'_>, git2::Error> {
    repo.find_commit(commit.to_git())?.tree()
}

/// How far the remote had been brought in, as the state of a commit says.
fn merged(repo: &git2::Repository, tree: &git2::Tree<'_>) -> Option<Oid> {
    let entry = tree.get_name(REMOTE_FILE)?;
    let blob = repo.find_blob(entry.id()).ok()?;
    yaml::read::<RemoteFile>(REMOTE_FILE, "remote", blob.content()).ok().map(|file| file.merged)
}

fn diff(
    repo: &git2::Repository,
    base: &git2::Tree<'_>,
    theirs: &git2::Tree<'_>,
) -> Result<Vec<Changed>, Unread> {
    let mut options = git2::DiffOptions::new();
    options.ignore_submodules(false).skip_binary_check(true);
    let diff = repo.diff_tree_to_tree(Some(base), Some(theirs), Some(&mut options))?;
    if diff.deltas().len() > FILES_MAX {
        return Err(Unread::TooMuch);
    }
    let mut bytes = 0;
    let mut changed = Vec::new();
    for delta in diff.deltas() {
        let (old, new) = (delta.old_file(), delta.new_file());
        let path = new.path_bytes().or(old.path_bytes()).unwrap_or_default();
        let mut oddity = oddity(new.mode(), path);
        let mut content = |file: &git2::DiffFile<'_>| -> Result<Option<Bytes>, Unread> {
            if file.id().is_zero() || !is_file(file.mode()) {
                return Ok(None);
            }
            let (size, _) = repo.odb()?.read_header(file.id())?;
            if size > FILE_BYTES_MAX {
                oddity = Some(format!("it has {size} bytes, and a file of state at most {FILE_BYTES_MAX}"));
                return Ok(None);
            }
            bytes += size;
            if bytes > BYTES_MAX {
                return Err(Unread::TooMuch);
            }
            Ok(Some(Bytes::copy_from_slice(repo.find_blob(file.id())?.content())))
        };
        let (base, theirs) = (content(&old)?, content(&new)?);
        changed.push(Changed { path: shown(path), base, theirs, oddity });
    }
    Ok(changed)
}

fn is_file(mode: git2::FileMode) -> bool {
    matches!(mode, git2::FileMode::Blob | git2::FileMode::BlobExecutable)
}

fn oddity(mode: git2::FileMode, path: &[u8]) -> Option<String> {
    if std::str::from_utf8(path).is_err() {
        return Some("its path is no UTF-8".to_owned());
    }
    match mode {
        git2::FileMode::Blob | git2::FileMode::Unreadable => None,
        mode => Some(format!("it is no plain file (mode {:06o})", i32::from(mode))),
    }
}

/// The path as text; what is no plain text in it is written out.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}
