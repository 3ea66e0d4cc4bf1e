//! How a URL names a repository: `mrx-weather.git`, or `platform.git`.

use std::str::FromStr;

use serde::Deserialize;

use crate::id::{BadName, ProjectId};
use crate::state::layout::RepoName;

/// A repository in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum RepoPath {
    /// `platform.git`.
    Platform,
    /// `mrx-weather.git`.
    Project(ProjectId),
}

impl RepoPath {
    /// The state repository.
    pub fn name(&self) -> RepoName {
        match self {
            RepoPath::Platform => RepoName::Platform,
            RepoPath::Project(project) => RepoName::Project(project.clone()),
        }
    }
}

impl FromStr for RepoPath {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let name = text.strip_suffix(".git").unwrap_or(text);
        if name == "platform" { Ok(Self::Platform) } else { name.parse().map(Self::Project) }
    }
}

impl TryFrom<String> for RepoPath {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

crate::schema::text_schema!(
    RepoPath,
    "a repository in a URL: a project's name or `platform`, with `.git`",
    "^[a-z0-9][a-z0-9-]{0,62}(\\.git)?$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_by_its_project_and_nothing_else_is_a_name() {
        assert_eq!("platform.git".parse(), Ok(RepoPath::Platform));
        assert_eq!("mrx-a.git".parse(), Ok(RepoPath::Project("mrx-a".parse().unwrap())));
        for bad in ["../x.git", "mrx-a.git.git", "Mrx.git", "-a.git", ".git", ""] {
            assert!(bad.parse::<RepoPath>().is_err(), "{bad}");
        }
    }
}
