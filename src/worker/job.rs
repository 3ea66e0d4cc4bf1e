//! One job's life: its folder, its log, its lease and its work, until its end is told or known to be another's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::backoff::Pace;
use super::build::{Build, BuildEnd};
use super::chat::Chat;
use super::daemon_client::{CallError, Claim, DaemonClient};
use super::deliver::{Delivery, Made, Senders, given_up};
use super::finish::{self, Log};
use super::folder::{JobFolder, WorkFolder};
use super::halt::{Alarm, Halt};
use super::job_client::{ChatAnswer, Failure, FailureCode, JobClient, Report, State};
use super::lease;
use super::options::ProgramOptions;
use super::patch::Patch;
use super::program::ProgramJob;
use super::record::{Files, Record, Stage};
use super::sandbox::Sandbox;
use super::secrets::{self, JobSecrets};
use super::spool::Spool;
use super::stop::Stop;
use super::upload::{UploadError, upload};
use crate::id::{AgentId, JobId};

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
    /// The daemon will not be told.
    Unreported(String),
    /// The daemon could not be told yet. What is to be told is kept for the agent's next start.
    Kept(String),
}

impl JobEnd {
    /// Says how it ended, and lets go of the folder of a job of which there is nothing more to tell.
    ///
    /// # Errors
    /// The token is accepted no more.
    pub fn settle(self, id: &JobId, folder: Option<&JobFolder>) -> anyhow::Result<()> {
        match self {
            Self::Reported(state) => tracing::info!(job = %id, ?state, "the job ended"),
            Self::Lost => {
                tracing::warn!(job = %id, "the job is no longer this agent's; its work is thrown away")
            }
            Self::Unreported(why) => tracing::error!(job = %id, why, "the job's end could not be reported"),
            Self::Kept(why) => {
                tracing::error!(job = %id, why, "the job's end is told when the agent starts again");
                return Ok(());
            }
            Self::Barred => anyhow::bail!("the daemon does not accept this agent's token any more"),
        }
        if let Some(folder) = folder {
            folder.let_go();
        }
        Ok(())
    }
}

/// What a job is run with.
pub struct Job<'a> {
    pub daemon: Arc<DaemonClient>,
    pub agent: &'a AgentId,
    pub program: Option<&'a ProgramOptions>,
    pub sandbox: &'a Sandbox,
    pub work: &'a WorkFolder,
    pub stop: Stop,
    pub pace: Pace,
}

