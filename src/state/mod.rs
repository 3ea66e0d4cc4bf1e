//! The engine: state as files in git.

pub mod disk;
pub mod journal;
pub mod oid;
pub mod threads;
