//! Identity: who may call, by what credential, and with which rights. Every security event is a commit of the platform.
//!
//! - [`rights`] says which role and which right admits what   - [`types`] are the files: accounts, sessions, API keys, invitations
//! - [`principal`] is whoever calls, and what they may do   - [`token`] is a secret text and its hash
//! - [`password`] hashes passwords   - [`throttle`] decides how long failed log-ins must wait   - [`session_token`] signs and reads JWTs
//! - [`known`] keeps all of it in memory   - [`accounts`], [`sessions`], [`keys`], [`claim_secret`] change it
//! - [`issuer`] believes tokens of other issuers   - [`rate`] bounds how often each may call   - [`api`], [`admin_api`], [`keys_api`] are the HTTP side
//!
//! Invariant: who calls is told by the credential alone.
//! Invariant: of a token or password only a hash is stored; a token is shown once, in the answer that made it.
//! Invariant: an account's name is never given to another account, so what it was allowed stays its own.

pub mod accounts;
pub mod admin_api;
pub mod api;
pub mod claim_secret;
pub mod error;
pub mod issuer;
pub mod keys;
pub mod keys_api;
pub mod known;
pub mod password;
pub mod principal;
pub mod rate;
pub mod rights;
pub mod session_token;
pub mod sessions;
pub mod throttle;
pub mod token;
pub mod types;

pub use accounts::Identity;
pub use error::IdentityError;
pub use principal::Principal;
pub use rights::{Right, Role};
pub use types::Member;
