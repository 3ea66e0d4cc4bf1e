//! Makes batches durable, one at a time: write, fdatasync, tell those who wait. While one batch is on its way to the disk, the
//! next one fills. The journal's own thread does it, or the caller of a change that comes alone. The first failure is the last
//! thing that happens: a failed fsync may have thrown the bytes away, so trying again could report success for nothing.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Flusher;
use super::room::{Batch, Buffer};
use super::shared::{Ending, Shared};

/// How long the last batch may have taken for the next to be written by its caller, and how large that may be: else it would
/// keep the caller's thread from other work.
const QUICK: Duration = Duration::from_micros(500);
const SMALL_BYTES: usize = 256 << 10;

/// Works until the journal stops or closes.
pub fn run(shared: &Shared) {
    let _guard = StopOnPanic(shared);
    while let Some(batch) = wait_for_batch(shared) {
        write(shared, batch);
    }
    if let Err(why) = write_clean_stop(shared) {
        shared.stop(why);
    }
}

/// Has what was taken made durable.
pub fn flush(shared: &Shared, by: Flusher) {
    let mut state = shared.state.lock();
    if state.is_writing {
        // Whoever writes looks for more behind it.
        return;
    }
    let is_quick =
        state.last_took.is_some_and(|took| took <= QUICK) && state.room.waiting_bytes() <= SMALL_BYTES;
    if by == Flusher::Thread || !is_quick || state.ending.is_some() {
        shared.work.notify_one();
        return;
    }
    if let Some(batch) = state.take_batch() {
        drop(state);
        let _guard = StopOnPanic(shared);
        write(shared, batch);
    }
}

/// Gives the next batch, or `None` when the journal ends. It sleeps at once: to watch for the next record for some 40 µs before
/// was measured, and made one appender that waits for each answer slower, because it takes a core from it.
fn wait_for_batch(shared: &Shared) -> Option<Batch> {
    let mut state = shared.state.lock();
    loop {
        if matches!(state.ending, Some(Ending::Stopped(_))) {
            return None;
        }
        if !state.is_writing {
            match state.take_batch() {
                None if state.ending.is_none() => {}
                batch => return batch,
            }
        }
        shared.work.wait(&mut state);
    }
}

/// Makes a batch durable, tells those who wait for it, and wakes the journal's thread if there is more.
fn write(shared: &Shared, batch: Batch) {
    let begun = Instant::now();
    if let Err(why) = make_durable(&batch) {
        return shared.stop(why);
    }
    let took = begun.elapsed();
    let spent = tell(shared, batch.buffer);
    let mut state = shared.state.lock();
    state.room.give_back(spent);
    state.is_writing = false;
    state.last_took = Some(took);
    if state.ending.is_some() || state.room.waiting_bytes() > 0 {
        shared.work.notify_one();
    }
}

fn make_durable(batch: &Batch) -> Result<(), String> {
    let Batch { file, path, offset, buffer, .. } = batch;
    let written = file.write_all_at(&buffer.bytes, *offset).map_err(|error| ("writing", error));
    written.and_then(|()| file.sync_data().map_err(|error| ("syncing", error))).map_err(|(doing, error)| {
        let (bytes, file) = (buffer.bytes.len(), path.display());
        format!(
            "{doing} {bytes} bytes at byte {offset} of the journal file {file} failed: {error}. Changes that were \
             answered are safe; this one and later ones were not answered. MrX ends now, and on restart recovers \
             from what is on the disk"
        )
    })
}

/// Marks the end of a journal that closes; one that has stopped is left as it is.
fn write_clean_stop(shared: &Shared) -> Result<(), String> {
    let mut state = shared.state.lock();
    if state.ending != Some(Ending::Closing) {
        return Ok(());
    }
    state.room.take_clean_stop();
    let batch = state.room.next_batch();
    drop(state);
    batch.map_or(Ok(()), |batch| make_durable(&batch))
}

/// Runs the callbacks of a durable batch.
fn tell(shared: &Shared, mut buffer: Buffer) -> Buffer {
    if let Some((last, _)) = buffer.waiting.last() {
        shared.durable.store(*last, Ordering::Release);
    }
    for (lsn, on_durable) in buffer.waiting.drain(..) {
        on_durable(super::Lsn(lsn));
    }
    buffer
}

/// Stops the journal if a callback panics, so that appenders get an error and do not wait for ever.
struct StopOnPanic<'a>(&'a Shared);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0
                .stop("a callback of the journal panicked; MrX ends now and recovers on restart".to_owned());
        }
    }
}
