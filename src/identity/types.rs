//! What identity keeps: the types, which are also files of the platform's repository.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rights::{Right, Role};
use super::token::TokenHash;
use crate::clock::Time;
use crate::id::{AgentId, InviteId, KeyId, Label, ProjectId, SessionId, UserName};
use crate::state::edit::Entity;

/// An account: `users/<name>.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// The name it logs in with; never given to another account.
    pub name: UserName,
    /// What it is on the platform.
    pub role: Role,
    /// Where to reach the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The argon2id hash of its password; absent if it logs in elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// Who it is elsewhere, if another issuer vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// When it was made.
    pub created_at: Time,
    /// When this file last changed.
    pub updated_at: Time,
    /// Since when it may not call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Time>,
}

impl Entity for User {
    const KIND: &'static str = "user";
}

/// Who a person is to another issuer of tokens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct External {
    /// The issuer, as its tokens name it.
    pub issuer: String,
    /// The person, as the issuer names it.
    pub subject: String,
}

/// A log-in that lasts: `sessions/…/session-….yaml`. Without this file its token is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Session {
    /// Its id, which the token carries.
    pub session_id: SessionId,
    /// Whose.
    pub user: UserName,
    /// When it began.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Time,
}

impl Entity for Session {
    const KIND: &'static str = "session";
}

/// An API key of a person: `keys/…/key-….yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKey {
    /// Its id.
    pub key_id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// Whose it is: it never may more than its owner.
    pub owner: UserName,
    /// The one project it is for; all of its owner's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// The most it may do.
    pub permission: Right,
    /// The hash of the key.
    pub hash: TokenHash,
    /// When it was made.
    pub created_at: Time,
    /// When it ends; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// About when it was last used: written now and then, not with each call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Time>,
}

impl Entity for ApiKey {
    const KIND: &'static str = "key";
}

/// An invitation to register: `invites/invite-….yaml`, gone when it was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Invite {
    /// Its id.
    pub invite_id: InviteId,
    /// The role that whoever uses it gets.
    pub role: Role,
    /// The hash of its token.
    pub hash: TokenHash,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Time,
}

impl Entity for Invite {
    const KIND: &'static str = "invite";
}

/// Log-ins that failed lately: `throttles/….yaml`, one for an account's name and one for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Throttle {
    /// How many, one after the other.
    pub failures: u32,
    /// When the last one was.
    pub last_failure_at: Time,
}

impl Entity for Throttle {
    const KIND: &'static str = "throttle";
}

/// A secret that is good for one claim: `claim-secrets/….yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimSecret {
    /// The hash of the secret, which also names the file.
    pub hash: TokenHash,
    /// Who may claim with it.
    pub agent_id: AgentId,
    /// The projects it may claim from; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<BTreeSet<ProjectId>>,
    /// The labels it may offer; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeSet<Label>>,
    /// When it ends.
    pub expires_at: Time,
    /// When it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeemed_at: Option<Time>,
    /// The `Idempotency-Key` of the claim that used it: that claim may be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeemed_by: Option<String>,
}

impl Entity for ClaimSecret {
    const KIND: &'static str = "claim secret";
}

/// Somebody who may work in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// Who.
    pub user: UserName,
    /// What they may do.
    pub right: Right,
}
