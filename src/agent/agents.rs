//! The agents in memory, and the commits that register, change and disable them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use super::types::Agent;
use crate::clock::{Clock, Time};
use crate::id::{AgentId, Label, ProjectId};
use crate::identity::token::{AGENT_PREFIX, Token, TokenHash};
use crate::state::edit::{Actor, Change, Edit, Projection};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::store::{Done, EngineError, State};

/// Why an agent was not registered, changed or believed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no such agent.
    #[error("there is no agent {0}; an admin registers one with POST /admin/agents")]
    Unknown(AgentId),
    /// The name is an agent's already.
    #[error("there is an agent {0} already; rotate its key if it is lost")]
    Exists(AgentId),
    /// It offers a label that it may not.
    #[error("the agent {agent} may not offer the label {label}; an admin can allow it")]
    LabelNotAllowed {
        /// Who.
        agent: AgentId,
        /// Which label.
        label: Label,
    },
    /// It is disabled.
    #[error("the agent {0} is disabled")]
    Disabled(AgentId),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The known agents. A clone is the same.
#[derive(Clone, Default)]
pub struct KnownAgents(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    agents: BTreeMap<AgentId, Arc<Agent>>,
    keys: HashMap<TokenHash, AgentId>,
    heard: HashMap<AgentId, Time>,
}

/// Called when an agent's file has changed: with its name, and whether it gets no new jobs.
pub type OnAgent = Box<dyn Fn(&AgentId, bool) + Send>;

/// The projection that fills [`KnownAgents`], and tells whoever must know of a changed agent.
pub struct Registered {
    /// What it fills.
    pub known: KnownAgents,
    /// Whom it tells.
    pub on_agent: OnAgent,
}

impl Projection for Registered {
    fn lives_from(&self) -> &'static [&'static str] {
        &[layout::AGENTS]
    }

    fn apply(&mut self, edit: &Edit) {
        let Ok(id) = layout::stem(edit.path()).parse::<AgentId>() else { return };
        let agent = match edit.entity::<Agent>() {
            Ok(agent) => agent.filter(|agent| agent.agent_id == id),
            Err(bad) => return tracing::error!(%bad, "an agent's file is passed over"),
        };
        let mut known = self.known.0.write();
        if let Some(hash) = known.agents.remove(&id).and_then(|before| before.key_hash) {
            known.keys.remove(&hash);
        }
        let is_draining = agent.as_ref().is_some_and(|agent| agent.is_draining());
        if let Some(agent) = agent {
            known.keys.extend(agent.key_hash.map(|hash| (hash, id.clone())));
            known.agents.insert(id.clone(), agent);
        }
        drop(known);
        (self.on_agent)(&id, is_draining);
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

/// What an admin says of an agent; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct AgentPatch {
    /// The labels it may offer; an inner `None` allows any.
    pub allowed_labels: Option<Option<BTreeSet<Label>>>,
    /// The projects it works for; an inner `None` allows all.
    pub projects: Option<Option<BTreeSet<ProjectId>>>,
    /// Whether it gets no new jobs.
    pub draining: Option<bool>,
    /// Whether it may call.
    pub disabled: Option<bool>,
}

impl Agents {
    /// Over this state; `known` is filled by its projection.
    pub fn new(state: State, clock: Clock, known: KnownAgents) -> Self {
        Self { state, clock, known }
    }

