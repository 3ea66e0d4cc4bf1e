//! Logs: what a job's agent wrote, byte for byte, as segments on the branch of the day the job was claimed.
//!
//! - [`segments`] says how a log lies in its branch   - [`logs`] appends, reads, sums up and drops logs
//! - [`api`] is the HTTP side
//!
//! Invariant: a stored byte never changes and never moves; a log only grows at its end, by the holder of the lease.
//! Invariant: logs are never on the `state` branch, so dropping a day's branch frees its room.

pub mod api;
pub mod logs;
pub mod segments;

pub use logs::{LogError, Logs};
