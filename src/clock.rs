//! What time it is: the one place that asks, and a clock that a test moves.
//!
//! Times are milliseconds since 1970 in UTC; in files and answers they are RFC 3339 with milliseconds.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;

/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(u64);

/// The text is no RFC 3339 time between 1970 and 9999.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a time such as 2026-11-20T18:30:00.000Z (RFC 3339)")]
pub struct BadTime(String);

/// The last millisecond of the year 9999, the largest time that RFC 3339 can write.
const MILLIS_MAX: u64 = 253_402_300_799_999;

impl Time {
    /// The moment this many milliseconds after 1970 began; later than the year 9999 is the end of 9999.
    pub fn from_millis(millis: u64) -> Self {
        Self(millis.min(MILLIS_MAX))
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, as git writes them.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This moment moved forward.
    pub fn after(self, span: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(MILLIS_MAX)))
    }

    /// This moment moved back, not before 1970.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(MILLIS_MAX)))
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The UTC day, as `2026-11-20`.
    pub fn day(self) -> String {
        let text = self.to_string();
        text[..10].to_owned()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text(&self.digits()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text(&self.digits()))
    }
}

fn text(digits: &[u8; 24]) -> &str {
    std::str::from_utf8(digits).expect("digits are text")
}

impl Time {
    /// `2026-11-20T18:30:00.000Z`: by hand, because every commit and answer writes several.
    fn digits(self) -> [u8; 24] {
        let (days, millis) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let parts = [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, millis / 3_600_000),
            (14, 2, millis / 60_000 % 60),
            (17, 2, millis / 1000 % 60),
            (20, 3, millis % 1000),
        ];
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (start, length, mut number) in parts {
            for place in (start..start + length).rev() {
                text[place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        text
    }
}

/// Year, month and day of a day counted from 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

impl FromStr for Time {
    type Err = BadTime;
    fn from_str(text: &str) -> Result<Self, BadTime> {
        let bad = || BadTime(text.chars().take(64).collect());
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| bad())?;
        let millis = u64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).map_err(|_| bad())?;
        if millis > MILLIS_MAX { Err(bad()) } else { Ok(Self(millis)) }
    }
}

impl TryFrom<String> for Time {
    type Error = BadTime;
    fn try_from(text: String) -> Result<Self, BadTime> {
        text.parse()
    }
}

crate::schema::text_schema!(
    Time,
    "A moment in UTC, as RFC 3339 with milliseconds",
    r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
);

/// Where the time comes from: the machine, or a test's hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    moved_by_hand: Option<Arc<Hand>>,
}

/// Where a test has put the time, and whoever sleeps until it is moved.
#[derive(Debug)]
struct Hand {
    millis: AtomicU64,
    moved: Notify,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `start` until [`Clock::pass`] moves it.
    pub fn by_hand(start: Time) -> Self {
        Self { moved_by_hand: Some(Arc::new(Hand { millis: AtomicU64::new(start.0), moved: Notify::new() })) }
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    pub fn now(&self) -> Time {
        if let Some(hand) = &self.moved_by_hand {
            return Time(hand.millis.load(Ordering::Relaxed));
        }
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(MILLIS_MAX))
    }

    /// Moves a clock made by [`Clock::by_hand`]; the machine's clock stays as it is.
    pub fn pass(&self, span: Duration) {
        if let Some(hand) = &self.moved_by_hand {
            hand.millis.fetch_add(u64::try_from(span.as_millis()).unwrap_or(0), Ordering::Relaxed);
            hand.moved.notify_waiters();
        }
    }

    /// Waits until it is so late; with a clock made by [`Clock::by_hand`], until that is moved so far.
    pub async fn sleep_until(&self, time: Time) {
        let Some(hand) = &self.moved_by_hand else {
            return tokio::time::sleep(time.since(self.now())).await;
        };
        loop {
            let moved = hand.moved.notified();
            tokio::pin!(moved);
            // Listening comes before looking, so that no move between the two is missed.
            moved.as_mut().enable();
            if self.now() >= time {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_as_it_was_written() {
        for millis in [0, 1, 951_782_400_000, 1_763_663_400_123, 4_107_542_399_999, MILLIS_MAX] {
            let time = Time::from_millis(millis);
            assert_eq!(time.to_string().parse::<Time>().unwrap(), time, "{time}");
        }
    }

    #[test]
    fn a_leap_day_is_written_as_the_calendar_has_it() {
        assert_eq!(Time::from_millis(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Time::from_millis(951_782_400_000).day(), "2000-02-29");
    }

    #[test]
    fn text_that_is_no_time_is_refused_with_an_example() {
        let error = "yesterday".parse::<Time>().unwrap_err().to_string();
        assert!(error.contains("2026-11-20T18:30:00.000Z"), "{error}");
    }
}
