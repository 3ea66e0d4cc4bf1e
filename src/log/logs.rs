//! Appends to logs, reads them, sums them up, and drops those of old days.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::segments::{LogFiles, LogName, Segment};
use crate::clock::Clock;
use crate::id::{JobId, LeaseId};
use crate::job::jobs::{agent_of, find, holds};
use crate::job::open::OpenJobs;
use crate::job::{Job, JobError, Jobs, LogSum};
use crate::state::edit::{Change, Edit};
use crate::state::layout::{LOGS_REF_PREFIX, RepoName};
use crate::state::repo::{Decision, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::{Done, EngineError, State};
use crate::state::tree::{Entry, LoadError};

/// The largest log of one attempt. Beyond it the agent is told, and the job's own output is at fault.
pub const LOG_BYTES_MAX: u64 = 1 << 30;
/// How much text one read gives at most.
pub const READ_BYTES_MAX: usize = 1 << 20;
/// How many segments one read gives at most.
const READ_SEGMENTS_MAX: usize = 256;

/// Why a log was not appended to or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The bytes do not go on where the log ends; send from `size` on.
    #[error("the log has {size} bytes, and these begin at {start}; go on at {size}")]
    Gap {
        /// Bytes stored.
        size: u64,
        /// Where the caller's bytes begin.
        start: u64,
    },
    /// The job has had no such attempt.
    #[error("the job has had {attempts} attempts, and none numbered {asked}")]
    NoAttempt {
        /// How many it has had.
        attempts: u32,
        /// Which one was asked for.
        asked: u32,
    },
    /// The log would be larger than a log may be.
    #[error("the log would have more than {LOG_BYTES_MAX} bytes; write less to it")]
    TooLarge,
    /// The job, its lease, or the engine.
    #[error(transparent)]
    Job(#[from] JobError),
}

impl From<EngineError> for LogError {
    fn from(error: EngineError) -> Self {
        LogError::Job(error.into())
    }
}

impl From<LoadError> for LogError {
    fn from(error: LoadError) -> Self {
        LogError::Job(error.into())
    }
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The offset of its first byte.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// The logs of all jobs. A clone is the same.
#[derive(Clone)]
pub struct Logs {
    state: State,
    clock: Clock,
    jobs: Jobs,
}

impl Logs {
    /// Over this state.
    pub fn new(state: State, clock: Clock, jobs: Jobs) -> Self {
        Self { state, clock, jobs }
    }

    /// Appends what the holder of the lease wrote, if it begins where the log ends; tells the size then, and the job.
    pub async fn append(
        &self,
        id: &JobId,
        lease: &LeaseId,
        start: u64,
        bytes: Bytes,
    ) -> Result<Done<(u64, Arc<Job>)>, LogError> {
        let job = self.jobs.get(id).await?;
        let decide = |view: &mut View<'_>| -> Result<_, LogError> {
            // The job as it is now: it may have ended since it was looked up.
            let job = find(view, id)?.ok_or_else(|| JobError::Unknown(id.clone()))?.job;
            holds(&job, lease)?;
            let Some(name) = name_of(&job, job.attempt) else {
                return Err(JobError::LeaseStale { state: job.state, attempt: job.attempt }.into());
            };
            let branch = name.branch();
            let end = name.end(&mut Writing { view, branch: &branch })?;
            if start != end.size {
                return Err(LogError::Gap { size: end.size, start });
            }
            let size = end.size + bytes.len() as u64;
            if size > LOG_BYTES_MAX {
                return Err(LogError::TooLarge);
            }
            if bytes.is_empty() {
                return Ok(Decision::nothing((size, job)));
            }
            let change = append_change(&job, branch, name.next_path(end), end.size, bytes);
            Ok(Decision::commit(change, (size, job)))
        };
        let done = self.state.change(&RepoName::Project(job.project_id.clone()), decide).await?;
        self.jobs.leases().renew(id, lease);
        Ok(done)
    }

    /// What is stored from `from` on, up to a megabyte; and how many bytes there are up to the end of what is given.
    pub async fn read(&self, job: &Job, attempt: u32, from: u64) -> Result<Vec<Part>, LogError> {
        self.check_attempt(job, attempt)?;
        let Some(name) = name_of(job, attempt) else { return Ok(Vec::new()) };
        let repo = RepoName::Project(job.project_id.clone());
        let Some(snapshot) = self.state.snapshot(&repo, &name.branch()).await? else { return Ok(Vec::new()) };
        let read = tokio::task::spawn_blocking(move || parts(&snapshot, &name, from)).await;
        Ok(read.map_err(|_| EngineError::Unknown)??)
    }

    /// How many bytes are stored.
    pub async fn size(&self, job: &Job, attempt: u32) -> Result<u64, LogError> {
        self.check_attempt(job, attempt)?;
        let Some(name) = name_of(job, attempt) else { return Ok(0) };
        let repo = RepoName::Project(job.project_id.clone());
        let Some(snapshot) = self.state.snapshot(&repo, &name.branch()).await? else { return Ok(0) };
        let read = tokio::task::spawn_blocking(move || name.end(&mut Reading(&snapshot))).await;
        Ok(read.map_err(|_| EngineError::Unknown)??.size)
    }

    /// Refuses an attempt that the job has not had.
    pub fn check_attempt(&self, job: &Job, attempt: u32) -> Result<(), LogError> {
        let is_known = (1..=job.attempt).contains(&attempt);
        if is_known { Ok(()) } else { Err(LogError::NoAttempt { attempts: job.attempt, asked: attempt }) }
    }

    /// Checks the whole log of a job's attempt against what its agent says it is. A log of the right size with another
    /// sum is dropped, so that the agent can send it again.
    pub async fn check(&self, job: &Job, lease: &LeaseId, said: &LogSum) -> Result<(), LogError> {
        holds(job, lease)?;
        let stored = self.sum(job).await?;
        if stored == *said {
            return Ok(());
        }
        let size = if stored.size < said.size { stored.size } else { self.drop_log(job, lease).await? };
        Err(JobError::LogIncomplete { stored: size, reported: said.size }.into())
    }

    /// The same by size alone; gives what the stored log is.
    pub async fn check_size(&self, job: &Job, lease: &LeaseId, said: &LogSum) -> Result<LogSum, LogError> {
        holds(job, lease)?;
        let stored = self.sum(job).await?;
        if stored.size == said.size {
            return Ok(stored);
        }
        Err(JobError::LogIncomplete { stored: stored.size, reported: said.size }.into())
    }

    /// Size and SHA-256 of the log of a job's present attempt.
    pub async fn sum(&self, job: &Job) -> Result<LogSum, LogError> {
        let (mut size, mut sum) = (0, Sha256::new());
        loop {
            let parts = self.read(job, job.attempt, size).await?;
            if parts.is_empty() {
                let sha256 = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
                return Ok(LogSum { size, sha256 });
            }
            for part in parts {
                sum.update(&part.bytes);
                size += part.bytes.len() as u64;
            }
        }
    }

    async fn drop_log(&self, job: &Job, lease: &LeaseId) -> Result<u64, LogError> {
        let decide = |view: &mut View<'_>| -> Result<_, LogError> {
            let open = view.get::<OpenJobs>().find(&job.job_id).cloned();
            let held = open.ok_or_else(|| JobError::Unknown(job.job_id.clone()))?;
            holds(&held, lease)?;
            let Some(name) = name_of(&held, held.attempt) else { return Ok(Decision::nothing(0)) };
            let branch = name.branch();
            let all = name.segments(&mut Writing { view, branch: &branch }, 0, usize::MAX)?;
            let edits = all.into_iter().map(|segment| Edit::remove(segment.path)).collect();
            let subject = format!("log {}: dropped, its sum was wrong", job.job_id);
            let actor = agent_of(&held);
            let change =
                Change { branch: branch.into(), subject, event: "log.dropped", actor, request: None, edits };
            Ok(Decision::commit(change, 0))
        };
        Ok(self.state.change(&RepoName::Project(job.project_id.clone()), decide).await?.answer)
    }

    /// Drops the log branches of days that are longer ago than `keep`; tells how many. A repository that cannot be read
    /// is said so, and does not keep the others' logs alive.
    pub async fn drop_old(&self, keep: Duration) -> usize {
        let oldest = format!("{LOGS_REF_PREFIX}{}", self.clock.now().before(keep).day());
        let mut dropped = 0;
        for project in self.jobs.projects() {
            let repo = RepoName::Project(project);
            match self.drop_before(&repo, &oldest).await {
                Ok(count) => dropped += count,
                Err(error) => {
                    tracing::error!(%repo, %error, "old logs were not dropped; the next round tries again")
                }
            }
        }
        dropped
    }

    async fn drop_before(&self, repo: &RepoName, oldest: &str) -> Result<usize, EngineError> {
        let mut dropped = 0;
        for branch in self.state.branches(repo, LOGS_REF_PREFIX).await? {
            if branch.as_str() < oldest && self.state.drop_branch(repo, &branch).await? {
                tracing::info!(%repo, %branch, "the logs of a day are dropped");
                dropped += 1;
            }
        }
        Ok(dropped)
    }
}

