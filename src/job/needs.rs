//! Jobs that need others: decides what becomes of a job when those it needs have ended, and sees that it does.
//!
//! A blocked job is not in the queue. The projection of open jobs marks it here when one of its needs is not open any
//! more; then its needs are looked at as the files say they are, and the job becomes claimable, or ends with its needs.
//! A mark is memory only: at a start every blocked job with such a need is marked again.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;

use super::error::JobError;
use super::jobs::{Finding, Jobs, change_of, find};
use super::lifecycle::{self, Event};
use super::open::OpenJobs;
use super::types::{Failure, Job, JobState};
use crate::id::{JobId, ProjectId};
use crate::state::edit::Actor;
use crate::state::layout::RepoName;
use crate::state::object::Object;
use crate::state::repo::{Decision, View};
use crate::state::store::EngineError;

/// At most so many jobs are seen to before the end of another is answered; the daemon's round sees to the rest.
pub(super) const SETTLED_INLINE_MAX: usize = 32;

/// Blocked jobs whose needs are to be looked at. A clone is the same set.
#[derive(Clone, Default)]
pub struct Unsettled(Arc<Mutex<BTreeSet<(ProjectId, JobId)>>>);

impl Unsettled {
    /// The needs of this job are to be looked at.
    pub fn mark(&self, project: &ProjectId, job: &JobId) {
        self.0.lock().insert((project.clone(), job.clone()));
    }

    fn take(&self) -> Option<Mark<'_>> {
        let what = self.0.lock().pop_first()?;
        Some(Mark { of: self, what: Some(what) })
    }
}

/// A marked job that is being looked at; it is marked again if that is cut off.
struct Mark<'a> {
    of: &'a Unsettled,
    what: Option<(ProjectId, JobId)>,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.of.0.lock().extend(self.what.take());
    }
}

/// How the needs of a job stand, all together.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// At least one is open, and none has ended badly.
    Open,
    /// All have completed.
    Met,
    /// One has failed, or is gone.
    Failed(Failure),
    /// One was cancelled.
    Cancelled,
}

/// Decides how needs stand, from where each of them is; `None` is a job that is not there.
pub fn standing(needs: &[(JobId, Option<JobState>)]) -> Standing {
    let first = |wanted: fn(Option<JobState>) -> bool| needs.iter().find(|(_, state)| wanted(*state));
    if let Some((id, state)) = first(|state| matches!(state, None | Some(JobState::Failed))) {
        return Standing::Failed(need_failed(id, *state));
    }
    if first(|state| state == Some(JobState::Cancelled)).is_some() {
        return Standing::Cancelled;
    }
    match first(|state| state != Some(JobState::Completed)) {
        Some(_) => Standing::Open,
        None => Standing::Met,
    }
}

fn need_failed(id: &JobId, state: Option<JobState>) -> Failure {
    let what = state.map_or("is not there any more", |_| "failed");
    let details = json!({ "jobId": id });
    Failure {
        code: "needFailed".to_owned(),
        message: format!("it needs {id}, which {what}"),
        details: serde_json::from_value::<Object>(details).unwrap_or_default(),
    }
}

/// How the needs of a job stand as the files say. A need whose file cannot be read waits for the person who mends it.
pub(super) fn look(view: &mut View<'_>, needs: &[JobId]) -> Result<Standing, JobError> {
    let mut states = Vec::with_capacity(needs.len());
    for id in needs {
        let state = match find(view, id) {
            Ok(found) => found.map(|found| found.job.state),
            Err(JobError::Bad(_)) => Some(JobState::Pending),
            Err(error) => return Err(error),
        };
        states.push((id.clone(), state));
    }
    Ok(standing(&states))
}

/// What happens to a blocked job whose needs stand so.
pub(super) fn event(standing: Standing) -> Option<Event> {
    match standing {
        Standing::Open => None,
        Standing::Met => Some(Event::NeedsMet),
        Standing::Failed(why) => Some(Event::NeedFailed(why)),
        Standing::Cancelled => Some(Event::CancelAsked),
    }
}

