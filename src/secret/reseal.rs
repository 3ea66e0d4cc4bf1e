//! Encrypts secrets anew where their recipients are not those of the list: after a change of it, and at each start, so
//! a change that a crash cut off is finished.

use std::sync::Arc;

use bytes::Bytes;

use super::error::SecretError;
use super::keys::Keys;
use super::open::seal;
use super::recipients::RecipientKey;
use super::secrets::{Sealed, Secrets, files, open_one};
use super::types::{Scope, Secret};
use crate::state::edit::{Actor, Change};
use crate::state::layout::STATE_REF;
use crate::state::repo::{Decision, View};
use crate::state::store::EngineError;

/// A secret as it was, as it is to be, and its new ciphertext.
type Renewed = (Secret, Arc<Secret>, Bytes);

impl Secrets {
    /// Encrypts all secrets anew that need it, a commit a repository; tells whose could not be. Every repository must have
    /// been read.
    pub async fn reseal_all(&self) -> Vec<Scope> {
        for scope in self.known.not_sealed_to(&self.sealed_to()) {
            if let Err(error) = self.reseal(&scope).await {
                tracing::error!(%scope, %error, "secrets are not encrypted to the present recipients; the next start tries again");
            }
        }
        self.known.not_sealed_to(&self.sealed_to())
    }

    async fn reseal(&self, scope: &Scope) -> Result<(), SecretError> {
        let wanted = self.sealed_to();
        let (sealed, keys) = (self.sealed(scope).await?, self.keys.clone());
        let (of, to) = (scope.clone(), wanted.clone());
        let renewed = tokio::task::spawn_blocking(move || renew(&of, &keys, sealed, &to)).await;
        let renewed = renewed.map_err(|_| EngineError::Unknown)?;
        let decide = |_: &mut View<'_>| -> Result<_, SecretError> {
            if self.sealed_to() != wanted {
                return Err(SecretError::RecipientsMoved);
            }
            // A secret that was rotated or removed meanwhile is as it should be.
            let unchanged = |old: &Secret| self.known.find(scope, &old.name).is_some_and(|now| *now == *old);
            let edits: Vec<_> = (renewed.into_iter())
                .filter(|(old, ..)| unchanged(old))
                .flat_map(|(_, new, ciphertext)| files(new, ciphertext))
                .collect();
            if edits.is_empty() {
                return Ok(Decision::nothing(()));
            }
            let change = Change {
                branch: STATE_REF.into(),
                subject: format!("secrets: {} encrypted to the present recipients", edits.len() / 2),
                event: "secret.resealed",
                actor: Actor::daemon(),
                request: None,
                edits,
            };
            Ok(Decision::commit(change, ()))
        };
        self.state.change(&scope.repo(), decide).await.map(|_| ())
    }
}

/// Those that need it, encrypted anew. One that cannot be opened keeps its file, and does not hold up the others.
fn renew(scope: &Scope, keys: &Keys, sealed: Vec<Sealed>, to: &[RecipientKey]) -> Vec<Renewed> {
    let stale = sealed.into_iter().filter(|sealed| sealed.secret.recipients != to);
    let renewed = stale.filter_map(|sealed| {
        let old = sealed.secret.clone();
        let ciphertext = open_one(scope, keys, sealed).and_then(|opened| Ok(seal(&opened.value, to)?));
        match ciphertext {
            Ok(ciphertext) => {
                let new = Secret { recipients: to.to_vec(), ..old.clone() };
                Some((old, Arc::new(new), ciphertext))
            }
            Err(error) => {
                tracing::error!(%scope, name = %old.name, %error, "a secret was not encrypted anew");
                None
            }
        }
    });
    renewed.collect()
}
