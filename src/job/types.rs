//! What a job is: the type, which is also its file `jobs/…/job-….yaml` and its JSON.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::id::{AgentId, GroupName, JobId, Label, LeaseId, ProjectId, ScheduleName};
use crate::state::edit::Entity;
use crate::state::object::Object;

/// What kind of work a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobType {
    /// Answer the last message of a chat.
    Chat,
    /// Change the project's code.
    Patch,
    /// Build the project's code.
    Build,
    /// Read artifacts and files anew.
    IndexRebuild,
}

impl JobType {
    /// Whether it may run again without anybody asking: it has no side effects but its result.
    pub fn is_repeatable(self) -> bool {
        matches!(self, JobType::Chat | JobType::IndexRebuild)
    }

    /// The word for it in files and answers.
    pub fn word(self) -> &'static str {
        match self {
            JobType::Chat => "chat",
            JobType::Patch => "patch",
            JobType::Build => "build",
            JobType::IndexRebuild => "index-rebuild",
        }
    }
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for an agent.
    Pending,
    /// An agent has it and has not begun.
    Claimed,
    /// An agent works on it.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly; `failure` says why.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
}

impl JobState {
    /// Whether nothing more will happen to it, unless somebody asks for a retry.
    pub fn has_ended(self) -> bool {
        matches!(self, JobState::Completed | JobState::Failed | JobState::Cancelled)
    }

    /// The word for it in files and answers.
    pub fn word(self) -> &'static str {
        match self {
            JobState::Pending => "pending",
            JobState::Claimed => "claimed",
            JobState::Running => "running",
            JobState::Completed => "completed",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Job {
    /// Its id, which its file is named by.
    pub job_id: JobId,
    /// Whose job it is.
    pub project_id: ProjectId,
    /// What kind of work it is.
    #[serde(rename = "type")]
    pub kind: JobType,
    /// Where it is in its life.
    pub state: JobState,
    /// Jobs of higher priority are claimed first; 0 is ordinary.
    #[serde(default)]
    pub priority: i8,
    /// What an agent must offer to get it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// The jobs that must complete before it is handed out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<JobId>,
    /// Since when all of them have; while it is absent the job is not handed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_met_at: Option<Time>,
    /// Of the jobs of its project with the same group one is held at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_group: Option<GroupName>,
    /// The schedule that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleName>,
    /// What to do, as its type needs it.
    #[serde(default)]
    pub payload: Object,
    /// How often it was started or is about to be: 1 is the first time.
    pub attempt: u32,
    /// The attempts before this one that an agent had, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// How long it may run, from claim to end, in seconds.
    pub timeout_seconds: u32,
    /// Who has it, or had it last.
    pub claimed_by: Option<AgentId>,
    /// The lease of the agent that has it. In files only: answers leave it out, but to the claim that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Somebody asked for it to be cancelled, and its agent is about to learn of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// What its agent last said of how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Object>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The whole log of the last attempt, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSum>,
    /// The job's first moment.
    pub created_at: Time,
    /// Its last change.
    pub updated_at: Time,
    /// When this attempt was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<Time>,
    /// When this attempt began to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}

impl Entity for Job {
    const KIND: &'static str = "job";
}

impl Job {
    /// The day on whose log branch an attempt's log stands: the day it was claimed, if it was.
    pub fn log_day(&self, attempt: u32) -> Option<String> {
        if attempt == self.attempt {
            return self.claimed_at.map(Time::day);
        }
        self.earlier.iter().find(|earlier| earlier.attempt == attempt).map(|earlier| earlier.claimed_at.day())
    }

    /// Whether it waits for other jobs, and not yet for an agent.
    pub fn is_blocked(&self) -> bool {
        self.state == JobState::Pending && !self.needs.is_empty() && self.needs_met_at.is_none()
    }

    /// The job as answers show it: without its lease, which is only for the agent that holds it.
    pub fn shown(&self) -> Job {
        Job { lease: None, ..self.clone() }
    }

    /// What tells this version of the job from every other, for `ETag` and `If-Match`.
    pub fn version(&self) -> String {
        let json = serde_json::to_vec(&self.shown()).expect("a job has string keys");
        Sha256::digest(json).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// An attempt before the present one: who had it, and since when. Its log is on the branch of that day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Earlier {
    /// Which one.
    pub attempt: u32,
    /// Who had it.
    pub claimed_by: AgentId,
    /// Since when.
    pub claimed_at: Time,
}

/// One agent's hold on one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lease {
    /// The fencing token.
    pub id: LeaseId,
    /// The idempotency key of the claim, so that a repeated claim finds the job again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestKey>,
    /// When its token for secrets was redeemed, which it can be once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_redeemed_at: Option<Time>,
}

/// Why a job failed, for programs and for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// A stable word: `stepFailed`.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// Whatever belongs to the code.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub details: Object,
}

/// What a whole log must be, or is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogSum {
    /// Bytes.
    pub size: u64,
    /// SHA-256 in 64 hexadecimal digits.
    pub sha256: String,
}

/// An idempotency key: 1 to 128 visible ASCII characters, so that it can stand in a commit's trailer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestKey(String);

/// The text is no idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an Idempotency-Key is 1 to 128 visible ASCII characters")]
pub struct BadRequestKey;

impl RequestKey {
    /// The key itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestKey {
    type Err = BadRequestKey;
    fn from_str(text: &str) -> Result<Self, BadRequestKey> {
        let good = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if good { Ok(Self(text.to_owned())) } else { Err(BadRequestKey) }
    }
}

impl TryFrom<String> for RequestKey {
    type Error = BadRequestKey;
    fn try_from(text: String) -> Result<Self, BadRequestKey> {
        text.parse()
    }
}

impl From<RequestKey> for String {
    fn from(key: RequestKey) -> Self {
        key.0
    }
}

crate::schema::text_schema!(
    RequestKey,
    "An idempotency key: 1 to 128 visible ASCII characters",
    "^[!-~]{1,128}$"
);
