//! Makes, changes and removes webhooks: each is one commit.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::known::KnownWebhooks;
use super::names::Names;
use super::place::Places;
use super::target::{self, BadTarget};
use super::types::{EventPattern, Webhook, secret_name};
use crate::clock::{Clock, Time};
use crate::id::{IdMaker, ProjectId, WebhookId, random_token};
use crate::mask::SecretText;
use crate::secret::{SecretError, Secrets};
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::place::Place;
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::oid::Oid;
use crate::state::repo::{Decision, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::{Done, EngineError, State};

/// More receivers than this are served by one that passes on.
pub const WEBHOOKS_MAX: usize = 10;
/// More names than this are `*`.
const PATTERNS_MAX: usize = 32;
/// Calls at once, of all webhooks; a slow receiver holds one for ten seconds.
const CALLS_MAX: usize = 32;
/// Files read of a folder of the past; pushed ones may be more than the API makes.
const FILES_READ_MAX: usize = 1_000;

/// Why a webhook was not made, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There is no such project.
    #[error("there is no project {0}")]
    UnknownProject(ProjectId),
    /// There is no such webhook.
    #[error("the project has no webhook {0}")]
    Unknown(WebhookId),
    /// There is no such delivery, or not any more.
    #[error("the log of the webhook has no delivery {0} of an event; it has the last 100")]
    UnknownDelivery(u64),
    /// There are too many.
    #[error("a project has at most {WEBHOOKS_MAX} webhooks; remove one first")]
    TooMany,
    /// No events, or too many names of them.
    #[error("a webhook names 1 to {PATTERNS_MAX} events")]
    BadEvents,
    /// The address is not called.
    #[error(transparent)]
    Target(#[from] BadTarget),
    /// The signing secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The past of the project cannot be read.
    #[error(transparent)]
    History(#[from] crate::state::history::HistoryError),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What is to be changed; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookEdit {
    /// Another address; it gets a new secret.
    pub url: Option<String>,
    /// Other events.
    pub events: Option<Vec<EventPattern>>,
    /// Whether they are sent; those meanwhile are not sent later.
    pub enabled: Option<bool>,
    /// Whether it gets a new secret.
    pub rotate_secret: bool,
}

/// A webhook, and its secret if that is new.
pub type WithSecret = (Arc<Webhook>, Option<SecretText>);

/// The webhooks of all projects. A clone is the same.
#[derive(Clone)]
pub struct Webhooks {
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) known: KnownWebhooks,
    pub(super) secrets: Secrets,
    pub(super) places: Places,
    pub(super) calls: Arc<Semaphore>,
    pub(super) allow_private: bool,
    pub(super) names: Names,
    ids: Arc<IdMaker>,
}

impl Webhooks {
    /// Over this state; `known` is filled by its projection. `allow_private` lets webhooks call every address, also by http; `names` says
    /// where a name leads.
    pub fn new(
        state: State,
        clock: Clock,
        known: KnownWebhooks,
        secrets: Secrets,
        (allow_private, names): (bool, Names),
    ) -> Self {
        let places = Places::in_folder(state.folder().webhooks());
        let (calls, ids) = (Arc::new(Semaphore::new(CALLS_MAX)), Arc::new(IdMaker::new()));
        Self { state, clock, known, secrets, places, calls, allow_private, names, ids }
    }

    /// Whether they may call every address, also by http.
    pub fn allow_private(&self) -> bool {
        self.allow_private
    }

    /// How many are enabled.
    pub fn enabled(&self) -> usize {
        self.known.enabled().len()
    }

    /// The webhooks of a project.
    pub async fn list(&self, project: &ProjectId) -> Result<Vec<Arc<Webhook>>, WebhookError> {
        let read = self.state.read(&repo(project), |_| self.known.of(project)).await;
        Ok(read.map_err(|error| unknown_project(error, project))?.into_values().collect())
    }

    /// One of them.
    pub async fn get(&self, project: &ProjectId, id: &WebhookId) -> Result<Arc<Webhook>, WebhookError> {
        let read = self.state.read(&repo(project), |_| self.known.find(project, id)).await;
        read.map_err(|error| unknown_project(error, project))?
            .ok_or_else(|| WebhookError::Unknown(id.clone()))
    }

    /// The webhooks of a project as they were at a commit; those that could not be read are left out.
    pub async fn list_at(&self, project: &ProjectId, commit: Oid) -> Result<Vec<Webhook>, WebhookError> {
        let read = |snapshot: &Snapshot| -> Result<Vec<Webhook>, WebhookError> {
            let all = snapshot.entities(layout::WEBHOOKS, FILES_READ_MAX).map_err(EngineError::from)?;
            Ok(all.into_iter().flatten().collect())
        };
        self.state.read_at(&repo(project), commit, read).await
    }

    /// One of them.
    pub async fn get_at(
        &self,
        project: &ProjectId,
        commit: Oid,
        id: &WebhookId,
    ) -> Result<Webhook, WebhookError> {
        let found = self.list_at(project, commit).await?.into_iter().find(|hook| hook.webhook_id == *id);
        found.ok_or_else(|| WebhookError::Unknown(id.clone()))
    }

    /// Makes one, with a secret that is shown this once.
    pub async fn create(
        &self,
        project: &ProjectId,
        url: String,
        events: Vec<EventPattern>,
        actor: Actor,
    ) -> Result<Done<WithSecret>, WebhookError> {
        target::parse(&url, self.allow_private)?;
        check_events(&events)?;
        let now = self.clock.now();
        let id = self.ids.webhook(now);
        let (secret, sealed_secret) = self.new_secret(&id)?;
        let decide = |view: &mut View<'_>| -> Result<_, WebhookError> {
            if self.known.of(project).len() >= WEBHOOKS_MAX {
                return Err(WebhookError::TooMany);
            }
            let hook = Arc::new(Webhook {
                webhook_id: id.clone(),
                url,
                events,
                enabled: true,
                disabled_because: None,
                sealed_secret,
                after: view.tip(),
                created_by: actor.name.to_string(),
                created_at: now,
                updated_at: now,
            });
            Ok(Decision::commit(put(&hook, "made", "webhook.created", actor), (hook, Some(secret))))
        };
        let done = self.state.change(&repo(project), decide).await;
        done.map_err(|error| match error {
            WebhookError::Engine(error) => unknown_project(error, project),
            other => other,
        })
    }

    /// Changes one. Another address gets a new secret, so that nobody gets what another was trusted with.
    pub async fn edit(
        &self,
        project: &ProjectId,
        id: &WebhookId,
        edit: WebhookEdit,
        actor: Actor,
    ) -> Result<Done<WithSecret>, WebhookError> {
        edit.url.as_ref().map(|url| target::parse(url, self.allow_private)).transpose()?;
        edit.events.as_ref().map(|events| check_events(events)).transpose()?;
        self.get(project, id).await?;
        let now = self.clock.now();
        let (secret, sealed) = self.new_secret(id)?;
        let decide = |view: &mut View<'_>| -> Result<_, WebhookError> {
            let known = self.known.find(project, id).ok_or_else(|| WebhookError::Unknown(id.clone()))?;
            let mut next = edited(&known, &edit, view.tip());
            let is_new = edit.rotate_secret || next.url != known.url;
            if is_new {
                next.sealed_secret = sealed;
            }
            if next == *known {
                return Ok(Decision::nothing((known, None)));
            }
            next.updated_at = now;
            let next = Arc::new(next);
            let change = put(&next, "changed", "webhook.edited", actor);
            Ok(Decision::commit(change, (next, is_new.then_some(secret))))
        };
        self.state.change(&repo(project), decide).await
    }

    /// Removes one.
    pub async fn remove(
        &self,
        project: &ProjectId,
        id: &WebhookId,
        actor: Actor,
    ) -> Result<Done<Arc<Webhook>>, WebhookError> {
        self.get(project, id).await?;
        let decide = |_: &mut View<'_>| -> Result<_, WebhookError> {
            let known = self.known.find(project, id).ok_or_else(|| WebhookError::Unknown(id.clone()))?;
            let edits = vec![Edit::remove(layout::webhook(id))];
            let change = Change { edits, ..put(&known, "removed", "webhook.deleted", actor) };
            Ok(Decision::commit(change, known))
        };
        let done = self.state.change(&repo(project), decide).await?;
        self.places.forget(id).await;
        Ok(done)
    }

    /// Stops a webhook that has failed for too long.
    pub(super) async fn disable(
        &self,
        project: &ProjectId,
        hook: &Webhook,
        why: &str,
    ) -> Result<(), WebhookError> {
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<Decision<()>, WebhookError> {
            // One that was changed meanwhile gets another chance.
            let known = self.known.find(project, &hook.webhook_id).filter(|known| **known == *hook);
            let Some(known) = known else { return Ok(Decision::nothing(())) };
            let disabled_because = Some(why.to_owned());
            let next =
                Arc::new(Webhook { enabled: false, disabled_because, updated_at: now, ..(*known).clone() });
            Ok(Decision::commit(put(&next, "disabled", "webhook.disabled", Actor::daemon()), ()))
        };
        self.state.change(&repo(project), decide).await.map(|_| ())
    }

    fn new_secret(&self, id: &WebhookId) -> Result<(SecretText, String), WebhookError> {
        let secret = SecretText::from(format!("whsec_{}", random_token()));
        let sealed = self.secrets.seal_for_daemon(&secret)?;
        debug_assert!(secret_name(id).is_ok());
        Ok((secret, String::from_utf8_lossy(&sealed).into_owned()))
    }
}

