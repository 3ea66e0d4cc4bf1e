//! A journal in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::state::disk::{Disk, RealDisk};
use crate::state::journal::file::{FileJournal, JournalOptions, OpenError, Recovered};
use crate::state::journal::{Flusher, Journal, JournalError, Lsn, Record};
use crate::state::oid::Oid;

/// Segments are as small as they can be.
pub const SEGMENT_BYTES: u64 = 1 << 20;

/// An open journal, its folder, and what it said.
pub struct World {
    pub journal: FileJournal,
    pub recovered: Recovered,
    pub failures: Arc<Mutex<Vec<String>>>,
    answered: (Sender<Lsn>, Receiver<Lsn>),
    pub folder: Arc<TempDir>,
}

impl World {
    pub fn start() -> Self {
        Self::start_on(Arc::new(RealDisk)).unwrap()
    }

    pub fn start_on(disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        Self::open(Arc::new(tempfile::tempdir().unwrap()), disk, 4)
    }

    /// Opens a journal as a start does that goes through: what was released before may be used again.
    pub fn open(folder: Arc<TempDir>, disk: Arc<dyn Disk>, segments_max: usize) -> Result<Self, OpenError> {
        let world = Self::open_only(folder, disk, segments_max)?;
        world.journal.release_before(world.recovered.released);
        Ok(world)
    }

    /// Opens a journal, and releases nothing.
    pub fn open_only(
        folder: Arc<TempDir>,
        disk: Arc<dyn Disk>,
        segments_max: usize,
    ) -> Result<Self, OpenError> {
        let failures = Arc::new(Mutex::new(Vec::new()));
        let heard = failures.clone();
        let on_failure = Arc::new(move |why: &str| heard.lock().push(why.to_owned()));
        let mut options = JournalOptions::new(folder.path().join("journal"), on_failure);
        (options.segment_bytes, options.segments_max) = (SEGMENT_BYTES, segments_max);
        let (journal, recovered) = FileJournal::open(options, disk)?;
        Ok(Self { journal, recovered, failures, answered: channel(), folder })
    }

    /// Appends a record with that many bytes of entries, of which the content follows from its number. Every other is written by
    /// this thread if the disk is quick.
    pub fn append(&self, bytes: usize) -> Result<Lsn, JournalError> {
        let answered = self.answered.0.clone();
        let next = self.journal.shared.state.lock().room.next_lsn;
        let entries = entries(next, bytes);
        let lsn = self.journal.append(&record(&entries), Box::new(move |lsn| _ = answered.send(lsn)))?;
        self.journal.flush(if lsn.0.is_multiple_of(2) { Flusher::Caller } else { Flusher::Thread });
        Ok(lsn)
    }

    /// Appends a record and waits until it is durable.
    pub fn commit(&self, bytes: usize) -> Lsn {
        let lsn = self.append(bytes).unwrap();
        assert_eq!(self.answered.1.recv(), Ok(lsn));
        lsn
    }

    /// What was answered since the last time, in order; complete once the journal is closed.
    pub fn take_answered(&self) -> Vec<u64> {
        self.answered.1.try_iter().map(|lsn| lsn.0).collect()
    }

    /// Waits for the answers to that many records.
    pub fn wait_for(&self, count: usize) -> Vec<u64> {
        self.answered.1.iter().take(count).map(|lsn| lsn.0).collect()
    }

    /// Stops in order and opens again.
    pub fn reopen(self) -> Self {
        let folder = self.folder.clone();
        self.journal.close();
        Self::open(folder, Arc::new(RealDisk), 4).unwrap()
    }

    /// A copy of the folder as it is on the disk now, as a crash at this moment would leave it.
    pub fn crashed(&self) -> Image {
        Image::of(&self.journal_folder())
    }

    /// Stops in order and gives the folder.
    pub fn stopped(self) -> Image {
        let folder = self.journal_folder();
        let keep = self.folder.clone();
        self.journal.close();
        let image = Image::of(&folder);
        drop(keep);
        image
    }

    pub fn journal_folder(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// The numbers that the journal held when it was opened.
    pub fn recovered_lsns(&self) -> Vec<u64> {
        self.recovered.records().map(|record| checked(record.unwrap())).collect()
    }
}

/// A journal's folder that no journal has open.
pub struct Image(Arc<TempDir>);

impl Image {
    pub fn of(folder: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        let to = copy.path().join("journal");
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        Self(Arc::new(copy))
    }

    /// Opens a journal on this folder.
    pub fn open(&self) -> Result<World, OpenError> {
        World::open(self.0.clone(), Arc::new(RealDisk), 4)
    }

    /// Opens a journal on this folder, and releases nothing.
    pub fn open_only(&self) -> World {
        World::open_only(self.0.clone(), Arc::new(RealDisk), 8).unwrap()
    }

    /// The segment file with this number.
    pub fn segment(&self, number: u64) -> PathBuf {
        self.0.path().join("journal").join(super::super::segment::file_name(number))
    }

    /// Changes the bytes of a segment.
    pub fn edit(&self, number: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.segment(number)).unwrap();
        change(&mut bytes);
        fs::write(self.segment(number), bytes).unwrap();
    }
}

/// Entries that only the record with this number has.
pub fn entries(lsn: u64, bytes: usize) -> Vec<u8> {
    let mut entries = lsn.to_le_bytes().to_vec();
    entries.extend((8..bytes).map(|at| (at as u64 * 31 + lsn * 7) as u8));
    entries
}

pub fn record(entries: &[u8]) -> Record<'_> {
    Record {
        repo: "projects/mrx-weather",
        ref_name: "refs/heads/state",
        old: Oid::ZERO,
        new: Oid([7; 20]),
        begins_pack: false,
        objects: 3,
        entries,
    }
}

/// The number of a record of which the content is that of [`World::append`].
fn checked(found: crate::state::journal::file::OwnedRecord) -> u64 {
    let written = entries(found.lsn.0, found.entries.len());
    assert_eq!(found.borrow(), record(&written), "record {}", found.lsn);
    found.lsn.0
}
