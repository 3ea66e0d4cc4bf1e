//! The storage seam: every open, write, fsync and rename that an acknowledgement rests on goes through here.
//!
//! The engine has one [`Disk`], the machine's; the fault tests put one before it that fails a chosen call. Reading of
//! published objects does not pass here: a failed read is an error for its reader and endangers nothing.

mod direct;
mod steps;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use direct::DirectFile;
pub use steps::{STEP_BYTES, Steps};

/// What the write path does to a file system.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file for reading and writing, creating it (mode 0600) if it is not there.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a file that must not exist, with these permission bits.
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn DiskFile>>;
    /// Moves a file over another, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes one folder; nothing if it is there.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// An open file of the write path.
#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Fills `bytes` from `offset`; fewer bytes in the file is `UnexpectedEof`.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Makes the file's bytes durable (fdatasync).
    fn sync_data(&self) -> io::Result<()>;
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        Ok(Arc::new(DirectFile::new(file)))
    }

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)?;
        Ok(Arc::new(DirectFile::new(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// Makes a folder and the missing ones above it, and makes their names durable.
pub fn make_folders(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folders(disk, above)?;
    disk.make_folder(path)?;
    disk.sync_folder(above)
}

/// Writes `bytes` to `path` so that after a crash the whole file is there or none of it: a temporary neighbour,
/// fsync, rename. The name itself is durable once the caller has synced the folder.
pub fn write_beside(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let written = (|| {
        let mut file = Steps::of(create_over(disk, &temporary, mode)?);
        file.write(bytes, STEP_BYTES)?;
        file.sync()?;
        disk.rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = disk.remove(&temporary);
    }
    written
}

/// Creates a file that only this process makes, so one that is there is what a killed process left.
fn create_over(disk: &dyn Disk, path: &Path, mode: u32) -> io::Result<Arc<dyn DiskFile>> {
    match disk.create_new(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(path)?;
            disk.create_new(path, mode)
        }
        result => result,
    }
}

/// What the names of unfinished files begin with; recovery removes them. Git ignores them among packs.
pub const TEMPORARY_PREFIX: &str = "tmp_mrx_";

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{TEMPORARY_PREFIX}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_killed_process_left_half_written_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(temporary_beside(&path), "ha").unwrap();
        write_beside(&RealDisk, &path, b"whole", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert!(!temporary_beside(&path).exists());
    }

    #[test]
    fn folders_are_made_with_those_above_them() {
        let folder = tempfile::tempdir().unwrap();
        make_folders(&RealDisk, &folder.path().join("a/b/c")).unwrap();
        make_folders(&RealDisk, &folder.path().join("a/b/c")).unwrap();
        assert!(folder.path().join("a/b/c").is_dir());
    }
}
