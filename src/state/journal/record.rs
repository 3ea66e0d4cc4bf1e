//! A record as bytes: how it is written and how it is read. Knows nothing about files.
//!
//! All numbers are little-endian. A record begins at a multiple of 8 bytes, zeros fill it up to the next.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | length of the record, this head included and the filling zeros not |
//! | 4 | 4 | CRC-32C of everything behind it |
//! | 8 | 8 | generation of the segment it was written for |
//! | 16 | 8 | its lsn |
//! | 24 | 8 | the lsn that begins its batch |
//! | 32 | 8 | released: every record below this lsn stands in its repository |
//! | 40 | 4 | flags: 1 begins a pack, 2 is the mark of a clean stop |
//! | 44 | 4 | number of objects |
//! | 48 | 20 | what the ref held before |
//! | 68 | 20 | what it holds after |
//! | 88 | 2 | bytes of the repository's name |
//! | 90 | 2 | bytes of the ref's name |
//! | 92 | 4 | bytes of the entries |
//! | 96 | 8 | the journal's number: random, the same in all records of a journal and in no other |
//! | 104 | | repository, ref, entries |
//!
//! Entries hold what clients sent, and clients do not know the journal's number: so nothing that they send can be
//! taken for a record, wherever a scan happens on it.
//!
//! The mark of a clean stop has the lsn that the next record will have, no names and no entries.

use super::{Lsn, Record};
use crate::state::oid::Oid;

/// Bytes before the names.
pub const HEAD_BYTES: usize = 104;

/// Records begin at multiples of this, so that a length field never lies across two blocks.
const ALIGNMENT: usize = 8;

const BEGINS_PACK: u32 = 1;
const CLEAN_STOP: u32 = 2;

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The number of its journal.
    pub journal: u64,
    /// The generation of its segment.
    pub generation: u64,
    /// Its number.
    pub lsn: u64,
    /// The number that begins its batch.
    pub batch: u64,
    /// Every record below this stands in its repository.
    pub released: u64,
}

/// The fixed part of a record, of which the length fits its parts. Its checksum may still be wrong.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Where it stands.
    pub place: Place,
    /// Bytes of the whole record.
    pub length: usize,
    crc: u32,
    flags: u32,
}

/// A record as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Its number.
    pub lsn: Lsn,
    /// Which repository.
    pub repo: String,
    /// The full name of the ref.
    pub ref_name: String,
    /// What the ref held before.
    pub old: Oid,
    /// What the ref holds after it.
    pub new: Oid,
    /// Whether deltas reach back no further than this record.
    pub begins_pack: bool,
    /// How many objects `entries` holds.
    pub objects: u32,
    /// The new objects as entries of a pack.
    pub entries: Vec<u8>,
}

/// How many bytes `record` takes in a batch; `None` if a part is longer than its length field can say.
pub fn room(record: &Record<'_>) -> Option<usize> {
    u16::try_from(record.repo.len()).ok()?;
    u16::try_from(record.ref_name.len()).ok()?;
    let length = HEAD_BYTES + record.repo.len() + record.ref_name.len() + record.entries.len();
    u32::try_from(length).ok()?;
    Some(length.next_multiple_of(ALIGNMENT))
}

/// Appends `record`, for which [`room`] gave a size.
pub fn encode(place: Place, record: &Record<'_>, out: &mut Vec<u8>) {
    let flags = if record.begins_pack { BEGINS_PACK } else { 0 };
    encode_with(place, flags, record, out);
}

/// Appends the mark of a clean stop.
pub fn encode_clean_stop(place: Place, out: &mut Vec<u8>) {
    let nothing = Record {
        repo: "",
        ref_name: "",
        old: Oid::ZERO,
        new: Oid::ZERO,
        begins_pack: false,
        objects: 0,
        entries: &[],
    };
    encode_with(place, CLEAN_STOP, &nothing, out);
}

fn encode_with(place: Place, flags: u32, record: &Record<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([0; 8]);
    for number in [place.generation, place.lsn, place.batch, place.released] {
        out.extend(number.to_le_bytes());
    }
    out.extend(flags.to_le_bytes());
    out.extend(record.objects.to_le_bytes());
    out.extend(record.old.0);
    out.extend(record.new.0);
    out.extend((record.repo.len() as u16).to_le_bytes());
    out.extend((record.ref_name.len() as u16).to_le_bytes());
    out.extend((record.entries.len() as u32).to_le_bytes());
    out.extend(place.journal.to_le_bytes());
    out.extend_from_slice(record.repo.as_bytes());
    out.extend_from_slice(record.ref_name.as_bytes());
    out.extend_from_slice(record.entries);
    let crc = crc32c::crc32c(&out[start + 8..]);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + (length as usize).next_multiple_of(ALIGNMENT), 0);
}

