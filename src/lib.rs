//! MrX: a daemon that keeps a team's projects, jobs, logs and artifacts as commits in git.

pub mod clock;
pub mod id;
pub mod state;
pub mod worker;
