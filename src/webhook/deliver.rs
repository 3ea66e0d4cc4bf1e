//! Goes through the events of each project behind where its webhooks are, and sends those that they want, in order.
//!
//! What waits to be sent is nowhere but in the project's history, so nothing is lost by a restart, and a receiver that was
//! away catches up. One event is tried for about an hour before the next one has its turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::broadcast::error::RecvError;

use super::place::{Attempt, Delivery};
use super::schedule;
use super::send::{self, Message};
use super::types::{Webhook, secret_name};
use super::webhooks::{WebhookError, Webhooks, repo};
use crate::clock::Time;
use crate::id::{ProjectId, WebhookId, random_u64};
use crate::state::commit::Event;
use crate::state::edit::Actor;
use crate::state::history::{History, HistoryError};
use crate::state::layout::STATE_REF;
use crate::state::oid::Oid;
use crate::state::store::EngineError;

/// How often the places of webhooks are written down: what a crash takes is sent again.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// The event of a ping.
const PING: &str = "ping";

type Which = (ProjectId, WebhookId);

/// Whether a webhook is still as it was.
enum Went {
    On,
    Changed,
}

impl Webhooks {
    /// Sends events until it is dropped.
    pub async fn run(&self) {
        let mut changes = self.known.changes();
        let mut live = self.state.events().subscribe(None).live;
        let mut working = FuturesUnordered::new();
        // Who is at work, and whether something has happened since it began.
        let mut busy: HashMap<Which, bool> = HashMap::new();
        let mut save = tokio::time::interval(SAVE_EVERY);
        let mut due = self.known.enabled();
        loop {
            for which in due {
                if let Some(again) = busy.get_mut(&which) {
                    *again = true;
                    continue;
                }
                busy.insert(which.clone(), false);
                working.push(self.catch_up(which));
            }
            due = tokio::select! {
                event = live.recv() => match event {
                    Ok(event) => self.concerned(&event),
                    Err(RecvError::Lagged(_)) => self.known.enabled(),
                    Err(RecvError::Closed) => return,
                },
                Ok(()) = changes.changed() => self.known.enabled(),
                Some(done) = working.next() => match busy.remove(&done) {
                    Some(true) => vec![done],
                    _ => Vec::new(),
                },
                _ = save.tick() => {
                    self.save().await;
                    Vec::new()
                }
            };
        }
    }

    /// Writes down how far each webhook is.
    pub async fn save(&self) {
        let places = self.places.clone();
        // It fails only when the daemon stops, which saves once more.
        let _ = tokio::task::spawn_blocking(move || places.save()).await;
    }

    fn concerned(&self, event: &Event) -> Vec<Which> {
        let Some(project) = event.project_id.as_ref().filter(|_| is_of_state(event)) else {
            return Vec::new();
        };
        let hooks = self.known.of(project);
        let enabled = hooks.into_values().filter(|hook| hook.enabled);
        enabled.map(|hook| (project.clone(), hook.webhook_id.clone())).collect()
    }

    async fn catch_up(&self, which: Which) -> Which {
        if let Err(error) = self.go_through(&which.0, &which.1).await {
            tracing::warn!(project = %which.0, webhook = %which.1, %error, "a webhook waits for the next event");
        }
        which
    }

