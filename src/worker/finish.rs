//! A job's last words: the rest of its log, and then the report that says what the log must be.

use tokio::task::JoinSet;

use super::backoff::{Backoff, Pace};
use super::daemon_client::CallError;
use super::job::JobEnd;
use super::job_client::{Failure, FailureCode, JobClient, Report, Reported, Standing, State};
use super::spool::Spool;
use super::stop::Stop;
use super::upload::{UploadError, upload};

/// So many times the log is sent again; a daemon that still misses some of it has a fault that sending does not mend.
const ROUNDS_MAX: u32 = 10;

/// What there is of a log to be brought to its end.
pub enum Log<'a> {
    /// Nothing more can be said of it, so the report does not.
    None,
    /// A closed spool, the task that sends it, and the one that keeps the lease meanwhile.
    Of { spool: &'a Spool, uploader: JoinSet<Result<(), UploadError>>, keeper: JoinSet<()> },
}

/// Sends the rest of the log and then `report`, patiently: a daemon may be away for a while. Told to stop at once, the
/// agent hurries.
pub async fn finish(calls: &JobClient, log: Log<'_>, report: Report, mut stop: Stop, pace: Pace) -> JobEnd {
    let out_of_patience = async {
        tokio::select! {
            () = tokio::time::sleep(pace.finish_max) => {}
            () = async { stop.now().await; tokio::time::sleep(pace.finish_hurried_max).await } => {}
        }
    };
    tokio::select! {
        end = tell(calls, log, report, pace) => end,
        () = out_of_patience => JobEnd::Kept("the daemon did not take it in time".to_owned()),
    }
}

async fn tell(calls: &JobClient, log: Log<'_>, mut report: Report, pace: Pace) -> JobEnd {
    let spool = match log {
        Log::None => None,
        Log::Of { spool, mut uploader, mut keeper } => {
            if let Some(Ok(Err(error))) = uploader.join_next().await {
                match log_failed(calls, &error) {
                    Some(end) => return end,
                    None => tracing::error!(%error, "the log's end could not be sent"),
                }
            }
            // From here on the report itself renews the lease; a renewal beside it would arrive after the end.
            keeper.shutdown().await;
            Some(spool)
        }
    };
    report.log = spool.map(Spool::sum);
    let mut backoff = Backoff::new(pace.retry_first, pace.job_retry_max);
    let mut rounds = 0;
    loop {
        if *calls.standing().borrow() == Standing::Cancelling && report.state != Some(State::Cancelled) {
            let (log, answer) = (report.log, report.answer);
            report = Report { state: Some(State::Cancelled), log, answer, ..Report::default() };
        }
        match calls.report(&report).await {
            Ok(Reported::Accepted) => return JobEnd::Reported(report.state.unwrap_or(State::Running)),
            Ok(Reported::EndedOtherwise) => {
                return JobEnd::Unreported("the job has ended in another state".to_owned());
            }
            Ok(Reported::LogIncomplete { stored }) => {
                rounds += 1;
                let sent = match spool {
                    Some(spool) if rounds <= ROUNDS_MAX => upload(spool, calls, stored, pace).await,
                    _ => Err(UploadError::Refused(format!("it has {stored} bytes of it"))),
                };
                if let Err(error) = sent {
                    match log_failed(calls, &error) {
                        Some(end) => return end,
                        None => report.log = None,
                    }
                }
            }
            Err(CallError::Unreachable { what, retry_after }) => {
                tracing::warn!(what, "the job's end could not be told; trying again");
                tokio::time::sleep(backoff.next(retry_after)).await;
            }
            Err(CallError::Stale) => return JobEnd::Lost,
            Err(CallError::Barred { .. }) => return JobEnd::Barred,
            Err(error @ CallError::Refused { .. }) => {
                let cancel_came_meanwhile = *calls.standing().borrow() == Standing::Cancelling
                    && report.state != Some(State::Cancelled);
                if is_too_large(&error) && report.state == Some(State::Completed) {
                    let text = "the result is larger than the daemon keeps".to_owned();
                    let log = report.log.take();
                    report = Report { log, ..Report::failed(Failure::new(FailureCode::ResultInvalid, text)) };
                } else if !cancel_came_meanwhile {
                    return JobEnd::Unreported(error.to_string());
                }
            }
        }
    }
}

fn is_too_large(error: &CallError) -> bool {
    matches!(error, CallError::Refused { status: 413, code, .. } if matches!(code.as_str(), "jobTooLarge" | "answerTooLarge"))
}

/// The end of a job whose log was not taken: of one that is ours, the end is still told, without its log.
fn log_failed(calls: &JobClient, error: &UploadError) -> Option<JobEnd> {
    let barred = *calls.standing().borrow() == Standing::Barred;
    match error {
        UploadError::Lost if barred => Some(JobEnd::Barred),
        UploadError::Lost => Some(JobEnd::Lost),
        UploadError::TooLarge | UploadError::Refused(_) | UploadError::Disk(_) => None,
    }
}
