//! A pack in the making: objects encoded as git's pack entries, and the pack and index files they become.
//!
//! Entries hold *stored* deflate blocks: new tree ids are random bytes, so compressing them costs time and saves
//! nothing, and a repack compresses the rest later. A tree that changed since it was last put in the same pack becomes a
//! delta on that entry (`OBJ_OFS_DELTA`), about 50 bytes instead of kilobytes. The formats are git's gitformat-pack(5).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use sha1::{Digest, Sha1};

use super::oid::{Kind, Oid};

/// A pack begins with `PACK`, the version and the number of objects.
pub const HEADER_BYTES: usize = 12;
/// A pack ends with the SHA-1 of all before it.
pub const TRAILER_BYTES: usize = 20;
/// A stored deflate block holds at most this much.
const STORED_BLOCK_MAX: usize = 65_535;
/// The largest literal of one insert instruction of a delta.
const INSERT_MAX: usize = 127;
/// The largest copy of one copy instruction of a delta.
const COPY_MAX: usize = 0xff_ffff;

/// Where an object stands in the pack in the making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the beginning of the pack.
    pub offset: u64,
    /// How many deltas must be applied to read it.
    pub depth: u8,
}

/// How a new version of an object differs from the version at `base`: one run of bytes is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The version that stands in this pack.
    pub base: Place,
    /// Its length.
    pub base_bytes: usize,
    /// How many bytes are the same at the beginning.
    pub prefix: usize,
    /// How many bytes are the same at the end.
    pub suffix: usize,
}

/// Ids are uniform already, so their first bytes serve as the hash.
#[derive(Default)]
pub struct OidHasher(u64);

impl Hasher for OidHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }
}

/// A map from object ids.
pub type OidMap<V> = HashMap<Oid, V, BuildHasherDefault<OidHasher>>;

/// Objects on their way into one pack.
pub struct Draft {
    bytes: Vec<u8>,
    objects: Vec<Object>,
    places: OidMap<Place>,
}

/// An object in a pack, as the index has it: its entry's CRC-32 and where the entry begins.
#[derive(Clone, Copy)]
pub(super) struct Object {
    pub(super) oid: Oid,
    pub(super) crc: u32,
    pub(super) offset: u64,
}

/// The files of a finished pack, and the name they share.
pub struct Pack {
    /// `pack-<name>.pack`.
    pub name: Oid,
    /// The pack's bytes.
    pub pack: Vec<u8>,
    /// Its index, version 2.
    pub index: Vec<u8>,
}

impl Default for Draft {
    fn default() -> Self {
        let mut bytes = Vec::with_capacity(4096);
        bytes.extend_from_slice(b"PACK\0\0\0\x02\0\0\0\0");
        Self { bytes, objects: Vec::new(), places: OidMap::default() }
    }
}

impl Draft {
    /// How many objects are in it.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// The length of the pack so far, without its trailer.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds no object yet.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The entries from `start` (a former [`Draft::len`]) on.
    pub fn entries_from(&self, start: usize) -> &[u8] {
        &self.bytes[start..]
    }

    /// Where this object stands, if it is in this pack.
    pub fn find(&self, oid: &Oid) -> Option<Place> {
        self.places.get(oid).copied()
    }

    /// Takes back everything put since the draft had this length and this many objects.
    pub fn truncate(&mut self, len: usize, objects: usize) {
        for object in self.objects.drain(objects..) {
            self.places.remove(&object.oid);
        }
        self.bytes.truncate(len);
    }

    /// Puts a whole object, unless it is there.
    pub fn put(&mut self, kind: Kind, oid: Oid, content: &[u8]) -> Place {
        if let Some(place) = self.find(&oid) {
            return place;
        }
        let offset = self.bytes.len();
        self.write_entry_header(kind as u8, content.len());
        self.write_stored(content);
        self.finish_entry(oid, offset, 0)
    }

