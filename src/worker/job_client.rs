//! The calls about one claimed job. Each carries the lease, and from each answer the job's standing is learnt.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::daemon_client::{Answer, CallError, Claim, DaemonClient};
use super::secrets::JobSecrets;
use super::spool::LogSum;
use crate::id::{ArtifactId, JobId, LeaseId, ProjectId, SecretName};
use crate::mask::{Matcher, SecretText};

/// The protocol's bound on a progress text.
const PROGRESS_CHARS_MAX: usize = 200;
/// A report is small; one that takes longer is sent again.
const REPORT_MAX: Duration = Duration::from_secs(10);
/// For 1 MiB of log over a slow line.
const LOG_CHUNK_MAX: Duration = Duration::from_secs(60);
/// For one artifact over a slow line; the build's own time limit is usually nearer.
const ARTIFACT_MAX: Duration = Duration::from_secs(3600);

/// How the job stands, as far as the last answers told. It only moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is ours.
    Held,
    /// It is ours and someone wants it stopped.
    Cancelling,
    /// It is ours no more.
    Lost,
    /// The token is accepted no more.
    Barred,
}

/// The states that an agent reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Running,
    Completed,
    Failed,
    Cancelled,
}

/// Why a job failed, for programs (the code) and people (the message).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureCode {
    /// The job is of a type that this agent did not offer.
    TypeUnknown,
    /// The code could not be fetched, or the project has none.
    CodeUnavailable,
    /// The code has no `mrx.yaml`.
    RecipeMissing,
    /// `mrx.yaml` is not as it must be.
    RecipeInvalid,
    /// The project's secrets could not be fetched, or a step names one that there is not.
    SecretsUnavailable,
    /// A step ended with an exit code other than 0, or by a signal.
    StepFailed,
    /// A step took longer than it may.
    StepTimedOut,
    /// The build took longer than it may.
    BuildTimedOut,
    /// The diff, the branch or the message is not as it must be.
    PatchInvalid,
    /// The code does not take the diff; the details say where.
    PatchConflict,
    /// Git would not commit or push.
    PatchRefused,
    /// The chat cannot be read, or has nothing to answer.
    ChatUnavailable,
    /// The project's secret `llm` is missing or wrong.
    ModelUnset,
    /// The model's server said no.
    ModelRefused,
    /// The model's server stayed busy or away.
    ModelBusy,
    /// The model's answer broke off.
    ModelCut,
    /// The model's server answered with nothing that is an answer.
    ModelFailed,
    /// A glob matches no file.
    ArtifactMissing,
    /// The daemon does not take an artifact, or its file cannot be read.
    ArtifactRefused,
    /// The log is larger than it may be.
    LogTooLarge,
    /// A program did not exit with 0.
    ProgramFailed,
    /// What a program left as its result is not one.
    ResultInvalid,
    /// A program took longer than its job may.
    JobTimedOut,
    /// The agent was told to stop at once.
    AgentStopped,
    /// The agent ended while the job ran, as by a crash, and has started again.
    AgentRestarted,
    /// The agent's own machine failed, as with a full disk.
    AgentFault,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub code: FailureCode,
    pub message: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

impl Failure {
    /// A failure without details.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Value::Null }
    }
}

/// What `PATCH /jobs/{id}` says; with nothing set it only renews the lease.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<ChatAnswer>,
}

/// The answer of a chat job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatAnswer {
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// What the daemon said to more of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes of it are there.
    Stored(usize),
    /// Nothing was taken; it goes on here.
    Elsewhere(usize),
}

impl Report {
    /// The report of a job that failed.
    pub fn failed(failure: Failure) -> Self {
        Self { state: Some(State::Failed), failure: Some(failure), ..Self::default() }
    }

    /// The same without secrets, and with no longer a progress than the protocol takes: cut first, half a secret could be
    /// left at its end.
    fn hiding(&self, secrets: Option<&Matcher>) -> Self {
        let mut report = self.clone();
        if let Some(secrets) = secrets {
            let hide = |text: &mut String| {
                if let Some(hidden) = secrets.text(text) {
                    *text = hidden;
                }
            };
            report.progress.as_mut().map(hide);
            report.result.as_mut().map(|result| secrets.json(result));
            if let Some(failure) = &mut report.failure {
                hide(&mut failure.message);
                secrets.json(&mut failure.details);
            }
        }
        report.progress = report.progress.map(|text| text.chars().take(PROGRESS_CHARS_MAX).collect());
        report
    }
}

