//! A secret's text: not shown by `Debug`, never written by `serde`, and wiped when it is dropped.

use std::fmt;

use age::secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// A secret's text.
#[derive(Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.reveal().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_when_it_is_printed() {
        let text: SecretText = serde_json::from_str(r#""canary""#).unwrap();
        assert_eq!((format!("{text:?}"), text.reveal()), ("[secret]".to_owned(), "canary"));
    }
}
