//! The HTTP side of jobs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::claim::Claim;
use super::error::JobError;
use super::jobs::Told;
use super::lease::LEASE_PERIOD;
use super::lifecycle::{Outcome, Report};
use super::new::{LABELS_MAX, NewJob, TIMEOUT_SECONDS_DEFAULT, check};
use super::queue::Offer;
use super::types::{Failure, Job, JobState, JobType, LogSum, RequestKey};
use crate::agent::{Agent, AgentError};
use crate::app::App;
use crate::chat::answer::Answer;
use crate::clock::Time;
use crate::http::answer::{Ack, AckQuery, with_etag, with_job_status, written};
use crate::http::auth::{ASK_AGAIN, CallingAgent, MaybeAgent, Principal, lease_of, unauthorized};
use crate::http::error::{ApiError, ApiResult};
use crate::http::health::check_ready;
use crate::http::input::{Asked, Body, Idempotency, Named, QuietBody, version};
use crate::http::past::At;
use crate::http::stopping::Stopping;
use crate::id::{AgentId, GroupName, JobId, Label, LeaseId, ProjectId};
use crate::identity::Right;
use crate::identity::principal::AgentCaller;
use crate::identity::token::Token;
use crate::remote::RemoteError;
use crate::state::layout::RepoName;
use crate::state::object::Object;

/// The longest wait of one claim, in seconds: below the idle limit of common proxies.
const WAIT_SECONDS_MAX: u64 = 60;
/// How much longer than its job an agent's token lasts, so that it can report the end.
const JOB_TOKEN_GRACE: Duration = Duration::from_secs(600);
/// What an agent says of how far it is.
const PROGRESS_CHARS_MAX: usize = 200;

/// The body of `POST /jobs/create`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateBody {
    /// Whose job it is.
    project_id: ProjectId,
    /// What kind of work it is.
    job_type: JobType,
    /// What to do. A build knows `ref` and `buildNumber`, both text.
    #[serde(default)]
    payload: Object,
    /// Jobs of higher priority are claimed first; 0 is ordinary.
    #[serde(default)]
    priority: i8,
    /// What an agent must offer to get it; at most 32.
    #[serde(default)]
    labels: Vec<Label>,
    /// How long it may run: 1 to 604800; 3600 if absent.
    timeout_seconds: Option<u32>,
    /// Jobs of the project that must complete before it is handed out; at most 16. If one fails or is cancelled, so does it.
    #[serde(default)]
    needs: Vec<JobId>,
    /// Of the project's jobs with the same group one is claimed or running at a time.
    concurrency_group: Option<GroupName>,
}

/// The body of `POST /jobs/claim`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimBody {
    /// Who claims, if a one-time secret says who may; `colabId` is read as the same. With a key it may be absent, and is
    /// the key's agent.
    #[serde(alias = "colabId")]
    agent_id: Option<AgentId>,
    /// The one-time secret of an agent that has no key; the answer carries the next one.
    #[schema(value_type = Option<String>)]
    claim_secret: Option<Token>,
    /// What it offers; at most 32.
    #[serde(default)]
    labels: BTreeSet<Label>,
    /// The types it does; all if absent.
    types: Option<BTreeSet<JobType>>,
    /// The projects it works for; all if absent.
    projects: Option<BTreeSet<ProjectId>>,
    /// When it goes away: it gets no job that may run longer.
    available_until: Option<Time>,
    /// How many seconds the call may wait for a job, at most 60.
    #[serde(default)]
    wait: u64,
}

/// The body of `PATCH /jobs/{id}`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TellBody {
    /// `running`, `completed`, `failed` or `cancelled`.
    state: Option<JobState>,
    /// How far it is, in at most 200 characters.
    progress: Option<String>,
    /// What changes in the payload, name by name; `null` removes a name.
    payload_delta: Option<Object>,
    /// What came of it.
    result: Option<Object>,
    /// Why it failed; goes with `failed`.
    failure: Option<Failure>,
    /// With a final state: what the log must be.
    log: Option<LogSum>,
    /// With the end of a job that answers a chat: what it says. It becomes a message in the same commit.
    answer: Option<Answer>,
}

