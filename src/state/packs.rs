//! The packs in a repository's folder: which there are, what their indexes say, and how one is removed.
//! Formats: gitformat-pack(5). Knows nothing about why a pack is there.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha1::{Digest, Sha1};

use super::disk::Disk;
use super::oid::Oid;
use super::pack::{Object, TRAILER_BYTES};

/// An index, version 2, begins with these bytes; a table of 256 counts follows.
const INDEX_HEAD: [u8; 8] = *b"\xfftOc\0\0\0\x02";
const COUNTS_END: usize = 8 + 1024;
/// A reversed index, version 1, of SHA-1, begins with these.
const REVERSED_HEAD: [u8; 12] = *b"RIDX\0\0\0\x01\0\0\0\x01";
/// For each object: id, CRC-32, offset.
const OBJECT_BYTES: usize = 20 + 4 + 4;
/// An offset with this bit is a place in the table of long offsets.
const LONG_OFFSET: u32 = 1 << 31;

/// A pack in the folder, which has its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFile {
    /// The name its files share: `pack-…`.
    pub name: String,
    /// The length of the pack.
    pub bytes: u64,
    /// When it was written.
    pub modified: SystemTime,
    /// Somebody asked git to leave it alone (`.keep`), or it lacks objects on purpose (`.promisor`).
    pub is_kept: bool,
    /// It holds what no ref needs, until that is old enough to go (`.mtimes`).
    pub is_cruft: bool,
    /// Git wrote it (`.rev`), so its objects are compressed; published and folded packs have no such file.
    pub is_gits: bool,
}

/// The folder of a repository's packs.
pub fn folder(repo: &Path) -> PathBuf {
    repo.join("objects/pack")
}

/// The packs of a repository, smallest first.
pub fn list(repo: &Path) -> io::Result<Vec<PackFile>> {
    let mut files: BTreeMap<String, (Vec<String>, Option<fs::Metadata>)> = BTreeMap::new();
    for entry in fs::read_dir(folder(repo))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((stem, ending)) = name.split_once('.').filter(|(stem, _)| stem.starts_with("pack-")) else {
            continue;
        };
        let (endings, pack) = files.entry(stem.to_owned()).or_default();
        if ending == "pack" {
            // A pack that goes while we look is not there.
            *pack = entry.metadata().ok();
        }
        endings.push(ending.to_owned());
    }
    let found = files.into_iter().filter_map(|(name, (endings, pack))| {
        let (has, pack) = (|ending: &str| endings.iter().any(|other| other == ending), pack?);
        has("idx").then(|| PackFile {
            bytes: pack.len(),
            modified: pack.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            is_kept: has("keep") || has("promisor"),
            is_cruft: has("mtimes"),
            is_gits: has("rev"),
            name,
        })
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by(|a, b| (a.bytes, &a.name).cmp(&(b.bytes, &b.name)));
    Ok(found)
}

/// How many objects a pack holds: the last count in its index.
pub fn count_objects(repo: &Path, name: &str) -> io::Result<u64> {
    let mut count = [0; 4];
    let index = File::open(folder(repo).join(format!("{name}.idx")))?;
    index.read_exact_at(&mut count, COUNTS_END as u64 - 4)?;
    Ok(u32::from_be_bytes(count).into())
}

/// The objects of a pack by name, from its index, of which the sum is checked.
pub(super) fn read_index(repo: &Path, name: &str) -> io::Result<Vec<Object>> {
    let path = folder(repo).join(format!("{name}.idx"));
    let bytes = fs::read(&path)?;
    parse_index(&bytes).ok_or_else(|| {
        io::Error::new(ErrorKind::InvalidData, format!("{} is no whole index", path.display()))
    })
}

/// Whether an index names an object; reads little of it.
pub(super) fn is_in_index(index: &File, oid: Oid) -> io::Result<bool> {
    let count = |at: usize| -> io::Result<usize> {
        let mut four = [0; 4];
        index.read_exact_at(&mut four, at as u64)?;
        Ok(u32::from_be_bytes(four) as usize)
    };
    let first = usize::from(oid.0[0]);
    let mut from = if first == 0 { 0 } else { count(8 + (first - 1) * 4)? };
    let mut to = count(8 + first * 4)?;
    while from < to {
        let middle = from + (to - from) / 2;
        let mut found = Oid::ZERO;
        index.read_exact_at(&mut found.0, (COUNTS_END + middle * 20) as u64)?;
        match found.cmp(&oid) {
            Ordering::Equal => return Ok(true),
            Ordering::Less => from = middle + 1,
            Ordering::Greater => to = middle,
        }
    }
    Ok(false)
}

/// What stands in a pack's `.rev`: the places in the index, in the order of the pack, and sums.
pub(super) fn reversed_index(repo: &Path, name: &str) -> io::Result<Vec<u8>> {
    let path = folder(repo).join(format!("{name}.idx"));
    let bytes = fs::read(&path)?;
    let damaged = || io::Error::new(ErrorKind::InvalidData, format!("{} is no whole index", path.display()));
    let objects = parse_index(&bytes).ok_or_else(damaged)?;
    let mut places: Vec<(u64, u32)> =
        (0..).zip(&objects).map(|(place, object)| (object.offset, place)).collect();
    places.sort_unstable();
    let sum_of_pack = &bytes[bytes.len() - 2 * TRAILER_BYTES..bytes.len() - TRAILER_BYTES];
    let mut reversed = REVERSED_HEAD.to_vec();
    places.iter().for_each(|(_, place)| reversed.extend_from_slice(&place.to_be_bytes()));
    reversed.extend_from_slice(sum_of_pack);
    let sum = Sha1::digest(&reversed);
    reversed.extend_from_slice(&sum);
    Ok(reversed)
}

fn parse_index(bytes: &[u8]) -> Option<Vec<Object>> {
    let count = number(bytes, COUNTS_END - 4)? as usize;
    let (crcs, offsets) = (COUNTS_END + count * 20, COUNTS_END + count * 24);
    let tables_end = COUNTS_END + count * OBJECT_BYTES;
    let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(TRAILER_BYTES)?)?;
    let is_whole = bytes.starts_with(&INDEX_HEAD)
        && content.len() >= tables_end + TRAILER_BYTES
        && Sha1::digest(content).as_slice() == sum;
    if !is_whole {
        return None;
    }
    let object = |at: usize| {
        let mut oid = Oid::ZERO;
        oid.0.copy_from_slice(bytes.get(COUNTS_END + at * 20..)?.get(..20)?);
        let offset = number(bytes, offsets + at * 4)?;
        let offset = match offset & LONG_OFFSET {
            0 => u64::from(offset),
            _ => long_number(bytes, tables_end + (offset & !LONG_OFFSET) as usize * 8)?,
        };
        Some(Object { oid, crc: number(bytes, crcs + at * 4)?, offset })
    };
    (0..count).map(object).collect()
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

fn long_number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|eight| u64::from_be_bytes(*eight))
}

/// Removes a pack of which every object stands elsewhere. The index goes first, so that nobody sees an index without its pack.
pub(super) fn remove(disk: &dyn Disk, repo: &Path, name: &str) -> io::Result<()> {
    for ending in ["idx", "rev", "bitmap", "mtimes", "pack"] {
        match disk.remove(&folder(repo).join(format!("{name}.{ending}"))) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes the index over all packs that somebody may have made: it would name packs that go.
pub(super) fn remove_multi_index(disk: &dyn Disk, repo: &Path) -> io::Result<()> {
    match disk.remove(&folder(repo).join("multi-pack-index")) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
