//! What a project is: the type, which is also its files `projects/….yaml` of the platform and `project.yaml` of its own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::id::ProjectId;
use crate::identity::Member;
use crate::state::edit::Entity;

/// Whether the forge still has the project's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProjectState {
    /// It does.
    Active,
    /// It did not show it last time; the state is kept.
    Missing,
}

/// A project, as the platform lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Project {
    /// Its name.
    pub project_id: ProjectId,
    /// Where its code is: a path for the local forge.
    pub repo: String,
    /// The branch that is built if a job names none.
    pub default_branch: String,
    /// Whether the forge has it.
    pub state: ProjectState,
    /// Who may work in it, the owner first; admins of the platform may besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// When it was first seen.
    pub created_at: Time,
    /// When this entry last changed.
    pub updated_at: Time,
}

impl Entity for Project {
    const KIND: &'static str = "project";
}

/// A project's own file, in its own repository: what its clone says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProjectFile {
    /// Its name.
    pub project_id: ProjectId,
    /// When its state began.
    pub created_at: Time,
}

impl Entity for ProjectFile {
    const KIND: &'static str = "project";
}
