//! Decides when a schedule runs next, and what running makes of it. Reads no clock and no disk.
//!
//! Times that were missed, because the daemon or the project was away, are made up for by one job, not one each.

use super::types::Schedule;
use crate::clock::Time;
use crate::id::JobId;

/// When the schedule makes its next job; `None` if it is off or no time comes.
pub fn next_run(schedule: &Schedule) -> Option<Time> {
    if !schedule.enabled {
        return None;
    }
    match schedule.next_run_at {
        Some(next) if schedule.cron.means(next, schedule.time_zone) => Some(next),
        // A person wrote the file, or changed the expression in it.
        _ => schedule.cron.after(schedule.last_run_at.unwrap_or(schedule.created_at), schedule.time_zone),
    }
}

/// The schedule once it has made this job at `now`; `None` if it is not due.
pub fn run(schedule: &Schedule, job: JobId, now: Time) -> Option<Schedule> {
    next_run(schedule).filter(|next| *next <= now)?;
    let ran = Schedule { last_run_at: Some(now), last_job: Some(job), ..schedule.clone() };
    Some(counted_from(ran, now))
}

/// The schedule with its next time counted from `now`, for one that is new or has changed its times.
pub fn counted_from(schedule: Schedule, now: Time) -> Schedule {
    let next_run_at = if schedule.enabled { schedule.cron.after(now, schedule.time_zone) } else { None };
    Schedule { next_run_at, ..schedule }
}

/// The schedule as answers show it: with its next time, also where its file has none.
pub fn shown(schedule: &Schedule) -> Schedule {
    Schedule { next_run_at: next_run(schedule), ..schedule.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IdMaker;
    use crate::job::JobType;
    use crate::state::object::Object;

    fn at(text: &str) -> Time {
        format!("2026-11-{text}:00.000Z").parse().unwrap()
    }

    fn daily() -> Schedule {
        Schedule {
            name: "nightly".parse().unwrap(),
            cron: "0 10 * * *".parse().unwrap(),
            time_zone: Default::default(),
            job_type: JobType::Build,
            payload: Object::default(),
            priority: 0,
            labels: Vec::new(),
            timeout_seconds: 600,
            concurrency_group: None,
            enabled: true,
            created_by: None,
            created_at: at("20T09:00"),
            updated_at: None,
            last_run_at: None,
            last_job: None,
            next_run_at: None,
        }
    }

    fn job() -> JobId {
        IdMaker::new().job(&"mrx-a".parse().unwrap(), at("20T09:00"))
    }

    #[test]
    fn it_is_due_at_its_first_time_and_then_not_before_the_next() {
        assert_eq!(next_run(&daily()), Some(at("20T10:00")));
        assert_eq!(run(&daily(), job(), at("20T09:59")), None);
        let ran = run(&daily(), job(), at("20T10:00")).unwrap();
        assert_eq!((ran.last_run_at, ran.next_run_at), (Some(at("20T10:00")), Some(at("21T10:00"))));
        assert_eq!(run(&ran, job(), at("20T10:01")), None);
    }

    #[test]
    fn missed_times_make_one_job() {
        let ran = run(&daily(), job(), at("25T17:00")).unwrap();
        assert_eq!(ran.next_run_at, Some(at("26T10:00")));
    }

    #[test]
    fn it_does_not_run_again_when_the_clock_steps_back() {
        let ran = run(&daily(), job(), at("20T10:00")).unwrap();
        assert_eq!(run(&ran, job(), at("20T09:59")), None);
        assert_eq!(run(&ran, job(), at("20T10:00")), None);
    }

    #[test]
    fn a_next_time_that_the_expression_does_not_mean_is_counted_anew() {
        let edited = Schedule { next_run_at: Some(at("20T11:30")), ..daily() };
        assert_eq!(next_run(&edited), Some(at("20T10:00")));
        assert_eq!(shown(&edited).next_run_at, Some(at("20T10:00")));
    }

    #[test]
    fn a_time_behind_a_gap_of_the_clock_is_kept_and_not_counted_from_long_ago() {
        // Off for months, and on again the day before the clock skips its time.
        let berlin = Schedule {
            cron: "30 2 * * *".parse().unwrap(),
            time_zone: "Europe/Berlin".parse().unwrap(),
            ..daily()
        };
        let on = counted_from(berlin, "2027-03-27T12:00:00.000Z".parse().unwrap());
        let behind_the_gap = "2027-03-28T01:00:00.000Z".parse().ok();
        assert_eq!((on.next_run_at, next_run(&on)), (behind_the_gap, behind_the_gap));
    }

    #[test]
    fn one_that_is_off_is_never_due() {
        let off = counted_from(Schedule { enabled: false, ..daily() }, at("20T09:00"));
        assert_eq!((off.next_run_at, next_run(&off), run(&off, job(), at("30T10:00"))), (None, None, None));
    }
}
