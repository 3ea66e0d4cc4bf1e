//! Chats: what people and models say about a project, and the jobs that answer.
//!
//! - [`types`] says what a chat is, and so what its files hold   - [`segments`] decides where a message goes
//! - [`chats`] makes every change   - [`read`] pages through chats and messages   - [`answer`] records what a job's agent answers
//! - [`rules`] decides whether a chat's file is one   - [`push`] decides what a chat's files that were pushed ask for
//! - [`live`] holds answers in the making, in memory alone   - [`stream`] tells watchers   - [`error`] says why something was refused
//! - [`api`] is the HTTP side
//!
//! Invariant: a message is in the same commit as the job that answers it, or as the end of the job that wrote it.
//! Invariant: a segment that is full never changes again, until its chat is removed.

pub mod answer;
pub mod api;
pub mod chats;
pub mod error;
pub mod live;
pub mod push;
pub mod read;
pub mod rules;
pub mod segments;
pub mod stream;
pub mod types;

pub use chats::Chats;
pub use error::ChatError;
pub use types::{Chat, Message, Prompt, Segment};
