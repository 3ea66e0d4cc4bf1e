//! How far each webhook is, and its last deliveries: in memory, and in a small file each (`DATA/webhooks/hook-….json`)
//! that is written now and then. What a crash takes from it is sent again.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::types::Webhook;
use crate::clock::Time;
use crate::id::WebhookId;
use crate::state::commit::Event;
use crate::state::oid::Oid;

/// Deliveries kept of each webhook; what happened before is in the project's history.
pub const DELIVERIES_KEPT: usize = 100;

/// How a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is tried, or will be again.
    Waiting,
    /// The receiver answered with 2xx.
    Delivered,
    /// It was tried as often as it is, and given up.
    Failed,
}

/// One event sent to one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delivery {
    /// Its number among the webhook's.
    pub number: u64,
    /// The header `Mrx-Delivery`, the same at each attempt.
    pub id: String,
    /// What happened.
    pub event: String,
    /// The commit that records it.
    pub commit: Oid,
    /// How it is.
    pub state: DeliveryState,
    /// What was tried.
    pub attempts: Vec<Attempt>,
    /// When it is tried again.
    pub next_attempt_at: Option<Time>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attempt {
    /// When.
    pub at: Time,
    /// The status of the answer, if one came.
    pub status: Option<u16>,
    /// Why none came.
    pub problem: Option<String>,
    /// The beginning of the answer, at most 4 KiB; of the last attempt alone.
    pub answer: Option<String>,
}

impl Attempt {
    /// Whether the receiver took it.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// How far a webhook is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Place {
    /// The webhook's own beginning, when this was made; another one begins anew.
    after: Oid,
    /// The last event that was delivered, given up or not wanted.
    cursor: Oid,
    failing_since: Option<Time>,
    next_number: u64,
    deliveries: VecDeque<Delivery>,
}

impl Place {
    fn beginning(hook: &Webhook) -> Self {
        let deliveries = VecDeque::new();
        Self { after: hook.after, cursor: hook.after, failing_since: None, next_number: 1, deliveries }
    }
}

/// The places of all webhooks. A clone is the same.
#[derive(Clone)]
pub struct Places {
    folder: PathBuf,
    known: Arc<Mutex<HashMap<WebhookId, (Place, bool)>>>,
}

impl Places {
    /// With their files in this folder.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder, known: Arc::default() }
    }

    /// Reads a webhook's file, if that was not done. Whatever follows expects it.
    pub async fn ready(&self, hook: &Webhook) {
        if self.known.lock().contains_key(&hook.webhook_id) {
            return;
        }
        let path = self.path(&hook.webhook_id);
        let read = tokio::task::spawn_blocking(move || read(&path)).await.ok().flatten();
        let place = read.unwrap_or_else(|| Place::beginning(hook));
        self.known.lock().entry(hook.webhook_id.clone()).or_insert((place, false));
    }

    /// The last event that it is done with.
    pub fn cursor(&self, hook: &Webhook) -> Oid {
        self.change(hook, |place| {
            if place.after != hook.after {
                (place.after, place.cursor, place.failing_since) = (hook.after, hook.after, None);
                place.deliveries.iter_mut().for_each(give_up);
            }
            place.cursor
        })
    }

    /// It is done with this event.
    pub fn advance(&self, hook: &Webhook, commit: Oid) {
        self.change(hook, |place| place.cursor = commit);
    }

    /// Begins a delivery, or goes on with one that a restart cut off; tells its number and how often it was tried.
    pub fn begin(&self, hook: &Webhook, event: &Event, id: &str) -> (u64, usize) {
        self.change(hook, |place| {
            let waiting =
                |delivery: &&Delivery| delivery.id == id && delivery.state == DeliveryState::Waiting;
            if let Some(known) = place.deliveries.iter().find(waiting) {
                return (known.number, known.attempts.len());
            }
            let number = place.next_number;
            place.next_number += 1;
            if place.deliveries.len() == DELIVERIES_KEPT {
                place.deliveries.pop_front();
            }
            place.deliveries.push_back(Delivery {
                number,
                id: id.to_owned(),
                event: event.event.clone(),
                commit: event.commit,
                state: DeliveryState::Waiting,
                attempts: Vec::new(),
                next_attempt_at: None,
            });
            (number, 0)
        })
    }

    /// Notes an attempt, and when the next one is if this one failed; tells since when the webhook fails.
    pub fn note(&self, hook: &Webhook, number: u64, attempt: Attempt, next: Option<Time>) -> Option<Time> {
        self.change(hook, |place| {
            place.failing_since =
                if attempt.is_success() { None } else { place.failing_since.or(Some(attempt.at)) };
            if let Some(delivery) = place.deliveries.iter_mut().find(|one| one.number == number) {
                delivery.state = match next {
                    _ if attempt.is_success() => DeliveryState::Delivered,
                    Some(_) => DeliveryState::Waiting,
                    None => DeliveryState::Failed,
                };
                delivery.attempts.iter_mut().for_each(|earlier| earlier.answer = None);
                delivery.attempts.push(attempt);
                // Those that a person asked for come on top.
                if delivery.attempts.len() > 2 * super::schedule::ATTEMPTS_MAX {
                    delivery.attempts.remove(0);
                }
                delivery.next_attempt_at = next;
            }
            place.failing_since
        })
    }

    /// Its last deliveries, the newest first.
    pub fn deliveries(&self, hook: &Webhook) -> Vec<Delivery> {
        self.change(hook, |place| place.deliveries.iter().rev().cloned().collect())
    }

    /// Forgets a webhook that was removed.
    pub async fn forget(&self, id: &WebhookId) {
        self.known.lock().remove(id);
        let path = self.path(id);
        // A file that stays harms nothing: no webhook has its id.
        let _ = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
    }

    /// Writes what has changed. One that cannot be written is tried again the next time.
    pub fn save(&self) {
        let changed: Vec<(WebhookId, Vec<u8>)> = {
            let mut known = self.known.lock();
            let changed = known.iter_mut().filter(|(_, (_, is_dirty))| *is_dirty);
            changed
                .map(|(id, (place, is_dirty))| {
                    *is_dirty = false;
                    (id.clone(), serde_json::to_vec(place).expect("a place has string keys"))
                })
                .collect()
        };
        for (id, json) in changed {
            if let Err(error) = write(&self.folder, &self.path(&id), &json) {
                tracing::warn!(webhook = %id, %error, "how far a webhook is was not written down; a restart may send events again");
                if let Some((_, is_dirty)) = self.known.lock().get_mut(&id) {
                    *is_dirty = true;
                }
            }
        }
    }

    fn change<T>(&self, hook: &Webhook, change: impl FnOnce(&mut Place) -> T) -> T {
        let mut known = self.known.lock();
        let (place, is_dirty) =
            known.entry(hook.webhook_id.clone()).or_insert_with(|| (Place::beginning(hook), false));
        *is_dirty = true;
        change(place)
    }

    fn path(&self, id: &WebhookId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

fn give_up(delivery: &mut Delivery) {
    if delivery.state == DeliveryState::Waiting {
        (delivery.state, delivery.next_attempt_at) = (DeliveryState::Failed, None);
    }
}

fn read(path: &Path) -> Option<Place> {
    let bytes = std::fs::read(path).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(place) => Some(place),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "how far a webhook is cannot be read; its events are sent again");
            None
        }
    }
}

fn write(folder: &Path, path: &Path, json: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(json)?;
    file.as_file().sync_data()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
