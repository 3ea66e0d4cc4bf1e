//! What a webhook is: the type of its file `webhooks/hook-….yaml`, and what its managers see of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::id::{BadName, WebhookId};
use crate::state::edit::Entity;
use crate::state::oid::Oid;

/// The file of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Its id, which its file is named by.
    pub webhook_id: WebhookId,
    /// Where events are sent.
    pub url: String,
    /// Which.
    pub events: Vec<EventPattern>,
    /// Whether they are sent now.
    pub enabled: bool,
    /// Why the daemon disabled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_because: Option<String>,
    /// The secret that deliveries are signed with, encrypted with age to the daemon's own key.
    pub sealed_secret: String,
    /// Events behind this commit are sent.
    pub after: Oid,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

impl Entity for Webhook {
    const KIND: &'static str = "webhook";
}

impl Webhook {
    /// Whether an event of this name is sent. Those of logs never are: there are many, and a log is read where it is.
    pub fn wants(&self, event: &str) -> bool {
        !event.starts_with("log.") && self.events.iter().any(|pattern| pattern.fits(event))
    }
}

/// Events by name: `job.claimed`, all that begin alike: `job.*`, or all: `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventPattern(String);

/// The longest name of an event.
const PATTERN_BYTES_MAX: usize = 64;

impl EventPattern {
    fn fits(&self, event: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => event.starts_with(prefix),
            None => event == self.0,
        }
    }
}

impl TryFrom<String> for EventPattern {
    type Error = BadPattern;
    fn try_from(text: String) -> Result<Self, BadPattern> {
        let name = text.strip_suffix(".*").unwrap_or(&text);
        let is_name = (1..=PATTERN_BYTES_MAX).contains(&name.len())
            && name
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()));
        if is_name || text == "*" { Ok(Self(text)) } else { Err(BadPattern(text.chars().take(80).collect())) }
    }
}

/// The text is no pattern of events.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} names no events: write job.claimed, job.* or *")]
pub struct BadPattern(String);

impl From<EventPattern> for String {
    fn from(pattern: EventPattern) -> Self {
        pattern.0
    }
}

crate::schema::text_schema!(
    EventPattern,
    "Events by name: `job.claimed`, `job.*` or `*`",
    r"^(\*|[A-Za-z0-9]+(\.[A-Za-z0-9]+)*(\.\*)?)$"
);

/// A webhook, as its managers see it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookView {
    webhook_id: WebhookId,
    url: String,
    events: Vec<EventPattern>,
    enabled: bool,
    /// Why the daemon disabled it.
    disabled_because: Option<String>,
    /// What deliveries are signed with; shown when it was made just now, and never again.
    secret: Option<String>,
    created_by: String,
    created_at: Time,
    updated_at: Time,
}

impl WebhookView {
    /// With its secret, if that is new.
    pub fn of(hook: &Webhook, secret: Option<String>) -> Self {
        Self {
            webhook_id: hook.webhook_id.clone(),
            url: hook.url.clone(),
            events: hook.events.clone(),
            enabled: hook.enabled,
            disabled_because: hook.disabled_because.clone(),
            secret,
            created_by: hook.created_by.clone(),
            created_at: hook.created_at,
            updated_at: hook.updated_at,
        }
    }
}

/// What errors call the secret of a webhook: by its id.
pub fn secret_name(id: &WebhookId) -> Result<crate::id::SecretName, BadName> {
    id.as_str().parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        let pattern = |text: &str| EventPattern::try_from(text.to_owned());
        for (text, event, expected) in [
            ("*", "job.claimed", true),
            ("job.*", "job.claimed", true),
            ("job.*", "jobs.claimed", false),
            ("job.claimed", "job.claimed", true),
            ("job.claimed", "job.claimedTwice", false),
        ] {
            assert_eq!(pattern(text).unwrap().fits(event), expected, "{text} {event}");
        }
        for bad in ["", ".", "job.", ".*", "job*", "**", "j b", "a\n", &"a".repeat(65)] {
            assert!(pattern(bad).is_err(), "{bad:?}");
        }
    }
}