impl Jobs {
    /// Looks at the needs of at most so many marked jobs, and commits what comes of each; those that this ends mark
    /// their own dependents in turn. A job that cannot be seen to now stays marked.
    pub async fn settle(&self, most: usize) -> Result<(), JobError> {
        let (mut failed, mut left) = (Vec::new(), most);
        let mut outcome = Ok(());
        while let Some(mut mark) = (left > 0).then(|| self.unsettled.take()).flatten() {
            left -= 1;
            let Some((project, job)) = mark.what.clone() else { continue };
            match self.settle_one(&project, &job).await {
                Ok(()) | Err(JobError::Engine(EngineError::NoRepo(_))) => mark.what = None,
                Err(error) => {
                    failed.extend(mark.what.take());
                    outcome = Err(error);
                }
            }
        }
        self.unsettled.0.lock().extend(failed);
        outcome
    }

    /// The same behind a change that is made already: what fails is left to the daemon's next round.
    pub(crate) async fn settle_some(&self) {
        if let Err(error) = self.settle(SETTLED_INLINE_MAX).await {
            tracing::warn!(%error, "a job that needs others is looked at again in the next round");
        }
    }

    async fn settle_one(&self, project: &ProjectId, id: &JobId) -> Result<(), JobError> {
        let now = self.clock.now();
        let decide = |view: &mut View<'_>| -> Result<_, JobError> {
            let blocked = view.get::<OpenJobs>().find(id).filter(|job| job.is_blocked()).cloned();
            let Some(job) = blocked else { return Ok(Decision::nothing(())) };
            let Some(event) = event(look(view, &job.needs)?) else { return Ok(Decision::nothing(())) };
            let next = Arc::new(lifecycle::next(&job, event, now)?);
            Ok(Decision::commit(change_of(&Finding::open(job), &next, Actor::daemon(), None), ()))
        };
        self.state.change(&RepoName::Project(project.clone()), decide).await.map(drop)
    }
}

/// The job with what its needs make of it in its first moment: blocked, claimable, or ended with them.
pub(super) fn first_moment(view: &mut View<'_>, job: Arc<Job>) -> Result<Arc<Job>, JobError> {
    for id in &job.needs {
        if id.tag() != job.project_id.tag() || find(view, id)?.is_none() {
            return Err(JobError::UnknownNeed(id.clone()));
        }
    }
    match event(look(view, &job.needs)?) {
        Some(event) if job.is_blocked() => Ok(Arc::new(lifecycle::next(&job, event, job.created_at)?)),
        _ => Ok(job),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::id::IdMaker;

    fn stand(states: &[Option<JobState>]) -> Standing {
        let ids = IdMaker::new();
        let id = |at| ids.job(&"mrx-a".parse().unwrap(), Time::from_millis(1_763_663_400_000 + at));
        standing(&states.iter().enumerate().map(|(at, state)| (id(at as u64), *state)).collect::<Vec<_>>())
    }

    #[test]
    fn a_job_is_ready_when_all_its_needs_completed_and_waits_while_one_is_open() {
        use JobState::{Claimed, Completed, Pending, Running};
        assert_eq!(stand(&[]), Standing::Met);
        assert_eq!(stand(&[Some(Completed), Some(Completed)]), Standing::Met);
        for open in [Pending, Claimed, Running] {
            assert_eq!(stand(&[Some(Completed), Some(open)]), Standing::Open);
        }
    }

    #[test]
    fn a_failed_or_missing_need_fails_the_job_at_once_and_a_cancelled_one_cancels_it() {
        use JobState::{Cancelled, Failed, Pending};
        for ended in [Some(Failed), None] {
            let Standing::Failed(why) = stand(&[Some(Pending), Some(Cancelled), ended]) else {
                panic!("it fails")
            };
            assert_eq!(why.code, "needFailed");
            assert!(why.details.text("jobId").is_some_and(|id| why.message.contains(id)));
        }
        assert_eq!(stand(&[Some(Pending), Some(Cancelled)]), Standing::Cancelled);
    }

    #[test]
    fn a_mark_that_is_let_go_is_there_again() {
        let (unsettled, project) = (Unsettled::default(), "mrx-a".parse().unwrap());
        unsettled.mark(&project, &IdMaker::new().job(&project, Time::from_millis(1)));
        drop(unsettled.take());
        unsettled.take().unwrap().what = None;
        assert!(unsettled.take().is_none());
    }
}
