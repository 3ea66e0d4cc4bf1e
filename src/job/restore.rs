//! Decides whether a job's file is one, and what a job becomes that is put back to what it was. Reads no clock and no disk.
//!
//! No lease is ever brought back, and no attempt's number is used twice: an agent that was told to stop stays stopped, and
//! a log stays the log of one attempt.

use super::lifecycle::waiting_again;
use super::new;
use super::types::{Job, JobState};
use crate::clock::Time;
use crate::id::ProjectId;
use crate::state::layout::place::Place;

/// Says what is wrong with a job that stands at this place of this project, if something is.
pub fn misplaced(project: &ProjectId, place: &Place, job: &Job) -> Option<String> {
    let held = matches!(job.state, JobState::Claimed | JobState::Running);
    match place {
        _ if job.project_id != *project => Some(format!("it says projectId: {}", job.project_id)),
        _ if job.job_id.tag() != project.tag() => {
            Some(format!("it says jobId: {}, and that id was made for another project", job.job_id))
        }
        Place::OpenJob(id) | Place::DoneJob(id, _) if *id != job.job_id => {
            Some(format!("it says jobId: {}", job.job_id))
        }
        _ if job.needs.contains(&job.job_id) => Some("it needs itself".to_owned()),
        Place::OpenJob(_) if job.state.has_ended() => {
            Some(format!("it says state: {}, and open jobs have not ended", job.state))
        }
        Place::DoneJob(..) if !job.state.has_ended() => {
            Some(format!("it says state: {}, and jobs in jobs/done have ended", job.state))
        }
        Place::DoneJob(_, day) if job.ended_at.map(Time::day).as_ref() != Some(day) => {
            Some(format!("it stands under {day}, which is not the day of its endedAt"))
        }
        _ if held != job.lease.is_some() => {
            let has = if held { "has no" } else { "has a" };
            Some(format!("a job that is {} {has} lease", job.state))
        }
        _ => None,
    }
}

/// Says what a job's file may not ask for, whatever its type; payloads are the agents' to change.
pub fn beyond_limits(job: &Job) -> Option<String> {
    new::check_limits(job.timeout_seconds, &job.labels, &job.needs).err().map(|why| why.to_string())
}

/// The job as it was `then`, for a project where it is `known` now, if it is there.
///
/// What had ended is as it had ended. What waited or was held waits, with the attempts since counted.
pub fn put_back(then: &Job, known: Option<&Job>, now: Time) -> Result<Job, String> {
    if let Some(known) = known
        && matches!(known.state, JobState::Claimed | JobState::Running)
    {
        let agent = known.claimed_by.as_ref().map_or("an agent".to_owned(), ToString::to_string);
        return Err(format!(
            "it is {} by {agent}; cancel it first, and put it back when it has ended",
            known.state
        ));
    }
    if then.state.has_ended() { ended_again(then, known, now) } else { Ok(pending_again(then, known, now)) }
}

fn ended_again(then: &Job, known: Option<&Job>, now: Time) -> Result<Job, String> {
    let ran_since = known.and_then(|known| {
        let earlier = known.earlier.iter().map(|earlier| earlier.attempt);
        earlier.chain(known.claimed_at.map(|_| known.attempt)).find(|attempt| *attempt > then.attempt)
    });
    match ran_since {
        Some(attempt) => Err(format!(
            "attempt {attempt} has run since, and its log would belong to nothing; retry the job instead"
        )),
        None => Ok(Job { lease: None, cancel_requested: false, updated_at: now, ..then.clone() }),
    }
}

