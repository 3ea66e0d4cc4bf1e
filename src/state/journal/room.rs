//! Where the next record goes, and which segments are needed for what. Decides only; touches no file.
//!
//! A segment goes round: *ready* (empty, header durable), *active* (being written), *held* (full, with records that
//! are not released), *freed* (all released), and by the keeper back to ready. Ready ones are used in the order of
//! their generations, so generations ascend with the lsns.
//!
//! A record is taken only if it fits into what is prepared, so what was taken never lacks room later.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::{self, Place};
use super::segment::{BLOCK_BYTES, DATA_START, Header, Segment, file_name};
use super::{Backlog, OnDurable, Record};
use crate::state::disk::DiskFile;

/// Emptied segments that are kept for reuse; more are removed.
pub const READY_MAX: usize = 4;

/// The end of each segment is kept free for the mark of a clean stop.
const RESERVE_BYTES: u64 = BLOCK_BYTES;

/// Buffers kept for the next batches: one fills while the other is written.
const BUFFERS_MAX: usize = 2;

/// A larger buffer is given back to the machine after use.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// The bytes of one batch and who waits for them.
#[derive(Default)]
pub struct Buffer {
    /// Records, one behind the other.
    pub bytes: Vec<u8>,
    /// What runs once they are durable, in order.
    pub waiting: Vec<(u64, OnDurable)>,
}

/// What is written and synced together.
pub struct Batch {
    /// The segment's file.
    pub file: Arc<dyn DiskFile>,
    /// The file's path, for messages.
    pub path: Arc<Path>,
    /// Where in the file.
    pub offset: u64,
    /// What.
    pub buffer: Buffer,
    first: u64,
}

struct Active {
    segment: Segment,
    /// Where the blocks of its last batch end.
    used: u64,
}

/// What the keeper of segments does next.
pub enum Chore {
    /// Give a segment a new header, so that it is ready.
    Reset(Segment, Header),
    /// Remove a segment's file.
    Remove(Segment),
    /// Make a new segment.
    Create(PathBuf, Header),
}

/// What a chore came to.
pub enum Outcome {
    /// The segment is ready, and the watermark in its header is durable.
    Ready(Segment, Header),
    /// The segment could not be reset and is of no more use.
    Spoiled(Segment, String),
    /// The segment was removed; if that failed, nobody needs the file and the next start tries again.
    Removed,
    /// No segment could be made.
    NotMade(String),
}

/// All that the journal knows; behind one lock.
pub struct Room {
    folder: PathBuf,
    segment_bytes: u64,
    segments_max: usize,
    journal: u64,
    /// The next record's number.
    pub next_lsn: u64,
    /// Every record below this stands in its repository.
    pub released: u64,
    next_generation: u64,
    next_file: u64,
    /// The highest watermark in a durable header: records below it may be destroyed.
    released_durably: u64,
    active: Option<Active>,
    ready: VecDeque<Segment>,
    held: VecDeque<Segment>,
    freed: VecDeque<Segment>,
    /// Whether segments that were found may be emptied and removed: a start that is refused has changed none.
    has_started: bool,
    /// Whether the keeper has a segment in hand, and whether it comes from `freed`.
    in_hand: Option<bool>,
    /// Why the last segment was not made.
    shortage: Option<String>,
    batches: VecDeque<Batch>,
    spare: Vec<Buffer>,
}

/// How large the journal may be, and where.
pub struct Bounds {
    /// The folder of segments.
    pub folder: PathBuf,
    /// Bytes of one.
    pub segment_bytes: u64,
    /// How many there may be.
    pub segments_max: usize,
}

/// The numbers a journal goes on with.
pub struct Start {
    /// The journal's.
    pub journal: u64,
    /// The next record's.
    pub next_lsn: u64,
    /// Every record below stands in its repository.
    pub released: u64,
    /// Higher than that of any segment.
    pub next_generation: u64,
    /// Higher than that of any file.
    pub next_file: u64,
}

/// Where there is room for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// In the segment that is being written.
    Here,
    /// In the next one, which is now being written; the keeper must be told.
    Next,
    /// Nowhere yet.
    Nowhere,
}

