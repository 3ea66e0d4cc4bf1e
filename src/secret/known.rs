//! What memory has of secrets: all but their values, by whose they are, and the list of recipients.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::recipients::{RecipientKey, Recipients};
use super::types::{Scope, Secret, SecretName};
use crate::id::ProjectId;
use crate::state::edit::{Edit, Projection};
use crate::state::layout;

/// A scope's secrets by name.
pub type ByName = BTreeMap<SecretName, Arc<Secret>>;

/// The known secrets. A clone is the same.
#[derive(Clone, Default)]
pub struct KnownSecrets(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    secrets: BTreeMap<Scope, ByName>,
    recipients: Arc<Recipients>,
}

impl KnownSecrets {
    /// The secrets of a scope whose repository has been read.
    pub fn of(&self, scope: &Scope) -> ByName {
        self.0.read().secrets.get(scope).cloned().unwrap_or_default()
    }

    /// One of them.
    pub fn find(&self, scope: &Scope, name: &SecretName) -> Option<Arc<Secret>> {
        self.0.read().secrets.get(scope)?.get(name).cloned()
    }

    /// Whether an agent of this project gets any: the project's own or the platform's.
    pub fn has_any_for(&self, project: &ProjectId) -> bool {
        let known = self.0.read();
        let has = |scope: &Scope| known.secrets.get(scope).is_some_and(|secrets| !secrets.is_empty());
        has(&Scope::Platform) || has(&Scope::Project(project.clone()))
    }

    /// The list of recipients.
    pub fn recipients(&self) -> Arc<Recipients> {
        self.0.read().recipients.clone()
    }

    /// Whose secrets are encrypted to others than these.
    pub fn not_sealed_to(&self, wanted: &[RecipientKey]) -> Vec<Scope> {
        let known = self.0.read();
        let stale = known.secrets.iter().filter(|(_, all)| all.values().any(|s| s.recipients != wanted));
        stale.map(|(scope, _)| scope.clone()).collect()
    }
}

/// The projection of one repository that fills [`KnownSecrets`].
pub struct Registered {
    scope: Scope,
    known: KnownSecrets,
}

impl Registered {
    /// Of this scope, whose secrets are about to be read.
    pub fn new(scope: Scope, known: KnownSecrets) -> Self {
        known.0.write().secrets.remove(&scope);
        Self { scope, known }
    }
}

impl Projection for Registered {
    fn lives_from(&self) -> &'static [&'static str] {
        match self.scope {
            Scope::Platform => &[layout::SECRETS, layout::RECIPIENTS],
            Scope::Project(_) => &[layout::SECRETS],
        }
    }

    fn apply(&mut self, edit: &Edit) {
        if edit.path() == layout::RECIPIENTS {
            return self.take_recipients(edit);
        }
        let Some(name) = layout::secret_name(edit.path()) else { return };
        let mut known = self.known.0.write();
        let secrets = known.secrets.entry(self.scope.clone()).or_default();
        match edit.entity::<Secret>() {
            Ok(Some(secret)) if secret.name == name => drop(secrets.insert(name, secret)),
            Ok(Some(secret)) => {
                tracing::error!(scope = %self.scope, path = edit.path(), says = %secret.name, "a secret's file names another secret and is passed over");
            }
            Ok(None) => drop(secrets.remove(&name)),
            Err(bad) => tracing::error!(scope = %self.scope, %bad, "a secret's file is passed over"),
        }
    }
}

impl Registered {
    fn take_recipients(&self, edit: &Edit) {
        match edit.entity::<Recipients>() {
            Ok(recipients) => self.known.0.write().recipients = recipients.unwrap_or_default(),
            Err(bad) => tracing::error!(%bad, "the list of recipients stays as it was"),
        }
    }
}
