//! Until when each held job is held. Memory only: after a restart every lease has one full period of grace.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::types::{Job, RequestKey};
use crate::clock::{Clock, Time};
use crate::id::{AgentId, JobId, LeaseId, ProjectId};

/// How long a lease lasts from its last renewal: long enough for a network that stutters, short enough that a lost
/// agent's job is known to be lost within two minutes.
pub const LEASE_PERIOD: Duration = Duration::from_secs(90);
/// How much longer than its timeout a job may be held: its agent ends it at the timeout and needs time to report.
const TIMEOUT_GRACE: Duration = Duration::from_secs(60);

/// The leases of all projects. A clone is the same table.
#[derive(Clone)]
pub struct Leases {
    clock: Clock,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    by_job: HashMap<JobId, Hold>,
    by_request: HashMap<(AgentId, RequestKey), JobId>,
}

struct Hold {
    project: ProjectId,
    agent: Option<AgentId>,
    lease: LeaseId,
    request: Option<(AgentId, RequestKey)>,
    has_secrets: bool,
    until: Time,
    end: Time,
}

/// Why a hold is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The agent was not heard of.
    Silence,
    /// The job runs longer than it may.
    Timeout,
}

impl Leases {
    /// An empty table.
    pub fn new(clock: Clock) -> Self {
        Self { clock, held: Arc::default() }
    }

    /// A job's file says that it is held, or not: takes that in. A lease that is known keeps its renewals.
    pub fn note(&self, job: &Job) {
        let Some(lease) = &job.lease else { return self.forget(&job.job_id) };
        let now = self.clock.now();
        let mut held = self.held.lock();
        let until = match held.by_job.get(&job.job_id) {
            Some(hold) if hold.lease == lease.id => hold.until,
            _ => now.after(LEASE_PERIOD),
        };
        let timeout = Duration::from_secs(u64::from(job.timeout_seconds)) + TIMEOUT_GRACE;
        let end = job.claimed_at.unwrap_or(now).after(timeout);
        let request = lease.request.clone().zip(job.claimed_by.clone()).map(|(key, agent)| (agent, key));
        let hold = Hold {
            project: job.project_id.clone(),
            agent: job.claimed_by.clone(),
            lease: lease.id.clone(),
            request: request.clone(),
            has_secrets: lease.secrets_redeemed_at.is_some(),
            until,
            end,
        };
        let before = held.by_job.insert(job.job_id.clone(), hold);
        if let Some(before) = before.and_then(|hold| hold.request) {
            held.by_request.remove(&before);
        }
        if let Some(request) = request {
            held.by_request.insert(request, job.job_id.clone());
        }
    }

    /// The job is not held, or is gone.
    pub fn forget(&self, job: &JobId) {
        self.held.lock().remove(job);
    }

    /// Renews a lease; tells until when it lasts now, or `None` if it is not the lease of the job.
    pub fn renew(&self, job: &JobId, lease: &LeaseId) -> Option<Time> {
        let until = self.clock.now().after(LEASE_PERIOD);
        let mut held = self.held.lock();
        let hold = held.by_job.get_mut(job).filter(|hold| hold.lease == *lease)?;
        hold.until = until;
        Some(until)
    }

    /// Renews every lease that an agent has in a project: it was heard of, and did not say about which.
    pub fn renew_of(&self, project: &ProjectId, agent: &AgentId) {
        let until = self.clock.now().after(LEASE_PERIOD);
        let mut held = self.held.lock();
        let own = |hold: &&mut Hold| hold.agent.as_ref() == Some(agent) && hold.project == *project;
        held.by_job.values_mut().filter(own).for_each(|hold| hold.until = until);
    }

    /// Whether this lease holds the job for another agent.
    pub fn is_of_another(&self, job: &JobId, lease: &LeaseId, agent: &AgentId) -> bool {
        let held = self.held.lock();
        held.by_job.get(job).is_some_and(|hold| hold.lease == *lease && hold.agent.as_ref() != Some(agent))
    }

    /// The job that this agent got by a claim with this key and still has.
    pub fn find(&self, agent: &AgentId, request: &RequestKey) -> Option<(JobId, ProjectId)> {
        let held = self.held.lock();
        let job = held.by_request.get(&(agent.clone(), request.clone()))?;
        held.by_job.get(job).map(|hold| (job.clone(), hold.project.clone()))
    }

    /// The job of a project that this lease holds.
    pub fn job_of(&self, project: &ProjectId, lease: &LeaseId) -> Option<JobId> {
        let held = self.held.lock();
        let mut all = held.by_job.iter();
        all.find(|(_, hold)| hold.lease == *lease && hold.project == *project).map(|(job, _)| job.clone())
    }

    /// Whether the holder of this lease has redeemed its token for secrets.
    pub fn has_secrets(&self, job: &JobId, lease: &LeaseId) -> bool {
        self.held.lock().by_job.get(job).is_some_and(|hold| hold.has_secrets && hold.lease == *lease)
    }

    /// The holds that are over, and why.
    pub fn over(&self) -> Vec<(JobId, ProjectId, LeaseId, Over)> {
        let now = self.clock.now();
        let why = |hold: &Hold| match () {
            () if hold.until <= now => Some(Over::Silence),
            () if hold.end <= now => Some(Over::Timeout),
            () => None,
        };
        let held = self.held.lock();
        let over = held.by_job.iter().filter_map(|(job, hold)| why(hold).map(|why| (job, hold, why)));
        over.map(|(job, hold, why)| (job.clone(), hold.project.clone(), hold.lease.clone(), why)).collect()
    }

    /// Which jobs each agent holds, by their ids.
    pub fn by_agent(&self) -> HashMap<AgentId, BTreeMap<JobId, ProjectId>> {
        let mut all: HashMap<AgentId, BTreeMap<JobId, ProjectId>> = HashMap::new();
        for (job, hold) in &self.held.lock().by_job {
            if let Some(agent) = &hold.agent {
                all.entry(agent.clone()).or_default().insert(job.clone(), hold.project.clone());
            }
        }
        all
    }

    /// How many jobs are held.
    pub fn count(&self) -> usize {
        self.held.lock().by_job.len()
    }
}

impl Held {
    fn remove(&mut self, job: &JobId) {
        if let Some(request) = self.by_job.remove(job).and_then(|hold| hold.request) {
            self.by_request.remove(&request);
        }
    }
}
