//! Why something about a schedule was refused.

use crate::id::ScheduleName;
use crate::job::JobError;
use crate::state::store::EngineError;
use crate::state::yaml::BadFile;

/// Why a schedule was not made, found, changed or run.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is no such schedule.
    #[error("the project has no schedule {0}")]
    Unknown(ScheduleName),
    /// There is one of this name.
    #[error("the project has a schedule {0} already; change it with PATCH")]
    Exists(ScheduleName),
    /// The project has as many as it may.
    #[error("the project has {0} schedules, and that is the most; remove one first")]
    TooMany(usize),
    /// The expression means no time that comes.
    #[error("the cron expression {0} means no time that will come")]
    Never(String),
    /// The schedule's file cannot be read as a schedule.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// The job that it would make is none that can be made.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
