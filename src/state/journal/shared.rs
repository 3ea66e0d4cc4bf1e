//! What the appenders, the writing thread and the keeper of segments share: one lock, and how they wake each other.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::room::{Batch, Room};

/// Called once, with a message for a person, when the journal has stopped for good.
pub type OnFailure = Arc<dyn Fn(&str) + Send + Sync>;

/// Why no more records are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// What was taken is written, then the mark of a clean stop.
    Closing,
    /// A write or sync failed, for this reason. Nothing is written any more.
    Stopped(String),
}

/// Behind the lock.
pub struct State {
    /// Records and segments.
    pub room: Room,
    /// Whether it ends.
    pub ending: Option<Ending>,
    /// Whether somebody has a batch in hand.
    pub is_writing: bool,
    /// How long the last batch took to be durable.
    pub last_took: Option<Duration>,
}

impl State {
    /// The next batch, for the caller to write; nobody writes meanwhile.
    pub fn take_batch(&mut self) -> Option<Batch> {
        let batch = self.room.next_batch()?;
        self.is_writing = true;
        Some(batch)
    }
}

/// See the head of the file.
pub struct Shared {
    /// The lock.
    pub state: Mutex<State>,
    /// Wakes the writing thread: there is a batch.
    pub work: Condvar,
    /// Wakes the keeper: a segment was taken or released.
    pub chores: Condvar,
    /// Wakes appenders that wait for a segment.
    pub room_changed: Condvar,
    /// The last durable record.
    pub durable: AtomicU64,
    on_failure: OnFailure,
}

impl Shared {
    /// A journal that has `room` and whose records below `next_lsn` are durable.
    pub fn new(room: Room, on_failure: OnFailure) -> Self {
        let durable = AtomicU64::new(room.next_lsn - 1);
        Self {
            state: Mutex::new(State { room, ending: None, is_writing: false, last_took: None }),
            work: Condvar::new(),
            chores: Condvar::new(),
            room_changed: Condvar::new(),
            durable,
            on_failure,
        }
    }

    /// Takes no more records and lets the threads end.
    pub fn close(&self) {
        self.state.lock().ending.get_or_insert(Ending::Closing);
        self.wake_everyone();
    }

    /// Stops for good: no callback runs any more, and the failure is reported once.
    pub fn stop(&self, why: String) {
        let mut state = self.state.lock();
        if matches!(state.ending, Some(Ending::Stopped(_))) {
            return;
        }
        state.ending = Some(Ending::Stopped(why.clone()));
        let dropped = state.room.drop_batches();
        drop(state);
        drop(dropped);
        self.wake_everyone();
        (self.on_failure)(&why);
    }

    fn wake_everyone(&self) {
        self.work.notify_all();
        self.chores.notify_all();
        self.room_changed.notify_all();
    }
}
