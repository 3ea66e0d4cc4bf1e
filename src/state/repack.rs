//! Repacking: git compresses a whole repository into one pack, and writes the commit-graph.
//!
//! These are the steps of `git repack -a -d -f --cruft`, taken one by one, because the daemon must know which packs they
//! are about: `repack` makes its own list, and would take away packs that were folded meanwhile, or fail over them.
//!
//! Nothing is lost, whatever is published, folded or cut off meanwhile:
//! - The packs that will go are listed *first*. A pack that comes later is not touched by anything here, and a fold takes
//!   none of the listed ones while the repack lasts.
//! - The first new pack holds all that a ref needs. What the listed packs hold besides goes into the second, the cruft
//!   pack (a usual pack where git is older than 2.37), unless it is older than [`CRUFT_KEPT`]. So objects that are published while their ref has not moved yet
//!   (milliseconds, or as long as a disk is full, and then they are written anew) survive a repack in the cruft pack,
//!   where they are found like any others; the next repack takes them to the rest, because then a ref needs them.
//! - A commit refers to objects of its own pack and of its branch's past only, so nothing that is old and needed by no ref
//!   is ever referred to again.
//! - Both packs and their names are durable before a listed pack is removed, and that is not done here.
//! - The commit-graph is written anew before, so it never names a commit that is gone.

mod older_git;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::Disk;
use super::packs::{self, PackFile};
use crate::git::child::{Halt, Program, ProgramError};
use older_git::Rest;

/// What no ref needs is kept this long. Publishing takes milliseconds between the pack and the ref.
const CRUFT_KEPT: &str = "--cruft-expiration=1.hour.ago";
/// A repack or graph of millions of commits takes minutes at a low priority.
const TIME_LIMIT: Duration = Duration::from_secs(2 * 3600);
/// Bounds of memory: one thread with a window of 64 MiB, 32 MiB for deltas, and 512 MiB of packs mapped at once. Besides,
/// git needs about 150 bytes an object.
const BOUNDS: [&str; 14] = [
    "-c",
    "pack.threads=1",
    "-c",
    "pack.windowMemory=64m",
    "-c",
    "pack.deltaCacheSize=32m",
    "-c",
    "core.packedGitLimit=512m",
    "-c",
    "core.packedGitWindowSize=32m",
    "-c",
    "pack.writeReverseIndex=true",
    "-c",
    "core.fsync=committed",
];
const PACK_OBJECTS: [&str; 7] = [
    "pack-objects",
    "-q",
    "--keep-true-parents",
    "--honor-pack-keep",
    "--non-empty",
    "--no-reuse-delta",
    "--delta-base-offset",
];

/// Why a repository was not repacked. It is as it was, perhaps with a pack more.
#[derive(Debug, thiserror::Error)]
pub(super) enum RepackError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] ProgramError),
    /// The folder of packs cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The names in the folder could not be made durable. What is on the disk is not known any more.
    #[error("cannot fsync {}: {source}", path.display())]
    Unsynced { path: PathBuf, source: io::Error },
}

/// Writes the packs that take the place of `listed`; gives those of `listed` that nobody needs any more.
pub(super) fn repack(
    disk: &dyn Disk,
    repo: &Path,
    listed: &[PackFile],
    halt: &Halt,
) -> Result<Vec<String>, RepackError> {
    let replaced = write_packs(disk, repo, listed, halt);
    if replaced.is_err() {
        remove_unfinished(repo);
    }
    replaced
}

/// Removes what a git that was ended has left, which may be as large as the repository. Pushes write elsewhere.
fn remove_unfinished(repo: &Path) {
    let entries = std::fs::read_dir(packs::folder(repo)).into_iter().flatten().flatten();
    let is_gits = |name: &str| {
        ["tmp_pack_", "tmp_idx_", "tmp_rev_", "tmp_mtimes_"].iter().any(|start| name.starts_with(start))
    };
    for entry in entries.filter(|entry| is_gits(&entry.file_name().to_string_lossy())) {
        // What stays is removed at the next start.
        let _ = std::fs::remove_file(entry.path());
    }
}

fn write_packs(
    disk: &dyn Disk,
    repo: &Path,
    listed: &[PackFile],
    halt: &Halt,
) -> Result<Vec<String>, RepackError> {
    let git = || Program::git(repo).args(BOUNDS).in_background(halt).time_limit(TIME_LIMIT);
    let needed = git()
        .args(PACK_OBJECTS)
        .args(["--all", "--reflog", "--indexed-objects", "objects/pack/pack"])
        .run()?;
    let mut input: String = names(&needed).iter().map(|name| format!("{name}.pack\n")).collect();
    let replaced = |pack: &&PackFile| !names(&needed).contains(&pack.name);
    listed.iter().filter(replaced).for_each(|pack| input.push_str(&format!("-{}.pack\n", pack.name)));
    let cruft = ["--cruft", CRUFT_KEPT, "objects/pack/pack"];
    let cruft = git().args(PACK_OBJECTS).args(cruft).input(input.into_bytes()).run();
    let folder = packs::folder(repo);
    let failed = |source| RepackError::Read { path: folder.clone(), source };
    let cruft = match cruft {
        Err(error) if older_git::knows_no_option(&error) => {
            let rest = Rest::of(repo, listed, &names(&needed)).map_err(failed)?;
            rest.write(repo, git().args(PACK_OBJECTS))?
        }
        cruft => cruft?,
    };
    let new = [names(&needed), names(&cruft)].concat();
    older_git::reverse(disk, repo, &new).map_err(failed)?;
    disk.sync_folder(&folder).map_err(|source| RepackError::Unsynced { path: folder.clone(), source })?;
    write_graph(repo, Graph::Anew, halt)?;
    let there = packs::list(repo).map_err(failed)?;
    if !new.iter().all(|name| there.iter().any(|pack| pack.name == *name)) {
        return Ok(Vec::new());
    }
    git().args(["prune-packed", "-q"]).run()?;
    Ok(listed.iter().map(|pack| pack.name.clone()).filter(|name| !new.contains(name)).collect())
}

/// The packs that `git pack-objects` says it wrote.
fn names(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(|hash| format!("pack-{hash}")).collect()
}

/// How the commit-graph is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Graph {
    /// The commits since the last time become a layer, merged with smaller ones.
    More,
    /// One file of all commits that a ref needs, and no others.
    Anew,
}

/// Writes the commit-graph with the filters of changed paths, so that the history of a path is quick to find.
pub(super) fn write_graph(repo: &Path, graph: Graph, halt: &Halt) -> Result<(), ProgramError> {
    let split = match graph {
        Graph::More => "--split",
        Graph::Anew => "--split=replace",
    };
    let arguments = ["commit-graph", "write", "--reachable", "--changed-paths", "--no-progress", split];
    Program::git(repo).args(BOUNDS).args(arguments).in_background(halt).time_limit(TIME_LIMIT).run().map(drop)
}
