//! The agent program behind `mrx agent`: claims a job, runs it in a sandbox, and reports. One job at a time.
//!
//! In reading order:
//! - `options` what an operator chooses   - `stop` how the program is asked to end
//! - `claim` waits for a job   - `job` one job's life   - `finish` its last words: the rest of the log, the report
//! - `deliver` what follows the work   - `record` how far a job is, on disk   - `resume` what a start does about jobs left there
//! - `build` what a build job does: `checkout`, `recipe`, `step`, `artifact`   - `halt` what interrupts it
//! - `chat` what a chat job does: `model`, the server that it asks   - `patch` what a patch job does
//! - `program` what any job does if the operator names a command
//! - `sandbox` what a step may see and touch   - `run` starts programs and ends them
//! - `spool` the log on disk   - `upload` sends it   - `lease` renews the lease and learns of a cancel
//! - `daemon_client` the daemon over HTTP   - `job_client` the calls that carry a lease   - `backoff` how long to wait
//! - `folder` the folders it works in   - `secrets` the values that a job may use
//!
//! Invariant: everything known of the daemon comes by `docs/agents.md`; no module of the daemon is used here.
//! Invariant: a job that is no longer ours is stopped, and nothing is said about it.
//! Invariant: a step sees neither the agent's token, nor its home, nor another job's folder.

mod artifact;
mod backoff;
mod build;
mod chat;
mod checkout;
mod claim;
mod daemon_client;
mod deliver;
mod finish;
mod folder;
mod halt;
mod instruction;
mod job;
mod job_client;
mod lease;
mod model;
mod options;
mod patch;
mod program;
mod recipe;
mod record;
mod resume;
mod run;
pub mod sandbox;
pub mod secrets;
mod spool;
mod step;
mod stop;
mod upload;

#[cfg(test)]
mod stories;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use anyhow::Context;

use crate::clock::Clock;
use backoff::Pace;
use daemon_client::DaemonClient;
use folder::WorkFolder;
use job::Job;

pub use options::{AgentOptions, AgentToken, ProgramOptions, SandboxChoice};
pub use stop::{Stop, StopSender};

/// Claims and runs jobs until `stop` asks it to end, the token is refused, or its time is over.
///
/// # Errors
/// The sandbox does not work, the work folder cannot be used or is in use, or the daemon refuses the token or the claim.
pub async fn run(options: AgentOptions, stop: Stop) -> anyhow::Result<()> {
    run_at(options, stop, Pace::default()).await
}

/// [`run`] with the waits given, so tests need not sit through them.
pub(crate) async fn run_at(options: AgentOptions, mut stop: Stop, pace: Pace) -> anyhow::Result<()> {
    let sandbox = sandbox::probe(options.sandbox).await?;
    let work = WorkFolder::open(&options.work_dir)
        .with_context(|| format!("use {} as the work folder", options.work_dir.display()))?;
    let daemon = Arc::new(DaemonClient::new(&options).context("prepare to call the daemon")?);
    let clock = Clock::system();
    tracing::info!(agent = %options.name, daemon = %options.daemon, "the agent is ready");
    resume::resume(&daemon, &options.name, &work, &stop, pace).await?;
    while let Some(claim) = claim::next(&daemon, &options, &clock, &mut stop, pace).await? {
        let job = Job {
            daemon: daemon.clone(),
            agent: &options.name,
            program: options.program.as_ref(),
            sandbox: &sandbox,
            work: &work,
            stop: stop.clone(),
            pace,
        };
        job.run(claim).await?;
    }
    tracing::info!(agent = %options.name, "the agent ends");
    Ok(())
}
