//! What follows a job's work: what it made is uploaded, the log ends, and the end is told. Each step is recorded on disk
//! before it is begun, so an agent that is killed goes on with it when it starts again.

use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinSet;

use super::artifact::{self, UploadError as ArtifactError};
use super::backoff::Pace;
use super::build::BuildEnd;
use super::daemon_client::{CallError, Claim};
use super::finish::{self, Log};
use super::folder::JobFolder;
use super::halt::{Alarm, Halt};
use super::job::JobEnd;
use super::job_client::{ChatAnswer, Failure, FailureCode, JobClient, Report, Standing, State};
use super::record::{Files, Record, Stage};
use super::spool::Spool;
use super::stop::Stop;
use super::upload::UploadError;
use crate::id::AgentId;

/// What work that ended well has made.
#[derive(Debug)]
pub struct Made {
    /// The job's result, to which the ids of uploaded files are added as `artifacts`.
    pub result: Value,
    pub files: Files,
    /// Rings at the latest when the time for all of it is over.
    pub alarm: Alarm,
}

/// The tasks that send the log and keep the lease.
pub struct Senders {
    pub uploader: JoinSet<Result<(), UploadError>>,
    pub keeper: JoinSet<()>,
}

/// A job that is to be brought to its end.
pub struct Delivery<'a> {
    pub agent: &'a AgentId,
    pub claim: &'a Claim,
    pub folder: &'a JobFolder,
    pub spool: &'a Arc<Spool>,
    pub calls: &'a JobClient,
    pub pace: Pace,
}

impl Delivery<'_> {
    /// Uploads what was made; gives the whole result.
    pub async fn upload(&self, made: Made) -> Result<Value, BuildEnd> {
        let Made { mut result, files, alarm } = made;
        if files.paths.is_empty() {
            return Ok(result);
        }
        let report =
            Report { state: Some(State::Completed), result: Some(result.clone()), ..Report::default() };
        self.record(Stage::Uploading { report: self.calls.hiding(&report), made: files.clone() });
        let root = self.folder.path().join(&files.root);
        let mut ids = Vec::new();
        for path in &files.paths {
            let (id, size) = tokio::select! {
                uploaded = artifact::upload(self.calls, &root, path, self.pace) => uploaded.map_err(not_uploaded)?,
                halt = alarm.clone().rung() => return Err(BuildEnd::of(halt, None)),
            };
            self.spool.line(&format!("== artifact {path:?}: {id}, {size} bytes"))?;
            ids.push(Value::String(id.into()));
        }
        result["artifacts"] = Value::Array(ids);
        Ok(result)
    }

    /// Ends the log and tells the end. Without senders nothing more can be said of the log.
    pub async fn end(
        self,
        ended: Result<Value, BuildEnd>,
        answer: Option<ChatAnswer>,
        senders: Option<Senders>,
        stop: Stop,
    ) -> JobEnd {
        say_end(self.spool, &ended);
        self.spool.close();
        let Some(report) = report(ended) else { return given_up(*self.calls.standing().borrow()) };
        self.tell(Report { answer, ..report }, senders, stop).await
    }

    /// Tells the end of a job whose log is closed.
    pub async fn tell(self, report: Report, senders: Option<Senders>, stop: Stop) -> JobEnd {
        let report = self.calls.hiding(&report);
        self.record(Stage::Reporting { report: report.clone(), log_is_whole: senders.is_some() });
        let log = senders.map_or(Log::None, |Senders { uploader, keeper }| Log::Of {
            spool: self.spool,
            uploader,
            keeper,
        });
        finish::finish(self.calls, log, report, stop, self.pace).await
    }

    /// What cannot be recorded is done all the same: only a restart in these moments would lose it.
    fn record(&self, stage: Stage) {
        let record = Record { agent: self.agent.clone(), claim: self.claim.clone(), stage };
        let kept = self.spool.sync().and_then(|()| self.folder.record(&record));
        if let Err(error) = kept {
            tracing::error!(job = %self.claim.job.job_id, %error, "how far the job is could not be written to disk");
        }
    }
}

/// Writes the end as the last line of the log, where a person looks first; a log that takes no more changes nothing.
fn say_end(spool: &Spool, ended: &Result<Value, BuildEnd>) {
    let text = match ended {
        Ok(_) => "== completed".to_owned(),
        Err(BuildEnd::Failed(failure)) => format!("== failed: {}", failure.message),
        Err(BuildEnd::Halted(halt)) => format!("== stopped: {halt}"),
    };
    if let Err(error) = spool.line(&text) {
        tracing::warn!(%error, "the last line of a log was not written");
    }
}

/// What is to be told of an end; nothing of a job that is not ours.
fn report(ended: Result<Value, BuildEnd>) -> Option<Report> {
    match ended {
        Ok(result) => {
            Some(Report { state: Some(State::Completed), result: Some(result), ..Report::default() })
        }
        Err(BuildEnd::Failed(failure)) => Some(Report::failed(failure)),
        Err(BuildEnd::Halted(Halt::Lost | Halt::Barred)) => None,
        Err(BuildEnd::Halted(_)) => Some(Report { state: Some(State::Cancelled), ..Report::default() }),
    }
}

/// The end of a job that is not ours to tell of.
pub fn given_up(standing: Standing) -> JobEnd {
    if standing == Standing::Barred { JobEnd::Barred } else { JobEnd::Lost }
}

fn not_uploaded(error: ArtifactError) -> BuildEnd {
    let refused = |text: String| BuildEnd::Failed(Failure::new(FailureCode::ArtifactRefused, text));
    match error {
        ArtifactError::Call(CallError::Stale) => BuildEnd::Halted(Halt::Lost),
        ArtifactError::Call(CallError::Barred { .. }) => BuildEnd::Halted(Halt::Barred),
        ArtifactError::File { path, source } => {
            refused(format!("the artifact {path} cannot be read: {source}"))
        }
        ArtifactError::Call(error) => refused(error.to_string()),
    }
}
