//! Every change of a chat: one commit each, with the job that answers in the same commit.

use std::sync::Arc;

use super::error::ChatError;
use super::live::Live;
use super::read::Metas;
use super::segments::{self, CHAT_MESSAGES_MAX, Filling};
use super::types::{Author, Chat, LlmMode, Message, Part, Prompt, Role, Segment};
use crate::clock::{Clock, Time};
use crate::id::{ChatId, IdMaker, JobId, ProjectId};
use crate::job::also::{cancelled, queued};
use crate::job::open::OpenJobs;
use crate::job::types::RequestKey;
use crate::job::{Job, JobState, JobType, Jobs};
use crate::job::{NewJob, pending};
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::object::Object;
use crate::state::repo::{Decision, View};
use crate::state::store::{Done, State};
use crate::state::yaml;

/// How long an answer may take, in seconds, with all waits for a busy model.
const ANSWER_SECONDS: u32 = 900;
/// Characters of a title.
const TITLE_CHARS_MAX: usize = 200;
/// Characters of a title that is taken from the first message.
const TITLE_TAKEN_CHARS: usize = 80;
/// Bytes of the project's prompt: it goes with every call of a model.
pub(super) const PROMPT_BYTES_MAX: usize = 16 << 10;
/// The name in a job's payload that says which chat it answers.
pub const CHAT_ID: &str = "chatId";

/// The chats of all projects. A clone is the same.
#[derive(Clone)]
pub struct Chats {
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) jobs: Jobs,
    pub(super) live: Live,
    pub(super) metas: Metas,
    ids: Arc<IdMaker>,
}

/// A chat to be made.
pub struct NewChat {
    /// Whose.
    pub project: ProjectId,
    /// What it is about; taken from the first message if absent.
    pub title: Option<String>,
    /// Which model answers.
    pub llm_mode: LlmMode,
    /// The first message, if it begins with one.
    pub parts: Option<Vec<Part>>,
}

/// What changes about a chat.
pub struct Patch {
    /// Its title.
    pub title: Option<String>,
    /// Its mode.
    pub llm_mode: Option<LlmMode>,
    /// The version that the caller knows, if it wants no other to change.
    pub only_if: Option<String>,
}

impl Chats {
    /// Over this state.
    pub fn new(state: State, clock: Clock, jobs: Jobs) -> Self {
        let ids = Arc::new(IdMaker::new());
        Self { state, clock, jobs, ids, live: Live::default(), metas: Metas::default() }
    }

