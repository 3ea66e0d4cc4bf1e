//! Forges: where projects come from. Each shows which repositories of code there are, and makes new ones.
//!
//! - [`local`] is a folder of bare repositories, the default   - [`github`] is GitHub, or GitHub Enterprise Server
//! - [`webhook`] decides what a delivery of GitHub means   - [`api`] takes deliveries
//!
//! Invariant: a listing that failed in any part is not whole, and nothing is concluded from what it lacks.

pub mod api;
pub mod github;
pub mod local;
pub mod secret;
pub mod webhook;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::id::ProjectId;
use github::{GitHub, GitHubError};
use local::{LocalForge, LocalForgeError};

/// What a project's repository is named by, unless another prefix is configured.
pub const PREFIX: &str = "mrx-";

/// Which kind of forge has a project's code.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ForgeKind {
    /// A folder of bare repositories on the daemon's machine.
    #[default]
    Local,
    /// GitHub.
    GitHub,
}

/// A repository of code that is a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The repository's name, which becomes the project's when it is first seen.
    pub name: ProjectId,
    /// The forge's own number of it, which stays when it is renamed; a folder has none.
    pub repository_id: Option<u64>,
    /// Where it is: a path, or `github.com/acme/mrx-weather`.
    pub url: String,
    /// The branch that is built if a job names none.
    pub default_branch: String,
    /// What the forge says it is about.
    pub description: Option<String>,
    /// Whether the forge takes no more changes to it.
    pub archived: bool,
}

impl Code {
    /// The repository of a folder.
    pub fn in_folder(name: ProjectId, path: impl Into<String>, default_branch: impl Into<String>) -> Self {
        let (url, default_branch) = (path.into(), default_branch.into());
        Self { name, repository_id: None, url, default_branch, description: None, archived: false }
    }
}

/// What a forge showed when it was asked for everything.
#[derive(Debug, Default)]
pub struct Listing {
    /// The repositories of projects.
    pub found: Vec<Code>,
    /// Repositories with the prefix whose name is no project's name.
    pub passed_over: Vec<String>,
    /// Why it is not whole, if it is not.
    pub failure: Option<ForgeError>,
}

/// A repository to be made.
#[derive(Clone, Debug)]
pub struct NewCode {
    /// Its name.
    pub name: ProjectId,
    /// The account or organization it is made for; the first configured one if absent.
    pub owner: Option<String>,
    /// Whether only invited people see it.
    pub private: bool,
    /// What it is about.
    pub description: Option<String>,
}

/// Why a forge did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// The folder.
    #[error(transparent)]
    Local(#[from] LocalForgeError),
    /// GitHub.
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    /// The call was cut off.
    #[error("the forge was not asked: the daemon is stopping")]
    Stopping,
    /// The request does not fit this forge.
    #[error("{0}")]
    Invalid(String),
}

impl ForgeError {
    /// A stable word for what is wrong, which may be shown to anybody.
    pub fn code(&self) -> &'static str {
        match self {
            ForgeError::Local(_) => "folderUnusable",
            ForgeError::GitHub(error) => error.code(),
            ForgeError::Stopping => "stopping",
            ForgeError::Invalid(_) => "badRequest",
        }
    }
}

/// The forge of a daemon. A clone is the same.
#[derive(Clone, Debug)]
pub enum Forge {
    /// A folder.
    Local(LocalForge),
    /// GitHub.
    GitHub(GitHub),
}

impl Forge {
    /// Which kind it is.
    pub fn kind(&self) -> ForgeKind {
        match self {
            Forge::Local(_) => ForgeKind::Local,
            Forge::GitHub(_) => ForgeKind::GitHub,
        }
    }

    /// What the names of projects' repositories begin with.
    pub fn prefix(&self) -> &str {
        match self {
            Forge::Local(_) => PREFIX,
            Forge::GitHub(github) => github.prefix(),
        }
    }

    /// Shows every repository that is a project.
    pub async fn list(&self) -> Listing {
        match self {
            Forge::GitHub(github) => github.list().await,
            Forge::Local(folder) => {
                let folder = folder.clone();
                match tokio::task::spawn_blocking(move || folder.list()).await {
                    Ok(Ok(found)) => Listing { found, ..Listing::default() },
                    Ok(Err(error)) => Listing { failure: Some(error.into()), ..Listing::default() },
                    Err(_) => Listing { failure: Some(ForgeError::Stopping), ..Listing::default() },
                }
            }
        }
    }

    /// Whether a repository that a whole listing lacked is gone. GitHub's pages shift while repositories come and go, so
    /// it is asked for the one; a folder is listed at once, and what it lacks is not there.
    pub async fn is_gone(&self, url: &str, repository_id: Option<u64>) -> Result<bool, ForgeError> {
        match self {
            Forge::Local(_) => Ok(true),
            Forge::GitHub(github) => Ok(github.is_gone(url, repository_id).await?),
        }
    }

    /// Makes a repository, or shows the one of this name that is there already.
    pub async fn create(&self, new: NewCode) -> Result<Code, ForgeError> {
        match self {
            Forge::GitHub(github) => github.create(&new).await,
            Forge::Local(_) if new.owner.is_some() => {
                Err(ForgeError::Invalid("a folder of repositories has no owners; leave owner out".to_owned()))
            }
            Forge::Local(folder) => {
                let folder = folder.clone();
                let made = tokio::task::spawn_blocking(move || folder.create(&new)).await;
                Ok(made.map_err(|_| ForgeError::Stopping)??)
            }
        }
    }

    /// Until when it must not be asked again, if it has said so.
    pub fn waits_until(&self) -> Option<Time> {
        match self {
            Forge::Local(_) => None,
            Forge::GitHub(github) => github.waits_until(),
        }
    }
}
