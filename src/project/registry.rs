//! All projects in memory, from the platform's `projects/` folder; a job's id leads to its project through the tag in it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use super::types::Project;
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

    /// All names.
    pub fn names(&self) -> Vec<ProjectId> {
        self.0.read().projects.keys().cloned().collect()
    }

    /// The projects whose jobs carry this tag: one, but for a coincidence.
    pub fn tagged(&self, tag: ProjectTag) -> Vec<ProjectId> {
        self.0.read().tags.get(&tag).cloned().unwrap_or_default()
    }
}

/// The projection that fills a [`Registry`].
pub struct Registered(pub Registry);

impl Projection for Registered {
    fn lives_from(&self) -> &'static [&'static str] {
        &[layout::PROJECTS]
    }

    fn apply(&mut self, edit: &Edit) {
        let Ok(id) = layout::stem(edit.path()).parse::<ProjectId>() else { return };
        let mut known = self.0.0.write();
        match edit.entity::<Project>() {
            Ok(Some(project)) if project.project_id == id => {
                let tagged = known.tags.entry(id.tag()).or_default();
                if !tagged.contains(&id) {
                    tagged.push(id.clone());
                }
                known.projects.insert(id, project);
            }
            Ok(Some(project)) => {
                tracing::error!(path = edit.path(), says = %project.project_id, "a project's file names another project and is passed over");
            }
            Ok(None) => {
                known.projects.remove(&id);
            }
            Err(bad) => tracing::error!(%bad, "a project's file is passed over"),
        }
    }

    fn is_busy(&self) -> bool {
        true
    }
}
