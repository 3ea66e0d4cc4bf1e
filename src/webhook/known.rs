//! What memory has of webhooks: their files, by project.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::types::Webhook;
use crate::id::{ProjectId, WebhookId};
use crate::state::edit::{Edit, Projection};
use crate::state::layout;

/// The webhooks of one project.
pub type OfProject = BTreeMap<WebhookId, Arc<Webhook>>;

/// The known webhooks. A clone is the same.
#[derive(Clone)]
pub struct KnownWebhooks {
    hooks: Arc<RwLock<HashMap<ProjectId, OfProject>>>,
    changes: Arc<watch::Sender<u64>>,
}

impl Default for KnownWebhooks {
    fn default() -> Self {
        Self { hooks: Arc::default(), changes: Arc::new(watch::channel(0).0) }
    }
}

impl KnownWebhooks {
    /// Those of a project whose repository has been read, by id.
    pub fn of(&self, project: &ProjectId) -> OfProject {
        self.hooks.read().get(project).cloned().unwrap_or_default()
    }

    /// One of them.
    pub fn find(&self, project: &ProjectId, id: &WebhookId) -> Option<Arc<Webhook>> {
        self.hooks.read().get(project)?.get(id).cloned()
    }

    /// All that are enabled.
    pub fn enabled(&self) -> Vec<(ProjectId, WebhookId)> {
        let hooks = self.hooks.read();
        let all = hooks.iter().flat_map(|(project, hooks)| hooks.values().map(move |hook| (project, hook)));
        all.filter(|(_, hook)| hook.enabled)
            .map(|(project, hook)| (project.clone(), hook.webhook_id.clone()))
            .collect()
    }

    /// Tells when any has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// The projection of one project's repository that fills [`KnownWebhooks`].
pub struct Registered {
    project: ProjectId,
    known: KnownWebhooks,
}

impl Registered {
    /// Of this project, whose webhooks are about to be read.
    pub fn new(project: ProjectId, known: KnownWebhooks) -> Self {
        known.hooks.write().remove(&project);
        Self { project, known }
    }
}

impl Projection for Registered {
    fn lives_from(&self) -> &'static [&'static str] {
        &[layout::WEBHOOKS]
    }

    fn apply(&mut self, edit: &Edit) {
        let Ok(id) = layout::stem(edit.path()).parse::<WebhookId>() else { return };
        let mut all = self.known.hooks.write();
        match edit.entity::<Webhook>() {
            Ok(Some(hook)) if hook.webhook_id == id => {
                all.entry(self.project.clone()).or_default().insert(id, hook);
            }
            Ok(Some(hook)) => {
                tracing::error!(project = %self.project, path = edit.path(), says = %hook.webhook_id, "a webhook's file names another and is passed over");
            }
            Ok(None) => {
                if let Some(hooks) = all.get_mut(&self.project) {
                    hooks.remove(&id);
                }
            }
            Err(bad) => tracing::error!(project = %self.project, %bad, "a webhook's file is passed over"),
        }
        drop(all);
        self.known.changes.send_modify(|count| *count += 1);
    }
}
