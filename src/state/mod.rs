//! The engine: state as files in git.

pub mod commit;
pub mod create;
pub mod disk;
pub mod edit;
pub mod events;
mod halt;
pub mod history;
pub mod journal;
pub mod layout;
pub mod lock;
pub mod object;
pub mod objects;
pub mod oid;
pub mod pack;
pub mod publish;
pub mod recover;
pub mod refs;
pub mod repo;
mod requests;
pub mod snapshot;
pub mod store;
pub mod template;
pub mod threads;
pub mod tree;
pub mod yaml;
