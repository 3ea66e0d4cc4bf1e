//! The time zone whose clock a schedule goes by: a name of the IANA database, whose rules the program holds.

use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// Longer names than this are none; the longest has 32 characters.
const CHARS_SHOWN_MAX: usize = 64;

/// Where the clock stands that a schedule goes by, such as `Europe/Berlin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZone(Tz);

/// There is no zone of this name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no time zone; write a name of the IANA database as it is spelled there, such as Europe/Berlin or UTC"
)]
pub struct BadTimeZone(String);

impl TimeZone {
    /// When its clock is changed, and by how much.
    pub fn rules(self) -> Tz {
        self.0
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

impl FromStr for TimeZone {
    type Err = BadTimeZone;
    fn from_str(text: &str) -> Result<Self, BadTimeZone> {
        text.parse().map(Self).map_err(|_| BadTimeZone(text.chars().take(CHARS_SHOWN_MAX).collect()))
    }
}

impl TryFrom<String> for TimeZone {
    type Error = BadTimeZone;
    fn try_from(text: String) -> Result<Self, BadTimeZone> {
        text.parse()
    }
}

impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> Self {
        zone.0.name().to_owned()
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

crate::schema::text_schema!(
    TimeZone,
    "A time zone, by its name in the IANA database: `Europe/Berlin`",
    r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_as_it_is_written_also_where_it_is_an_older_one() {
        for name in ["UTC", "Europe/Berlin", "Asia/Calcutta", "America/Argentina/Buenos_Aires", "Etc/GMT+3"] {
            assert_eq!(name.parse::<TimeZone>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn what_is_no_zone_is_refused_with_what_to_write() {
        let long = "a".repeat(1000);
        for bad in
            ["", "Berlin", "europe/berlin", "Europe/Berlin ", "+02:00", "../../etc/passwd", long.as_str()]
        {
            let refused = bad.parse::<TimeZone>().unwrap_err().to_string();
            assert!(refused.contains("such as Europe/Berlin") && refused.len() < 220, "{refused}");
        }
    }
}
