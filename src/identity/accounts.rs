//! Accounts: how the first admin comes to be, who may register, and what admins change.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::IdentityError;
use super::issuer::Issuers;
use super::known::Known;
use super::password::{Hasher, Password};
use super::rights::Role;
use super::session_token::Signer;
use super::token::{DerivingKey, INVITE_PREFIX, SETUP_PREFIX, Token, TokenHash};
use super::types::{External, Invite, User};
use crate::clock::{Clock, Time};
use crate::id::{IdMaker, InviteId, UserName};
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::store::{Done, State};

/// How long the link of the first setup is good.
pub const SETUP_PERIOD: Duration = Duration::from_secs(15 * 60);
/// How long an invitation is good.
pub const INVITE_PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);
/// Characters of an e-mail address at most (RFC 5321 §4.5.3.1.3).
const EMAIL_CHARACTERS_MAX: usize = 254;
/// Names that stand for the daemon's own doings in commits.
const RESERVED: [&str; 4] = ["operator", "daemon", "mrx", "platform"];

/// Who may make an account for themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Nobody.
    #[default]
    Off,
    /// Who brings an invitation.
    Invite,
    /// Everybody, as a viewer.
    Open,
}

/// What the operator decides about accounts.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who may register.
    pub registration: Registration,
    /// How long a session lasts.
    pub session_period: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { registration: Registration::Off, session_period: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// Accounts, sessions and keys. A clone is the same.
#[derive(Clone)]
pub struct Identity {
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) ids: Arc<IdMaker>,
    pub(super) known: Known,
    pub(super) hasher: Hasher,
    pub(super) signer: Signer,
    pub(super) deriving: DerivingKey,
    pub(super) operator: TokenHash,
    pub(super) policy: Policy,
    pub(super) issuers: Issuers,
    setup: Arc<Mutex<Option<(TokenHash, Time)>>>,
}

/// The keys that identity works with.
pub struct IdentityKeys {
    /// The hash of the operator's token.
    pub operator: TokenHash,
    /// Signs sessions, and derives what must be derived again.
    pub signing: DerivingKey,
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Its name.
    pub name: UserName,
    /// What it is.
    pub role: Role,
    /// Where to reach the person.
    pub email: Option<String>,
    /// Its password; none if it logs in elsewhere.
    pub password: Option<Password>,
    /// Who it is elsewhere.
    pub external: Option<External>,
}

/// What an admin changes of an account; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    /// What it is.
    pub role: Option<Role>,
    /// Whether it may call.
    pub disabled: Option<bool>,
    /// Where to reach the person; an inner `None` removes it.
    pub email: Option<Option<String>>,
}

impl Identity {
    /// Over this state; `known` is filled by its projection.
    pub fn new(
        state: State,
        clock: Clock,
        known: Known,
        keys: IdentityKeys,
        policy: Policy,
        issuers: Issuers,
    ) -> Self {
        let signer = Signer::new(&keys.signing);
        Self {
            state,
            clock,
            ids: Arc::new(IdMaker::new()),
            known,
            hasher: Hasher::default(),
            signer,
            deriving: keys.signing,
            operator: keys.operator,
            policy,
            issuers,
            setup: Arc::default(),
        }
    }

    /// All that is known.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Who may make an account for themselves.
    pub fn registration(&self) -> Registration {
        self.policy.registration
    }

    /// While there is no admin: a token that makes the first one, good for [`SETUP_PERIOD`]. An earlier one is void.
    pub fn setup_token(&self) -> Option<Token> {
        if self.known.admins() > 0 {
            return None;
        }
        let token = Token::random(SETUP_PREFIX);
        *self.setup.lock() = Some((token.hash(), self.clock.now().after(SETUP_PERIOD)));
        Some(token)
    }

