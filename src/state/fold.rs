//! Folding: several small packs become one, by copying their entries as they are.
//!
//! Nothing is inflated, and every entry's CRC-32 is checked on the way, so damage is found and not spread.
//!
//! - Packs that have no object in common, which is nearly always, are copied whole, one behind the other: a delta's base is
//!   as far back as it was.
//! - Else they are copied entry by entry. An entry is its header, for a delta where its base is, and compressed bytes;
//!   copied elsewhere, only the distance of an `OBJ_OFS_DELTA` changes (gitformat-pack(5)). An object that stands in
//!   several packs is copied from the first; a delta on it follows it there. That cannot close a circle: an object's base
//!   is taken from the same pack as the object, or from an earlier one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};

use super::disk::{self, Disk, STEP_BYTES, Steps, TEMPORARY_PREFIX};
use super::oid::Oid;
use super::pack::{self, HEADER_BYTES, Object, OidMap, TRAILER_BYTES};
use super::packs::{self, PackFile};

/// A larger pack is never folded again: a repack takes it in. Each fold of it would cost seconds.
const PACK_BYTES_MAX: u64 = 512 << 20;
/// A fold makes no larger pack: the index has 31 bits for an offset.
pub(super) const FOLDED_BYTES_MAX: u64 = 1 << 30;
/// Nor a larger one than this while changes pour in: a fold must be done before there are too many packs.
pub(super) const FOLDED_BYTES_MAX_BUSY: u64 = 64 << 20;
/// A fold has at most this many objects, because their places are in memory: about 80 bytes each.
const FOLDED_OBJECTS_MAX: u64 = 3_000_000;
/// A fold should leave at most this many packs.
const LEFT_MAX: usize = 12;
/// What is read or written at once.
const CHUNK_BYTES: usize = 1 << 20;
/// A fold that has time rests after each step for as long as it took, so that the journal has the disk half of the time. A disk
/// that answers nobody for a while leaves no time to others, so the rest has a bound.
const REST_MAX: Duration = Duration::from_millis(2);
/// An entry's header and distance are shorter.
const HEAD_BYTES_MAX: usize = 32;
const OFS_DELTA: u8 = 6;

