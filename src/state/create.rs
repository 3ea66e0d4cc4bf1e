//! Making a repository of state: bare, with the settings that keep git's own housekeeping away, and durable.

use std::io;
use std::path::Path;

use super::disk::{self, Disk};

/// What every repository of state is configured to.
const SETTINGS: &str = "\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogAllRefUpdates = false
\tfsync = committed,reference
[gc]
\tauto = 0
[maintenance]
\tauto = false
[receive]
\tautogc = false
\tfsckObjects = true
[transfer]
\thideRefs = refs/rejected
[uploadpack]
\tallowFilter = true
[pack]
\tthreads = 1
\twindowMemory = 64m
\twindow = 40
\twriteReverseIndex = false
";

/// Makes the repository at `path`: the few files that git asks for, then fsync of each and of every folder.
pub fn repository(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    for folder in ["objects/pack", "objects/info", "refs/heads", "refs/tags", "info"] {
        disk::make_folders(disk, &path.join(folder))?;
    }
    write(disk, &path.join("config"), SETTINGS)?;
    for folder in ["objects/pack", "objects/info", "objects", "refs/heads", "refs/tags", "refs", "info", ""] {
        disk.sync_folder(&path.join(folder))?;
    }
    // HEAD comes last, and is not even named before all else is durable: a folder without it is made again.
    write(disk, &path.join("HEAD"), "ref: refs/heads/state\n")?;
    disk.sync_folder(path)?;
    path.parent().map_or(Ok(()), |parent| disk.sync_folder(parent))
}

fn write(disk: &dyn Disk, path: &Path, text: &str) -> io::Result<()> {
    disk::write_beside(disk, path, text.as_bytes(), 0o644)
}
