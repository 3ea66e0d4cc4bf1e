//! The HTTP side of jobs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::jobs::{Claim, NewJob, Told};
use super::lease::LEASE_PERIOD;
use super::lifecycle::{Outcome, Report};
use super::queue::Offer;
use super::types::{Failure, Job, JobState, JobType, LogSum};
use crate::app::App;
use crate::clock::Time;
use crate::http::answer::{AckQuery, page, page_length, written};
use crate::http::auth::Principal;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Body, Named, lease, request_key};
use crate::id::{AgentId, JobId, Label, LeaseId, ProjectId};
use crate::state::layout::RepoName;
use crate::state::object::Object;

/// How long a job may run if nobody says, and at most, in seconds.
const TIMEOUT_SECONDS_DEFAULT: u32 = 3600;
const TIMEOUT_SECONDS_MAX: u32 = 7 * 24 * 3600;
/// The longest wait of one claim, in seconds: below the idle limit of common proxies.
const WAIT_SECONDS_MAX: u64 = 60;
/// Labels of a job or an agent.
const LABELS_MAX: usize = 32;
/// What an agent says of how far it is.
const PROGRESS_CHARS_MAX: usize = 200;

/// The body of `POST /jobs/create`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateBody {
    project_id: ProjectId,
    job_type: JobType,
    #[serde(default)]
    payload: Object,
    #[serde(default)]
    priority: i8,
    #[serde(default)]
    labels: Vec<Label>,
    timeout_seconds: Option<u32>,
}

/// The body of `POST /jobs/claim`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimBody {
    #[serde(alias = "colabId")]
    agent_id: AgentId,
    #[serde(default)]
    labels: BTreeSet<Label>,
    types: Option<BTreeSet<JobType>>,
    projects: Option<BTreeSet<ProjectId>>,
    available_until: Option<Time>,
    #[serde(default)]
    wait: u64,
}

/// The body of `PATCH /jobs/{id}`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TellBody {
    state: Option<JobState>,
    progress: Option<String>,
    payload_delta: Option<Object>,
    result: Option<Object>,
    failure: Option<Failure>,
    log: Option<LogSum>,
}

/// The query of `GET /projects/{id}/jobs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListQuery {
    state: Option<JobState>,
    #[serde(rename = "type")]
    kind: Option<JobType>,
    label: Option<Label>,
    agent: Option<AgentId>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// What an agent gets with a job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Claimed {
    job: Arc<Job>,
    lease: LeaseView,
    code: Option<CodeView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeaseView {
    id: LeaseId,
    until: Time,
    seconds: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CodeView {
    url: String,
    #[serde(rename = "ref")]
    reference: String,
}

/// `POST /jobs/create`: queues a job.
pub async fn create(
    State(app): State<App>, caller: Principal, headers: HeaderMap, Asked(query): Asked<AckQuery>, Body(body): Body<CreateBody>,
) -> ApiResult<Response> {
    let request = request_key(&headers)?;
    let repo = RepoName::Project(body.project_id.clone());
    let done = app.jobs.create(new_job(body)?, caller.actor(), request).await?;
    written(&app, query.ack, &repo, StatusCode::CREATED, &done, &done.answer).await
}

fn new_job(body: CreateBody) -> Result<NewJob, ApiError> {
    let timeout_seconds = body.timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT);
    if !(1..=TIMEOUT_SECONDS_MAX).contains(&timeout_seconds) {
        return Err(ApiError::bad_request(format!("timeoutSeconds is {timeout_seconds}; it can be 1 to {TIMEOUT_SECONDS_MAX}")));
    }
    if body.labels.len() > LABELS_MAX {
        return Err(ApiError::bad_request(format!("a job has at most {LABELS_MAX} labels")));
    }
    check_payload(body.job_type, &body.payload)?;
    Ok(NewJob {
        project: body.project_id,
        kind: body.job_type,
        payload: body.payload,
        priority: body.priority,
        labels: body.labels,
        timeout_seconds,
    })
}

/// A build says at most which ref to build; a ref is a branch, a tag or a commit, never an option or a path.
fn check_payload(kind: JobType, payload: &Object) -> Result<(), ApiError> {
    if kind != JobType::Build {
        return Ok(());
    }
    for name in payload.names() {
        if !matches!(name, "ref" | "buildNumber") {
            return Err(ApiError::bad_request(format!("the payload of a build has ref and buildNumber, not {name:?}")));
        }
        if payload.text(name).is_none() {
            return Err(ApiError::bad_request(format!("{name} must be text")));
        }
    }
    match payload.text("ref") {
        Some(reference) if !is_ref(reference) => {
            Err(ApiError::bad_request(format!("{reference:?} is no branch, tag or commit")))
        }
        _ => Ok(()),
    }
}

fn is_ref(text: &str) -> bool {
    (1..=200).contains(&text.len()) && !text.starts_with('-') && git2::Reference::is_valid_name(&format!("refs/heads/{text}"))
}

/// `POST /jobs/claim`: hands an agent the next job, waiting for one if it asks to.
pub async fn claim(
    State(app): State<App>, headers: HeaderMap, Asked(query): Asked<AckQuery>, Body(body): Body<ClaimBody>,
) -> ApiResult<Response> {
    let request = request_key(&headers)?;
    if body.wait > WAIT_SECONDS_MAX || body.labels.len() > LABELS_MAX {
        return Err(ApiError::bad_request(format!("wait is at most {WAIT_SECONDS_MAX} seconds, and labels at most {LABELS_MAX}")));
    }
    app.agents.heard(&body.agent_id, &body.labels).await?;
    let seconds_left = body.available_until.map(|end| Offer::seconds_until(end, app.clock.now()));
    let offer = Offer { labels: body.labels, types: body.types, projects: body.projects, seconds_left };
    let claim = Claim { agent: body.agent_id, offer, wait: Duration::from_secs(body.wait), request };
    let Some(done) = app.jobs.claim(claim).await? else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let repo = RepoName::Project(done.answer.project_id.clone());
    let claimed = claimed(&app, done.answer.clone())?;
    written(&app, query.ack, &repo, StatusCode::OK, &done, &claimed).await
}

