//! A cron expression of five fields: which minutes it means on the clock of a time zone. Knows nothing of jobs.
//!
//! One minute of one hour (`30 2 * * *`) that the clock skips comes at the first minute behind the gap; one that the clock shows twice
//! comes the first time. What has several minutes or hours skips what the clock skips, and comes both times where the clock
//! shows an hour twice.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};

use super::zone::TimeZone;
use crate::clock::Time;

/// Longer expressions than this are no times that a person means.
const CHARS_MAX: usize = 100;

/// Five fields: minute, hour, day of the month, month, day of the week.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: Arc<str>,
    pattern: Arc<croner::Cron>,
}

/// The text is no cron expression.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no cron expression: {why}; write minute, hour, day of the month, month and day of the week, such as 30 2 * * 1-5"
)]
pub struct BadCron {
    text: String,
    why: String,
}

impl Cron {
    /// The first minute it means after this moment where the clock is the zone's; `None` if none comes.
    pub fn after(&self, moment: Time, zone: TimeZone) -> Option<Time> {
        let next = self.pattern.find_next_occurrence(&on_the_clock(moment, zone)?, false).ok()?;
        Some(Time::from_millis(u64::try_from(next.timestamp_millis()).ok()?))
    }

    /// Whether it means this minute: it is the next one for who stands a moment before. So the minute behind a gap is meant too.
    pub fn means(&self, moment: Time, zone: TimeZone) -> bool {
        let before = on_the_clock(moment, zone).and_then(|at| at.checked_sub_signed(TimeDelta::seconds(1)));
        let next = before.and_then(|before| self.pattern.find_next_occurrence(&before, false).ok());
        next.is_some_and(|next| u64::try_from(next.timestamp_millis()) == Ok(moment.millis()))
    }
}

/// The moment as the zone's clock shows it, without what is less than a second; `None` behind the end of the calendar.
fn on_the_clock(moment: Time, zone: TimeZone) -> Option<DateTime<Tz>> {
    let utc = DateTime::from_timestamp(i64::try_from(moment.seconds()).ok()?, 0)?;
    Some(utc.with_timezone(&zone.rules()))
}

