//! Why a remote does not have the state, and the word that its status has for it.

use super::address::BadAddress;
use super::changes::Unread;
use super::remotes::{SECRET, TRIES, WAIT_MAX};
use super::transport::TransportError;
use crate::id::ProjectId;
use crate::state::store::EngineError;

/// Why a remote does not have the state.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The project has none.
    #[error("the project has no remote; set one with PATCH /projects/{0}")]
    None(ProjectId),
    /// No project has one.
    #[error("no project has a remote; set one with PATCH /projects/{{id}}")]
    Nowhere,
    /// The platform has none.
    #[error("this is a change of the platform's own state, which has no remote")]
    Platform,
    /// It has no branch.
    #[error(
        "the remote is empty, and its first branch would become its default one: push a branch of yours there, such as main, and this one follows"
    )]
    Empty,
    /// Its address is not called.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// Its name is not resolved, or leads into an inner network.
    #[error("{0}")]
    Unresolved(String),
    /// Its branches cannot be read.
    #[error("the remote cannot be read: {0}")]
    Unreachable(TransportError),
    /// It does not take a push.
    #[error("the remote did not take the push: {0}")]
    Refused(TransportError),
    /// What it changed cannot be brought in.
    #[error(transparent)]
    Unread(#[from] Unread),
    /// The secret cannot be opened.
    #[error("the secret `{SECRET}` cannot be used: {0}")]
    Credential(String),
    /// It does not come to rest.
    #[error("the branch moved {TRIES} times while this was at work; it is tried again")]
    Restless,
    /// It took too long.
    #[error("the remote did not have it within {} s; it is tried on", WAIT_MAX.as_secs())]
    Late,
    /// The run before did not succeed.
    #[error("{0}")]
    Failed(String),
    /// The scratch repository cannot be made.
    #[error("the scratch repository cannot be made: {0}")]
    Disk(std::io::Error),
    /// The state.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl RemoteError {
    /// The word that a status has for it.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Empty => "emptyRemote",
            Self::Address(_) | Self::Unresolved(_) | Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Unread(Unread::Unrelated) => "unrelated",
            Self::Unread(Unread::TooMuch) => "tooMuch",
            Self::Credential(_) => "credential",
            _ => "failed",
        }
    }
}
