//! Names of things: parsed once, then valid wherever they stand.
//!
//! A *name* is chosen by people (`mrx-weather`, `builder-1`); an *id* is made here: a ULID in lower case behind
//! the word for its kind (`job-01jd…`). A job's id carries a tag of its project in the first characters behind the
//! time, so the project of a job is found from the id alone, with no index.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::clock::Time;

/// The text is not a name or id of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {kind}: {grammar}")]
pub struct BadName {
    text: String,
    kind: &'static str,
    grammar: &'static str,
}

const NAME_GRAMMAR: &str = "use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit";
/// The same for programs.
const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9-]{0,62}$";
const ID_GRAMMAR: &str = "ids are given by MrX: the kind, '-', and 26 of 0-9 and a-z";

/// The length of a ULID as text.
const ULID_CHARS: usize = 26;

fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_id(text: &str, prefix: &str) -> bool {
    let tail = text.strip_prefix(prefix).unwrap_or_default();
    tail.len() == ULID_CHARS
        && tail.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && Ulid::from_string(tail).is_ok()
}

fn refused(text: &str, kind: &'static str, grammar: &'static str) -> BadName {
    BadName { text: text.chars().take(80).collect(), kind, grammar }
}

/// What names and ids share: each has `as_str` and `of`, which takes a text that is known to be one.
macro_rules! as_text {
    ($name:ident, $kind:literal, $grammar:expr, $pattern:expr, $valid:expr) => {
        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                if $valid(text) { Ok(Self::of(text)) } else { Err(refused(text, $kind, $grammar)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        crate::schema::text_schema!($name, concat!($kind, ", as text"), $pattern);
    };
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            fn of(text: &str) -> Self {
                Self(text.into())
            }
        }

        as_text!($name, $kind, NAME_GRAMMAR, NAME_PATTERN, is_name);
    };
}

/// An id holds its text itself and not a pointer to it: maps and sorted sets of a hundred thousand jobs compare their ids without
/// looking elsewhere in memory for each, and a copy counts nothing.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $prefix.len() + ULID_CHARS]);

        impl $name {
            const PREFIX: &str = $prefix;

            /// The text itself.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).expect("an id is made of letters and digits")
            }

            fn of(text: &str) -> Self {
                Self(text.as_bytes().try_into().expect("the length of an id is its kind's"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.as_str()).finish()
            }
        }

        as_text!($name, $kind, ID_GRAMMAR, concat!("^", $prefix, "[0-9a-z]{26}$"), |text| is_id(text, $prefix));
    };
}

name_type!(
    /// A project, by the name of its repository without `.git`: `mrx-weather`.
    ProjectId, "a project's name"
);
name_type!(
    /// An agent, by the name it was registered under: `builder-1`.
    AgentId, "an agent's name"
);
name_type!(
    /// A label that a job asks for and an agent offers: `linux`, `gpu`.
    Label, "a label"
);
name_type!(
    /// A schedule, by its name within a project: `nightly`.
    ScheduleName, "a schedule's name"
);
name_type!(
    /// A group of jobs of which one is held at a time: `deploy`.
    GroupName, "a concurrency group's name"
);
name_type!(
    /// A secret, by its name within a project or the platform: `github`, `signing-key`.
    SecretName, "a secret's name"
);
id_type!(
    /// A job: `job-01jd…`.
    JobId, "job-", "a job's id"
);
id_type!(
    /// A lease, which is the fencing token of one claim: `lease-01jd…`.
    LeaseId, "lease-", "a lease's id"
);
id_type!(
    /// An artifact: `art-01jd…`.
    ArtifactId, "art-", "an artifact's id"
);

name_type!(
    /// An account, by the name it logs in with: `ada`.
    UserName, "an account's name"
);
id_type!(
    /// A session: `session-01jd…`.
    SessionId, "session-", "a session's id"
);
id_type!(
    /// An API key, by its id, which is no secret: `key-01jd…`.
    KeyId, "key-", "a key's id"
);
id_type!(
    /// An invitation: `invite-01jd…`.
    InviteId, "invite-", "an invitation's id"
);
id_type!(
    /// A chat: `chat-01jd…`.
    ChatId, "chat-", "a chat's id"
);

id_type!(
    /// A webhook of a project: `hook-01jd…`.
    WebhookId, "hook-", "a webhook's id"
);

/// Bits of a job's id that tell its project: five characters behind the ten of the time.
const TAG_BITS: u32 = 25;
/// Bits of an id that make it unique within a millisecond and a project.
const UNIQUE_BITS: u32 = 80 - TAG_BITS;

/// Tells which project a job may belong to; two projects share a tag about once in 33 million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectTag(u32);

impl ProjectId {
    /// The tag that this project's job ids carry: the first bits of the SHA-256 of its name.
    pub fn tag(&self) -> ProjectTag {
        let digest = Sha256::digest(self.0.as_bytes());
        let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        ProjectTag(first >> (32 - TAG_BITS))
    }
}

impl JobId {
    fn ulid(&self) -> Ulid {
        Ulid::from_string(&self.as_str()[Self::PREFIX.len()..]).expect("an id was parsed when it was made")
    }

    /// The tag of the job's project.
    pub fn tag(&self) -> ProjectTag {
        let tag = (self.ulid().random() >> UNIQUE_BITS) as u32;
        ProjectTag(tag)
    }

