//! One job's life: its folder, its log, its lease and its build, until its end is told or known to be another's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::backoff::Pace;
use super::build::{Build, BuildEnd};
use super::chat::Chat;
use super::daemon_client::{CallError, Claim, DaemonClient};
use super::finish::{self, Log};
use super::folder::{JobFolder, WorkFolder};
use super::halt::{Alarm, Halt};
use super::job_client::{ChatAnswer, Failure, FailureCode, JobClient, Report, Standing, State};
use super::lease;
use super::patch::Patch;
use super::sandbox::Sandbox;
use super::secrets::{self, JobSecrets};
use super::spool::Spool;
use super::stop::Stop;
use super::upload::{UploadError, upload};

/// The types of jobs that are run here.
const BUILD: &str = "build";
const CHAT: &str = "chat";
const PATCH: &str = "patch";
/// They all, as a claim says them.
pub const TYPES: &[&str] = &[BUILD, CHAT, PATCH];
/// No job is worth a week; a larger number from the daemon is a mistake.
const JOB_SECONDS_MAX: u64 = 7 * 24 * 3600;

/// How a job ended for this agent.
#[derive(Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// The daemon has recorded this.
    Reported(State),
    /// The job is no longer ours.
    Lost,
    /// The token is accepted no more.
    Barred,
    /// The daemon could not be told.
    Unreported(String),
}

/// What a job is run with.
pub struct Job<'a> {
    pub daemon: Arc<DaemonClient>,
    pub sandbox: &'a Sandbox,
    pub work: &'a WorkFolder,
    pub stop: Stop,
    pub pace: Pace,
}

impl Job<'_> {
    /// Runs the job of `claim` to its end. Its folder is gone afterwards.
    pub async fn run(self, claim: Claim) -> JobEnd {
        let calls = Arc::new(JobClient::new(self.daemon.clone(), &claim));
        let secrets = match secrets::fetch(&calls, claim.secrets_token.as_ref(), self.pace).await {
            Ok(secrets) => secrets,
            Err(CallError::Stale | CallError::Barred { .. }) => return given_up(*calls.standing().borrow()),
            Err(error) => {
                let text = format!("the project's secrets could not be fetched: {error}");
                let report = failed(Failure::new(FailureCode::SecretsUnavailable, text));
                return finish::finish(&calls, Log::None, report, self.stop, self.pace).await;
            }
        };
        calls.hide(secrets.matcher());
        let (folder, spool) = match self.prepare(&claim, &secrets) {
            Ok(prepared) => prepared,
            Err(error) => {
                let text = format!("the agent's work folder cannot be used: {error}");
                let report = failed(Failure::new(FailureCode::AgentFault, text));
                return finish::finish(&calls, Log::None, report, self.stop, self.pace).await;
            }
        };
        let begins = if claim.job.kind == CHAT { "reading the chat" } else { "fetching the code" };
        let (progress, news) = watch::channel(begins.to_owned());
        let mut keeper = JoinSet::new();
        keeper.spawn(lease::keep(calls.clone(), news, claim.lease.seconds, self.pace));
        let mut uploader = uploader(spool.clone(), calls.clone(), self.pace);
        let work = self.work(&claim, (&folder, &spool), &calls, &secrets, &progress);
        let ((ended, answer), log_is_whole) = tokio::select! {
            worked = work => (worked, true),
            Some(sent) = uploader.join_next() => ((Err(log_ended(sent.unwrap_or(Ok(())))), None), false),
        };
        say_end(&spool, &ended);
        spool.close();
        let Some(report) = report(ended) else { return given_up(*calls.standing().borrow()) };
        let report = Report { answer, ..report };
        let log = if log_is_whole { Log::Of { spool: &spool, uploader, keeper } } else { Log::None };
        finish::finish(&calls, log, report, self.stop, self.pace).await
    }

    fn prepare(&self, claim: &Claim, secrets: &JobSecrets) -> io::Result<(JobFolder, Arc<Spool>)> {
        let folder = self.work.job(&claim.job)?;
        let spool = Spool::create(&folder.log(), secrets.matcher())?;
        Ok((folder, Arc::new(spool)))
    }

    /// Does what the job's type asks for; gives its result, and the answer if it was to answer.
    async fn work(
        &self,
        claim: &Claim,
        (folder, spool): (&JobFolder, &Spool),
        calls: &JobClient,
        secrets: &JobSecrets,
        progress: &watch::Sender<String>,
    ) -> (Result<Value, BuildEnd>, Option<ChatAnswer>) {
        let alarm = Alarm::new(
            calls.standing(),
            self.stop.clone(),
            Duration::from_secs(claim.job.timeout_seconds.min(JOB_SECONDS_MAX)),
        );
        let pace = self.pace;
        match claim.job.kind.as_str() {
            BUILD => {}
            CHAT => return Chat { claim, spool, calls, secrets, progress, alarm, pace }.run().await,
            PATCH => return (Patch { claim, folder, spool, alarm }.run().await, None),
            other => {
                let text = format!("this agent runs no jobs of type {other}");
                return (Err(BuildEnd::Failed(Failure::new(FailureCode::TypeUnknown, text))), None);
            }
        }
        let build =
            Build { claim, sandbox: self.sandbox, folder, spool, calls, secrets, progress, alarm, pace };
        (build.run().await, None)
    }
}

fn uploader(spool: Arc<Spool>, calls: Arc<JobClient>, pace: Pace) -> JoinSet<Result<(), UploadError>> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { upload(&spool, &calls, 0, pace).await });
    tasks
}

/// What it means for a build that its log goes no further.
fn log_ended(sent: Result<(), UploadError>) -> BuildEnd {
    match sent {
        Err(UploadError::Lost) => BuildEnd::Halted(Halt::Lost),
        Err(error @ UploadError::TooLarge) => {
            BuildEnd::Failed(Failure::new(FailureCode::LogTooLarge, error.to_string()))
        }
        Err(error) => BuildEnd::Failed(Failure::new(FailureCode::AgentFault, error.to_string())),
        Ok(()) => BuildEnd::Failed(Failure::new(
            FailureCode::AgentFault,
            "sending the log came to an end too early",
        )),
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
        Err(BuildEnd::Failed(failure)) => Some(failed(failure)),
        Err(BuildEnd::Halted(Halt::Lost | Halt::Barred)) => None,
        Err(BuildEnd::Halted(_)) => Some(Report { state: Some(State::Cancelled), ..Report::default() }),
    }
}

fn failed(failure: Failure) -> Report {
    Report { state: Some(State::Failed), failure: Some(failure), ..Report::default() }
}

fn given_up(standing: Standing) -> JobEnd {
    if standing == Standing::Barred { JobEnd::Barred } else { JobEnd::Lost }
}