impl Job<'_> {
    /// Runs the job of `claim` to its end. Its folder is gone afterwards, unless the end is still to be told.
    ///
    /// # Errors
    /// The token is accepted no more.
    pub async fn run(self, claim: Claim) -> anyhow::Result<()> {
        let folder = self.work.job(&claim.job);
        let id = claim.job.job_id.clone();
        match folder {
            Ok(folder) => self.run_in(&folder, claim).await.settle(&id, Some(&folder)),
            Err(error) => {
                let calls = JobClient::new(self.daemon.clone(), &claim);
                let report = unusable(&error);
                let end = finish::finish(&calls, Log::None, report, self.stop, self.pace).await;
                end.settle(&id, None)
            }
        }
    }

    async fn run_in(self, folder: &JobFolder, claim: Claim) -> JobEnd {
        let calls = Arc::new(JobClient::new(self.daemon.clone(), &claim));
        let secrets = match secrets::fetch(&calls, claim.secrets_token.as_ref(), self.pace).await {
            Ok(secrets) => secrets,
            Err(CallError::Stale | CallError::Barred { .. }) => return given_up(*calls.standing().borrow()),
            Err(error) => {
                let text = format!("the project's secrets could not be fetched: {error}");
                let report = Report::failed(Failure::new(FailureCode::SecretsUnavailable, text));
                return finish::finish(&calls, Log::None, report, self.stop, self.pace).await;
            }
        };
        calls.hide(secrets.matcher());
        let spool = match self.prepare(folder, &claim, &secrets) {
            Ok(spool) => spool,
            Err(error) => {
                return finish::finish(&calls, Log::None, unusable(&error), self.stop, self.pace).await;
            }
        };
        let (progress, news) = watch::channel(self.begins(&claim).to_owned());
        let mut senders = senders(&spool, &calls, news, &claim, self.pace);
        let delivery = Delivery {
            agent: self.agent,
            claim: &claim,
            folder,
            spool: &spool,
            calls: &calls,
            pace: self.pace,
        };
        let work = async {
            let (made, answer) = self.work(&claim, (folder, &spool), &calls, &secrets, &progress).await;
            match made {
                Ok(made) => (delivery.upload(made).await, answer),
                Err(end) => (Err(end), answer),
            }
        };
        let ((ended, answer), log_is_whole) = tokio::select! {
            worked = work => (worked, true),
            Some(sent) = senders.uploader.join_next() => ((Err(log_ended(sent.unwrap_or(Ok(())))), None), false),
        };
        delivery.end(ended, answer, log_is_whole.then_some(senders), self.stop).await
    }

    fn prepare(&self, folder: &JobFolder, claim: &Claim, secrets: &JobSecrets) -> io::Result<Arc<Spool>> {
        let spool = Spool::create(&folder.log(), secrets.matcher())?;
        let record = Record { agent: self.agent.clone(), claim: claim.clone(), stage: Stage::Running };
        folder.record(&record)?;
        Ok(Arc::new(spool))
    }

    fn begins(&self, claim: &Claim) -> &'static str {
        match claim.job.kind.as_str() {
            _ if self.program.is_some() => "running the program",
            CHAT => "reading the chat",
            _ => "fetching the code",
        }
    }

    /// Does what the job's type asks for; gives what it made, and the answer if it was to answer.
    async fn work(
        &self,
        claim: &Claim,
        (folder, spool): (&JobFolder, &Spool),
        calls: &JobClient,
        secrets: &JobSecrets,
        progress: &watch::Sender<String>,
    ) -> (Result<Made, BuildEnd>, Option<ChatAnswer>) {
        let alarm = Alarm::new(
            calls.standing(),
            self.stop.clone(),
            Duration::from_secs(claim.job.timeout_seconds.min(JOB_SECONDS_MAX)),
        );
        let (sandbox, pace) = (self.sandbox, self.pace);
        if let Some(program) = self.program {
            let job = ProgramJob { program, claim, sandbox, folder, spool, secrets, progress, alarm, pace };
            return job.run().await;
        }
        let made = |result, alarm| Made { result, files: Files::default(), alarm };
        match claim.job.kind.as_str() {
            BUILD => {
                let build = Build { claim, sandbox, folder, spool, secrets, progress, alarm };
                (build.run().await, None)
            }
            CHAT => {
                let chat = Chat { claim, spool, calls, secrets, progress, alarm: alarm.clone(), pace };
                let (ended, answer) = chat.run().await;
                (ended.map(|result| made(result, alarm)), answer)
            }
            PATCH => {
                let patch = Patch { claim, folder, spool, secrets, alarm: alarm.clone(), pace };
                (patch.run().await.map(|result| made(result, alarm)), None)
            }
            other => {
                let text = format!("this agent runs no jobs of type {other}");
                (Err(BuildEnd::Failed(Failure::new(FailureCode::TypeUnknown, text))), None)
            }
        }
    }
}

/// Starts sending the log and keeping the lease.
pub fn senders(
    spool: &Arc<Spool>,
    calls: &Arc<JobClient>,
    news: watch::Receiver<String>,
    claim: &Claim,
    pace: Pace,
) -> Senders {
    let (mut uploader, mut keeper) = (JoinSet::new(), JoinSet::new());
    keeper.spawn(lease::keep(calls.clone(), news, claim.lease.seconds, pace));
    let (spool, calls) = (spool.clone(), calls.clone());
    uploader.spawn(async move { upload(&spool, &calls, 0, pace).await });
    Senders { uploader, keeper }
}

/// What it means for a job that its log goes no further.
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

fn unusable(error: &io::Error) -> Report {
    let text = format!("the agent's work folder cannot be used: {error}");
    Report::failed(Failure::new(FailureCode::AgentFault, text))
}
