//! The registry as it was: read from the platform's files at a commit.

use std::sync::Arc;

use super::projects::{ProjectError, Projects};
use super::types::Project;
use crate::id::ProjectId;
use crate::state::layout::{self, RepoName};
use crate::state::oid::Oid;
use crate::state::snapshot::Snapshot;
use crate::state::store::EngineError;

/// How many files one page reads; a page may be short and still have a next one.
const FILES_READ_MAX: usize = 5_000;

/// Which projects a page of the past shows.
pub struct Wanted {
    /// Whether those in the trash, or the others.
    pub is_trashed: bool,
    /// Whether the caller may read it now.
    pub may_read: Box<dyn Fn(&ProjectId) -> bool + Send>,
}

impl Projects {
    /// A project's entry as it was at a commit of the platform.
    pub async fn get_at(&self, id: &ProjectId, commit: Oid) -> Result<Arc<Project>, ProjectError> {
        let id = id.clone();
        let read = move |snapshot: &Snapshot| -> Result<Arc<Project>, ProjectError> {
            let found = snapshot.entity(&layout::project(&id)).map_err(EngineError::from)?;
            Ok(Arc::new(found.ok_or(ProjectError::Unknown(id))??))
        };
        self.state.read_at(&RepoName::Platform, commit, read).await
    }

    /// A page of the projects as they were at a commit of the platform, by name, and the last one if there may be more.
    pub async fn page_at(
        &self,
        commit: Oid,
        after: Option<ProjectId>,
        limit: usize,
        wanted: Wanted,
    ) -> Result<(Vec<Arc<Project>>, Option<ProjectId>), ProjectError> {
        let read = move |snapshot: &Snapshot| page(snapshot, after.as_ref(), limit, &wanted);
        self.state.read_at(&RepoName::Platform, commit, read).await
    }
}

fn page(
    snapshot: &Snapshot,
    after: Option<&ProjectId>,
    limit: usize,
    wanted: &Wanted,
) -> Result<(Vec<Arc<Project>>, Option<ProjectId>), ProjectError> {
    let entries = snapshot.list(layout::PROJECTS).map_err(EngineError::from)?;
    let mut ids: Vec<ProjectId> =
        entries.iter().filter_map(|entry| layout::stem(&entry.name).parse().ok()).collect();
    ids.retain(|id| after.is_none_or(|after| id > after) && (wanted.may_read)(id));
    ids.sort_unstable();
    let is_long = ids.len() > FILES_READ_MAX;
    let (mut found, mut last) = (Vec::new(), None);
    for id in ids.into_iter().take(FILES_READ_MAX) {
        let project = snapshot.entity::<Project>(&layout::project(&id)).map_err(EngineError::from)?;
        let project = project.and_then(|read| {
            read.inspect_err(|bad| tracing::warn!(%bad, "a project's file is left out of a list")).ok()
        });
        found.extend(
            project.filter(|project| project.trashed_at.is_some() == wanted.is_trashed).map(Arc::new),
        );
        last = Some(id);
        if found.len() == limit {
            return Ok((found, last));
        }
    }
    Ok((found, last.filter(|_| is_long)))
}
