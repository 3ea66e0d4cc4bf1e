//! What every write answers with: the object, and the commit that records it in `Mrx-Commit`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ApiResult};
use crate::app::App;
use crate::job::Job;
use crate::job::lease::LEASE_PERIOD;
use crate::remote::RemoteError;
use crate::state::layout::RepoName;
use crate::state::store::Done;

/// An answer with a job in it is 600 to 900 bytes long.
const ANSWER_BYTES_USUAL: usize = 1024;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `?ack=`: what an answer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// The change survives a crash.
    #[default]
    Durable,
    /// And plain git shows it.
    Published,
    /// And the project's remote has it.
    Pushed,
}

impl Ack {
    /// Refuses what a write to `repo` cannot wait for, before anything is changed. The guard of a route asks this where the path
    /// says whose state is written; a handler where it does not.
    pub fn check(self, app: &App, repo: &RepoName) -> Result<(), ApiError> {
        match (self, repo.project()) {
            (Ack::Durable | Ack::Published, _) => Ok(()),
            (Ack::Pushed, None) => Err(RemoteError::Platform.into()),
            (Ack::Pushed, Some(project)) => Ok(app.remotes.check_is_there(project)?),
        }
    }
}

/// The query of every write.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AckQuery {
    /// What the answer waits for: `durable` survives a crash, `published` is shown by plain git too, `pushed` is at the project's
    /// remote too, for at most 60 s. With `pushed` an answer can be 409 `noRemote`: nothing was changed, because there is none; or
    /// 502 `remoteFailed` or 504 `remoteLate`: the change is made all the same, as its `details.commit` says.
    #[serde(default)]
    pub ack: Ack,
}

/// Answers a write, when it is as far as was asked.
pub async fn written<T, B: Serialize>(
    app: &App,
    ack: Ack,
    repo: &RepoName,
    status: StatusCode,
    done: &Done<T>,
    body: B,
) -> ApiResult<Response> {
    if ack != Ack::Durable {
        app.state.published(repo, done.lsn).await?;
    }
    if ack == Ack::Pushed {
        let pushed = match repo.project() {
            Some(project) => app.remotes.ask(project).await,
            None => Err(RemoteError::Platform),
        };
        pushed.map_err(|error| ApiError::from(error).with_details(json!({ "commit": done.commit })))?;
    }
    Ok(with_commit(json(status, &body), done))
}

/// As axum's `Json`, but for the room: most answers to writes fit in what is taken at once.
fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(ANSWER_BYTES_USUAL);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => (status, [(header::CONTENT_TYPE, JSON)], bytes).into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

/// Adds `Mrx-Commit`, the commit that records a change.
pub fn with_commit<T>(mut response: Response, done: &Done<T>) -> Response {
    if let Ok(commit) = HeaderValue::from_bytes(&done.commit.hex()) {
        response.headers_mut().insert("mrx-commit", commit);
    }
    response
}

/// Adds `ETag`, by which a caller names this version of what it got (RFC 9110 §8.8.3).
pub fn with_etag(mut response: Response, version: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// How many items a page has if nobody says, and at most.
pub const PAGE_DEFAULT: usize = 50;
/// The most.
pub const PAGE_MAX: usize = 200;

/// The length of a page from what was asked.
pub fn page_length(asked: Option<usize>) -> usize {
    asked.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
}

/// Adds what every answer to the job's agent carries: `Job-Status` and `Lease-Until`.
pub fn with_job_status(mut response: Response, app: &App, job: &Job) -> Response {
    let status = if job.cancel_requested && !job.state.has_ended() { "cancelling" } else { job.state.word() };
    response.headers_mut().insert("job-status", HeaderValue::from_static(status));
    let until = app.clock.now().after(LEASE_PERIOD).to_string();
    if let (false, Ok(until)) = (job.state.has_ended(), HeaderValue::from_str(&until)) {
        response.headers_mut().insert("lease-until", until);
    }
    response
}