/// Why packs were not folded. They are as they were.
#[derive(Debug, thiserror::Error)]
pub(super) enum FoldError {
    /// A pack cannot be read, or the new one not be written.
    #[error("cannot {what} {}: {source}", path.display())]
    Disk { what: &'static str, path: PathBuf, source: io::Error },
    /// A pack is not what its index says.
    #[error("{} is damaged at byte {at}; run `git fsck` there", path.display())]
    Damaged { path: PathBuf, at: u64 },
    /// The names in the folder could not be made durable. What is on the disk is not known any more.
    #[error("cannot fsync {}: {source}", path.display())]
    Unsynced { path: PathBuf, source: io::Error },
}

/// Which packs to fold: so many of the smallest. Each fold makes a pack much larger than any that it takes, so a byte is
/// copied a few times in its life and not once for every fold.
pub(super) fn choose(packs: &[PackFile], bytes_max: u64) -> &[PackFile] {
    let small = &packs[..packs.iter().take_while(|pack| pack.bytes <= PACK_BYTES_MAX).count()];
    let fits = |count: &usize| small[..*count].iter().map(|pack| pack.bytes).sum::<u64>() <= bytes_max;
    let most = (0..=small.len()).rev().find(fits).unwrap_or(0);
    let grows = |count: &usize, by: u64| {
        let sum: u64 = small[..*count].iter().map(|pack| pack.bytes).sum();
        small[count - 1].bytes * by <= sum
    };
    let wanted =
        |by| (2..=most).rev().find(|count| grows(count, by)).filter(|count| packs.len() - count < LEFT_MAX);
    let count = [6, 3, 2, 1].into_iter().find_map(wanted).unwrap_or(most);
    if count < 2 { &[] } else { &small[..count] }
}

/// Writes one durable pack with every object of `sources`, at leisure while it has time; gives its name. Removing the sources is
/// the caller's.
pub(super) fn merge(
    disk: &dyn Disk,
    repo: &Path,
    sources: &[PackFile],
    has_time: &dyn Fn() -> bool,
) -> Result<String, FoldError> {
    let mut packs = sources.to_vec();
    packs.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
    let (sources, objects, are_apart) = together(repo, &packs)?;
    let mut folded = Folded::begin(disk, repo, objects, has_time)?;
    let copied = match are_apart {
        true => sources.iter().try_for_each(|source| folded.copy_whole(source)),
        false => Entries::of(&mut folded).copy(&sources),
    };
    // The places in the sources are as many again as those in the index, which is made now.
    drop(sources);
    let name = copied.and_then(|()| folded.finish());
    if name.is_err() {
        let _ = fs::remove_file(&folded.path);
    }
    name
}

/// The packs to copy from, every object once by name, and whether no two packs have one in common; then it is where copying
/// them whole puts it.
fn together(repo: &Path, packs: &[PackFile]) -> Result<(Vec<Source>, Vec<Object>, bool), FoldError> {
    let (mut sources, mut objects) = (Vec::with_capacity(packs.len()), Vec::new());
    let mut begin = HEADER_BYTES as u64;
    for pack in packs {
        let mut source = Source::open(repo, pack)?;
        let moved = |object: &Object| Object {
            offset: object.offset.saturating_sub(HEADER_BYTES as u64) + begin,
            ..*object
        };
        objects.extend(source.objects.iter().map(moved));
        begin += source.end.saturating_sub(HEADER_BYTES as u64);
        source.objects.sort_unstable_by_key(|object| object.offset);
        sources.push(source);
    }
    let count = objects.len();
    // Each pack's are in order already, which a stable sort makes use of.
    objects.sort_by_key(|object| object.oid);
    objects.dedup_by_key(|object| object.oid);
    let are_apart = objects.len() == count;
    Ok((sources, objects, are_apart))
}

/// How many of these packs have few enough objects together.
pub(super) fn within_objects<'a>(repo: &Path, chosen: &'a [PackFile]) -> io::Result<&'a [PackFile]> {
    let mut objects = 0;
    for (place, pack) in chosen.iter().enumerate() {
        objects += packs::count_objects(repo, &pack.name)?;
        if objects > FOLDED_OBJECTS_MAX {
            return Ok(if place < 2 { &[] } else { &chosen[..place] });
        }
    }
    Ok(chosen)
}

/// A pack that is copied from.
struct Source {
    path: PathBuf,
    file: File,
    /// By name as it is opened, by offset when it is copied.
    objects: Vec<Object>,
    /// Where the entries end and the trailer begins.
    end: u64,
}

impl Source {
    fn open(repo: &Path, pack: &PackFile) -> Result<Self, FoldError> {
        let path = packs::folder(repo).join(format!("{}.pack", pack.name));
        let failed = |source| FoldError::Disk { what: "read", path: path.clone(), source };
        let objects = packs::read_index(repo, &pack.name).map_err(failed)?;
        let file = File::open(&path).map_err(failed)?;
        let end = pack.bytes.saturating_sub(TRAILER_BYTES as u64);
        Ok(Self { path, file, objects, end })
    }

    /// Where the entry of the object at this place ends.
    fn end_of(&self, place: usize) -> u64 {
        self.objects.get(place + 1).map_or(self.end, |next| next.offset)
    }

    fn damaged(&self, at: u64) -> FoldError {
        FoldError::Damaged { path: self.path.clone(), at }
    }

    /// The object whose entry begins at this offset.
    fn at(&self, offset: u64) -> Option<Oid> {
        let place = self.objects.binary_search_by_key(&offset, |object| object.offset).ok()?;
        Some(self.objects[place].oid)
    }
}

/// Reads a pack from front to back with few calls.
struct Reader<'a> {
    source: &'a Source,
    start: u64,
    bytes: Vec<u8>,
}

impl Reader<'_> {
    /// `length` bytes at `offset`; at most a chunk.
    fn at(&mut self, offset: u64, length: usize) -> Result<&[u8], FoldError> {
        let held = self.start..self.start + self.bytes.len() as u64;
        if offset < held.start || offset + length as u64 > held.end {
            let read = (self.source.end.saturating_sub(offset) as usize).min(CHUNK_BYTES);
            if read < length {
                return Err(self.source.damaged(offset));
            }
            self.bytes.resize(read, 0);
            self.start = offset;
            FileExt::read_exact_at(&self.source.file, &mut self.bytes, offset)
                .map_err(|source| FoldError::Disk { what: "read", path: self.source.path.clone(), source })?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..from + length])
    }
}

