//! Decides what the first commit of a fork changes of the state that it starts from. Reads no clock and no disk.
//!
//! A fork has all that its source had at a commit but its secrets and webhooks; its schedules make no jobs and its jobs are
//! not handed out unless it runs, or begins to later. A job's id leads to one project, so in a fork that runs each open job is another one.

use std::collections::HashMap;
use std::sync::Arc;

use super::types::{ForkOf, ProjectFile};
use crate::clock::Time;
use crate::id::{IdMaker, JobId, ProjectId};
use crate::job::{Job, NewJob, new};
use crate::schedule::Schedule;
use crate::schedule::due;
use crate::state::edit::Edit;
use crate::state::layout;

/// What of the source's state a fork does not take as it is.
#[derive(Default)]
pub struct Inherited {
    /// The paths of its secrets and webhooks.
    pub withheld: Vec<String>,
    /// Its schedules.
    pub schedules: Vec<Schedule>,
    /// Its open jobs, if the fork runs.
    pub jobs: Vec<Job>,
}

/// The edits of the first commit.
pub fn first_edits(id: &ProjectId, of: &ForkOf, inherited: Inherited, ids: &IdMaker, now: Time) -> Vec<Edit> {
    let file = ProjectFile { project_id: id.clone(), created_at: now, fork_of: Some(of.clone()) };
    let mut edits = vec![Edit::put(layout::PROJECT_FILE, Arc::new(file))];
    edits.extend(inherited.withheld.into_iter().map(Edit::remove));
    for schedule in inherited.schedules {
        let next = Schedule { enabled: schedule.enabled && of.run, ..schedule };
        edits.push(Edit::put(layout::schedule(&next.name), Arc::new(due::counted_from(next, now))));
    }
    edits.extend(made_anew(id, inherited.jobs, ids, now));
    edits
}

/// What a fork's state is, where its jobs are about to be handed out, or not any more.
pub struct Resting {
    /// Its file about itself.
    pub file: ProjectFile,
    /// The open jobs that it has from its source.
    pub inherited: Vec<Job>,
}

/// The edits by which a fork begins to run, or rests again; none if it does already. What it has from its source and was open
/// becomes its own, as in a fork that was made to run.
pub fn run_edits(id: &ProjectId, run: bool, known: Resting, ids: &IdMaker, now: Time) -> Vec<Edit> {
    let Some(of) = known.file.fork_of.as_ref().filter(|of| of.run != run) else { return Vec::new() };
    let file = ProjectFile { fork_of: Some(ForkOf { run, ..of.clone() }), ..known.file.clone() };
    let mut edits = vec![Edit::put(layout::PROJECT_FILE, Arc::new(file))];
    if run {
        edits.extend(made_anew(id, known.inherited, ids, now));
    }
    edits
}

/// Each open job as a job of the fork, in its first moment; those that it needs are the fork's too.
fn made_anew(id: &ProjectId, jobs: Vec<Job>, ids: &IdMaker, now: Time) -> Vec<Edit> {
    let names: HashMap<JobId, JobId> =
        jobs.iter().map(|job| (job.job_id.clone(), ids.job(id, now))).collect();
    let anew = |job: Job| {
        let new_id = names[&job.job_id].clone();
        let needs = job.needs.iter().map(|need| names.get(need).unwrap_or(need).clone()).collect();
        let new = NewJob {
            project: id.clone(),
            kind: job.kind,
            payload: job.payload,
            priority: job.priority,
            labels: job.labels,
            timeout_seconds: job.timeout_seconds,
            needs,
            concurrency_group: job.concurrency_group,
        };
        let mut made = new::with_id(new, new_id, now);
        (made.needs_met_at, made.schedule) = (job.needs_met_at, job.schedule);
        [
            Edit::remove(layout::open_job(&job.job_id)),
            Edit::put(layout::open_job(&made.job_id), Arc::new(made)),
        ]
    };
    jobs.into_iter().flat_map(anew).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobType;

    #[test]
    fn open_jobs_of_a_fork_that_runs_are_others_and_need_each_other_as_before() {
        let (source, fork): (ProjectId, ProjectId) = ("mrx-a".parse().unwrap(), "mrx-b".parse().unwrap());
        let (ids, now) = (IdMaker::new(), Time::from_millis(1_763_663_400_000));
        let ended = ids.job(&source, now);
        let job = |needs: Vec<JobId>| {
            let new = NewJob {
                project: source.clone(),
                kind: JobType::Build,
                payload: Default::default(),
                priority: 2,
                labels: Vec::new(),
                timeout_seconds: 60,
                needs,
                concurrency_group: None,
            };
            new::pending(new, &ids, now)
        };
        let first = job(vec![ended.clone()]);
        let second = job(vec![first.job_id.clone()]);
        let of = ForkOf { project: source.clone(), commit: crate::state::oid::Oid::ZERO, run: true };
        let inherited = Inherited { jobs: vec![first.clone(), second], ..Inherited::default() };
        let edits = first_edits(&fork, &of, inherited, &ids, now);
        let made: Vec<Arc<Job>> = edits.iter().skip(1).filter_map(|edit| edit.entity().unwrap()).collect();
        assert_eq!((edits.len(), made.len()), (5, 2));
        assert_eq!(made[0].needs, [ended], "what has ended is in the fork's files as it was");
        assert_eq!(made[1].needs, [made[0].job_id.clone()]);
        for job in &made {
            assert_eq!((&job.project_id, job.job_id.tag(), job.attempt), (&fork, fork.tag(), 1));
        }
        assert!(edits[1].is_gone() && edits[1].path() == layout::open_job(&first.job_id));
    }

    #[test]
    fn a_fork_that_begins_to_run_takes_over_what_was_open_and_what_is_so_already_changes_nothing() {
        let (source, fork): (ProjectId, ProjectId) = ("mrx-a".parse().unwrap(), "mrx-b".parse().unwrap());
        let (ids, now) = (IdMaker::new(), Time::from_millis(1_763_663_400_000));
        let new = NewJob {
            project: source.clone(),
            kind: JobType::Build,
            payload: Default::default(),
            priority: 0,
            labels: Vec::new(),
            timeout_seconds: 60,
            needs: Vec::new(),
            concurrency_group: None,
        };
        let inherited = new::pending(new, &ids, now);
        let resting = |run: bool| Resting {
            file: ProjectFile {
                project_id: fork.clone(),
                created_at: now,
                fork_of: Some(ForkOf { project: source.clone(), commit: crate::state::oid::Oid::ZERO, run }),
            },
            inherited: vec![inherited.clone()],
        };
        let edits = run_edits(&fork, true, resting(false), &ids, now);
        let file: Arc<ProjectFile> = edits[0].entity().unwrap().unwrap();
        assert!(edits[0].path() == layout::PROJECT_FILE && file.fork_of.as_ref().is_some_and(|of| of.run));
        assert!(edits[1].is_gone() && edits[1].path() == layout::open_job(&inherited.job_id));
        let made: Arc<Job> = edits[2].entity().unwrap().unwrap();
        assert_eq!((&made.project_id, made.job_id.tag(), edits.len()), (&fork, fork.tag(), 3));
        assert_eq!(run_edits(&fork, false, resting(true), &ids, now).len(), 1, "its jobs stay its own");
        assert!(run_edits(&fork, true, resting(true), &ids, now).is_empty());
        assert!(run_edits(&fork, false, resting(false), &ids, now).is_empty());
    }
}
