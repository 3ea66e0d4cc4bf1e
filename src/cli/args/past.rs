//! What is typed for the past: history, differences, putting back, forks.

use clap::Args;

use super::{Common, Part};
use crate::id::ProjectId;
use crate::state::oid::Oid;

/// `mrx history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The server.
    #[command(flatten)]
    pub common: Common,
    /// Which project.
    pub project: ProjectId,
    /// Only what touched this: the id of a job, chat, artifact or webhook, or a path such as schedules/nightly.yaml.
    pub about: Option<String>,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// `mrx diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The server.
    #[command(flatten)]
    pub common: Common,
    /// Which project.
    pub project: ProjectId,
    /// From when: a commit of the project's state, or a time such as 2026-11-20T18:30:00Z.
    #[arg(required_unless_present = "commit")]
    pub from: Option<String>,
    /// Up to when, in the same way; now if absent.
    pub to: Option<String>,
    /// What this one commit changed instead.
    #[arg(long, value_name = "OID", conflicts_with = "from")]
    pub commit: Option<Oid>,
}

/// `mrx revert`.
#[derive(Debug, Args)]
pub struct RevertArgs {
    /// The server.
    #[command(flatten)]
    pub common: Common,
    /// Which project.
    pub project: ProjectId,
    /// What: the id of a job, chat, artifact or webhook, `prompt`, or a path such as schedules/nightly.yaml.
    pub what: String,
    /// To when: a commit of the project's state, or a time such as 2026-11-20T18:30:00Z.
    #[arg(long, value_name = "COMMIT|TIME")]
    pub to: String,
    /// Shows what would change, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `mrx fork`.
#[derive(Debug, Args)]
pub struct ForkArgs {
    /// The server.
    #[command(flatten)]
    pub common: Common,
    /// Of which project.
    pub project: ProjectId,
    /// What the fork is called; a name is made from the project's if absent.
    pub name: Option<ProjectId>,
    /// Where its state starts: a commit of the project's state, or a time; now if absent.
    #[arg(long, value_name = "COMMIT|TIME")]
    pub at: Option<String>,
    /// Hands its jobs out, and lets its schedules make some.
    #[arg(long)]
    pub run: bool,
}
