//! Who can read secrets with plain age: the public keys of people, in the platform's `recipients.yaml`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::id::Label;
use crate::state::edit::Entity;

/// Each costs a few hundred bytes in every secret; more people than this do not keep a secret.
pub const RECIPIENTS_MAX: usize = 32;
/// Longer than an RSA key of 16384 bits.
const KEY_BYTES_MAX: usize = 4096;

/// The file `recipients.yaml`: whom secrets are encrypted to besides the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipients {
    /// They, in the order in which they were given; at most 32.
    pub recipients: Vec<Recipient>,
    /// When the list was last replaced.
    pub updated_at: Option<Time>,
}

impl Entity for Recipients {
    const KIND: &'static str = "list of recipients";
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipient {
    /// Whose key it is.
    pub name: Label,
    /// The public key.
    pub key: RecipientKey,
}

/// A public key that age encrypts to: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`, without a comment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecipientKey(String);

/// The text is no such key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no public key that age knows: {why}")]
pub struct BadRecipient {
    text: String,
    why: &'static str,
}

impl RecipientKey {
    /// The key itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As what age encrypts to.
    pub(super) fn to_age(&self) -> Box<dyn age::Recipient + Send> {
        parse(&self.0).expect("a key was parsed when it was made").1
    }
}

/// The text as it is kept, and the key. A private key is refused without being repeated.
fn parse(text: &str) -> Result<(String, Box<dyn age::Recipient + Send>), BadRecipient> {
    use age::ssh::ParseRecipientKeyError::{RsaModulusTooLarge, RsaModulusTooSmall};
    let bad = |why| Err(BadRecipient { text: shown(text), why });
    if text.len() > KEY_BYTES_MAX {
        return bad("it is too long");
    }
    if text.starts_with("age1") {
        return match text.parse::<age::x25519::Recipient>() {
            Ok(key) => Ok((key.to_string(), Box::new(key))),
            Err(_) => bad("a key that begins with age1 has 62 characters and a checksum at its end"),
        };
    }
    match text.parse::<age::ssh::Recipient>() {
        Ok(key) => Ok((key.to_string(), Box::new(key))),
        Err(RsaModulusTooSmall) => bad("an RSA key has at least 2048 bits"),
        Err(RsaModulusTooLarge) => bad("an RSA key has at most 4096 bits"),
        Err(_) => bad("give age1…, ssh-ed25519 … or ssh-rsa …"),
    }
}

fn shown(text: &str) -> String {
    let is_public = text.starts_with("age1") || text.starts_with("ssh-");
    if is_public { text.chars().take(60).collect() } else { "the text".to_owned() }
}

impl FromStr for RecipientKey {
    type Err = BadRecipient;
    fn from_str(text: &str) -> Result<Self, BadRecipient> {
        parse(text.trim()).map(|(text, _)| Self(text))
    }
}

impl TryFrom<String> for RecipientKey {
    type Error = BadRecipient;
    fn try_from(text: String) -> Result<Self, BadRecipient> {
        text.parse()
    }
}

impl From<RecipientKey> for String {
    fn from(key: RecipientKey) -> Self {
        key.0
    }
}

impl fmt::Display for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::schema::text_schema!(
    RecipientKey,
    "A public key that age encrypts to, without a comment",
    "^(age1|ssh-ed25519 |ssh-rsa )"
);

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    #[test]
    fn a_key_is_kept_without_its_comment() {
        let key: RecipientKey = format!(" {ED25519} anna@laptop\n").parse().unwrap();
        assert_eq!(key.as_str(), ED25519);
        let own = age::x25519::Identity::generate().to_public().to_string();
        assert_eq!(own.parse::<RecipientKey>().unwrap().as_str(), own);
    }

    #[test]
    fn what_is_no_public_key_is_refused_and_a_private_one_is_not_repeated() {
        for bad in ["", "age1abc", "ssh-dss AAAA", "ecdsa-sha2-nistp256 AAAA", &"a".repeat(9000)] {
            assert!(bad.parse::<RecipientKey>().is_err(), "{bad}");
        }
        let error = "AGE-SECRET-KEY-1CANARY".parse::<RecipientKey>().unwrap_err().to_string();
        assert!(!error.contains("CANARY"), "{error}");
    }
}
