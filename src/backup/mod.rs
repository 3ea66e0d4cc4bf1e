//! Backups: the whole platform as git bundles in a folder, and back.
//!
//! - [`manifest`] is what a backup says of itself, and decides what its next bundle holds
//! - [`save`] writes a backup, each time only what is new   - [`restore`] makes a data folder of one, or of clones
//! - [`files`] copies what is not git: artifacts and keys
//!
//! Invariant: a backup is whole at every moment: a bundle is durable before the manifest names it.
//! Invariant: a data folder appears whole, checked by git, or not at all.

pub mod files;
pub mod manifest;
pub mod restore;
pub mod save;

use std::time::Duration;

/// How long one git may take to pack, fetch or check a repository.
const GIT_TIME_LIMIT: Duration = Duration::from_secs(2 * 3600);
