//! The journal in files: a folder of segments of a fixed size, written by one thread at a time and kept ready by another.
//!
//! Appenders put their records into the batch that fills; one batch after the other is made durable with one write and one
//! fdatasync each (group commit).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::recovered::{Folder, Found, read_folder};
pub use super::recovered::{OpenError, OwnedRecord, ReadError, Recovered, Tail};
use super::room::{Bounds, Fit, Room, Start};
use super::segment::BLOCK_BYTES;
pub use super::shared::OnFailure;
use super::shared::{Ending, Shared, State};
use super::{Backlog, Flusher, Journal, JournalError, Lsn, OnDurable, Record, keeper, record, writer};
use crate::state::disk::{self, Disk};
use crate::state::threads;

/// What `segment_bytes` can be: below, records of 1 MiB would not fit; above, one segment takes long to prepare.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;

/// What `segments_max` can be: one is written while another is published.
const SEGMENTS_MAX: std::ops::RangeInclusive<u64> = 2..=1024;

/// How long an appender waits for a segment that is being prepared before it is told that there is no room.
const PREPARE_WAIT: Duration = Duration::from_secs(10);

/// Where the journal is, how large it may be, and whom it tells of its end.
#[derive(Clone)]
pub struct JournalOptions {
    /// The folder of segments; made if it is not there.
    pub folder: PathBuf,
    /// Bytes of a segment: 1 MiB to 1 GiB, whole blocks of 4096. A record must fit into one.
    pub segment_bytes: u64,
    /// How many segments there may be, 2 to 1024; when all hold unpublished changes, no more are taken.
    pub segments_max: usize,
    /// Called once if a write or fsync of records fails. The process should end: only a restart recovers.
    pub on_failure: OnFailure,
}

impl JournalOptions {
    /// 32 segments of 32 MiB in `folder`.
    pub fn new(folder: impl Into<PathBuf>, on_failure: OnFailure) -> Self {
        Self { folder: folder.into(), segment_bytes: 32 << 20, segments_max: 32, on_failure }
    }

    fn check(&self) -> Result<(), OpenError> {
        let bad = |option, value, bounds: String| Err(OpenError::BadOption { option, value, bounds });
        let (low, high) = SEGMENT_BYTES.into_inner();
        let (bytes, max) = (self.segment_bytes, self.segments_max as u64);
        if !SEGMENT_BYTES.contains(&bytes) || !bytes.is_multiple_of(BLOCK_BYTES) {
            return bad("segment_bytes", bytes, format!("{low} to {high}, a multiple of {BLOCK_BYTES}"));
        }
        if !SEGMENTS_MAX.contains(&max) {
            return bad("segments_max", max, format!("{} to {}", SEGMENTS_MAX.start(), SEGMENTS_MAX.end()));
        }
        Ok(())
    }
}

/// The journal in files. Dropping it writes what was taken and the mark of a clean stop.
pub struct FileJournal {
    pub(super) shared: Arc<Shared>,
    record_bytes_max: u64,
    threads: Vec<JoinHandle<()>>,
}

impl FileJournal {
    /// Opens the journal, or begins one, and gives what it held. Records go on in another segment than before, so
    /// nothing that was recovered is written over until it is released.
    pub fn open(options: JournalOptions, disk: Arc<dyn Disk>) -> Result<(Self, Recovered), OpenError> {
        options.check()?;
        make_folder(&*disk, &options.folder)?;
        let folder = read_folder(&*disk, &options.folder, options.segment_bytes)?;
        folder.recovered.last_written().map_or(Ok(()), write_last_batch_again)?;
        let journal = folder.journal.map_or_else(|| new_number(&options.folder), Ok)?;
        let record_bytes_max = Room::record_bytes_max(options.segment_bytes);
        let shared = Arc::new(Shared::new(furnish(&options, &folder, journal), options.on_failure));
        let (writing, keeping) = (shared.clone(), shared.clone());
        let threads = vec![
            threads::start("journal", move || writer::run(&writing)),
            threads::start("journal-keeper", move || keeper::run(&keeping, &*disk)),
        ];
        Ok((Self { shared, record_bytes_max, threads }, folder.recovered))
    }

    /// Writes what was taken, then the mark of a clean stop, and ends the threads.
    pub fn close(self) {
        drop(self);
    }

    fn room_for(&self, record: &Record<'_>) -> Result<usize, JournalError> {
        let max = self.record_bytes_max;
        record::room(record).filter(|bytes| *bytes as u64 <= max).ok_or_else(|| {
            let (bytes, names) = (record.entries.len(), record.repo.len() + record.ref_name.len());
            JournalError::TooLarge(format!(
                "a change with {bytes} bytes of objects and {names} bytes of names; the limit is {max} bytes together, \
                 with names of up to {} bytes",
                u16::MAX
            ))
        })
    }

