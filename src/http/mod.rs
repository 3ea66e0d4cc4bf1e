//! HTTP, met once: the table of routes, who may call them, and what an error looks like.
//!
//! - [`routes`] every path, a line each   - [`auth`] who is calling   - [`error`] one shape for every refusal
//! - [`input`] strict bodies, queries and headers   - [`answer`] what every write answers with
//! - [`gate`] what every request passes   - [`request_id`] a name for each request   - [`openapi`] the API as a document   - [`events`] the stream of what happens   - [`health`] health, readiness, metrics   - [`server`] connections   - [`debug`] how the daemon is inside   - [`cors`] pages of other origins   - [`past`] state as it was

pub mod answer;
pub mod auth;
pub mod client_address;
pub mod cors;
pub mod debug;
pub mod error;
pub mod events;
pub mod gate;
pub mod health;
pub mod input;
pub mod openapi;
pub mod past;
pub mod request_id;
pub mod routes;
pub mod server;
pub mod stopping;
