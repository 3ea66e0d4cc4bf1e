//! The HTTP side of agents.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;

/// `GET /agents`: every agent that has claimed, and when it was last heard of since the daemon started.
pub async fn list(State(app): State<App>) -> Json<Value> {
    let agents: Vec<Value> = app.agents.list().into_iter().map(|(agent, heard)| {
        json!({
            "agentId": agent.agent_id, "labels": agent.labels, "registeredAt": agent.registered_at,
            "updatedAt": agent.updated_at, "lastHeardAt": heard,
        })
    }).collect();
    Json(json!({ "agents": agents, "nextCursor": null }))
}
