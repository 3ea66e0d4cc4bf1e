//! Makes, rotates and removes secrets, and replaces the list of recipients: each is one commit.

use std::sync::Arc;

use bytes::Bytes;

use super::error::SecretError;
use super::hide::Hiding;
use super::keys::Keys;
use super::known::KnownSecrets;
use super::open::{OpenError, seal};
use super::recipients::{RECIPIENTS_MAX, Recipient, RecipientKey, Recipients};
use super::token::token_of;
use super::types::{Scope, Secret, SecretKind, SecretName};
use crate::clock::Clock;
use crate::id::LeaseId;
use crate::job::{Job, Jobs};
use crate::mask::SecretText;
use crate::mask::forms::CHARS_MIN;
use crate::project::Registry;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::oid::Oid;
use crate::state::repo::{Decision, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::{Done, EngineError, State};
use crate::state::yaml;

/// A shorter value stands in a log by chance, and hiding it would hide half the log.
pub const VALUE_CHARS_MIN: usize = CHARS_MIN;
/// Room for the largest private key or service account; what is larger is no key.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// More keys than a project can have use for; a redeemed token's answer has at most twice as many.
pub const SECRETS_MAX: usize = 32;
/// The list of recipients seldom changes even once while a value is encrypted.
const SEAL_TRIES_MAX: usize = 5;
/// Files read of a folder of the past; pushed ones may be more than the API makes.
const FILES_READ_MAX: usize = 1_000;

/// The secrets of the platform and of all projects. A clone is the same.
#[derive(Clone)]
pub struct Secrets {
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) registry: Registry,
    pub(super) jobs: Jobs,
    pub(super) known: KnownSecrets,
    pub(super) keys: Arc<Keys>,
    pub(super) hiding: Arc<Hiding>,
}

/// What is wanted of the secret that a value is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It may be there or not.
    Store,
    /// It must be there.
    Rotate,
}

/// A secret's value.
#[derive(Clone)]
pub struct Opened {
    /// Its name.
    pub name: SecretName,
    /// What it opens.
    pub kind: SecretKind,
    /// The value.
    pub value: SecretText,
}

/// A secret as its two files have it.
pub(super) struct Sealed {
    pub(super) secret: Secret,
    pub(super) ciphertext: Option<Bytes>,
}

impl Secrets {
    /// Over this state; `known` is filled by its projection.
    pub fn new(
        state: State,
        clock: Clock,
        jobs: Jobs,
        registry: Registry,
        known: KnownSecrets,
        keys: Keys,
    ) -> Self {
        Self { state, clock, registry, jobs, known, keys: Arc::new(keys), hiding: Arc::default() }
    }

    /// The token with which the holder of a job's lease gets its secrets; `None` if there are none, or it is spent.
    pub fn token_for(&self, job: &Job) -> Option<SecretText> {
        let lease = job.lease.as_ref().filter(|lease| lease.secrets_redeemed_at.is_none())?;
        self.known.has_any_for(&job.project_id).then(|| self.token_of(&lease.id))
    }

    pub(super) fn token_of(&self, lease: &LeaseId) -> SecretText {
        token_of(&self.keys.token_key, lease)
    }

    /// Whom secrets are encrypted to: the daemon first.
    pub fn sealed_to(&self) -> Vec<RecipientKey> {
        let list = self.known.recipients();
        std::iter::once(self.keys.identity.public())
            .chain(list.recipients.iter().map(|recipient| recipient.key.clone()))
            .collect()
    }

    /// A value of another subject, encrypted to the daemon's own key alone.
    pub fn seal_for_daemon(&self, value: &SecretText) -> Result<Bytes, SecretError> {
        Ok(seal(value, &[self.keys.identity.public()])?)
    }

    /// Opens what [`Secrets::seal_for_daemon`] gave; `name` is for the error.
    pub fn open_for_daemon(&self, name: &SecretName, sealed: &[u8]) -> Result<SecretText, SecretError> {
        Ok(self.keys.identity.open(name, sealed)?)
    }

    /// The secrets of a scope, without their values.
    pub async fn list(&self, scope: &Scope) -> Result<Vec<Arc<Secret>>, SecretError> {
        self.check_scope(scope)?;
        let known = self.known.clone();
        let of = scope.clone();
        Ok(self.state.read(&scope.repo(), move |_| known.of(&of).into_values().collect()).await?)
    }

    /// The secrets of a scope as they were at a commit, all but their values; those that could not be read are left out.
    pub async fn list_at(&self, scope: &Scope, commit: Oid) -> Result<Vec<Secret>, SecretError> {
        self.check_scope(scope)?;
        let read = |snapshot: &Snapshot| -> Result<Vec<Secret>, SecretError> {
            let all = snapshot.entities(layout::SECRETS, FILES_READ_MAX).map_err(EngineError::from)?;
            Ok(all.into_iter().flatten().collect())
        };
        self.state.read_at(&scope.repo(), commit, read).await
    }

