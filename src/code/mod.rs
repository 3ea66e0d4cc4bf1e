//! The project's code as the forge has it, and the job that reads artifacts and code anew.
//!
//! - [`files`] lists the files of a commit   - `language` names a file's language by its name
//! - [`rebuild`] runs `index-rebuild` jobs, in the daemon itself: the bytes are here, so nothing travels
//! - [`api`] is the HTTP side
//!
//! Invariant: the code is only read. The index is never stored: it is read from git, by blob id, whenever it is asked for.

pub mod api;
pub mod files;
mod language;
pub mod rebuild;

pub use files::{CodeError, CodeFile};