    /// Registers an agent and makes its key, which is in this answer and nowhere else.
    pub async fn add(
        &self,
        id: &AgentId,
        patch: AgentPatch,
        actor: Actor,
    ) -> Result<Done<(Arc<Agent>, Token)>, AgentError> {
        let (now, token) = (self.clock.now(), Token::random(AGENT_PREFIX));
        let decide = |_: &mut View<'_>| -> Result<_, AgentError> {
            if self.find(id).is_some() {
                return Err(AgentError::Exists(id.clone()));
            }
            let agent = Agent { key_hash: Some(token.hash()), ..patched(&nobody(id, now), patch, now) };
            let agent = Arc::new(agent);
            let change = put(&agent, format!("agent {id}: registered"), "agent.registered", actor);
            Ok(Decision::commit(change, (agent, token)))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Registers an agent that has no key and claims with one-time secrets; one that is there stays as it is.
    pub async fn add_keyless(&self, id: &AgentId, actor: Actor) -> Result<Arc<Agent>, AgentError> {
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<_, AgentError> {
            if let Some(agent) = self.find(id) {
                return Ok(Decision::nothing(agent));
            }
            let agent = Arc::new(nobody(id, now));
            let change =
                put(&agent, format!("agent {id}: registered without a key"), "agent.registered", actor);
            Ok(Decision::commit(change, agent))
        };
        Ok(self.state.change(&RepoName::Platform, decide).await?.answer)
    }

    /// Changes what an agent may do.
    pub async fn change(
        &self,
        id: &AgentId,
        patch: AgentPatch,
        actor: Actor,
    ) -> Result<Done<Arc<Agent>>, AgentError> {
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<_, AgentError> {
            let before = self.find(id).ok_or_else(|| AgentError::Unknown(id.clone()))?;
            let after = patched(&before, patch, now);
            if after == (Agent { updated_at: now, ..(*before).clone() }) {
                return Ok(Decision::nothing(before));
            }
            let (word, event) = what_changed(&before, &after);
            let agent = Arc::new(after);
            Ok(Decision::commit(put(&agent, format!("agent {id}: {word}"), event, actor), agent))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Gives an agent another key; the one before is refused from this moment on.
    pub async fn rotate(&self, id: &AgentId, actor: Actor) -> Result<Done<(Arc<Agent>, Token)>, AgentError> {
        let (now, token) = (self.clock.now(), Token::random(AGENT_PREFIX));
        let decide = |_: &mut View<'_>| -> Result<_, AgentError> {
            let before = self.find(id).ok_or_else(|| AgentError::Unknown(id.clone()))?;
            let agent =
                Arc::new(Agent { key_hash: Some(token.hash()), updated_at: now, ..(*before).clone() });
            let change = put(&agent, format!("agent {id}: key rotated"), "agent.keyRotated", actor);
            Ok(Decision::commit(change, (agent, token)))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// An agent was heard of with these labels: notes them if that is news, and refuses those it may not offer.
    pub async fn heard(&self, agent: &Agent, labels: &BTreeSet<Label>) -> Result<(), AgentError> {
        let id = &agent.agent_id;
        let allowed =
            |label: &&Label| agent.allowed_labels.as_ref().is_none_or(|allowed| allowed.contains(*label));
        if let Some(label) = labels.iter().find(|label| !allowed(label)) {
            return Err(AgentError::LabelNotAllowed { agent: id.clone(), label: label.clone() });
        }
        let now = self.clock.now();
        if self.note(id, labels, now) {
            return Ok(());
        }
        let decide = |_: &mut View<'_>| -> Result<_, AgentError> {
            let before = self.find(id).ok_or_else(|| AgentError::Unknown(id.clone()))?;
            if before.labels.iter().eq(labels) {
                return Ok(Decision::nothing(()));
            }
            let agent = Arc::new(Agent {
                labels: labels.iter().cloned().collect(),
                updated_at: now,
                ..(*before).clone()
            });
            let names: Vec<&str> = labels.iter().map(Label::as_str).collect();
            let what = format!("agent {id}: offers labels [{}]", names.join(", "));
            let actor = Actor { kind: "agent", name: id.as_str().into() };
            Ok(Decision::commit(put(&agent, what, "agent.labelled", actor), ()))
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

    /// The agent with this key, unless it is disabled.
    pub fn by_key(&self, key: &Token) -> Option<Arc<Agent>> {
        let known = self.known.0.read();
        let agent = known.keys.get(&key.hash()).and_then(|id| known.agents.get(id))?;
        agent.disabled_at.is_none().then(|| agent.clone())
    }

    /// When an agent was last heard of since the start.
    pub fn heard_at(&self, id: &AgentId) -> Option<Time> {
        self.known.0.read().heard.get(id).copied()
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

fn nobody(id: &AgentId, now: Time) -> Agent {
    Agent {
        agent_id: id.clone(),
        labels: Vec::new(),
        allowed_labels: None,
        projects: None,
        draining_since: None,
        key_hash: None,
        registered_at: now,
        updated_at: now,
        disabled_at: None,
    }
}

fn patched(before: &Agent, patch: AgentPatch, now: Time) -> Agent {
    let since = |wanted: Option<bool>, before: Option<Time>| match wanted {
        Some(true) => before.or(Some(now)),
        Some(false) => None,
        None => before,
    };
    Agent {
        allowed_labels: patch.allowed_labels.unwrap_or_else(|| before.allowed_labels.clone()),
        projects: patch.projects.unwrap_or_else(|| before.projects.clone()),
        draining_since: since(patch.draining, before.draining_since),
        disabled_at: since(patch.disabled, before.disabled_at),
        updated_at: now,
        ..before.clone()
    }
}

/// What a change of an agent is called in its commit's subject and in events.
fn what_changed(before: &Agent, after: &Agent) -> (&'static str, &'static str) {
    match (before.is_draining(), after.is_draining()) {
        _ if after.disabled_at.is_some() => ("disabled", "agent.changed"),
        (false, true) => ("gets no new jobs", "agent.draining"),
        (true, false) => ("gets jobs again", "agent.changed"),
        _ => ("changed", "agent.changed"),
    }
}

fn put(agent: &Arc<Agent>, subject: String, event: &'static str, actor: Actor) -> Change {
    let edits = vec![Edit::put(layout::agent(&agent.agent_id), agent.clone())];
    Change { branch: STATE_REF.into(), subject, event, actor, request: None, edits }
}
