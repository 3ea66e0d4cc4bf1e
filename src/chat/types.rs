//! What a chat and its messages are: the types, which are also their files and their JSON.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::clock::Time;
use crate::id::{ArtifactId, ChatId, JobId};
use crate::state::edit::{Actor, Entity};

/// Which model answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LlmMode {
    /// The one at the address that the project's secret `llm` names.
    #[default]
    Custom,
    /// One of OpenAI's, unless the secret names another address.
    Openai,
}

/// A chat, without its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chat {
    /// Its id, which its folder is named by.
    pub chat_id: ChatId,
    /// What it is about, in at most 200 characters.
    pub title: String,
    /// Which model answers.
    pub llm_mode: LlmMode,
    /// How many messages it has; they are numbered from 1.
    pub messages: u64,
    /// The number of the first message in the newest segment, by which that file is named; 0 without messages.
    pub last_segment: u64,
    /// The job that answers the newest message of a person, or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_job: Option<JobId>,
    /// When it began.
    pub created_at: Time,
    /// When its title, its mode or its messages last changed.
    pub updated_at: Time,
}

impl Entity for Chat {
    const KIND: &'static str = "chat";
}

impl Chat {
    /// What tells this version of the chat from every other, for `ETag` and `If-Match`.
    pub fn version(&self) -> String {
        let json = serde_json::to_vec(self).expect("a chat has string keys");
        Sha256::digest(json).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Messages that stand in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Segment {
    /// Whose.
    pub chat_id: ChatId,
    /// They, in order.
    pub messages: Vec<Message>,
}

impl Entity for Segment {
    const KIND: &'static str = "chat segment";
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Message {
    /// Its place in the chat: 1 is the first.
    pub number: u64,
    /// Whose turn it is.
    pub role: Role,
    /// Who wrote it.
    pub author: Author,
    /// What it says.
    pub parts: Vec<Part>,
    /// The job that answers it, or for an answer the job that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// For an answer, the model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The answer was cancelled; this is what there was of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// The answer goes on in the next message: it is longer than one may be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continued: bool,
    /// When it was written.
    pub created_at: Time,
}

/// Whose turn a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MessageRole)]
pub enum Role {
    /// A person's.
    User,
    /// The model's.
    Assistant,
}

/// Who wrote a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Author {
    /// `user` or `agent`: what the name is a name of.
    pub kind: String,
    /// The name.
    pub name: String,
}

impl From<&Actor> for Author {
    fn from(actor: &Actor) -> Self {
        Self { kind: actor.kind.to_owned(), name: actor.name.as_ref().to_owned() }
    }
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Part {
    /// Text.
    Text {
        /// It.
        text: String,
    },
    /// A file of the project.
    File {
        /// Its entry.
        #[serde(rename = "artifactId")]
        artifact_id: ArtifactId,
    },
}

impl Part {
    /// Its text; empty for a file.
    pub fn text(&self) -> &str {
        match self {
            Part::Text { text } => text,
            Part::File { .. } => "",
        }
    }
}

/// What every model is told first about a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prompt {
    /// It, in at most 16 KiB.
    pub text: String,
    /// When it was set.
    pub updated_at: Time,
}

impl Entity for Prompt {
    const KIND: &'static str = "prompt";
}