    /// When the id was made.
    pub fn made_at(&self) -> Time {
        Time::from_millis(self.ulid().timestamp_ms())
    }
}

/// Makes ids that ascend within one process, also many in a millisecond.
#[derive(Debug, Default)]
pub struct IdMaker {
    last: Mutex<(u64, u64)>,
    seed: AtomicU64,
}

impl IdMaker {
    /// A maker seeded from the machine's randomness.
    pub fn new() -> Self {
        let maker = Self::default();
        maker.seed.store(random_u64(), Ordering::Relaxed);
        maker
    }

    /// An id for a job of `project`.
    pub fn job(&self, project: &ProjectId, now: Time) -> JobId {
        JobId::of(&self.text(JobId::PREFIX, u128::from(project.tag().0), now))
    }

    /// An id for a lease.
    pub fn lease(&self, now: Time) -> LeaseId {
        LeaseId::of(&self.text(LeaseId::PREFIX, self.unguessed(), now))
    }

    /// An id for an artifact of `project`: within a project they ascend, so lists have the newest first.
    pub fn artifact(&self, project: &ProjectId, now: Time) -> ArtifactId {
        ArtifactId::of(&self.text(ArtifactId::PREFIX, u128::from(project.tag().0), now))
    }

    /// An id for a session.
    pub fn session(&self, now: Time) -> SessionId {
        SessionId::of(&self.text(SessionId::PREFIX, self.unguessed(), now))
    }

    /// An id for an API key.
    pub fn key(&self, now: Time) -> KeyId {
        KeyId::of(&self.text(KeyId::PREFIX, self.unguessed(), now))
    }

    /// An id for a webhook.
    pub fn webhook(&self, now: Time) -> WebhookId {
        WebhookId::of(&self.text(WebhookId::PREFIX, self.unguessed(), now))
    }

    /// An id for an invitation.
    pub fn invite(&self, now: Time) -> InviteId {
        InviteId::of(&self.text(InviteId::PREFIX, self.unguessed(), now))
    }

    /// An id for a chat of `project`.
    pub fn chat(&self, project: &ProjectId, now: Time) -> ChatId {
        ChatId::of(&self.text(ChatId::PREFIX, u128::from(project.tag().0), now))
    }

    fn text(&self, kind: &str, tag: u128, now: Time) -> String {
        let (millis, unique) = self.next(now.millis());
        let ulid = Ulid::from_parts(millis, (tag << UNIQUE_BITS) | u128::from(unique));
        let mut text = String::with_capacity(kind.len() + ULID_CHARS);
        text.push_str(kind);
        text.push_str(ulid.array_to_str(&mut [0; ULID_CHARS]));
        text.make_ascii_lowercase();
        text
    }

    /// The next (millisecond, number in it): a fresh random number in a new millisecond, else one more than the last.
    fn next(&self, now_millis: u64) -> (u64, u64) {
        let mut last = self.last.lock();
        *last = if now_millis > last.0 { (now_millis, self.fresh()) } else { (last.0, last.1 + 1) };
        *last
    }

    /// A number with room above it for a million more in the same millisecond.
    fn fresh(&self) -> u64 {
        (self.mixed() >> (64 - UNIQUE_BITS)).saturating_sub(1 << 20)
    }

    fn unguessed(&self) -> u128 {
        u128::from(self.mixed() >> (64 - TAG_BITS))
    }

    /// SplitMix64 over a seed from the machine: ids need to differ, not to be secret.
    fn mixed(&self) -> u64 {
        let seed = self.seed.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mut mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// 64 random bits from the machine.
pub fn random_u64() -> u64 {
    getrandom::u64().expect("the machine gives randomness, or nothing that needs it may run")
}

/// A token of 256 random bits, written as 64 hexadecimal digits.
pub fn random_token() -> String {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).expect("the machine gives randomness, or nothing that needs it may run");
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectId {
        name.parse().unwrap()
    }

    #[test]
    fn names_are_lower_case_letters_digits_and_hyphens() {
        for good in ["mrx-weather", "a", "0", "a-"] {
            assert!(good.parse::<ProjectId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a/b", "..", "a.git", "a\n", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<ProjectId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_job_id_tells_its_project_and_its_time() {
        let (maker, weather, now) =
            (IdMaker::new(), project("mrx-weather"), Time::from_millis(1_763_663_400_123));
        let id = maker.job(&weather, now);
        assert_eq!((id.tag(), id.made_at()), (weather.tag(), now));
        assert_ne!(id.tag(), project("mrx-other").tag());
    }

    #[test]
    fn ids_ascend_also_within_a_millisecond_and_when_the_clock_steps_back() {
        let (maker, weather) = (IdMaker::new(), project("mrx-weather"));
        let ids: Vec<JobId> =
            (0..1000).map(|n| maker.job(&weather, Time::from_millis(1_763_663_400_123 - n / 500))).collect();
        assert!(ids.is_sorted());
        let artifacts: Vec<ArtifactId> =
            (0..100).map(|_| maker.artifact(&weather, Time::from_millis(1_763_663_400_999))).collect();
        assert!(artifacts.is_sorted());
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let lease = IdMaker::new().lease(Time::from_millis(1));
        assert!(lease.as_str().parse::<JobId>().is_err());
        assert!("job-".parse::<JobId>().is_err());
        assert!("job-01JDAAAAAAAAAAAAAAAAAAAAAA".parse::<JobId>().is_err());
    }
}
