//! Moving a ref as git does it, with what git leaves out: compare-and-swap, and fsync of the file and its folder.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::Disk;
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
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => read_packed(repo, ref_name),
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
    line.map_or(Ok(Oid::ZERO), |(oid, _)| oid.parse().map_err(|error| io::Error::new(ErrorKind::InvalidData, error)))
}

/// Moves a ref from `old` to `new`, durably.
pub fn swap(disk: &dyn Disk, repo: &Path, ref_name: &str, old: Oid, new: Oid) -> Result<(), MoveError> {
    let path = repo.join(ref_name);
    let lock = with_lock_suffix(&path);
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| MoveError::Disk { what, path, source }
    };
    let folder = make_folders(disk, repo, ref_name).map_err(failed("make the folder of", &path))?;
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
        let _ = fs::remove_file(&lock);
        return result;
    }
    disk.sync_folder(&folder).map_err(failed("fsync the folder of", &path))
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

/// Makes the folders above a ref, such as `refs/heads/logs`, and makes their names durable.
fn make_folders(disk: &dyn Disk, repo: &Path, ref_name: &str) -> io::Result<PathBuf> {
    let folder = repo.join(Path::new(ref_name).parent().unwrap_or(Path::new("")));
    if !folder.is_dir() {
        fs::create_dir_all(&folder)?;
        disk.sync_folder(folder.parent().unwrap_or(repo))?;
    }
    Ok(folder)
}

/// Removes what a killed process leaves: lock files of refs, and temporary files among the packs.
pub fn remove_leftovers(repo: &Path) -> io::Result<u32> {
    let mut removed = remove_locks(&repo.join("refs"))?;
    for name in ["HEAD.lock", "config.lock", "packed-refs.lock"] {
        removed += u32::from(fs::remove_file(repo.join(name)).is_ok());
    }
    for entry in fs::read_dir(repo.join("objects/pack"))? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("tmp_") || name.to_string_lossy().starts_with(".tmp-") {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
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
        fs::write(folder.path().join("packed-refs"), format!("# pack-refs with: peeled\n{a} refs/heads/state\n")).unwrap();
        assert_eq!(read(folder.path(), "refs/heads/state").unwrap(), a);
        assert_eq!(read(folder.path(), "refs/heads/stat").unwrap(), Oid::ZERO);
    }

    #[test]
    fn leftovers_of_a_killed_process_are_removed() {
        let folder = repo();
        fs::write(folder.path().join("refs/heads/state.lock"), "").unwrap();
        fs::write(folder.path().join("objects/pack/tmp_mrx_pack-1.pack"), "").unwrap();
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 2);
    }
}
