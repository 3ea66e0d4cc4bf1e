//! Git as a program: what libgit2 cannot do, or does without bounds, is done by a child that can be ended.
//!
//! - [`child`] starts it, fixes its environment, and bounds its time and output
//! - [`serve`] streams clones and fetches   - [`repo_path`] is a repository in a URL   - [`api`] is the HTTP side
//!
//! Invariant: nobody's text becomes an option: arguments are fixed, revisions are parsed ids, and paths stand behind `--`
//! and are taken literally.

pub mod api;
pub mod child;
pub mod repo_path;
pub mod serve;
