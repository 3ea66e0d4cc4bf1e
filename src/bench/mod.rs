//! `mrx bench`: how fast this machine and this disk are. Each benchmark prints one JSON object.
//!
//! - [`commits`] the engine alone   - [`report`] what is printed

pub mod commits;
pub mod report;
