//! Stories: what MrX does for people and agents, told over HTTP in a small world.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod access;
mod agent;
mod artifact;
mod claim;
mod docs;
mod event;
mod input;
mod job;
mod log;
mod openapi;
mod project;
mod quarantine;
mod template;
mod tidy;
mod world;