    /// Makes the first admin.
    pub async fn set_up(
        &self,
        token: &Token,
        name: UserName,
        password: Password,
    ) -> Result<Done<Arc<User>>, IdentityError> {
        if self.known.admins() > 0 {
            return Err(IdentityError::SetUp);
        }
        let now = self.clock.now();
        let fits = |(hash, until): &(TokenHash, Time)| *hash == token.hash() && now < *until;
        if !self.setup.lock().as_ref().is_some_and(fits) {
            return Err(IdentityError::SpentToken("setup token"));
        }
        let new = NewUser { name, role: Role::Admin, email: None, password: Some(password), external: None };
        let actor = Actor { kind: "user", name: new.name.as_str().into() };
        let user = self.hashed(new).await?;
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            if self.known.admins() > 0 {
                return Err(IdentityError::SetUp);
            }
            self.check_free(&user.name)?;
            let what = format!("user {}: the first admin", user.name);
            Ok(Decision::commit(put_user(&user, what, "user.setUp", actor), user.clone()))
        };
        let done = self.state.change(&RepoName::Platform, decide).await?;
        *self.setup.lock() = None;
        Ok(done)
    }

    /// Makes an account, as an admin asked.
    pub async fn add_user(&self, new: NewUser, actor: Actor) -> Result<Done<Arc<User>>, IdentityError> {
        let user = self.hashed(new).await?;
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            self.check_free(&user.name)?;
            let what = format!("user {}: added as {}", user.name, user.role);
            Ok(Decision::commit(put_user(&user, what, "user.added", actor), user.clone()))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Makes an account, as its person asked: a viewer, or what the invitation says.
    pub async fn register(
        &self,
        new: NewUser,
        invite: Option<Token>,
    ) -> Result<Done<Arc<User>>, IdentityError> {
        match (self.policy.registration, &invite) {
            (Registration::Off, _) => return Err(IdentityError::RegistrationOff),
            (Registration::Invite, None) => return Err(IdentityError::InviteNeeded),
            (Registration::Invite, Some(token)) => drop(self.open_invite(token)?),
            (Registration::Open, _) => {}
        }
        let user = self.hashed(NewUser { role: Role::Viewer, external: None, ..new }).await?;
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            self.check_free(&user.name)?;
            let invite = invite.as_ref().map(|token| self.open_invite(token)).transpose()?;
            let role = invite.as_ref().map_or(Role::Viewer, |invite| invite.role);
            let user = Arc::new(User { role, ..(*user).clone() });
            let actor = Actor { kind: "user", name: user.name.as_str().into() };
            let mut change = put_user(
                &user,
                format!("user {}: registered as {role}", user.name),
                "user.registered",
                actor,
            );
            change.edits.extend(invite.map(|invite| Edit::remove(layout::invite(&invite.invite_id))));
            Ok(Decision::commit(change, user))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// The account of somebody whom another issuer vouches for, made if there is none yet.
    pub async fn provision(&self, new: NewUser) -> Result<Arc<User>, IdentityError> {
        let user = self.hashed(new).await?;
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            if let Some(known) = user.external.as_ref().and_then(|who| self.known.external(who)) {
                return Ok(Decision::nothing(known));
            }
            self.check_free(&user.name)?;
            let actor = Actor { kind: "user", name: user.name.as_str().into() };
            let what = format!("user {}: added as {} by its issuer", user.name, user.role);
            Ok(Decision::commit(put_user(&user, what, "user.provisioned", actor), user.clone()))
        };
        Ok(self.state.change(&RepoName::Platform, decide).await?.answer)
    }

    /// Changes an account; one that is disabled loses its sessions. The last admin stays one.
    pub async fn change_user(
        &self,
        name: &UserName,
        patch: UserPatch,
        actor: Actor,
    ) -> Result<Done<Arc<User>>, IdentityError> {
        check_email(patch.email.as_ref().and_then(|email| email.as_deref()))?;
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            let before = self.known.user(name).ok_or_else(|| IdentityError::UnknownUser(name.clone()))?;
            let after = patched(&before, patch, now);
            let was_admin = before.role == Role::Admin && before.disabled_at.is_none();
            let is_admin = after.role == Role::Admin && after.disabled_at.is_none();
            if was_admin && !is_admin && self.known.admins() == 1 {
                return Err(IdentityError::LastAdmin(name.clone()));
            }
            if after == *before {
                return Ok(Decision::nothing(before));
            }
            let user = Arc::new(User { updated_at: now, ..after });
            let word = if user.disabled_at.is_some() { "disabled" } else { "enabled" };
            let mut change =
                put_user(&user, format!("user {name}: {}, {word}", user.role), "user.changed", actor);
            if user.disabled_at.is_some() {
                change.edits.extend(self.end_sessions_of(name));
            }
            Ok(Decision::commit(change, user))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Gives an account another password, as an admin asked; its sessions end.
    pub async fn reset_password(
        &self,
        name: &UserName,
        password: Password,
        actor: Actor,
    ) -> Result<Done<Arc<User>>, IdentityError> {
        password.check()?;
        let hash = self.hasher.hash(password).await;
        self.put_password(name, hash, "password reset", "password.reset", actor).await
    }

    /// Changes the caller's own password; all its sessions end.
    pub async fn change_password(
        &self,
        name: &UserName,
        current: Password,
        next: Password,
        address: &str,
    ) -> Result<Done<Arc<User>>, IdentityError> {
        next.check()?;
        self.check_password(name.as_str(), current, address).await?;
        let hash = self.hasher.hash(next).await;
        let actor = Actor { kind: "user", name: name.as_str().into() };
        self.put_password(name, hash, "password changed", "password.changed", actor).await
    }

    async fn put_password(
        &self,
        name: &UserName,
        hash: String,
        what: &str,
        event: &'static str,
        actor: Actor,
    ) -> Result<Done<Arc<User>>, IdentityError> {
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            let before = self.known.user(name).ok_or_else(|| IdentityError::UnknownUser(name.clone()))?;
            let user = Arc::new(User { password_hash: Some(hash), updated_at: now, ..(*before).clone() });
            let mut change = put_user(&user, format!("user {name}: {what}"), event, actor);
            change.edits.extend(self.end_sessions_of(name));
            Ok(Decision::commit(change, user))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Makes an invitation; the token is in this answer and nowhere else.
    pub async fn invite(
        &self,
        role: Role,
        actor: Actor,
    ) -> Result<Done<(Arc<Invite>, Token)>, IdentityError> {
        let (now, token) = (self.clock.now(), Token::random(INVITE_PREFIX));
        let invite = Arc::new(Invite {
            invite_id: self.ids.invite(now),
            role,
            hash: token.hash(),
            created_by: actor.name.to_string(),
            created_at: now,
            expires_at: now.after(INVITE_PERIOD),
        });
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            let what = format!("invite {}: made for a {role}", invite.invite_id);
            let edit = Edit::put(layout::invite(&invite.invite_id), invite.clone());
            Ok(Decision::commit(platform_change(what, "invite.created", actor, vec![edit]), (invite, token)))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Takes an invitation back.
    pub async fn revoke_invite(&self, id: &InviteId, actor: Actor) -> Result<Done<()>, IdentityError> {
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            if !self.known.invites().iter().any(|invite| invite.invite_id == *id) {
                return Err(IdentityError::UnknownInvite(id.clone()));
            }
            let edits = vec![Edit::remove(layout::invite(id))];
            Ok(Decision::commit(
                platform_change(format!("invite {id}: revoked"), "invite.revoked", actor, edits),
                (),
            ))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    fn open_invite(&self, token: &Token) -> Result<Arc<Invite>, IdentityError> {
        let (hash, now) = (token.hash(), self.clock.now());
        let fits = |invite: &Arc<Invite>| invite.hash == hash && now < invite.expires_at;
        self.known.invites().into_iter().find(fits).ok_or(IdentityError::SpentToken("invitation"))
    }

    fn check_free(&self, name: &UserName) -> Result<(), IdentityError> {
        if RESERVED.contains(&name.as_str()) {
            return Err(IdentityError::NameReserved(name.clone()));
        }
        match self.known.user(name) {
            Some(_) => Err(IdentityError::NameTaken(name.clone())),
            None => Ok(()),
        }
    }

    async fn hashed(&self, new: NewUser) -> Result<Arc<User>, IdentityError> {
        check_email(new.email.as_deref())?;
        let password_hash = match new.password {
            Some(password) => {
                password.check()?;
                Some(self.hasher.hash(password).await)
            }
            None => None,
        };
        let now = self.clock.now();
        Ok(Arc::new(User {
            name: new.name,
            role: new.role,
            email: new.email,
            password_hash,
            external: new.external,
            created_at: now,
            updated_at: now,
            disabled_at: None,
        }))
    }
}

fn patched(before: &User, patch: UserPatch, now: Time) -> User {
    let disabled_at = match patch.disabled {
        Some(true) => before.disabled_at.or(Some(now)),
        Some(false) => None,
        None => before.disabled_at,
    };
    User {
        role: patch.role.unwrap_or(before.role),
        email: patch.email.unwrap_or_else(|| before.email.clone()),
        disabled_at,
        ..before.clone()
    }
}

fn check_email(email: Option<&str>) -> Result<(), IdentityError> {
    let fits = |email: &str| {
        email.chars().count() <= EMAIL_CHARACTERS_MAX
            && email.contains('@')
            && !email.chars().any(char::is_control)
    };
    match email {
        Some(email) if !fits(email) => Err(IdentityError::Invalid(format!(
            "an e-mail address has an @ and at most {EMAIL_CHARACTERS_MAX} characters, none of them a control character"
        ))),
        _ => Ok(()),
    }
}

fn put_user(user: &Arc<User>, subject: String, event: &'static str, actor: Actor) -> Change {
    platform_change(subject, event, actor, vec![Edit::put(layout::user(&user.name), user.clone())])
}

/// A change of the platform's own state.
pub(super) fn platform_change(
    subject: String,
    event: &'static str,
    actor: Actor,
    edits: Vec<Edit>,
) -> Change {
    Change { branch: STATE_REF.into(), subject, event, actor, request: None, edits }
}