/// What the daemon said to a report.
#[derive(Debug, PartialEq, Eq)]
pub enum Reported {
    /// It is recorded.
    Accepted,
    /// The job has ended in another state.
    EndedOtherwise,
    /// The daemon has another log: send it from here and report again.
    LogIncomplete { stored: u64 },
}

/// What the daemon said to a piece of log.
#[derive(Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is durable; so many bytes are stored.
    Stored(u64),
    /// Nothing was stored; the log goes on here.
    Elsewhere(u64),
    /// The piece is larger than something on the way allows.
    PieceTooLarge,
    /// The log is larger than the daemon keeps.
    LogTooLarge,
}

/// The daemon, as seen by the holder of one lease.
#[derive(Debug)]
pub struct JobClient {
    daemon: Arc<DaemonClient>,
    job: JobId,
    project: ProjectId,
    lease: LeaseId,
    standing: watch::Sender<Standing>,
    hidden: OnceLock<Arc<Matcher>>,
}

impl JobClient {
    /// The calls about the job of `claim`.
    pub fn new(daemon: Arc<DaemonClient>, claim: &Claim) -> Self {
        Self {
            daemon,
            job: claim.job.job_id.clone(),
            project: claim.job.project_id.clone(),
            lease: claim.lease.id.clone(),
            standing: watch::Sender::new(Standing::Held),
            hidden: OnceLock::new(),
        }
    }

    /// How the job stands, and every change of that.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// From now on these secrets are hidden in every report.
    pub fn hide(&self, secrets: Arc<Matcher>) {
        // A job fetches its secrets once, so there is nothing here before.
        let _ = self.hidden.set(secrets);
    }

    /// A report as it may leave the agent.
    pub fn hiding(&self, report: &Report) -> Report {
        report.hiding(self.hidden.get().map(Arc::as_ref))
    }

    /// `PATCH /jobs/{id}`.
    pub async fn report(&self, report: &Report) -> Result<Reported, CallError> {
        let report = self.hiding(report);
        let request = self.daemon.request(Method::PATCH, &format!("jobs/{}", self.job)).json(&report);
        let answer = self.send(request, REPORT_MAX).await?;
        match answer.status.as_u16() {
            200 => Ok(Reported::Accepted),
            409 if answer.code() == "jobEnded" => Ok(Reported::EndedOtherwise),
            412 => match answer.stored_size() {
                Some(stored) => Ok(Reported::LogIncomplete { stored }),
                None => Err(answer.refused()),
            },
            _ => Err(answer.refused()),
        }
    }

    /// `PATCH /jobs/{id}/logs`: the bytes of the log from `first` on. `bytes` is not empty.
    pub async fn append_log(&self, first: u64, bytes: Bytes) -> Result<Appended, CallError> {
        let range = content_range(first, bytes.len());
        let request = self.daemon.request(Method::PATCH, &format!("jobs/{}/logs", self.job));
        let request = request.header(CONTENT_RANGE, range).header(CONTENT_TYPE, "application/octet-stream");
        let answer = self.send(request.body(bytes), LOG_CHUNK_MAX).await?;
        match (answer.status.as_u16(), answer.stored_size()) {
            (202, Some(stored)) => Ok(Appended::Stored(stored)),
            (416, Some(stored)) => Ok(Appended::Elsewhere(stored)),
            (413, _) if answer.code() == "logTooLarge" => Ok(Appended::LogTooLarge),
            (413, _) => Ok(Appended::PieceTooLarge),
            _ => Err(answer.refused()),
        }
    }

