//! Every change of a job: decided by [`super::lifecycle`], committed once through [`crate::state`].

use std::sync::Arc;

use super::also::Also;
use super::error::JobError;
use super::lease::{Leases, Over};
use super::lifecycle::{self, Event, Outcome, Report};
use super::list::{Cursor, Page, Place};
use super::needs::Unsettled;
use super::open::{JobMemory, OpenJobs};
use super::pace::Pace;
use super::queue::Queue;
use super::turns::Turns;
use super::types::{Job, JobState, LogSum};
use crate::clock::{Clock, Time};
use crate::id::{AgentId, IdMaker, JobId, LeaseId, ProjectId};
use crate::project::Registry;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::oid::Oid;
use crate::state::repo::{Decision, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::{Done, EngineError, State};
use crate::state::tree::Entry;
use crate::state::yaml::{self, BadFile};

/// The jobs of all projects. A clone is the same.
#[derive(Clone)]
pub struct Jobs {
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) ids: Arc<IdMaker>,
    pub(super) registry: Registry,
    pub(super) queue: Queue,
    pub(super) leases: Leases,
    pub(super) turns: Turns,
    pub(super) unsettled: Unsettled,
    pub(super) pace: Pace,
}

/// A job, and where it was found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The job.
    pub job: Arc<Job>,
    /// Its file.
    path: String,
}

impl Finding {
    /// An open job, which is where open jobs are.
    pub(super) fn open(job: Arc<Job>) -> Self {
        let path = layout::open_job(&job.job_id);
        Self { job, path }
    }

    /// Where its file stands.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// What an agent says in one call.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What it says of the job.
    pub report: Report,
    /// How the job ended, if it did.
    pub outcome: Option<Outcome>,
    /// What the log must be.
    pub log: Option<LogSum>,
    /// The version of the job that the caller knows, if it wants no other to change.
    pub only_if: Option<String>,
}

impl Jobs {
    /// Over this state; `memory` is filled by the projection [`OpenJobs`].
    pub fn new(state: State, clock: Clock, registry: Registry, memory: JobMemory) -> Self {
        let (ids, turns) = (Arc::new(IdMaker::new()), Turns::default());
        let JobMemory { queue, leases, unsettled } = memory;
        Self { state, clock, ids, registry, queue, leases, turns, unsettled, pace: Pace::default() }
    }

    /// The names of all projects.
    pub fn projects(&self) -> Vec<ProjectId> {
        self.registry.names()
    }

    /// The queue, for its depth.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// How long claims take.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// An id for a lease that was never used.
    pub fn new_lease(&self, now: Time) -> LeaseId {
        self.ids.lease(now)
    }

    /// The job with this id.
    pub async fn get(&self, id: &JobId) -> Result<Arc<Job>, JobError> {
        for project in self.registry.tagged(id.tag()) {
            let repo = RepoName::Project(project);
            if let Some(job) = self.state.read(&repo, |view| find_open(view, id)).await?? {
                return Ok(job);
            }
            // It has ended, or has been queued again since: then the next look, at memory and files of one moment, finds it.
            let (open, snapshot) = self.state.read_with_snapshot(&repo, |view| find_open(view, id)).await?;
            if let Some(job) = open? {
                return Ok(job);
            }
            let Some(snapshot) = snapshot else { continue };
            let wanted = id.clone();
            let found = tokio::task::spawn_blocking(move || find_in_files(&snapshot, &wanted)).await;
            if let Some(found) = found.map_err(|_| EngineError::Unknown)?? {
                return Ok(found.job);
            }
        }
        Err(JobError::Unknown(id.clone()))
    }

