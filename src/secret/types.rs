//! What a secret is: whose, its name and kind, and the file `secrets/<name>.yaml` that stands beside its ciphertext.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::recipients::RecipientKey;
use crate::clock::Time;
use crate::id::{BadName, ProjectId};
use crate::state::edit::Entity;
use crate::state::layout::RepoName;

pub use crate::id::SecretName;

/// What a secret opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretKind {
    /// GitHub; the secret is named `github`.
    Github,
    /// The drive of artifacts; the secret is named `drive`.
    Drive,
    /// The provider of the language model; the secret is named `llm`.
    Llm,
    /// Whatever a build needs, by a name of its own.
    Named,
}

impl SecretKind {
    /// The kind that a name says.
    pub fn of(name: &SecretName) -> Self {
        match name.as_str() {
            "github" => Self::Github,
            "drive" => Self::Drive,
            "llm" => Self::Llm,
            _ => Self::Named,
        }
    }

    /// The name of the one secret of this kind; a named one has a name of its own.
    pub fn name(self) -> Option<SecretName> {
        let word = match self {
            Self::Github => "github",
            Self::Drive => "drive",
            Self::Llm => "llm",
            Self::Named => return None,
        };
        Some(word.parse().expect("the words of kinds are names"))
    }
}

/// Whose secret it is: a project's, or the platform's default for every project that has none of that name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Scope {
    /// Every project's.
    Platform,
    /// One project's.
    Project(ProjectId),
}

/// The word for the platform where a project's name is expected. No project is named so: theirs begin with `mrx-`.
const PLATFORM: &str = "platform";

impl Scope {
    /// The repository whose `state` branch holds it.
    pub fn repo(&self) -> RepoName {
        match self {
            Self::Platform => RepoName::Platform,
            Self::Project(id) => RepoName::Project(id.clone()),
        }
    }

    /// Whose secrets a repository holds.
    pub fn of(repo: &RepoName) -> Self {
        repo.project().map_or(Self::Platform, |id| Self::Project(id.clone()))
    }
}

impl FromStr for Scope {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if text == PLATFORM { Ok(Self::Platform) } else { text.parse().map(Self::Project) }
    }
}

impl TryFrom<String> for Scope {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str(PLATFORM),
            Self::Project(id) => id.fmt(f),
        }
    }
}

/// A secret, as everybody may see it: all but its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// Its name, which its files are named by.
    pub name: SecretName,
    /// What it opens.
    pub kind: SecretKind,
    /// Who can read the ciphertext with plain age: the daemon's own key first.
    pub recipients: Vec<RecipientKey>,
    /// When it was first stored.
    pub created_at: Time,
    /// When its value was last replaced.
    pub rotated_at: Option<Time>,
    /// Who stored it first.
    pub created_by: String,
}

impl Entity for Secret {
    const KIND: &'static str = "secret";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_kind_and_the_platform_is_no_project() {
        for kind in [SecretKind::Github, SecretKind::Drive, SecretKind::Llm] {
            assert_eq!(kind.name().map(|name| SecretKind::of(&name)), Some(kind));
        }
        assert_eq!(SecretKind::of(&"signing-key".parse().unwrap()), SecretKind::Named);
        assert_eq!("platform".parse(), Ok(Scope::Platform));
        assert_eq!("mrx-a".parse(), Ok(Scope::Project("mrx-a".parse().unwrap())));
        assert!(!PLATFORM.starts_with(crate::forge::PREFIX), "the word cannot be a project's name");
    }
}