    /// Puts an object as the difference from a version in this pack, unless it is there.
    pub fn put_spliced(&mut self, oid: Oid, content: &[u8], splice: Splice) -> Place {
        if let Some(place) = self.find(&oid) {
            return place;
        }
        let offset = self.bytes.len();
        let delta = delta_of(content, splice);
        const OFS_DELTA: u8 = 6;
        self.write_entry_header(OFS_DELTA, delta.len());
        write_distance(&mut self.bytes, offset as u64 - splice.base.offset);
        self.write_stored(&delta);
        self.finish_entry(oid, offset, splice.base.depth + 1)
    }

    fn finish_entry(&mut self, oid: Oid, offset: usize, depth: u8) -> Place {
        let crc = crc32fast::hash(&self.bytes[offset..]);
        let place = Place { offset: offset as u64, depth };
        self.objects.push(Object { oid, crc, offset: place.offset });
        self.places.insert(oid, place);
        place
    }

    /// Kind and length: 3 and 4 bits in the first byte, then 7 bits a byte.
    fn write_entry_header(&mut self, kind: u8, length: usize) {
        let mut rest = length >> 4;
        let mut byte = (kind << 4) | (length & 15) as u8;
        while rest > 0 {
            self.bytes.push(byte | 0x80);
            byte = (rest & 0x7f) as u8;
            rest >>= 7;
        }
        self.bytes.push(byte);
    }

    /// A zlib stream (RFC 1950) of stored blocks (RFC 1951 §3.2.4).
    fn write_stored(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(&[0x78, 0x01]);
        let blocks = content.len().div_ceil(STORED_BLOCK_MAX).max(1);
        for number in 0..blocks {
            let start = number * STORED_BLOCK_MAX;
            let block = &content[start..content.len().min(start + STORED_BLOCK_MAX)];
            let length = block.len() as u16;
            self.bytes.push(u8::from(number + 1 == blocks));
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(&(!length).to_le_bytes());
            self.bytes.extend_from_slice(block);
        }
        self.bytes.extend_from_slice(&simd_adler32::adler32(&content).to_be_bytes());
    }

    /// The pack and its index, ready to be written.
    pub fn finish(mut self) -> Pack {
        let count = self.objects.len() as u32;
        self.bytes[8..HEADER_BYTES].copy_from_slice(&count.to_be_bytes());
        let sum = Oid(Sha1::digest(&self.bytes).into());
        self.bytes.extend_from_slice(&sum.0);
        let index = index_of(&mut self.objects, sum);
        Pack { name: sum, pack: self.bytes, index }
    }
}

/// A pack index, version 2: fan-out, ids, CRC-32 of each entry, offsets, and the sums of the pack and of itself.
/// Drafts and folded packs stay below 2 GiB, so the table of long offsets is never needed.
pub(super) fn index_of(objects: &mut [Object], pack_sum: Oid) -> Vec<u8> {
    objects.sort_unstable_by_key(|object| object.oid);
    let mut index = Vec::with_capacity(8 + 1024 + objects.len() * 28 + 40);
    index.extend_from_slice(b"\xfftOc\0\0\0\x02");
    let mut below = 0;
    for first in 0..=255u8 {
        below += objects[below..].iter().take_while(|object| object.oid.0[0] == first).count();
        index.extend_from_slice(&(below as u32).to_be_bytes());
    }
    objects.iter().for_each(|object| index.extend_from_slice(&object.oid.0));
    objects.iter().for_each(|object| index.extend_from_slice(&object.crc.to_be_bytes()));
    objects.iter().for_each(|object| index.extend_from_slice(&(object.offset as u32).to_be_bytes()));
    index.extend_from_slice(&pack_sum.0);
    let sum = Sha1::digest(&index);
    index.extend_from_slice(&sum);
    index
}

/// The distance back to a delta's base: 7 bits a byte, most significant first, each further byte worth one more.
pub(super) fn write_distance(out: &mut Vec<u8>, mut distance: u64) {
    let mut digits = [0u8; 10];
    let mut at = digits.len() - 1;
    digits[at] = (distance & 0x7f) as u8;
    distance >>= 7;
    while distance > 0 {
        distance -= 1;
        at -= 1;
        digits[at] = 0x80 | (distance & 0x7f) as u8;
        distance >>= 7;
    }
    out.extend_from_slice(&digits[at..]);
}

