//! Logging in and out, and who a credential says is calling.

use std::sync::Arc;

use super::accounts::{Identity, platform_change};
use super::error::IdentityError;
use super::password::Password;
use super::principal::{Credential, Person, Principal};
use super::throttle::{self, ACCOUNT_FAILURES_FREE, ADDRESS_FAILURES_FREE};
use super::token::{KEY_PREFIX, Token};
use super::types::{Session, Throttle, User};
use crate::clock::Time;
use crate::id::{SessionId, UserName};
use crate::state::edit::{Actor, Edit};
use crate::state::layout::{self, RepoName};
use crate::state::repo::{Decision, View};
use crate::state::store::Done;

/// A session that has just begun.
pub struct LoggedIn {
    /// Whose.
    pub user: Arc<User>,
    /// The session.
    pub session: Arc<Session>,
    /// Its token, to be shown once.
    pub token: Token,
}

impl Identity {
    /// Begins a session for whoever knows the password.
    pub async fn log_in(
        &self,
        name: &str,
        password: Password,
        address: &str,
    ) -> Result<Done<LoggedIn>, IdentityError> {
        let user = self.check_password(name, password, address).await?;
        let now = self.clock.now();
        let session = Arc::new(Session {
            session_id: self.ids.session(now),
            user: user.name.clone(),
            created_at: now,
            expires_at: now.after(self.policy.session_period),
        });
        let token = self.signer.person(&user.name, &session.session_id, now, session.expires_at);
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            let user = self.known.user(&user.name).filter(|user| user.disabled_at.is_none());
            let user = user.ok_or(IdentityError::WrongPassword)?;
            let actor = Actor { kind: "user", name: user.name.as_str().into() };
            let mut edits = vec![Edit::put(layout::session(&session.session_id), session.clone())];
            let account = account_throttle(user.name.as_str());
            edits.extend(self.known.throttle(&account).map(|_| Edit::remove(layout::throttle(&account))));
            let what = format!("user {}: logged in", user.name);
            Ok(Decision::commit(
                platform_change(what, "session.began", actor, edits),
                LoggedIn { user, session, token },
            ))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Ends a session.
    pub async fn log_out(&self, id: &SessionId, actor: Actor) -> Result<Done<()>, IdentityError> {
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            if self.known.session(id).is_none() {
                return Ok(Decision::nothing(()));
            }
            let (what, edits) =
                (format!("user {}: logged out", actor.name), vec![Edit::remove(layout::session(id))]);
            Ok(Decision::commit(platform_change(what, "session.ended", actor, edits), ()))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// The edits that end all sessions of an account.
    pub(super) fn end_sessions_of(&self, user: &UserName) -> Vec<Edit> {
        let sessions = self.known.sessions(|session| session.user == *user);
        sessions.iter().map(|session| Edit::remove(layout::session(&session.session_id))).collect()
    }

    /// The account, if the password is its. Takes as long and says the same whatever is wrong; failures are recorded.
    pub(super) async fn check_password(
        &self,
        name: &str,
        password: Password,
        address: &str,
    ) -> Result<Arc<User>, IdentityError> {
        let throttles = [
            (account_throttle(name), ACCOUNT_FAILURES_FREE),
            (address_throttle(address), ADDRESS_FAILURES_FREE),
        ];
        let now = self.clock.now();
        let waits = throttles
            .iter()
            .filter_map(|(name, free)| throttle::wait_until(&*self.known.throttle(name)?, *free));
        if let Some(until) = waits.max().filter(|until| now < *until) {
            return Err(IdentityError::Throttled(until));
        }
        let user = name.parse::<UserName>().ok().and_then(|name| self.known.user(&name));
        let user = user.filter(|user| user.disabled_at.is_none());
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        match (self.hasher.verify(password, hash).await, user) {
            (true, Some(user)) => Ok(user),
            _ => {
                self.note_failure(name, throttles.map(|(name, _)| name), now).await?;
                Err(IdentityError::WrongPassword)
            }
        }
    }

    async fn note_failure(&self, name: &str, throttles: [String; 2], now: Time) -> Result<(), IdentityError> {
        // A name that is none could be a password in the wrong field: it is not written down.
        let shown = name.parse::<UserName>().ok().filter(|name| self.known.user(name).is_some());
        let shown = shown.map_or_else(|| "an unknown name".to_owned(), |name| name.to_string());
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            let edits = throttles.iter().map(|name| {
                let next: Throttle = throttle::failed(self.known.throttle(name).as_deref(), now);
                Edit::put(layout::throttle(name), Arc::new(next))
            });
            let what = format!("a log-in as {shown} failed");
            Ok(Decision::commit(platform_change(what, "login.failed", Actor::daemon(), edits.collect()), ()))
        };
        self.state.change(&RepoName::Platform, decide).await.map(|_| ())
    }

    /// Whom a bearer's token belongs to, if it is the operator's, a session's or a key's. Agents' are known elsewhere.
    pub fn caller_of(&self, text: &str) -> Option<Principal> {
        let token = Token::of(text);
        if text.starts_with(KEY_PREFIX) {
            return self.caller_of_key(&token);
        }
        if bool::from(subtle::ConstantTimeEq::ct_eq(token.hash().bytes(), self.operator.bytes())) {
            return Some(Principal::Operator);
        }
        self.caller_of_session(text, Credential::Session)
    }

    /// Whom a session's token belongs to.
    pub fn caller_of_session(&self, text: &str, by: fn(SessionId) -> Credential) -> Option<Principal> {
        let now = self.clock.now();
        let claims = self.signer.read_person(text, now)?;
        let session = self.known.session(&claims.jti)?;
        let user = self.known.user(&session.user)?;
        let stands = session.user == claims.sub && now < session.expires_at && user.disabled_at.is_none();
        stands.then(|| Principal::Person(Arc::new(Person { user, by: by(claims.jti) })))
    }

    fn caller_of_key(&self, token: &Token) -> Option<Principal> {
        let now = self.clock.now();
        let key = self.known.key(&token.hash())?;
        let user = self.known.user(&key.owner)?;
        if user.disabled_at.is_some() || key.expires_at.is_some_and(|end| end <= now) {
            return None;
        }
        self.known.note_use(&key.key_id, now);
        Some(Principal::Person(Arc::new(Person { user, by: Credential::Key(key) })))
    }

    /// What a page sends along with each change, so that no other site can make one: derived from its session.
    pub fn csrf_token(&self, session: &SessionId) -> String {
        self.deriving.derive("csrf", session.as_str())
    }

    /// Removes sessions, invitations, claim secrets and throttles that are over, and writes down when keys were used: all in one
    /// commit, now and then.
    pub async fn tidy(&self) -> Result<(), IdentityError> {
        let now = self.clock.now();
        let uses = self.known.take_uses();
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            let mut edits = self.over(now);
            for (id, at) in &uses {
                let Some(key) = self.known.keys(|key| key.key_id == *id).pop() else { continue };
                let used = super::types::ApiKey { last_used_at: Some(*at), ..(*key).clone() };
                edits.push(Edit::put(layout::key(id), Arc::new(used)));
            }
            if edits.is_empty() {
                return Ok(Decision::nothing(()));
            }
            let what = format!("identity: {} entries tidied", edits.len());
            Ok(Decision::commit(platform_change(what, "identity.tidied", Actor::daemon(), edits), ()))
        };
        self.state.change(&RepoName::Platform, decide).await.map(|_| ())
    }

