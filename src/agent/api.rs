//! The HTTP side of agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::agents::{AgentError, AgentPatch};
use super::types::Agent;
use crate::app::App;
use crate::clock::Time;
use crate::http::answer::{AckQuery, with_etag, written};
use crate::http::auth::Principal;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Body, Named, present, version};
use crate::id::{AgentId, JobId, Label, ProjectId};
use crate::identity::claim_secret::{NewClaimSecret, PERIOD_MAX, PERIOD_MIN};
use crate::state::layout::RepoName;

/// What `GET /agent.py` answers.
const NOTEBOOK_AGENT: &str = include_str!("../../examples/colab/mrx_agent.py");

/// An agent, and whether it is there.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentView {
    agent_id: AgentId,
    /// What it offered last.
    labels: Vec<Label>,
    /// The labels it may offer; null for any.
    allowed_labels: Option<BTreeSet<Label>>,
    /// The projects it works for; null for all.
    projects: Option<BTreeSet<ProjectId>>,
    /// Since when it gets no new jobs.
    draining_since: Option<Time>,
    /// Whether it has a key of its own; else it claims with one-time secrets.
    has_key: bool,
    registered_at: Time,
    updated_at: Time,
    disabled_at: Option<Time>,
    /// Since the daemon started.
    last_heard_at: Option<Time>,
    /// The jobs that it holds now.
    holds: Vec<HeldJob>,
}

/// A job that an agent holds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldJob {
    job_id: JobId,
    project_id: ProjectId,
}

impl AgentView {
    fn of(app: &App, agent: &Agent) -> Self {
        let held = app.jobs.leases().by_agent().remove(&agent.agent_id).unwrap_or_default();
        Self::with(agent, app.agents.heard_at(&agent.agent_id), held)
    }

    fn with(agent: &Agent, last_heard_at: Option<Time>, held: BTreeMap<JobId, ProjectId>) -> Self {
        Self {
            agent_id: agent.agent_id.clone(),
            labels: agent.labels.clone(),
            allowed_labels: agent.allowed_labels.clone(),
            projects: agent.projects.clone(),
            draining_since: agent.draining_since,
            has_key: agent.key_hash.is_some(),
            registered_at: agent.registered_at,
            updated_at: agent.updated_at,
            disabled_at: agent.disabled_at,
            last_heard_at,
            holds: held.into_iter().map(|(job_id, project_id)| HeldJob { job_id, project_id }).collect(),
        }
    }
}

/// All agents, by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentsPage {
    agents: Vec<AgentView>,
    next_cursor: Option<AgentId>,
}

/// The body of `POST /admin/agents`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddAgentBody {
    /// Its name.
    agent_id: AgentId,
    /// The labels it may offer; any if absent.
    allowed_labels: Option<BTreeSet<Label>>,
    /// The projects it works for; all if absent.
    projects: Option<BTreeSet<ProjectId>>,
}

/// The body of `PATCH /admin/agents/{agentId}`; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeAgentBody {
    /// The labels it may offer; `null` allows any.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeSet<Label>>)]
    allowed_labels: Option<Option<BTreeSet<Label>>>,
    /// The projects it works for; `null` allows all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeSet<ProjectId>>)]
    projects: Option<Option<BTreeSet<ProjectId>>>,
    /// Whether it gets no new jobs; it ends what it has, and its projects and labels stay as they are.
    draining: Option<bool>,
    /// Whether it may call.
    disabled: Option<bool>,
}

/// An agent, with the key that was just made for it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentWithKey {
    agent: AgentView,
    /// The key. It is shown in this answer and never again.
    key: String,
}

/// The body of `POST /agents/claim-secret`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimSecretBody {
    /// Who may claim with it; `colabId` is read as the same. An agent asks for itself.
    #[serde(alias = "colabId")]
    agent_id: AgentId,
    /// The projects it may claim from; all if absent.
    projects: Option<BTreeSet<ProjectId>>,
    /// The labels it may offer; any if absent.
    labels: Option<BTreeSet<Label>>,
    /// How many seconds it is good: 60 to 300; 300 if absent.
    ttl_seconds: Option<u64>,
}

/// A one-time claim secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSecretView {
    /// The secret. It is shown in this answer and never again.
    claim_secret: String,
    /// When it ends.
    expires_at: Time,
}

/// `GET /agents`: every agent, and when it was last heard of since the daemon started.
#[utoipa::path(get, path = "/agents", responses((status = 200, description = "Agents", body = AgentsPage)))]
pub async fn list(State(app): State<App>) -> Json<AgentsPage> {
    let mut held = app.jobs.leases().by_agent();
    let view = |(agent, heard): &(Arc<Agent>, Option<Time>)| {
        AgentView::with(agent, *heard, held.remove(&agent.agent_id).unwrap_or_default())
    };
    let agents = app.agents.list().iter().map(view).collect();
    Json(AgentsPage { agents, next_cursor: None })
}

/// `GET /agent.py`: the agent for notebooks, in one file of Python, as it fits this daemon.
#[utoipa::path(get, path = "/agent.py", params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The program", body = String, content_type = "text/x-python",
            headers(("ETag" = String, description = "Its SHA-256"))),
        (status = 304, description = "The caller has it"),
    ))]
