//! Artifacts: what builds made. The bytes are in a store by their SHA-256; an entry in the state says what they are.
//!
//! - [`types`] says what an entry is   - [`store`] keeps the bytes   - [`artifacts`] uploads, lists and finds
//! - [`retention`] decides what a project keeps no longer   - [`sweep`] removes that, and bytes without an entry
//! - [`api`] is the HTTP side
//!
//! Invariant: an entry is committed only when its bytes are durable in the store, or says where else they are.
//! Invariant: bytes are removed only when no entry of any project refers to them and no upload is about to.

pub mod api;
pub mod artifacts;
pub mod retention;
pub mod store;
pub mod sweep;
pub mod types;

pub use artifacts::{ArtifactError, Artifacts};
pub use types::Artifact;