impl Room {
    /// A journal with no segment yet.
    pub fn new(bounds: Bounds, start: Start) -> Self {
        let Bounds { folder, segment_bytes, segments_max } = bounds;
        let Start { journal, next_lsn, released, next_generation, next_file } = start;
        Self {
            folder,
            segment_bytes,
            segments_max,
            journal,
            next_lsn,
            released,
            next_generation,
            next_file,
            released_durably: 0,
            active: None,
            ready: VecDeque::new(),
            held: VecDeque::new(),
            freed: VecDeque::new(),
            has_started: false,
            in_hand: None,
            shortage: None,
            batches: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// Takes over a segment that was found at start; older ones first.
    pub fn adopt(&mut self, segment: Segment) {
        if segment.last >= self.released {
            self.held.push_back(segment)
        } else {
            self.freed.push_back(segment)
        }
    }

    /// The largest record that a segment takes.
    pub fn record_bytes_max(segment_bytes: u64) -> u64 {
        segment_bytes - DATA_START - RESERVE_BYTES
    }

    /// Makes sure that `bytes` fit behind what was taken, going to the next segment if there is one ready.
    pub fn find(&mut self, bytes: usize) -> Fit {
        if self.fits_active(bytes) {
            return Fit::Here;
        }
        if self.next_segment() { Fit::Next } else { Fit::Nowhere }
    }

    /// Takes a record for which [`Room::find`] found room and returns its number.
    pub fn take(&mut self, record: &Record<'_>, on_durable: OnDurable) -> u64 {
        let lsn = self.next_lsn;
        self.next_lsn += 1;
        self.write(lsn, |place, out| record::encode(place, record, out));
        if let Some(batch) = self.batches.back_mut() {
            batch.buffer.waiting.push((lsn, on_durable));
        }
        lsn
    }

    /// Takes the mark of a clean stop, if there is a segment for it.
    pub fn take_clean_stop(&mut self) {
        if self.active.is_some() || self.next_segment() {
            self.write(self.next_lsn, record::encode_clean_stop);
        }
    }

    /// How much waits to be written.
    pub fn waiting_bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.buffer.bytes.len()).sum()
    }

