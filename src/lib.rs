//! MrX: a daemon that keeps a team's projects, jobs, logs and artifacts as commits in git.

pub mod agent;
pub mod app;
pub mod artifact;
pub mod bench;
pub mod clock;
pub mod forge;
pub mod http;
pub mod id;
pub mod job;
pub mod log;
pub mod project;
pub mod state;