/// A delta that copies what is the same and inserts what is new (gitformat-pack(5), "Deltified representation").
fn delta_of(content: &[u8], splice: Splice) -> Vec<u8> {
    let new = &content[splice.prefix..content.len() - splice.suffix];
    let mut delta = Vec::with_capacity(24 + new.len() + new.len() / INSERT_MAX);
    write_size(&mut delta, splice.base_bytes);
    write_size(&mut delta, content.len());
    write_copy(&mut delta, 0, splice.prefix);
    for chunk in new.chunks(INSERT_MAX) {
        delta.push(chunk.len() as u8);
        delta.extend_from_slice(chunk);
    }
    write_copy(&mut delta, splice.base_bytes - splice.suffix, splice.suffix);
    delta
}

fn write_size(delta: &mut Vec<u8>, mut size: usize) {
    while size > 0x7f {
        delta.push(0x80 | (size & 0x7f) as u8);
        size >>= 7;
    }
    delta.push(size as u8);
}

/// Copy instructions: only the bytes of offset and length that are not zero are written, and a bit for each.
fn write_copy(delta: &mut Vec<u8>, mut offset: usize, mut length: usize) {
    while length > 0 {
        let part = length.min(COPY_MAX);
        let at = delta.len();
        delta.push(0x80);
        for (bit, byte) in (offset as u32).to_le_bytes().into_iter().enumerate() {
            if byte != 0 {
                delta[at] |= 1 << bit;
                delta.push(byte);
            }
        }
        for (bit, byte) in (part as u32).to_le_bytes()[..3].iter().enumerate() {
            if *byte != 0 {
                delta[at] |= 0x10 << bit;
                delta.push(*byte);
            }
        }
        offset += part;
        length -= part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the pack where git2 finds it, and reads every object back.
    fn reads_back(draft: Draft, expected: &[(Oid, Vec<u8>)]) {
        let folder = tempfile::tempdir().unwrap();
        let repo = git2::Repository::init_bare(folder.path()).unwrap();
        let pack = draft.finish();
        let base = folder.path().join(format!("objects/pack/pack-{}", pack.name));
        std::fs::write(base.with_extension("pack"), &pack.pack).unwrap();
        std::fs::write(base.with_extension("idx"), &pack.index).unwrap();
        for (oid, content) in expected {
            let odb = repo.odb().unwrap();
            assert_eq!(odb.read(oid.to_git()).unwrap().data(), content, "{oid}");
        }
    }

    #[test]
    fn objects_of_any_length_read_back_from_the_pack() {
        let mut draft = Draft::default();
        let mut expected = Vec::new();
        for length in [0, 1, 15, 16, 2047, 2048, 65_535, 65_536, 200_000] {
            let content: Vec<u8> = (0..length).map(|n: u32| (n * 7 % 251) as u8).collect();
            let oid = Oid::of(Kind::Blob, &content);
            draft.put(Kind::Blob, oid, &content);
            expected.push((oid, content));
        }
        reads_back(draft, &expected);
    }

    #[test]
    fn a_chain_of_spliced_versions_reads_back() {
        let mut draft = Draft::default();
        let mut content: Vec<u8> = (0..70_000u32).map(|n| (n % 253) as u8).collect();
        let mut oid = Oid::of(Kind::Blob, &content);
        let mut base = draft.put(Kind::Blob, oid, &content);
        let mut expected = vec![(oid, content.clone())];
        for step in 0..30usize {
            let (at, base_bytes) = (step * 2000, content.len());
            content.splice(at..at + step, vec![0xEE; step * 10]);
            oid = Oid::of(Kind::Blob, &content);
            let splice = Splice { base, base_bytes, prefix: at, suffix: base_bytes - at - step };
            base = draft.put_spliced(oid, &content, splice);
            expected.push((oid, content.clone()));
        }
        assert_eq!(base.depth, 29, "the first splice changes nothing and is found, not written");
        reads_back(draft, &expected);
    }

    #[test]
    fn an_object_put_twice_stands_once() {
        let mut draft = Draft::default();
        let oid = Oid::of(Kind::Blob, b"same");
        let first = draft.put(Kind::Blob, oid, b"same");
        assert_eq!(draft.put(Kind::Blob, oid, b"same"), first);
        assert_eq!(draft.objects(), 1);
    }
}
