//! What a watcher of a chat is told: its messages, where the jobs that answer it are, and the answers as they come.
//!
//! A watcher looks at what is and tells what it has not told: nothing depends on hearing each change.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::Event as SseEvent;
use futures_util::Stream;
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::chats::{Chats, chat_of};
use super::error::ChatError;
use super::read::Place;
use crate::id::{ChatId, JobId, ProjectId};
use crate::job::open::OpenJobs;
use crate::job::{Job, JobState};
use crate::state::commit::Event;
use crate::state::layout::RepoName;

/// Messages that one look reads; more are read by the next look.
const MESSAGES_AT_ONCE: usize = 50;

/// The data of `partial`: more of an answer in the making.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartialAnswer {
    /// The job that answers.
    job_id: JobId,
    /// Its attempt; another one begins anew.
    attempt: u32,
    /// Where the text begins in the whole answer, in bytes of UTF-8.
    offset: usize,
    /// It.
    text: String,
}

/// The data of `state`: where a job is that answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerState {
    /// The job that answers.
    job_id: JobId,
    /// Its attempt.
    attempt: u32,
    /// Where it is in its life.
    state: JobState,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<crate::job::Failure>,
}

/// What was told of a job.
#[derive(Clone, Copy, PartialEq)]
struct Told {
    state: JobState,
    attempt: u32,
    bytes: usize,
}

/// Somebody who watches a chat.
pub(super) struct Watcher {
    chats: Chats,
    project: ProjectId,
    chat: ChatId,
    /// The last message that was told.
    cursor: u64,
    jobs: BTreeMap<JobId, Told>,
    live: Receiver<Arc<Event>>,
    partials: watch::Receiver<u64>,
    ready: VecDeque<SseEvent>,
    /// Whether there may be more than the last look read.
    more: bool,
}

impl Watcher {
    /// Watches from behind the message `after`, or from now on.
    pub(super) async fn new(
        chats: Chats,
        project: ProjectId,
        chat: ChatId,
        after: Option<u64>,
    ) -> Result<Self, ChatError> {
        let live = chats.state.events().subscribe(None).live;
        let partials = chats.live.changes();
        let count = chats.get(&project, None, &chat).await?.messages;
        let cursor = after.unwrap_or(count).min(count);
        let (jobs, ready) = (BTreeMap::new(), VecDeque::new());
        Ok(Self { chats, project, chat, cursor, jobs, live, partials, ready, more: true })
    }

    /// The events, until the chat is removed or the daemon ends.
    pub(super) fn events(self) -> impl Stream<Item = Result<SseEvent, Infallible>> {
        futures_util::stream::unfold(self, |mut watcher| async move {
            let event = watcher.next().await?;
            Some((Ok(event), watcher))
        })
    }

    async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.more {
                self.more = false;
                self.look().await.ok()?;
            } else {
                self.wait().await?;
            }
        }
    }

    /// Waits until there may be something new.
    async fn wait(&mut self) -> Option<()> {
        loop {
            tokio::select! {
                heard = self.live.recv() => match heard {
                    Ok(event) if self.concerns(&event) => self.more = true,
                    Ok(_) => continue,
                    Err(RecvError::Lagged(_)) => self.more = true,
                    Err(RecvError::Closed) => return None,
                },
                changed = self.partials.changed() => {
                    changed.ok()?;
                    self.tell_partials();
                }
            }
            return Some(());
        }
    }

    fn concerns(&self, event: &Event) -> bool {
        event.project_id.as_ref() == Some(&self.project)
            && (event.event.starts_with("job.") || event.event.starts_with("chat."))
    }

    async fn look(&mut self) -> Result<(), ChatError> {
        let repo = RepoName::Project(self.project.clone());
        let chat = self.chat.clone();
        let mut open: Vec<Arc<Job>> = self
            .chats
            .state
            .read(&repo, move |view| {
                let all = view.get::<OpenJobs>().iter();
                all.filter(|job| chat_of(job).as_ref() == Some(&chat)).cloned().collect()
            })
            .await?;
        let is_gone = |id: &&JobId| !open.iter().any(|job| job.job_id == **id);
        let ended: Vec<JobId> = self.jobs.keys().filter(is_gone).cloned().collect();
        for job in open.drain(..) {
            self.tell_state(&job);
        }
        self.tell_partials();
        self.tell_messages().await?;
        for id in ended {
            let job = self.chats.jobs.get(&id).await?;
            self.tell_state(&job);
            if job.state.has_ended() {
                self.jobs.remove(&id);
            }
        }
        Ok(())
    }

    fn tell_state(&mut self, job: &Job) {
        let bytes = self
            .jobs
            .get(&job.job_id)
            .filter(|told| told.attempt == job.attempt)
            .map_or(0, |told| told.bytes);
        let now = Told { state: job.state, attempt: job.attempt, bytes };
        if self
            .jobs
            .insert(job.job_id.clone(), now)
            .is_none_or(|told| told.state != now.state || told.attempt != now.attempt)
        {
            let (job_id, failure) = (job.job_id.clone(), job.failure.clone());
            self.say("state", &AnswerState { job_id, attempt: job.attempt, state: job.state, failure });
        }
    }

    fn tell_partials(&mut self) {
        let mut news = Vec::new();
        for (job, told) in &mut self.jobs {
            if let Some(text) = self.chats.live.read(job, told.attempt, told.bytes) {
                let offset = told.bytes;
                told.bytes += text.len();
                news.push(PartialAnswer { job_id: job.clone(), attempt: told.attempt, offset, text });
            }
        }
        news.iter().for_each(|partial| self.say("partial", partial));
    }

    async fn tell_messages(&mut self) -> Result<(), ChatError> {
        let place = Place::After(self.cursor);
        let (messages, count) =
            self.chats.messages(&self.project, None, &self.chat, place, MESSAGES_AT_ONCE).await?;
        for message in messages {
            self.cursor = message.number;
            self.say("message", &message);
        }
        self.more = self.cursor < count;
        Ok(())
    }

    /// The id of every event is the last message told, so whoever comes back misses none.
    fn say<T: Serialize>(&mut self, name: &str, data: &T) {
        let data = serde_json::to_string(data).expect("what is told has string keys");
        self.ready.push_back(SseEvent::default().event(name).id(self.cursor.to_string()).data(data));
    }
}
