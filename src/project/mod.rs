//! Projects: the registry of what the forge has, each with a state repository of its own.
//!
//! - [`types`] says what a project is   - [`registry`] keeps them in memory, by name and by the tag in their jobs' ids
//! - [`projects`] makes every change of them   - [`api`] is the HTTP side
//!
//! Invariant: a project in the registry has a state repository; one the forge no longer shows stays, marked as missing.

pub mod api;
pub mod projects;
pub mod registry;
pub mod types;

pub use projects::{ProjectError, Projects};
pub use registry::Registry;
pub use types::{Project, ProjectState};
