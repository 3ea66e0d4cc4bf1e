//! Decides what an event does to a job. Reads no clock and no disk; the whole life is one `match`.

use super::types::{Earlier, Failure, Job, JobState, Lease, LogSum};
use crate::clock::Time;
use crate::id::AgentId;
use crate::state::object::Object;

/// A job that nobody asked to run again is given up after this many attempts: it takes its agents with it.
const ATTEMPTS_MAX: u32 = 10;
/// How many earlier attempts a job's file remembers; logs of older ones are found by nobody.
const EARLIER_MAX: usize = 32;

/// What can happen to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An agent takes it.
    Claimed {
        /// Who.
        agent: AgentId,
        /// With which lease.
        lease: Lease,
    },
    /// All the jobs it needs have completed.
    NeedsMet,
    /// A job it needs has failed, or is gone.
    NeedFailed(Failure),
    /// Its agent begins, or says how far it is.
    Reported(Report),
    /// Its agent ends it.
    Finished {
        /// How.
        outcome: Outcome,
        /// What it says besides.
        report: Report,
        /// What its log is.
        log: Option<LogSum>,
    },
    /// Its agent has not been heard of for the time of a lease.
    LeaseExpired,
    /// It runs longer than it may.
    TimedOut,
    /// Somebody asks for it to end.
    CancelAsked,
    /// Somebody asks for it to run again.
    Retried,
    /// Somebody takes it from its agent, so that it waits again.
    Released,
    /// Somebody ends it in its agent's place.
    Settled(Outcome),
}

/// What an agent says of a job that goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Whether it has begun.
    pub running: bool,
    /// How far it is.
    pub progress: Option<String>,
    /// What changes in the payload, name by name.
    pub payload_delta: Option<Object>,
    /// What came of it so far.
    pub result: Option<Object>,
}

/// How an agent ends a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Completed,
    /// It could not be done.
    Failed(Failure),
    /// It was stopped because somebody asked for it.
    Cancelled,
}

/// Why an event does nothing to a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// Only a job that waits can be claimed.
    #[error("the job is {0}, and only a pending job can be claimed")]
    NotPending(JobState),
    /// It waits for the jobs that it needs.
    #[error("the job waits for jobs that it needs, and can be claimed when they have completed")]
    Blocked,
    /// It does not wait for other jobs.
    #[error("the job is {0} and waits for no other job")]
    NotBlocked(JobState),
    /// Nobody has the job, so nobody can report on it.
    #[error("the job is {0}: no agent holds it")]
    NotHeld(JobState),
    /// It has ended already.
    #[error("the job has ended as {0}")]
    Ended(JobState),
    /// Only an ended job can be retried.
    #[error("the job is {0}; cancel it first, or wait until it ends")]
    NotEnded(JobState),
}

