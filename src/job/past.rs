//! Jobs as they were: read from a project's files at a commit.

use std::sync::Arc;

use super::error::JobError;
use super::jobs::{Jobs, find_in_files};
use super::restore::misplaced;
use super::types::Job;
use crate::id::{JobId, ProjectId};
use crate::state::edit::Entity;
use crate::state::layout::place::Place;
use crate::state::layout::{self, RepoName};
use crate::state::oid::Oid;
use crate::state::snapshot::Snapshot;
use crate::state::yaml::{self, BadFile};

/// How many open jobs of the past are read to find those that are none: some seconds of one thread.
const FILES_READ_MAX: usize = 50_000;

impl Jobs {
    /// A job as it was at a commit of its project, open or ended.
    pub async fn get_at(&self, project: &ProjectId, commit: Oid, id: &JobId) -> Result<Arc<Job>, JobError> {
        let id = id.clone();
        let read = move |snapshot: &Snapshot| -> Result<Arc<Job>, JobError> {
            if let Some(open) = snapshot.entity(&layout::open_job(&id))? {
                return Ok(Arc::new(open?));
            }
            let found = find_in_files(snapshot, &id)?;
            found.map(|found| found.job).ok_or(JobError::Unknown(id))
        };
        self.state.read_at(&RepoName::Project(project.clone()), commit, read).await
    }

    /// The files of a project that should have been open jobs at a commit and were none; and whether more were not looked at.
    pub async fn quarantined_at(
        &self,
        project: &ProjectId,
        commit: Oid,
    ) -> Result<(Vec<BadFile>, bool), JobError> {
        let of = project.clone();
        let read = move |snapshot: &Snapshot| quarantined(&of, snapshot);
        self.state.read_at(&RepoName::Project(project.clone()), commit, read).await
    }
}

fn quarantined(project: &ProjectId, snapshot: &Snapshot) -> Result<(Vec<BadFile>, bool), JobError> {
    let mut files = Vec::new();
    snapshot.walk(layout::OPEN_JOBS, &mut |path, oid| {
        files.push((path.to_owned(), oid));
        Ok(())
    })?;
    let is_cut = files.len() > FILES_READ_MAX;
    let mut bad = Vec::new();
    for (path, oid) in files.into_iter().take(FILES_READ_MAX) {
        bad.extend(check(project, &path, &snapshot.blob(oid)?).err());
    }
    Ok((bad, is_cut))
}

fn check(project: &ProjectId, path: &str, bytes: &[u8]) -> Result<(), BadFile> {
    let job: Job = yaml::read(path, Job::KIND, bytes)?;
    let cause = match Place::of(path) {
        None => Some(format!("it says jobId: {}", job.job_id)),
        Some(place) => misplaced(project, &place, &job),
    };
    cause.map_or(Ok(()), |cause| Err(BadFile { path: path.to_owned(), kind: Job::KIND, cause }))
}
