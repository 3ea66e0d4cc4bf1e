//! Files of a project's state by what they are: which path holds which kind of thing, what its file must say, and whether it
//! may be put back to what it was.
//!
//! - [`name`] is what people call a thing: by its id, or by one of its paths   - [`kinds`] is the table: a line for each kind of file
//! - [`mod@repair`] decides what becomes of a file that somebody changes as a file: by a push, or to undo
//! - [`files`] finds all files of a thing   - [`revert`] puts one thing back, in one commit   - [`api`] is the HTTP side
//!
//! Invariant: nothing here brings back a lease, a token or the value of a secret.

pub mod api;
pub mod files;
pub mod kinds;
pub mod name;
pub mod repair;
pub mod revert;

pub use name::Name;
pub use repair::{Facts, Refusal, check, repair};
pub use revert::RevertError;
