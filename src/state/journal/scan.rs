//! Reads one segment back after a crash: which records stand in it, how it ends, and whether a crash can have left
//! it so. Knows nothing about other segments.
//!
//! Batches are written one at a time, so a crash harms only the last: what follows the last whole record may be
//! anything that was there before or was being written. A record of a later batch behind it is no crash's work.

use std::io;

use super::record::{HEAD_BYTES, Head};
use super::segment::{BLOCK_BYTES, DATA_START, Header};
use crate::state::disk::DiskFile;

/// How a journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// With the mark of a clean stop.
    Clean,
    /// With zeros, or nothing: it was stopped between two batches.
    End,
    /// With an incomplete batch, which was never acknowledged. Its records before the break are whole and are kept.
    Torn,
    /// With records of an earlier use of the segment: it was stopped between two batches.
    Stale,
    /// Before the length that its header says: something cut the file. What was cut off is not known.
    Truncated,
}

/// What a segment holds.
#[derive(Clone, Copy, Debug)]
pub struct Scanned {
    /// The first record's lsn; the same as `next` if there is none.
    pub first: u64,
    /// The lsn behind the last record; 0 if there is none.
    pub next: u64,
    /// Where the last batch begins.
    pub last_batch_at: u64,
    /// Where the blocks of the last whole record or mark end, or the file before that.
    pub end: u64,
    /// The highest released watermark.
    pub released: u64,
    /// The highest generation seen, that of the segment or of anything in it.
    pub generation: u64,
    /// The number of the journal.
    pub journal: u64,
    /// How it ends.
    pub tail: Tail,
}

/// Why a segment was not read.
#[derive(Debug)]
pub enum ScanError {
    /// Reading failed.
    Read(io::Error),
    /// No crash leaves a segment so.
    Damaged {
        /// Where a record is broken or missing.
        at: u64,
        /// Where a whole one stands that was written after the broken one was durable.
        later: u64,
    },
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl Scanned {
    /// Whether there is no record and no sign that one was being written.
    pub fn is_untouched(&self) -> bool {
        self.next == 0 && matches!(self.tail, Tail::End | Tail::Stale)
    }
}

/// Reads the segment of which `header` was read.
pub fn scan(file: &dyn DiskFile, header: &Header) -> Result<Scanned, ScanError> {
    let length = file.len()?;
    let mut walk = Walk::new(Window::new(file, length.min(header.bytes), Some(header.journal)), header);
    while walk.step()? {}
    if walk.found.tail != Tail::Clean {
        walk.found.tail = walk.ending()?;
        if length < header.bytes {
            walk.found.tail = Tail::Truncated;
        }
    }
    Ok(walk.found)
}

/// The highest lsn of any record of the journal (of any at all if its number is not known) at a block's beginning,
/// for a file of which the header is not readable.
pub fn highest_lsn(file: &dyn DiskFile, journal: Option<u64>) -> io::Result<u64> {
    let mut window = Window::new(file, file.len()?, journal);
    let (mut highest, mut at) = (0, 0);
    while at < window.end {
        highest = highest.max(window.valid(at)?.map_or(0, |head| head.place.lsn));
        at += BLOCK_BYTES;
    }
    Ok(highest)
}

struct Walk<'a> {
    window: Window<'a>,
    header: &'a Header,
    found: Scanned,
    /// Where the next record is expected.
    at: u64,
    /// The batch of the last record.
    batch: u64,
}

impl<'a> Walk<'a> {
    fn new(window: Window<'a>, header: &'a Header) -> Self {
        let found = Scanned {
            first: 0,
            next: 0,
            last_batch_at: DATA_START,
            end: DATA_START,
            released: header.released,
            generation: header.generation,
            journal: header.journal,
            tail: Tail::End,
        };
        Self { window, header, found, at: DATA_START, batch: 0 }
    }

