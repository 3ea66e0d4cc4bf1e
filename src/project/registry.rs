//! All projects in memory, from the platform's `projects/` folder; a job's id leads to its project through the tag in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use super::types::{Project, Removed};
use crate::forge::ForgeKind;
use crate::id::{ProjectId, ProjectTag};
use crate::state::edit::{Edit, Projection};
use crate::state::layout;

/// The projects. A clone is the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    projects: BTreeMap<ProjectId, Arc<Project>>,
    tags: HashMap<ProjectTag, Vec<ProjectId>>,
    removed: BTreeMap<ProjectId, Arc<Removed>>,
    /// Forks in the making, whose repositories hold the files of another project still.
    begun_forks: BTreeSet<ProjectId>,
}

impl Registry {
    /// The project with this name.
    pub fn find(&self, id: &ProjectId) -> Option<Arc<Project>> {
        self.0.read().projects.get(id).cloned()
    }

    /// The projects behind `after` that are `wanted`, by name, at most `limit`.
    pub fn page(
        &self,
        after: Option<&ProjectId>,
        limit: usize,
        wanted: impl Fn(&Project) -> bool,
    ) -> Vec<Arc<Project>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let known = self.0.read();
        let start = after.map_or(Unbounded, Excluded);
        known
            .projects
            .range::<ProjectId, _>((start, Unbounded))
            .map(|(_, project)| project)
            .filter(|project| wanted(project))
            .take(limit)
            .cloned()
            .collect()
    }

    /// All projects.
    pub fn all(&self) -> Vec<Arc<Project>> {
        self.0.read().projects.values().cloned().collect()
    }

    /// The project of the forge's repository with this number.
    pub fn of_repository(&self, kind: ForgeKind, number: u64) -> Option<ProjectId> {
        let known = self.0.read();
        let is_it = |project: &&Arc<Project>| {
            project.forge.kind == kind && project.forge.repository_id == Some(number)
        };
        known.projects.values().find(is_it).map(|project| project.project_id.clone())
    }

    /// What is left of removed projects.
    pub fn removed(&self) -> Vec<Arc<Removed>> {
        self.0.read().removed.values().cloned().collect()
    }

    /// What is left of the removed project of this name.
    pub fn find_removed(&self, id: &ProjectId) -> Option<Arc<Removed>> {
        self.0.read().removed.get(id).cloned()
    }

    /// A fork of this name is being made.
    pub(super) fn begin_fork(&self, id: &ProjectId) {
        self.0.write().begun_forks.insert(id.clone());
    }

    /// It is made, or not.
    pub(super) fn end_fork(&self, id: &ProjectId) {
        self.0.write().begun_forks.remove(id);
    }

    /// Whether a fork of this name is being made: its files are not yet its own, so nobody lives from them.
    pub fn is_begun_fork(&self, id: &ProjectId) -> bool {
        self.0.read().begun_forks.contains(id)
    }

    /// Whether the project is a fork.
    pub fn is_fork(&self, id: &ProjectId) -> bool {
        self.find(id).is_some_and(|project| project.fork_of.is_some())
    }

    /// All names.
    pub fn names(&self) -> Vec<ProjectId> {
        self.0.read().projects.keys().cloned().collect()
    }

    /// The projects whose jobs carry this tag: one, but for a coincidence.
    pub fn tagged(&self, tag: ProjectTag) -> Vec<ProjectId> {
        self.0.read().tags.get(&tag).cloned().unwrap_or_default()
    }
}

/// Called when an entry has changed: with the project, or `None` if it is no more.
pub type OnEntry = Box<dyn Fn(&ProjectId, Option<&Project>) + Send>;

/// The projection that fills a [`Registry`], and tells whoever must know of a changed entry.
pub struct Registered {
    /// What it fills.
    pub registry: Registry,
    /// Whom it tells.
    pub on_entry: OnEntry,
}

impl Projection for Registered {
    fn lives_from(&self) -> &'static [&'static str] {
        &[layout::PROJECTS, layout::REMOVED_PROJECTS]
    }

    fn apply(&mut self, edit: &Edit) {
        let Ok(id) = layout::stem(edit.path()).parse::<ProjectId>() else { return };
        if edit.path() == layout::removed(&id) {
            return self.apply_removed(id, edit);
        }
        let mut known = self.registry.0.write();
        match edit.entity::<Project>() {
            Ok(Some(project)) if project.project_id == id => {
                let tagged = known.tags.entry(id.tag()).or_default();
                if !tagged.contains(&id) {
                    tagged.push(id.clone());
                }
                known.projects.insert(id.clone(), project.clone());
                drop(known);
                (self.on_entry)(&id, Some(&project));
            }
            Ok(Some(project)) => {
                tracing::error!(path = edit.path(), says = %project.project_id, "a project's file names another project and is passed over");
            }
            Ok(None) => {
                known.projects.remove(&id);
                if let Some(tagged) = known.tags.get_mut(&id.tag()) {
                    tagged.retain(|known| *known != id);
                }
                drop(known);
                (self.on_entry)(&id, None);
            }
            Err(bad) => tracing::error!(%bad, "a project's file is passed over"),
        }
    }

    fn is_busy(&self) -> bool {
        true
    }
}

impl Registered {
    fn apply_removed(&mut self, id: ProjectId, edit: &Edit) {
        let mut known = self.registry.0.write();
        match edit.entity::<Removed>() {
            Ok(Some(removed)) => {
                known.removed.insert(id, removed);
            }
            Ok(None) => {
                known.removed.remove(&id);
            }
            Err(bad) => tracing::error!(%bad, "the file of a removed project is passed over"),
        }
    }
}
