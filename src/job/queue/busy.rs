//! How many jobs take room of their project and their group: those that are reserved or held.

use std::collections::HashMap;

use super::{Demand, Entry};
use crate::id::{GroupName, ProjectId};

/// A group of a project's jobs.
pub type Group = (ProjectId, GroupName);

/// The jobs that take room, counted.
#[derive(Default)]
pub struct Busy {
    jobs: usize,
    projects: HashMap<ProjectId, usize>,
    groups: HashMap<Group, usize>,
}

impl Busy {
    /// The job takes room from now on.
    pub fn add(&mut self, entry: &Entry) {
        self.jobs += 1;
        *self.projects.entry(entry.project.clone()).or_default() += 1;
        if let Some(group) = &entry.demand.group {
            *self.groups.entry(group.clone()).or_default() += 1;
        }
    }

    /// The job, which took room by this entry, takes none any more.
    pub fn remove(&mut self, entry: &Entry) {
        self.jobs -= 1;
        one_less(&mut self.projects, &entry.project);
        if let Some(group) = &entry.demand.group {
            one_less(&mut self.groups, group);
        }
    }

    /// How many jobs take room.
    pub fn jobs(&self) -> usize {
        self.jobs
    }

    /// How many jobs of a project take room.
    pub fn of_project(&self, project: &ProjectId) -> usize {
        self.projects.get(project).copied().unwrap_or(0)
    }

    /// Whether a job of the group that this demand speaks of takes room.
    pub fn has_group(&self, demand: &Demand) -> bool {
        demand.group.as_ref().is_some_and(|group| self.groups.contains_key(group))
    }
}

/// Counts one less of these, and forgets what there is none of.
pub fn one_less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
