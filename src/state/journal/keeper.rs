//! The thread that keeps segments ready: makes new ones before they are needed, empties released ones, removes spare
//! ones. A failure here endangers no record: it is told to whoever appends when the prepared room is used up.

use std::time::{Duration, Instant};

use super::room::{Chore, Outcome};
use super::segment::Segment;
use super::shared::Shared;
use crate::state::disk::Disk;

/// How long after a failure the next attempt to make a segment comes.
const RETRY: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 1000 });

/// Works until the journal stops or closes.
pub fn run(shared: &Shared, disk: &dyn Disk) {
    let mut failed_at: Option<Instant> = None;
    let mut state = shared.state.lock();
    while state.ending.is_none() {
        let may_retry = failed_at.is_none_or(|at| at.elapsed() >= RETRY);
        let Some(chore) = state.room.next_chore(may_retry) else {
            match failed_at.filter(|_| !may_retry) {
                Some(at) => {
                    shared.chores.wait_until(&mut state, at + RETRY);
                }
                None => shared.chores.wait(&mut state),
            }
            continue;
        };
        drop(state);
        let outcome = perform(disk, chore);
        match &outcome {
            Outcome::Spoiled(..) | Outcome::NotMade(_) => failed_at = Some(Instant::now()),
            Outcome::Ready(..) => failed_at = None,
            Outcome::Removed => {}
        }
        state = shared.state.lock();
        state.room.done(outcome);
        shared.room_changed.notify_all();
    }
}

fn perform(disk: &dyn Disk, chore: Chore) -> Outcome {
    match chore {
        Chore::Reset(segment, header) => match segment.reset(header) {
            Ok(segment) => Outcome::Ready(segment, header),
            Err((segment, error)) => {
                let why = format!("emptying {} failed: {error}", segment.path.display());
                Outcome::Spoiled(segment, why)
            }
        },
        Chore::Remove(segment) => {
            if let Err(error) = disk.remove(&segment.path) {
                tracing::warn!(%error, file = %segment.path.display(), "a journal segment was not removed");
            }
            Outcome::Removed
        }
        Chore::Create(path, header) => match Segment::create(disk, path.clone(), header) {
            Ok(segment) => Outcome::Ready(segment, header),
            Err(error) => Outcome::NotMade(format!("making {} failed: {error}", path.display())),
        },
    }
}
