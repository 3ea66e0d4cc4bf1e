//! Secret values in memory: the one type that holds them, for the daemon and the agent alike.
//!
//! - [`text`] holds a value so that it is not shown by accident
//!
//! Invariant: nothing here knows where values come from or where text goes to.

pub mod text;

pub use text::SecretText;
