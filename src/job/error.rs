//! Why something about a job was refused.

use super::lifecycle::MoveError;
use super::types::JobState;
use crate::id::{JobId, ProjectId};
use crate::state::store::EngineError;
use crate::state::tree::LoadError;
use crate::state::yaml::{BadFile, FILE_BYTES_MAX};

/// Why a job was not created, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// There is no such job.
    #[error("there is no job {0}")]
    Unknown(JobId),
    /// There is no such project.
    #[error("there is no project {0}; its repository must be one of the forge's, with the configured prefix")]
    UnknownProject(ProjectId),
    /// A job that is needed is not there, or is another project's.
    #[error("needs names {0}, and the project has no such job")]
    UnknownNeed(JobId),
    /// As many jobs as may be are held, of the project or of the job's group.
    #[error("as many jobs of the project, or of the job's concurrencyGroup, are held as may be at once")]
    NoRoom,
    /// The project is in the trash: no jobs are made for it.
    #[error(
        "the project {0} is in the trash, so no jobs are made for it; POST /projects/{0}/restore brings it back"
    )]
    ProjectTrashed(ProjectId),
    /// The forge takes no more changes to the project's code.
    #[error(
        "the repository of {0} is archived on the forge, so no jobs are made for it; unarchive it there first"
    )]
    ProjectArchived(ProjectId),
    /// The caller's lease is not the job's: the job was given up or is another agent's now, and the caller must stop.
    #[error("the lease is not the job's any more: the job is {state}, attempt {attempt}; stop working on it")]
    LeaseStale {
        /// Where the job is.
        state: JobState,
        /// Its attempt.
        attempt: u32,
    },
    /// The event does nothing to a job in this state.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// The request is not what the type of job needs.
    #[error("{0}")]
    Invalid(String),
    /// The list that a cursor is from is not to be had any more.
    #[error("the cursor is none that this list gave; begin without one")]
    CursorGone,
    /// The caller knows another version of the job than there is.
    #[error("the job has changed: its version is {found}")]
    Changed {
        /// The version now.
        found: String,
    },
    /// The job's file would be larger than a file of state may be.
    #[error(
        "the job would have {bytes} bytes, and at most {FILE_BYTES_MAX} are kept; make payload and result smaller"
    )]
    TooLarge {
        /// How large it would be.
        bytes: usize,
    },
    /// The log is not what the agent says.
    #[error(
        "the log has {stored} bytes here, and the report says {reported} bytes with another sum or size; send what is missing and report again"
    )]
    LogIncomplete {
        /// Bytes stored.
        stored: u64,
        /// Bytes the agent says there are.
        reported: u64,
    },
    /// The job's file cannot be read as a job.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<LoadError> for JobError {
    fn from(error: LoadError) -> Self {
        EngineError::from(error).into()
    }
}
