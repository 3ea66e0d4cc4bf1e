//! Recovery: what the journal holds and a repository lacks is published before anything else happens.
//!
//! It needs nobody: leftovers of the killed process are removed, records already published are recognised by where
//! their ref stands, the rest become packs again (indexed by libgit2, which checks every object), and the tips are verified.

pub(super) mod removal;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::create;
use super::disk::{Disk, TEMPORARY_PREFIX};
use super::epoch;
use super::journal::Journal;
use super::journal::file::{OwnedRecord, ReadError, Recovered as Journalled};
use super::layout::{DataFolder, RepoName, STATE_REF};
use super::oid::Oid;
use super::pack::Pack;
use super::publish::{self, PackNotWritten};
use super::refs::{self, MoveError};
use super::repo::RefMove;
use crate::clock::Clock;

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that the journal held behind its last mark.
    pub records: u64,
    /// Packs that had to be published.
    pub packs: u64,
    /// Lock and temporary files that were removed.
    pub leftovers: u32,
    /// How the journal ended.
    pub tail: String,
}

/// Why recovery stopped. Nothing was removed: the journal still holds everything.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// A repository cannot be read or written.
    #[error("cannot recover {}: {source}; the journal is kept, so start again once the cause is gone", path.display())]
    Disk {
        /// The repository.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// Git does not take the journalled objects, or a tip is not whole.
    #[error("cannot recover {}: {source}; the journal is kept; run `git fsck --strict` there", path.display())]
    Git {
        /// The repository.
        path: PathBuf,
        /// What git said.
        source: git2::Error,
    },
    /// A repository is gone that the journal cannot bring back, because it holds only the end of its history.
    #[error("the repository {} is gone, and the journal holds only its last changes: bring the folder back from a backup, then start again", path.display())]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// A ref does not move.
    #[error(transparent)]
    Ref(#[from] MoveError),
}

/// Records that go into one pack: the first one begins it.
#[derive(Default)]
struct Batch {
    objects: u32,
    entries: Vec<u8>,
    moves: Vec<RefMove>,
}

/// Publishes what the journal holds, and releases it.
pub(super) fn replay(
    folder: &DataFolder,
    disk: &dyn Disk,
    clock: &Clock,
    left: &Journalled,
    journal: &dyn Journal,
) -> Result<Recovered, RecoverError> {
    let mut recovered = Recovered { tail: format!("{:?}", left.tail), ..Recovered::default() };
    let mut batches: BTreeMap<String, Batch> = BTreeMap::new();
    let marks_failed = |source| RecoverError::Disk { path: folder.removed(), source };
    let removed = removal::marks(folder).map_err(marks_failed)?;
    for record in left.records() {
        let record = record?;
        if removed.get(&record.repo).is_some_and(|mark| record.lsn <= *mark) {
            continue;
        }
        recovered.records += 1;
        let full = if record.begins_pack { batches.remove(&record.repo) } else { None };
        if let Some(full) = full {
            recovered.packs += u64::from(bring_in(folder, disk, clock, &record.repo, full)?);
        }
        batches.entry(record.repo.clone()).or_default().add(record);
    }
    for (repo, batch) in batches {
        recovered.packs += u64::from(bring_in(folder, disk, clock, &repo, batch)?);
    }
    recovered.leftovers = remove_leftovers(folder)?;
    removal::tidy(folder, &removed, left.released).map_err(marks_failed)?;
    journal.release_before(left.next_lsn);
    Ok(recovered)
}

impl Batch {
    /// Whether the repository had no history before.
    fn begins_repository(&self) -> bool {
        self.moves.iter().any(|moved| *moved.ref_name == *STATE_REF && moved.old == Oid::ZERO)
    }

    fn add(&mut self, record: OwnedRecord) {
        self.objects += record.objects;
        self.entries.extend_from_slice(&record.entries);
        match self.moves.iter_mut().find(|moved| *moved.ref_name == *record.ref_name) {
            Some(moved) => moved.new = record.new,
            None => self.moves.push(RefMove {
                ref_name: record.ref_name.into(),
                old: record.old,
                new: record.new,
            }),
        }
    }
}

/// Publishes one pack's records, unless its refs are there already; tells whether it had to.
fn bring_in(
    folder: &DataFolder,
    disk: &dyn Disk,
    clock: &Clock,
    key: &str,
    batch: Batch,
) -> Result<bool, RecoverError> {
    let Some(name) = RepoName::from_key(key) else { return Ok(false) };
    let path = folder.repo(&name);
    let on_disk = |source| RecoverError::Disk { path: path.clone(), source };
    let in_git = |source| RecoverError::Git { path: path.clone(), source };
    if !path.join("HEAD").is_file() {
        if !batch.begins_repository() {
            return Err(RecoverError::Gone { path });
        }
        create::repository(disk, &path).map_err(on_disk)?;
    }
    refs::remove_leftovers(&path).map_err(on_disk)?;
    let repo = git2::Repository::open_bare(&path).map_err(in_git)?;
    let mut missing = Vec::new();
    for moved in &batch.moves {
        let found = refs::read(&path, &moved.ref_name).map_err(on_disk)?;
        // One that was published may lie in an epoch before that of the ref.
        if epoch::is_in_past(&repo, moved.new, found).map_err(in_git)? {
            refs::settle(disk, &path, &moved.ref_name)?;
        } else {
            missing.push((moved, found));
        }
    }
    if missing.is_empty() {
        return Ok(false);
    }
    // A pack that is there is whole. It matters where a ref was moved back after its pack was released from the journal,
    // which then holds only the end of it.
    if is_packed(&repo, &missing).map_err(in_git)? {
        disk.sync_folder(&path.join("objects/pack")).map_err(on_disk)?;
    } else {
        write_pack(&repo, disk, &path, &batch).map_err(|error| match error {
            PackError::Disk(source) => on_disk(source),
            PackError::Git(source) => in_git(source),
        })?;
    }
    repo.odb().and_then(|odb| odb.refresh()).map_err(in_git)?;
    for (moved, found) in missing {
        keep_epochs(disk, &repo, moved, clock)?;
        if found == moved.old {
            refs::swap(disk, &path, &moved.ref_name, moved.old, moved.new)?;
        } else {
            publish::put_aside(disk, &path, moved, found, clock)?;
        }
    }
    verify(&repo, &batch.moves).map_err(in_git)?;
    Ok(true)
}

/// Makes the refs of the epochs that ended between two places of a branch, before it stands at the second.
fn keep_epochs(
    disk: &dyn Disk,
    repo: &git2::Repository,
    moved: &RefMove,
    clock: &Clock,
) -> Result<(), RecoverError> {
    let path = repo.path();
    let in_git = |source| RecoverError::Git { path: path.to_owned(), source };
    for (ref_name, tip) in epoch::archives_between(repo, moved.old, moved.new).map_err(in_git)? {
        let kept = RefMove { ref_name: ref_name.into(), old: Oid::ZERO, new: tip };
        publish::move_ref(disk, path, &kept, clock)?;
    }
    Ok(())
}

fn is_packed(repo: &git2::Repository, missing: &[(&RefMove, Oid)]) -> Result<bool, git2::Error> {
    let odb = repo.odb()?;
    Ok(missing.iter().all(|(moved, _)| odb.exists(moved.new.to_git())))
}

enum PackError {
    Disk(io::Error),
    Git(git2::Error),
}

impl From<io::Error> for PackError {
    fn from(error: io::Error) -> Self {
        PackError::Disk(error)
    }
}

impl From<git2::Error> for PackError {
    fn from(error: git2::Error) -> Self {
        PackError::Git(error)
    }
}

/// Has libgit2 index the records' objects in a folder of its own, so that each is read and hashed once more; then the
/// files are written as publishing writes them. (libgit2 names an index before its pack, and leaves locks behind.)
fn write_pack(repo: &git2::Repository, disk: &dyn Disk, path: &Path, batch: &Batch) -> Result<(), PackError> {
    let mut pack = Vec::with_capacity(batch.entries.len() + 32);
    pack.extend_from_slice(b"PACK\0\0\0\x02");
    pack.extend_from_slice(&batch.objects.to_be_bytes());
    pack.extend_from_slice(&batch.entries);
    let sum = Sha1::digest(&pack);
    pack.extend_from_slice(&sum);
    let scratch = path.join(format!("{TEMPORARY_PREFIX}recovery"));
    fs::create_dir(&scratch)?;
    let mut indexer = git2::Indexer::new(Some(&repo.odb()?), &scratch, 0o444, true)?;
    indexer.write_all(&pack)?;
    let index = fs::read(scratch.join(format!("pack-{}.idx", indexer.commit()?)))?;
    fs::remove_dir_all(&scratch)?;
    let files = Pack::of(Oid(sum.into()), pack, index);
    publish::write_pack(disk, path, &files).map_err(|PackNotWritten { source, .. }| PackError::Disk(source))
}

/// Checks that each tip is a commit whose tree can be read.
fn verify(repo: &git2::Repository, moves: &[RefMove]) -> Result<(), git2::Error> {
    repo.odb()?.refresh()?;
    moves.iter().try_for_each(|moved| repo.find_commit(moved.new.to_git())?.tree().map(|_| ()))
}

/// Removes lock and temporary files from every repository; nobody else may have made them, the folder is ours.
fn remove_leftovers(folder: &DataFolder) -> Result<u32, RecoverError> {
    let mut removed = 0;
    let projects = folder.repos().join("projects");
    let failed = |path: &Path, source| RecoverError::Disk { path: path.to_owned(), source };
    let entries = fs::read_dir(&projects).map_err(|source| failed(&projects, source))?;
    let platform = folder.repo(&RepoName::Platform);
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()).chain([platform]) {
        if path.join("HEAD").is_file() {
            removed += refs::remove_leftovers(&path).map_err(|source| failed(&path, source))?;
        }
    }
    Ok(removed)
}
