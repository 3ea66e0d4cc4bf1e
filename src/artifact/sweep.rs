//! Removes entries that a project's rules keep no longer, and bytes that no entry refers to.
//!
//! Entries go first, in a commit; their bytes go when no entry of any project refers to them. What a crash leaves between
//! the two are bytes without an entry, which a later sweep removes when they are a day old. Nothing is removed unless the
//! entries of all projects were read. A project whose state and rules are as they were is not opened before an entry may have come of age.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::artifacts::{ArtifactError, Artifacts};
use super::retention;
use super::types::Artifact;
use crate::clock::Time;
use crate::id::{ArtifactId, ProjectId};
use crate::project::Registry;
use crate::project::types::{Project, Retention};
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::oid::Oid;
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
    /// How each project with rules was when all that they let go was gone.
    looked: Mutex<HashMap<ProjectId, Look>>,
}

/// What a round has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Projects that were looked into.
    pub projects: usize,
    /// Entries that were removed.
    pub entries: usize,
}

/// What a project was like that had nothing to let go.
#[derive(Clone, Copy)]
struct Look {
    tip: Oid,
    rules: Retention,
    /// When age may let go of something; `None` if only a change can.
    next: Option<Time>,
}

impl Look {
    fn holds(&self, tip: Oid, rules: Retention, now: Time) -> bool {
        self.tip == tip && self.rules == rules && self.next.is_none_or(|next| now < next)
    }
}

impl Sweeping {
    /// Nothing was removed yet.
    pub(super) fn beginning(now: Time) -> Self {
        Self {
            alone: tokio::sync::Mutex::default(),
            freed: Mutex::default(),
            due_at: Mutex::new(now.after(FIRST_SWEEP_AFTER)),
            looked: Mutex::default(),
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
    /// Removes the entries that the rules of their projects keep no longer.
    pub async fn expire(&self, registry: &Registry) -> Expired {
        let mut all = Expired::default();
        for (project, rules, tip) in self.to_look_at(registry).await {
            all.projects += 1;
            match self.expire_in(registry, &project, rules, tip).await {
                Ok(expired) => all.entries += expired,
                Err(error) => {
                    tracing::error!(%project, %error, "artifacts are kept longer than they should be");
                }
            }
            self.state.let_go(&RepoName::Project(project));
        }
        all
    }

    /// The projects whose rules may let go of something by now, each with its tip of before it is looked at: what changes later is seen
    /// by the next look.
    async fn to_look_at(&self, registry: &Registry) -> Vec<(ProjectId, Retention, Oid)> {
        let ruled = |project: Arc<Project>| {
            let rules = project.retention.filter(|_| project.trashed_at.is_none())?;
            Some((project.project_id.clone(), rules))
        };
        let all: Vec<_> = registry.all().into_iter().filter_map(ruled).collect();
        let (state, now, looked) =
            (self.state.clone(), self.clock.now(), self.sweeping.looked.lock().clone());
        let look = move || {
            let with_tip = |(project, rules): (ProjectId, Retention)| {
                let tip = state.published_tip(&RepoName::Project(project.clone()), STATE_REF);
                // One that cannot be read is opened, which says why.
                let tip = tip.unwrap_or(Oid::ZERO);
                (project, rules, tip)
            };
            let may_have = |(project, rules, tip): &(ProjectId, Retention, Oid)| {
                *tip == Oid::ZERO || !looked.get(project).is_some_and(|look| look.holds(*tip, *rules, now))
            };
            let found: Vec<_> = all.into_iter().map(with_tip).collect();
            let known: HashSet<ProjectId> = found.iter().map(|(project, ..)| project.clone()).collect();
            (found.into_iter().filter(may_have).collect(), known)
        };
        let (found, known): (Vec<_>, HashSet<ProjectId>) =
            tokio::task::spawn_blocking(look).await.unwrap_or_default();
        self.sweeping.looked.lock().retain(|project, _| known.contains(project));
        found
    }

    async fn expire_in(
        &self,
        registry: &Registry,
        project: &ProjectId,
        rules: Retention,
        tip: Oid,
    ) -> Result<usize, ArtifactError> {
        let Some(snapshot) = self.snapshot(project).await? else { return Ok(0) };
        let now = self.clock.now();
        let decide = move || -> Result<(Vec<Artifact>, Option<Time>), ArtifactError> {
            let entries = entries(&snapshot)?;
            let next = retention::next_look(&entries, &rules, now);
            let expired: HashSet<ArtifactId> =
                retention::expired(&entries, &rules, now).into_iter().collect();
            Ok((entries.into_iter().filter(|entry| expired.contains(&entry.artifact_id)).collect(), next))
        };
        let (expired, next) =
            tokio::task::spawn_blocking(decide).await.map_err(|_| EngineError::Unknown)??;
        if expired.is_empty() {
            self.sweeping.looked.lock().insert(project.clone(), Look { tip, rules, next });
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_holds_until_the_state_the_rules_or_the_age_of_an_entry_is_another() {
        let (day, now) = (Duration::from_secs(24 * 3600), Time::from_millis(1_763_663_400_000));
        let rules = Retention { keep_builds: Some(1), keep_days: Some(2) };
        let tip = Oid([1; 20]);
        let look = Look { tip, rules, next: Some(now.after(day)) };
        assert!(look.holds(tip, rules, now));
        assert!(!look.holds(Oid([2; 20]), rules, now) && !look.holds(tip, rules, now.after(day)));
        assert!(!look.holds(tip, Retention { keep_builds: Some(2), ..rules }, now));
        assert!(Look { next: None, ..look }.holds(tip, rules, now.after(100 * day)));
    }
}
