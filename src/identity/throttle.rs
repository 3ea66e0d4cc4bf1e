//! How long somebody whose log-ins failed must wait: nothing for the first few, then longer with each one.

use std::time::Duration;

use super::types::Throttle;
use crate::clock::Time;

/// So many wrong passwords for one account are a person's; the next has to wait.
pub const ACCOUNT_FAILURES_FREE: u32 = 5;
/// So many from one address may be those of several people.
pub const ADDRESS_FAILURES_FREE: u32 = 20;
/// The first wait; each further failure doubles it.
const WAIT_FIRST: Duration = Duration::from_secs(30);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// After so long without a failure the count begins anew.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Until when the next attempt must wait; `None` if it need not.
pub fn wait_until(throttle: &Throttle, free: u32) -> Option<Time> {
    let beyond = throttle.failures.checked_sub(free)?;
    let wait = WAIT_FIRST.saturating_mul(1 << beyond.min(8)).min(WAIT_MAX);
    Some(throttle.last_failure_at.after(wait))
}

/// What is known after one more failure.
pub fn failed(before: Option<&Throttle>, now: Time) -> Throttle {
    let counted = before.filter(|before| now.since(before.last_failure_at) < FORGOTTEN_AFTER);
    Throttle { failures: counted.map_or(0, |before| before.failures).saturating_add(1), last_failure_at: now }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(failures: u32) -> Option<Duration> {
        let at = Time::from_millis(1_000_000);
        let mut known = None;
        for _ in 0..failures {
            known = Some(failed(known.as_ref(), at));
        }
        wait_until(&known.unwrap(), ACCOUNT_FAILURES_FREE).map(|until| until.since(at))
    }

    #[test]
    fn the_first_failures_are_free_and_each_further_one_doubles_the_wait() {
        assert_eq!((after(1), after(4)), (None, None));
        assert_eq!(after(5), Some(Duration::from_secs(30)));
        assert_eq!(after(6), Some(Duration::from_secs(60)));
        assert_eq!(after(60), Some(WAIT_MAX));
    }

    #[test]
    fn a_day_without_a_failure_begins_the_count_anew() {
        let first = failed(None, Time::from_millis(0));
        let later = failed(Some(&first), Time::from_millis(0).after(FORGOTTEN_AFTER));
        assert_eq!(later.failures, 1);
    }
}
