//! MrX: a daemon that keeps a team's projects, jobs, logs and artifacts as commits in git.

pub mod app;
pub mod bench;
pub mod clock;
pub mod forge;
pub mod id;
pub mod job;
pub mod project;
pub mod state;
