//! Moving a ref as git does it, with what git leaves out: compare-and-swap, and fsync of the file and its folder.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::{self, Disk};
use super::oid::Oid;

/// How often a lock that another git process holds is tried again, and how long between: one second in all.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why a ref was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Somebody else moved it; it holds `found`.
    #[error("{ref_name} holds {found}, not {expected}")]
    Moved {
        /// The ref.
        ref_name: String,
        /// What it should have held.
        expected: Oid,
        /// What it holds.
        found: Oid,
    },
    /// The disk refused. Whether the ref has moved is not known.
    #[error("cannot {what} {}: {source}", path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}

/// What a ref holds; [`Oid::ZERO`] if it does not exist.
pub fn read(repo: &Path, ref_name: &str) -> io::Result<Oid> {
    match fs::read_to_string(repo.join(ref_name)) {
        Ok(text) => text.trim_end().parse().map_err(|error| io::Error::new(ErrorKind::InvalidData, error)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
            read_packed(repo, ref_name)
        }
        Err(error) => Err(error),
    }
}

fn read_packed(repo: &Path, ref_name: &str) -> io::Result<Oid> {
    let text = match fs::read_to_string(repo.join("packed-refs")) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Oid::ZERO),
        Err(error) => return Err(error),
    };
    let line = text.lines().find_map(|line| line.split_once(' ').filter(|(_, name)| *name == ref_name));
    line.map_or(Ok(Oid::ZERO), |(oid, _)| {
        oid.parse().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    })
}

/// Moves a ref from `old` to `new`, durably.
pub fn swap(disk: &dyn Disk, repo: &Path, ref_name: &str, old: Oid, new: Oid) -> Result<(), MoveError> {
    let path = repo.join(ref_name);
    let lock = with_lock_suffix(&path);
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| MoveError::Disk { what, path, source }
    };
    let folder = folder_of(repo, ref_name);
    disk::make_folders(disk, &folder).map_err(failed("make the folder of", &path))?;
    let file = take_lock(disk, &lock).map_err(failed("lock", &path))?;
    let result = (|| {
        let found = read(repo, ref_name).map_err(failed("read", &path))?;
        if found != old {
            return Err(MoveError::Moved { ref_name: ref_name.to_owned(), expected: old, found });
        }
        file.write_all_at(format!("{new}\n").as_bytes(), 0).map_err(failed("write", &lock))?;
        file.sync_data().map_err(failed("fsync", &lock))?;
        disk.rename(&lock, &path).map_err(failed("move into place", &path))
    })();
    if result.is_err() {
        let _ = disk.remove(&lock);
        return result;
    }
    if old == Oid::ZERO {
        return settle(disk, repo, ref_name);
    }
    disk.sync_folder(&folder).map_err(failed("fsync the folder of", &path))
}

/// Makes durable what a ref holds now; a process that was killed may not have come to it. A ref that is packed has
/// perhaps no folder, and nobody of ours packed it.
pub fn settle(disk: &dyn Disk, repo: &Path, ref_name: &str) -> Result<(), MoveError> {
    let folder = folder_of(repo, ref_name);
    let above = folder.parent().unwrap_or(repo);
    for folder in [&folder, above] {
        if folder.is_dir() {
            let failed =
                |source| MoveError::Disk { what: "fsync the folder of", path: repo.join(ref_name), source };
            disk.sync_folder(folder).map_err(failed)?;
        }
    }
    Ok(())
}