impl Head {
    /// Reads the head that `bytes` begins with, if it can be one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD_BYTES>()?;
        let (u32_at, u64_at) = (|at| number32(bytes, at), |at| number64(bytes, at));
        let names = usize::from(number16(bytes, 88)) + usize::from(number16(bytes, 90));
        let head = Self {
            place: Place {
                journal: u64_at(96),
                generation: u64_at(8),
                lsn: u64_at(16),
                batch: u64_at(24),
                released: u64_at(32),
            },
            length: u32_at(0) as usize,
            crc: u32_at(4),
            flags: u32_at(40),
        };
        let adds_up = head.length == HEAD_BYTES + names + u32_at(92) as usize;
        (adds_up && head.flags <= CLEAN_STOP).then_some(head)
    }

    /// Whether `record`, of this head's length, is what was written.
    pub fn holds(&self, record: &[u8]) -> bool {
        crc32c::crc32c(&record[8..]) == self.crc
    }

    /// Whether this is the mark of a clean stop.
    pub fn is_clean_stop(&self) -> bool {
        self.flags == CLEAN_STOP
    }

    /// How many bytes it takes in its batch.
    pub fn room(&self) -> u64 {
        self.length.next_multiple_of(ALIGNMENT) as u64
    }

    /// The record behind this head, of which the checksum holds. `None` if a name is no text.
    pub fn decode(&self, record: &[u8]) -> Option<OwnedRecord> {
        let (fixed, rest) = record.split_first_chunk::<HEAD_BYTES>()?;
        let (repo, rest) = rest.split_at_checked(usize::from(number16(fixed, 88)))?;
        let (ref_name, entries) = rest.split_at_checked(usize::from(number16(fixed, 90)))?;
        Some(OwnedRecord {
            lsn: Lsn(self.place.lsn),
            repo: String::from_utf8(repo.to_vec()).ok()?,
            ref_name: String::from_utf8(ref_name.to_vec()).ok()?,
            old: oid(fixed, 48),
            new: oid(fixed, 68),
            begins_pack: self.flags == BEGINS_PACK,
            objects: number32(fixed, 44),
            entries: entries.to_vec(),
        })
    }
}

impl OwnedRecord {
    /// The same record as it is appended.
    pub fn borrow(&self) -> Record<'_> {
        Record {
            repo: &self.repo,
            ref_name: &self.ref_name,
            old: self.old,
            new: self.new,
            begins_pack: self.begins_pack,
            objects: self.objects,
            entries: &self.entries,
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn number16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

/// The four bytes at `at` as a number.
pub fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

/// The eight bytes at `at` as a number.
pub fn number64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

fn oid(bytes: &[u8], at: usize) -> Oid {
    Oid(array(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> OwnedRecord {
        OwnedRecord {
            lsn: Lsn(7),
            repo: "projects/mrx-weather".into(),
            ref_name: "refs/heads/state".into(),
            old: Oid([1; 20]),
            new: Oid([2; 20]),
            begins_pack: true,
            objects: 3,
            entries: b"entries".to_vec(),
        }
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(
            Place { journal: 9, generation: 1, lsn: 7, batch: 6, released: 2 },
            &example().borrow(),
            &mut bytes,
        );
        bytes
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let bytes = written();
        let head = Head::read(&bytes).unwrap();
        let record = &bytes[..head.length];

        assert!(head.holds(record));
        assert_eq!(head.decode(record), Some(example()));
        assert_eq!((head.place.generation, head.place.batch, head.place.released), (1, 6, 2));
        assert_eq!(Some(bytes.len()), room(&example().borrow()));
    }

    #[test]
    fn a_record_with_any_bit_flipped_is_not_taken_for_one() {
        let bytes = written();
        let length = Head::read(&bytes).unwrap().length;
        for bit in 0..length * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let holds = Head::read(&bytes).is_some_and(|head| head.holds(&bytes[..head.length]));
            assert!(!holds, "bit {bit}");
        }
    }

    #[test]
    fn a_name_too_long_for_its_length_field_has_no_size() {
        let long = "x".repeat(70_000);
        let record = example();
        assert_eq!(room(&Record { repo: &long, ..record.borrow() }), None);
    }
}
