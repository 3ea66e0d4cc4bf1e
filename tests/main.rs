//! Stories: what MrX does for people and agents, told over HTTP in a small world.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails; the place says why")]

mod access;
mod agent;
mod artifact;
mod canary;
mod claim;
mod cli;
mod docs;
mod event;
mod github;
mod github_forge;
mod identity;
mod input;
mod job;
mod log;
mod matrix;
mod openapi;
mod project;
mod quarantine;
mod secret;
mod template;
mod tidy;
mod trash;
mod webhook;
mod world;
