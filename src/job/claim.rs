//! Claims: hands an agent the next job it may have, or lets it wait for one. The queue proposes; the decision under the
//! repository's writer has the last word on whether the job waits and whether there is room for it.

use std::sync::Arc;
use std::time::Duration;

use super::error::JobError;
use super::jobs::{Finding, Jobs, change_of};
use super::lifecycle::{self, Event, MoveError};
use super::open::OpenJobs;
use super::queue::{Offer, Reservation};
use super::types::{Job, Lease, RequestKey};
use crate::id::AgentId;
use crate::state::edit::Actor;
use crate::state::layout::RepoName;
use crate::state::repo::{Decision, View};
use crate::state::store::{Done, EngineError};

/// A waiting claim looks at the whole queue again at least this often, so that no missed wake-up is for ever.
const LOOK_AGAIN: Duration = Duration::from_secs(20);

/// A claim.
pub struct Claim {
    /// Who claims.
    pub agent: AgentId,
    /// What it offers.
    pub offer: Offer,
    /// The key by which a repeated claim is known.
    pub request: Option<RequestKey>,
}

impl Jobs {
    /// Hands the agent the next job it may have, and waits for one while its patience lasts; `None` if none came.
    pub async fn claim(
        &self,
        claim: Claim,
        patience: impl Future<Output = ()>,
    ) -> Result<Option<Done<Arc<Job>>>, JobError> {
        let _turn = match &claim.request {
            Some(key) => Some(self.turns.take(&claim.agent, key).await),
            None => None,
        };
        if let Some(again) = self.claimed_before(&claim).await? {
            return Ok(Some(again));
        }
        if let Some(job) = self.claim_ready(&claim).await? {
            return Ok(Some(job));
        }
        tokio::pin!(patience);
        loop {
            let mut wait = self.queue.wait(claim.offer.clone());
            let handed = tokio::select! {
                biased;
                () = &mut patience => return Ok(None),
                handed = tokio::time::timeout(LOOK_AGAIN, &mut wait.job) => handed,
            };
            let Ok(Ok(reservation)) = handed else { continue };
            if let Some(job) = self.claim_reserved(&claim, reservation).await? {
                return Ok(Some(job));
            }
        }
    }

    async fn claimed_before(&self, claim: &Claim) -> Result<Option<Done<Arc<Job>>>, JobError> {
        let known = claim.request.as_ref().and_then(|key| self.leases.find(&claim.agent, key));
        let Some((id, project)) = known else { return Ok(None) };
        let decide = |view: &mut View<'_>| -> Result<_, JobError> {
            let is_it =
                |job: &&Arc<Job>| job.lease.as_ref().is_some_and(|lease| lease.request == claim.request);
            Ok(Decision::nothing(view.get::<OpenJobs>().find(&id).filter(is_it).cloned()))
        };
        let done = self.state.change(&RepoName::Project(project), decide).await?;
        Ok(done.answer.map(|job| Done { answer: job, commit: done.commit, lsn: done.lsn }))
    }

    async fn claim_ready(&self, claim: &Claim) -> Result<Option<Done<Arc<Job>>>, JobError> {
        while let Some(reservation) = self.queue.take(&claim.offer) {
            if let Some(job) = self.claim_reserved(claim, reservation).await? {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    /// Claims a reserved job; `None` if it does not wait any more.
    async fn claim_reserved(
        &self,
        claim: &Claim,
        reservation: Reservation,
    ) -> Result<Option<Done<Arc<Job>>>, JobError> {
        let now = self.clock.now();
        let (id, project) = (reservation.entry().job.clone(), reservation.entry().project.clone());
        let lease =
            Lease { id: self.ids.lease(now), request: claim.request.clone(), secrets_redeemed_at: None };
        let event = Event::Claimed { agent: claim.agent.clone(), lease };
        let actor = Actor { kind: "agent", name: claim.agent.as_str().into() };
        let decide = |view: &mut View<'_>| -> Result<_, JobError> {
            let job =
                view.get::<OpenJobs>().find(&id).cloned().ok_or_else(|| JobError::Unknown(id.clone()))?;
            let limit = self.registry.find(&job.project_id).and_then(|project| project.concurrency);
            if !view.get::<OpenJobs>().has_room(limit, job.concurrency_group.as_ref()) {
                return Err(JobError::NoRoom);
            }
            let next = Arc::new(lifecycle::next(&job, event, now)?);
            Ok(Decision::commit(change_of(&Finding::open(job), &next, actor, None), next))
        };
        let start = tokio::time::Instant::now();
        match self.state.change(&RepoName::Project(project), decide).await {
            Ok(done) => {
                self.pace.note(start.elapsed());
                reservation.settle();
                Ok(Some(done))
            }
            // An agent that claims by a push was quicker; the queue knows that the job is held.
            Err(JobError::Move(MoveError::NotPending(state))) if !state.has_ended() => Ok(None),
            // Also where its project was removed meanwhile.
            Err(JobError::Move(_) | JobError::Unknown(_) | JobError::Engine(EngineError::NoRepo(_))) => {
                self.queue.withdraw(&reservation.entry().job);
                Ok(None)
            }
            // A limit was lowered a moment ago. The job waits on, and the queue has the new limit before it is asked again.
            Err(JobError::NoRoom) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
