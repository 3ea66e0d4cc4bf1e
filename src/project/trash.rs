//! The trash: a project is put there, brought back, and removed for good after 30 days. Its code on the forge stays.
//!
//! The registry's commit comes first, so nobody finds the project any more; then its state repository is removed. What a
//! crash leaves between the two, the next round removes.

use std::sync::Arc;
use std::time::Duration;

use super::projects::{ProjectError, Projects, change, check_version, registry_change};
use super::types::{Project, Removed};
use crate::id::ProjectId;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName};
use crate::state::repo::{Decision, View};
use crate::state::store::{Done, EngineError};

/// How long a project is in the trash before it is removed.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Projects {
    /// Puts a project into the trash; one that is there stays.
    pub async fn trash(
        &self,
        id: &ProjectId,
        only_if: Option<&str>,
        actor: Actor,
    ) -> Result<Done<Arc<Project>>, ProjectError> {
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<_, ProjectError> {
            let known = self.get(id)?;
            check_version(&known, only_if)?;
            if known.trashed_at.is_some() {
                return Ok(Decision::nothing(known));
            }
            let next = Arc::new(Project { trashed_at: Some(now), updated_at: now, ..(*known).clone() });
            let change = registry_change(next.clone(), "put into the trash", "project.trashed", actor);
            Ok(Decision::commit(change, next))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Brings a project back from the trash.
    pub async fn restore(&self, id: &ProjectId, actor: Actor) -> Result<Done<Arc<Project>>, ProjectError> {
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<_, ProjectError> {
            let known = self.get(id)?;
            if known.trashed_at.is_none() {
                return Err(ProjectError::NotTrashed(id.clone()));
            }
            let next = Arc::new(Project { trashed_at: None, updated_at: now, ..(*known).clone() });
            let change =
                registry_change(next.clone(), "brought back from the trash", "project.restored", actor);
            Ok(Decision::commit(change, next))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Removes every project that was in the trash for 30 days; tells which.
    pub async fn empty_trash(&self) -> Result<Vec<ProjectId>, ProjectError> {
        let _alone = self.making.lock().await;
        let now = self.clock.now();
        let is_due = |project: &Project| project.trashed_at.is_some_and(|since| now.since(since) >= KEPT);
        for project in self.registry.all().into_iter().filter(|project| is_due(project)) {
            let id = &project.project_id;
            let decide = |_: &mut View<'_>| -> Result<Decision<()>, EngineError> {
                // It may have been brought back a moment ago.
                let known = self.registry.find(id).filter(|known| is_due(known));
                Ok(known.map_or_else(
                    || Decision::nothing(()),
                    |known| Decision::commit(removal(&known, now), ()),
                ))
            };
            self.state.change(&RepoName::Platform, decide).await?;
        }
        let mut done = Vec::new();
        for removed in self.registry.removed() {
            if self.finish_removal(&removed.project_id).await? {
                done.push(removed.project_id.clone());
            }
        }
        Ok(done)
    }

    /// Removes the state repository of a project that the registry has no more; tells whether there was one.
    pub(super) async fn finish_removal(&self, id: &ProjectId) -> Result<bool, EngineError> {
        let name = RepoName::Project(id.clone());
        let is_left = self.registry.find(id).is_none()
            && self.registry.find_removed(id).is_some()
            && self.state.exists(&name);
        if is_left {
            self.state.remove(&name).await?;
        }
        Ok(is_left)
    }
}

fn removal(known: &Project, now: crate::clock::Time) -> Change {
    let id = &known.project_id;
    let removed = Removed {
        project_id: id.clone(),
        repo: known.repo.clone(),
        repository_id: known.forge.repository_id,
        removed_at: now,
    };
    let edits = vec![Edit::remove(layout::project(id)), Edit::put(layout::removed(id), Arc::new(removed))];
    change(&format!("project {id}: removed after 30 days in the trash"), "project.removed", edits)
}
