//! Why the engine did not open, change or read.

use std::io;
use std::path::PathBuf;

use crate::state::journal::JournalError;
use crate::state::journal::file;
use crate::state::layout::RepoName;
use crate::state::lock::LockError;
use crate::state::oid::Oid;
use crate::state::recover::RecoverError;
use crate::state::repo::CommitError;
use crate::state::tree::{EditError, LoadError};

/// Why the state was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A folder could not be made or read.
    #[error("cannot prepare {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The journal is damaged or cannot be read.
    #[error(transparent)]
    Journal(#[from] file::OpenError),
    /// What is journalled could not be brought into its repository.
    #[error(transparent)]
    Recover(#[from] RecoverError),
}

/// Why the engine did not do what it was asked, whatever the subject. Nothing has changed, except after
/// [`EngineError::Unknown`].
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such repository.
    #[error("there is no repository {0}")]
    NoRepo(RepoName),
    /// The repository cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The edits clash with what stands there.
    #[error(transparent)]
    Edit(EditError),
    /// A commit from elsewhere is not what its files make.
    #[error(
        "the commit {0} does not hold what its files make: it has an empty folder, an odd mode, or entries out of order"
    )]
    OtherTree(Oid),
    /// The disk is full; nothing is written until there is room.
    #[error("{0}")]
    Full(String),
    /// The engine has stopped, and the process ends. Whether the change is durable is found on restart.
    #[error("the engine stopped before the change was known to be durable")]
    Unknown,
}

impl From<CommitError> for EngineError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Edit(EditError::Load(error)) => Self::Load(error),
            CommitError::Edit(error) => Self::Edit(error),
            CommitError::OtherTree(commit) => Self::OtherTree(commit),
            CommitError::Journal(JournalError::Full(why) | JournalError::TooLarge(why)) => Self::Full(why),
            CommitError::Journal(JournalError::Stopped(_)) => Self::Unknown,
        }
    }
}
