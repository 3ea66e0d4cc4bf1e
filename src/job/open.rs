//! A project's open jobs in memory: what `jobs/open/` holds, handed on to the queue and the leases.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::lease::Leases;
use super::needs::Unsettled;
use super::queue::{Entry, Queue, one_less};
use super::restore::misplaced;
use super::types::{Job, JobState};
use crate::id::{GroupName, JobId, ProjectId};
use crate::state::edit::{Edit, Projection};
use crate::state::layout::{self, place::Place};
use crate::state::yaml::BadFile;

/// What the open jobs of all projects fill together. A clone is the same memory.
#[derive(Clone)]
pub struct JobMemory {
    /// Those that wait for an agent.
    pub queue: Queue,
    /// Those that an agent has.
    pub leases: Leases,
    /// Those that wait for other jobs, where one of these is not open any more.
    pub unsettled: Unsettled,
}

/// The open jobs of one project.
pub struct OpenJobs {
    project: ProjectId,
    jobs: BTreeMap<JobId, Arc<Job>>,
    quarantined: BTreeMap<String, BadFile>,
    /// Blocked jobs, by each of their needs.
    dependents: HashMap<JobId, BTreeSet<JobId>>,
    /// How many jobs are held, and how many of each group.
    held: usize,
    held_groups: HashMap<GroupName, usize>,
    memory: JobMemory,
    /// Whether jobs of another project are in its files, which are its past and nothing more.
    is_fork: bool,
}

impl OpenJobs {
    /// None yet; they arrive as edits. Those that a fork has from its source are passed over: their ids are the source's.
    pub fn new(project: ProjectId, memory: JobMemory, is_fork: bool) -> Self {
        Self {
            project,
            jobs: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            dependents: HashMap::new(),
            held: 0,
            held_groups: HashMap::new(),
            memory,
            is_fork,
        }
    }

    /// Whether one more job of this group may be held, where the project has this limit.
    pub fn has_room(&self, limit: Option<u16>, group: Option<&GroupName>) -> bool {
        limit.is_none_or(|limit| self.held < usize::from(limit))
            && group.is_none_or(|group| !self.held_groups.contains_key(group))
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
        let id = job.job_id.clone();
        if let Some(before) = self.jobs.insert(id.clone(), job.clone()) {
            self.unlink(&before);
        }
        if job.state != JobState::Pending {
            self.held += 1;
            if let Some(group) = &job.concurrency_group {
                *self.held_groups.entry(group.clone()).or_default() += 1;
            }
            self.memory.queue.hold(Entry::of(&job));
            return self.memory.leases.note(&job);
        }
        self.memory.leases.forget(&id);
        if job.is_blocked() {
            self.memory.queue.withdraw(&id);
            self.link(&job);
        } else {
            self.memory.queue.offer(Entry::of(&job));
        }
    }

    fn drop_job(&mut self, id: &JobId) {
        if let Some(before) = self.jobs.remove(id) {
            self.unlink(&before);
        }
        self.memory.queue.withdraw(id);
        self.memory.leases.forget(id);
        for dependent in self.dependents.get(id).into_iter().flatten() {
            self.memory.unsettled.mark(&self.project, dependent);
        }
    }

    /// A blocked job: its needs are looked at when one of them is not open, or not any more.
    fn link(&mut self, job: &Job) {
        for need in &job.needs {
            self.dependents.entry(need.clone()).or_default().insert(job.job_id.clone());
        }
        if job.needs.iter().any(|need| !self.jobs.contains_key(need)) {
            self.memory.unsettled.mark(&self.project, &job.job_id);
        }
    }

    /// Forgets what the job, as it was, held and waited for.
    fn unlink(&mut self, before: &Job) {
        if before.state != JobState::Pending {
            self.held -= 1;
            if let Some(group) = &before.concurrency_group {
                one_less(&mut self.held_groups, group);
            }
        }
        if !before.is_blocked() {
            return;
        }
        for need in &before.needs {
            if let Some(dependents) = self.dependents.get_mut(need) {
                dependents.remove(&before.job_id);
                if dependents.is_empty() {
                    self.dependents.remove(need);
                }
            }
        }
    }

    /// The job an edit speaks of, if the file is where it belongs and says what it must.
    fn read(&self, edit: &Edit) -> Result<Option<Arc<Job>>, BadFile> {
        let job: Option<Arc<Job>> = edit.entity()?;
        let bad = |cause: String| BadFile { path: edit.path().to_owned(), kind: "job", cause };
        let misplaced = |job: &Job| {
            let place = Place::of(edit.path());
            let cause = place.map_or_else(
                || Some(format!("it says jobId: {}", job.job_id)),
                |place| misplaced(&self.project, &place, job),
            );
            cause.map(bad)
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
        let id: Option<JobId> = layout::stem(edit.path()).parse().ok();
        if self.is_fork && id.as_ref().is_some_and(|id| id.tag() != self.project.tag()) {
            return;
        }
        self.quarantined.remove(edit.path());
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