    /// The answers in the making.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Makes a chat, with its first message and the job that answers it if there is one. The same request makes it once.
    pub async fn create(
        &self,
        new: NewChat,
        actor: Actor,
        request: Option<RequestKey>,
    ) -> Result<Done<Arc<Chat>>, ChatError> {
        if let Some(parts) = &new.parts {
            segments::check_parts(parts)?;
        }
        let now = self.clock.now();
        let id = self.ids.chat(&new.project, now);
        let job = Arc::new(answering(&new.project, &id, 1, &self.ids, now));
        let empty = Chat {
            chat_id: id.clone(),
            title: title_of(new.title, new.parts.as_deref())?,
            llm_mode: new.llm_mode,
            messages: 0,
            last_segment: 0,
            last_job: None,
            created_at: now,
            updated_at: now,
        };
        let decide = |view: &mut View<'_>| -> Result<_, ChatError> {
            let known = request.as_ref().and_then(|key| view.request(&actor.name, key.as_str()));
            if let Some((known, None)) = known.and_then(told_by) {
                return Ok(Decision::nothing(Arc::new(find(view, &known)?)));
            }
            let (chat, mut edits) = match new.parts {
                None => (empty, Vec::new()),
                Some(parts) => {
                    check_files(view, &parts)?;
                    let message = user_message(1, parts, &actor, &job.job_id, now);
                    let (chat, mut edits) = appended(view, &empty, vec![message], now)?;
                    edits.push(queued(job.clone()));
                    (Chat { last_job: Some(job.job_id.clone()), ..chat }, edits)
                }
            };
            let chat = Arc::new(chat);
            edits.push(Edit::put(layout::chat(&id), chat.clone()));
            let subject = format!("chat {id}: created by {}", actor.name);
            Ok(Decision::commit(change(subject, "chat.created", actor, request, edits), chat))
        };
        self.state.change(&RepoName::Project(new.project), decide).await
    }

    /// Adds a message, and the job that answers it unless one waits already. The same request adds it once.
    pub async fn append(
        &self,
        project: &ProjectId,
        id: &ChatId,
        parts: Vec<Part>,
        actor: Actor,
        request: Option<RequestKey>,
    ) -> Result<Done<Arc<Message>>, ChatError> {
        segments::check_parts(&parts)?;
        let now = self.clock.now();
        let decide = |view: &mut View<'_>| -> Result<_, ChatError> {
            let chat = find(view, id)?;
            let known = request.as_ref().and_then(|key| view.request(&actor.name, key.as_str()));
            if let Some((known, Some(number))) = known.and_then(told_by)
                && known == *id
            {
                return Ok(Decision::nothing(Arc::new(message_at(view, id, number)?)));
            }
            check_files(view, &parts)?;
            let number = chat.messages + 1;
            let waiting = waiting_job(view, id);
            let new_job = Arc::new(answering(project, id, number, &self.ids, now));
            let job = waiting.clone().unwrap_or_else(|| new_job.job_id.clone());
            let message = user_message(number, parts, &actor, &job, now);
            let (chat, mut edits) = appended(view, &chat, vec![message.clone()], now)?;
            if waiting.is_none() {
                edits.push(queued(new_job));
            }
            edits.push(Edit::put(layout::chat(id), Arc::new(Chat { last_job: Some(job), ..chat })));
            let subject = format!("chat {id}: message {number} by {}", actor.name);
            Ok(Decision::commit(change(subject, "chat.message", actor, request, edits), Arc::new(message)))
        };
        self.state.change(&RepoName::Project(project.clone()), decide).await
    }

    /// Changes a chat's title or mode.
    pub async fn patch(
        &self,
        project: &ProjectId,
        id: &ChatId,
        patch: Patch,
        actor: Actor,
    ) -> Result<Done<Arc<Chat>>, ChatError> {
        let title = patch.title.map(checked_title).transpose()?;
        let now = self.clock.now();
        let decide = |view: &mut View<'_>| -> Result<_, ChatError> {
            let chat = find(view, id)?;
            let found = chat.version();
            if patch.only_if.as_ref().is_some_and(|wanted| *wanted != found) {
                return Err(ChatError::Changed { found });
            }
            let next = Chat {
                title: title.unwrap_or_else(|| chat.title.clone()),
                llm_mode: patch.llm_mode.unwrap_or(chat.llm_mode),
                ..chat.clone()
            };
            if next == chat {
                return Ok(Decision::nothing(Arc::new(chat)));
            }
            let next = Arc::new(Chat { updated_at: now, ..next });
            let edits = vec![Edit::put(layout::chat(id), next.clone())];
            let subject = format!("chat {id}: changed by {}", actor.name);
            Ok(Decision::commit(change(subject, "chat.changed", actor, None, edits), next))
        };
        self.state.change(&RepoName::Project(project.clone()), decide).await
    }

    /// Removes a chat with its messages, and cancels the jobs that answer it. Git's history keeps what was said.
    pub async fn remove(
        &self,
        project: &ProjectId,
        id: &ChatId,
        actor: Actor,
    ) -> Result<Done<()>, ChatError> {
        let now = self.clock.now();
        let decide = |view: &mut View<'_>| -> Result<_, ChatError> {
            if view.file(STATE_REF, &layout::chat(id))?.is_none() {
                return Err(ChatError::Unknown(id.clone()));
            }
            Ok(Decision::commit(removal(view, id, &actor, now)?, ()))
        };
        self.state.change(&RepoName::Project(project.clone()), decide).await
    }

    /// Sets what every model is told first about the project; an empty text is none.
    pub async fn set_prompt(
        &self,
        project: &ProjectId,
        text: String,
        actor: Actor,
    ) -> Result<Done<Arc<Prompt>>, ChatError> {
        if text.len() > PROMPT_BYTES_MAX {
            return Err(ChatError::TooLarge { bytes: text.len(), most: PROMPT_BYTES_MAX });
        }
        let prompt = Arc::new(Prompt { text, updated_at: self.clock.now() });
        let decide = |_: &mut View<'_>| -> Result<_, ChatError> {
            let edits = vec![Edit::put(layout::PROMPT, prompt.clone())];
            let subject = format!("prompt: set by {}", actor.name);
            Ok(Decision::commit(change(subject, "chat.prompt", actor, None, edits), prompt))
        };
        self.state.change(&RepoName::Project(project.clone()), decide).await
    }
}

