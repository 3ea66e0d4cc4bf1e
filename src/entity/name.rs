//! What a thing of a project's state is called: by its id, or by the path of one of its files.

use std::fmt;

use crate::id::{ArtifactId, ChatId, JobId, ScheduleName, SecretName, WebhookId};
use crate::state::layout::{self, place::Place};

/// A thing that has files on the branch `state`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// A job.
    Job(JobId),
    /// A chat with its messages.
    Chat(ChatId),
    /// What every model is told first.
    Prompt,
    /// A schedule.
    Schedule(ScheduleName),
    /// The entry of an artifact.
    Artifact(ArtifactId),
    /// An outbound webhook.
    Webhook(WebhookId),
    /// A secret.
    Secret(SecretName),
    /// The project itself.
    Project,
    /// What the forge has told of the code.
    Code,
}

impl Name {
    /// What has a file at this place.
    pub fn of(place: &Place) -> Self {
        match place {
            Place::OpenJob(id) | Place::DoneJob(id, _) => Self::Job(id.clone()),
            Place::Chat(id) | Place::ChatSegment(id, _) => Self::Chat(id.clone()),
            Place::Prompt => Self::Prompt,
            Place::Schedule(name) => Self::Schedule(name.clone()),
            Place::Artifact(id) => Self::Artifact(id.clone()),
            Place::Webhook(id) => Self::Webhook(id.clone()),
            Place::Secret(name) | Place::Ciphertext(name) => Self::Secret(name.clone()),
            Place::ProjectFile => Self::Project,
            Place::CodeFile => Self::Code,
        }
    }

    /// What has a file at this path; a chat also has its folder.
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if let Some(place) = Place::of(path) {
            return Some(Self::of(&place));
        }
        let chat: ChatId = layout::stem(path).parse().ok()?;
        (layout::chat_folder(&chat) == path).then_some(Self::Chat(chat))
    }

    /// What is called by this id: a job, a chat, an artifact or a webhook, or `prompt`.
    pub fn of_id(text: &str) -> Option<Self> {
        let job = text.parse().map(Self::Job).ok();
        job.or_else(|| text.parse().map(Self::Chat).ok())
            .or_else(|| text.parse().map(Self::Artifact).ok())
            .or_else(|| text.parse().map(Self::Webhook).ok())
            .or_else(|| (text == "prompt").then_some(Self::Prompt))
    }

    /// The word for its kind, as events have it: `job`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Job(_) => "job",
            Self::Chat(_) => "chat",
            Self::Prompt => "prompt",
            Self::Schedule(_) => "schedule",
            Self::Artifact(_) => "artifact",
            Self::Webhook(_) => "webhook",
            Self::Secret(_) => "secret",
            Self::Project => "project",
            Self::Code => "code",
        }
    }

    /// What it is called among those of its kind; nothing where there is one alone.
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Job(id) => Some(id.to_string()),
            Self::Chat(id) => Some(id.to_string()),
            Self::Schedule(name) => Some(name.to_string()),
            Self::Artifact(id) => Some(id.to_string()),
            Self::Webhook(id) => Some(id.to_string()),
            Self::Secret(name) => Some(name.to_string()),
            Self::Prompt | Self::Project | Self::Code => None,
        }
    }
}

/// `job job-…`, as the first line of a commit says it.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        self.id().map_or(Ok(()), |id| write!(f, " {id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_found_by_its_id_and_by_any_of_its_paths() {
        let chat: ChatId = "chat-01jd000000000000000000007k".parse().unwrap();
        let name = Name::Chat(chat.clone());
        let folder = layout::chat_folder(&chat);
        for path in
            [layout::chat(&chat), layout::chat_segment(&chat, 1), folder.clone(), format!("{folder}/")]
        {
            assert_eq!(Name::of_path(&path), Some(name.clone()), "{path}");
        }
        assert_eq!(Name::of_id(chat.as_str()), Some(name.clone()));
        assert_eq!(name.to_string(), "chat chat-01jd000000000000000000007k");
        assert_eq!(
            Name::of_path("schedules/nightly.yaml").map(|name| name.to_string()),
            Some("schedule nightly".to_owned())
        );
        for nothing in ["", "chats", "chats/x/chat-01jd000000000000000000007k", "jobs/open", "nightly"] {
            assert_eq!(Name::of_path(nothing).or_else(|| Name::of_id(nothing)), None, "{nothing}");
        }
    }
}