/// Removes a ref that is a file of its own, durably. (The daemon never packs refs.)
pub fn remove(disk: &dyn Disk, repo: &Path, ref_name: &str) -> Result<(), MoveError> {
    let path = repo.join(ref_name);
    let failed = |source| MoveError::Disk { what: "remove", path: path.clone(), source };
    match disk.remove(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    path.parent().map_or(Ok(()), |folder| disk.sync_folder(folder)).map_err(failed)
}

fn with_lock_suffix(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn take_lock(disk: &dyn Disk, lock: &Path) -> io::Result<std::sync::Arc<dyn super::disk::DiskFile>> {
    let mut tries = 1;
    loop {
        match disk.create_new(lock, 0o644) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < LOCK_TRIES => {
                std::thread::sleep(LOCK_PAUSE);
                tries += 1;
            }
            result => return result,
        }
    }
}

/// The folder in which a ref is a file, such as `refs/heads/logs`.
fn folder_of(repo: &Path, ref_name: &str) -> PathBuf {
    repo.join(Path::new(ref_name).parent().unwrap_or(Path::new("")))
}

/// Removes what a killed process leaves: lock files, and unfinished files and folders of ours and of git's.
pub fn remove_leftovers(repo: &Path) -> io::Result<u32> {
    let mut removed = remove_locks(&repo.join("refs"))?;
    for folder in ["", "objects/info", "objects/pack"] {
        for entry in fs::read_dir(repo.join(folder))? {
            removed += u32::from(remove_leftover(&entry?)?);
        }
    }
    Ok(removed)
}

/// Removes one, if it is one: `HEAD.lock`, `tmp_mrx_…`, git's `tmp_pack_…` and `.tmp-…`.
fn remove_leftover(entry: &fs::DirEntry) -> io::Result<bool> {
    let (name, kind) = (entry.file_name(), entry.file_type()?);
    let name = name.to_string_lossy();
    let unfinished = ["tmp_", ".tmp-"].iter().any(|start| name.starts_with(start));
    match () {
        () if unfinished && kind.is_dir() => fs::remove_dir_all(entry.path())?,
        () if unfinished || (name.ends_with(".lock") && kind.is_file()) => fs::remove_file(entry.path())?,
        () => return Ok(false),
    }
    Ok(true)
}

fn remove_locks(folder: &Path) -> io::Result<u32> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += remove_locks(&entry.path())?;
        } else if entry.path().extension().is_some_and(|extension| extension == "lock") {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::disk::RealDisk;
    use crate::state::oid::Kind;

    fn repo() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        git2::Repository::init_bare(folder.path()).unwrap();
        folder
    }

    #[test]
    fn a_ref_moves_only_from_where_it_was_thought_to_be() {
        let (folder, a, b) = (repo(), Oid::of(Kind::Blob, b"a"), Oid::of(Kind::Blob, b"b"));
        swap(&RealDisk, folder.path(), "refs/heads/logs/2026-11-20", Oid::ZERO, a).unwrap();
        let error = swap(&RealDisk, folder.path(), "refs/heads/logs/2026-11-20", Oid::ZERO, b).unwrap_err();
        assert!(matches!(error, MoveError::Moved { found, .. } if found == a));
        swap(&RealDisk, folder.path(), "refs/heads/logs/2026-11-20", a, b).unwrap();
        assert_eq!(read(folder.path(), "refs/heads/logs/2026-11-20").unwrap(), b);
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 0, "no lock is left behind");
    }

    #[test]
    fn a_packed_ref_is_found() {
        let (folder, a) = (repo(), Oid::of(Kind::Blob, b"a"));
        fs::write(
            folder.path().join("packed-refs"),
            format!("# pack-refs with: peeled\n{a} refs/heads/state\n"),
        )
        .unwrap();
        assert_eq!(read(folder.path(), "refs/heads/state").unwrap(), a);
        assert_eq!(read(folder.path(), "refs/heads/stat").unwrap(), Oid::ZERO);
    }

    #[test]
    fn leftovers_of_a_killed_process_are_removed() {
        let folder = repo();
        fs::write(folder.path().join("refs/heads/state.lock"), "").unwrap();
        fs::write(folder.path().join("HEAD.lock"), "").unwrap();
        fs::write(folder.path().join("objects/pack/tmp_mrx_pack-1.pack"), "").unwrap();
        fs::write(folder.path().join("objects/pack/pack-1.idx.lock"), "").unwrap();
        fs::create_dir(folder.path().join("tmp_mrx_recovery")).unwrap();
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 5);
        assert!(git2::Repository::open_bare(folder.path()).is_ok());
    }
}
