//! Git as a program: what libgit2 cannot do, or does without bounds, is done by a child that can be ended.
//!
//! - [`child`] starts it, fixes its environment, and bounds its time and output
//! - [`serve`] streams clones and fetches   - [`repo_path`] is a repository in a URL   - [`api`] is the HTTP side
//! - [`receive`] takes pushes: into a repository of their own ([`scratch`]), where git asks the daemon by its [`hook`]
//! - [`pushed`] reads what was pushed   - [`judge`] decides what comes of it   - [`take`] makes it the state's
//! - [`join`] finds where it stands   - [`since`] decides whether it fits where the branch has gone on   - [`times`] whether its times may stand in history
//! - [`refusal`] says why nothing does   - [`stray`] sees branches that were moved behind the daemon's back
//!
//! Invariant: what is pushed reaches a state only through its writer; git never writes to the state's repository itself.
//! Invariant: nobody's text becomes an option: arguments are fixed, revisions are parsed ids, and paths stand behind `--`
//! and are taken literally.

pub mod api;
pub mod child;
pub mod hook;
pub mod join;
pub mod judge;
pub mod pushed;
pub mod receive;
pub mod refusal;
pub mod repo_path;
pub mod scratch;
pub mod seen;
pub mod serve;
pub mod since;
pub mod stray;
pub mod take;
pub mod times;