fn claimed(app: &App, job: Arc<Job>) -> Result<Claimed, ApiError> {
    let lease = job.lease.as_ref().map(|lease| lease.id.clone());
    let id = lease.ok_or_else(|| ApiError::new(StatusCode::CONFLICT, "jobState", "the job is not held any more"))?;
    let until = app.jobs.leases().renew(&job.job_id, &id).unwrap_or_else(|| app.clock.now());
    let code = app.projects.registry().find(&job.project_id).map(|project| CodeView {
        url: project.repo.clone(),
        reference: job.payload.text("ref").unwrap_or(&project.default_branch).to_owned(),
    });
    Ok(Claimed { job, lease: LeaseView { id, until, seconds: LEASE_PERIOD.as_secs() }, code })
}

/// `GET /jobs/{id}`: one job, open or ended.
pub async fn get(State(app): State<App>, Named(id): Named<JobId>) -> ApiResult<Json<Arc<Job>>> {
    Ok(Json(app.jobs.get(&id).await?))
}

/// `PATCH /jobs/{id}`: what the job's agent says; `{}` renews the lease.
pub async fn tell(
    State(app): State<App>, headers: HeaderMap, Named(id): Named<JobId>, Asked(query): Asked<AckQuery>, Body(body): Body<TellBody>,
) -> ApiResult<Response> {
    let lease = lease(&headers)?;
    let told = told(body)?;
    if let (Some(_), Some(log)) = (&told.outcome, &told.log) {
        let job = app.jobs.get(&id).await?;
        if !job.state.has_ended() {
            app.logs.check(&job, &lease, log).await?;
        }
    }
    let done = app.jobs.tell(&id, &lease, told).await?;
    let repo = RepoName::Project(done.answer.project_id.clone());
    let response = written(&app, query.ack, &repo, StatusCode::OK, &done, &done.answer).await?;
    Ok(with_job_status(response, &app, &done.answer))
}

fn told(body: TellBody) -> Result<Told, ApiError> {
    if body.progress.as_ref().is_some_and(|text| text.chars().count() > PROGRESS_CHARS_MAX) {
        return Err(ApiError::bad_request(format!("progress is at most {PROGRESS_CHARS_MAX} characters")));
    }
    let outcome = match (body.state, body.failure) {
        (None | Some(JobState::Running), None) => None,
        (Some(JobState::Completed), None) => Some(Outcome::Completed),
        (Some(JobState::Cancelled), None) => Some(Outcome::Cancelled),
        (Some(JobState::Failed), Some(failure)) => Some(Outcome::Failed(failure)),
        (Some(JobState::Failed), None) => return Err(ApiError::bad_request("a failed job says why, in failure")),
        (_, Some(_)) => return Err(ApiError::bad_request("failure goes with state: failed")),
        (Some(state), None) => return Err(ApiError::bad_request(format!("an agent cannot set the state to {state}"))),
    };
    let running = body.state == Some(JobState::Running);
    let report = Report { running, progress: body.progress, payload_delta: body.payload_delta, result: body.result };
    Ok(Told { report, outcome, log: body.log })
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

/// `POST /jobs/{id}/cancel`: ends a job that waits, or asks its agent to stop.
pub async fn cancel(
    State(app): State<App>, caller: Principal, Named(id): Named<JobId>, Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    let done = app.jobs.cancel(&id, caller.actor()).await?;
    let repo = RepoName::Project(done.answer.project_id.clone());
    written(&app, query.ack, &repo, StatusCode::OK, &done, &done.answer).await
}

/// `POST /jobs/{id}/retry`: queues an ended job again, as its next attempt.
pub async fn retry(
    State(app): State<App>, caller: Principal, Named(id): Named<JobId>, Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    let done = app.jobs.retry(&id, caller.actor()).await?;
    let repo = RepoName::Project(done.answer.project_id.clone());
    written(&app, query.ack, &repo, StatusCode::OK, &done, &done.answer).await
}

/// `GET /projects/{id}/jobs`: open jobs, newest first, then ended ones, the newest day first.
pub async fn list(
    State(app): State<App>, Named(id): Named<ProjectId>, Asked(query): Asked<ListQuery>,
) -> ApiResult<Json<serde_json::Value>> {
    app.projects.get(&id)?;
    let cursor = query.cursor.as_deref().map(str::parse).transpose()
        .map_err(|_| ApiError::bad_request("the cursor is none that this list gave; begin without one"))?;
    let wanted = move |job: &Job| {
        query.state.is_none_or(|state| job.state == state)
            && query.kind.is_none_or(|kind| job.kind == kind)
            && query.label.as_ref().is_none_or(|label| job.labels.contains(label))
            && query.agent.as_ref().is_none_or(|agent| job.claimed_by.as_ref() == Some(agent))
    };
    let (jobs, next) = app.jobs.page(&id, cursor, page_length(query.limit), wanted).await?;
    Ok(page("jobs", jobs, next.map(|cursor| cursor.to_string())))
}