    async fn go_through(&self, project: &ProjectId, id: &WebhookId) -> Result<(), WebhookError> {
        loop {
            let Some(hook) = self.known.find(project, id).filter(|hook| hook.enabled) else { return Ok(()) };
            self.places.ready(&hook).await;
            let events = self.behind(project, &hook).await?;
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                if hook.wants(&event.event)
                    && let Went::Changed = self.deliver(project, &hook, &event).await?
                {
                    break;
                }
                self.places.advance(&hook, event.commit);
            }
        }
    }

    /// What has happened behind the place of a webhook, oldest first.
    async fn behind(&self, project: &ProjectId, hook: &Webhook) -> Result<Vec<Arc<Event>>, WebhookError> {
        let cursor = self.places.cursor(hook);
        let kept = self.state.events().subscribe(Some(cursor));
        if kept.is_gapless {
            let is_ours =
                |event: &Arc<Event>| event.project_id.as_ref() == Some(project) && is_of_state(event);
            return Ok(kept.missed.into_iter().filter(is_ours).collect());
        }
        if let Some(found) = self.state.events_after(&repo(project), STATE_REF, cursor).await? {
            return Ok(found.into_iter().map(Arc::new).collect());
        }
        let tip = self.state.read(&repo(project), |view| view.tip()).await?;
        tracing::warn!(%project, webhook = %hook.webhook_id, after = %cursor, "a webhook is too far behind; it goes on with what happens next");
        self.places.advance(hook, tip);
        Ok(Vec::new())
    }

    async fn deliver(
        &self,
        project: &ProjectId,
        hook: &Webhook,
        event: &Event,
    ) -> Result<Went, WebhookError> {
        let id = delivery_id(hook, event.commit);
        let (number, mut tried) = self.places.begin(hook, event, &id);
        loop {
            if !self.is_as_it_was(project, hook) {
                return Ok(Went::Changed);
            }
            let attempt = self.attempt(hook, event, &id).await?;
            tried += 1;
            let (is_success, shown) = (attempt.is_success(), in_words(&attempt));
            let now = self.clock.now();
            let wait = schedule::wait_after(tried, chance());
            let next = wait.filter(|_| !is_success).map(|wait| now.after(wait));
            let failing_since = self.places.note(hook, number, attempt, next);
            if failing_since.is_some_and(|since| schedule::is_hopeless(since, now)) {
                self.disable(
                    project,
                    hook,
                    &format!("no delivery succeeded for three days; the last: {shown}"),
                )
                .await?;
                return Ok(Went::Changed);
            }
            let Some(next) = next else { return Ok(Went::On) };
            self.wait(project, hook, next).await;
        }
    }

    /// One event, once more and at once, whatever else waits: a person asked for it.
    pub async fn redeliver(
        &self,
        project: &ProjectId,
        id: &WebhookId,
        number: u64,
    ) -> Result<Delivery, WebhookError> {
        let hook = self.get(project, id).await?;
        let unknown = || WebhookError::UnknownDelivery(number);
        let known =
            self.deliveries(&hook).await.into_iter().find(|one| one.number == number && one.event != PING);
        let known = known.ok_or_else(unknown)?;
        let history = History::open(self.state.folder(), &repo(project));
        let shown = tokio::task::spawn_blocking(move || history.show(known.commit)).await;
        let event = match shown.map_err(|_| EngineError::Unknown)? {
            Ok(shown) => shown.event,
            Err(HistoryError::NoCommit { .. }) => return Err(unknown()),
            Err(error) => return Err(error.into()),
        };
        self.once(&hook, &event, &known.id, number).await
    }

    /// Sends an event that nothing has happened, at once; disabled webhooks too.
    pub async fn ping(
        &self,
        project: &ProjectId,
        id: &WebhookId,
        actor: &Actor,
    ) -> Result<Delivery, WebhookError> {
        let hook = self.get(project, id).await?;
        let commit = self.state.read(&repo(project), |view| view.tip()).await?;
        let event = Event {
            project_id: Some(project.clone()),
            commit,
            event: PING.to_owned(),
            subject: format!("webhook {id}: ping"),
            actor: format!("{} {}", actor.kind, actor.name),
            time: self.clock.now(),
            request: None,
        };
        self.places.ready(&hook).await;
        let id = format!("{}-{PING}-{:016x}", hook.webhook_id, random_u64());
        let (number, _) = self.places.begin(&hook, &event, &id);
        self.once(&hook, &event, &id, number).await
    }

    async fn once(
        &self,
        hook: &Webhook,
        event: &Event,
        id: &str,
        number: u64,
    ) -> Result<Delivery, WebhookError> {
        let attempt = self.attempt(hook, event, id).await?;
        self.places.note(hook, number, attempt, None);
        let noted = self.places.deliveries(hook).into_iter().find(|one| one.number == number);
        noted.ok_or(WebhookError::UnknownDelivery(number))
    }

    /// The last deliveries of a webhook, the newest first.
    pub async fn deliveries(&self, hook: &Webhook) -> Vec<Delivery> {
        self.places.ready(hook).await;
        self.places.deliveries(hook)
    }

    async fn attempt(&self, hook: &Webhook, event: &Event, id: &str) -> Result<Attempt, WebhookError> {
        let _place = self.calls.acquire().await.map_err(|_| EngineError::Unknown)?;
        let name = secret_name(&hook.webhook_id).expect("an id of a webhook is a name");
        let secret = self.secrets.open_for_daemon(&name, hook.sealed_secret.as_bytes())?;
        let body = serde_json::to_vec(event).expect("an event has string keys");
        let message = Message { url: &hook.url, event: &event.event, id, body, secret };
        Ok(send::send(message, &self.names, self.allow_private, self.clock.now()).await)
    }

    fn is_as_it_was(&self, project: &ProjectId, hook: &Webhook) -> bool {
        self.known.find(project, &hook.webhook_id).is_some_and(|now| *now == *hook)
    }

    /// Waits until then, or until the webhook is changed.
    async fn wait(&self, project: &ProjectId, hook: &Webhook, until: Time) {
        let mut changes = self.known.changes();
        let changed = async { while self.is_as_it_was(project, hook) && changes.changed().await.is_ok() {} };
        tokio::select! {
            () = self.clock.sleep_until(until) => {}
            () = changed => {}
        }
    }
}

/// The same for the same event after a restart, so that a receiver can tell what it has.
fn delivery_id(hook: &Webhook, commit: Oid) -> String {
    format!("{}-{commit}", hook.webhook_id)
}

/// Appends to logs are commits of other branches, where webhooks have no place.
fn is_of_state(event: &Event) -> bool {
    !event.event.starts_with("log.")
}

fn in_words(attempt: &Attempt) -> String {
    let status = attempt.status.map(|status| format!("status {status}"));
    status.or_else(|| attempt.problem.clone()).unwrap_or_default()
}

/// 0 to 1.
fn chance() -> f64 {
    f64::from(u32::try_from(random_u64() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
