//! Keeps the lease while a job runs, tells its progress, and so learns quickly of a cancel.
//!
//! It runs as a task of its own, so neither a large upload nor a noisy step delays it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::backoff::{Backoff, Pace};
use super::daemon_client::CallError;
use super::job_client::{JobClient, Report, State};

/// A shorter lease cannot be kept over a network; it is renewed as if it were this long.
const LEASE_SECONDS_MIN: u64 = 3;

/// Renews until the job is no longer ours, sending each new text of `progress`.
///
/// A third of the lease would do to keep it. But a quiet step makes no other call whose answer could say `cancelling`, so
/// we ask every second: the daemon renews a lease in memory only, and one small call a second and job is nothing to it.
pub async fn keep(
    job: Arc<JobClient>,
    mut progress: watch::Receiver<String>,
    lease_seconds: u64,
    pace: Pace,
) {
    let every = (Duration::from_secs(lease_seconds.max(LEASE_SECONDS_MIN)) / 3).min(pace.poll);
    let mut backoff = Backoff::new(pace.retry_first.min(every), pace.job_retry_max.min(every * 5));
    let mut told: Option<String> = None;
    loop {
        let text = progress.borrow_and_update().clone();
        let report = news(told.as_deref(), &text);
        let wait = match job.report(&report).await {
            Ok(_) => {
                told = Some(text);
                backoff.reset();
                every
            }
            Err(CallError::Unreachable { what, retry_after }) => {
                tracing::warn!(what, "the lease could not be renewed; trying again");
                backoff.next(retry_after)
            }
            Err(error @ CallError::Refused { .. }) => {
                tracing::warn!(%error, "progress was refused");
                told = Some(text);
                every
            }
            Err(CallError::Stale | CallError::Barred { .. }) => return,
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Ok(()) = progress.changed(), if wait == every => {}
        }
    }
}

/// What there is to say beyond renewing: at first that the job runs, later only what is new.
fn news(told: Option<&str>, progress: &str) -> Report {
    if told == Some(progress) {
        return Report::default();
    }
    let state = told.is_none().then_some(State::Running);
    Report { state, progress: Some(progress.to_owned()), ..Report::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(told: Option<&str>, progress: &str) -> String {
        serde_json::to_string(&news(told, progress)).unwrap()
    }

    #[test]
    fn running_is_said_once_and_progress_when_it_changes() {
        assert_eq!(said(None, "step 1/2: a"), r#"{"state":"running","progress":"step 1/2: a"}"#);
        assert_eq!(said(Some("step 1/2: a"), "step 1/2: a"), "{}");
        assert_eq!(said(Some("step 1/2: a"), "step 2/2: b"), r#"{"progress":"step 2/2: b"}"#);
    }
}
