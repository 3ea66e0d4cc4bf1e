//! Stories: what MrX does for people and agents, told over HTTP in a small world.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails; the place says why")]

mod access;
mod agent;
mod answer;
mod artifact;
mod canary;
mod chat;
mod claim;
mod cli;
mod code;
mod colab;
mod concurrency;
mod cors;
mod debug;
mod docs;
mod event;
mod git;
mod github;
mod github_forge;
mod history;
mod identity;
mod input;
mod issuer;
mod job;
mod log;
mod matrix;
mod needs;
mod openapi;
mod patch;
mod program;
mod project;
mod push;
mod quarantine;
mod remote;
mod retention;
mod schedule;
mod secret;
mod specification;
mod template;
mod tidy;
mod trash;
mod webhook;
mod webhook_out;
mod world;
