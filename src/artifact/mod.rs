//! Artifacts: what builds made. The bytes are in a store by their SHA-256; an entry in the state says what they are.
//!
//! - [`types`] says what an entry is   - [`store`] keeps the bytes   - [`artifacts`] uploads, lists and finds
//! - [`api`] is the HTTP side
//!
//! Invariant: an entry is committed only when its bytes are durable in the store.

pub mod api;
pub mod artifacts;
pub mod store;
pub mod types;

pub use artifacts::{ArtifactError, Artifacts};
pub use types::Artifact;