/// What an agent gets with a job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Claimed {
    /// The job; null if none came for a claim with a one-time secret.
    job: Option<Job>,
    lease: Option<LeaseView>,
    /// Where the project's source is; null if it has none.
    code: Option<CodeView>,
    /// With this as `Secrets-Token` the agent gets the values of the project's secrets, once and within five minutes, from
    /// `GET /admin/secrets/{id}`. Absent if there are none, or they were handed over already.
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets_token: Option<String>,
    /// To an agent without a key: the credential for this job's calls, and the secret of its next claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<Credentials>,
}

/// What an agent without a key goes on with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    /// The bearer token for calls about this job; null if none came.
    job_token: Option<String>,
    /// The one-time secret of the next claim.
    claim_secret: String,
    /// When the secret ends; `POST /agents/claim-secret` with the job's token gives another.
    claim_secret_expires_at: Time,
}

/// The agent's hold on the job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LeaseView {
    /// The fencing token: every later call carries it as `Job-Lease`.
    id: LeaseId,
    /// Until when it lasts if the agent says nothing more.
    until: Time,
    /// For how long each call renews it.
    seconds: u64,
}

/// Where the source is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CodeView {
    url: String,
    #[serde(rename = "ref")]
    reference: String,
}

/// `POST /jobs/create`: queues a job.
///
/// The same `Idempotency-Key` within a day makes it once.
#[utoipa::path(post, path = "/jobs/create", params(AckQuery, ("Idempotency-Key" = Option<RequestKey>, Header)), request_body = CreateBody,
    responses(
        (status = 201, description = "It is queued, or was by the same request", body = Job),
        (status = 404, description = "projectUnknown; needUnknown: the project has no such job"),
        (status = 409, description = "projectArchived, projectTrashed: no jobs are made for it"),
        (status = 413, description = "tooLarge, jobTooLarge"),
    ))]
pub async fn create(
    State(app): State<App>,
    caller: Principal,
    Idempotency(request): Idempotency,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<CreateBody>,
) -> ApiResult<Response> {
    caller.demand(&app, Right::Write, &body.project_id)?;
    let repo = RepoName::Project(body.project_id.clone());
    query.ack.check(&app, &repo)?;
    let done = app.jobs.create(new_job(body)?, caller.actor(), request).await?;
    written(&app, query.ack, &repo, StatusCode::CREATED, &done, done.answer.shown()).await
}

fn new_job(body: CreateBody) -> Result<NewJob, ApiError> {
    let new = NewJob {
        project: body.project_id,
        kind: body.job_type,
        payload: body.payload,
        priority: body.priority,
        labels: body.labels,
        timeout_seconds: body.timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT),
        needs: body.needs,
        concurrency_group: body.concurrency_group,
    };
    check(&new)?;
    Ok(new)
}

/// `POST /jobs/claim`: hands an agent the next job, waiting for one if it asks to.
///
/// An agent shows its key, or brings a one-time `claimSecret`. A repeated claim with the same `Idempotency-Key` gets the
/// same job again while it is the agent's, and the same next secret.
#[utoipa::path(post, path = "/jobs/claim", params(AckQuery, ("Idempotency-Key" = Option<RequestKey>, Header)), request_body = ClaimBody,
    responses(
        (status = 200, description = "A job, and the lease that holds it", body = Claimed),
        (status = 204, description = "No job came while waiting"),
        (status = 409, description = "noRemote: no project has one; with `ack=pushed` jobs of those that do are handed out"),
        (status = 403, description = "spentToken: the claim secret is not valid, or no more; agentMismatch, labelNotAllowed, agentDisabled"),
    ))]
