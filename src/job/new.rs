//! Jobs in their first moment: what may be asked for, and the commit that makes one.

use std::sync::Arc;

use super::error::JobError;
use super::jobs::{Jobs, check_size, find, job_of_subject};
use super::needs;
use super::types::{Job, JobState, JobType, RequestKey};
use crate::clock::Time;
use crate::id::{GroupName, IdMaker, JobId, Label, ProjectId};
use crate::project::Registry;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::object::Object;
use crate::state::repo::{Decision, View};
use crate::state::store::Done;

/// How long a job may run if nobody says, and at most, in seconds.
pub(crate) const TIMEOUT_SECONDS_DEFAULT: u32 = 3600;
const TIMEOUT_SECONDS_MAX: u32 = 7 * 24 * 3600;
/// Labels of a job or an agent.
pub(crate) const LABELS_MAX: usize = 32;
/// Jobs that one job needs: each is looked up under the repository's lock.
const NEEDS_MAX: usize = 16;

/// A job to be made.
pub struct NewJob {
    /// Whose.
    pub project: ProjectId,
    /// What kind.
    pub kind: JobType,
    /// What to do.
    pub payload: Object,
    /// Higher goes first.
    pub priority: i8,
    /// What its agent must offer.
    pub labels: Vec<Label>,
    /// How long it may run.
    pub timeout_seconds: u32,
    /// The jobs that must complete first.
    pub needs: Vec<JobId>,
    /// Of the jobs with the same group one is held at a time.
    pub concurrency_group: Option<GroupName>,
}

impl Jobs {
    /// Makes a job that waits. The same request makes it once.
    pub async fn create(
        &self,
        new: NewJob,
        actor: Actor,
        request: Option<RequestKey>,
    ) -> Result<Done<Arc<Job>>, JobError> {
        accepts(&self.registry, &new.project)?;
        let now = self.clock.now();
        let repo = RepoName::Project(new.project.clone());
        let job = Arc::new(pending(new, self.ids.as_ref(), now));
        check_size(&job)?;
        let decide = |view: &mut View<'_>| -> Result<_, JobError> {
            let known = request.as_ref().and_then(|key| view.request(&actor.name, key.as_str()));
            if let Some(id) = known.and_then(job_of_subject) {
                return find(view, &id)?
                    .ok_or(JobError::Unknown(id))
                    .map(|found| Decision::nothing(found.job));
            }
            let job = needs::first_moment(view, job)?;
            let request = request.as_ref().map(|key| key.as_str().to_owned());
            Ok(Decision::commit(creation(job.clone(), actor, request), job))
        };
        let done = self.state.change(&repo, decide).await?;
        self.settle_some().await;
        Ok(done)
    }
}

/// Refuses a project that takes no new jobs.
pub(crate) fn accepts(registry: &Registry, project: &ProjectId) -> Result<(), JobError> {
    match registry.find(project) {
        None => Err(JobError::UnknownProject(project.clone())),
        Some(found) if found.trashed_at.is_some() => Err(JobError::ProjectTrashed(project.clone())),
        Some(found) if found.archived => Err(JobError::ProjectArchived(project.clone())),
        Some(_) => Ok(()),
    }
}

/// Refuses what no job may be.
pub(crate) fn check(new: &NewJob) -> Result<(), JobError> {
    check_limits(new.timeout_seconds, &new.labels, &new.needs)?;
    check_payload(new.kind, &new.payload)
}

/// Refuses what no job may be, of whatever type.
pub(crate) fn check_limits(timeout_seconds: u32, labels: &[Label], needs: &[JobId]) -> Result<(), JobError> {
    let refused = |why: String| Err(JobError::Invalid(why));
    if !(1..=TIMEOUT_SECONDS_MAX).contains(&timeout_seconds) {
        return refused(format!("timeoutSeconds is {timeout_seconds}; it can be 1 to {TIMEOUT_SECONDS_MAX}"));
    }
    if labels.len() > LABELS_MAX {
        return refused(format!("a job has at most {LABELS_MAX} labels"));
    }
    if needs.len() > NEEDS_MAX {
        return refused(format!("a job needs at most {NEEDS_MAX} others"));
    }
    let is_again = |at: usize| needs[..at].contains(&needs[at]);
    if let Some(at) = (0..needs.len()).find(|at| is_again(*at)) {
        return refused(format!("needs names {} twice", needs[at]));
    }
    Ok(())
}

/// A build says at most which ref to build; a ref is a branch, a tag or a commit, never an option or a path.
fn check_payload(kind: JobType, payload: &Object) -> Result<(), JobError> {
    if kind != JobType::Build {
        return Ok(());
    }
    for name in payload.names() {
        if !matches!(name, "ref" | "buildNumber") {
            return Err(JobError::Invalid(format!(
                "the payload of a build has ref and buildNumber, not {name:?}"
            )));
        }
        if payload.text(name).is_none() {
            return Err(JobError::Invalid(format!("{name} must be text")));
        }
    }
    match payload.text("ref") {
        Some(reference) if !is_ref(reference) => {
            Err(JobError::Invalid(format!("{reference:?} is no branch, tag or commit")))
        }
        _ => Ok(()),
    }
}

fn is_ref(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && !text.starts_with('-')
        && git2::Reference::is_valid_name(&format!("refs/heads/{text}"))
}

/// The commit that makes a job: open, or ended already with a job that it needs.
fn creation(job: Arc<Job>, actor: Actor, request: Option<String>) -> Change {
    let path = match job.ended_at {
        Some(ended) => layout::done_job(&job.job_id, ended),
        None => layout::open_job(&job.job_id),
    };
    let needs = match job.needs.len() {
        _ if job.state.has_ended() => ", with a job it needs".to_owned(),
        0 => String::new(),
        count => format!(", needs {count}"),
    };
    let subject = format!("job {}: {} {}{needs}", job.job_id, job.state, job.kind.word());
    let edits = vec![Edit::put(path, job)];
    Change { branch: STATE_REF.into(), subject, event: "job.created", actor, request, edits }
}

/// A job in its first moment.
pub(crate) fn pending(new: NewJob, ids: &IdMaker, now: Time) -> Job {
    let id = ids.job(&new.project, now);
    with_id(new, id, now)
}

/// The same, with an id that was made for it.
pub(crate) fn with_id(new: NewJob, id: JobId, now: Time) -> Job {
    Job {
        job_id: id,
        project_id: new.project,
        kind: new.kind,
        state: JobState::Pending,
        priority: new.priority,
        labels: new.labels,
        needs: new.needs,
        needs_met_at: None,
        concurrency_group: new.concurrency_group,
        schedule: None,
        payload: new.payload,
        attempt: 1,
        earlier: Vec::new(),
        timeout_seconds: new.timeout_seconds,
        claimed_by: None,
        lease: None,
        cancel_requested: false,
        progress: None,
        result: None,
        failure: None,
        log: None,
        created_at: now,
        updated_at: now,
        claimed_at: None,
        started_at: None,
        ended_at: None,
    }
}
