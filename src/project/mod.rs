//! Projects: the registry of what the forge has, each with a state repository of its own.
//!
//! - [`types`] says what a project is   - [`registry`] keeps them in memory, by name and by the tag in their jobs' ids
//! - [`listing`] decides what the forge's listing makes of them   - [`edit`] what people may change
//! - [`projects`] makes every change of them, with [`members`], [`trash`] and [`code`]   - [`past`] reads them as they were
//! - [`forks`] makes a second project of another's state; [`fork`] decides what is other in it   - [`sync`] asks the forge   - [`api`] is the HTTP side
//!
//! Invariant: a project in the registry has a state repository; one the forge no longer shows stays, marked as missing.
//! Invariant: only a project that was 30 days in the trash is removed, and never its code.

pub mod api;
pub mod code;
pub mod edit;
pub mod fork;
pub mod forks;
pub mod listing;
pub mod members;
pub mod past;
pub mod projects;
pub mod registry;
pub mod sync;
pub mod trash;
pub mod types;

pub use projects::{ProjectError, Projects};
pub use registry::Registry;
pub use sync::Syncer;
pub use types::{Project, ProjectState};
