//! Uploads, lists and finds artifacts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

use super::store::{ArtifactStore, StoreError, is_sha256};
use super::sweep::Sweeping;
use super::types::Artifact;
use crate::clock::{Clock, Time};
use crate::id::{ArtifactId, IdMaker, JobId, LeaseId, ProjectId};
use crate::job::JobError;
use crate::job::jobs::{find, holds};
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::place::Place;
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::oid::Oid;
use crate::state::repo::{Decision, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::{Done, EngineError, State};
use crate::state::tree::LoadError;
use crate::state::yaml::{self, BadFile};

/// A path on a drive is at most this long; a trailer of the commit holds it.
const DRIVE_PATH_BYTES_MAX: usize = 1024;
/// Clocks of other machines may go ahead by this much.
const CLOCK_SLOP: Duration = Duration::from_secs(300);

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
    /// The path is none.
    #[error("{0:?} is no path on a drive: use 1 to {DRIVE_PATH_BYTES_MAX} bytes, no control characters")]
    BadDrivePath(String),
    /// The sum is none.
    #[error("{0:?} is no SHA-256: write it as 64 hexadecimal digits, a to f small")]
    BadSum(String),
    /// The time has not come.
    #[error("uploadedAt is {0}, which is still to come")]
    NotYet(Time),
    /// The bytes are not here.
    #[error("the bytes of this artifact are not here but at {0:?}, on the drive of whoever stored them")]
    Elsewhere(String),
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

/// Where the bytes of an entry are that are not here.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// The path on the drive.
    pub drive_path: String,
    /// Their SHA-256.
    pub sha256: String,
    /// How many, if it is known.
    pub size: Option<u64>,
    /// When they were stored there; now if absent.
    pub uploaded_at: Option<Time>,
}

impl Elsewhere {
    fn check(&self, now: Time) -> Result<(), ArtifactError> {
        check_drive_path(&self.drive_path)?;
        if !is_sha256(&self.sha256) {
            return Err(ArtifactError::BadSum(self.sha256.chars().take(80).collect()));
        }
        match self.uploaded_at {
            Some(at) if at > now.after(CLOCK_SLOP) => Err(ArtifactError::NotYet(at)),
            _ => Ok(()),
        }
    }
}

/// The artifacts of all projects. A clone is the same.
#[derive(Clone)]
pub struct Artifacts {
    pub(super) state: State,
    pub(super) clock: Clock,
    ids: Arc<IdMaker>,
    pub(super) store: ArtifactStore,
    pub(super) sweeping: Arc<Sweeping>,
}

impl Artifacts {
    /// Over this state and store.
    pub fn new(state: State, clock: Clock, store: ArtifactStore) -> Self {
        let sweeping = Arc::new(Sweeping::beginning(clock.now()));
        Self { state, clock, ids: Arc::new(IdMaker::new()), store, sweeping }
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
        // The bytes stay in use until the entry is durable, so that no sweep takes them from it.
        let (stored, _in_use) = self.store.put(id.as_str(), bytes).await?;
        let entry = Artifact {
            artifact_id: id,
            name: upload.name.clone(),
            drive_path: None,
            sha256: stored.sha256,
            size: Some(stored.size),
            build_number: upload.build_number.clone(),
            job_id: upload.job.clone(),
            uploaded_at: now,
        };
        self.enter(upload, entry, actor).await
    }

    /// Makes an entry of bytes that are elsewhere; the same job, name, bytes and place again give the entry that stands. Tells
    /// whether it is new.
    pub async fn index(
        &self,
        upload: Upload,
        place: Elsewhere,
        actor: Actor,
    ) -> Result<Done<(Arc<Artifact>, bool)>, ArtifactError> {
        let now = self.clock.now();
        check_name(&upload.name)?;
        check_build_number(upload.build_number.as_deref())?;
        place.check(now)?;
        let entry = Artifact {
            artifact_id: self.ids.artifact(&upload.project, now),
            name: upload.name.clone(),
            drive_path: Some(place.drive_path),
            sha256: place.sha256,
            size: place.size,
            build_number: upload.build_number.clone(),
            job_id: upload.job.clone(),
            uploaded_at: place.uploaded_at.unwrap_or(now),
        };
        self.enter(upload, entry, actor).await
    }