/// The job after `event`, at `now`.
pub fn next(job: &Job, event: Event, now: Time) -> Result<Job, MoveError> {
    use JobState::{Cancelled, Claimed, Completed, Failed, Pending, Running};
    let state = job.state;
    let next = match (state, event) {
        (Pending, Event::Claimed { .. }) if job.is_blocked() => return Err(MoveError::Blocked),
        (Pending, Event::Claimed { agent, lease }) => claimed(job, agent, lease, now),
        (Pending, Event::NeedsMet) if job.is_blocked() => Job { needs_met_at: Some(now), ..job.clone() },
        (Pending, Event::NeedFailed(why)) if job.is_blocked() => ended(job, Failed, Some(why), now),
        (_, Event::NeedsMet | Event::NeedFailed(_)) => return Err(MoveError::NotBlocked(state)),
        (_, Event::Claimed { .. }) => return Err(MoveError::NotPending(state)),

        (Claimed | Running, Event::Reported(report)) => reported(job, report, now),
        (Claimed | Running, Event::Finished { outcome, report, log }) => {
            let told = reported(job, report, now);
            Job { log, ..ended_by(&told, outcome, now) }
        }
        (Pending, Event::Reported(_) | Event::Finished { .. }) => return Err(MoveError::NotHeld(state)),

        (Claimed | Running, Event::LeaseExpired) if job.cancel_requested => ended(job, Cancelled, None, now),
        (Claimed | Running, Event::LeaseExpired)
            if job.kind.is_repeatable() && job.attempt < ATTEMPTS_MAX =>
        {
            waiting_again(job)
        }
        (Claimed | Running, Event::LeaseExpired) => ended(job, Failed, Some(lease_expired(job)), now),
        (Claimed | Running, Event::TimedOut) => ended(job, Failed, Some(timed_out(job)), now),
        (Pending, Event::LeaseExpired | Event::TimedOut) => return Err(MoveError::NotHeld(state)),

        (Pending, Event::CancelAsked) => ended(job, Cancelled, None, now),
        (Claimed | Running, Event::CancelAsked) => Job { cancel_requested: true, ..job.clone() },

        (Claimed | Running, Event::Released) => waiting_again(job),
        (Pending, Event::Released) => return Err(MoveError::NotHeld(state)),
        (Pending | Claimed | Running, Event::Settled(outcome)) => ended_by(job, outcome, now),

        (Completed | Failed | Cancelled, Event::Retried) => waiting_again(job),
        (Pending | Claimed | Running, Event::Retried) => return Err(MoveError::NotEnded(state)),
        (Completed | Failed | Cancelled, _) => return Err(MoveError::Ended(state)),
    };
    Ok(Job { updated_at: now, ..next })
}

fn claimed(job: &Job, agent: AgentId, lease: Lease, now: Time) -> Job {
    Job {
        state: JobState::Claimed,
        claimed_by: Some(agent),
        lease: Some(lease),
        claimed_at: Some(now),
        ..job.clone()
    }
}

fn reported(job: &Job, report: Report, now: Time) -> Job {
    let begins = report.running && job.state == JobState::Claimed;
    Job {
        state: if report.running { JobState::Running } else { job.state },
        started_at: if begins { Some(now) } else { job.started_at },
        progress: report.progress.or_else(|| job.progress.clone()),
        payload: report.payload_delta.map_or_else(|| job.payload.clone(), |delta| job.payload.merged(&delta)),
        result: report.result.or_else(|| job.result.clone()),
        ..job.clone()
    }
}

fn ended_by(job: &Job, outcome: Outcome, now: Time) -> Job {
    match outcome {
        Outcome::Completed => ended(job, JobState::Completed, None, now),
        Outcome::Failed(failure) => ended(job, JobState::Failed, Some(failure), now),
        Outcome::Cancelled => ended(job, JobState::Cancelled, None, now),
    }
}

fn ended(job: &Job, state: JobState, failure: Option<Failure>, now: Time) -> Job {
    Job { state, failure, lease: None, cancel_requested: false, ended_at: Some(now), ..job.clone() }
}

/// Back in the queue for another attempt; what the last one said is in history, its log under its own number.
pub(super) fn waiting_again(job: &Job) -> Job {
    Job {
        state: JobState::Pending,
        attempt: job.attempt.saturating_add(1),
        earlier: with_this_attempt(job),
        claimed_by: None,
        lease: None,
        cancel_requested: false,
        progress: None,
        result: None,
        failure: None,
        log: None,
        claimed_at: None,
        started_at: None,
        ended_at: None,
        ..job.clone()
    }
}

fn with_this_attempt(job: &Job) -> Vec<Earlier> {
    let mut earlier = job.earlier.clone();
    if let (Some(claimed_by), Some(claimed_at)) = (job.claimed_by.clone(), job.claimed_at) {
        earlier.push(Earlier { attempt: job.attempt, claimed_by, claimed_at });
    }
    let forgotten = earlier.len().saturating_sub(EARLIER_MAX);
    earlier.split_off(forgotten)
}

fn lease_expired(job: &Job) -> Failure {
    let agent = job.claimed_by.as_ref().map_or("its agent", AgentId::as_str);
    let why = match job.kind.is_repeatable() {
        true => format!("attempt {} was the last one that is made without asking", job.attempt),
        false => format!("a {} job is not run again unless asked", job.kind.word()),
    };
    Failure {
        code: "leaseExpired".to_owned(),
        message: format!("{agent} was not heard of for the time of its lease; {why}"),
        details: Object::default(),
    }
}