/// The webhook as it is then. One that is enabled begins with what happens next.
fn edited(known: &Webhook, edit: &WebhookEdit, tip: Oid) -> Webhook {
    let mut next = known.clone();
    next.url = edit.url.clone().unwrap_or(next.url);
    next.events = edit.events.clone().unwrap_or(next.events);
    next.enabled = edit.enabled.unwrap_or(next.enabled);
    if next.enabled && !known.enabled {
        (next.after, next.disabled_because) = (tip, None);
    }
    next
}

/// Says what is wrong with a webhook at this place, if something is.
pub(crate) fn check_webhook(hook: &Webhook, place: &Place, allow_private: bool) -> Option<String> {
    if *place != Place::Webhook(hook.webhook_id.clone()) {
        return Some(format!("it says webhookId: {}", hook.webhook_id));
    }
    let target = target::parse(&hook.url, allow_private).err().map(|why| why.to_string());
    target.or_else(|| check_events(&hook.events).err().map(|why| why.to_string()))
}

/// The webhook as it was `then`, with the secret and the place it has now: an old secret never comes back, and events that
/// were not sent meanwhile are not sent later.
pub(crate) fn put_back(
    then: Webhook,
    known: Option<Webhook>,
    tip: Oid,
    now: Time,
) -> Result<Webhook, String> {
    let known =
        known.ok_or("its secret is gone with it; make a new one with POST /projects/{id}/webhooks")?;
    if known.url != then.url {
        return Err(format!(
            "it was sent to {} then, and another address gets another secret; PATCH the webhook's url instead",
            then.url
        ));
    }
    let edit = WebhookEdit {
        url: None,
        events: Some(then.events),
        enabled: Some(then.enabled),
        rotate_secret: false,
    };
    Ok(Webhook { updated_at: now, ..edited(&known, &edit, tip) })
}

fn put(hook: &Arc<Webhook>, what: &str, event: &'static str, actor: Actor) -> Change {
    Change {
        branch: STATE_REF.into(),
        subject: format!("webhook {}: {what}", hook.webhook_id),
        event,
        actor,
        request: None,
        edits: vec![Edit::put(layout::webhook(&hook.webhook_id), hook.clone())],
    }
}

fn check_events(events: &[EventPattern]) -> Result<(), WebhookError> {
    if (1..=PATTERNS_MAX).contains(&events.len()) { Ok(()) } else { Err(WebhookError::BadEvents) }
}

pub(super) fn repo(project: &ProjectId) -> RepoName {
    RepoName::Project(project.clone())
}

fn unknown_project(error: EngineError, project: &ProjectId) -> WebhookError {
    match error {
        EngineError::NoRepo(_) => WebhookError::UnknownProject(project.clone()),
        error => error.into(),
    }
}
