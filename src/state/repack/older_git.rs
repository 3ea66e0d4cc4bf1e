//! What a repack needs of a git that lacks it: the pack of what no ref needs (cruft packs came with 2.37), and the files by
//! which a pack is known as git's own (2.31).

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::git::child::{Cause, Program, ProgramError};
use crate::state::disk::{self, Disk};
use crate::state::packs::{self, PackFile};

/// What no ref needs is kept this long, as a newer git is told in `CRUFT_KEPT`.
const KEPT: Duration = Duration::from_secs(3600);
/// A larger pack gets no `.rev`, because that is made in memory; without one it is repacked once after each start.
const REVERSED_OBJECTS_MAX: u64 = 1 << 20;

/// Whether git did nothing, because it does not know an option: then it shows those it has.
pub(super) fn knows_no_option(error: &ProgramError) -> bool {
    matches!(&error.cause, Cause::Failed { exit, .. } if exit == "exit 129")
}

/// Objects that no ref needs and that are not old.
pub(super) struct Rest {
    /// Their names, a line each.
    names: String,
    /// When the youngest of them was written, at the latest.
    youngest: Option<SystemTime>,
}

impl Rest {
    /// What the listed packs hold besides the `needed` ones, which were written just now.
    pub(super) fn of(repo: &Path, listed: &[PackFile], needed: &[String]) -> io::Result<Self> {
        let file = |name: &String, ending| File::open(packs::folder(repo).join(format!("{name}.{ending}")));
        let mut now = None;
        let mut indexes = Vec::new();
        for name in needed {
            now = now.max(Some(file(name, "pack")?.metadata()?.modified()?));
            indexes.push(file(name, "idx")?);
        }
        let age = |pack: &PackFile| now.and_then(|now| now.duration_since(pack.modified).ok());
        let is_young = |pack: &&PackFile| age(pack).is_none_or(|age| age < KEPT);
        let (mut found, mut youngest) = (BTreeSet::new(), None);
        for pack in listed.iter().filter(|pack| !needed.contains(&pack.name)).filter(is_young) {
            youngest = youngest.max(Some(pack.modified));
            for object in packs::read_index(repo, &pack.name)? {
                let mut is_needed = false;
                for index in &indexes {
                    is_needed = is_needed || packs::is_in_index(index, object.oid)?;
                }
                if !is_needed {
                    found.insert(object.oid);
                }
            }
        }
        Ok(Self { names: found.iter().map(|oid| format!("{oid}\n")).collect(), youngest })
    }

    /// Has git write them into a pack; gives what it says. The pack counts as old as they are, so that it goes when they would.
    pub(super) fn write(&self, repo: &Path, git: Program) -> Result<Vec<u8>, ProgramError> {
        let said = git.args(["objects/pack/pack"]).input(self.names.clone().into_bytes()).run()?;
        for name in super::names(&said) {
            let aged = File::open(packs::folder(repo).join(format!("{name}.pack")));
            // One that counts as younger is kept longer.
            let _ = aged.and_then(|pack| self.youngest.map_or(Ok(()), |time| pack.set_modified(time)));
        }
        Ok(said)
    }
}

/// Makes the `.rev` of packs that git wrote without one.
pub(super) fn reverse(disk: &dyn Disk, repo: &Path, names: &[String]) -> io::Result<()> {
    for name in names {
        let path = packs::folder(repo).join(format!("{name}.rev"));
        if !path.exists() && packs::count_objects(repo, name)? <= REVERSED_OBJECTS_MAX {
            disk::write_beside(disk, &path, &packs::reversed_index(repo, name)?, 0o444)?;
        }
    }
    Ok(())
}