    /// The next batch to write.
    pub fn next_batch(&mut self) -> Option<Batch> {
        let mut batch = self.batches.pop_front()?;
        let bytes = &mut batch.buffer.bytes;
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES as usize), 0);
        Some(batch)
    }

    /// Takes back the buffer of a batch that is written.
    pub fn give_back(&mut self, mut buffer: Buffer) {
        buffer.bytes.clear();
        buffer.waiting.clear();
        let useful = (1..=BUFFER_BYTES_MAX).contains(&buffer.bytes.capacity());
        if useful && self.spare.len() < BUFFERS_MAX {
            self.spare.push(buffer);
        }
    }

    /// Drops every batch that is not being written; returned so that it is dropped without the lock.
    pub fn drop_batches(&mut self) -> VecDeque<Batch> {
        std::mem::take(&mut self.batches)
    }

    /// Every record below `lsn` stands in its repository; the first time the start has gone through. Says whether that gave the
    /// keeper work.
    pub fn release(&mut self, lsn: u64) -> bool {
        self.released = self.released.max(lsn.min(self.next_lsn));
        let count = self.held.iter().take_while(|segment| segment.last < self.released).count();
        self.freed.extend(self.held.drain(..count));
        let begins = !std::mem::replace(&mut self.has_started, true);
        count > 0 || begins
    }

    /// Why no room can be hoped for soon; `None` if the keeper is about to make some.
    pub fn shortage(&self) -> Option<String> {
        if self.in_hand == Some(true) || self.freed.iter().any(|segment| segment.fits) {
            return None;
        }
        self.shortage.clone().or_else(|| {
            let full = self.in_hand.is_none() && !self.may_create();
            full.then(|| {
                let max = self.segments_max;
                format!("all {max} segments hold changes that are not published yet; publishing lags behind")
            })
        })
    }

    /// What the keeper does next; `may_retry` says whether making a segment may be tried again after it failed.
    pub fn next_chore(&mut self, may_retry: bool) -> Option<Chore> {
        let (durably, has_started) = (self.released_durably, self.has_started);
        let may_go = |segment: &Segment| has_started && (segment.fits || segment.last < durably);
        let index = self.freed.iter().position(may_go);
        if let Some(segment) = index.and_then(|index| self.freed.remove(index)) {
            self.in_hand = Some(segment.fits);
            return Some(if segment.fits { self.reset(segment) } else { Chore::Remove(segment) });
        }
        if self.ready.len() > READY_MAX {
            // The first has the oldest watermark in its header, so the newest stays durable.
            self.in_hand = Some(false);
            return self.ready.pop_front().map(Chore::Remove);
        }
        if self.ready.is_empty() {
            return (self.may_create() && (may_retry || self.shortage.is_none())).then(|| self.create());
        }
        // A file that cannot be used again waits for a header with today's watermark.
        let waits = has_started && !self.freed.is_empty();
        let segment = if waits { self.ready.pop_front() } else { None }?;
        self.in_hand = Some(true);
        Some(self.reset(segment))
    }

    /// Takes back what the keeper had in hand.
    pub fn done(&mut self, outcome: Outcome) {
        self.in_hand = None;
        match outcome {
            Outcome::Ready(segment, header) => {
                self.released_durably = self.released_durably.max(header.released);
                self.shortage = None;
                self.ready.push_back(segment);
            }
            Outcome::Spoiled(segment, why) => {
                self.shortage = Some(why);
                self.freed.push_back(segment);
            }
            Outcome::Removed => {}
            Outcome::NotMade(why) => self.shortage = Some(why),
        }
    }

    /// How much waits for publishing.
    pub fn backlog(&self) -> Backlog {
        let active = self.active.as_ref().map(|active| &active.segment);
        let all = self.ready.iter().chain(&self.held).chain(&self.freed).chain(active);
        let active_needed = active.is_some_and(|_| self.next_lsn > self.released);
        Backlog {
            records: self.next_lsn - self.released,
            segments: self.held.len() as u64 + u64::from(active_needed),
            bytes: all.map(|segment| segment.bytes).sum(),
        }
    }

    /// Where the last batch of the segment that is being written ends.
    #[cfg(test)]
    pub fn used(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.used)
    }

    fn fits_active(&self, bytes: usize) -> bool {
        let Some(active) = &self.active else { return false };
        let end = match self.batches.back() {
            Some(batch) => batch.offset + (batch.buffer.bytes.len() + bytes) as u64,
            None => active.used + bytes as u64,
        };
        end.next_multiple_of(BLOCK_BYTES) <= active.segment.bytes - RESERVE_BYTES
    }

    /// Goes on in the next segment, with a new batch.
    fn next_segment(&mut self) -> bool {
        let Some(segment) = self.ready.pop_front() else { return false };
        if let Some(mut full) = self.active.take() {
            full.segment.last = self.next_lsn - 1;
            self.held.push_back(full.segment);
            if self.has_started {
                self.release(self.released);
            }
        }
        self.active = Some(Active { segment, used: DATA_START });
        self.begin_batch();
        true
    }

    fn begin_batch(&mut self) {
        let Some(Active { segment, used }) = &self.active else { return };
        let buffer = self.spare.pop().unwrap_or_default();
        let (file, path) = (segment.file.clone(), segment.path.clone());
        self.batches.push_back(Batch { file, path, offset: *used, buffer, first: self.next_lsn });
    }

    /// Lets `encode` write into the batch that fills.
    fn write(&mut self, lsn: u64, encode: impl FnOnce(Place, &mut Vec<u8>)) {
        if self.batches.is_empty() {
            self.begin_batch();
        }
        let (Some(active), Some(batch)) = (&mut self.active, self.batches.back_mut()) else { return };
        if batch.buffer.bytes.is_empty() {
            batch.first = lsn;
        }
        let generation = active.segment.generation;
        let place =
            Place { journal: self.journal, generation, lsn, batch: batch.first, released: self.released };
        encode(place, &mut batch.buffer.bytes);
        active.used = batch.offset + batch.buffer.bytes.len() as u64;
        active.used = active.used.next_multiple_of(BLOCK_BYTES);
    }

    fn may_create(&self) -> bool {
        // Files of no more use do not count: they are removed only when a new header says how far they are released.
        let used = self.ready.len() + self.held.len() + usize::from(self.active.is_some());
        used + self.freed.iter().filter(|segment| segment.fits).count() < self.segments_max
    }

    fn reset(&mut self, segment: Segment) -> Chore {
        Chore::Reset(segment, self.header())
    }

    fn create(&mut self) -> Chore {
        self.in_hand = Some(false);
        let path = self.folder.join(file_name(self.next_file));
        self.next_file += 1;
        Chore::Create(path, self.header())
    }

    fn header(&mut self) -> Header {
        let generation = self.next_generation;
        self.next_generation += 1;
        let (bytes, first, released, journal) =
            (self.segment_bytes, self.next_lsn, self.released, self.journal);
        Header { bytes, generation, first, released, journal }
    }
}
