//! A project's open jobs in memory: what `jobs/open/` holds, handed on to the queue and the leases.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lease::Leases;
use super::queue::{Entry, Queue};
use super::types::{Job, JobState};
use crate::id::{JobId, ProjectId};
use crate::state::edit::{Edit, Projection};
use crate::state::layout;
use crate::state::yaml::BadFile;

/// The open jobs of one project.
pub struct OpenJobs {
    project: ProjectId,
    jobs: BTreeMap<JobId, Arc<Job>>,
    quarantined: BTreeMap<String, BadFile>,
    queue: Queue,
    leases: Leases,
}

impl OpenJobs {
    /// None yet; they arrive as edits.
    pub fn new(project: ProjectId, queue: Queue, leases: Leases) -> Self {
        Self { project, jobs: BTreeMap::new(), quarantined: BTreeMap::new(), queue, leases }
    }

    /// The open job with this id.
    pub fn find(&self, id: &JobId) -> Option<&Arc<Job>> {
        self.jobs.get(id)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Job>> {
        self.jobs.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Files under `jobs/open/` that are no valid jobs, and why. They wait for a person; the queue goes on without them.
    pub fn quarantined(&self) -> impl Iterator<Item = &BadFile> {
        self.quarantined.values()
    }

    /// What is wrong with the file of the open job with this id, if something is.
    pub fn find_bad(&self, id: &JobId) -> Option<&BadFile> {
        self.quarantined.get(&layout::open_job(id))
    }

    fn take_in(&mut self, job: Arc<Job>) {
        if job.state == JobState::Pending {
            self.leases.forget(&job.job_id);
            self.queue.offer(Entry::of(&job));
        } else {
            self.queue.withdraw(&job.job_id);
            self.leases.note(&job);
        }
        self.jobs.insert(job.job_id.clone(), job);
    }

    fn drop_job(&mut self, id: &JobId) {
        self.queue.withdraw(id);
        self.leases.forget(id);
        self.jobs.remove(id);
    }

    /// The job an edit speaks of, if the file is where it belongs and says what it must.
    fn read(&self, edit: &Edit) -> Result<Option<Arc<Job>>, BadFile> {
        let job: Option<Arc<Job>> = edit.entity()?;
        let misplaced = |job: &Job| {
            let cause = match () {
                () if job.project_id != self.project => {
                    Some(format!("it says projectId: {}", job.project_id))
                }
                () if job.job_id.tag() != self.project.tag() => {
                    Some(format!("it says jobId: {}, and that id was made for another project", job.job_id))
                }
                () if layout::open_job(&job.job_id) != edit.path() => {
                    Some(format!("it says jobId: {}", job.job_id))
                }
                () if job.state.has_ended() => {
                    Some(format!("it says state: {}, and open jobs have not ended", job.state))
                }
                () if (job.state != JobState::Pending) != job.lease.is_some() => Some(format!(
                    "a job that is {} {} a lease",
                    job.state,
                    if job.lease.is_some() { "has not" } else { "has" }
                )),
                () => None,
            };
            cause.map(|cause| BadFile { path: edit.path().to_owned(), kind: "job", cause })
        };
        match job.as_deref().and_then(misplaced) {
            Some(bad) => Err(bad),
            None => Ok(job),
        }
    }
}

impl Projection for OpenJobs {
    fn lives_from(&self) -> &'static [&'static str] {
        &[layout::OPEN_JOBS]
    }

    fn apply(&mut self, edit: &Edit) {
        self.quarantined.remove(edit.path());
        let id: Option<JobId> = layout::stem(edit.path()).parse().ok();
        match self.read(edit) {
            Ok(Some(job)) => self.take_in(job),
            Ok(None) => {
                if let Some(id) = id {
                    self.drop_job(&id);
                }
            }
            Err(bad) => {
                tracing::error!(project = %self.project, %bad, "a job file is put in quarantine; the queue goes on without it");
                if let Some(id) = id {
                    self.drop_job(&id);
                }
                self.quarantined.insert(edit.path().to_owned(), bad);
            }
        }
    }

    fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// A repository with open jobs leaves memory only when it is removed, and its jobs with it.
    fn unload(&mut self) {
        let ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        ids.iter().for_each(|id| self.drop_job(id));
    }
}
