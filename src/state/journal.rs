//! The write-ahead journal, as the engine sees it: records go in, and are durable when their callback runs.
//!
//! The one in files is [`mod@file`]. A cluster mode can put a replicated log behind the same trait.
//!
//! - `record` is a record as bytes   - `segment` is one file and its header
//! - `scan` reads a segment back after a crash   - `recovered` reads them all and refuses what no crash leaves
//! - `room` decides where a record goes and which segment is emptied   - `shared` is its lock
//! - `writer` makes batches durable   - `keeper` makes and empties segments
//! - [`mod@file`] is the journal made of these
//!
//! Invariant: a callback runs only after the fdatasync of its record, and none runs after a failed one.
//! Invariant: no byte of a record is written over before it is known, durably, that the record was released.

pub mod file;
mod keeper;
mod record;
mod recovered;
mod room;
mod scan;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;

use super::oid::Oid;

/// The number of a record: ascends by one over all repositories, and is never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// One change of one ref, as it is journalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Which repository, as `layout` names it: `platform` or `projects/mrx-weather`.
    pub repo: &'a str,
    /// The full name of the ref: `refs/heads/state`.
    pub ref_name: &'a str,
    /// What the ref held before; [`Oid::ZERO`] if it did not exist.
    pub old: Oid,
    /// What the ref holds after it.
    pub new: Oid,
    /// Whether this record begins a pack: deltas in it and in later records reach back no further than it.
    pub begins_pack: bool,
    /// How many objects `entries` holds.
    pub objects: u32,
    /// The new objects, as entries of a pack one behind the other.
    pub entries: &'a [u8],
}

/// Runs once its record is durable, in the order of the records, on whichever thread made it so. It must be short.
pub type OnDurable = Box<dyn FnOnce(Lsn) + Send>;

/// Why the journal takes no more records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// There is no room for another segment. Nothing was lost; it goes on when there is room.
    #[error("the disk has no room for the journal: {0}")]
    Full(String),
    /// The record is larger than the journal can ever take.
    #[error("the change is too large for the journal: {0}")]
    TooLarge(String),
    /// A write or fsync failed. Nothing later is acknowledged; the process must end and recover from the disk.
    #[error("the journal has stopped: {0}")]
    Stopped(String),
}

/// Who makes records durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flusher {
    /// Whoever asks, while the disk is quick: two hand-overs between threads cost half as much as such a disk takes.
    Caller,
    /// The journal's own thread.
    Thread,
}

/// A durable, ordered log.
pub trait Journal: Send + Sync + 'static {
    /// Takes a record; `on_durable` runs when it will survive a crash, and never if the journal stops before that. Whoever
    /// appends has to [`Journal::flush`]: until somebody does, it may wait in memory.
    fn append(&self, record: &Record<'_>, on_durable: OnDurable) -> Result<Lsn, JournalError>;
    /// Has everything that was taken made durable, soon; by the caller it is when this returns, if nobody else writes.
    fn flush(&self, by: Flusher);
    /// The last durable record.
    fn durable(&self) -> Lsn;
    /// Says that every record before `lsn` stands in its repository, so their room may be used again.
    fn release_before(&self, lsn: Lsn);
    /// How much is journalled and not yet released, for `/metrics` and `doctor`.
    fn backlog(&self) -> Backlog;
}

/// What the journal holds that no repository has yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Records not yet released.
    pub records: u64,
    /// Segments that hold them.
    pub segments: u64,
    /// Bytes of all segments on disk.
    pub bytes: u64,
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
