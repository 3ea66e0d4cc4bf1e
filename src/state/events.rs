//! What has happened, to whoever listens: told in the order of the journal, once it is durable.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::commit::Event;
use super::oid::Oid;

/// Events kept for listeners that come back; older ones are read from git.
const KEPT: usize = 8192;
/// Events a slow listener may be behind before it is cut off (and resumes from the last it has).
const BEHIND_MAX: usize = 4096;

/// The stream of events.
pub struct Events {
    kept: Mutex<VecDeque<Arc<Event>>>,
    live: broadcast::Sender<Arc<Event>>,
}

/// A listener's place: what it missed, and what comes.
pub struct Subscription {
    /// The events since the one it named.
    pub missed: Vec<Arc<Event>>,
    /// Whether `missed` begins right behind the named event; otherwise git must be asked for what lies between.
    pub is_gapless: bool,
    /// What happens from now on.
    pub live: broadcast::Receiver<Arc<Event>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { kept: Mutex::default(), live: broadcast::channel(BEHIND_MAX).0 }
    }
}

impl Events {
    /// How many events are kept, and how many listen.
    pub fn depth(&self) -> (usize, usize) {
        (self.kept.lock().len(), self.live.receiver_count())
    }

    pub(super) fn tell(&self, event: Event) {
        let event = Arc::new(event);
        let mut kept = self.kept.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // Nobody listening is no error.
        let _ = self.live.send(event);
    }

    /// Listens from now on, or from behind the event of the commit `after`.
    pub fn subscribe(&self, after: Option<Oid>) -> Subscription {
        let kept = self.kept.lock();
        let live = self.live.subscribe();
        let Some(after) = after else { return Subscription { missed: Vec::new(), is_gapless: true, live } };
        let place = kept.iter().rposition(|event| event.commit == after);
        let missed = place.map_or_else(Vec::new, |place| kept.iter().skip(place + 1).cloned().collect());
        Subscription { missed, is_gapless: place.is_some(), live }
    }
}
