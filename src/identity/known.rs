//! Accounts, sessions, keys and one-time tokens in memory, as the platform's files say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use super::rights::Role;
use super::token::TokenHash;
use super::types::{ApiKey, ClaimSecret, External, Invite, Session, Throttle, User};
use crate::clock::Time;
use crate::id::{InviteId, KeyId, SessionId, UserName};
use crate::state::edit::{Edit, Entity, Projection};
use crate::state::layout;

/// All that identity knows. A clone is the same.
#[derive(Clone, Default)]
pub struct Known(Arc<RwLock<Tables>>);

#[derive(Default)]
struct Tables {
    users: BTreeMap<UserName, Arc<User>>,
    externals: BTreeMap<External, UserName>,
    sessions: HashMap<SessionId, Arc<Session>>,
    keys: BTreeMap<KeyId, Arc<ApiKey>>,
    key_hashes: HashMap<TokenHash, KeyId>,
    invites: BTreeMap<InviteId, Arc<Invite>>,
    throttles: HashMap<String, Arc<Throttle>>,
    claim_secrets: HashMap<TokenHash, Arc<ClaimSecret>>,
    /// When keys were used since that was last written.
    used: HashMap<KeyId, Time>,
}

impl Known {
    /// The account of this name.
    pub fn user(&self, name: &UserName) -> Option<Arc<User>> {
        self.0.read().users.get(name).cloned()
    }

    /// All accounts by name.
    pub fn users(&self) -> Vec<Arc<User>> {
        self.0.read().users.values().cloned().collect()
    }

    /// The account of a person whom another issuer names so.
    pub fn external(&self, who: &External) -> Option<Arc<User>> {
        let tables = self.0.read();
        tables.externals.get(who).and_then(|name| tables.users.get(name)).cloned()
    }

    /// Admins who may log in.
    pub fn admins(&self) -> usize {
        let is_admin = |user: &&Arc<User>| user.role == Role::Admin && user.disabled_at.is_none();
        self.0.read().users.values().filter(is_admin).count()
    }

    /// The session with this id.
    pub fn session(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.0.read().sessions.get(id).cloned()
    }

    /// All sessions for which `wanted` holds.
    pub fn sessions(&self, wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        self.0.read().sessions.values().filter(|session| wanted(session)).cloned().collect()
    }

    /// The key with this hash.
    pub fn key(&self, hash: &TokenHash) -> Option<Arc<ApiKey>> {
        let tables = self.0.read();
        tables.key_hashes.get(hash).and_then(|id| tables.keys.get(id)).cloned()
    }

    /// All keys for which `wanted` holds, oldest first.
    pub fn keys(&self, wanted: impl Fn(&ApiKey) -> bool) -> Vec<Arc<ApiKey>> {
        self.0.read().keys.values().filter(|key| wanted(key)).cloned().collect()
    }

    /// All invitations, oldest first.
    pub fn invites(&self) -> Vec<Arc<Invite>> {
        self.0.read().invites.values().cloned().collect()
    }

    /// What is known of failed log-ins under this name.
    pub fn throttle(&self, name: &str) -> Option<Arc<Throttle>> {
        self.0.read().throttles.get(name).cloned()
    }

    /// All of them.
    pub fn throttles(&self) -> Vec<(String, Arc<Throttle>)> {
        self.0.read().throttles.iter().map(|(name, throttle)| (name.clone(), throttle.clone())).collect()
    }

    /// The claim secret with this hash.
    pub fn claim_secret(&self, hash: &TokenHash) -> Option<Arc<ClaimSecret>> {
        self.0.read().claim_secrets.get(hash).cloned()
    }

    /// All claim secrets.
    pub fn claim_secrets(&self) -> Vec<Arc<ClaimSecret>> {
        self.0.read().claim_secrets.values().cloned().collect()
    }

    /// Notes that a key was used.
    pub fn note_use(&self, key: &KeyId, now: Time) {
        self.0.write().used.insert(key.clone(), now);
    }

    /// When keys were used since this was last asked.
    pub fn take_uses(&self) -> Vec<(KeyId, Time)> {
        self.0.write().used.drain().collect()
    }

    /// When a key was last used, of what is not written yet.
    pub fn noted_use(&self, key: &KeyId) -> Option<Time> {
        self.0.read().used.get(key).copied()
    }
}

/// The projection that fills [`Known`].
pub struct Registered(pub Known);

impl Projection for Registered {
    fn lives_from(&self) -> &'static [&'static str] {
        &[
            layout::USERS,
            layout::SESSIONS,
            layout::KEYS,
            layout::INVITES,
            layout::THROTTLES,
            layout::CLAIM_SECRETS,
        ]
    }

    fn apply(&mut self, edit: &Edit) {
        let tables = &mut *self.0.0.write();
        let stem = layout::stem(edit.path());
        match edit.path().split('/').next().unwrap_or_default() {
            layout::USERS => tables.take_in_user(stem, edit),
            layout::SESSIONS => take_in(&mut tables.sessions, stem.parse().ok(), edit),
            layout::KEYS => tables.take_in_key(stem, edit),
            layout::INVITES => {
                let (Ok(id), Some(invite)) = (stem.parse::<InviteId>(), read::<Invite>(edit)) else { return };
                match invite {
                    Some(invite) => drop(tables.invites.insert(id, invite)),
                    None => drop(tables.invites.remove(&id)),
                }
            }
            layout::THROTTLES => take_in(&mut tables.throttles, Some(stem.to_owned()), edit),
            layout::CLAIM_SECRETS => take_in(&mut tables.claim_secrets, stem.parse().ok(), edit),
            _ => {}
        }
    }

    fn is_busy(&self) -> bool {
        true
    }
}

impl Tables {
    fn take_in_user(&mut self, stem: &str, edit: &Edit) {
        let (Ok(name), Some(user)) = (stem.parse::<UserName>(), read::<User>(edit)) else { return };
        if let Some(external) = self.users.remove(&name).and_then(|before| before.external.clone()) {
            self.externals.remove(&external);
        }
        let Some(user) = user.filter(|user| user.name == name) else { return };
        if let Some(external) = &user.external {
            self.externals.insert(external.clone(), name.clone());
        }
        self.users.insert(name, user);
    }

    fn take_in_key(&mut self, stem: &str, edit: &Edit) {
        let (Ok(id), Some(key)) = (stem.parse::<KeyId>(), read::<ApiKey>(edit)) else { return };
        if let Some(before) = self.keys.remove(&id) {
            self.key_hashes.remove(&before.hash);
        }
        let Some(key) = key.filter(|key| key.key_id == id) else { return };
        self.key_hashes.insert(key.hash, id.clone());
        self.keys.insert(id, key);
    }
}

/// What the path holds; nothing at all if it cannot be read, so that what was known stays.
fn read<T: Entity>(edit: &Edit) -> Option<Option<Arc<T>>> {
    edit.entity::<T>().map_err(|bad| tracing::error!(%bad, "a file of the platform is passed over")).ok()
}

fn take_in<K: Eq + std::hash::Hash, T: Entity>(table: &mut HashMap<K, Arc<T>>, key: Option<K>, edit: &Edit) {
    let (Some(key), Some(value)) = (key, read::<T>(edit)) else { return };
    match value {
        Some(value) => drop(table.insert(key, value)),
        None => drop(table.remove(&key)),
    }
}