    /// Stores a value, as a new secret or in place of the old value; tells whether it is new.
    pub async fn put(
        &self,
        (scope, name): (&Scope, &SecretName),
        value: &SecretText,
        how: Put,
        actor: &Actor,
    ) -> Result<Done<(Arc<Secret>, bool)>, SecretError> {
        check_value(value)?;
        self.check_scope(scope)?;
        for _ in 0..SEAL_TRIES_MAX {
            let sealed_to = self.sealed_to();
            let ciphertext = self.seal(value.clone(), sealed_to.clone()).await?;
            let now = self.clock.now();
            let decide = |_: &mut View<'_>| -> Result<_, SecretError> {
                // A list that was replaced meanwhile: its change may have passed by this repository already.
                if self.sealed_to() != sealed_to {
                    return Err(SecretError::RecipientsMoved);
                }
                let before = self.known.of(scope);
                let old = before.get(name);
                match (old, how) {
                    (None, Put::Rotate) => return Err(self.unknown(scope, name)),
                    (None, _) if before.len() >= SECRETS_MAX => {
                        return Err(SecretError::TooMany(scope.clone()));
                    }
                    _ => {}
                }
                let secret = Arc::new(Secret {
                    name: name.clone(),
                    kind: SecretKind::of(name),
                    recipients: sealed_to,
                    created_at: old.map_or(now, |old| old.created_at),
                    rotated_at: old.map(|_| now),
                    created_by: old.map_or_else(|| actor.name.to_string(), |old| old.created_by.clone()),
                });
                let (what, event) = match old {
                    Some(_) => ("rotated", "secret.rotated"),
                    None => ("created", "secret.created"),
                };
                let edits = files(secret.clone(), ciphertext).into();
                Ok(Decision::commit(change(name, what, event, actor.clone(), edits), (secret, old.is_none())))
            };
            match self.state.change(&scope.repo(), decide).await {
                Err(SecretError::RecipientsMoved) => {}
                result => return result,
            }
        }
        Err(SecretError::RecipientsMoved)
    }

    /// Removes a secret. Its ciphertext stays in git's history: who had the value must be assumed to have it still.
    pub async fn remove(
        &self,
        scope: &Scope,
        name: &SecretName,
        actor: &Actor,
    ) -> Result<Done<()>, SecretError> {
        self.check_scope(scope)?;
        let decide = |_: &mut View<'_>| -> Result<_, SecretError> {
            if self.known.find(scope, name).is_none() {
                return Err(self.unknown(scope, name));
            }
            let edits =
                vec![Edit::remove(layout::secret(name)), Edit::remove(layout::secret_ciphertext(name))];
            Ok(Decision::commit(change(name, "removed", "secret.removed", actor.clone(), edits), ()))
        };
        self.state.change(&scope.repo(), decide).await
    }

    /// The list of recipients.
    pub async fn recipients(&self) -> Result<Arc<Recipients>, SecretError> {
        let known = self.known.clone();
        Ok(self.state.read(&RepoName::Platform, move |_| known.recipients()).await?)
    }

    /// The list as it was at a commit of the platform.
    pub async fn recipients_at(&self, commit: Oid) -> Result<Recipients, SecretError> {
        let read = |snapshot: &Snapshot| -> Result<Recipients, SecretError> {
            let found = snapshot.entity(layout::RECIPIENTS).map_err(EngineError::from)?;
            Ok(found.transpose()?.unwrap_or_default())
        };
        self.state.read_at(&RepoName::Platform, commit, read).await
    }

    /// Replaces the list. What is encrypted already stays as it is until it is encrypted anew.
    pub async fn set_recipients(
        &self,
        recipients: Vec<Recipient>,
        actor: &Actor,
    ) -> Result<Done<Arc<Recipients>>, SecretError> {
        check_recipients(&recipients)?;
        let list = Arc::new(Recipients { recipients, updated_at: Some(self.clock.now()) });
        let decide = |_: &mut View<'_>| -> Result<_, SecretError> {
            let before = self.known.recipients();
            if before.recipients == list.recipients {
                return Ok(Decision::nothing(before));
            }
            let names: Vec<_> = list.recipients.iter().map(|recipient| recipient.name.as_str()).collect();
            let change = Change {
                branch: STATE_REF.into(),
                subject: format!("secrets: readable by [{}]", names.join(", ")),
                event: "secret.recipientsChanged",
                actor: actor.clone(),
                request: None,
                edits: vec![Edit::put(layout::RECIPIENTS, list.clone())],
            };
            Ok(Decision::commit(change, list.clone()))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    pub(super) async fn seal(&self, value: SecretText, to: Vec<RecipientKey>) -> Result<Bytes, SecretError> {
        let sealed = tokio::task::spawn_blocking(move || seal(&value, &to)).await;
        Ok(sealed.map_err(|_| EngineError::Unknown)??)
    }

    /// All of a scope's secrets as files, from one commit.
    pub(super) async fn sealed(&self, scope: &Scope) -> Result<Vec<Sealed>, SecretError> {
        let Some(snapshot) = self.state.snapshot(&scope.repo(), STATE_REF).await? else {
            return Ok(Vec::new());
        };
        let read = tokio::task::spawn_blocking(move || sealed_in(&snapshot)).await;
        read.map_err(|_| EngineError::Unknown)?
    }

    /// The values of a scope.
    pub(super) async fn open(&self, scope: &Scope) -> Result<Vec<Opened>, SecretError> {
        let (sealed, keys) = (self.sealed(scope).await?, self.keys.clone());
        let scope = scope.clone();
        let open = move || sealed.into_iter().map(|sealed| open_one(&scope, &keys, sealed)).collect();
        tokio::task::spawn_blocking(open).await.map_err(|_| EngineError::Unknown)?
    }

    /// The value of one secret, for the daemon's own use; `None` if there is no such secret.
    pub async fn value(&self, scope: &Scope, name: &SecretName) -> Result<Option<SecretText>, SecretError> {
        let (sealed, keys) = (self.sealed(scope).await?, self.keys.clone());
        let Some(sealed) = sealed.into_iter().find(|sealed| sealed.secret.name == *name) else {
            return Ok(None);
        };
        let scope = scope.clone();
        let opened = tokio::task::spawn_blocking(move || open_one(&scope, &keys, sealed)).await;
        Ok(Some(opened.map_err(|_| EngineError::Unknown)??.value))
    }

    pub(super) fn check_scope(&self, scope: &Scope) -> Result<(), SecretError> {
        match scope {
            Scope::Project(id) if self.registry.find(id).is_none() => {
                Err(SecretError::UnknownProject(id.clone()))
            }
            _ => Ok(()),
        }
    }

    fn unknown(&self, scope: &Scope, name: &SecretName) -> SecretError {
        SecretError::Unknown { scope: scope.clone(), name: name.clone() }
    }
}

