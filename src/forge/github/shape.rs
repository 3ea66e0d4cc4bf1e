//! GitHub's answers, as far as they are read here. Fields that are not named here may come and go.

use serde::Deserialize;

use crate::forge::Code;
use crate::id::ProjectId;

/// What is kept of a description.
const DESCRIPTION_CHARS_MAX: usize = 500;
/// What is kept of a message in an error.
const MESSAGE_CHARS_MAX: usize = 200;

/// A repository.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) full_name: String,
    pub(super) owner: Account,
    #[serde(default)]
    pub(super) default_branch: Option<String>,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) archived: bool,
}

/// A person, organization or App.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Account {
    pub(super) login: String,
}

/// What an App may reach in one account.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Installation {
    pub(super) id: u64,
    pub(super) account: Option<Account>,
    #[serde(default)]
    pub(super) suspended_at: Option<String>,
}

/// A page of an installation's repositories.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct InstallationPage {
    pub(super) repositories: Vec<Repository>,
}

/// A token of an installation.
#[derive(Deserialize)]
pub(super) struct Minted {
    pub(super) token: String,
    pub(super) expires_at: String,
}

/// A refusal.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

impl Refusal {
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    pub(super) fn speaks_of_limit(&self) -> bool {
        let text = self.message.as_deref().unwrap_or_default().to_ascii_lowercase();
        text.contains("rate limit") || text.contains("abuse detection")
    }

    /// Its message and what it says of fields, in one line.
    pub(super) fn text(&self) -> String {
        let more = self.errors.iter().filter_map(|error| error.get("message").or(Some(error))?.as_str());
        let parts: Vec<&str> = self.message.as_deref().into_iter().chain(more).collect();
        shortened(&parts.join(": "), MESSAGE_CHARS_MAX)
    }

    pub(super) fn says_the_name_is_taken(&self) -> bool {
        self.text().contains("already exists")
    }
}

impl Repository {
    /// As a project's code; the name as it stands if it is no project's name. `host` is that of GitHub's pages.
    pub(super) fn code(self, host: &str) -> Result<Code, String> {
        let whole = |name: &str| {
            name.split('/').count() == 2
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        };
        let name = self.name.parse::<ProjectId>().ok().filter(|_| whole(&self.full_name));
        let Some(name) = name else { return Err(shortened(&self.full_name, MESSAGE_CHARS_MAX)) };
        let branch = self.default_branch.filter(|branch| is_branch(branch));
        Ok(Code {
            name,
            repository_id: Some(self.id),
            url: format!("{host}/{}", self.full_name),
            default_branch: branch.unwrap_or_else(|| "main".to_owned()),
            description: self
                .description
                .map(|text| shortened(&text, DESCRIPTION_CHARS_MAX))
                .filter(|text| !text.is_empty()),
            archived: self.archived,
        })
    }
}

/// Whether git takes this as a branch.
pub(crate) fn is_branch(name: &str) -> bool {
    name.len() <= 250
        && git2::Reference::is_valid_name(&format!("refs/heads/{name}"))
        && !name.starts_with('-')
}

/// In one line, without control characters, at most this long.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(chars_max).collect()
}