    fn over(&self, now: Time) -> Vec<Edit> {
        let sessions = self.known.sessions(|session| session.expires_at <= now);
        let mut edits: Vec<Edit> =
            sessions.iter().map(|session| Edit::remove(layout::session(&session.session_id))).collect();
        let invites = self.known.invites();
        let invites = invites.iter().filter(|invite| invite.expires_at <= now);
        edits.extend(invites.map(|invite| Edit::remove(layout::invite(&invite.invite_id))));
        let secrets = self.known.claim_secrets();
        let secrets = secrets.iter().filter(|secret| secret.expires_at <= now);
        edits.extend(secrets.map(|secret| Edit::remove(layout::claim_secret(&secret.hash.to_string()))));
        let forgotten = |(_, known): &(String, Arc<Throttle>)| {
            now.since(known.last_failure_at) >= throttle::FORGOTTEN_AFTER
        };
        let throttles = self.known.throttles().into_iter().filter(forgotten);
        edits.extend(throttles.map(|(name, _)| Edit::remove(layout::throttle(&name))));
        edits
    }
}

/// Under what an account's failures are known: a name in any spelling is one name, and is not shown.
fn account_throttle(name: &str) -> String {
    format!("account-{}", &Token::of(&name.trim().to_lowercase()).hash().to_string()[..32])
}

fn address_throttle(address: &str) -> String {
    format!("address-{}", &Token::of(address).hash().to_string()[..32])
}
