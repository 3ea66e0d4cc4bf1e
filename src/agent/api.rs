//! The HTTP side of agents.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::clock::Time;
use crate::id::{AgentId, Label};

/// An agent, and whether it is there.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentView {
    agent_id: AgentId,
    labels: Vec<Label>,
    registered_at: Time,
    updated_at: Time,
    /// Since the daemon started.
    last_heard_at: Option<Time>,
}

/// All agents, by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentsPage {
    agents: Vec<AgentView>,
    next_cursor: Option<AgentId>,
}

/// `GET /agents`: every agent that has claimed, and when it was last heard of since the daemon started.
#[utoipa::path(get, path = "/agents", responses((status = 200, description = "Agents", body = AgentsPage)))]
pub async fn list(State(app): State<App>) -> Json<AgentsPage> {
    let view = |(agent, last_heard_at): (std::sync::Arc<super::Agent>, Option<Time>)| AgentView {
        agent_id: agent.agent_id.clone(),
        labels: agent.labels.clone(),
        registered_at: agent.registered_at,
        updated_at: agent.updated_at,
        last_heard_at,
    };
    Json(AgentsPage { agents: app.agents.list().into_iter().map(view).collect(), next_cursor: None })
}
