//! Why identity refused.

use super::password::WeakPassword;
use crate::clock::Time;
use crate::id::{InviteId, KeyId, UserName};
use crate::state::store::EngineError;

/// Why an account, session or key was not made, changed or believed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The name and password fit no account that may log in; which of it is wrong is not said.
    #[error("the name or the password is wrong")]
    WrongPassword,
    /// Too many failed; the next attempt has to wait.
    #[error("too many log-ins failed; try again after {0}")]
    Throttled(Time),
    /// The name is or was somebody's.
    #[error("the name {0} is taken; choose another")]
    NameTaken(UserName),
    /// The name is the daemon's own.
    #[error("the name {0} is the daemon's own; choose another")]
    NameReserved(UserName),
    /// The password may not be chosen.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// There is no such account.
    #[error("there is no account {0}")]
    UnknownUser(UserName),
    /// There is no such key of the caller.
    #[error("there is no key {0} of yours")]
    UnknownKey(KeyId),
    /// There is no such invitation.
    #[error("there is no invitation {0}; it may have been used")]
    UnknownInvite(InviteId),
    /// The one-time token is unknown, used or too old.
    #[error("the {0} is not valid: it may have been used, or is too old; ask for a new one")]
    SpentToken(&'static str),
    /// Nobody may register.
    #[error("registering is off; ask an admin for an account")]
    RegistrationOff,
    /// Only who was invited may register.
    #[error("registering needs an invitation; ask an admin for one")]
    InviteNeeded,
    /// There is an admin already.
    #[error("there is an admin already; the setup is over")]
    SetUp,
    /// The last admin would be gone.
    #[error("{0} is the last admin who can log in; make another one first")]
    LastAdmin(UserName),
    /// A key cannot outgrow its owner, and a text must fit.
    #[error("{0}")]
    Invalid(String),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