/// The log of an attempt; `None` if no agent had it.
fn name_of(job: &Job, attempt: u32) -> Option<LogName> {
    job.log_day(attempt).map(|day| LogName { job: job.job_id.clone(), attempt, day })
}

fn append_change(job: &Job, branch: String, path: String, offset: u64, bytes: Bytes) -> Change {
    let subject = format!("log {}: {} bytes at {offset}", job.job_id, bytes.len());
    let edits = vec![Edit::write(path, bytes)];
    Change {
        branch: branch.into(),
        subject,
        event: "log.appended",
        actor: agent_of(job),
        request: None,
        edits,
    }
}

fn parts(snapshot: &Snapshot, name: &LogName, from: u64) -> Result<Vec<Part>, LoadError> {
    let segments = name.segments(&mut Reading(snapshot), from, READ_SEGMENTS_MAX)?;
    let (mut parts, mut total) = (Vec::new(), 0);
    for Segment { offset, path } in segments {
        let bytes = snapshot.file(&path)?.unwrap_or_default();
        let skip = usize::try_from(from.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.slice(skip..);
        if !bytes.is_empty() {
            total += bytes.len();
            parts.push(Part { offset: offset + skip as u64, bytes });
        }
        if total >= READ_BYTES_MAX {
            break;
        }
    }
    Ok(parts)
}

struct Writing<'a, 'v> {
    view: &'a mut View<'v>,
    branch: &'a str,
}

impl LogFiles for Writing<'_, '_> {
    type Error = LoadError;
    fn list(&mut self, path: &str) -> Result<Vec<Entry>, LoadError> {
        self.view.list(self.branch, path)
    }
    fn length(&mut self, path: &str) -> Result<u64, LoadError> {
        Ok(self.view.file(self.branch, path)?.map_or(0, |bytes| bytes.len() as u64))
    }
}

struct Reading<'a>(&'a Snapshot);

impl LogFiles for Reading<'_> {
    type Error = LoadError;
    fn list(&mut self, path: &str) -> Result<Vec<Entry>, LoadError> {
        self.0.list(path)
    }
    fn length(&mut self, path: &str) -> Result<u64, LoadError> {
        Ok(self.0.file(path)?.map_or(0, |bytes| bytes.len() as u64))
    }
}
