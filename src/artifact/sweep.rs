//! Removes entries that a project's rules keep no longer, and bytes that no entry refers to.
//!
//! Entries go first, in a commit; their bytes go when no entry of any project refers to them. What a crash leaves between
//! the two are bytes without an entry, which a later sweep removes when they are a day old. Nothing is removed unless the
//! entries of all projects were read.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;

use super::artifacts::{ArtifactError, Artifacts};
use super::retention;
use super::types::Artifact;
use crate::clock::Time;
use crate::id::{ArtifactId, ProjectId};
use crate::project::Registry;
use crate::project::types::Retention;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::EngineError;
use crate::state::yaml;

/// Entries removed by one commit, so that it stays small; the others follow in the next.
const EXPIRED_MAX: usize = 1000;
/// How often bytes without an entry are looked for if no entry was removed.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 3600);
/// The first time after a start.
const FIRST_SWEEP_AFTER: Duration = Duration::from_secs(3600);
/// Bytes that had no entry when they were this old will have none.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);
/// Sums remembered to be removed soon; more wait until they are old.
const FREED_MAX: usize = 100_000;

/// What a sweep begins with.
pub struct Sweeping {
    /// One sweep at a time.
    alone: tokio::sync::Mutex<()>,
    /// Sums whose entries were removed since the start.
    freed: Mutex<HashSet<String>>,
    due_at: Mutex<Time>,
}

impl Sweeping {
    /// Nothing was removed yet.
    pub(super) fn beginning(now: Time) -> Self {
        Self {
            alone: tokio::sync::Mutex::default(),
            freed: Mutex::default(),
            due_at: Mutex::new(now.after(FIRST_SWEEP_AFTER)),
        }
    }

    /// Remembers the bytes of entries that were removed.
    pub(super) fn freed<'a>(&self, entries: impl IntoIterator<Item = &'a Artifact>) {
        let mut freed = self.freed.lock();
        let here = entries.into_iter().filter(|entry| entry.drive_path.is_none());
        for entry in here {
            if freed.len() < FREED_MAX {
                freed.insert(entry.sha256.clone());
            }
        }
    }
}

impl Artifacts {
    /// Removes the entries that the rules of their projects keep no longer; tells how many.
    pub async fn expire(&self, registry: &Registry) -> usize {
        let mut count = 0;
        for project in registry.all() {
            let Some(rules) = project.retention.filter(|_| project.trashed_at.is_none()) else { continue };
            match self.expire_in(registry, &project.project_id, rules).await {
                Ok(expired) => count += expired,
                Err(error) => {
                    tracing::error!(project = %project.project_id, %error, "artifacts are kept longer than they should be");
                }
            }
            self.state.let_go(&RepoName::Project(project.project_id.clone()));
        }
        count
    }

    async fn expire_in(
        &self,
        registry: &Registry,
        project: &ProjectId,
        rules: Retention,
    ) -> Result<usize, ArtifactError> {
        let Some(snapshot) = self.snapshot(project).await? else { return Ok(0) };
        let now = self.clock.now();
        let decide = move || -> Result<Vec<Artifact>, ArtifactError> {
            let entries = entries(&snapshot)?;
            let expired: HashSet<ArtifactId> =
                retention::expired(&entries, &rules, now).into_iter().collect();
            Ok(entries.into_iter().filter(|entry| expired.contains(&entry.artifact_id)).collect())
        };
        let expired = tokio::task::spawn_blocking(decide).await.map_err(|_| EngineError::Unknown)??;
        let mut count = 0;
        for some in expired.chunks(EXPIRED_MAX) {
            count += self.remove_expired(registry, project, rules, some).await?;
        }
        Ok(count)
    }

