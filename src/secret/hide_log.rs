//! Hides the values that a job was given in its log, where each byte keeps its place: the agent knows its log by offsets.
//!
//! What may be the beginning of a value is held back in memory at the end of a call, always less than the longest form of a value has, and is
//! stored with the next call or before the job's last report. It counts as received, so an agent goes on behind it; where it is lost with the
//! process, the next call is told to go on where the stored log ends, as after any restart.

use bytes::Bytes;

use super::error::SecretError;
use super::incident::What;
use super::secrets::Secrets;
use crate::id::{JobId, LeaseId};
use crate::job::{Job, LogSum};
use crate::log::{LogError, Logs};
use crate::mask::matcher::Place;
use crate::mask::{Matcher, stream};

/// How far the log of a lease is.
#[derive(Clone, Default)]
pub(super) struct LogEnd {
    /// So many bytes are stored.
    stored: u64,
    /// Where the text is behind them.
    place: Place,
    /// What follows them and may be the beginning of a value, as it was sent.
    held: Bytes,
}

/// Bytes of a log without values.
pub struct HiddenLog {
    /// Where to store them.
    pub start: u64,
    /// The bytes to store; none if all may be the beginning of a value.
    pub bytes: Bytes,
    after: Option<(LeaseId, LogEnd)>,
}

impl HiddenLog {
    /// How many bytes behind them are held back.
    pub fn held(&self) -> u64 {
        self.after.as_ref().map_or(0, |(_, end)| end.held.len() as u64)
    }
}

impl Secrets {
    /// The bytes that were sent for `start`, as they may be stored. When they are, say so with [`Secrets::log_stored`].
    pub async fn hide_log(
        &self,
        logs: &Logs,
        (job, lease): (&JobId, &LeaseId),
        start: u64,
        bytes: Bytes,
    ) -> Result<HiddenLog, SecretError> {
        let Some((job, matcher)) = self.hidden_of(job, lease).await? else {
            return Ok(HiddenLog { start, bytes, after: None });
        };
        let LogEnd { stored, place, held } = match self.log_end(lease) {
            Some(end) if start == end.stored + end.held.len() as u64 => end,
            Some(end) if start == end.stored => LogEnd { held: Bytes::new(), ..end },
            _ => LogEnd {
                stored: start,
                place: place_at(logs, &job, &matcher, start).await?,
                ..LogEnd::default()
            },
        };
        let mut part = [held, bytes].concat();
        let settled = stream::settle_in_place(&matcher, place, &mut part);
        if settled.found {
            self.record(What::ValueSent, &job).await?;
        }
        let held = Bytes::from(part.split_off(settled.count));
        let end = LogEnd { stored: stored + part.len() as u64, place: settled.place, held };
        Ok(HiddenLog { start: stored, bytes: part.into(), after: Some((lease.clone(), end)) })
    }

    /// The bytes are stored: the next ones are looked at as what follows them.
    pub fn log_stored(&self, log: HiddenLog) {
        if let Some((lease, end)) = log.after
            && let Some(hidden) = self.hiding.lock().get_mut(&lease)
        {
            hidden.log = end;
        }
    }

    /// Stores what was held back: nothing follows it, so it is no beginning of a value. Call this before the job ends.
    pub async fn store_held(&self, logs: &Logs, job: &JobId, lease: &LeaseId) -> Result<(), LogError> {
        let Some((matcher, end)) = self.held_of(lease) else { return Ok(()) };
        let mut bytes = end.held.to_vec();
        let (place, _) = stream::hide_in_place(&matcher, end.place, &mut bytes);
        let stored = end.stored + bytes.len() as u64;
        match logs.append(job, lease, end.stored, bytes.into()).await {
            Ok(_) => {
                let end = LogEnd { stored, place, held: Bytes::new() };
                let after = Some((lease.clone(), end));
                self.log_stored(HiddenLog { start: stored, bytes: Bytes::new(), after });
                Ok(())
            }
            // The log was dropped or went on elsewhere: its size says what is missing.
            Err(LogError::Gap { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What the log of the job is, if it is right: what the agent says, or, where a value was hidden here, what is stored
    /// instead, of which the agent cannot know the sum.
    pub async fn check_log(
        &self,
        logs: &Logs,
        job: &Job,
        lease: &LeaseId,
        said: &LogSum,
    ) -> Result<LogSum, LogError> {
        let has_hidden = self.jobs.leases().has_secrets(&job.job_id, lease)
            && self.is_recorded(What::ValueSent, job).await.unwrap_or(false);
        if has_hidden {
            return logs.check_size(job, lease, said).await;
        }
        logs.check(job, lease, said).await.map(|()| said.clone())
    }

    fn log_end(&self, lease: &LeaseId) -> Option<LogEnd> {
        self.hiding.lock().get(lease).map(|hidden| hidden.log.clone())
    }

    fn held_of(&self, lease: &LeaseId) -> Option<(std::sync::Arc<Matcher>, LogEnd)> {
        let hiding = self.hiding.lock();
        let hidden = hiding.get(lease).filter(|hidden| !hidden.log.held.is_empty())?;
        Some((hidden.matcher.clone(), hidden.log.clone()))
    }
}

/// Where the log is at `start`, told by what is stored before it.
async fn place_at(logs: &Logs, job: &Job, matcher: &Matcher, start: u64) -> Result<Place, SecretError> {
    let (mut at, mut place) = (start.saturating_sub(matcher.form_bytes_max() as u64), 0);
    while at < start {
        let parts = match logs.read(job, job.attempt, at).await {
            Ok(parts) if !parts.is_empty() => parts,
            Err(LogError::Job(error)) => return Err(error.into()),
            // There is no such attempt or byte: the append itself will be refused.
            Ok(_) | Err(_) => return Ok(0),
        };
        for part in parts {
            let count = usize::try_from(start.saturating_sub(part.offset)).unwrap_or(usize::MAX);
            place = stream::passed(matcher, place, &part.bytes[..count.min(part.bytes.len())]);
            at = part.offset + part.bytes.len() as u64;
        }
    }
    Ok(place)
}
