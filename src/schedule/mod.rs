//! Schedules: jobs that are made by themselves, at times that a cron expression says.
//!
//! - [`types`] is a schedule, and so its file `schedules/<name>.yaml`   - [`cron`] reads an expression, [`zone`] the name of a time zone   - [`due`] decides what is due
//! - [`known`] keeps a project's schedules in memory, and the next times of all projects   - [`schedules`] makes every change
//! - [`error`] says why something was refused   - [`api`] is the HTTP side
//!
//! Invariant: a job and the note that its schedule has run are one commit, so a due time makes one job, whatever crashes.
//! Invariant: the next times are what the files say; a project need not be in memory for its time to come.

pub mod api;
pub mod cron;
pub mod due;
pub mod error;
pub mod known;
pub mod schedules;
pub mod types;
pub mod zone;

pub use error::ScheduleError;
pub use schedules::Schedules;
pub use types::Schedule;