/// The beginning of an entry.
struct Head {
    /// Bytes of kind and length.
    header: usize,
    /// For an `OBJ_OFS_DELTA`: how far back its base is, and in how many bytes that is written.
    base: Option<(u64, usize)>,
}

fn read_head(bytes: &[u8]) -> Option<Head> {
    let header = 1 + bytes.iter().position(|byte| byte & 0x80 == 0)?;
    if (bytes[0] >> 4) & 7 != OFS_DELTA {
        return Some(Head { header, base: None });
    }
    let (mut distance, mut length) = (0u64, 0);
    loop {
        let byte = *bytes.get(header + length)?;
        distance =
            if length == 0 { 0 } else { distance.checked_add(1)?.checked_mul(128)? } | u64::from(byte & 0x7f);
        length += 1;
        if byte & 0x80 == 0 {
            return Some(Head { header, base: Some((distance, length)) });
        }
    }
}

/// The pack in the making.
struct Folded<'a> {
    disk: &'a dyn Disk,
    repo: &'a Path,
    path: PathBuf,
    file: Steps,
    waiting: Vec<u8>,
    sum: Sha1,
    /// Every object that it will hold, by name.
    objects: Vec<Object>,
    has_time: &'a dyn Fn() -> bool,
}

impl<'a> Folded<'a> {
    fn begin(
        disk: &'a dyn Disk,
        repo: &'a Path,
        objects: Vec<Object>,
        has_time: &'a dyn Fn() -> bool,
    ) -> Result<Self, FoldError> {
        let path = packs::folder(repo).join(format!("{TEMPORARY_PREFIX}fold.pack"));
        // What a fold left that was cut off.
        let _ = fs::remove_file(&path);
        let file = disk.create_new(&path, 0o444).map_err(|source| FoldError::Disk {
            what: "write",
            path: path.clone(),
            source,
        })?;
        let mut waiting = Vec::with_capacity(CHUNK_BYTES * 2);
        waiting.extend_from_slice(b"PACK\0\0\0\x02");
        waiting.extend_from_slice(&(objects.len() as u32).to_be_bytes());
        debug_assert_eq!(waiting.len(), HEADER_BYTES);
        Ok(Self { disk, repo, path, file: Steps::of(file), waiting, sum: Sha1::new(), objects, has_time })
    }

    /// Copies every entry as it stands.
    fn copy_whole(&mut self, source: &Source) -> Result<(), FoldError> {
        self.flush()?;
        let mut reader = Reader { source, start: 0, bytes: Vec::new() };
        let (mut at, mut place, mut crc) = (HEADER_BYTES as u64, 0, crc32fast::Hasher::new());
        while at < source.end {
            let bytes = reader.at(at, ((source.end - at) as usize).min(CHUNK_BYTES))?;
            let mut rest = bytes;
            while !rest.is_empty() {
                let object = source.objects.get(place).ok_or_else(|| source.damaged(at))?;
                let end = source.end_of(place);
                let left = end.checked_sub(at).ok_or_else(|| source.damaged(at))?;
                let (own, next) = rest.split_at((left as usize).min(rest.len()));
                crc.update(own);
                at += own.len() as u64;
                rest = next;
                if at == end {
                    if crc.clone().finalize() != object.crc {
                        return Err(source.damaged(object.offset));
                    }
                    crc.reset();
                    place += 1;
                }
            }
            self.sum.update(bytes);
            self.write(bytes)?;
        }
        if place == source.objects.len() { Ok(()) } else { Err(source.damaged(source.end)) }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FoldError> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), FoldError> {
        self.sum.update(&self.waiting);
        self.write_waiting()
    }

