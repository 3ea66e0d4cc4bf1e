//! What an agent is: the type, which is also its file `agents/….yaml` of the platform.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::id::{AgentId, Label, ProjectId};
use crate::identity::token::TokenHash;
use crate::state::edit::Entity;

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Agent {
    /// Its name.
    pub agent_id: AgentId,
    /// What it offered last.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// The labels it may offer; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_labels: Option<BTreeSet<Label>>,
    /// The projects it works for; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<BTreeSet<ProjectId>>,
    /// Since when it gets no new jobs; what it has it ends, and what it may do stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining_since: Option<Time>,
    /// The hash of its key; absent if it claims with one-time secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hash: Option<TokenHash>,
    /// When it was registered.
    pub registered_at: Time,
    /// When this file last changed.
    pub updated_at: Time,
    /// Since when it may not call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Time>,
}

impl Agent {
    /// Whether it gets no new jobs.
    pub fn is_draining(&self) -> bool {
        self.draining_since.is_some()
    }
}

impl Entity for Agent {
    const KIND: &'static str = "agent";
}