    /// `POST /projects/{id}/artifacts`: the `size` bytes of `file` under `name`. Sent again, it is still one artifact.
    pub async fn upload_artifact(
        &self,
        name: &str,
        file: std::fs::File,
        size: u64,
    ) -> Result<ArtifactId, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stored {
            artifact_id: ArtifactId,
        }
        let query = [("name", name), ("jobId", self.job.as_str())];
        let request =
            self.daemon.request_with(Method::POST, &format!("projects/{}/artifacts", self.project), &query);
        let request = request.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, size);
        let answer = self.send(request.body(tokio::fs::File::from_std(file)), ARTIFACT_MAX).await?;
        match answer.status.as_u16() {
            200 | 201 => answer.json::<Stored>().map(|stored| stored.artifact_id),
            _ => Err(answer.refused()),
        }
    }

    /// `PATCH /jobs/{id}/answer`: the answer's text from byte `offset` on, for those who watch.
    pub async fn send_answer(&self, offset: usize, text: &str) -> Result<Sent, CallError> {
        let body = serde_json::json!({ "offset": offset, "text": text });
        let request = self.daemon.request(Method::PATCH, &format!("jobs/{}/answer", self.job)).json(&body);
        let answer = self.send(request, REPORT_MAX).await?;
        let size = answer.stored_size().and_then(|size| usize::try_from(size).ok());
        match (answer.status.as_u16(), size) {
            (200, Some(size)) => Ok(Sent::Stored(size)),
            (416, Some(size)) => Ok(Sent::Elsewhere(size)),
            _ => Err(answer.refused()),
        }
    }

    /// `GET /projects/{id}/…`: something of the job's project. What is not there says nothing of the job.
    pub async fn read_project<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CallError> {
        let path = format!("projects/{}/{path}", self.project);
        let answer =
            self.daemon.send(self.daemon.request_with(Method::GET, &path, query), REPORT_MAX).await?;
        match answer.status.as_u16() {
            200 => answer.json(),
            status @ 401 => Err(CallError::Barred { status, message: answer.code() }),
            _ => Err(answer.refused()),
        }
    }

    /// `GET /admin/secrets/{id}`: the values that the job may use. The token is spent by it.
    pub async fn redeem_secrets(&self, token: &SecretText) -> Result<JobSecrets, CallError> {
        #[derive(Deserialize)]
        struct Opened {
            name: SecretName,
            value: SecretText,
        }
        #[derive(Deserialize)]
        struct Redeemed {
            secrets: Vec<Opened>,
        }
        let request = self.daemon.request(Method::GET, &format!("admin/secrets/{}", self.project));
        let answer = self.send(request.header("Secrets-Token", token.reveal()), REPORT_MAX).await?;
        match answer.status.as_u16() {
            // What cannot be read may hold values, so the cause is not told.
            200 => serde_json::from_slice::<Redeemed>(&answer.body)
                .map(|redeemed| {
                    redeemed.secrets.into_iter().map(|opened| (opened.name, opened.value)).collect()
                })
                .map_err(|_| CallError::Refused {
                    status: 200,
                    code: "answerNotUnderstood".to_owned(),
                    message: "the answer with the secrets is not as it must be".to_owned(),
                }),
            _ => Err(answer.refused()),
        }
    }

    /// Sends with the lease and looks at what the answer tells of the job, whatever it was asked.
    async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<Answer, CallError> {
        let answer = self.daemon.send(request.header("Job-Lease", self.lease.as_str()), limit).await?;
        let standing = standing(answer.status.as_u16(), &answer.code(), answer.header("job-status"));
        self.standing.send_if_modified(|known| {
            let worse = standing > *known;
            *known = (*known).max(standing);
            worse
        });
        match (standing, answer.status.as_u16()) {
            (Standing::Barred, status) => Err(CallError::Barred { status, message: answer.code() }),
            (Standing::Lost, 404 | 409) => Err(CallError::Stale),
            _ => Ok(answer),
        }
    }
}

/// What one answer tells of the job. A job whose status is final is nobody's; after our own last report nobody asks.
fn standing(status: u16, code: &str, job_status: Option<&str>) -> Standing {
    match (status, code, job_status) {
        (401, ..) => Standing::Barred,
        (404, ..) | (409, "jobLeaseStale", _) => Standing::Lost,
        (409, "jobEnded", _) => Standing::Held,
        (_, _, Some("completed" | "failed" | "cancelled")) => Standing::Lost,
        (_, _, Some("cancelling")) => Standing::Cancelling,
        _ => Standing::Held,
    }
}

/// `bytes <first>-<last>/*`, where the last byte is counted in (RFC 9110 §14.4).
fn content_range(first: u64, count: usize) -> String {
    let last = first + (count as u64).saturating_sub(1);
    format!("bytes {first}-{last}/*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_status_code_and_header_tell_how_the_job_stands() {
        let told = [
            (200, "", Some("running"), Standing::Held),
            (200, "", None, Standing::Held),
            (202, "", Some("cancelling"), Standing::Cancelling),
            (416, "", Some("cancelling"), Standing::Cancelling),
            (200, "", Some("failed"), Standing::Lost),
            (409, "jobLeaseStale", Some("running"), Standing::Lost),
            (404, "jobUnknown", None, Standing::Lost),
            (401, "unauthorized", None, Standing::Barred),
        ];
        for (status, code, header, expected) in told {
            assert_eq!(standing(status, code, header), expected, "{status} {code} {header:?}");
        }
    }

    #[test]
    fn a_range_counts_its_last_byte_in() {
        assert_eq!(content_range(0, 1), "bytes 0-0/*");
        assert_eq!(content_range(10, 500), "bytes 10-509/*");
    }

    #[test]
    fn an_empty_report_is_an_empty_object() {
        assert_eq!(serde_json::to_string(&Report::default()).unwrap(), "{}");
    }
}
