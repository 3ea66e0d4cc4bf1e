//! Agents: who has claimed jobs, with which labels, and when they were last heard of.
//!
//! - [`types`] says what an agent's file is   - [`agents`] keeps them in memory and commits what changes
//! - [`api`] is the HTTP side
//!
//! Invariant: being heard of is memory only; a commit is made when an agent is new or its labels change.

pub mod agents;
pub mod api;
pub mod types;

pub use agents::Agents;
pub use types::Agent;
