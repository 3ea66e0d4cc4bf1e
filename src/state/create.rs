//! Making a repository of state: bare, with the settings that keep git's own housekeeping away, and durable.

use std::io;
use std::path::Path;

use super::disk::{self, Disk};
use super::epoch::Archive;
use super::layout::{ARCHIVE_REF_PREFIX, STATE_REF};
use super::oid::Oid;

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

/// How often the source's objects are listed anew because upkeep replaced a pack meanwhile.
const LINK_TRIES_MAX: usize = 20;

/// Makes the repository at `to` with the objects of the one at `from`, its branch at `commit`, and the epochs before that. The
/// objects are the same files under a second name; both names live on their own.
pub(super) fn fork(
    disk: &dyn Disk,
    from: &Path,
    to: &Path,
    commit: Oid,
    epochs: &[Archive],
) -> io::Result<()> {
    for folder in ["objects/pack", "refs/heads", ARCHIVE_REF_PREFIX] {
        disk::make_folders(disk, &to.join(folder))?;
    }
    // Upkeep names a new pack before it removes those that are in it, so a listing that could be linked whole is whole.
    let mut tries = 0;
    while let Err(error) = link_objects(disk, &from.join("objects"), &to.join("objects")) {
        tries += 1;
        if error.kind() != io::ErrorKind::NotFound || tries == LINK_TRIES_MAX {
            return Err(error);
        }
    }
    for Archive { ref_name, tip, .. } in epochs {
        write(disk, &to.join(ref_name), &format!("{tip}\n"))?;
    }
    disk.sync_folder(&to.join(ARCHIVE_REF_PREFIX))?;
    write(disk, &to.join(STATE_REF), &format!("{commit}\n"))?;
    repository(disk, to)
}

/// Packs, and objects that stand alone; in folders of one level.
fn link_objects(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let folder = entry?.file_name();
        let name = folder.to_string_lossy();
        let is_loose = name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if name != "pack" && !is_loose {
            continue;
        }
        disk::make_folders(disk, &to.join(&folder))?;
        for file in std::fs::read_dir(from.join(&folder))? {
            let file = file?;
            if !file.file_name().to_string_lossy().starts_with("tmp") {
                link(&file.path(), &to.join(&folder).join(file.file_name()))?;
            }
        }
        disk.sync_folder(&to.join(&folder))?;
    }
    Ok(())
}

/// Where the file system has no second names the bytes are copied.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => {
            std::fs::copy(from, to)?;
            std::fs::File::open(to)?.sync_all()
        }
        Ok(()) => Ok(()),
    }
}

fn write(disk: &dyn Disk, path: &Path, text: &str) -> io::Result<()> {
    disk::write_beside(disk, path, text.as_bytes(), 0o644)
}