/// The commit that removes a chat's files, and cancels the jobs that answer it.
pub(super) fn removal(
    view: &mut View<'_>,
    id: &ChatId,
    actor: &Actor,
    now: Time,
) -> Result<Change, ChatError> {
    let folder = layout::chat_messages(id);
    let mut edits: Vec<Edit> = view
        .list(STATE_REF, &folder)?
        .iter()
        .map(|entry| Edit::remove(format!("{folder}/{}", entry.name)))
        .collect();
    edits.push(Edit::remove(layout::chat(id)));
    edits.extend(cancelled(view, |job| chat_of(job).as_ref() == Some(id), actor, now)?);
    let subject = format!("chat {id}: removed by {}", actor.name);
    Ok(change(subject, "chat.removed", actor.clone(), None, edits))
}

/// The chat that a job answers.
pub fn chat_of(job: &Job) -> Option<ChatId> {
    (job.kind == JobType::Chat).then(|| job.payload.text(CHAT_ID)?.parse().ok())?
}

/// The chat with this id, as the writer sees it.
pub(super) fn find(view: &mut View<'_>, id: &ChatId) -> Result<Chat, ChatError> {
    let path = layout::chat(id);
    let file = view.file(STATE_REF, &path)?.ok_or_else(|| ChatError::Unknown(id.clone()))?;
    Ok(yaml::read(&path, "chat", &file)?)
}

/// The chat with these messages at its end, and the edits of its segments; the chat's own file is the caller's to put.
pub(super) fn appended(
    view: &mut View<'_>,
    chat: &Chat,
    messages: Vec<Message>,
    now: Time,
) -> Result<(Chat, Vec<Edit>), ChatError> {
    let mut next = Chat { updated_at: now, ..chat.clone() };
    let mut filling = Filling::of(newest_segment(view, chat)?);
    let (mut filled, mut is_changed) = (Vec::new(), false);
    for message in messages {
        segments::check_size(&message)?;
        if message.number > CHAT_MESSAGES_MAX {
            return Err(ChatError::Full(format!(
                "a chat has at most {CHAT_MESSAGES_MAX} messages; begin another"
            )));
        }
        next.messages = message.number;
        if next.last_segment == 0 {
            next.last_segment = message.number;
        }
        if let Err(message) = filling.add(message) {
            let empty = Segment { chat_id: chat.chat_id.clone(), messages: Vec::new() };
            let full = std::mem::replace(&mut filling, Filling::of(empty));
            filled.extend(is_changed.then_some((next.last_segment, full)));
            next.last_segment = message.number;
            // One whose size was checked fits into a segment of its own.
            filling.add(*message).map_err(|message| ChatError::TooLarge {
                bytes: yaml::write(&message).len(),
                most: segments::MESSAGE_BYTES_MAX,
            })?;
        }
        is_changed = true;
    }
    filled.extend(is_changed.then_some((next.last_segment, filling)));
    let edit = |(first, filling): (u64, Filling)| {
        Edit::put(layout::chat_segment(&chat.chat_id, first), Arc::new(filling.into_segment()))
    };
    Ok((next, filled.into_iter().map(edit).collect()))
}

fn newest_segment(view: &mut View<'_>, chat: &Chat) -> Result<Segment, ChatError> {
    let path = layout::chat_segment(&chat.chat_id, chat.last_segment);
    match view.file(STATE_REF, &path)? {
        Some(file) => Ok(yaml::read(&path, "chat segment", &file)?),
        None => Ok(Segment { chat_id: chat.chat_id.clone(), messages: Vec::new() }),
    }
}

/// A message that a request made before.
fn message_at(view: &mut View<'_>, id: &ChatId, number: u64) -> Result<Message, ChatError> {
    let folder = layout::chat_messages(id);
    let names = view.list(STATE_REF, &folder)?;
    let first = names.iter().filter_map(|entry| layout::chat_segment_first(&entry.name));
    let Some(first) = first.filter(|first| *first <= number).max() else {
        return Err(ChatError::Unknown(id.clone()));
    };
    let path = layout::chat_segment(id, first);
    let file = view.file(STATE_REF, &path)?.ok_or_else(|| ChatError::Unknown(id.clone()))?;
    let segment: Segment = yaml::read(&path, "chat segment", &file)?;
    let found = segment.messages.into_iter().find(|message| message.number == number);
    found.ok_or_else(|| ChatError::Unknown(id.clone()))
}

