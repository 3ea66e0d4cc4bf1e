//! Agents: who may claim jobs, of which projects and with which labels, and when they were last heard of.
//!
//! - [`types`] says what an agent's file is   - [`agents`] keeps them in memory and commits what changes
//! - [`api`] is the HTTP side
//!
//! Invariant: who an agent is, is told by its key or the one-time secret it claims with, never by what it says.
//! Invariant: being heard of is memory only; a commit is made when an agent is registered or changes.

pub mod agents;
pub mod api;
pub mod types;

pub use agents::{AgentError, Agents};
pub use types::Agent;