/// The value of one secret.
pub(super) fn open_one(scope: &Scope, keys: &Keys, sealed: Sealed) -> Result<Opened, SecretError> {
    let Sealed { secret: Secret { name, kind, .. }, ciphertext } = sealed;
    let Some(ciphertext) = ciphertext else {
        return Err(SecretError::NoCiphertext { scope: scope.clone(), name });
    };
    let value: Result<SecretText, OpenError> = keys.identity.open(&name, &ciphertext);
    Ok(Opened { value: value?, name, kind })
}

fn sealed_in(snapshot: &Snapshot) -> Result<Vec<Sealed>, SecretError> {
    let mut found = Vec::new();
    for entry in snapshot.list(layout::SECRETS)? {
        let path = format!("{}/{}", layout::SECRETS, entry.name);
        let Some(name) = layout::secret_name(&path) else { continue };
        let file = snapshot.file(&path)?.unwrap_or_default();
        match yaml::read::<Secret>(&path, "secret", &file) {
            Ok(secret) if secret.name == name => {
                let ciphertext = snapshot.file(&layout::secret_ciphertext(&name))?;
                found.push(Sealed { secret, ciphertext });
            }
            // What cannot be read was said when the repository was opened.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(found)
}

/// The two files of a secret.
pub(super) fn files(secret: Arc<Secret>, ciphertext: Bytes) -> [Edit; 2] {
    let name = secret.name.clone();
    [Edit::write(layout::secret_ciphertext(&name), ciphertext), Edit::put(layout::secret(&name), secret)]
}

fn change(name: &SecretName, what: &str, event: &'static str, actor: Actor, edits: Vec<Edit>) -> Change {
    let subject = format!("secret {name}: {what}");
    Change { branch: STATE_REF.into(), subject, event, actor, request: None, edits }
}

fn check_value(value: &SecretText) -> Result<(), SecretError> {
    match value.reveal() {
        text if text.len() > VALUE_BYTES_MAX => Err(SecretError::TooLong),
        text if text.trim().chars().count() < VALUE_CHARS_MIN => Err(SecretError::TooShort),
        text if text.contains('\0') => Err(SecretError::ZeroByte),
        _ => Ok(()),
    }
}

fn check_recipients(recipients: &[Recipient]) -> Result<(), SecretError> {
    let differ = |a: &Recipient, b: &Recipient| a.name != b.name && a.key != b.key;
    let all_differ = (recipients.iter().enumerate())
        .all(|(at, one)| recipients[at + 1..].iter().all(|other| differ(one, other)));
    if all_differ && recipients.len() <= RECIPIENTS_MAX { Ok(()) } else { Err(SecretError::BadRecipients) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_between_6_characters_and_64_kib_and_has_no_zero_byte() {
        let check = |text: &str| check_value(&text.to_owned().into());
        assert!(check("123456").is_ok() && check(&"x".repeat(VALUE_BYTES_MAX)).is_ok());
        assert!(matches!(check("12345"), Err(SecretError::TooShort)));
        assert!(matches!(check("ääää"), Err(SecretError::TooShort)), "eight bytes, four characters");
        assert!(
            matches!(check("  abc  \n"), Err(SecretError::TooShort)),
            "white space around it does not count"
        );
        assert!(matches!(check(&"x".repeat(VALUE_BYTES_MAX + 1)), Err(SecretError::TooLong)));
        assert!(matches!(check("123\x00456"), Err(SecretError::ZeroByte)));
    }
}