/// The job that answers a chat, in its first moment. It answers all that the chat holds when it is claimed.
fn answering(project: &ProjectId, chat: &ChatId, number: u64, ids: &IdMaker, now: Time) -> Job {
    let payload: Object = [(CHAT_ID.to_owned(), chat.as_str().into()), ("message".to_owned(), number.into())]
        .into_iter()
        .collect();
    let (project, kind, labels) = (project.clone(), JobType::Chat, Vec::new());
    let new = NewJob {
        project,
        kind,
        payload,
        priority: 0,
        labels,
        timeout_seconds: ANSWER_SECONDS,
        needs: Vec::new(),
        concurrency_group: None,
    };
    pending(new, ids, now)
}

/// The job that waits to answer this chat. One that is claimed has read the chat already, so it does not count.
fn waiting_job(view: &View<'_>, id: &ChatId) -> Option<JobId> {
    let mut open = view.get::<OpenJobs>().iter();
    open.find(|job| job.state == JobState::Pending && chat_of(job).as_ref() == Some(id))
        .map(|job| job.job_id.clone())
}

fn user_message(number: u64, parts: Vec<Part>, actor: &Actor, job: &JobId, now: Time) -> Message {
    Message {
        number,
        role: Role::User,
        author: Author::from(actor),
        parts,
        job_id: Some(job.clone()),
        model: None,
        interrupted: false,
        continued: false,
        created_at: now,
    }
}

fn check_files(view: &mut View<'_>, parts: &[Part]) -> Result<(), ChatError> {
    for part in parts {
        if let Part::File { artifact_id } = part
            && view.file(STATE_REF, &layout::artifact(artifact_id))?.is_none()
        {
            return Err(ChatError::UnknownArtifact(artifact_id.clone()));
        }
    }
    Ok(())
}

fn title_of(title: Option<String>, parts: Option<&[Part]>) -> Result<String, ChatError> {
    match (title, parts) {
        (Some(title), _) => checked_title(title),
        (None, Some(parts)) => Ok(taken_title(parts).unwrap_or_else(|| "New chat".to_owned())),
        (None, None) => Ok("New chat".to_owned()),
    }
}

pub(super) fn checked_title(title: String) -> Result<String, ChatError> {
    let count = title.chars().count();
    if title.trim().is_empty() || count > TITLE_CHARS_MAX || title.chars().any(char::is_control) {
        return Err(ChatError::Invalid(format!(
            "a title is 1 to {TITLE_CHARS_MAX} characters in one line, and this has {count}"
        )));
    }
    Ok(title)
}

/// The beginning of the first line that is said.
fn taken_title(parts: &[Part]) -> Option<String> {
    let line = parts.iter().flat_map(|part| part.text().lines()).find(|line| !line.trim().is_empty())?;
    let plain = line.trim().chars().filter(|c| !c.is_control());
    let title: String = plain.take(TITLE_TAKEN_CHARS).collect();
    (!title.is_empty()).then_some(title)
}

/// The chat, and the number of the message if it was one, that a commit's first line speaks of.
fn told_by(subject: &str) -> Option<(ChatId, Option<u64>)> {
    let (id, what) = subject.strip_prefix("chat ")?.split_once(": ")?;
    let number = what.strip_prefix("message ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    Some((id.parse().ok()?, number))
}

fn change(
    subject: String,
    event: &'static str,
    actor: Actor,
    request: Option<RequestKey>,
    edits: Vec<Edit>,
) -> Change {
    let request = request.map(|key| key.as_str().to_owned());
    Change { branch: STATE_REF.into(), subject, event, actor, request, edits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_without_a_title_is_called_by_the_first_line_that_is_said() {
        let text = |text: &str| vec![Part::Text { text: text.to_owned() }];
        let called = |parts: &[Part]| title_of(None, Some(parts)).unwrap();
        assert_eq!(called(&text("\n  Make it blue \nplease")), "Make it blue");
        assert_eq!(called(&text(&"a".repeat(500))).len(), TITLE_TAKEN_CHARS);
        assert!(checked_title("a\nb".to_owned()).is_err() && checked_title(" ".to_owned()).is_err());
        assert!(checked_title("ä".repeat(TITLE_CHARS_MAX)).is_ok());
    }

    #[test]
    fn a_commits_first_line_tells_the_chat_and_the_message() {
        let id = "chat-01jd000000000000000000007k";
        let told = told_by(&format!("chat {id}: message 12 by admin")).unwrap();
        assert_eq!((told.0.as_str(), told.1), (id, Some(12)));
        assert_eq!(told_by(&format!("chat {id}: created by admin")).unwrap().1, None);
        assert!(told_by("job job-01jd000000000000000000007k: pending chat").is_none());
    }
}
