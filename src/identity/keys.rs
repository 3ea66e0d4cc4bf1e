//! API keys: made and shown once, scoped to what their owner may do, revoked at once.

use std::sync::Arc;

use super::accounts::{Identity, platform_change};
use super::error::IdentityError;
use super::rights::Right;
use super::token::{KEY_PREFIX, Token};
use super::types::ApiKey;
use crate::clock::Time;
use crate::id::{KeyId, ProjectId, UserName};
use crate::state::edit::{Actor, Edit};
use crate::state::layout::{self, RepoName};
use crate::state::repo::{Decision, View};
use crate::state::store::Done;

/// Keys of one account.
const KEYS_MAX: usize = 100;
/// Characters of a key's name.
const NAME_CHARACTERS_MAX: usize = 100;

/// A key to be made.
pub struct NewKey {
    /// What its owner calls it.
    pub name: String,
    /// The one project it is for; all if absent.
    pub project: Option<ProjectId>,
    /// The most it may do.
    pub permission: Right,
    /// When it ends; never if absent.
    pub expires_at: Option<Time>,
}

impl Identity {
    /// Makes a key of this account; it is in this answer and nowhere else.
    pub async fn create_key(
        &self,
        owner: &UserName,
        new: NewKey,
        actor: Actor,
    ) -> Result<Done<(Arc<ApiKey>, Token)>, IdentityError> {
        let now = self.clock.now();
        check(&new, now)?;
        let token = Token::random(KEY_PREFIX);
        let key = Arc::new(ApiKey {
            key_id: self.ids.key(now),
            name: new.name,
            owner: owner.clone(),
            project_id: new.project,
            permission: new.permission,
            hash: token.hash(),
            created_at: now,
            expires_at: new.expires_at,
            last_used_at: None,
        });
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            if self.known.keys(|key| key.owner == *owner).len() >= KEYS_MAX {
                return Err(IdentityError::Invalid(format!(
                    "an account has at most {KEYS_MAX} keys; revoke one that is not used"
                )));
            }
            let what = format!("key {}: made for {owner}, to {}", key.key_id, key.permission);
            let edits = vec![Edit::put(layout::key(&key.key_id), key.clone())];
            Ok(Decision::commit(platform_change(what, "key.created", actor, edits), (key, token)))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Revokes a key; it is refused from this moment on. An admin may revoke anybody's.
    pub async fn revoke_key(
        &self,
        id: &KeyId,
        of: Option<&UserName>,
        actor: Actor,
    ) -> Result<Done<()>, IdentityError> {
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            let found =
                self.known.keys(|key| key.key_id == *id && of.is_none_or(|owner| key.owner == *owner)).pop();
            let key = found.ok_or_else(|| IdentityError::UnknownKey(id.clone()))?;
            let what = format!("key {id}: of {} revoked", key.owner);
            let edits = vec![Edit::remove(layout::key(id))];
            Ok(Decision::commit(platform_change(what, "key.revoked", actor, edits), ()))
        };
        self.state.change(&RepoName::Platform, decide).await
    }
}

fn check(new: &NewKey, now: Time) -> Result<(), IdentityError> {
    let length = new.name.chars().count();
    if length == 0 || length > NAME_CHARACTERS_MAX || new.name.chars().any(char::is_control) {
        return Err(IdentityError::Invalid(format!(
            "a key's name has 1 to {NAME_CHARACTERS_MAX} characters, none of them a control character"
        )));
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(IdentityError::Invalid("expiresAt is in the past".to_owned()));
    }
    Ok(())
}
