//! Stories: what MrX does for people and agents, told over HTTP in a small world.

mod access;
mod agent;
mod artifact;
mod claim;
mod event;
mod input;
mod job;
mod log;
mod openapi;
mod project;
mod quarantine;
mod template;
mod world;
