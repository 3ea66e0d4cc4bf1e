//! One segment: a file of a fixed size that batches are written into, and the header that says for which generation.
//!
//! A new segment is filled with zeros and synced before its header is written, so that its extents are settled and
//! a header proves the full length. A used one gets a new header and is synced before anything else in it changes.
//! So a segment's header is always at least as new as its records, and it carries how far records were released
//! when it was written: whatever is overwritten or removed later was known, durably, to be no longer needed.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `MRXJRNL` and a zero |
//! | 8 | 4 | version of the format |
//! | 12 | 4 | CRC-32C of the 40 bytes behind it |
//! | 16 | 8 | bytes of the segment |
//! | 24 | 8 | generation: unique, ascending with the order of use |
//! | 32 | 8 | no record here has a lower lsn |
//! | 40 | 8 | released: every record below this lsn stands in its repository |
//! | 48 | 8 | the journal's number |
//!
//! The header has the first block for itself and lies within one sector of it; batches begin at blocks.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::{number32, number64};
use crate::state::disk::{Disk, DiskFile};

/// Batches begin at multiples of this, so a durable block is never written again.
pub const BLOCK_BYTES: u64 = 4096;

/// Where the first batch begins: behind the header's block.
pub const DATA_START: u64 = BLOCK_BYTES;

const MAGIC: &[u8; 8] = b"MRXJRNL\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 56;

/// Zeros written at once while a segment is made. After each such piece there is a sync: so the records that are
/// synced meanwhile never wait behind a whole segment.
const PIECE_BYTES: u64 = 1 << 20;

/// What the header of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the segment.
    pub bytes: u64,
    /// Which use of a segment this is; no two have the same.
    pub generation: u64,
    /// No record in the segment has a lower lsn.
    pub first: u64,
    /// Every record below this stood in its repository when the header was written.
    pub released: u64,
    /// The number of the journal.
    pub journal: u64,
}

/// A segment of the journal.
#[derive(Clone)]
pub struct Segment {
    /// Its file's path.
    pub path: Arc<Path>,
    /// Its file.
    pub file: Arc<dyn DiskFile>,
    /// How long the file is.
    pub bytes: u64,
    /// Which use of it this is.
    pub generation: u64,
    /// The highest lsn that it may hold; 0 if it holds none.
    pub last: u64,
    /// Whether it may be used again: it is as long as segments are now, and no write to it ever failed.
    pub fits: bool,
}

impl Header {
    /// The header's block.
    fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
        for number in [self.bytes, self.generation, self.first, self.released, self.journal] {
            block.extend(number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&block);
        let mut start = MAGIC.to_vec();
        start.extend(VERSION.to_le_bytes());
        start.extend(crc.to_le_bytes());
        block.splice(0..0, start);
        block.resize(BLOCK_BYTES as usize, 0);
        block
    }

    /// Reads the header that `block` begins with, if it is whole and of this version.
    pub fn decode(block: &[u8]) -> Option<Self> {
        let bytes = block.first_chunk::<HEADER_BYTES>()?;
        let known = bytes.starts_with(MAGIC) && number32(bytes, 8) == VERSION;
        let whole = number32(bytes, 12) == crc32c::crc32c(&bytes[16..]);
        (known && whole).then(|| Self {
            bytes: number64(bytes, 16),
            generation: number64(bytes, 24),
            first: number64(bytes, 32),
            released: number64(bytes, 40),
            journal: number64(bytes, 48),
        })
    }

    /// The version of the format that `block` says it has, if it is not this program's.
    pub fn other_version(block: &[u8]) -> Option<u32> {
        let version = number32(block.first_chunk::<HEADER_BYTES>()?, 8);
        (block.starts_with(MAGIC) && version != VERSION).then_some(version)
    }
}

impl Segment {
    /// Makes the segment file `path`, ready for use. If that fails, no file is left behind.
    pub fn create(disk: &dyn Disk, path: PathBuf, header: Header) -> io::Result<Self> {
        let file = disk.create_new(&path, 0o600)?;
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let made = fill_with_zeros(&*file, header.bytes)
            .and_then(|()| write_header(&*file, header))
            .and_then(|()| disk.sync_folder(folder));
        if let Err(error) = made {
            // If it cannot be removed either, the next start finds it without records and removes it.
            let _ = disk.remove(&path);
            return Err(error);
        }
        let generation = header.generation;
        Ok(Self { path: path.into(), file, bytes: header.bytes, generation, last: 0, fits: true })
    }

    /// Makes a segment of which every record is released ready for use again. If that fails it does not fit any more.
    pub fn reset(mut self, header: Header) -> Result<Self, (Self, io::Error)> {
        if let Err(error) = write_header(&*self.file, header) {
            self.fits = false;
            return Err((self, error));
        }
        self.generation = header.generation;
        self.last = 0;
        Ok(self)
    }
}

fn fill_with_zeros(file: &dyn DiskFile, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; PIECE_BYTES as usize];
    let mut at = 0;
    while at < bytes {
        let piece = PIECE_BYTES.min(bytes - at);
        file.write_all_at(&zeros[..piece as usize], at)?;
        file.sync_data()?;
        at += piece;
    }
    Ok(())
}

fn write_header(file: &dyn DiskFile, header: Header) -> io::Result<()> {
    file.write_all_at(&header.encode(), 0)?;
    file.sync_data()
}

/// The name of the segment file with this number.
pub fn file_name(number: u64) -> String {
    format!("segment-{number:04}.journal")
}

/// The number of a segment file's name; `None` for a file that is no segment.
pub fn file_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("segment-")?.strip_suffix(".journal")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { bytes: 1 << 20, generation: 3, first: 9, released: 5, journal: 8 };

    #[test]
    fn a_header_reads_back_as_it_was_written_and_nothing_else_does() {
        assert_eq!(Header::decode(&HEADER.encode()), Some(HEADER));
        for byte in 0..HEADER_BYTES {
            let mut block = HEADER.encode();
            block[byte] ^= 4;
            assert_eq!(Header::decode(&block), None, "byte {byte}");
        }
    }

    #[test]
    fn a_segment_file_has_a_number_and_other_files_have_none() {
        assert_eq!(file_number(&file_name(1)), Some(1));
        assert_eq!(file_number(&file_name(123_456)), Some(123_456));
        for other in ["segment-1.journal", "segment-0001.journal~", "segment-+001.journal", "lost+found"] {
            assert_eq!(file_number(other), None, "{other}");
        }
    }
}
