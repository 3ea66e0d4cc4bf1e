//! What has happened to a project's state: its commits, and what each changed, field by field.
//!
//! - [`diff`] says in fields what a commit did to a file   - [`entities`] puts together what happened to one thing   - [`api`] is the HTTP side
//! - [`epochs`] lets an operator end an epoch
//!
//! Invariant: what is told here is read from git alone, so it is what `git log` shows.

pub mod api;
pub mod diff;
pub mod entities;
pub mod epochs;