    /// Waits while a segment is being prepared; an error if none can be hoped for.
    fn find(
        &self,
        state: &mut parking_lot::MutexGuard<'_, State>,
        bytes: usize,
    ) -> Result<Fit, JournalError> {
        loop {
            match &state.ending {
                Some(Ending::Stopped(why)) => return Err(JournalError::Stopped(why.clone())),
                Some(Ending::Closing) => return Err(JournalError::Stopped("MrX is stopping".to_owned())),
                None => {}
            }
            match state.room.find(bytes) {
                Fit::Nowhere => {}
                fit => return Ok(fit),
            }
            if let Some(why) = state.room.shortage() {
                return Err(JournalError::Full(why));
            }
            if self.shared.room_changed.wait_for(state, PREPARE_WAIT).timed_out() {
                let why = format!("the disk did not prepare a segment within {} s", PREPARE_WAIT.as_secs());
                return Err(JournalError::Full(why));
            }
        }
    }
}

impl Journal for FileJournal {
    fn append(&self, record: &Record<'_>, on_durable: OnDurable) -> Result<Lsn, JournalError> {
        let bytes = self.room_for(record)?;
        let mut state = self.shared.state.lock();
        let fit = self.find(&mut state, bytes)?;
        let lsn = state.room.take(record, on_durable);
        drop(state);
        if fit == Fit::Next {
            self.shared.chores.notify_one();
        }
        Ok(Lsn(lsn))
    }

    fn flush(&self, by: Flusher) {
        writer::flush(&self.shared, by);
    }

    fn durable(&self) -> Lsn {
        Lsn(self.shared.durable.load(Ordering::Acquire))
    }

    fn release_before(&self, lsn: Lsn) {
        let mut state = self.shared.state.lock();
        if state.room.release(lsn.0) {
            self.shared.chores.notify_one();
        }
    }

    fn backlog(&self) -> Backlog {
        self.shared.state.lock().room.backlog()
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        self.shared.close();
        let own = thread::current().id();
        for thread in self.threads.drain(..) {
            // A callback may hold the journal's last owner; a thread cannot wait for itself.
            if thread.thread().id() != own {
                let _ = thread.join();
            }
        }
    }
}

/// Reads what a journal holds that nobody has open; nothing is changed if `disk` cannot.
pub fn inspect(disk: &dyn Disk, folder: &Path) -> Result<Recovered, OpenError> {
    Ok(read_folder(disk, folder, *SEGMENT_BYTES.start())?.recovered)
}

/// Sets up the room with the segments that were found.
fn furnish(options: &JournalOptions, folder: &Folder, journal: u64) -> Room {
    let (segment_bytes, segments_max) = (options.segment_bytes, options.segments_max);
    let bounds = Bounds { folder: options.folder.clone(), segment_bytes, segments_max };
    let mut room = Room::new(
        bounds,
        Start {
            journal,
            next_lsn: folder.recovered.next_lsn.0,
            released: folder.recovered.released.0,
            next_generation: folder.next_generation,
            next_file: folder.next_file,
        },
    );
    for segment in folder.recovered.segments().chain(&folder.unfinished) {
        room.adopt(segment.clone());
    }
    room
}

/// The number of a new journal: nobody can guess it.
fn new_number(folder: &Path) -> Result<u64, OpenError> {
    getrandom::u64().map_err(|error| OpenError::Io {
        doing: "drawing a random number for",
        path: folder.to_owned(),
        source: error.into(),
    })
}

fn make_folder(disk: &dyn Disk, folder: &Path) -> Result<(), OpenError> {
    disk::make_folders(disk, folder).map_err(|source| OpenError::Io {
        doing: "making",
        path: folder.to_owned(),
        source,
    })
}

/// Makes what was read durable. The last batch may be whole only in the machine's memory: if its fsync failed, the
/// kernel holds its pages for clean and another fsync would not write them. So its bytes are written again.
fn write_last_batch_again(found: &Found) -> Result<(), OpenError> {
    let Found { segment, scanned } = found;
    let end = scanned.end.min(segment.bytes);
    let mut bytes = vec![0; (end - scanned.last_batch_at) as usize];
    let file = &segment.file;
    let written = file
        .read_exact_at(&mut bytes, scanned.last_batch_at)
        .and_then(|()| file.write_all_at(&bytes, scanned.last_batch_at))
        .and_then(|()| file.sync_data());
    written.map_err(|source| OpenError::Io {
        doing: "writing the last batch again to",
        path: segment.path.to_path_buf(),
        source,
    })
}
