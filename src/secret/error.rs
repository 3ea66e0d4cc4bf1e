//! Why something about a secret was refused. No text here holds a value or a token.

use super::open::{OpenError, SealError};
use super::recipients::RECIPIENTS_MAX;
use super::secrets::{SECRETS_MAX, VALUE_BYTES_MAX, VALUE_CHARS_MIN};
use super::token::TokenRefusal;
use super::types::{Scope, SecretName};
use crate::id::ProjectId;
use crate::job::JobError;
use crate::state::store::EngineError;
use crate::state::tree::LoadError;
use crate::state::yaml::BadFile;

/// Why a secret was not stored, found, changed or handed over.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no such project.
    #[error("there is no project {0}")]
    UnknownProject(ProjectId),
    /// There is no such secret.
    #[error("{scope} has no secret {name}")]
    Unknown {
        /// Whose.
        scope: Scope,
        /// Which.
        name: SecretName,
    },
    /// A short value cannot be told from other text in a log.
    #[error(
        "the value has fewer than {VALUE_CHARS_MIN} characters: hiding it in logs would hide other text; use a longer one"
    )]
    TooShort,
    /// A value this long is a file.
    #[error(
        "the value has more than {VALUE_BYTES_MAX} bytes; keep large files elsewhere, and a key to them here"
    )]
    TooLong,
    /// A zero byte cannot be in a variable of an environment.
    #[error("the value has a zero byte; encode it as base64")]
    ZeroByte,
    /// There are too many.
    #[error("{0} has {SECRETS_MAX} secrets, and no more are kept; remove one that nobody uses")]
    TooMany(Scope),
    /// There are too many recipients.
    #[error("there can be at most {RECIPIENTS_MAX} recipients, each with a name and a key of its own")]
    BadRecipients,
    /// The list of recipients changed while a value was encrypted to the old one.
    #[error("the list of recipients is being changed; try again")]
    RecipientsMoved,
    /// The ciphertext is missing or cannot be decrypted.
    #[error("the file secrets/{name}.age of {scope} is missing; store the secret anew")]
    NoCiphertext {
        /// Whose.
        scope: Scope,
        /// Which.
        name: SecretName,
    },
    /// The value cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The value was not encrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The lease is no job's any more; the caller must stop.
    #[error("the lease is no job's of this project any more; stop working on it")]
    NoLease,
    /// The caller's token is not good.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// The job or its lease.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A file of the past cannot be read.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<LoadError> for SecretError {
    fn from(error: LoadError) -> Self {
        EngineError::from(error).into()
    }
}
