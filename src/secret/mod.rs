//! Secrets: keys to other services, kept encrypted in git, handed to the agent of a job once.
//!
//! - [`types`] says what a secret's files are   - [`recipients`] says who can read them with plain age
//! - [`open`] encrypts and decrypts   - [`keys`] keeps the daemon's own keys   - [`known`] is what memory has of all this
//! - [`secrets`] makes, rotates and removes   - [`reseal`] encrypts all anew when the recipients change
//! - [`token`] decides who may redeem   - [`redeem`] hands the values over, once
//! - [`hide`] hides values in what agents send, [`hide_log`] in their logs   - [`incident`] records what should not happen
//! - [`api`] is the HTTP side
//!
//! Invariant: no answer but the one to a redeemed token holds a value; no commit, log line or error ever does.
//! Invariant: a secret's two files are written by one commit, so they always belong together.
//! Invariant: decryption happens in `open.rs` alone.

pub mod api;
pub mod error;
pub mod hide;
pub mod hide_log;
pub mod incident;
pub mod keys;
pub mod known;
pub mod open;
pub mod recipients;
pub mod redeem;
pub mod reseal;
pub mod secrets;
pub mod token;
pub mod types;

pub use error::SecretError;
pub use secrets::Secrets;
pub use types::{Scope, Secret, SecretKind, SecretName};
