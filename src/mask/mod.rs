//! Secret values in memory, and how they are hidden in text: for the daemon and the agent alike.
//!
//! - [`text`] holds a value so that it is not shown by accident   - [`forms`] says how a value can look in text
//! - [`parts`] finds values inside a value
//! - [`matcher`] finds all forms of all values at once   - [`stream`] hides them in text that comes in parts
//!
//! Invariant: nothing here knows where values come from or where text goes to.
//! Invariant: a part of a text that may be the beginning of a form is held back until it is known.

pub mod forms;
pub mod matcher;
pub mod parts;
pub mod stream;
pub mod text;

pub use matcher::Matcher;
pub use stream::Stream;
pub use text::SecretText;
