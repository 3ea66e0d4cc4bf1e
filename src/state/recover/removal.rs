//! Marks of removed repositories: up to which record of the journal each is gone, so that no start brings it back.
//!
//! A mark is a file `repos/removed/mrx-a` that holds the number of a record. A repository that is made again under the name
//! has later records only. A mark goes when the journal holds no record that it speaks of.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::id::ProjectId;
use crate::state::disk::{self, Disk};
use crate::state::journal::Lsn;
use crate::state::layout::{DataFolder, RepoName};

/// What folders on their way out end with.
const ASIDE: &str = ".git";

/// Where a repository's folder is moved before its files go.
pub(in crate::state) fn aside(folder: &DataFolder, name: &RepoName) -> PathBuf {
    folder.removed().join(format!("{}{ASIDE}", file_name(name)))
}

/// Says, durably, that a repository's records up to this one are not to be used any more.
pub(in crate::state) fn mark(
    folder: &DataFolder,
    disk: &dyn Disk,
    name: &RepoName,
    last: Lsn,
) -> io::Result<()> {
    let removed = folder.removed();
    disk::make_folders(disk, &removed)?;
    disk::write_beside(disk, &removed.join(file_name(name)), format!("{last}\n").as_bytes(), 0o600)?;
    disk.sync_folder(&removed)
}

/// Removes a folder that was moved aside; nothing if it is not there.
pub(in crate::state) fn clear(aside: &Path) -> io::Result<()> {
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The marks, by the name that the journal uses.
pub(super) fn marks(folder: &DataFolder) -> io::Result<HashMap<String, Lsn>> {
    let mut marks = HashMap::new();
    for (name, path) in files(folder)? {
        let Ok(id) = name.parse::<ProjectId>() else { continue };
        let text = fs::read_to_string(&path)?;
        let unreadable = || io::Error::other(format!("{} holds no number", path.display()));
        marks.insert(RepoName::Project(id).key(), Lsn(text.trim().parse().map_err(|_| unreadable())?));
    }
    Ok(marks)
}

/// Removes the marks that no record of the journal is below any more, and folders that a crash left.
pub(super) fn tidy(folder: &DataFolder, marks: &HashMap<String, Lsn>, released: Lsn) -> io::Result<()> {
    for (name, path) in files(folder)? {
        if name.ends_with(ASIDE) {
            clear(&path)?;
        }
        let key = name.parse().ok().map(|id| RepoName::Project(id).key());
        if key.and_then(|key| marks.get(&key)).is_some_and(|last| *last < released) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn files(folder: &DataFolder) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(folder.removed()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let named = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
    entries.filter_map(|entry| entry.map(named).transpose()).collect()
}

fn file_name(name: &RepoName) -> String {
    name.project().map_or_else(|| name.key(), ProjectId::to_string)
}
