//! Jobs: work that is queued, leased to one agent, and recorded.
//!
//! - [`types`] says what a job is, and so what its file holds   - [`lifecycle`] decides what an event does to a job
//! - [`queue`] decides which agent gets which job   - [`claim`] hands it over   - `turns` lets a repeated claim wait for the first   - [`lease`] knows until when a job is held   - [`pace`] how long claims take
//! - [`open`] keeps a project's open jobs in memory   - [`jobs`] makes every change of a job, through [`crate::state`]
//! - [`new`] makes a job   - [`needs`] decides when a job that needs others goes on
//! - [`also`] is how another subject's change and a job's are one commit
//! - [`restore`] decides what a job becomes that is put back to what it was
//! - [`push`] decides what a job's file that was pushed asks for
//! - [`list`] pages through them   - [`past`] reads them as they were   - [`error`] says why something was refused   - [`api`] and [`list_api`] are the HTTP side
//!
//! Invariant: a job has at most one lease, only a claimed or running job has one, and a lease id is never used again.
//! Invariant: a job's file and its place in the queue agree, because the queue learns of jobs only from their files.

pub mod also;
pub mod api;
pub mod claim;
pub mod error;
pub mod jobs;
pub mod lease;
pub mod lifecycle;
pub mod list;
pub mod list_api;
pub mod needs;
pub mod new;
pub mod open;
pub mod pace;
pub mod past;
pub mod push;
pub mod queue;
pub mod restore;
mod turns;
pub mod types;

pub use error::JobError;
pub use jobs::{Finding, Jobs};
pub use new::NewJob;
pub(crate) use new::pending;
pub use types::{Earlier, Failure, Job, JobState, JobType, LogSum};
