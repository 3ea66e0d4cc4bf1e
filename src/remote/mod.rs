//! A project's remote: a branch elsewhere that its state is pushed to, and whose own changes come back as edits.
//!
//! - [`types`] is the setting and the status   - [`address`] decides what may be called, and which host gets the credential
//! - [`relation`] decides what is to be done about two tips   - [`changes`] finds what the other side changed, [`reading`] reads it within bounds
//! - [`merge`] merges a file field by field   - [`bring_in`] decides what becomes of the state, [`chats`] of what was said there
//! - [`credential`] hands the credential to git through a pipe   - [`transport`] runs git   - [`remotes`] keeps all of it going
//! - [`api`] is the HTTP side   - [`error`] says why a remote does not have the state
//!
//! Invariant: the network writes to a scratch repository alone; the project's own gets nothing but the daemon's commits.
//! Invariant: nothing of either side is lost: what theirs brings is merged, or kept in a file of `conflicts/` and in the history
//! of the remote's branch, which is only ever moved forward, but into a new epoch, whose past the remote keeps first.

pub mod address;
pub mod api;
pub mod bring_in;
pub mod changes;
pub mod chats;
pub mod credential;
pub mod error;
pub mod merge;
pub mod reading;
pub mod relation;
pub mod remotes;
pub mod transport;
pub mod types;

pub use error::RemoteError;
pub use remotes::{RemoteOptions, Remotes};
pub use types::Remote;