pub async fn claim(
    State(app): State<App>,
    MaybeAgent(caller): MaybeAgent,
    stopping: Stopping,
    Idempotency(request): Idempotency,
    Asked(query): Asked<AckQuery>,
    QuietBody(body): QuietBody<ClaimBody>,
) -> ApiResult<Response> {
    check_ready(&app)?;
    if body.wait > WAIT_SECONDS_MAX || body.labels.len() > LABELS_MAX {
        return Err(ApiError::bad_request(format!(
            "wait is at most {WAIT_SECONDS_MAX} seconds, and labels at most {LABELS_MAX}"
        )));
    }
    // Who waits for a remote is offered the jobs of projects that have one.
    let pushed = (query.ack == Ack::Pushed).then(|| app.remotes.projects());
    if pushed.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(RemoteError::Nowhere.into());
    }
    let claimant = Claimant::of(&app, caller, &body, request.as_ref()).await?;
    app.agents.heard(&claimant.agent, &body.labels).await?;
    let agent = claimant.agent.agent_id.clone();
    let seconds_left = body.available_until.map(|end| Offer::seconds_until(end, app.clock.now()));
    let projects = both(both(body.projects, claimant.projects), pushed);
    let offer =
        Offer { agent: Some(agent.clone()), labels: body.labels, types: body.types, projects, seconds_left };
    let claim = Claim { agent: agent.clone(), offer, request };
    // Who does not wait was let in just now.
    let waits = body.wait > 0;
    let patience = async {
        if waits {
            let _ = tokio::time::timeout(Duration::from_secs(body.wait), stopping.told()).await;
        }
    };
    let done = tokio::select! {
        biased;
        () = barred(&app, &claimant.agent), if waits => return Err(unauthorized()),
        done = app.jobs.claim(claim, patience) => done?,
    };
    let Some(done) = done else {
        let Some(next) = claimant.next else { return Ok(StatusCode::NO_CONTENT.into_response()) };
        let none = Claimed {
            job: None,
            lease: None,
            code: None,
            secrets_token: None,
            credentials: Some(credentials(&app, &agent, None, next)),
        };
        return Ok(Json(none).into_response());
    };
    let repo = RepoName::Project(done.answer.project_id.clone());
    let mut answer = claimed(&app, &done.answer)?;
    answer.credentials = claimant.next.map(|next| credentials(&app, &agent, Some(&done.answer), next));
    written(&app, query.ack, &repo, StatusCode::OK, &done, &answer).await
}

/// Ends when the agent may not call any more: one that waits must not be handed a job then.
async fn barred(app: &App, agent: &Agent) {
    let stands = || {
        let now = app.agents.find(&agent.agent_id);
        now.is_some_and(|now| now.disabled_at.is_none() && now.key_hash == agent.key_hash)
    };
    while stands() {
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Who claims, and what they may have.
struct Claimant {
    agent: Arc<Agent>,
    projects: Option<BTreeSet<ProjectId>>,
    next: Option<(Token, Time)>,
}

impl Claimant {
    async fn of(
        app: &App,
        caller: Option<Arc<AgentCaller>>,
        body: &ClaimBody,
        request: Option<&RequestKey>,
    ) -> ApiResult<Self> {
        match (caller, &body.claim_secret) {
            (Some(caller), None) if caller.only.is_none() => {
                let agent = caller.agent.clone();
                if body.agent_id.as_ref().is_some_and(|said| *said != agent.agent_id) {
                    let message =
                        format!("the key is of agent {}, and the body names another", agent.agent_id);
                    return Err(ApiError::new(StatusCode::FORBIDDEN, "agentMismatch", message));
                }
                Ok(Self { agent, projects: caller.projects.clone(), next: None })
            }
            (Some(_), None) => {
                Err(ApiError::bad_request("a job's token claims nothing: send the claimSecret instead of it"))
            }
            (Some(_), Some(_)) => {
                Err(ApiError::bad_request("send an agent's key or a claimSecret, not both"))
            }
            (None, None) => Err(unauthorized()),
            (None, Some(secret)) => Self::with_secret(app, secret, body, request).await,
        }
    }

    async fn with_secret(
        app: &App,
        secret: &Token,
        body: &ClaimBody,
        request: Option<&RequestKey>,
    ) -> ApiResult<Self> {
        let id = body
            .agent_id
            .as_ref()
            .ok_or_else(|| ApiError::bad_request("a claimSecret goes with the colabId it was made for"))?;
        // What the holder of a good secret is refused for is refused before the secret is spent; a bad one tells nothing.
        let known = app.identity.known().claim_secret(&secret.hash()).filter(|known| known.agent_id == *id);
        if let (Some(known), Some(agent)) = (known, app.agents.find(id)) {
            if agent.disabled_at.is_some() {
                return Err(AgentError::Disabled(id.clone()).into());
            }
            for allowed in [&known.labels, &agent.allowed_labels].into_iter().flatten() {
                if let Some(label) = body.labels.difference(allowed).next() {
                    return Err(
                        AgentError::LabelNotAllowed { agent: id.clone(), label: label.clone() }.into()
                    );
                }
            }
        }
        let redeemed = app.identity.redeem_claim_secret(id, secret, request.map(RequestKey::as_str)).await?;
        let agent = app.agents.find(id).ok_or_else(unauthorized)?;
        let projects = both(redeemed.secret.projects.clone(), agent.projects.clone());
        Ok(Self { agent, projects, next: Some((redeemed.next, redeemed.next_expires_at)) })
    }
}

/// What is in both, where a set that is absent holds everything.
fn both(one: Option<BTreeSet<ProjectId>>, other: Option<BTreeSet<ProjectId>>) -> Option<BTreeSet<ProjectId>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.intersection(&other).cloned().collect()),
        (one, other) => one.or(other),
    }
}