    /// Entries never change, so what was expired a moment ago still is, unless the rules are others now.
    async fn remove_expired(
        &self,
        registry: &Registry,
        project: &ProjectId,
        rules: Retention,
        expired: &[Artifact],
    ) -> Result<usize, ArtifactError> {
        let decide = |view: &mut View<'_>| -> Result<Decision<usize>, ArtifactError> {
            if registry.find(project).is_none_or(|now| now.retention != Some(rules)) {
                return Ok(Decision::nothing(0));
            }
            let mut edits = Vec::new();
            for entry in expired {
                let path = layout::artifact(&entry.artifact_id);
                if view.file(STATE_REF, &path)?.is_some() {
                    edits.push(Edit::remove(path));
                }
            }
            let count = edits.len();
            let Some(change) = (count > 0).then(|| expiry(project, count, &rules, edits)) else {
                return Ok(Decision::nothing(0));
            };
            Ok(Decision::commit(change, count))
        };
        let done = self.state.change(&RepoName::Project(project.clone()), decide).await?;
        self.sweeping.freed(expired);
        Ok(done.answer)
    }

    /// Removes bytes that no entry of any project refers to, if an entry was removed or it is time; tells how many files.
    pub async fn sweep(&self, registry: &Registry) -> Result<usize, ArtifactError> {
        let _alone = self.sweeping.alone.lock().await;
        let now = self.clock.now();
        let freed = self.sweeping.freed.lock().clone();
        if freed.is_empty() && now < *self.sweeping.due_at.lock() {
            return Ok(0);
        }
        let sweep = self.store.sweep();
        let is_due = |since: Time| now.since(since) >= ORPHAN_AGE;
        let mut doubtful: HashSet<String> = (sweep.found().await?.into_iter())
            .filter(|found| freed.contains(&found.sha256) || is_due(found.since))
            .map(|found| found.sha256)
            .collect();
        if !doubtful.is_empty() {
            self.forget_referred(registry, &mut doubtful).await?;
        }
        let mut count = 0;
        for sha256 in &doubtful {
            count += usize::from(sweep.remove(sha256).await?);
        }
        // What was passed over because it was in use is found again when it is old.
        self.sweeping.freed.lock().retain(|sha256| !freed.contains(sha256));
        *self.sweeping.due_at.lock() = now.after(SWEEP_EVERY);
        Ok(count)
    }

    /// Takes from `doubtful` what some entry of some project refers to. Fails if any entry cannot be read.
    async fn forget_referred(
        &self,
        registry: &Registry,
        doubtful: &mut HashSet<String>,
    ) -> Result<(), ArtifactError> {
        for project in registry.names() {
            let read = self.snapshot(&project).await;
            // A project that was removed for good since the list was made refers to nothing.
            let is_gone =
                matches!(read, Err(ArtifactError::UnknownProject(_))) && registry.find(&project).is_none();
            if is_gone {
                continue;
            }
            let Some(snapshot) = read? else { continue };
            let read = move || entries(&snapshot);
            let entries = tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)??;
            for entry in entries.iter().filter(|entry| entry.drive_path.is_none()) {
                doubtful.remove(&entry.sha256);
            }
            self.state.let_go(&RepoName::Project(project));
        }
        Ok(())
    }
}

/// All entries; one that cannot be read fails, so that nothing is concluded from its absence.
fn entries(snapshot: &Snapshot) -> Result<Vec<Artifact>, ArtifactError> {
    let mut files = Vec::new();
    snapshot.walk(layout::ARTIFACTS, &mut |path, oid| {
        if layout::stem(path).parse::<ArtifactId>().is_ok() {
            files.push((path.to_owned(), oid));
        }
        Ok(())
    })?;
    let read = |(path, oid): (String, _)| Ok(yaml::read(&path, "artifact", &snapshot.blob(oid)?)?);
    files.into_iter().map(read).collect()
}

fn expiry(project: &ProjectId, count: usize, rules: &Retention, edits: Vec<Edit>) -> Change {
    Change {
        branch: STATE_REF.into(),
        subject: format!("artifacts of {project}: {count} expired, as it keeps {rules}"),
        event: "artifact.expired",
        actor: Actor::daemon(),
        request: None,
        edits,
    }
}
