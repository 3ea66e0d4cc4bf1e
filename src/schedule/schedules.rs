//! Every change of a schedule, and the round that makes the jobs that are due; committed once through [`crate::state`].

use std::sync::Arc;
use std::time::Duration;

use super::due;
use super::error::ScheduleError;
use super::known::{KnownSchedules, Timetable, check_schedule};
use super::types::Schedule;
use crate::clock::{Clock, Time};
use crate::id::{IdMaker, JobId, ProjectId, ScheduleName};
use crate::job::jobs::check_size;
use crate::job::{Job, new};
use crate::project::Registry;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::oid::Oid;
use crate::state::repo::{Decision, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::{Done, EngineError, State};
use crate::state::yaml::BadFile;

/// Schedules of one project: each is looked at when the project is read, and all are one answer.
pub(crate) const SCHEDULES_MAX: usize = 100;
/// Files read of a folder of the past; pushed ones may be more than the API makes.
const FILES_READ_MAX: usize = 1_000;
/// Schedules that one round runs at most, so that the rounds behind it come; the next is a second later.
const ROUND_MAX: usize = 1000;
/// When a schedule is looked at again that is due and could not run: its project is in the trash, or cannot be read.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The schedules of all projects. A clone is the same.
#[derive(Clone)]
pub struct Schedules {
    state: State,
    clock: Clock,
    ids: Arc<IdMaker>,
    registry: Registry,
    timetable: Timetable,
}

impl Schedules {
    /// Over this state; `timetable` is filled by the projection [`KnownSchedules`].
    pub fn new(state: State, clock: Clock, registry: Registry, timetable: Timetable) -> Self {
        Self { state, clock, ids: Arc::new(IdMaker::new()), registry, timetable }
    }

    /// All schedules of a project, by name.
    pub async fn list(&self, project: &ProjectId) -> Result<Vec<Schedule>, ScheduleError> {
        let ask = |view: &mut View<'_>| {
            view.get::<KnownSchedules>().iter().map(|schedule| due::shown(schedule)).collect()
        };
        Ok(self.state.read(&RepoName::Project(project.clone()), ask).await?)
    }

    /// The schedule of this name.
    pub async fn get(&self, project: &ProjectId, name: &ScheduleName) -> Result<Schedule, ScheduleError> {
        let ask = |view: &mut View<'_>| find(view, name).map(|schedule| due::shown(&schedule));
        self.state.read(&RepoName::Project(project.clone()), ask).await?
    }

    /// The files of a project that should be schedules and are none.
    pub async fn quarantined(&self, project: &ProjectId) -> Result<Vec<BadFile>, ScheduleError> {
        let ask = |view: &mut View<'_>| view.get::<KnownSchedules>().quarantined().cloned().collect();
        Ok(self.state.read(&RepoName::Project(project.clone()), ask).await?)
    }

    /// All schedules of a project as they were at a commit, by name; those that could not be read are left out.
    pub async fn list_at(&self, project: &ProjectId, commit: Oid) -> Result<Vec<Schedule>, ScheduleError> {
        let (read, _) = self.read_at(project, commit).await?;
        Ok(read.iter().map(due::shown).collect())
    }

    /// The schedule of this name as it was at a commit.
    pub async fn get_at(
        &self,
        project: &ProjectId,
        commit: Oid,
        name: &ScheduleName,
    ) -> Result<Schedule, ScheduleError> {
        let (read, bad) = self.read_at(project, commit).await?;
        if let Some(bad) = bad.into_iter().find(|bad| bad.path == layout::schedule(name)) {
            return Err(bad.into());
        }
        let found = read.into_iter().find(|schedule| schedule.name == *name);
        found.map(|schedule| due::shown(&schedule)).ok_or_else(|| ScheduleError::Unknown(name.clone()))
    }

    /// The files of a project that should have been schedules at a commit and were none.
    pub async fn quarantined_at(
        &self,
        project: &ProjectId,
        commit: Oid,
    ) -> Result<Vec<BadFile>, ScheduleError> {
        Ok(self.read_at(project, commit).await?.1)
    }

    async fn read_at(
        &self,
        project: &ProjectId,
        commit: Oid,
    ) -> Result<(Vec<Schedule>, Vec<BadFile>), ScheduleError> {
        let of = project.clone();
        let read = move |snapshot: &Snapshot| -> Result<_, ScheduleError> {
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            for read in
                snapshot.entities::<Schedule>(layout::SCHEDULES, FILES_READ_MAX).map_err(EngineError::from)?
            {
                match read.and_then(|schedule| checked(&of, schedule)) {
                    Ok(schedule) => good.push(schedule),
                    Err(broken) => bad.push(broken),
                }
            }
            Ok((good, bad))
        };
        self.state.read_at(&RepoName::Project(project.clone()), commit, read).await
    }

    /// Makes a schedule. Its next time is counted from now.
    pub async fn create(
        &self,
        project: &ProjectId,
        schedule: Schedule,
        actor: Actor,
    ) -> Result<Done<Arc<Schedule>>, ScheduleError> {
        new::accepts(&self.registry, project)?;
        self.check(project, &schedule)?;
        let schedule = Arc::new(due::counted_from(schedule, self.clock.now()));
        let decide = |view: &mut View<'_>| -> Result<_, ScheduleError> {
            let (known, name) = (view.get::<KnownSchedules>(), &schedule.name);
            if let Some(bad) = known.find_bad(name) {
                return Err(bad.clone().into());
            }
            match known.iter().count() {
                _ if known.find(name).is_some() => return Err(ScheduleError::Exists(name.clone())),
                count if count >= SCHEDULES_MAX => return Err(ScheduleError::TooMany(count)),
                _ => {}
            }
            let what = format!("made, {} {}", schedule.cron, schedule.time_zone);
            Ok(Decision::commit(change_of(&schedule, &what, "schedule.created", actor), schedule))
        };
        self.state.change(&RepoName::Project(project.clone()), decide).await
    }

    /// Changes a schedule. If that changes its times, the next one is counted from now.
    pub async fn edit(
        &self,
        project: &ProjectId,
        name: &ScheduleName,
        edit: impl FnOnce(Schedule) -> Schedule,
        actor: Actor,
    ) -> Result<Done<Arc<Schedule>>, ScheduleError> {
        let now = self.clock.now();
        let decide = |view: &mut View<'_>| -> Result<_, ScheduleError> {
            let known = find(view, name)?;
            let next = edit(Schedule::clone(&known));
            if next == *known {
                return Ok(Decision::nothing(Arc::new(due::shown(&known))));
            }
            self.check(project, &next)?;
            let timed_by = |of: &Schedule| (of.cron.clone(), of.time_zone, of.enabled);
            let is_timed_anew = timed_by(&next) != timed_by(&known);
            let next = Schedule { updated_at: Some(now), ..next };
            let next = Arc::new(if is_timed_anew { due::counted_from(next, now) } else { due::shown(&next) });
            Ok(Decision::commit(change_of(&next, "edited", "schedule.edited", actor), next))
        };
        self.state.change(&RepoName::Project(project.clone()), decide).await
    }

    /// Removes a schedule, also one whose file is broken. Jobs that it made stay.
    pub async fn remove(
        &self,
        project: &ProjectId,
        name: &ScheduleName,
        actor: Actor,
    ) -> Result<Done<()>, ScheduleError> {
        let decide = |view: &mut View<'_>| -> Result<_, ScheduleError> {
            let known = view.get::<KnownSchedules>();
            if known.find(name).is_none() && known.find_bad(name).is_none() {
                return Err(ScheduleError::Unknown(name.clone()));
            }
            let edits = vec![Edit::remove(layout::schedule(name))];
            let change = change(format!("schedule {name}: removed"), "schedule.removed", actor, edits);
            Ok(Decision::commit(change, ()))
        };
        self.state.change(&RepoName::Project(project.clone()), decide).await
    }

    /// Makes the job of every schedule that is due; tells how many. One that cannot run is looked at again in a minute,
    /// and stops no other.
    pub async fn run_due(&self) -> usize {
        let now = self.clock.now();
        let mut made = 0;
        for key in self.timetable.due(now, ROUND_MAX) {
            match self.run(&key.0, &key.1, now).await {
                Ok(Some(_)) => made += 1,
                Ok(None) => self.timetable.postpone(&key, now, now.after(LOOK_AGAIN)),
                Err(ScheduleError::Engine(EngineError::NoRepo(_))) => self.timetable.forget(&key.0),
                Err(error) => {
                    tracing::error!(project = %key.0, schedule = %key.1, %error, "a schedule did not run; it is tried again in a minute");
                    self.timetable.postpone(&key, now, now.after(LOOK_AGAIN));
                }
            }
        }
        made
    }

    /// Makes the job of one schedule, and notes that it ran, in one commit; `None` if it is not due or its project takes
    /// no jobs.
    async fn run(
        &self,
        project: &ProjectId,
        name: &ScheduleName,
        now: Time,
    ) -> Result<Option<JobId>, ScheduleError> {
        if new::accepts(&self.registry, project).is_err() {
            return Ok(None);
        }
        let id = self.ids.job(project, now);
        let decide = |view: &mut View<'_>| -> Result<_, ScheduleError> {
            let known = view.get::<KnownSchedules>().find(name).cloned();
            let ran = known.as_deref().and_then(|schedule| due::run(schedule, id.clone(), now));
            let Some(ran) = ran else { return Ok(Decision::nothing(None)) };
            let job = new::with_id(ran.job_of(project), id.clone(), now);
            let job = Arc::new(Job { schedule: Some(name.clone()), ..job });
            let subject = format!("job {id}: pending {}, by schedule {name}", job.kind.word());
            let edits =
                vec![Edit::put(layout::open_job(&id), job), Edit::put(layout::schedule(name), Arc::new(ran))];
            Ok(Decision::commit(change(subject, "job.created", Actor::daemon(), edits), Some(id)))
        };
        Ok(self.state.change(&RepoName::Project(project.clone()), decide).await?.answer)
    }

    /// Refuses what could not run: a time that never comes, a job that could not be made.
    fn check(&self, project: &ProjectId, schedule: &Schedule) -> Result<(), ScheduleError> {
        let now = self.clock.now();
        if schedule.cron.after(now, schedule.time_zone).is_none() {
            return Err(ScheduleError::Never(schedule.cron.to_string()));
        }
        let new = schedule.job_of(project);
        new::check(&new)?;
        Ok(check_size(&new::pending(new, &self.ids, now))?)
    }
}

/// The schedule, if it stands in the file of its name and could run.
fn checked(project: &ProjectId, schedule: Schedule) -> Result<Schedule, BadFile> {
    let path = layout::schedule(&schedule.name);
    match check_schedule(project, &schedule, &path) {
        Some(cause) => Err(BadFile { path, kind: "schedule", cause }),
        None => Ok(schedule),
    }
}

fn find(view: &View<'_>, name: &ScheduleName) -> Result<Arc<Schedule>, ScheduleError> {
    let known = view.get::<KnownSchedules>();
    match known.find_bad(name) {
        Some(bad) => Err(bad.clone().into()),
        None => known.find(name).cloned().ok_or_else(|| ScheduleError::Unknown(name.clone())),
    }
}

fn change_of(schedule: &Arc<Schedule>, what: &str, event: &'static str, actor: Actor) -> Change {
    let edits = vec![Edit::put(layout::schedule(&schedule.name), schedule.clone())];
    change(format!("schedule {}: {what}", schedule.name), event, actor, edits)
}

fn change(subject: String, event: &'static str, actor: Actor, edits: Vec<Edit>) -> Change {
    Change { branch: STATE_REF.into(), subject, event, actor, request: None, edits }
}
