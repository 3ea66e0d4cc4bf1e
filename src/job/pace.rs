//! How long the last claims took, from the moment a job was there for the agent until the claim was durable. Memory only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// Claims that are remembered: enough for a percentile, few enough to sort at each look.
const KEPT: usize = 1000;

/// The durations of the last claims. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<Mutex<VecDeque<Duration>>>);

/// What they say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many claims there are, at most the last 1,000.
    pub count: usize,
    /// Half of them took this long at most.
    pub median: Duration,
    /// 99 of 100 of them did.
    pub p99: Duration,
}

impl Pace {
    /// A claim took this long.
    pub(super) fn note(&self, took: Duration) {
        let mut last = self.0.lock();
        last.truncate(KEPT - 1);
        last.push_front(took);
    }

    /// The figures; all zero before the first claim.
    pub fn figures(&self) -> Figures {
        let mut all: Vec<Duration> = self.0.lock().iter().copied().collect();
        all.sort_unstable();
        let at = |share: usize| all.get(all.len() * share / 100).copied().unwrap_or_default();
        Figures { count: all.len(), median: at(50), p99: at(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_of_the_last_thousand_claims() {
        let pace = Pace::default();
        assert_eq!(pace.figures(), Figures::default());
        pace.note(Duration::from_secs(60));
        for millis in 1..=KEPT as u64 {
            pace.note(Duration::from_millis(millis));
        }
        let Figures { count, median, p99 } = pace.figures();
        assert_eq!((count, median.as_millis(), p99.as_millis()), (KEPT, 501, 991));
    }
}
