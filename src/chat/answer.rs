//! What a job's agent answers: appended to the chat in the commit that ends the job.

use std::sync::Arc;

use serde::Deserialize;
use utoipa::ToSchema;

use super::chats::{Chats, appended, chat_of, find};
use super::error::ChatError;
use super::live::ANSWER_BYTES_MAX;
use super::segments;
use super::types::{Author, Chat, Message, Part, Role};
use crate::clock::Time;
use crate::job::also::Also;
use crate::job::jobs::agent_of;
use crate::job::{Job, JobError, JobState};
use crate::state::edit::Edit;
use crate::state::layout;
use crate::state::repo::View;

/// Characters of a model's name.
const MODEL_CHARS_MAX: usize = 200;

/// What a job's agent answers, as it ends the job.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// The whole text, at most 256 KiB; of a cancelled job what there was of it.
    pub text: String,
    /// The model that wrote it.
    pub model: Option<String>,
}

impl Chats {
    /// What is added to the commit of a report that may end a job: the answer's messages. A chat's job cannot be completed
    /// without an answer, and no other job has one.
    pub fn also(&self, answer: Option<Answer>) -> Also {
        let now = self.clock.now();
        Box::new(move |view, job| edits(view, job, answer, now).map_err(refused))
    }
}

/// The report is refused as a whole, so the reason is one of a report.
fn refused(error: ChatError) -> JobError {
    match error {
        ChatError::Job(error) => error,
        ChatError::Engine(error) => error.into(),
        ChatError::Bad(bad) => bad.into(),
        other => JobError::Invalid(other.to_string()),
    }
}

fn edits(view: &mut View<'_>, job: &Job, answer: Option<Answer>, now: Time) -> Result<Vec<Edit>, ChatError> {
    let invalid = |text: &str| Err(ChatError::Invalid(text.to_owned()));
    let (chat, answer) = match (chat_of(job), answer, job.state) {
        (Some(_), None, JobState::Completed) => {
            return invalid("a job that answers a chat is completed with its answer");
        }
        (_, None, _) => return Ok(Vec::new()),
        (None, Some(_), _) => return invalid("this job answers no chat, so it has no answer"),
        (Some(chat), Some(answer), JobState::Completed | JobState::Cancelled) => (chat, answer),
        (Some(_), Some(_), _) => return invalid("an answer goes with state: completed or cancelled"),
    };
    if answer.text.len() > ANSWER_BYTES_MAX {
        return Err(ChatError::AnswerTooLarge(ANSWER_BYTES_MAX));
    }
    if job.state == JobState::Completed && answer.text.trim().is_empty() {
        return invalid("the answer is empty; a model that says nothing has failed");
    }
    let chat = match find(view, &chat) {
        // Whoever removed the chat does not want its answer.
        Err(ChatError::Unknown(_)) => return Ok(Vec::new()),
        found => found?,
    };
    let messages = messages(&chat, job, &answer, now);
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let (chat, mut edits) = appended(view, &chat, messages, now)?;
    edits.push(Edit::put(layout::chat(&chat.chat_id), Arc::new(chat)));
    Ok(edits)
}

/// The answer as messages: one, unless it is longer than one may be.
fn messages(chat: &Chat, job: &Job, answer: &Answer, now: Time) -> Vec<Message> {
    let model: Option<String> =
        answer.model.as_ref().map(|name| name.chars().take(MODEL_CHARS_MAX).collect());
    let message = |text: &str| Message {
        number: chat.messages,
        role: Role::Assistant,
        author: Author::from(&agent_of(job)),
        parts: vec![Part::Text { text: text.to_owned() }],
        job_id: Some(job.job_id.clone()),
        model: model.clone(),
        interrupted: job.state == JobState::Cancelled,
        continued: true,
        created_at: now,
    };
    let pieces = segments::pieces(&answer.text, |text| segments::check_size(&message(text)).is_ok());
    let count = pieces.len();
    let numbered = |(place, text): (usize, &str)| Message {
        number: chat.messages + 1 + place as u64,
        continued: place + 1 < count,
        ..message(text)
    };
    pieces.into_iter().enumerate().map(numbered).collect()
}
