//! What a project is: the types, which are also its files: `projects/….yaml` and `removed/….yaml` of the platform,
//! `project.yaml` and `code.yaml` of its own.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::forge::ForgeKind;
use crate::id::ProjectId;
use crate::identity::Member;
use crate::remote::Remote;
use crate::state::edit::Entity;
use crate::state::oid::Oid;

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
    /// Its name: the one its repository had when it was first seen.
    pub project_id: ProjectId,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is about: the forge's description, unless somebody has changed it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where its code is: a path, or `github.com/acme/mrx-weather`.
    pub repo: String,
    /// The branch that is built if a job names none: the forge's, unless somebody has changed it here.
    pub default_branch: String,
    /// Which artifacts it keeps; all for ever if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Where its state is pushed to; nowhere if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// What the forge says.
    #[serde(default)]
    pub forge: ForgeEntry,
    /// Whether the forge has it.
    pub state: ProjectState,
    /// Who may work in it, the owner first; admins of the platform may besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// Since when it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<Time>,
    /// Whether the forge takes no more changes to the code; no jobs are made then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// How many of its jobs may be claimed or running at once; any number if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u16>,
    /// Where its state comes from, if it is a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_of: Option<ForkOf>,
    /// When it was put into the trash; it is removed 30 days later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trashed_at: Option<Time>,
    /// When it was first seen.
    pub created_at: Time,
    /// When this entry last changed.
    pub updated_at: Time,
}

/// Where the state of a fork comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForkOf {
    /// The project.
    pub project: ProjectId,
    /// The commit of its state.
    pub commit: Oid,
    /// Whether the fork's jobs are handed out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub run: bool,
}

/// Which artifacts a project keeps: what either rule keeps is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// Those of so many last builds: 1 to 10,000. A build is a job, else a build number; a file without either is one by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_builds: Option<u32>,
    /// Those younger than so many days: 1 to 3650.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
}

impl Retention {
    /// Whether there is no rule, so all is kept.
    pub fn keeps_all(&self) -> bool {
        self.keep_builds.is_none() && self.keep_days.is_none()
    }
}

impl std::fmt::Display for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.keep_builds, self.keep_days) {
            (None, None) => f.write_str("all"),
            (Some(builds), None) => write!(f, "{builds} builds"),
            (None, Some(days)) => write!(f, "{days} days"),
            (Some(builds), Some(days)) => write!(f, "{builds} builds and {days} days"),
        }
    }
}

/// What the forge says of a project's repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForgeEntry {
    /// Which forge.
    pub kind: ForgeKind,
    /// Its number there, which stays when it is renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<u64>,
    /// Its default branch there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// Its description there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Project {
    /// Where agents clone it from.
    pub fn clone_url(&self) -> String {
        match self.forge.kind {
            ForgeKind::Local => self.repo.clone(),
            ForgeKind::GitHub => format!("https://{}.git", self.repo),
        }
    }

    /// Whether its jobs are handed out.
    pub fn is_worked_on(&self) -> bool {
        self.trashed_at.is_none() && self.fork_of.as_ref().is_none_or(|of| of.run)
    }

    /// What tells this version of the project from every other, for `ETag` and `If-Match`.
    pub fn version(&self) -> String {
        let json = serde_json::to_vec(self).expect("a project has string keys");
        Sha256::digest(json).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Entity for Project {
    const KIND: &'static str = "project";
}

/// What is left of a project that was removed: its repository does not become a project again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Removed {
    /// Its name.
    pub project_id: ProjectId,
    /// Its repository's place.
    pub repo: String,
    /// Its repository's number, if the forge has numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<u64>,
    /// When it was removed.
    pub removed_at: Time,
}

impl Entity for Removed {
    const KIND: &'static str = "removed project";
}

/// A project's own file, in its own repository: what its clone says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProjectFile {
    /// Its name.
    pub project_id: ProjectId,
    /// When its state began.
    pub created_at: Time,
    /// Where it comes from, if it is a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_of: Option<ForkOf>,
}

impl Entity for ProjectFile {
    const KIND: &'static str = "project";
}

/// What the forge has told of the code: `code.yaml` in a project's own repository. Earlier ones are in its history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CodeNews)]
pub struct CodeFile {
    /// The commit that the default branch stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The run of a workflow that was last told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_run: Option<WorkflowRun>,
}

impl Entity for CodeFile {
    const KIND: &'static str = "code";
}

/// A run of a workflow on the forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowRun {
    /// Its number there.
    pub run_id: u64,
    /// The workflow's name.
    pub name: String,
    /// `queued`, `in_progress`, `completed`.
    pub status: String,
    /// `success`, `failure` and others, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<String>,
    /// The branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit it runs for.
    pub commit: String,
    /// When the forge last changed it.
    pub updated_at: Time,
}