/// Its words of then, with the count of attempts that goes on from now.
fn pending_again(then: &Job, known: Option<&Job>, now: Time) -> Job {
    let last = known.unwrap_or(then);
    let counted = if last.state == JobState::Pending { last.clone() } else { waiting_again(last) };
    Job {
        priority: then.priority,
        labels: then.labels.clone(),
        needs: then.needs.clone(),
        needs_met_at: then.needs_met_at,
        concurrency_group: then.concurrency_group.clone(),
        schedule: then.schedule.clone(),
        payload: then.payload.clone(),
        timeout_seconds: then.timeout_seconds,
        created_at: then.created_at,
        updated_at: now,
        ..counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IdMaker;
    use crate::job::lifecycle::{Event, Outcome, next};
    use crate::job::types::Lease;
    use crate::job::{JobType, NewJob};
    use crate::state::layout;

    fn at(second: u64) -> Time {
        Time::from_millis(1_763_663_400_000 + second * 1000)
    }

    fn project() -> ProjectId {
        "mrx-a".parse().unwrap()
    }

    fn pending() -> Job {
        let new = NewJob {
            project: project(),
            kind: JobType::Build,
            payload: Default::default(),
            priority: 3,
            labels: Vec::new(),
            timeout_seconds: 60,
            needs: Vec::new(),
            concurrency_group: None,
        };
        new::pending(new, &IdMaker::new(), at(0))
    }

    fn claimed(job: &Job, second: u64) -> Job {
        let lease = Lease { id: IdMaker::new().lease(at(second)), request: None, secrets_redeemed_at: None };
        next(job, Event::Claimed { agent: "builder-1".parse().unwrap(), lease }, at(second)).unwrap()
    }

    fn failed(job: &Job, second: u64) -> Job {
        let failure = crate::job::Failure {
            code: "stepFailed".to_owned(),
            message: "no".to_owned(),
            details: Default::default(),
        };
        let event =
            Event::Finished { outcome: Outcome::Failed(failure), report: Default::default(), log: None };
        next(job, event, at(second)).unwrap()
    }

    #[test]
    fn a_job_that_was_held_waits_again_as_its_next_attempt() {
        let held = claimed(&pending(), 1);
        let back = put_back(&held, Some(&failed(&held, 2)), at(9)).unwrap();
        assert_eq!(
            (back.state, back.attempt, back.lease, back.claimed_by),
            (JobState::Pending, 2, None, None)
        );
        assert_eq!(back.earlier.len(), 1, "the attempt that ran is remembered");
        assert_eq!((back.ended_at, back.failure, back.updated_at), (None, None, at(9)));
        // Also where nothing is left of it.
        let back = put_back(&held, None, at(9)).unwrap();
        assert_eq!((back.state, back.attempt, back.lease), (JobState::Pending, 2, None));
    }

    #[test]
    fn a_job_that_waits_gets_its_words_back() {
        let then = pending();
        let known = Job { priority: 9, timeout_seconds: 7, ..then.clone() };
        let back = put_back(&then, Some(&known), at(9)).unwrap();
        assert_eq!((back.priority, back.timeout_seconds, back.attempt), (3, 60, 1));
    }

    #[test]
    fn an_ended_job_is_as_it_had_ended_unless_it_has_run_since() {
        let ended = failed(&claimed(&pending(), 1), 2);
        let retried = next(&ended, Event::Retried, at(3)).unwrap();
        let back = put_back(&ended, Some(&retried), at(9)).unwrap();
        assert_eq!((back.state, back.attempt, back.ended_at), (JobState::Failed, 1, Some(at(2))));
        let again = failed(&claimed(&retried, 4), 5);
        let refused = put_back(&ended, Some(&again), at(9)).unwrap_err();
        assert!(refused.starts_with("attempt 2 has run since"), "{refused}");
    }

    #[test]
    fn a_job_that_an_agent_has_is_not_put_back() {
        let held = claimed(&pending(), 1);
        let refused = put_back(&pending(), Some(&held), at(9)).unwrap_err();
        assert!(refused.contains("builder-1") && refused.contains("cancel it first"), "{refused}");
    }

    #[test]
    fn a_file_must_be_where_its_job_belongs() {
        let (open, ended) = (pending(), failed(&claimed(&pending(), 1), 2));
        let place = |path: String| Place::of(&path).unwrap();
        let (is_open, is_done) =
            (place(layout::open_job(&open.job_id)), place(layout::done_job(&ended.job_id, at(2))));
        assert_eq!(misplaced(&project(), &is_open, &open), None);
        assert_eq!(misplaced(&project(), &is_done, &ended), None);
        let other_day = place(layout::done_job(&ended.job_id, at(200_000)));
        for (place, job) in [
            (&is_done, &Job { job_id: ended.job_id.clone(), ..open.clone() }),
            (&other_day, &ended),
            (&is_open, &ended),
            (&is_open, &Job { project_id: "mrx-b".parse().unwrap(), ..open.clone() }),
            (&is_open, &Job { state: JobState::Running, ..open.clone() }),
            (&is_open, &Job { lease: claimed(&open, 1).lease, ..open.clone() }),
        ] {
            assert!(misplaced(&project(), place, job).is_some(), "{job:?}");
        }
    }
}