fn credentials(app: &App, agent: &AgentId, job: Option<&Job>, next: (Token, Time)) -> Credentials {
    let held = job.and_then(|job| Some((job, job.lease.as_ref()?)));
    let job_token = held.map(|(job, lease)| {
        let period = Duration::from_secs(u64::from(job.timeout_seconds)) + JOB_TOKEN_GRACE;
        let until = app.clock.now().after(period);
        app.identity.lease_token(agent, &job.job_id, &lease.id, until).reveal().to_owned()
    });
    Credentials { job_token, claim_secret: next.0.reveal().to_owned(), claim_secret_expires_at: next.1 }
}

fn claimed(app: &App, job: &Job) -> Result<Claimed, ApiError> {
    let lease = job.lease.as_ref().map(|lease| lease.id.clone());
    let id = lease
        .ok_or_else(|| ApiError::new(StatusCode::CONFLICT, "jobState", "the job is not held any more"))?;
    let until = app.jobs.leases().renew(&job.job_id, &id).unwrap_or_else(|| app.clock.now());
    let code = app.projects.registry().find(&job.project_id).map(|project| CodeView {
        url: project.clone_url(),
        reference: job.payload.text("ref").unwrap_or(&project.default_branch).to_owned(),
    });
    let lease = LeaseView { id, until, seconds: LEASE_PERIOD.as_secs() };
    let secrets_token = app.secrets.token_for(job).map(|token| token.reveal().to_owned());
    Ok(Claimed { job: Some(job.shown()), lease: Some(lease), code, secrets_token, credentials: None })
}

/// `GET /jobs/{id}`: one job, open or ended.
///
/// `ETag` names its version: `If-None-Match` asks whether there is a newer one.
#[utoipa::path(get, path = "/jobs/{id}", params(("id" = JobId, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The job", body = Job, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "It is as the caller knows it"),
    ))]
pub async fn get(
    State(app): State<App>,
    headers: HeaderMap,
    at: At,
    Named(id): Named<JobId>,
) -> ApiResult<Response> {
    let job = if at.is_asked() { get_at(&app, &at, &id).await? } else { app.jobs.get(&id).await? };
    let found = job.version();
    let response = match version(&headers, header::IF_NONE_MATCH) {
        Some(known) if known == found => StatusCode::NOT_MODIFIED.into_response(),
        _ => Json(job.shown()).into_response(),
    };
    Ok(with_etag(response, &found))
}