    /// A page of a project's jobs that are `wanted`, and where the next one begins; as they were `at` a commit, if one is named.
    pub async fn page(
        &self,
        project: &ProjectId,
        at: Option<Oid>,
        after: Option<Cursor>,
        limit: usize,
        wanted: impl Fn(&Job) -> bool + Send + 'static,
    ) -> Result<(Vec<Arc<Job>>, Option<Cursor>), JobError> {
        let repo = RepoName::Project(project.clone());
        // Memory has none of the jobs that a fork has from its source.
        let at = match at {
            None if self.registry.is_fork(project) => Some(self.state.read(&repo, |view| view.tip()).await?),
            at => at,
        };
        let commit = after.as_ref().map(|cursor| cursor.commit).or(at);
        let (open, snapshot) = match commit {
            // The first page is what memory has; the later ones are read from the commit that the first one saw.
            None => {
                let ask = |view: &mut View<'_>| -> Vec<Arc<Job>> {
                    view.get::<OpenJobs>()
                        .iter()
                        .rev()
                        .filter(|job| wanted(job))
                        .take(limit)
                        .cloned()
                        .collect()
                };
                self.state.read_with_snapshot(&repo, ask).await?
            }
            Some(commit) => {
                let snapshot = self.state.snapshot_at(&repo, STATE_REF, commit).await?;
                (Vec::new(), Some(snapshot.ok_or(JobError::CursorGone)?))
            }
        };
        let Some(snapshot) = snapshot else { return Ok((Vec::new(), None)) };
        let fill = move || {
            let mut page = Page::new(limit, &snapshot, &wanted);
            match after.map(|cursor| cursor.place) {
                None if at.is_some() => page.fill_from_open(None)?,
                None if !page.take_open(&open) => {}
                None => page.fill_with_done(None)?,
                Some(Place::Open(job)) => page.fill_from_open(Some(&job))?,
                Some(Place::Done(day, job)) => page.fill_with_done(Some((&day, &job)))?,
            }
            Ok((page.jobs, page.next))
        };
        tokio::task::spawn_blocking(fill).await.map_err(|_| EngineError::Unknown)?
    }

    /// The files of a project that should be open jobs and are none.
    pub async fn quarantined(&self, project: &ProjectId) -> Result<Vec<BadFile>, JobError> {
        let ask = |view: &mut View<'_>| view.get::<OpenJobs>().quarantined().cloned().collect();
        Ok(self.state.read(&RepoName::Project(project.clone()), ask).await?)
    }

    /// Takes in what the agent with this lease says; tells the job as it is then. `{}` just renews the lease.
    pub async fn tell(&self, id: &JobId, lease: &LeaseId, told: Told) -> Result<Done<Arc<Job>>, JobError> {
        self.tell_also(id, lease, told, None).await
    }

    /// The same, with what another subject adds to the commit.
    pub async fn tell_also(
        &self,
        id: &JobId,
        lease: &LeaseId,
        told: Told,
        also: Option<Also>,
    ) -> Result<Done<Arc<Job>>, JobError> {
        let now = self.clock.now();
        let decide = |view: &mut View<'_>| -> Result<_, JobError> {
            let found = find(view, id)?.ok_or_else(|| JobError::Unknown(id.clone()))?;
            let actor = agent_of(&found.job);
            if let Some(wanted) = &told.only_if {
                let found = found.job.version();
                if *wanted != found {
                    return Err(JobError::Changed { found });
                }
            }
            if let Some(job) = ended_before(view, &found.job, &actor, lease, &told)? {
                return Ok(Decision::nothing(job));
            }
            holds(&found.job, lease)?;
            let request = told.outcome.is_some().then(|| lease.as_str().to_owned());
            let event = match told.outcome {
                Some(outcome) => Event::Finished { outcome, report: told.report, log: told.log },
                None => Event::Reported(told.report),
            };
            let next = lifecycle::next(&found.job, event, now)?;
            if (Job { updated_at: found.job.updated_at, ..next.clone() }) == *found.job {
                return Ok(Decision::nothing(found.job));
            }
            check_size(&next)?;
            let next = Arc::new(next);
            let mut change = change_of(&found, &next, actor, request);
            if let Some(also) = also {
                change.edits.extend(also(view, &next)?);
            }
            Ok(Decision::commit(change, next))
        };
        let project = self.project_of(id).await?;
        let done = self.state.change(&RepoName::Project(project), decide).await?;
        self.leases.renew(id, lease);
        self.settle_some().await;
        Ok(done)
    }

    /// Asks for a job to end: at once if it waits, by its agent if one has it.
    pub async fn cancel(&self, id: &JobId, actor: Actor) -> Result<Done<Arc<Job>>, JobError> {
        self.happen(id, Event::CancelAsked, actor, None).await
    }

    /// Puts an ended job in the queue again, for another attempt.
    pub async fn retry(&self, id: &JobId, actor: Actor) -> Result<Done<Arc<Job>>, JobError> {
        self.happen(id, Event::Retried, actor, None).await
    }

    /// Ends or requeues every job whose agent is silent or that runs too long; tells how many.
    pub async fn expire(&self) -> Result<usize, JobError> {
        let over = self.leases.over();
        for (id, _, lease, why) in &over {
            let event = match why {
                Over::Silence => Event::LeaseExpired,
                Over::Timeout => Event::TimedOut,
            };
            match self.happen(id, event, Actor::daemon(), Some(lease)).await {
                // The agent was quicker: it reported or lost the job meanwhile.
                Ok(_) | Err(JobError::Move(_) | JobError::LeaseStale { .. } | JobError::Unknown(_)) => {}
                // Its project was removed, and the lease with it.
                Err(JobError::Engine(EngineError::NoRepo(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(over.len())
    }

    async fn happen(
        &self,
        id: &JobId,
        event: Event,
        actor: Actor,
        lease: Option<&LeaseId>,
    ) -> Result<Done<Arc<Job>>, JobError> {
        let now = self.clock.now();
        let decide = |view: &mut View<'_>| -> Result<_, JobError> {
            let found = find(view, id)?.ok_or_else(|| JobError::Unknown(id.clone()))?;
            if let Some(lease) = lease {
                holds(&found.job, lease)?;
            }
            let next = Arc::new(lifecycle::next(&found.job, event, now)?);
            Ok(Decision::commit(change_of(&found, &next, actor, None), next))
        };
        let project = self.project_of(id).await?;
        let done = self.state.change(&RepoName::Project(project), decide).await?;
        self.settle_some().await;
        Ok(done)
    }

    /// The project of a job: told by the tag in its id, and by looking where two projects share a tag.
    async fn project_of(&self, id: &JobId) -> Result<ProjectId, JobError> {
        let mut tagged = self.registry.tagged(id.tag());
        match (tagged.pop(), tagged.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(JobError::Unknown(id.clone())),
            (Some(_), false) => self.get(id).await.map(|job| job.project_id.clone()),
        }
    }
}

/// Refuses a job whose file could not be read back: it would be lost to the queue at the next start.
pub(crate) fn check_size(job: &Job) -> Result<(), JobError> {
    if job.payload.is_empty() && job.result.is_none() && job.failure.is_none() {
        return Ok(());
    }
    let bytes = yaml::write(job).len();
    if bytes > yaml::FILE_BYTES_MAX { Err(JobError::TooLarge { bytes }) } else { Ok(()) }
}

/// Refuses a caller whose lease is not the job's.
pub(crate) fn holds(job: &Job, lease: &LeaseId) -> Result<(), JobError> {
    match &job.lease {
        Some(held) if held.id == *lease => Ok(()),
        _ => Err(JobError::LeaseStale { state: job.state, attempt: job.attempt }),
    }
}

/// The job, if this very lease has ended it already in the same way: the agent did not hear the answer and asks again.
fn ended_before(
    view: &View<'_>,
    job: &Arc<Job>,
    actor: &Actor,
    lease: &LeaseId,
    told: &Told,
) -> Result<Option<Arc<Job>>, JobError> {
    let by_this_lease = job.state.has_ended() && view.request(&actor.name, lease.as_str()).is_some();
    let state = match &told.outcome {
        _ if !by_this_lease => return Ok(None),
        None => job.state,
        Some(Outcome::Completed) => JobState::Completed,
        Some(Outcome::Failed(_)) => JobState::Failed,
        Some(Outcome::Cancelled) => JobState::Cancelled,
    };
    if state == job.state {
        Ok(Some(job.clone()))
    } else {
        Err(lifecycle::MoveError::Ended(job.state).into())
    }
}

/// Who has the job or had it last: the author of what its agent says.
pub(crate) fn agent_of(job: &Job) -> Actor {
    let name = job.claimed_by.as_ref().map_or("unknown", AgentId::as_str);
    Actor { kind: "agent", name: name.into() }
}

/// The commit that takes a job from one version to the next, moving its file when it ends or waits again.
pub(super) fn change_of(from: &Finding, to: &Arc<Job>, actor: Actor, request: Option<String>) -> Change {
    let path = match to.ended_at {
        Some(ended) if to.state.has_ended() => layout::done_job(&to.job_id, ended),
        _ => layout::open_job(&to.job_id),
    };
    let mut edits = Vec::with_capacity(2);
    if from.path != path {
        edits.push(Edit::remove(from.path.as_str()));
    }
    edits.push(Edit::put(path, to.clone()));
    let (what, event) = story(&from.job, to, &actor);
    let subject = format!("job {}: {what}", to.job_id);
    Change { branch: STATE_REF.into(), subject, event, actor, request, edits }
}

/// What happened, in a line for people and a word for programs.
fn story(from: &Job, to: &Job, actor: &Actor) -> (String, &'static str) {
    let event = match (from.state, to.state) {
        (_, JobState::Claimed) if from.state != to.state => "job.claimed",
        (JobState::Pending, JobState::Pending) if to.needs_met_at != from.needs_met_at => "job.ready",
        (_, JobState::Pending) => "job.requeued",
        (_, JobState::Running) if from.state != to.state => "job.started",
        (_, JobState::Completed) => "job.completed",
        (_, JobState::Failed) => "job.failed",
        (_, JobState::Cancelled) => "job.cancelled",
        _ if to.cancel_requested && !from.cancel_requested => "job.cancelRequested",
        _ => "job.progress",
    };
    if from.state != to.state {
        let why =
            to.failure.as_ref().map_or_else(String::new, |failure| format!(" ({})", one_line(&failure.code)));
        return (format!("{} -> {} by {}{why}", from.state, to.state, actor.name), event);
    }
    let what = match &to.progress {
        _ if event == "job.ready" => "ready: all jobs it needs have completed".to_owned(),
        _ if event == "job.cancelRequested" => format!("cancel asked for by {}", actor.name),
        Some(progress) if to.progress != from.progress => one_line(progress),
        _ => "details changed".to_owned(),
    };
    (what, event)
}

/// Text of an agent as part of a commit's first line: no control characters, and not long.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect()
}

/// The job that a commit's first line speaks of.
pub(super) fn job_of_subject(subject: &str) -> Option<JobId> {
    subject.strip_prefix("job ")?.split_once(':')?.0.parse().ok()
}

/// The job and its file, open or done, as the writer sees them.
pub(crate) fn find(view: &mut View<'_>, id: &JobId) -> Result<Option<Finding>, JobError> {
    if let Some(job) = find_open(view, id)? {
        return Ok(Some(Finding::open(job)));
    }
    for day in days_since(view.list(STATE_REF, layout::DONE_JOBS)?, id) {
        let path = layout::done_job_on(id, &day);
        if let Some(file) = view.file(STATE_REF, &path)? {
            let job = Arc::new(yaml::read(&path, "job", &file)?);
            return Ok(Some(Finding { job, path }));
        }
    }
    Ok(None)
}

fn find_open(view: &View<'_>, id: &JobId) -> Result<Option<Arc<Job>>, JobError> {
    let open = view.get::<OpenJobs>();
    match open.find_bad(id) {
        Some(bad) => Err(bad.clone().into()),
        None => Ok(open.find(id).cloned()),
    }
}

/// The same for a reader with time.
pub(super) fn find_in_files(snapshot: &Snapshot, id: &JobId) -> Result<Option<Finding>, JobError> {
    for day in days_since(snapshot.list(layout::DONE_JOBS)?, id) {
        let path = layout::done_job_on(id, &day);
        if let Some(file) = snapshot.file(&path)? {
            let job = Arc::new(yaml::read(&path, "job", &file)?);
            return Ok(Some(Finding { job, path }));
        }
    }
    Ok(None)
}

/// The days on which a job can have ended: from the one its id was made on. Most end on that day, so it comes first.
fn days_since(days: Vec<Entry>, id: &JobId) -> impl Iterator<Item = String> {
    let first = id.made_at().day();
    days.into_iter().map(|entry| entry.name).filter(move |day| *day >= first)
}
