//! What an artifact is: the type, which is also its file `artifacts/…/art-….yaml` and its JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::id::{ArtifactId, JobId};
use crate::state::edit::Entity;

/// An entry of the artifact index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// Its id, which its file is named by.
    pub artifact_id: ArtifactId,
    /// The name of the file, without folders.
    pub name: String,
    /// Where the bytes are, if they are elsewhere: on a drive that the daemon does not read.
    pub drive_path: Option<String>,
    /// SHA-256 of the bytes in 64 hexadecimal digits.
    pub sha256: String,
    /// Bytes; absent if whoever told of bytes elsewhere did not say.
    pub size: Option<u64>,
    /// The number of the build, if it has one.
    pub build_number: Option<String>,
    /// The job that made it.
    pub job_id: Option<JobId>,
    /// When it was stored, here or elsewhere.
    pub uploaded_at: Time,
}

impl Entity for Artifact {
    const KIND: &'static str = "artifact";
}
