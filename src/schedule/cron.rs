//! A cron expression of five fields, in UTC: which minutes it means. Knows nothing of jobs.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime};

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
    /// The first minute it means after this moment; `None` if none comes.
    pub fn after(&self, moment: Time) -> Option<Time> {
        self.pattern.find_next_occurrence(&Utc::from(moment), false).ok().map(Time::from)
    }

    /// Whether it means this minute.
    pub fn means(&self, moment: Time) -> bool {
        self.pattern.is_time_matching(&Utc::from(moment)).unwrap_or(false)
    }
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

/// Seconds since 1970, as the library looks at times.
#[derive(Clone, Copy)]
struct Utc(i64);

impl From<Time> for Utc {
    fn from(time: Time) -> Self {
        Self(i64::try_from(time.seconds()).unwrap_or(i64::MAX))
    }
}

impl From<Utc> for Time {
    fn from(utc: Utc) -> Self {
        Time::from_millis(u64::try_from(utc.0).unwrap_or(0).saturating_mul(1000))
    }
}

impl Utc {
    fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl CronDateTime for Utc {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.date_time();
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(at.year(), u8::from(at.month()).into(), at.day().into()),
            CivilTime::from_parts_unchecked(at.hour().into(), at.minute().into(), at.second().into()),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(self.date_time().weekday().number_days_from_sunday().into())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let small = |number: u32| u8::try_from(number).map_err(|_| CronError::InvalidDate);
        let month = Month::try_from(small(civil.month())?).map_err(|_| CronError::InvalidDate)?;
        let date = Date::from_calendar_date(civil.year(), month, small(civil.day())?);
        let (hour, minute, second) = (small(civil.hour())?, small(civil.minute())?, small(civil.second())?);
        let at = date.map_err(|_| CronError::InvalidDate)?.with_hms(hour, minute, second);
        Ok(Resolution::Single(Self(at.map_err(|_| CronError::InvalidTime)?.assume_utc().unix_timestamp())))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let next = self.0.checked_add(seconds)?;
        OffsetDateTime::from_unix_timestamp(next).ok().map(|_| Self(next))
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(cron: &str, moment: &str) -> String {
        let cron: Cron = cron.parse().unwrap();
        cron.after(moment.parse().unwrap()).map_or_else(|| "never".to_owned(), |next| next.to_string())
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
        let next = cron.after("2026-11-20T10:00:00.000Z".parse().unwrap()).unwrap();
        assert!(cron.means(next) && !cron.means("2026-11-20T10:00:00.000Z".parse().unwrap()));
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
