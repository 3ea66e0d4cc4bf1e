//! Sends the log from its spool to the daemon, by offset: every byte arrives once, whatever is lost on the way.
//!
//! The daemon alone knows what is stored; after each answer we go on from where it says, forward or back.

use std::time::Duration;

use tokio::sync::watch;

use super::backoff::{Backoff, Pace};
use super::daemon_client::CallError;
use super::job_client::{Appended, JobClient};
use super::spool::{Length, Spool};

/// The protocol's bound on one call.
const PIECE_BYTES_MAX: usize = 1 << 20;
/// A proxy that takes less than this at once is of no use.
const PIECE_BYTES_MIN: usize = 4 << 10;
/// So much log is sent at once rather than waiting for more.
const FLUSH_BYTES: u64 = 64 << 10;
/// So many answers in a row without progress mean that the daemon and we do not understand each other.
const STALLS_MAX: u32 = 20;

/// Why the log cannot be brought to its end.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The job or the token is gone; the job's standing says which.
    #[error("the job is no longer this agent's")]
    Lost,
    /// The daemon keeps no log as large as this.
    #[error("the log is larger than the daemon keeps")]
    TooLarge,
    /// The daemon will not take it.
    #[error("the daemon does not take the log: {0}")]
    Refused(String),
    /// The spool cannot be read.
    #[error("the log cannot be read from disk")]
    Disk(#[source] std::io::Error),
}

/// Sends what is in `spool` from `first` on, as it grows, until it is closed and all of it is stored.
pub async fn upload(spool: &Spool, job: &JobClient, first: u64, pace: Pace) -> Result<(), UploadError> {
    let mut upload = Upload {
        stored: first,
        stalls: 0,
        piece_max: PIECE_BYTES_MAX,
        backoff: Backoff::new(pace.retry_first, pace.job_retry_max),
    };
    let mut length = spool.length();
    loop {
        let ready = something_to_send(&mut length, upload.stored, pace.flush_after).await;
        if ready.bytes < upload.stored {
            return Err(upload.ahead_of(ready.bytes));
        }
        if ready.bytes == upload.stored {
            return Ok(());
        }
        let piece = spool.read(upload.stored, upload.piece_max).map_err(UploadError::Disk)?;
        let wait = match job.append_log(upload.stored, piece).await {
            Ok(answer) => upload.follow(answer, spool.length().borrow().bytes)?,
            Err(error) => upload.passing(error)?,
        };
        tokio::time::sleep(wait).await;
    }
}

struct Upload {
    /// How many bytes the daemon has, as far as it told.
    stored: u64,
    /// Answers in a row that brought us no further.
    stalls: u32,
    piece_max: usize,
    backoff: Backoff,
}

impl Upload {
    /// Takes in an answer; the result is how long to wait before the next piece.
    fn follow(&mut self, answer: Appended, spooled: u64) -> Result<Duration, UploadError> {
        let before = self.stored;
        match answer {
            Appended::Stored(stored) | Appended::Elsewhere(stored) => self.stored = stored,
            Appended::PieceTooLarge => self.piece_max = (self.piece_max / 2).max(PIECE_BYTES_MIN),
            Appended::LogTooLarge => return Err(UploadError::TooLarge),
        }
        if self.stored > spooled {
            return Err(self.ahead_of(spooled));
        }
        if self.stored > before {
            self.stalls = 0;
            self.backoff.reset();
            return Ok(Duration::ZERO);
        }
        self.stalls += 1;
        if self.stalls > STALLS_MAX {
            return Err(UploadError::Refused(format!("no progress beyond byte {before}")));
        }
        Ok(if self.stalls == 1 { Duration::ZERO } else { self.backoff.next(None) })
    }

    fn ahead_of(&self, spooled: u64) -> UploadError {
        UploadError::Refused(format!("it has {} bytes where {spooled} were written", self.stored))
    }

    /// The wait after a failure that may pass; any other ends the upload.
    fn passing(&mut self, error: CallError) -> Result<Duration, UploadError> {
        match error {
            CallError::Unreachable { what, retry_after } => {
                tracing::warn!(what, "a piece of log was not taken; trying again");
                Ok(self.backoff.next(retry_after))
            }
            CallError::Stale | CallError::Barred { .. } => Err(UploadError::Lost),
            CallError::Refused { .. } => Err(UploadError::Refused(error.to_string())),
        }
    }
}

/// Waits for enough bytes beyond `stored`, or for a few that waited long enough, or for the end of the log.
async fn something_to_send(
    length: &mut watch::Receiver<Length>,
    stored: u64,
    flush_after: Duration,
) -> Length {
    let enough = |now: &Length| now.closed || now.bytes.saturating_sub(stored) >= FLUSH_BYTES;
    // The sender lives in the spool that our caller holds, so waiting cannot fail; if it did, there is nothing to wait for.
    let _ = length.wait_for(|now| now.closed || now.bytes > stored).await;
    let _ = tokio::time::timeout(flush_after, length.wait_for(enough)).await;
    *length.borrow_and_update()
}
