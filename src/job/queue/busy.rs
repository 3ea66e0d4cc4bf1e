//! Which jobs take room of their project and their group: those that are reserved or held.

use std::collections::HashMap;

use super::{Demand, Entry};
use crate::id::{GroupName, JobId, ProjectId};

/// A group of a project's jobs.
pub type Group = (ProjectId, GroupName);

/// The jobs that take room, counted.
#[derive(Default)]
pub struct Busy {
    jobs: HashMap<JobId, (ProjectId, Option<Group>)>,
    projects: HashMap<ProjectId, usize>,
    groups: HashMap<Group, usize>,
}

impl Busy {
    /// The job takes room from now on.
    pub fn add(&mut self, entry: &Entry) {
        self.remove(&entry.job);
        let group = entry.demand.group.clone();
        *self.projects.entry(entry.project.clone()).or_default() += 1;
        if let Some(group) = &group {
            *self.groups.entry(group.clone()).or_default() += 1;
        }
        self.jobs.insert(entry.job.clone(), (entry.project.clone(), group));
    }

    /// The job takes no room any more; tells whose it took.
    pub fn remove(&mut self, job: &JobId) -> Option<(ProjectId, Option<Group>)> {
        let (project, group) = self.jobs.remove(job)?;
        one_less(&mut self.projects, &project);
        if let Some(group) = &group {
            one_less(&mut self.groups, group);
        }
        Some((project, group))
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

fn one_less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
