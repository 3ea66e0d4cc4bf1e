//! When a delivery is tried again, and when a webhook is given up. Decides only.

use std::time::Duration;

use crate::clock::Time;

/// A receiver that restarts, or a night's work on its network, is outlived by the whole; an event is tried for about an hour.
pub const ATTEMPTS_MAX: usize = 6;
/// The wait behind the first failure; each further one is four times as long: 10 s to 43 min.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// A webhook that has failed for this long, without one success, is disabled.
const FAILING_MAX: Duration = Duration::from_secs(3 * 24 * 3600);

/// How long to wait behind so many failed attempts; `None` if that was the last. `chance` is 0 to 1 and moves the wait by up to a
/// fifth either way, so that many deliveries do not come back together.
pub fn wait_after(failed: usize, chance: f64) -> Option<Duration> {
    if failed == 0 || failed >= ATTEMPTS_MAX {
        return None;
    }
    let times = 4u32.pow(u32::try_from(failed - 1).unwrap_or(0));
    Some((FIRST_WAIT * times).mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0)))
}

/// Whether a webhook that fails since then is to be disabled.
pub fn is_hopeless(failing_since: Time, now: Time) -> bool {
    now.since(failing_since) >= FAILING_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_attempts_take_about_an_hour() {
        let all = |chance| (1..).map_while(|failed| wait_after(failed, chance)).collect::<Vec<_>>();
        assert_eq!(all(0.5).iter().map(Duration::as_secs).collect::<Vec<_>>(), [10, 40, 160, 640, 2560]);
        let whole = |chance| all(chance).iter().sum::<Duration>().as_secs() / 60;
        assert_eq!((whole(0.0), whole(0.5), whole(1.0)), (45, 56, 68));
    }

    #[test]
    fn three_days_without_a_success_are_too_many() {
        let since = Time::from_millis(1_763_663_400_000);
        assert!(!is_hopeless(since, since.after(FAILING_MAX - Duration::from_secs(1))));
        assert!(is_hopeless(since, since.after(FAILING_MAX)));
    }
}