pub async fn program(headers: HeaderMap) -> Response {
    static VERSION: LazyLock<String> =
        LazyLock::new(|| Sha256::digest(NOTEBOOK_AGENT).iter().map(|byte| format!("{byte:02x}")).collect());
    if version(&headers, header::IF_NONE_MATCH) == Some(VERSION.as_str()) {
        return with_etag(StatusCode::NOT_MODIFIED.into_response(), &VERSION);
    }
    let kind = [(header::CONTENT_TYPE, "text/x-python; charset=utf-8")];
    with_etag((kind, NOTEBOOK_AGENT).into_response(), &VERSION)
}

/// `POST /admin/agents`: registers an agent. Its key is in this answer and nowhere else.
#[utoipa::path(post, path = "/admin/agents", params(AckQuery), request_body = AddAgentBody,
    responses((status = 201, description = "The agent and its key", body = AgentWithKey), (status = 409, description = "agentExists")))]
pub async fn add(
    State(app): State<App>,
    caller: Principal,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<AddAgentBody>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    let patch = AgentPatch {
        allowed_labels: Some(body.allowed_labels),
        projects: Some(body.projects),
        draining: None,
        disabled: None,
    };
    let done = app.agents.add(&body.agent_id, patch, caller.actor()).await?;
    let view =
        AgentWithKey { agent: AgentView::of(&app, &done.answer.0), key: done.answer.1.reveal().to_owned() };
    written(&app, query.ack, &RepoName::Platform, StatusCode::CREATED, &done, view).await
}

/// `PATCH /admin/agents/{agentId}`: changes what an agent may do, lets it drain, or disables it.
#[utoipa::path(patch, path = "/admin/agents/{agentId}", params(("agentId" = AgentId, Path), AckQuery), request_body = ChangeAgentBody,
    responses((status = 200, description = "The agent", body = AgentView), (status = 404, description = "agentUnknown")))]
pub async fn change(
    State(app): State<App>,
    caller: Principal,
    Named(id): Named<AgentId>,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<ChangeAgentBody>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    let patch = AgentPatch {
        allowed_labels: body.allowed_labels,
        projects: body.projects,
        draining: body.draining,
        disabled: body.disabled,
    };
    let done = app.agents.change(&id, patch, caller.actor()).await?;
    written(&app, query.ack, &RepoName::Platform, StatusCode::OK, &done, AgentView::of(&app, &done.answer))
        .await
}

/// `POST /admin/agents/{agentId}/rotate`: gives an agent another key; the one before is refused from this moment on.
#[utoipa::path(post, path = "/admin/agents/{agentId}/rotate", params(("agentId" = AgentId, Path), AckQuery),
    responses((status = 200, description = "The agent and its key", body = AgentWithKey), (status = 404, description = "agentUnknown")))]
pub async fn rotate(
    State(app): State<App>,
    caller: Principal,
    Named(id): Named<AgentId>,
    Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    let done = app.agents.rotate(&id, caller.actor()).await?;
    let view =
        AgentWithKey { agent: AgentView::of(&app, &done.answer.0), key: done.answer.1.reveal().to_owned() };
    written(&app, query.ack, &RepoName::Platform, StatusCode::OK, &done, view).await
}

/// `POST /agents/claim-secret`: a secret with which an agent without a key claims once; each claim's answer carries the next.
///
/// An agent that is new is registered without a key.
#[utoipa::path(post, path = "/agents/claim-secret", request_body = ClaimSecretBody,
    responses((status = 201, description = "The secret", body = ClaimSecretView), (status = 403, description = "forbidden: an agent asks for itself alone")))]
pub async fn claim_secret(
    State(app): State<App>,
    caller: Principal,
    Body(body): Body<ClaimSecretBody>,
) -> ApiResult<Response> {
    let period = body.ttl_seconds.map_or(PERIOD_MAX, Duration::from_secs);
    if !(PERIOD_MIN..=PERIOD_MAX).contains(&period) {
        let (min, max) = (PERIOD_MIN.as_secs(), PERIOD_MAX.as_secs());
        return Err(ApiError::bad_request(format!("ttlSeconds is {min} to {max}")));
    }
    let (mut projects, mut labels) = (body.projects, body.labels);
    if let Principal::Agent(agent) = &caller {
        if agent.agent.agent_id != body.agent_id {
            let message = format!(
                "agent {} asks for a secret of {}; an agent asks for itself",
                agent.agent.agent_id, body.agent_id
            );
            return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
        }
        (projects, labels) = (agent.agent.projects.clone(), agent.agent.allowed_labels.clone());
    }
    let agent = app.agents.add_keyless(&body.agent_id, caller.actor()).await?;
    if agent.disabled_at.is_some() {
        return Err(AgentError::Disabled(body.agent_id).into());
    }
    let new = NewClaimSecret { agent: body.agent_id, projects, labels, period };
    let done = app.identity.create_claim_secret(new, caller.actor()).await?;
    let view = ClaimSecretView { claim_secret: done.answer.0.reveal().to_owned(), expires_at: done.answer.1 };
    written(&app, crate::http::answer::Ack::Durable, &RepoName::Platform, StatusCode::CREATED, &done, view)
        .await
}
