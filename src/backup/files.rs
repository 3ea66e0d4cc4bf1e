//! Copies files that are not git's: artifacts, which never change under their name, and keys. Knows nothing about what they hold.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;

use crate::state::disk::TEMPORARY_PREFIX;

/// Folders within folders are looked into so deep; artifacts lie one deep.
const DEPTH_MAX: usize = 4;

/// Which files are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that are not there: a file never changes under its name.
    New,
    /// All of them.
    All,
}

/// Copies files of `from` to `to`, in folders and files that only their owner reads; tells how many. Links are passed over.
pub fn copy(from: &Path, to: &Path, which: Which) -> anyhow::Result<usize> {
    if from.is_dir() { copy_folder(from, to, which, DEPTH_MAX) } else { Ok(0) }
}

fn copy_folder(from: &Path, to: &Path, which: Which, depth: usize) -> anyhow::Result<usize> {
    make_folder(to).with_context(|| format!("make the folder {}", to.display()))?;
    let mut copied = 0;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry.with_context(|| format!("list {}", from.display()))?;
        let (kind, there) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() && depth > 0 {
            copied += copy_folder(&entry.path(), &there, which, depth - 1)?;
        } else if kind.is_file() && (which == Which::All || is_new(&entry, &there)?) {
            let done = copy_file(&entry.path(), &there);
            copied +=
                done.with_context(|| format!("copy {} to {}", entry.path().display(), there.display()))?;
        }
    }
    File::open(to)?.sync_all().with_context(|| format!("fsync {}", to.display()))?;
    Ok(copied)
}

fn is_new(entry: &fs::DirEntry, there: &Path) -> io::Result<bool> {
    match fs::metadata(there) {
        Ok(copy) => Ok(copy.len() != entry.metadata()?.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Copies one beside its name first, so that a file under its name is whole; tells how many it copied.
fn copy_file(from: &Path, to: &Path) -> io::Result<usize> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let beside = to.with_file_name(format!("{TEMPORARY_PREFIX}{name}"));
    let mut source = match File::open(from) {
        // What was removed since it was listed needs no copy.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        source => source?,
    };
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()?;
    fs::rename(&beside, to)?;
    Ok(1)
}

/// Makes a folder, and those above it, that only its owner looks into.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