/// The job as it was in the project that its id leads to; where projects share a tag, in the one that has the commit.
async fn get_at(app: &App, at: &At, id: &JobId) -> ApiResult<Arc<Job>> {
    let mut refusal = JobError::Unknown(id.clone()).into();
    for project in app.projects.registry().tagged(id.tag()) {
        let found = match at.commit(app, &RepoName::Project(project.clone())).await {
            Ok(Some(commit)) => app.jobs.get_at(&project, commit, id).await.map_err(ApiError::from),
            Ok(None) => app.jobs.get(id).await.map_err(ApiError::from),
            Err(unknown) => Err(unknown),
        };
        match found {
            Ok(job) => return Ok(job),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// `PATCH /jobs/{id}`: what the job's agent says; `{}` renews the lease.
///
/// `If-Match` with an `ETag` changes only that version of the job.
#[utoipa::path(patch, path = "/jobs/{id}", request_body = TellBody,
    params(("id" = JobId, Path), AckQuery, ("Job-Lease" = LeaseId, Header), ("If-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The job as it is then", body = Job, headers(
            ("ETag" = String, description = "Its version"),
            ("Job-Status" = String, description = "Its state, or `cancelling`: stop the work and report `cancelled`"),
            ("Lease-Until" = Time, description = "Until when the lease lasts"),
        )),
        (status = 409, description = "jobLeaseStale: the job is no longer the caller's; jobEnded: it has ended in another state; jobState; fileInvalid"),
        (status = 412, description = "logIncomplete: `Range` says where to go on; jobChanged: the version of If-Match is not the job's"),
        (status = 413, description = "tooLarge, jobTooLarge"),
    ))]
pub async fn tell(
    State(app): State<App>,
    CallingAgent(caller): CallingAgent,
    headers: HeaderMap,
    Named(id): Named<JobId>,
    Asked(query): Asked<AckQuery>,
    Body(mut body): Body<TellBody>,
) -> ApiResult<Response> {
    let lease = lease_of(&app, &caller, &id, &headers)?;
    let only_if = version(&headers, header::IF_MATCH).map(str::to_owned);
    let mut answer = body.answer.take();
    if let Some(answer) = &mut answer {
        answer.text = app.secrets.hide_text(&id, &lease, std::mem::take(&mut answer.text)).await?;
    }
    let told = Told { only_if, ..told(body)? };
    let mut told = app.secrets.hide_told(&id, &lease, told).await?;
    let also = (answer.is_some() || told.outcome.is_some()).then(|| app.chats.also(answer));
    if told.outcome.is_some() {
        told.log = whole_log(&app, &id, &lease, told.log).await?;
    }
    let done = app.jobs.tell_also(&id, &lease, told, also).await?;
    if done.answer.state.has_ended() {
        app.chats.live().forget(&id);
    }
    let repo = RepoName::Project(done.answer.project_id.clone());
    let response = written(&app, query.ack, &repo, StatusCode::OK, &done, done.answer.shown()).await?;
    Ok(with_etag(with_job_status(response, &app, &done.answer), &done.answer.version()))
}

/// What the log of a job is that is about to end, if what its agent says of it is right.
async fn whole_log(
    app: &App,
    id: &JobId,
    lease: &LeaseId,
    said: Option<LogSum>,
) -> ApiResult<Option<LogSum>> {
    let job = app.jobs.get(id).await?;
    if job.state.has_ended() {
        return Ok(said);
    }
    app.secrets.store_held(&app.logs, id, lease).await?;
    match said {
        Some(said) => Ok(Some(app.secrets.check_log(&app.logs, &job, lease, &said).await?)),
        None => Ok(None),
    }
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
        (Some(JobState::Failed), None) => {
            return Err(ApiError::bad_request("a failed job says why, in failure"));
        }
        (_, Some(_)) => return Err(ApiError::bad_request("failure goes with state: failed")),
        (Some(state), None) => {
            return Err(ApiError::bad_request(format!("an agent cannot set the state to {state}")));
        }
    };
    let running = body.state == Some(JobState::Running);
    let report =
        Report { running, progress: body.progress, payload_delta: body.payload_delta, result: body.result };
    Ok(Told { report, outcome, log: body.log.map(checked_sum).transpose()?, only_if: None })
}

/// The sum in lower case, as sums are compared here.
fn checked_sum(log: LogSum) -> Result<LogSum, ApiError> {
    if log.sha256.len() != 64 || !log.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ApiError::bad_request("log.sha256 is a SHA-256 in 64 hexadecimal digits"));
    }
    Ok(LogSum { sha256: log.sha256.to_ascii_lowercase(), ..log })
}

/// `POST /jobs/{id}/cancel`: ends a job that waits, or asks its agent to stop.
#[utoipa::path(post, path = "/jobs/{id}/cancel", params(("id" = JobId, Path), AckQuery),
    responses(
        (status = 200, description = "The job: cancelled, or with `cancelRequested`", body = Job),
        (status = 409, description = "jobEnded: it has ended already; fileInvalid"),
    ))]
pub async fn cancel(
    State(app): State<App>,
    caller: Principal,
    Named(id): Named<JobId>,
    Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    let done = app.jobs.cancel(&id, caller.actor()).await?;
    let repo = RepoName::Project(done.answer.project_id.clone());
    written(&app, query.ack, &repo, StatusCode::OK, &done, done.answer.shown()).await
}

/// `POST /jobs/{id}/retry`: queues an ended job again, as its next attempt.
#[utoipa::path(post, path = "/jobs/{id}/retry", params(("id" = JobId, Path), AckQuery),
    responses(
        (status = 200, description = "The job, pending", body = Job),
        (status = 409, description = "jobState: it has not ended; fileInvalid"),
    ))]
pub async fn retry(
    State(app): State<App>,
    caller: Principal,
    Named(id): Named<JobId>,
    Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    let done = app.jobs.retry(&id, caller.actor()).await?;
    let repo = RepoName::Project(done.answer.project_id.clone());
    written(&app, query.ack, &repo, StatusCode::OK, &done, done.answer.shown()).await
}
