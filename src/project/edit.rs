//! What people may change of a project, and what comes of it. Decides only.

use serde::Deserialize;
use utoipa::ToSchema;

use super::types::{Project, Retention};
use crate::forge::github::shape::is_branch;
use crate::http::input::present;
use crate::remote::Remote;

/// A title is a line.
const TITLE_CHARS_MAX: usize = 100;
/// A description is a few sentences.
const DESCRIPTION_CHARS_MAX: usize = 2000;
/// More jobs at once than this are not told apart from any number.
const CONCURRENCY_MAX: u16 = 1000;
/// More builds than this are kept by their age, or for ever.
const KEEP_BUILDS_MAX: u32 = 10_000;
/// Ten years; more is for ever.
const KEEP_DAYS_MAX: u32 = 3650;

/// What is to be changed: a field that is absent stays, one that is null goes back to what it is by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProjectEdit {
    /// What people call it, at most 100 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    title: Option<Option<String>>,
    /// What it is about, at most 2000 characters; null is what the forge says.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// The branch that is built if a job names none; null is the forge's.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    default_branch: Option<Option<String>>,
    /// How many of its jobs may be claimed or running at once, 1 to 1000; null is any number.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u16>)]
    concurrency: Option<Option<u16>>,
    /// Which artifacts it keeps; null is all for ever.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Retention>)]
    retention: Option<Option<Retention>>,
    /// A branch elsewhere that its state is pushed to, and that is merged back; null is none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Remote>)]
    remote: Option<Option<Remote>>,
    /// Of a fork: whether its jobs are handed out. When it begins to run, the open jobs of its source become its own.
    run: Option<bool>,
}

/// Why a change is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEdit {
    /// A text is too long.
    #[error("{field} has {found} characters, and at most {most} are kept")]
    TooLong {
        /// Which.
        field: &'static str,
        /// How long it is.
        found: usize,
        /// How long it may be.
        most: usize,
    },
    /// A line with control characters.
    #[error("{0} must be one line without control characters")]
    NotALine(&'static str),
    /// No number of jobs at once.
    #[error("concurrency is {0}; it can be 1 to {CONCURRENCY_MAX}, or null for any number")]
    BadConcurrency(u16),
    /// A rule that keeps too little or too much.
    #[error("retention.{field} is 1 to {most}, not {found}")]
    BadRetention {
        /// Which.
        field: &'static str,
        /// What it is.
        found: u32,
        /// What it may be.
        most: u32,
    },
    /// No branch.
    #[error("{0:?} is no name of a branch")]
    BadBranch(String),
}

impl ProjectEdit {
    /// Refuses what no project may have.
    pub fn check(&self) -> Result<(), BadEdit> {
        let texts = [
            ("title", &self.title, TITLE_CHARS_MAX),
            ("description", &self.description, DESCRIPTION_CHARS_MAX),
        ];
        for (field, text, most) in texts {
            let found = text.iter().flatten().map(|text| text.chars().count()).sum();
            if found > most {
                return Err(BadEdit::TooLong { field, found, most });
            }
        }
        if self.title.iter().flatten().any(|title| title.chars().any(char::is_control)) {
            return Err(BadEdit::NotALine("title"));
        }
        if let Some(bad) = self.concurrency.flatten().filter(|count| !(1..=CONCURRENCY_MAX).contains(count)) {
            return Err(BadEdit::BadConcurrency(bad));
        }
        let rules = self.retention.flatten().unwrap_or_default();
        for (field, value, most) in
            [("keepBuilds", rules.keep_builds, KEEP_BUILDS_MAX), ("keepDays", rules.keep_days, KEEP_DAYS_MAX)]
        {
            if let Some(found) = value.filter(|value| !(1..=most).contains(value)) {
                return Err(BadEdit::BadRetention { field, found, most });
            }
        }
        let branches = self.remote.iter().flatten().map(|remote| &remote.branch);
        match self.default_branch.iter().flatten().chain(branches).find(|branch| !is_branch(branch)) {
            Some(bad) => Err(BadEdit::BadBranch(bad.chars().take(80).collect())),
            None => Ok(()),
        }
    }

    /// The remote that it would have.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()?.as_ref()
    }

    /// Whether it would run, if it is a fork.
    pub fn run(&self) -> Option<bool> {
        self.run
    }

    /// The project as it is then.
    pub fn applied_to(&self, known: &Project) -> Project {
        let mut next = known.clone();
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(title) = &self.title {
            next.title = text(title);
        }
        if let Some(description) = &self.description {
            next.description = description.clone().or_else(|| known.forge.description.clone());
        }
        if let Some(branch) = &self.default_branch {
            let forges = known.forge.default_branch.clone();
            next.default_branch = branch.clone().or(forges).unwrap_or_else(|| known.default_branch.clone());
        }
        if let Some(concurrency) = self.concurrency {
            next.concurrency = concurrency;
        }
        if let Some(retention) = self.retention {
            next.retention = retention.filter(|rules| !rules.keeps_all());
        }
        if let Some(remote) = &self.remote {
            next.remote = remote.clone();
        }
        if let (Some(run), Some(of)) = (self.run, &mut next.fork_of) {
            of.run = run;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(json: &str) -> ProjectEdit {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn absent_is_not_null() {
        assert_eq!(edit("{}"), ProjectEdit::default());
        assert_eq!(edit(r#"{"title": null}"#).title, Some(None));
        assert!(serde_json::from_str::<ProjectEdit>(r#"{"repo": "x"}"#).is_err());
    }

    #[test]
    fn what_no_project_may_have_is_refused() {
        assert_eq!(edit(r#"{"title": "a\nb"}"#).check(), Err(BadEdit::NotALine("title")));
        let long = format!(r#"{{"title": "{}"}}"#, "x".repeat(101));
        assert_eq!(edit(&long).check(), Err(BadEdit::TooLong { field: "title", found: 101, most: 100 }));
        for bad in ["-x", "a..b", "a b", "", "x.lock"] {
            let json = format!(r#"{{"defaultBranch": "{bad}"}}"#);
            assert_eq!(edit(&json).check(), Err(BadEdit::BadBranch(bad.to_owned())));
        }
        for bad in [0, 1001] {
            let json = format!(r#"{{"concurrency": {bad}}}"#);
            assert_eq!(edit(&json).check(), Err(BadEdit::BadConcurrency(bad)));
        }
        for good in ["1", "1000", "null"] {
            assert_eq!(edit(&format!(r#"{{"concurrency": {good}}}"#)).check(), Ok(()));
        }
        assert_eq!(edit(r#"{"defaultBranch": "feature/x"}"#).check(), Ok(()));
        let none = BadEdit::BadRetention { field: "keepBuilds", found: 0, most: 10_000 };
        assert_eq!(edit(r#"{"retention": {"keepBuilds": 0}}"#).check(), Err(none));
        assert!(edit(r#"{"retention": {"keepDays": 3651}}"#).check().is_err());
        assert_eq!(edit(r#"{"retention": {"keepDays": 3650}}"#).check(), Ok(()));
    }
}
