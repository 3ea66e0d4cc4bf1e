//! The dashboard's files, which the binary holds, over HTTP.
//!
//! - `assets` the files, each with what is sent of it   - `choose` decides which of them a request gets, and how
//! - [`api`] the handlers
//!
//! Invariant: the dashboard is a client of the HTTP API like any other; nothing here knows of projects, jobs or people.
//! Invariant: its pages run no script and load no style but the daemon's own files (`Content-Security-Policy`).

pub mod api;
mod assets;
mod choose;
