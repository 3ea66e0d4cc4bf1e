//! Why something about a chat was refused.

use crate::id::{ArtifactId, ChatId};
use crate::job::JobError;
use crate::state::store::EngineError;
use crate::state::tree::LoadError;
use crate::state::yaml::BadFile;

/// Why a chat was not created, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// There is no such chat.
    #[error("the project has no chat {0}")]
    Unknown(ChatId),
    /// A message names a file that the project does not have.
    #[error("the project has no artifact {0}; upload the file first")]
    UnknownArtifact(ArtifactId),
    /// The request is not what a chat or message can be.
    #[error("{0}")]
    Invalid(String),
    /// A message is larger than one may be.
    #[error("the message has {bytes} bytes, and at most {most} are kept; send a large text as a file")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// The chat or the project has as many as it may.
    #[error("{0}")]
    Full(String),
    /// The caller knows another version of the chat than there is.
    #[error("the chat has changed: its version is {found}")]
    Changed {
        /// The version now.
        found: String,
    },
    /// The list that a cursor is from is not to be had any more.
    #[error("the cursor is none that this list gave; begin without one")]
    CursorGone,
    /// An answer in the making goes on elsewhere.
    #[error("the text does not begin where the answer ends; {size} bytes of it are here")]
    AnswerGap {
        /// Bytes that are here.
        size: usize,
    },
    /// An answer is longer than one may be.
    #[error("an answer has at most {0} bytes")]
    AnswerTooLarge(usize),
    /// The job that answers, or its lease.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A file cannot be read.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<LoadError> for ChatError {
    fn from(error: LoadError) -> Self {
        EngineError::from(error).into()
    }
}
