//! How far a job is, on disk in the job's folder, so that an agent that starts again brings it to its end.
//!
//! It is durable before anything that it tells of is sent. It holds no secret: reports are recorded as they are sent, with
//! values hidden, and the token for secrets is left out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::daemon_client::Claim;
use super::job_client::Report;
use crate::id::AgentId;

/// The record in a job's folder.
const FILE_NAME: &str = "record.json";
/// While it is written.
const NEW_NAME: &str = "record.new";

/// What is known of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Whose job it is; no other agent may speak of it.
    pub agent: AgentId,
    pub claim: Claim,
    pub stage: Stage,
}

/// How far it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "camelCase")]
pub enum Stage {
    /// Something runs for it.
    Running,
    /// The work ended well; what it made is not all uploaded.
    Uploading { report: Report, made: Files },
    /// Nothing is left but the rest of the log and this report.
    Reporting {
        report: Report,
        /// Whether the log is whole, so that its sum belongs to the report.
        log_is_whole: bool,
    },
}

/// Files to upload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Where they are, from the job's folder.
    pub root: PathBuf,
    /// Their paths from there.
    pub paths: Vec<String>,
}

impl Record {
    /// Writes it in place of the one before, durably.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        let new = folder.join(NEW_NAME);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&new, folder.join(FILE_NAME))?;
        File::open(folder)?.sync_all()?;
        // The folder's own name as well: the first record of a job is the first thing worth keeping in it.
        folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    /// The record of a folder; none if there is none that can be read.
    pub fn load(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FILE_NAME)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::worker::folder::WorkFolder;
    use crate::worker::testing::{JOB, LEASE};

    fn claim() -> Claim {
        let job = json!({
            "jobId": JOB, "projectId": "mrx-hello", "type": "build", "attempt": 1, "timeoutSeconds": 60,
            "payload": {"ref": "main"}, "labels": ["gpu"],
        });
        let lease = json!({"id": LEASE, "seconds": 90});
        serde_json::from_value(json!({"job": job, "lease": lease, "secretsToken": "canary-token"})).unwrap()
    }

    #[test]
    fn a_job_with_a_record_outlives_its_folders_value_until_it_is_let_go() {
        let parent = tempfile::tempdir().unwrap();
        let record = |stage| Record { agent: "builder-1".parse().unwrap(), claim: claim(), stage };
        let work = WorkFolder::open(parent.path()).unwrap();
        let folder = work.job(&claim().job).unwrap();
        folder.record(&record(Stage::Running)).unwrap();
        let made = Files { root: "code".into(), paths: vec!["a".to_owned()] };
        folder.record(&record(Stage::Uploading { report: Report::default(), made: made.clone() })).unwrap();
        let text = fs::read_to_string(folder.path().join(FILE_NAME)).unwrap();
        assert!(text.contains(LEASE) && text.contains("gpu") && !text.contains("canary"), "{text}");
        drop(folder);
        drop(work);

        let work = WorkFolder::open(parent.path()).unwrap();
        let (folder, left) = work.left().pop().unwrap();
        assert_eq!(
            serde_json::to_value(&left).unwrap(),
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        );
        assert!(matches!(left.stage, Stage::Uploading { made: files, .. } if files == made));
        folder.let_go();
        drop(folder);
        assert!(work.left().is_empty());
    }

    #[test]
    fn half_a_record_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), "{\"agent\": \"builder-1\"").unwrap();
        assert!(Record::load(folder.path()).is_none());
    }
}
