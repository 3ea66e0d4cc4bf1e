//! What an agent does before its first claim: it brings the jobs of its earlier life to their end, as far as they are still
//! its own.
//!
//! A job whose work had ended is reported with what it made. One that was still at work is reported as failed, for what ran
//! for it has ended with the agent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::backoff::Pace;
use super::build::BuildEnd;
use super::daemon_client::DaemonClient;
use super::deliver::{Delivery, Made, Senders};
use super::finish::{self, Log};
use super::folder::{JobFolder, WorkFolder};
use super::halt::Alarm;
use super::job::{JobEnd, senders};
use super::job_client::{Failure, FailureCode, JobClient, Report};
use super::record::{Record, Stage};
use super::spool::Spool;
use super::stop::Stop;
use crate::id::AgentId;

/// What was made is uploaded within this; no lease lasts as long without its job's timeout ending it.
const UPLOAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// Ends what is left in the work folder.
///
/// # Errors
/// The daemon does not accept the agent's token; what is left stays for the next start.
pub async fn resume(
    daemon: &Arc<DaemonClient>,
    name: &AgentId,
    work: &WorkFolder,
    stop: &Stop,
    pace: Pace,
) -> anyhow::Result<()> {
    for (folder, record) in work.left() {
        let job = record.claim.job.job_id.clone();
        if record.agent != *name {
            tracing::warn!(%job, agent = %record.agent, "a job of another agent is left in the work folder; it is not touched");
            continue;
        }
        tracing::warn!(%job, "the agent ended before this job's end was known to be told; telling it now");
        let end = end(daemon.clone(), &folder, record, stop.clone(), pace).await;
        end.settle(&job, Some(&folder))?;
    }
    Ok(())
}

async fn end(
    daemon: Arc<DaemonClient>,
    folder: &JobFolder,
    record: Record,
    stop: Stop,
    pace: Pace,
) -> JobEnd {
    let Record { agent, claim, stage } = record;
    let calls = Arc::new(JobClient::new(daemon, &claim));
    let restarted = || Failure::new(FailureCode::AgentRestarted, "the agent was stopped while the job ran");
    let spool = match Spool::reopen(&folder.log()) {
        Ok(spool) => Arc::new(spool),
        Err(error) => {
            tracing::error!(job = %claim.job.job_id, %error, "the log that was left cannot be read");
            let report = match stage {
                Stage::Reporting { report, .. } => report,
                Stage::Running | Stage::Uploading { .. } => Report::failed(restarted()),
            };
            return finish::finish(&calls, Log::None, report, stop, pace).await;
        }
    };
    let (_progress, news) = watch::channel("telling the end after a restart".to_owned());
    let delivery = Delivery { agent: &agent, claim: &claim, folder, spool: &spool, calls: &calls, pace };
    let (report, made) = match stage {
        Stage::Running => {
            let senders = senders(&spool, &calls, news, &claim, pace);
            return delivery.end(Err(BuildEnd::Failed(restarted())), None, Some(senders), stop).await;
        }
        Stage::Reporting { report, log_is_whole } => {
            spool.close();
            // The report goes first: if it was taken before, the answer says so, and if log is missing, from where.
            return delivery.tell(report, log_is_whole.then(nothing_to_send), stop).await;
        }
        Stage::Uploading { report, made } => (report, made),
    };
    let senders = senders(&spool, &calls, news, &claim, pace);
    let alarm = Alarm::new(calls.standing(), stop.clone(), UPLOAD_MAX);
    let result = report.result.unwrap_or_else(|| serde_json::json!({}));
    let ended = delivery.upload(Made { result, files: made, alarm }).await;
    delivery.end(ended, None, Some(senders), stop).await
}

fn nothing_to_send() -> Senders {
    let mut uploader = JoinSet::new();
    uploader.spawn(std::future::ready(Ok(())));
    Senders { uploader, keeper: JoinSet::new() }
}
