//! Hands a job's secrets to its agent, once: the mark that a token is spent is a commit before the values leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::SecretError;
use super::incident::What;
use super::secrets::{Opened, Secrets};
use super::token::{self, TokenRefusal};
use super::types::Scope;
use crate::id::{LeaseId, ProjectId};
use crate::job::jobs::agent_of;
use crate::job::open::OpenJobs;
use crate::job::{Job, JobError};
use crate::mask::SecretText;
use crate::state::edit::{Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::store::Done;

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
            self.record(What::TokenReused, job).await?;
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
        self.hide_from(&job.job_id, lease, done.answer.clone()).await.map_err(failed)?;
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
}
