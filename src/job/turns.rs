//! One claim at a time for an agent and its key: a repeated claim waits for the first one and then finds its job.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::types::RequestKey;
use crate::id::AgentId;

/// Keys of claims that are over are swept out when there are more than this.
const SWEEP_ABOVE: usize = 1024;

type Turn = tokio::sync::Mutex<()>;
type UnderWay = HashMap<(AgentId, RequestKey), Weak<Turn>>;

/// The claims with a key that are under way.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<UnderWay>>);

impl Turns {
    /// Waits until no other claim of this agent with this key is under way.
    pub async fn take(&self, agent: &AgentId, key: &RequestKey) -> OwnedMutexGuard<()> {
        self.of(agent, key).lock_owned().await
    }

    fn of(&self, agent: &AgentId, key: &RequestKey) -> Arc<Turn> {
        let mut turns = self.0.lock();
        if turns.len() > SWEEP_ABOVE {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let place = turns.entry((agent.clone(), key.clone())).or_default();
        place.upgrade().unwrap_or_else(|| {
            let turn = Arc::new(Turn::default());
            *place = Arc::downgrade(&turn);
            turn
        })
    }
}