    /// Takes the next record, or the way to the next block; false at the end of what can be taken.
    fn step(&mut self) -> Result<bool, ScanError> {
        match self.window.valid(self.at)? {
            Some(head) if self.follows(&head) => Ok(self.take(&head)),
            _ if !is_block(self.at) && self.window.is_zero(self.at)? => {
                self.at = self.at.next_multiple_of(BLOCK_BYTES);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether `head`, found at `self.at`, is the record that was written behind the last one.
    fn follows(&self, head: &Head) -> bool {
        let place = head.place;
        let next =
            if self.found.next == 0 { place.lsn >= self.header.first } else { place.lsn == self.found.next };
        let begins_batch = is_block(self.at) && place.batch == place.lsn;
        let continues_batch = self.found.next != 0 && place.batch == self.batch;
        place.generation == self.header.generation && next && (begins_batch || continues_batch)
    }

    fn take(&mut self, head: &Head) -> bool {
        let place = head.place;
        if place.batch == place.lsn {
            self.batch = place.batch;
            self.found.last_batch_at = self.at;
        }
        self.at += head.room();
        self.found.end = self.at.next_multiple_of(BLOCK_BYTES).min(self.window.end);
        self.found.released = self.found.released.max(place.released);
        if head.is_clean_stop() {
            self.found.tail = Tail::Clean;
            return false;
        }
        if self.found.next == 0 {
            self.found.first = place.lsn;
        }
        self.found.next = place.lsn + 1;
        true
    }

    /// Says what stands behind the last record, and refuses what no crash leaves.
    fn ending(&mut self) -> Result<Tail, ScanError> {
        let nothing_written = is_block(self.at) && !self.looks_begun()?;
        let zero = self.window.is_zero(self.at)?;
        let (mut pieces, mut stale) = (false, false);
        let mut at = self.at.next_multiple_of(BLOCK_BYTES);
        while at < self.window.end {
            if let Some(head) = self.window.valid(at)? {
                if self.is_later(&head) {
                    return Err(ScanError::Damaged { at: self.at, later: at });
                }
                pieces |= head.place.generation == self.header.generation;
                stale |= head.place.generation < self.header.generation;
            }
            at += BLOCK_BYTES;
        }
        Ok(match (nothing_written && !pieces, zero, stale) {
            (true, true, _) => Tail::End,
            (true, false, true) => Tail::Stale,
            _ => Tail::Torn,
        })
    }

    /// Whether the block at `self.at` bears this generation, so that a batch was being written there.
    fn looks_begun(&mut self) -> io::Result<bool> {
        let head = self.window.at(self.at, HEAD_BYTES)?.and_then(Head::read);
        Ok(head.is_some_and(|head| head.place.generation == self.header.generation))
    }

    /// Whether a whole record behind the break was written after what should stand at the break was durable.
    fn is_later(&self, head: &Head) -> bool {
        let place = head.place;
        let begins_batch = place.batch == place.lsn;
        let beyond = self.found.next != 0 && place.batch > self.found.next;
        match place.generation.cmp(&self.header.generation) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => begins_batch || beyond,
            std::cmp::Ordering::Greater => true,
        }
    }
}

fn is_block(at: u64) -> bool {
    at.is_multiple_of(BLOCK_BYTES)
}

/// Reads a file from front to back with few calls.
pub struct Window<'a> {
    file: &'a dyn DiskFile,
    /// Where reading ends.
    pub end: u64,
    journal: Option<u64>,
    start: u64,
    bytes: Vec<u8>,
}

/// Bytes read at once.
const READ_BYTES: u64 = 1 << 20;

impl<'a> Window<'a> {
    /// A view of the file up to `end` that sees only records of the journal with this number.
    pub fn new(file: &'a dyn DiskFile, end: u64, journal: Option<u64>) -> Self {
        Self { file, end, journal, start: 0, bytes: Vec::new() }
    }

    /// The `length` bytes at `offset`; `None` if they do not all lie before the end.
    pub fn at(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        if offset + length as u64 > self.end {
            return Ok(None);
        }
        let held = self.start..self.start + self.bytes.len() as u64;
        if offset < held.start || offset + length as u64 > held.end {
            let read = READ_BYTES.min(self.end - offset).max(length as u64);
            // Cleared first, so that a failed read leaves nothing that could be taken for the file's bytes.
            self.bytes.clear();
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.resize(read as usize, 0);
            self.file.read_exact_at(&mut bytes, offset)?;
            (self.bytes, self.start) = (bytes, offset);
        }
        let from = (offset - self.start) as usize;
        Ok(Some(&self.bytes[from..from + length]))
    }

    /// The head of the record at `offset`, if a whole one with the right checksum stands there.
    pub fn valid(&mut self, offset: u64) -> io::Result<Option<Head>> {
        let Some(head) = self.at(offset, HEAD_BYTES)?.and_then(Head::read) else { return Ok(None) };
        if self.journal.is_some_and(|journal| journal != head.place.journal) {
            return Ok(None);
        }
        let record = self.at(offset, head.length)?;
        Ok(record.is_some_and(|record| head.holds(record)).then_some(head))
    }

    /// Whether the block at `offset` is zeros from there on, or the file ends.
    fn is_zero(&mut self, offset: u64) -> io::Result<bool> {
        let block_end = (offset + 1).next_multiple_of(BLOCK_BYTES).min(self.end);
        let rest = block_end.saturating_sub(offset) as usize;
        Ok(self.at(offset, rest)?.is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0)))
    }
}