    fn write_waiting(&mut self) -> Result<(), FoldError> {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.write(&waiting)?;
        waiting.clear();
        self.waiting = waiting;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FoldError> {
        let has_time = (self.has_time)();
        let step = if has_time { STEP_BYTES } else { CHUNK_BYTES };
        for part in bytes.chunks(step) {
            let begun = Instant::now();
            self.file.write(part, step).map_err(|source| self.failed(source))?;
            if has_time {
                thread::sleep(begun.elapsed().min(REST_MAX));
            }
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> FoldError {
        FoldError::Disk { what: "write", path: self.path.clone(), source }
    }

    /// Makes the pack durable, then its index, then their names.
    fn finish(&mut self) -> Result<String, FoldError> {
        self.flush()?;
        let sum = Oid(std::mem::take(&mut self.sum).finalize().into());
        self.waiting.extend_from_slice(&sum.0);
        self.write_waiting()?;
        self.file.sync().map_err(|source| self.failed(source))?;
        let (folder, name) = (packs::folder(self.repo), format!("pack-{sum}"));
        let index = pack::index_of(&mut self.objects, sum);
        self.disk
            .rename(&self.path, &folder.join(format!("{name}.pack")))
            .map_err(|source| self.failed(source))?;
        disk::write_beside(self.disk, &folder.join(format!("{name}.idx")), &index, 0o444)
            .map_err(|source| self.failed(source))?;
        self.disk.sync_folder(&folder).map_err(|source| FoldError::Unsynced { path: folder, source })?;
        Ok(name)
    }
}

/// The copying of packs that have objects in common: entry by entry, each object once.
struct Entries<'a, 'b> {
    folded: &'a mut Folded<'b>,
    crc: crc32fast::Hasher,
    /// Where each object is that was copied.
    places: OidMap<u64>,
    objects: Vec<Object>,
}

impl<'a, 'b> Entries<'a, 'b> {
    fn of(folded: &'a mut Folded<'b>) -> Self {
        let count = folded.objects.len();
        Self {
            folded,
            crc: crc32fast::Hasher::new(),
            places: OidMap::with_capacity_and_hasher(count, Default::default()),
            objects: Vec::with_capacity(count),
        }
    }

    fn copy(mut self, sources: &[Source]) -> Result<(), FoldError> {
        for source in sources {
            let mut reader = Reader { source, start: 0, bytes: Vec::new() };
            for (place, object) in source.objects.iter().enumerate() {
                if !self.places.contains_key(&object.oid) {
                    self.copy_entry(&mut reader, object, source.end_of(place))?;
                }
            }
        }
        self.folded.objects = self.objects;
        Ok(())
    }

    fn copy_entry(&mut self, reader: &mut Reader<'_>, object: &Object, end: u64) -> Result<(), FoldError> {
        let (source, begin) = (reader.source, object.offset);
        let length = end.checked_sub(begin).ok_or_else(|| source.damaged(begin))?;
        let head_bytes = reader.at(begin, (length as usize).min(HEAD_BYTES_MAX))?;
        let head = read_head(head_bytes).ok_or_else(|| source.damaged(begin))?;
        let mut crc = crc32fast::Hasher::new();
        let mut at = begin;
        let offset = self.folded.file.written() + self.folded.waiting.len() as u64;
        self.crc.reset();
        if let Some((distance, distance_bytes)) = head.base {
            let base = begin.checked_sub(distance).and_then(|base| source.at(base));
            let base = base.and_then(|oid| self.places.get(&oid).copied());
            let base = base.ok_or_else(|| source.damaged(begin))?;
            let mut bytes = head_bytes[..head.header].to_vec();
            pack::write_distance(&mut bytes, offset - base);
            crc.update(&head_bytes[..head.header + distance_bytes]);
            at += (head.header + distance_bytes) as u64;
            self.put(&bytes)?;
        }
        while at < end {
            let bytes = reader.at(at, ((end - at) as usize).min(CHUNK_BYTES / 2))?;
            crc.update(bytes);
            at += bytes.len() as u64;
            self.put(bytes)?;
        }
        if crc.finalize() != object.crc {
            return Err(source.damaged(begin));
        }
        self.places.insert(object.oid, offset);
        self.objects.push(Object { oid: object.oid, crc: self.crc.clone().finalize(), offset });
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FoldError> {
        self.crc.update(bytes);
        self.folded.put(bytes)
    }
}

#[cfg(test)]
mod tests;
