//! What an answer of GitHub, or none, means for the call: use it, ask again later, or give up. Reads no clock.
//!
//! GitHub's rules: an exhausted budget says when it is filled again (`x-ratelimit-reset`), a secondary limit says how long
//! to wait (`retry-after`), or one waits a minute and then longer each time.

use std::time::Duration;

use crate::clock::Time;

/// How often a call is tried.
pub(super) const TRIES_MAX: u32 = 5;
/// The first pause after a failure; each later one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest of them.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The pause after a limit that says nothing of its length; each later one is twice as long.
const LIMIT_PAUSE: Duration = Duration::from_secs(60);
/// The reset is a whole second that may have just begun at GitHub's clock.
const RESET_SLACK: Duration = Duration::from_secs(1);

/// What one try gave, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The status; `None` if there was no whole answer.
    pub(super) status: Option<u16>,
    /// `retry-after`, in seconds.
    pub(super) retry_after: Option<u64>,
    /// `x-ratelimit-remaining`.
    pub(super) remaining: Option<u64>,
    /// `x-ratelimit-reset`, in seconds since 1970.
    pub(super) reset: Option<u64>,
    /// Whether the message speaks of a limit.
    pub(super) speaks_of_limit: bool,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Take the answer as it is.
    Use,
    /// Ask again at this time; nothing else may be asked before.
    WaitAll(Time),
    /// Ask this again at this time.
    Retry(Time),
    /// There was no answer, and no more tries.
    GiveUp,
}

/// Decides after the try with this number, from 1. `chance` is between 0 and 1 and spreads the pauses of many callers.
pub(super) fn next(seen: &Seen, attempt: u32, now: Time, chance: f64) -> Next {
    match seen.status {
        Some(status @ (403 | 429)) if is_limit(status, seen) => Next::WaitAll(allowed_at(seen, attempt, now)),
        Some(500..=599 | 408) | None if attempt < TRIES_MAX => {
            let pause = doubled(PAUSE, attempt).min(PAUSE_MAX);
            Next::Retry(now.after(pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)))
        }
        None => Next::GiveUp,
        Some(_) => Next::Use,
    }
}

/// When the budget that the last answer used up is filled again.
pub(super) fn used_up(seen: &Seen) -> Option<Time> {
    (seen.remaining == Some(0)).then_some(())?;
    seen.reset.map(|reset| Time::from_millis(reset.saturating_mul(1000)).after(RESET_SLACK))
}

fn is_limit(status: u16, seen: &Seen) -> bool {
    status == 429 || seen.retry_after.is_some() || seen.remaining == Some(0) || seen.speaks_of_limit
}

fn allowed_at(seen: &Seen, attempt: u32, now: Time) -> Time {
    match (seen.retry_after, used_up(seen)) {
        (Some(seconds), _) => now.after(Duration::from_secs(seconds)),
        (None, Some(reset)) if reset > now => reset,
        (None, _) => now.after(doubled(LIMIT_PAUSE, attempt)),
    }
}

fn doubled(first: Duration, attempt: u32) -> Duration {
    first.saturating_mul(1 << attempt.saturating_sub(1).min(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn decide(seen: Seen, attempt: u32) -> Next {
        next(&seen, attempt, Time::from_millis(NOW * 1000), 1.0)
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis((NOW + seconds) * 1000)
    }

    #[test]
    fn an_exhausted_budget_waits_for_its_reset() {
        let seen = Seen { status: Some(403), remaining: Some(0), reset: Some(NOW + 600), ..Seen::default() };
        assert_eq!(decide(seen, 1), Next::WaitAll(at(601)));
    }

    #[test]
    fn a_secondary_limit_waits_as_long_as_it_says_and_else_a_minute_then_two() {
        let told =
            Seen { status: Some(403), retry_after: Some(90), remaining: Some(4000), ..Seen::default() };
        assert_eq!(decide(told, 1), Next::WaitAll(at(90)));
        let silent = Seen { status: Some(403), speaks_of_limit: true, ..Seen::default() };
        assert_eq!(decide(silent.clone(), 1), Next::WaitAll(at(60)));
        assert_eq!(decide(silent, 2), Next::WaitAll(at(120)));
        assert_eq!(decide(Seen { status: Some(429), ..Seen::default() }, 1), Next::WaitAll(at(60)));
    }

    #[test]
    fn a_budget_whose_reset_is_past_waits_a_minute_nonetheless() {
        let seen = Seen { status: Some(403), remaining: Some(0), reset: Some(NOW - 5), ..Seen::default() };
        assert_eq!(decide(seen, 1), Next::WaitAll(at(60)));
    }

    #[test]
    fn a_refusal_that_is_no_limit_is_an_answer() {
        for status in [200, 304, 401, 403, 404, 422] {
            let seen = Seen { status: Some(status), remaining: Some(10), ..Seen::default() };
            assert_eq!(decide(seen, 1), Next::Use, "{status}");
        }
    }

    #[test]
    fn failures_are_tried_again_after_pauses_that_double_and_then_given_up() {
        let broken = Seen { status: Some(502), ..Seen::default() };
        assert_eq!(decide(broken.clone(), 1), Next::Retry(at(1)));
        assert_eq!(decide(broken.clone(), 3), Next::Retry(at(4)));
        assert_eq!(decide(broken, TRIES_MAX), Next::Use, "the answer says what is wrong");
        assert_eq!(decide(Seen::default(), TRIES_MAX), Next::GiveUp);
        let early = next(&Seen::default(), 1, at(0), 0.0);
        assert_eq!(early, Next::Retry(at(0).after(Duration::from_millis(500))), "chance spreads the pauses");
    }
}
