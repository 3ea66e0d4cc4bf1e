//! Stories of the journal in files: what survives, what is refused, what is used again.
//!
//! - [`world`] is a journal in a temporary folder and the words to tell with   - [`fault`] is a disk that fails
//! - [`life`] appends, closes, reopens, fills up and recycles   - [`crash`] damages and cuts what is on the disk

mod crash;
mod fault;
mod life;
mod world;
