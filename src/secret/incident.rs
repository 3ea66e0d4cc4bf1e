//! What should not happen with secrets, and did: a file in the platform's repository, once for each kind and attempt of a
//! job, so that a caller who insists does not fill the history.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::SecretError;
use super::secrets::Secrets;
use crate::clock::Time;
use crate::id::{AgentId, JobId, ProjectId};
use crate::job::Job;
use crate::state::edit::{Actor, Change, Edit, Entity};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A spent token was sent again.
    TokenReused,
    /// A value that the agent should have hidden came in a log or a report. It was hidden here.
    ValueSent,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::TokenReused => "token-reused",
            Self::ValueSent => "value-sent",
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::TokenReused => "secret.tokenReused",
            Self::ValueSent => "secret.valueSent",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::TokenReused => "a spent token for secrets was sent again",
            Self::ValueSent => "a secret's value was sent and hidden",
        }
    }
}

/// One of them: the file `security/…/job-….yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Incident {
    /// What happened.
    pub what: What,
    /// Whose job.
    pub project_id: ProjectId,
    /// Which job.
    pub job_id: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// Who had claimed it.
    pub claimed_by: Option<AgentId>,
    /// When it happened first.
    pub at: Time,
}

impl Entity for Incident {
    const KIND: &'static str = "record of an incident";
}

impl Secrets {
    /// Records that this happened to the job's present attempt, unless that is recorded already.
    pub(super) async fn record(&self, what: What, job: &Job) -> Result<(), SecretError> {
        tracing::warn!(job = %job.job_id, project = %job.project_id, "{}", what.sentence());
        let path = path_of(what, job);
        let incident = Incident {
            what,
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
                subject: format!("job {}: {}", incident.job_id, what.sentence()),
                event: what.event(),
                actor: Actor::daemon(),
                request: None,
                edits: vec![Edit::put(path.as_str(), Arc::new(incident))],
            };
            Ok(Decision::commit(change, ()))
        };
        self.state.change(&RepoName::Platform, decide).await.map(|_| ())
    }

    /// Whether this is recorded of the job's present attempt.
    pub(super) async fn is_recorded(&self, what: What, job: &Job) -> Result<bool, SecretError> {
        let path = path_of(what, job);
        let ask = move |view: &mut View<'_>| view.file(STATE_REF, &path).map(|file| file.is_some());
        Ok(self.state.read(&RepoName::Platform, ask).await??)
    }
}

fn path_of(what: What, job: &Job) -> String {
    layout::incident(what.word(), &job.job_id, job.attempt)
}