fn timed_out(job: &Job) -> Failure {
    Failure {
        code: "timedOut".to_owned(),
        message: format!("it did not end within its {} seconds", job.timeout_seconds),
        details: Object::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IdMaker;
    use crate::job::JobType;

    const T0: u64 = 1_763_663_400_000;

    fn at(seconds: u64) -> Time {
        Time::from_millis(T0 + seconds * 1000)
    }

    fn pending(kind: JobType) -> Job {
        let project = "mrx-a".parse().unwrap();
        Job {
            job_id: IdMaker::new().job(&project, at(0)),
            project_id: project,
            kind,
            state: JobState::Pending,
            priority: 0,
            labels: Vec::new(),
            needs: Vec::new(),
            needs_met_at: None,
            concurrency_group: None,
            schedule: None,
            payload: Object::default(),
            attempt: 1,
            earlier: Vec::new(),
            timeout_seconds: 600,
            claimed_by: None,
            lease: None,
            cancel_requested: false,
            progress: None,
            result: None,
            failure: None,
            log: None,
            created_at: at(0),
            updated_at: at(0),
            claimed_at: None,
            started_at: None,
            ended_at: None,
        }
    }

    fn claim() -> Event {
        Event::Claimed {
            agent: "builder-1".parse().unwrap(),
            lease: Lease { id: IdMaker::new().lease(at(1)), request: None, secrets_redeemed_at: None },
        }
    }

    fn running(kind: JobType) -> Job {
        let claimed = next(&pending(kind), claim(), at(1)).unwrap();
        next(&claimed, Event::Reported(Report { running: true, ..Report::default() }), at(2)).unwrap()
    }

    fn done(outcome: Outcome) -> Event {
        Event::Finished { outcome, report: Report::default(), log: None }
    }

    #[test]
    fn a_job_goes_from_pending_over_claimed_and_running_to_completed() {
        let job = running(JobType::Build);
        assert_eq!((job.claimed_at, job.started_at), (Some(at(1)), Some(at(2))));
        let job = next(&job, done(Outcome::Completed), at(3)).unwrap();
        assert_eq!((job.state, job.lease, job.ended_at), (JobState::Completed, None, Some(at(3))));
        assert_eq!(job.claimed_by.unwrap().as_str(), "builder-1");
    }

    #[test]
    fn a_silent_agents_build_fails_and_its_chat_waits_again() {
        let build = next(&running(JobType::Build), Event::LeaseExpired, at(99)).unwrap();
        assert_eq!((build.state, build.failure.unwrap().code.as_str()), (JobState::Failed, "leaseExpired"));
        let chat = next(&running(JobType::Chat), Event::LeaseExpired, at(99)).unwrap();
        assert_eq!((chat.state, chat.attempt, chat.claimed_by), (JobState::Pending, 2, None));
    }

    #[test]
    fn a_chat_whose_agents_keep_going_silent_is_given_up() {
        let mut job = pending(JobType::Chat);
        for attempt in 1..=ATTEMPTS_MAX {
            assert_eq!(
                (job.state, job.attempt, job.earlier.len()),
                (JobState::Pending, attempt, attempt as usize - 1)
            );
            job = next(&next(&job, claim(), at(1)).unwrap(), Event::LeaseExpired, at(99)).unwrap();
        }
        assert_eq!((job.state, job.failure.unwrap().code.as_str()), (JobState::Failed, "leaseExpired"));
    }

    #[test]
    fn an_earlier_attempts_log_is_on_the_day_it_was_claimed() {
        const DAY: u64 = 24 * 3600;
        let first = next(&pending(JobType::Build), claim(), at(DAY)).unwrap();
        let ended = next(&first, done(Outcome::Completed), at(DAY + 1)).unwrap();
        let second = next(&ended, Event::Retried, at(2 * DAY)).unwrap();
        assert_eq!(
            (second.log_day(1), second.log_day(2), second.log_day(3)),
            (Some(at(DAY).day()), None, None)
        );
        let second = next(&second, claim(), at(3 * DAY)).unwrap();
        assert_eq!((second.log_day(1), second.log_day(2)), (Some(at(DAY).day()), Some(at(3 * DAY).day())));
    }

    #[test]
    fn a_cancelled_job_ends_at_once_when_it_waits_and_by_its_agent_when_it_runs() {
        let waiting = next(&pending(JobType::Chat), Event::CancelAsked, at(1)).unwrap();
        assert_eq!(waiting.state, JobState::Cancelled);
        let told = next(&running(JobType::Chat), Event::CancelAsked, at(3)).unwrap();
        assert_eq!((told.state, told.cancel_requested), (JobState::Running, true));
        assert_eq!(next(&told, done(Outcome::Cancelled), at(4)).unwrap().state, JobState::Cancelled);
        assert_eq!(next(&told, Event::LeaseExpired, at(99)).unwrap().state, JobState::Cancelled);
    }

    #[test]
    fn an_ended_job_stays_as_it_is_until_somebody_retries_it() {
        let ended = next(&running(JobType::Build), done(Outcome::Completed), at(3)).unwrap();
        for event in
            [claim(), Event::CancelAsked, Event::LeaseExpired, Event::TimedOut, done(Outcome::Cancelled)]
        {
            assert!(next(&ended, event, at(4)).is_err());
        }
        let again = next(&ended, Event::Retried, at(4)).unwrap();
        assert_eq!((again.state, again.attempt, again.ended_at), (JobState::Pending, 2, None));
    }

    #[test]
    fn a_job_with_needs_is_claimed_only_when_they_are_met_and_ends_when_one_fails() {
        let need = IdMaker::new().job(&"mrx-a".parse().unwrap(), at(0));
        let blocked = Job { needs: vec![need], ..pending(JobType::Build) };
        assert_eq!(next(&blocked, claim(), at(1)), Err(MoveError::Blocked));
        let ready = next(&blocked, Event::NeedsMet, at(1)).unwrap();
        assert_eq!((ready.state, ready.needs_met_at), (JobState::Pending, Some(at(1))));
        assert_eq!(next(&ready, claim(), at(2)).unwrap().state, JobState::Claimed);
        let why = Failure { code: "needFailed".into(), message: "x".into(), details: Object::default() };
        let failed = next(&blocked, Event::NeedFailed(why.clone()), at(1)).unwrap();
        assert_eq!((failed.state, failed.failure.clone()), (JobState::Failed, Some(why.clone())));
        assert!(next(&failed, Event::Retried, at(2)).unwrap().is_blocked(), "its needs are looked at again");
        assert_eq!(
            next(&ready, Event::NeedFailed(why), at(2)),
            Err(MoveError::NotBlocked(JobState::Pending))
        );
    }

    #[test]
    fn a_claimed_job_is_not_claimed_again() {
        let job = next(&pending(JobType::Build), claim(), at(1)).unwrap();
        assert_eq!(next(&job, claim(), at(2)), Err(MoveError::NotPending(JobState::Claimed)));
    }

    #[test]
    fn a_stuck_job_is_taken_from_its_agent_or_ended_in_its_place() {
        let stuck = running(JobType::Build);
        let again = next(&stuck, Event::Released, at(5)).unwrap();
        assert_eq!((again.state, again.attempt, again.lease.as_ref()), (JobState::Pending, 2, None));
        assert_eq!(next(&again, Event::Released, at(6)), Err(MoveError::NotHeld(JobState::Pending)));
        for job in [&stuck, &again] {
            let ended = next(job, Event::Settled(Outcome::Completed), at(6)).unwrap();
            assert_eq!((ended.state, ended.ended_at), (JobState::Completed, Some(at(6))));
            assert!(next(&ended, Event::Settled(Outcome::Completed), at(7)).is_err());
        }
    }

    #[test]
    fn a_job_reads_back_from_its_file_as_it_was_written() {
        for job in [pending(JobType::Chat), running(JobType::IndexRebuild)] {
            let file = crate::state::yaml::write(&job);
            assert_eq!(crate::state::yaml::read::<Job>("job.yaml", "job", &file), Ok(job));
        }
    }
}
