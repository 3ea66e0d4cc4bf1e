//! A project's schedules in memory, and the next times of all projects, whether these are in memory or not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::due;
use super::types::Schedule;
use crate::clock::Time;
use crate::id::{ProjectId, ScheduleName};
use crate::job::new;
use crate::state::edit::{Edit, Projection};
use crate::state::layout;
use crate::state::yaml::BadFile;

type Key = (ProjectId, ScheduleName);

/// When each schedule of each project runs next. A clone is the same table.
///
/// It stays when a project leaves memory: only the daemon writes the files, so it goes on being what they say.
#[derive(Clone, Default)]
pub struct Timetable(Arc<Mutex<Times>>);

#[derive(Default)]
struct Times {
    by_time: BTreeSet<(Time, Key)>,
    by_key: HashMap<Key, Time>,
}

impl Timetable {
    /// The schedule runs next at this time, or never.
    pub fn set(&self, key: Key, next: Option<Time>) {
        let mut times = self.0.lock();
        if let Some(before) = times.by_key.remove(&key) {
            times.by_time.remove(&(before, key.clone()));
        }
        if let Some(next) = next {
            times.by_time.insert((next, key.clone()));
            times.by_key.insert(key, next);
        }
    }

    /// The schedules whose time has come, the longest due first, at most so many.
    pub fn due(&self, now: Time, most: usize) -> Vec<Key> {
        let times = self.0.lock();
        times
            .by_time
            .iter()
            .take_while(|(time, _)| *time <= now)
            .take(most)
            .map(|(_, key)| key.clone())
            .collect()
    }

    /// A schedule that is due could not run: it is looked at again then.
    pub fn postpone(&self, key: &Key, now: Time, until: Time) {
        let is_due = self.0.lock().by_key.get(key).is_some_and(|time| *time <= now);
        if is_due {
            self.set(key.clone(), Some(until));
        }
    }

    /// The project is no more.
    pub fn forget(&self, project: &ProjectId) {
        let mut times = self.0.lock();
        times.by_time.retain(|(_, (of, _))| of != project);
        times.by_key.retain(|(of, _), _| of != project);
    }
}

/// The schedules of one project.
pub struct KnownSchedules {
    project: ProjectId,
    schedules: BTreeMap<ScheduleName, Arc<Schedule>>,
    quarantined: BTreeMap<String, BadFile>,
    timetable: Timetable,
}

impl KnownSchedules {
    /// None yet; they arrive as edits.
    pub fn new(project: ProjectId, timetable: Timetable) -> Self {
        Self { project, schedules: BTreeMap::new(), quarantined: BTreeMap::new(), timetable }
    }

    /// The schedule of this name.
    pub fn find(&self, name: &ScheduleName) -> Option<&Arc<Schedule>> {
        self.schedules.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Schedule>> {
        self.schedules.values()
    }

    /// Files under `schedules/` that are no valid schedules, and why; the others run without them.
    pub fn quarantined(&self) -> impl Iterator<Item = &BadFile> {
        self.quarantined.values()
    }

    /// What is wrong with the file of the schedule of this name, if something is.
    pub fn find_bad(&self, name: &ScheduleName) -> Option<&BadFile> {
        self.quarantined.get(&layout::schedule(name))
    }

    fn read(&self, edit: &Edit) -> Result<Option<Arc<Schedule>>, BadFile> {
        let schedule: Option<Arc<Schedule>> = edit.entity()?;
        let Some(found) = &schedule else { return Ok(None) };
        match check_schedule(&self.project, found, edit.path()) {
            Some(cause) => Err(BadFile { path: edit.path().to_owned(), kind: "schedule", cause }),
            None => Ok(schedule),
        }
    }

    fn set(&mut self, name: ScheduleName, schedule: Option<Arc<Schedule>>) {
        let next = schedule.as_deref().and_then(due::next_run);
        self.timetable.set((self.project.clone(), name.clone()), next);
        match schedule {
            Some(schedule) => self.schedules.insert(name, schedule),
            None => self.schedules.remove(&name),
        };
    }
}

/// Says what is wrong with a schedule whose file has this path, if something is.
pub(crate) fn check_schedule(project: &ProjectId, schedule: &Schedule, path: &str) -> Option<String> {
    if layout::schedule(&schedule.name) != path {
        return Some(format!("it says name: {}", schedule.name));
    }
    new::check(&schedule.job_of(project)).err().map(|why| why.to_string())
}

impl Projection for KnownSchedules {
    fn lives_from(&self) -> &'static [&'static str] {
        &[layout::SCHEDULES]
    }

    fn apply(&mut self, edit: &Edit) {
        self.quarantined.remove(edit.path());
        let name = layout::schedule_name(edit.path());
        let schedule = self.read(edit).unwrap_or_else(|bad| {
            tracing::error!(project = %self.project, %bad, "a schedule's file is put in quarantine; the others run without it");
            self.quarantined.insert(edit.path().to_owned(), bad);
            None
        });
        if let Some(name) = name {
            self.set(name, schedule);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(project: &str, name: &str) -> Key {
        (project.parse().unwrap(), name.parse().unwrap())
    }

    #[test]
    fn what_is_due_comes_in_the_order_of_time_and_a_set_time_replaces_the_one_before() {
        let (table, at) = (Timetable::default(), Time::from_millis);
        table.set(key("mrx-a", "x"), Some(at(30)));
        table.set(key("mrx-b", "y"), Some(at(20)));
        table.set(key("mrx-a", "z"), Some(at(99)));
        assert_eq!(table.due(at(30), 9), [key("mrx-b", "y"), key("mrx-a", "x")]);
        assert_eq!(table.due(at(30), 1), [key("mrx-b", "y")]);
        table.set(key("mrx-b", "y"), Some(at(40)));
        assert_eq!(table.due(at(30), 9), [key("mrx-a", "x")]);
        table.forget(&"mrx-a".parse().unwrap());
        assert_eq!(table.due(at(100), 9), [key("mrx-b", "y")]);
        table.set(key("mrx-b", "y"), None);
        assert!(table.due(at(100), 9).is_empty());
    }

    #[test]
    fn only_what_is_still_due_is_postponed() {
        let (table, at) = (Timetable::default(), Time::from_millis);
        table.set(key("mrx-a", "x"), Some(at(30)));
        table.postpone(&key("mrx-a", "x"), at(30), at(90));
        assert!(table.due(at(89), 9).is_empty());
        table.postpone(&key("mrx-a", "x"), at(40), at(200));
        assert_eq!(table.due(at(90), 9), [key("mrx-a", "x")]);
    }
}
