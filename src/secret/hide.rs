//! Hides the values that a job was given in all that its agent sends. The agent has done so already; what is found here is
//! recorded as an incident.
//!
//! In a log each byte keeps its place: [`super::hide_log`]. A text that a job's watchers see before it is whole is hidden part by part.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::error::SecretError;
use super::hide_log::LogEnd;
use super::incident::What;
use super::secrets::{Opened, Secrets, open_one};
use super::types::Scope;
use crate::id::{JobId, LeaseId, ProjectId};
use crate::job::Job;
use crate::job::jobs::Told;
use crate::job::lifecycle::Outcome;
use crate::mask::{Matcher, stream};
use crate::state::object::Object;
use crate::state::store::EngineError;

/// What hides the values of the leases that redeemed them.
pub(super) type Hiding = Mutex<HashMap<LeaseId, Hidden>>;

/// What one lease was given, and how far its log is.
pub(super) struct Hidden {
    job: JobId,
    pub(super) matcher: Arc<Matcher>,
    pub(super) log: LogEnd,
}

impl Secrets {
    /// What an agent says, without values.
    pub async fn hide_told(&self, job: &JobId, lease: &LeaseId, mut told: Told) -> Result<Told, SecretError> {
        let report = &told.report;
        let says_something = told.outcome.is_some()
            || report.progress.is_some()
            || report.result.is_some()
            || report.payload_delta.is_some();
        if !says_something {
            return Ok(told);
        }
        let Some((job, matcher)) = self.hidden_of(job, lease).await? else { return Ok(told) };
        if hide(&matcher, &mut told) {
            self.record(What::ValueSent, &job).await?;
        }
        Ok(told)
    }

    /// A text that an agent sends besides its report, without values: an answer, or more of one.
    pub async fn hide_text(&self, job: &JobId, lease: &LeaseId, text: String) -> Result<String, SecretError> {
        let Some((job, matcher)) = self.hidden_of(job, lease).await? else { return Ok(text) };
        let Some(hidden) = matcher.text(&text) else { return Ok(text) };
        self.record(What::ValueSent, &job).await?;
        Ok(hidden)
    }

    /// The same for a part of a text that is known by offsets: what is hidden keeps its length.
    pub async fn hide_text_in_place(
        &self,
        job: &JobId,
        lease: &LeaseId,
        text: String,
    ) -> Result<String, SecretError> {
        let Some((job, matcher)) = self.hidden_of(job, lease).await? else { return Ok(text) };
        let mut bytes = text.clone().into_bytes();
        let (_, has_hidden) = stream::hide_in_place(&matcher, 0, &mut bytes);
        if !has_hidden {
            return Ok(text);
        }
        self.record(What::ValueSent, &job).await?;
        // A form begins and ends with whole characters, so what is left is text.
        Ok(String::from_utf8(bytes).unwrap_or_default())
    }

    /// What hides the values that this lease was given; `None` if it was given none.
    pub(super) async fn hidden_of(
        &self,
        job: &JobId,
        lease: &LeaseId,
    ) -> Result<Option<(Arc<Job>, Arc<Matcher>)>, SecretError> {
        if !self.jobs.leases().has_secrets(job, lease) {
            return Ok(None);
        }
        let job = self.jobs.get(job).await?;
        let known = self.hiding.lock().get(lease).map(|hidden| hidden.matcher.clone());
        if let Some(matcher) = known {
            return Ok(Some((job, matcher)));
        }
        // After a restart: the values as they are now.
        let values = self.readable_values(&job.project_id).await?;
        Ok(Some((job.clone(), self.hide_from(&job.job_id, lease, values).await?)))
    }

    /// From now on these values are hidden in what the holder of the lease sends.
    pub(super) async fn hide_from(
        &self,
        job: &JobId,
        lease: &LeaseId,
        values: Vec<Opened>,
    ) -> Result<Arc<Matcher>, SecretError> {
        let build = move || Arc::new(Matcher::new(values.iter().map(|opened| &opened.value)));
        let matcher = tokio::task::spawn_blocking(build).await.map_err(|_| EngineError::Unknown)?;
        let leases = self.jobs.leases();
        let mut hiding = self.hiding.lock();
        hiding.retain(|lease, hidden| leases.has_secrets(&hidden.job, lease));
        let hidden = Hidden { job: job.clone(), matcher: matcher.clone(), log: LogEnd::default() };
        Ok(hiding.entry(lease.clone()).or_insert(hidden).matcher.clone())
    }

    /// The values that can be read; one that cannot is said so, and does not keep the others from being hidden.
    async fn readable_values(&self, project: &ProjectId) -> Result<Vec<Opened>, SecretError> {
        let mut values = Vec::new();
        for scope in [Scope::Platform, Scope::Project(project.clone())] {
            for sealed in self.sealed(&scope).await? {
                match open_one(&scope, &self.keys, sealed) {
                    Ok(opened) => values.push(opened),
                    Err(error) => tracing::error!(%scope, %error, "a secret is not hidden in logs"),
                }
            }
        }
        Ok(values)
    }
}

/// Hides values in all texts of a report; tells whether there was one.
fn hide(matcher: &Matcher, told: &mut Told) -> bool {
    let text = |text: &mut String| matcher.text(text).map(|hidden| *text = hidden).is_some();
    let object = |object: &mut Object| {
        let mut value = serde_json::to_value(&*object).expect("an object has string keys");
        let found = matcher.json(&mut value);
        if let (true, Value::Object(map)) = (found, value) {
            *object = map.into_iter().collect();
        }
        found
    };
    let report = &mut told.report;
    let mut found = report.progress.as_mut().is_some_and(text);
    found |= report.payload_delta.as_mut().is_some_and(object);
    found |= report.result.as_mut().is_some_and(object);
    if let Some(Outcome::Failed(failure)) = &mut told.outcome {
        found |= text(&mut failure.code);
        found |= text(&mut failure.message);
        found |= object(&mut failure.details);
    }
    found
}
