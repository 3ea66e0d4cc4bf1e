//! What an agent is: the type, which is also its file `agents/….yaml` of the platform and its JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::id::{AgentId, Label};
use crate::state::edit::Entity;

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Agent {
    /// Its name.
    pub agent_id: AgentId,
    /// What it offers.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// When it first claimed.
    pub registered_at: Time,
    /// When this file last changed.
    pub updated_at: Time,
}

impl Entity for Agent {
    const KIND: &'static str = "agent";
}
