//! Uploads, lists and finds artifacts.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::store::{ArtifactStore, StoreError, Stored};
use super::types::Artifact;
use crate::clock::Clock;
use crate::id::{ArtifactId, IdMaker, JobId, LeaseId, ProjectId};
use crate::job::JobError;
use crate::job::jobs::{find, holds};
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::{Done, EngineError, State};
use crate::state::tree::LoadError;
use crate::state::yaml::{self, BadFile};

/// Why an artifact was not stored or found.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// There is no such artifact.
    #[error("the project has no artifact {0}")]
    Unknown(ArtifactId),
    /// There is no such project.
    #[error("there is no project {0}")]
    UnknownProject(ProjectId),
    /// The number of the build is none.
    #[error("{0:?} is no build number: use 1 to 64 characters, no control characters")]
    BadBuildNumber(String),
    /// The name is no file name.
    #[error("{0:?} is no file name: use 1 to 200 characters, no '/', no control characters, not '.' or '..'")]
    BadName(String),
    /// The job or its lease.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The bytes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The entry cannot be read.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<LoadError> for ArtifactError {
    fn from(error: LoadError) -> Self {
        EngineError::from(error).into()
    }
}

/// What an uploader says about a file.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Whose.
    pub project: ProjectId,
    /// The file's name.
    pub name: String,
    /// The job that made it.
    pub job: Option<JobId>,
    /// The lease by which an agent holds that job; checked again when the bytes are there.
    pub lease: Option<LeaseId>,
    /// The number of the build.
    pub build_number: Option<String>,
}

/// The artifacts of all projects. A clone is the same.
#[derive(Clone)]
pub struct Artifacts {
    state: State,
    clock: Clock,
    ids: Arc<IdMaker>,
    store: ArtifactStore,
}

impl Artifacts {
    /// Over this state and store.
    pub fn new(state: State, clock: Clock, store: ArtifactStore) -> Self {
        Self { state, clock, ids: Arc::new(IdMaker::new()), store }
    }

    /// Where the bytes are.
    pub fn store(&self) -> &ArtifactStore {
        &self.store
    }

    /// Stores a file and its entry; the same job, name and bytes again give the entry that stands. Tells whether it is new.
    pub async fn upload<E: std::fmt::Display>(
        &self,
        upload: Upload,
        actor: Actor,
        bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Done<(Arc<Artifact>, bool)>, ArtifactError> {
        check_name(&upload.name)?;
        check_build_number(upload.build_number.as_deref())?;
        let now = self.clock.now();
        let id = self.ids.artifact(&upload.project, now);
        let stored = self.store.put(id.as_str(), bytes).await?;
        let request = upload.job.as_ref().map(|job| request_of(job, &upload.name, &stored));
        let held = upload.job.clone().zip(upload.lease);
        let entry = Arc::new(Artifact {
            artifact_id: id.clone(),
            name: upload.name,
            drive_path: None,
            sha256: stored.sha256,
            size: stored.size,
            build_number: upload.build_number,
            job_id: upload.job,
            uploaded_at: now,
        });
        let decide = |view: &mut View<'_>| -> Result<_, ArtifactError> {
            if let Some((job, lease)) = &held {
                holds(&find(view, job)?.ok_or_else(|| JobError::Unknown(job.clone()))?.job, lease)?;
            }
            let known = request.as_ref().and_then(|key| view.request(&actor.name, key));
            if let Some(known) = known.and_then(artifact_of_subject) {
                let path = layout::artifact(&known);
                let file = view.file(STATE_REF, &path)?.ok_or(ArtifactError::Unknown(known))?;
                return Ok(Decision::nothing((Arc::new(yaml::read(&path, "artifact", &file)?), false)));
            }
            let subject = format!("artifact {id}: {} uploaded, {} bytes", entry.name, entry.size);
            let edits = vec![Edit::put(layout::artifact(&id), entry.clone())];
            let event = "artifact.uploaded";
            Ok(Decision::commit(
                Change { branch: STATE_REF.into(), subject, event, actor, request, edits },
                (entry, true),
            ))
        };
        self.state.change(&RepoName::Project(upload.project), decide).await
    }

    /// The entry with this id.
    pub async fn get(&self, project: &ProjectId, id: &ArtifactId) -> Result<Artifact, ArtifactError> {
        let snapshot = self.snapshot(project).await?;
        let path = layout::artifact(id);
        let unknown = ArtifactError::Unknown(id.clone());
        let read = move || {
            snapshot
                .map_or(Ok(None), |snapshot| snapshot.file(&path).map(|file| file.map(|file| (path, file))))
        };
        let file = tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)??;
        let (path, file) = file.ok_or(unknown)?;
        Ok(yaml::read(&path, "artifact", &file)?)
    }

    /// The newest entries older than `before`, at most `limit`.
    pub async fn page(
        &self,
        project: &ProjectId,
        before: Option<ArtifactId>,
        limit: usize,
    ) -> Result<Vec<Artifact>, ArtifactError> {
        let Some(snapshot) = self.snapshot(project).await? else { return Ok(Vec::new()) };
        tokio::task::spawn_blocking(move || page(&snapshot, before.as_ref(), limit))
            .await
            .map_err(|_| EngineError::Unknown)?
    }

    async fn snapshot(&self, project: &ProjectId) -> Result<Option<Snapshot>, ArtifactError> {
        match self.state.snapshot(&RepoName::Project(project.clone()), STATE_REF).await {
            Err(EngineError::NoRepo(_)) => Err(ArtifactError::UnknownProject(project.clone())),
            result => Ok(result?),
        }
    }
}

/// The names of all entries are read, and the files of one page.
fn page(
    snapshot: &Snapshot,
    before: Option<&ArtifactId>,
    limit: usize,
) -> Result<Vec<Artifact>, ArtifactError> {
    let mut found = Vec::new();
    snapshot.walk(layout::ARTIFACTS, &mut |path, oid| {
        if let Ok(id) = layout::stem(path).parse::<ArtifactId>()
            && before.is_none_or(|before| id < *before)
        {
            found.push((id, path.to_owned(), oid));
        }
        Ok(())
    })?;
    found.sort_unstable_by(|a, b| b.0.cmp(&a.0));
    let mut artifacts = Vec::new();
    for (_, path, oid) in &found {
        if artifacts.len() == limit {
            break;
        }
        match yaml::read(path, "artifact", &snapshot.blob(*oid)?) {
            Ok(artifact) => artifacts.push(artifact),
            Err(bad) => tracing::warn!(%bad, "an artifact's file is left out of a list"),
        }
    }
    Ok(artifacts)
}

fn check_build_number(number: Option<&str>) -> Result<(), ArtifactError> {
    match number {
        Some(number)
            if !(1..=64).contains(&number.chars().count()) || number.chars().any(char::is_control) =>
        {
            Err(ArtifactError::BadBuildNumber(number.chars().take(80).collect()))
        }
        _ => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), ArtifactError> {
    let good = (1..=200).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.chars().any(|c| c == '/' || c == '\\' || c.is_control());
    if good { Ok(()) } else { Err(ArtifactError::BadName(name.chars().take(80).collect())) }
}

/// What makes two uploads the same one. A trailer takes no space at its end, so spaces are written as in URLs.
fn request_of(job: &JobId, name: &str, stored: &Stored) -> String {
    format!("{job}/{}/{}", &stored.sha256, name.replace('%', "%25").replace(' ', "%20"))
}

fn artifact_of_subject(subject: &str) -> Option<ArtifactId> {
    subject.strip_prefix("artifact ")?.split_once(':')?.0.parse().ok()
}