    async fn enter(
        &self,
        upload: Upload,
        entry: Artifact,
        actor: Actor,
    ) -> Result<Done<(Arc<Artifact>, bool)>, ArtifactError> {
        let request = upload.job.as_ref().map(|job| request_of(job, &entry));
        let held = upload.job.zip(upload.lease);
        let entry = Arc::new(entry);
        let decide = |view: &mut View<'_>| -> Result<_, ArtifactError> {
            if let Some((job, lease)) = &held {
                holds(&find(view, job)?.ok_or_else(|| JobError::Unknown(job.clone()))?.job, lease)?;
            }
            let known = request.as_ref().and_then(|key| view.request(&actor.name, key));
            if let Some(known) = known.and_then(artifact_of_subject) {
                let path = layout::artifact(&known);
                // An entry that was removed meanwhile is made anew.
                if let Some(file) = view.file(STATE_REF, &path)? {
                    return Ok(Decision::nothing((Arc::new(yaml::read(&path, "artifact", &file)?), false)));
                }
            }
            Ok(Decision::commit(entered(entry.clone(), actor, request), (entry, true)))
        };
        self.state.change(&RepoName::Project(upload.project), decide).await
    }

    /// Removes an entry, and gives it back as it was. Its bytes are removed by the next sweep, unless another refers to them.
    pub async fn remove(
        &self,
        project: &ProjectId,
        id: &ArtifactId,
        actor: Actor,
    ) -> Result<Done<Artifact>, ArtifactError> {
        let path = layout::artifact(id);
        let decide = |view: &mut View<'_>| -> Result<_, ArtifactError> {
            let file = view.file(STATE_REF, &path)?.ok_or_else(|| ArtifactError::Unknown(id.clone()))?;
            let entry: Artifact = yaml::read(&path, "artifact", &file)?;
            let change = Change {
                branch: STATE_REF.into(),
                subject: format!("artifact {id}: {} removed", entry.name),
                event: "artifact.deleted",
                actor,
                request: None,
                edits: vec![Edit::remove(path.as_str())],
            };
            Ok(Decision::commit(change, entry))
        };
        let done = self.state.change(&RepoName::Project(project.clone()), decide).await?;
        self.sweeping.freed([&done.answer]);
        Ok(done)
    }

    /// The entry with this id; as it was at a commit, if one is named.
    pub async fn get(
        &self,
        project: &ProjectId,
        at: Option<Oid>,
        id: &ArtifactId,
    ) -> Result<Artifact, ArtifactError> {
        let snapshot = self.snapshot_at(project, at).await?;
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

    /// The newest entries older than `before`, at most `limit`; as they were at a commit, if one is named.
    pub async fn page(
        &self,
        project: &ProjectId,
        at: Option<Oid>,
        before: Option<ArtifactId>,
        limit: usize,
    ) -> Result<Vec<Artifact>, ArtifactError> {
        let Some(snapshot) = self.snapshot_at(project, at).await? else { return Ok(Vec::new()) };
        tokio::task::spawn_blocking(move || page(&snapshot, before.as_ref(), limit))
            .await
            .map_err(|_| EngineError::Unknown)?
    }

    pub(super) async fn snapshot(&self, project: &ProjectId) -> Result<Option<Snapshot>, ArtifactError> {
        self.snapshot_at(project, None).await
    }

    async fn snapshot_at(
        &self,
        project: &ProjectId,
        at: Option<Oid>,
    ) -> Result<Option<Snapshot>, ArtifactError> {
        match self.state.snapshot_of(&RepoName::Project(project.clone()), at).await {
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

/// Says what is wrong with an entry at this place, if something is.
pub(crate) fn check_entry(entry: &Artifact, place: &Place) -> Option<String> {
    if *place != Place::Artifact(entry.artifact_id.clone()) {
        return Some(format!("it says artifactId: {}", entry.artifact_id));
    }
    let sum = || match is_sha256(&entry.sha256) {
        true => Ok(()),
        false => Err(ArtifactError::BadSum(entry.sha256.chars().take(80).collect())),
    };
    let size = || match entry.size.is_some() || entry.drive_path.is_some() {
        true => None,
        false => Some("it says no size, and its bytes are not elsewhere".to_owned()),
    };
    let path = || entry.drive_path.as_deref().map_or(Ok(()), check_drive_path);
    let checked = check_name(&entry.name)
        .and_then(|()| check_build_number(entry.build_number.as_deref()))
        .and_then(|()| sum())
        .and_then(|()| path());
    checked.err().map(|why| why.to_string()).or_else(size)
}

fn check_drive_path(path: &str) -> Result<(), ArtifactError> {
    if !(1..=DRIVE_PATH_BYTES_MAX).contains(&path.len()) || path.chars().any(char::is_control) {
        return Err(ArtifactError::BadDrivePath(path.chars().take(80).collect()));
    }
    Ok(())
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
fn request_of(job: &JobId, entry: &Artifact) -> String {
    let text = |text: &str| text.replace('%', "%25").replace(' ', "%20");
    let place = entry.drive_path.as_ref().map(|path| format!("/at/{}", text(path))).unwrap_or_default();
    format!("{job}/{}/{}{place}", entry.sha256, text(&entry.name))
}

fn entered(entry: Arc<Artifact>, actor: Actor, request: Option<String>) -> Change {
    let (id, name) = (&entry.artifact_id, &entry.name);
    let (subject, event) = match entry.size.filter(|_| entry.drive_path.is_none()) {
        Some(size) => (format!("artifact {id}: {name} uploaded, {size} bytes"), "artifact.uploaded"),
        None => (format!("artifact {id}: {name} is elsewhere"), "artifact.indexed"),
    };
    let edits = vec![Edit::put(layout::artifact(id), entry)];
    Change { branch: STATE_REF.into(), subject, event, actor, request, edits }
}

fn artifact_of_subject(subject: &str) -> Option<ArtifactId> {
    subject.strip_prefix("artifact ")?.split_once(':')?.0.parse().ok()
}