impl FromStr for Cron {
    type Err = BadCron;
    fn from_str(text: &str) -> Result<Self, BadCron> {
        let refused = |why: String| BadCron { text: text.chars().take(CHARS_MAX).collect(), why };
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if text.len() > CHARS_MAX || !is_plain {
            return Err(refused(format!("it is not one line of at most {CHARS_MAX} plain characters")));
        }
        let fields = text.split_whitespace().count();
        if fields != 5 {
            return Err(refused(format!("it has {fields} fields")));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let pattern = parser.parse(text).map_err(|error| refused(error.to_string()))?;
        Ok(Self { text: text.into(), pattern: Arc::new(pattern) })
    }
}

impl TryFrom<String> for Cron {
    type Error = BadCron;
    fn try_from(text: String) -> Result<Self, BadCron> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text.as_ref().to_owned()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({:?})", self.text)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

crate::schema::text_schema!(
    Cron,
    "A cron expression of five fields: minute, hour, day of the month, month, day of the week",
    r"^\s*\S+(\s+\S+){4}\s*$"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn after(cron: &str, moment: &str) -> String {
        after_in("UTC", cron, moment)
    }

    fn after_in(zone: &str, cron: &str, moment: &str) -> String {
        let (cron, zone): (Cron, TimeZone) = (cron.parse().unwrap(), zone.parse().unwrap());
        cron.after(moment.parse().unwrap(), zone).map_or_else(|| "never".to_owned(), |next| next.to_string())
    }

    #[test]
    fn the_next_minute_is_the_first_one_behind_the_moment() {
        // 20 November 2026 is a Friday.
        for (cron, moment, expected) in [
            ("* * * * *", "2026-11-20T10:00:00.000Z", "2026-11-20T10:01:00.000Z"),
            ("* * * * *", "2026-11-20T10:00:59.999Z", "2026-11-20T10:01:00.000Z"),
            ("0 10 * * *", "2026-11-20T09:59:59.999Z", "2026-11-20T10:00:00.000Z"),
            ("0 10 * * *", "2026-11-20T10:00:00.001Z", "2026-11-21T10:00:00.000Z"),
            ("30 2 * * 1-5", "2026-11-20T10:00:00.000Z", "2026-11-23T02:30:00.000Z"),
            ("*/15 8-9 * * mon", "2026-11-20T10:00:00.000Z", "2026-11-23T08:00:00.000Z"),
            ("0 0 1 1 *", "2026-11-20T10:00:00.000Z", "2027-01-01T00:00:00.000Z"),
            ("0 0 1 * mon", "2026-11-20T10:00:00.000Z", "2026-11-23T00:00:00.000Z"),
            ("0 0 1 jan 7", "2026-12-28T10:00:00.000Z", "2027-01-01T00:00:00.000Z"),
            ("0 0 29 2 *", "2026-11-20T10:00:00.000Z", "2028-02-29T00:00:00.000Z"),
            ("0 0 30 2 *", "2026-11-20T10:00:00.000Z", "never"),
        ] {
            assert_eq!(after(cron, moment), expected, "{cron} after {moment}");
        }
    }

    #[test]
    fn it_means_its_own_next_minute_and_not_another() {
        let cron: Cron = "30 2 * * *".parse().unwrap();
        let at = |text: &str| text.parse::<Time>().unwrap();
        let next = cron.after(at("2026-11-20T10:00:00.000Z"), TimeZone::default()).unwrap();
        assert!(cron.means(next, TimeZone::default()));
        for other in ["2026-11-20T10:00:00.000Z", "2026-11-20T02:30:00.001Z", "1970-01-01T00:00:00.000Z"] {
            assert!(!cron.means(at(other), TimeZone::default()), "{other}");
        }
        assert!(!cron.means(next, "Europe/Berlin".parse().unwrap()));
    }

    /// All times that it means in Berlin between two moments, as minutes of UTC.
    fn in_berlin(cron: &str, from: &str, until: &str) -> Vec<String> {
        let (cron, berlin): (Cron, TimeZone) = (cron.parse().unwrap(), "Europe/Berlin".parse().unwrap());
        let time = |text: &str| format!("2026-{text}:00.000Z").parse::<Time>().unwrap();
        let next = |at: &Time| cron.after(*at, berlin).filter(|next| *next < time(until));
        let all: Vec<Time> = std::iter::successors(next(&time(from)), next).collect();
        assert!(all.iter().all(|at| cron.means(*at, berlin)), "each is meant");
        all.iter().map(|at| at.to_string()["2026-".len().."2026-03-29T01:00".len()].to_owned()).collect()
    }

    #[test]
    fn a_fixed_time_follows_the_clock_of_its_zone_and_comes_once_on_each_day_of_a_change() {
        // The clock goes from 02:00 to 03:00 on 29 March at 01:00 UTC, and from 03:00 to 02:00 on 25 October at 01:00 UTC.
        for (cron, from, until, expected) in [
            ("30 2 * * *", "03-28T00:00", "03-31T00:00", ["03-28T01:30", "03-29T01:00", "03-30T00:30"]),
            ("0 3 * * *", "03-28T00:00", "03-31T00:00", ["03-28T02:00", "03-29T01:00", "03-30T01:00"]),
            ("30 2 * * *", "10-24T00:00", "10-27T00:00", ["10-24T00:30", "10-25T00:30", "10-26T01:30"]),
            ("0 3 * * *", "10-24T00:00", "10-27T00:00", ["10-24T01:00", "10-25T02:00", "10-26T02:00"]),
        ] {
            assert_eq!(in_berlin(cron, from, until), expected, "{cron} from {from}");
        }
    }

    #[test]
    fn what_repeats_skips_the_hour_that_is_not_there_and_comes_in_both_that_are_there_twice() {
        let spring = in_berlin("*/30 * * * *", "03-29T00:00", "03-29T02:30");
        assert_eq!(spring, ["03-29T00:30", "03-29T01:00", "03-29T01:30", "03-29T02:00"]);
        let autumn = in_berlin("*/30 2 * * *", "10-24T23:00", "10-25T23:00");
        assert_eq!(autumn, ["10-25T00:00", "10-25T00:30", "10-25T01:00", "10-25T01:30"]);
        assert_eq!(in_berlin("*/30 2 * * *", "03-28T23:00", "03-29T22:00"), [""; 0], "there is no such hour");
        assert_eq!(
            in_berlin("0 * * * *", "10-24T23:30", "10-25T02:30"),
            ["10-25T00:00", "10-25T01:00", "10-25T02:00"]
        );
    }

    #[test]
    fn a_gap_of_half_an_hour_and_a_day_of_another_date_are_told_from_the_zone() {
        // Lord Howe goes from 02:00 to 02:30 on 4 October 2026; on Kiritimati it is tomorrow.
        assert_eq!(
            after_in("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00:00.000Z"),
            "2026-10-03T15:30:00.000Z"
        );
        assert_eq!(
            after_in("Pacific/Kiritimati", "0 0 1 1 *", "2026-11-20T10:00:00.000Z"),
            "2026-12-31T10:00:00.000Z"
        );
    }

    #[test]
    fn what_is_no_expression_is_refused_with_the_reason() {
        for bad in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "@daily",
            "a b c d e",
            "* * * * *\n",
            "1 2 3 4 ä",
        ] {
            let refused = bad.parse::<Cron>().unwrap_err().to_string();
            assert!(refused.contains("no cron expression"), "{refused}");
        }
        assert!("1,".repeat(60).parse::<Cron>().is_err());
    }
}
