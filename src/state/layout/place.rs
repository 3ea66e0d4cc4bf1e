//! What a path of a project's branch `state` is the path of: the functions of [`super`], backwards.

use super::{
    ARTIFACTS, CHAT_FILE, CHATS, CODE_FILE, DONE_JOBS, OPEN_JOBS, PROJECT_FILE, PROMPT, SCHEDULES, SECRETS,
    WEBHOOKS, stem,
};
use crate::clock::Time;
use crate::id::{ArtifactId, ChatId, JobId, ScheduleName, SecretName, WebhookId};

/// What a file is, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A job that has not ended.
    OpenJob(JobId),
    /// A job that ended on a day.
    DoneJob(JobId, String),
    /// A chat, without its messages.
    Chat(ChatId),
    /// Messages of a chat, from this number on.
    ChatSegment(ChatId, u64),
    /// What every model is told first.
    Prompt,
    /// A schedule.
    Schedule(ScheduleName),
    /// The entry of an artifact.
    Artifact(ArtifactId),
    /// An outbound webhook.
    Webhook(WebhookId),
    /// All of a secret but its value.
    Secret(SecretName),
    /// The value of a secret, encrypted.
    Ciphertext(SecretName),
    /// What the project's clone says about itself.
    ProjectFile,
    /// What the forge has told of the code.
    CodeFile,
}

impl Place {
    /// What the file at a path is; `None` for a path that no file of an entity has.
    pub fn of(path: &str) -> Option<Self> {
        let place = Self::guess(path)?;
        // A path that leads to the same id in another way, as with other folders, is another path.
        (place.path() == path).then_some(place)
    }

    /// Its path.
    pub fn path(&self) -> String {
        match self {
            Self::OpenJob(id) => super::open_job(id),
            Self::DoneJob(id, day) => super::done_job_on(id, day),
            Self::Chat(id) => super::chat(id),
            Self::ChatSegment(id, first) => super::chat_segment(id, *first),
            Self::Prompt => PROMPT.to_owned(),
            Self::Schedule(name) => super::schedule(name),
            Self::Artifact(id) => super::artifact(id),
            Self::Webhook(id) => super::webhook(id),
            Self::Secret(name) => super::secret(name),
            Self::Ciphertext(name) => super::secret_ciphertext(name),
            Self::ProjectFile => PROJECT_FILE.to_owned(),
            Self::CodeFile => CODE_FILE.to_owned(),
        }
    }

    fn guess(path: &str) -> Option<Self> {
        let below = |folder: &str| path.strip_prefix(folder)?.strip_prefix('/');
        if path == PROMPT {
            Some(Self::Prompt)
        } else if path == PROJECT_FILE {
            Some(Self::ProjectFile)
        } else if path == CODE_FILE {
            Some(Self::CodeFile)
        } else if below(OPEN_JOBS).is_some() {
            stem(path).parse().ok().map(Self::OpenJob)
        } else if let Some(rest) = below(DONE_JOBS) {
            let (day, _) = rest.split_once('/').filter(|(day, _)| is_day(day))?;
            stem(path).parse().ok().map(|id| Self::DoneJob(id, day.to_owned()))
        } else if let Some(rest) = below(CHATS) {
            Self::guess_chat(rest)
        } else if below(SCHEDULES).is_some() {
            stem(path).parse().ok().map(Self::Schedule)
        } else if below(ARTIFACTS).is_some() {
            stem(path).parse().ok().map(Self::Artifact)
        } else if below(WEBHOOKS).is_some() {
            stem(path).parse().ok().map(Self::Webhook)
        } else if let Some(rest) = below(SECRETS) {
            match rest.strip_suffix(".age") {
                Some(name) => name.parse().ok().map(Self::Ciphertext),
                None => stem(path).parse().ok().map(Self::Secret),
            }
        } else {
            None
        }
    }

    /// `4/k/7/chat-…/chat.yaml` and `4/k/7/chat-…/messages/000001.yaml`.
    fn guess_chat(rest: &str) -> Option<Self> {
        let parts: Vec<&str> = rest.split('/').collect();
        match parts[..] {
            [_, _, _, chat, CHAT_FILE] => chat.parse().ok().map(Self::Chat),
            [_, _, _, chat, _, name] => {
                Some(Self::ChatSegment(chat.parse().ok()?, super::chat_segment_first(name)?))
            }
            _ => None,
        }
    }
}

fn is_day(text: &str) -> bool {
    let time: Option<Time> = format!("{text}T00:00:00.000Z").parse().ok();
    time.is_some_and(|time| time.day() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_reads_back_as_what_it_is_of() {
        let id = "01jd000000000000000000007k";
        let (job, chat): (JobId, ChatId) =
            (format!("job-{id}").parse().unwrap(), format!("chat-{id}").parse().unwrap());
        for place in [
            Place::OpenJob(job.clone()),
            Place::DoneJob(job, "2026-11-20".to_owned()),
            Place::Chat(chat.clone()),
            Place::ChatSegment(chat, 33),
            Place::Prompt,
            Place::Schedule("nightly".parse().unwrap()),
            Place::Artifact(format!("art-{id}").parse().unwrap()),
            Place::Webhook(format!("hook-{id}").parse().unwrap()),
            Place::Secret("github".parse().unwrap()),
            Place::Ciphertext("github".parse().unwrap()),
            Place::ProjectFile,
            Place::CodeFile,
        ] {
            assert_eq!(Place::of(&place.path()), Some(place.clone()), "{}", place.path());
        }
    }

    #[test]
    fn a_path_that_is_only_like_one_is_none() {
        for path in [
            "",
            "README.md",
            "jobs/open",
            "jobs/open/job-01jd000000000000000000007k.yaml",
            "jobs/open/0/7/k/job-01jd000000000000000000007k.yml",
            "jobs/open/0/7/k/0/job-01jd000000000000000000007k.yaml",
            "jobs/open/0/7/x/job-01jd000000000000000000007k.yaml",
            "jobs/done/2026-13-01/0/7/k/job-01jd000000000000000000007k.yaml",
            "jobs/done/0/7/k/job-01jd000000000000000000007k.yaml",
            "chats/0/7/k/chat-01jd000000000000000000007k/messages/1.yaml",
            "chats/0/7/k/chat-01jd000000000000000000007k/other/000001.yaml",
            "schedules/a/nightly.yaml",
            "secrets/github",
            ".mrx/schema/job.json",
        ] {
            assert_eq!(Place::of(path), None, "{path}");
        }
    }
}
