//! What other subjects do with jobs in one commit of their own, and what they add to the commit that ends a job.

use std::sync::Arc;

use super::error::JobError;
use super::jobs::{Finding, change_of};
use super::lifecycle::{self, Event};
use super::open::OpenJobs;
use super::types::Job;
use crate::clock::Time;
use crate::state::edit::{Actor, Edit};
use crate::state::layout;
use crate::state::repo::View;

/// Edits that another subject adds to the commit of an agent's report: it gets the job as it is after the report.
/// An error refuses the whole report.
pub type Also = Box<dyn FnOnce(&mut View<'_>, &Job) -> Result<Vec<Edit>, JobError> + Send>;

/// The edit that puts a job in its first moment into the queue.
pub(crate) fn queued(job: Arc<Job>) -> Edit {
    Edit::put(layout::open_job(&job.job_id), job)
}

/// The edits that cancel every open job that is `wanted`: at once if it waits, by its agent if one has it.
pub(crate) fn cancelled(
    view: &View<'_>,
    wanted: impl Fn(&Job) -> bool,
    actor: &Actor,
    now: Time,
) -> Result<Vec<Edit>, JobError> {
    let mut edits = Vec::new();
    for job in view.get::<OpenJobs>().iter().filter(|job| wanted(job) && !job.cancel_requested) {
        let next = Arc::new(lifecycle::next(job, Event::CancelAsked, now)?);
        let from = Finding::open(job.clone());
        edits.extend(change_of(&from, &next, actor.clone(), None).edits);
    }
    Ok(edits)
}
