//! Hands a job's secrets to its agent, once: the mark that a token is spent is a commit before the values leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::SecretError;
use super::secrets::{Opened, Secrets};
use super::token::{self, TokenRefusal};
use super::types::Scope;
use crate::clock::Time;
use crate::id::{AgentId, JobId, LeaseId, ProjectId};
use crate::job::jobs::agent_of;
use crate::job::open::OpenJobs;
use crate::job::{Job, JobError};
use crate::mask::SecretText;
use crate::state::edit::{Actor, Change, Edit, Entity};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::store::Done;

/// The file of a spent token that somebody sent again: the first such call of each attempt of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenReuse {
    /// Whose job.
    pub project_id: ProjectId,
    /// Which job.
    pub job_id: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// Who had claimed it.
    pub claimed_by: Option<AgentId>,
    /// When the token came again.
    pub at: Time,
}

impl Entity for TokenReuse {
    const KIND: &'static str = "record of a reused token";
}

impl Secrets {
    /// The values for the job that this lease holds: the project's, and the platform's where the project has none of the
    /// name. Of any number of callers with the same token one gets them.
    pub async fn redeem(
        &self,
        project: &ProjectId,
        lease: &LeaseId,
        given: &SecretText,
    ) -> Result<Done<Vec<Opened>>, SecretError> {
        let result = self.try_redeem(project, lease, given).await;
        if let Err((SecretError::Token(TokenRefusal::Spent), Some(job))) = &result {
            self.record_reuse(job).await?;
        }
        result.map_err(|(error, _)| error)
    }

    async fn try_redeem(
        &self,
        project: &ProjectId,
        lease: &LeaseId,
        given: &SecretText,
    ) -> Result<Done<Vec<Opened>>, (SecretError, Option<Arc<Job>>)> {
        let job = self.held(project, lease).await.map_err(|error| (error, None))?;
        let failed = |error: SecretError| (error, Some(job.clone()));
        let right = self.token_of(lease);
        // Looked at before anything is decrypted, and decided below: a value that cannot be opened spends no token.
        token::redeem(&job, lease, given, &right, self.clock.now()).map_err(failed)?;
        let opened = self.values_for(project).await.map_err(failed)?;
        let now = self.clock.now();
        let decide = |view: &mut View<'_>| -> Result<_, SecretError> {
            let job = view.get::<OpenJobs>().find(&job.job_id).cloned();
            let job = job.ok_or(SecretError::NoLease)?;
            let next = token::redeem(&job, lease, given, &right, now)?;
            let change = Change {
                branch: STATE_REF.into(),
                subject: format!("job {}: secrets handed over", job.job_id),
                event: "secret.redeemed",
                actor: agent_of(&job),
                request: None,
                edits: vec![Edit::put(layout::open_job(&job.job_id), Arc::new(next))],
            };
            Ok(Decision::commit(change, opened))
        };
        let done = self.state.change(&RepoName::Project(project.clone()), decide).await.map_err(failed)?;
        self.jobs.leases().renew(&job.job_id, lease);
        Ok(done)
    }

    /// The job that this lease holds.
    async fn held(&self, project: &ProjectId, lease: &LeaseId) -> Result<Arc<Job>, SecretError> {
        self.check_scope(&Scope::Project(project.clone()))?;
        let id = self.jobs.leases().job_of(project, lease).ok_or(SecretError::NoLease)?;
        let ask = |view: &mut View<'_>| view.get::<OpenJobs>().find(&id).cloned();
        let job = self.state.read(&RepoName::Project(project.clone()), ask).await?;
        job.ok_or_else(|| JobError::Unknown(id).into())
    }

    /// The values that a project's jobs get.
    pub(super) async fn values_for(&self, project: &ProjectId) -> Result<Vec<Opened>, SecretError> {
        let mut values = BTreeMap::new();
        for scope in [Scope::Platform, Scope::Project(project.clone())] {
            values.extend(self.open(&scope).await?.into_iter().map(|opened| (opened.name.clone(), opened)));
        }
        Ok(values.into_values().collect())
    }

    /// Records once for each attempt that a spent token came again, so that a caller who insists does not fill the
    /// history.
    async fn record_reuse(&self, job: &Job) -> Result<(), SecretError> {
        tracing::warn!(job = %job.job_id, project = %job.project_id, "a spent token for secrets was sent again");
        let path = layout::token_reuse(&job.job_id, job.attempt);
        let record = TokenReuse {
            project_id: job.project_id.clone(),
            job_id: job.job_id.clone(),
            attempt: job.attempt,
            claimed_by: job.claimed_by.clone(),
            at: self.clock.now(),
        };
        let decide = |view: &mut View<'_>| -> Result<_, SecretError> {
            if view.file(STATE_REF, &path)?.is_some() {
                return Ok(Decision::nothing(()));
            }
            let change = Change {
                branch: STATE_REF.into(),
                subject: format!("job {}: a spent token for secrets was sent again", record.job_id),
                event: "secret.tokenReused",
                actor: Actor::daemon(),
                request: None,
                edits: vec![Edit::put(path.as_str(), Arc::new(record))],
            };
            Ok(Decision::commit(change, ()))
        };
        self.state.change(&RepoName::Platform, decide).await.map(|_| ())
    }
}
