//! What a remote is: the setting in the registry, the files `remote.yaml` and `conflicts/….yaml`, and the status.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::state::edit::Entity;
use crate::state::oid::Oid;

/// The branch that is pushed to if none is named.
pub const BRANCH_DEFAULT: &str = "mrx/state";

/// Where a project's state is pushed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// A repository: `https://github.com/acme/weather-state.git`, without a user name or password.
    pub url: String,
    /// The branch: `mrx/state` if absent.
    #[serde(default = "branch_default")]
    pub branch: String,
}

fn branch_default() -> String {
    BRANCH_DEFAULT.to_owned()
}

impl Remote {
    /// The branch as a ref.
    pub fn ref_name(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }
}

/// `remote.yaml` of a project's state: how far the remote's branch has been brought in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteFile {
    /// The newest commit of the remote's branch whose own changes are all here.
    pub merged: Oid,
    /// When that was done.
    pub at: Time,
}

impl Entity for RemoteFile {
    const KIND: &'static str = "remote";
}

/// `conflicts/….yaml` of a project's state: what a remote brought and could not be merged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConflictFile {
    /// When.
    pub at: Time,
    /// The remote's commit.
    pub theirs: Oid,
    /// The state's commit, whose values stand.
    pub ours: Oid,
    /// The remote's branch.
    pub branch: String,
    /// What was not merged.
    pub conflicts: Vec<Conflict>,
}

impl Entity for ConflictFile {
    const KIND: &'static str = "conflict";
}

/// A file or field that is not as the remote has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// The file.
    pub path: String,
    /// The field, as in `payload.ref`; the whole file if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why.
    pub why: String,
    /// What it was before either side changed it; absent if it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// What it is here, and stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
    /// What it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theirs: Option<String>,
}

/// How a project's remote is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteStatus {
    /// Where the state is pushed to.
    pub url: String,
    /// The branch.
    pub branch: String,
    /// The newest commit of the state that the remote is known to have; absent if none was pushed since the start.
    pub pushed: Option<Oid>,
    /// When that was found.
    pub pushed_at: Option<Time>,
    /// Where the remote's branch stands. It is another commit than `pushed` since the remote had changes of its own.
    pub remote_tip: Option<Oid>,
    /// When changes of the remote's own were last brought in.
    pub merged_at: Option<Time>,
    /// Whether the state has commits that the remote does not have yet.
    pub is_behind: bool,
    /// What is wrong; absent if nothing is.
    pub problem: Option<RemoteProblem>,
}

/// Why a remote is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RemoteProblem {
    /// `emptyRemote`, `unrelated`, `unreachable`, `refused`, `tooMuch`, `credential` or `failed`.
    pub code: &'static str,
    /// What happened, and what to do.
    pub message: String,
    /// Since when.
    pub since: Time,
}
