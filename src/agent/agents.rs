//! The agents in memory, and the commits that register them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use super::types::Agent;
use crate::clock::{Clock, Time};
use crate::id::{AgentId, Label};
use crate::state::edit::{Actor, Change, Edit, Projection};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::store::{EngineError, State};

/// The known agents. A clone is the same.
#[derive(Clone, Default)]
pub struct KnownAgents(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    agents: BTreeMap<AgentId, Arc<Agent>>,
    heard: HashMap<AgentId, Time>,
}

/// The projection that fills [`KnownAgents`].
pub struct Registered(pub KnownAgents);

impl Projection for Registered {
    fn lives_from(&self) -> &'static [&'static str] {
        &[layout::AGENTS]
    }

    fn apply(&mut self, edit: &Edit) {
        let Ok(id) = layout::stem(edit.path()).parse::<AgentId>() else { return };
        let mut known = self.0.0.write();
        match edit.entity::<Agent>() {
            Ok(Some(agent)) => drop(known.agents.insert(id, agent)),
            Ok(None) => drop(known.agents.remove(&id)),
            Err(bad) => tracing::error!(%bad, "an agent's file is passed over"),
        }
    }

    fn is_busy(&self) -> bool {
        true
    }
}

/// The agents. A clone is the same.
#[derive(Clone)]
pub struct Agents {
    state: State,
    clock: Clock,
    known: KnownAgents,
}

impl Agents {
    /// Over this state; `known` is filled by its projection.
    pub fn new(state: State, clock: Clock, known: KnownAgents) -> Self {
        Self { state, clock, known }
    }

    /// An agent was heard of with these labels: registers it if that is news.
    pub async fn heard(&self, id: &AgentId, labels: &BTreeSet<Label>) -> Result<(), EngineError> {
        let now = self.clock.now();
        if self.note(id, labels, now) {
            return Ok(());
        }
        let decide = |_: &mut View<'_>| -> Result<_, EngineError> {
            let before = self.find(id);
            let agent = Agent {
                agent_id: id.clone(),
                labels: labels.iter().cloned().collect(),
                registered_at: before.as_ref().map_or(now, |agent| agent.registered_at),
                updated_at: now,
            };
            if before.is_some_and(|before| before.labels == agent.labels) {
                return Ok(Decision::nothing(()));
            }
            Ok(Decision::commit(registration(agent), ()))
        };
        self.state.change(&RepoName::Platform, decide).await.map(|_| ())
    }

    /// Notes when it was heard of; tells whether it is known with these labels.
    fn note(&self, id: &AgentId, labels: &BTreeSet<Label>, now: Time) -> bool {
        let mut known = self.known.0.write();
        known.heard.insert(id.clone(), now);
        known.agents.get(id).is_some_and(|agent| agent.labels.iter().eq(labels))
    }

    /// The agent with this name.
    pub fn find(&self, id: &AgentId) -> Option<Arc<Agent>> {
        self.known.0.read().agents.get(id).cloned()
    }

    /// All agents by name, with when each was last heard of since the daemon started.
    pub fn list(&self) -> Vec<(Arc<Agent>, Option<Time>)> {
        let known = self.known.0.read();
        known
            .agents
            .values()
            .map(|agent| (agent.clone(), known.heard.get(&agent.agent_id).copied()))
            .collect()
    }
}

fn registration(agent: Agent) -> Change {
    let labels: Vec<&str> = agent.labels.iter().map(Label::as_str).collect();
    let subject = format!("agent {}: registered with labels [{}]", agent.agent_id, labels.join(", "));
    let actor = Actor { kind: "agent", name: agent.agent_id.as_str().into() };
    let edits = vec![Edit::put(layout::agent(&agent.agent_id), Arc::new(agent))];
    Change { branch: STATE_REF.into(), subject, event: "agent.registered", actor, request: None, edits }
}
