//! How long to wait: between tries, between renewals, before a little log is sent.

use std::time::Duration;

/// The longest `Retry-After` that is believed, so a mistaken header cannot put an agent to sleep.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// The waits of the agent, together so that tests can shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The first wait after a failed call.
    pub retry_first: Duration,
    /// The longest wait between failed claims: an idle agent need not hurry.
    pub claim_retry_max: Duration,
    /// The longest wait between failed calls about a job: a person may be reading its log.
    pub job_retry_max: Duration,
    /// The longest that a few bytes of log wait for more.
    pub flush_after: Duration,
    /// How often a running job asks whether it was cancelled.
    pub poll: Duration,
    /// How long the end of a job is tried to be told, as when the daemon is away.
    pub finish_max: Duration,
    /// The same after the agent was told a second time to stop.
    pub finish_hurried_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry_first: Duration::from_millis(500),
            claim_retry_max: Duration::from_secs(30),
            job_retry_max: Duration::from_secs(5),
            flush_after: Duration::from_millis(500),
            poll: Duration::from_secs(1),
            finish_max: Duration::from_secs(3600),
            finish_hurried_max: Duration::from_secs(10),
        }
    }
}

/// Waits that double from try to try, each with jitter, so that many agents do not return in step.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits from `first` up to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first }
    }

    /// The next wait: between half of the present step and all of it, or longer if the daemon asked for that.
    pub fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.max);
        jittered(step, crate::id::random_u64()).max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
    }

    /// A call succeeded; the next failure starts from the first wait.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

fn jittered(step: Duration, random: u64) -> Duration {
    let part = f64::from((random >> 32) as u32) / f64::from(u32::MAX);
    step.mul_f64(0.5 + part / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let waits: Vec<Duration> = (0..10).map(|_| backoff.next(None)).collect();
        for (n, wait) in waits.iter().enumerate() {
            let step = Duration::from_millis(500 << n).min(Duration::from_secs(30));
            assert!(*wait >= step / 2 && *wait <= step, "wait {n} is {wait:?}, of {step:?}");
        }
        backoff.reset();
        assert!(backoff.next(None) <= Duration::from_millis(500));
    }

    #[test]
    fn retry_after_is_kept_up_to_a_bound() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
        assert_eq!(backoff.next(Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(backoff.next(Some(Duration::from_secs(7000))), RETRY_AFTER_MAX);
    }
}
