//! Forges: where projects come from. Each shows which repositories of code there are.
//!
//! - [`local`] is a folder of bare repositories, the default

pub mod local;

use crate::id::ProjectId;

/// A repository of code that is a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The project it makes: the repository's name.
    pub project: ProjectId,
    /// Where agents clone it from.
    pub url: String,
    /// The branch that is built if a job names none.
    pub default_branch: String,
}
