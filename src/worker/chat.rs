//! What a chat job does: read the chat, ask the model, and send its answer on as it comes. Reports nothing itself.
//!
//! Tokens are counted as a third of the bytes, which is more than any common tokenizer makes of any language's text, so a
//! context that fits by this count fits the model.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::{Backoff, Pace};
use super::build::BuildEnd;
use super::daemon_client::{CallError, Claim};
use super::halt::{Alarm, Halt};
use super::job_client::{ChatAnswer, Failure, FailureCode, JobClient, Sent};
use super::model::{ModelAccess, ModelError, Turn};
use super::secrets::JobSecrets;
use super::spool::Spool;
use crate::mask::Stream;

/// Bytes of a token, counted low.
const TOKEN_BYTES: u64 = 3;
/// What a turn costs besides its text, in tokens.
const TURN_TOKENS: u64 = 8;
/// Messages that one call reads.
const PAGE: usize = 50;
/// How long a daemon that is away is waited for.
const READ_MAX: Duration = Duration::from_secs(60);
/// How long a word of the answer waits for more before it is sent on.
const GATHER: Duration = Duration::from_millis(100);
/// The secret that says which model answers.
const SECRET: &str = "llm";

/// What a chat job works with.
pub struct Chat<'a> {
    pub claim: &'a Claim,
    pub spool: &'a Spool,
    pub calls: &'a JobClient,
    pub secrets: &'a JobSecrets,
    pub progress: &'a watch::Sender<String>,
    pub alarm: Alarm,
    pub pace: Pace,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChatView {
    llm_mode: String,
}

#[derive(Deserialize)]
struct PromptView {
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    messages: Vec<Message>,
    previous_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: Option<String>,
    artifact_id: Option<String>,
}

impl Message {
    fn turn(&self) -> Turn {
        let part = |part: &Part| match (&part.text, &part.artifact_id) {
            (Some(text), _) => text.clone(),
            (None, Some(id)) => format!("[the file {id} of the project]"),
            (None, None) => String::new(),
        };
        let content = self.parts.iter().map(part).collect::<Vec<_>>().join("\n\n");
        Turn { role: if self.role == "assistant" { "assistant" } else { "user" }, content }
    }
}

impl Chat<'_> {
    /// Answers. What there is of an answer comes back also where the job was halted.
    pub async fn run(self) -> (Result<Value, BuildEnd>, Option<ChatAnswer>) {
        let said = watch::Sender::new(String::new());
        let heard = said.subscribe();
        let ended = tokio::select! {
            ended = self.answer(&said) => ended,
            () = self.forward(heard) => unreachable!("it goes on until it is dropped"),
            halt = self.alarm.clone().rung() => Err(halted(halt)),
        };
        let text = said.borrow().clone();
        let model = ended.as_ref().ok().and_then(|result| result["model"].as_str().map(str::to_owned));
        let keeps = !matches!(&ended, Err(BuildEnd::Failed(_)));
        let answer = (keeps && !text.is_empty()).then_some(ChatAnswer { text, model });
        (ended, answer)
    }

    async fn answer(&self, said: &watch::Sender<String>) -> Result<Value, BuildEnd> {
        let id =
            self.claim.job.payload["chatId"].as_str().filter(|id| id.parse::<crate::id::ChatId>().is_ok());
        let id =
            id.ok_or_else(|| failed(FailureCode::ChatUnavailable, "the job names no chat".to_owned()))?;
        let chat: ChatView = self.read(&format!("chats/{id}"), &[]).await?;
        let access = self.access(&chat)?;
        let turns = self.context(id, &access).await?;
        self.spool.line(&format!("== {} turns for {}", turns.len(), access.model))?;
        self.progress.send_replace(format!("waiting for {}", access.model));
        // A model repeats what it was told; a secret it was told by mistake goes no further.
        let (matcher, mut stream) = (self.secrets.matcher(), Stream::default());
        let say = |bytes: Vec<u8>| said.send_modify(|all| all.push_str(&String::from_utf8_lossy(&bytes)));
        let hear = |text: &str| say(stream.push(&matcher, text.as_bytes()));
        let finish = access.ask(&turns, self.pace, hear).await.map_err(|error| model_failed(&error))?;
        say(stream.finish());
        let bytes = said.borrow().len();
        if said.borrow().trim().is_empty() {
            return Err(failed(FailureCode::ModelFailed, "the model's answer is empty".to_owned()));
        }
        self.spool.line(&format!("== answered with {bytes} bytes"))?;
        let model = finish.model.unwrap_or(access.model);
        Ok(
            json!({ "model": model, "finishReason": finish.reason, "usage": finish.usage, "turns": turns.len() }),
        )
    }

    fn access(&self, chat: &ChatView) -> Result<ModelAccess, BuildEnd> {
        let unset = |text: String| failed(FailureCode::ModelUnset, text);
        let secret = SECRET.parse().ok().and_then(|name| self.secrets.get(&name));
        let secret = secret.ok_or_else(|| {
            unset(format!("the project has no secret {SECRET}; it says which model answers, and where"))
        })?;
        ModelAccess::parse(secret, chat.llm_mode == "openai").map_err(|error| unset(error.to_string()))
    }

    /// The project's prompt, and as many of the newest messages as fit; read page by page, backwards.
    async fn context(&self, id: &str, access: &ModelAccess) -> Result<Vec<Turn>, BuildEnd> {
        let prompt: PromptView = self.read("prompt", &[]).await?;
        let prompt =
            (!prompt.text.trim().is_empty()).then_some(Turn { role: "system", content: prompt.text });
        let mut budget = Budget::of(access, prompt.as_ref());
        let (mut turns, mut cursor) = (Vec::new(), None);
        loop {
            let limit = PAGE.to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page = self.read(&format!("chats/{id}/messages"), &query).await?;
            let whole = page.messages.iter().rev().all(|message| budget.take(message.turn(), &mut turns));
            cursor = page.previous_cursor.filter(|_| whole);
            if cursor.is_none() {
                break;
            }
        }
        if turns.is_empty() {
            let text = "the chat has no message, or its newest one is larger than the model's context";
            return Err(failed(FailureCode::ChatUnavailable, text.to_owned()));
        }
        turns.extend(prompt);
        turns.reverse();
        Ok(turns)
    }

    /// Reads from the daemon, patiently while it is away.
    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, BuildEnd> {
        let end = Instant::now() + READ_MAX;
        let mut backoff = Backoff::new(self.pace.retry_first, self.pace.job_retry_max);
        loop {
            match self.calls.read_project(path, query).await {
                Err(CallError::Unreachable { retry_after, .. }) if Instant::now() < end => {
                    tokio::time::sleep(backoff.next(retry_after)).await;
                }
                Err(CallError::Stale) => return Err(BuildEnd::Halted(Halt::Lost)),
                Err(CallError::Barred { .. }) => return Err(BuildEnd::Halted(Halt::Barred)),
                Err(error) => {
                    let text = format!("the chat cannot be read: {error}");
                    return Err(failed(FailureCode::ChatUnavailable, text));
                }
                Ok(value) => return Ok(value),
            }
        }
    }

    /// Sends on what is said, until it is dropped. What is lost here only the watchers miss: the end of the job carries the
    /// whole answer.
    async fn forward(&self, mut heard: watch::Receiver<String>) {
        let (mut sent, mut backoff) = (0, Backoff::new(self.pace.retry_first, self.pace.job_retry_max));
        while heard.changed().await.is_ok() {
            tokio::time::sleep(GATHER.min(self.pace.flush_after)).await;
            loop {
                let text = heard.borrow_and_update().get(sent..).unwrap_or_default().to_owned();
                if text.is_empty() {
                    break;
                }
                match self.calls.send_answer(sent, &text).await {
                    Ok(Sent::Stored(size) | Sent::Elsewhere(size)) => {
                        sent = size;
                        backoff.reset();
                    }
                    Err(CallError::Unreachable { retry_after, .. }) => {
                        tokio::time::sleep(backoff.next(retry_after)).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "watchers will see the answer only at its end");
                        return std::future::pending().await;
                    }
                }
            }
        }
        std::future::pending().await
    }
}

/// How many tokens of a context are left.
struct Budget(u64);

impl Budget {
    fn of(access: &ModelAccess, prompt: Option<&Turn>) -> Self {
        let room = access.context_tokens.saturating_sub(access.answer_tokens);
        Self(room.saturating_sub(prompt.map_or(0, tokens)))
    }

    /// Takes a turn if there is room for it; tells whether there was.
    fn take(&mut self, turn: Turn, turns: &mut Vec<Turn>) -> bool {
        let Some(left) = self.0.checked_sub(tokens(&turn)) else { return false };
        self.0 = left;
        turns.push(turn);
        true
    }
}

fn tokens(turn: &Turn) -> u64 {
    (turn.content.len() as u64).div_ceil(TOKEN_BYTES) + TURN_TOKENS
}

fn failed(code: FailureCode, text: String) -> BuildEnd {
    BuildEnd::Failed(Failure::new(code, text))
}

fn halted(halt: Halt) -> BuildEnd {
    match halt {
        Halt::BuildTimedOut => failed(FailureCode::BuildTimedOut, "the answer took too long".to_owned()),
        halt => BuildEnd::Halted(halt),
    }
}

/// What it means for a job that the model did not answer.
pub(super) fn model_failed(error: &ModelError) -> BuildEnd {
    let code = match error {
        ModelError::Refused { .. } => FailureCode::ModelRefused,
        ModelError::Busy(_) => FailureCode::ModelBusy,
        ModelError::Cut { .. } => FailureCode::ModelCut,
        ModelError::Malformed(_) | ModelError::TooLong => FailureCode::ModelFailed,
    };
    failed(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_turns_that_fit_are_taken_beside_the_prompt() {
        let secret = "{model: a, baseUrl: 'http://x', maxContextTokens: 200, maxAnswerTokens: 100}";
        let access = ModelAccess::parse(&secret.to_owned().into(), false).unwrap();
        let turn = |text: &str| Turn { role: "user", content: text.to_owned() };
        let mut budget = Budget::of(&access, Some(&turn(&"p".repeat(60))));
        let mut turns = Vec::new();
        assert!(budget.take(turn(&"n".repeat(90)), &mut turns), "30 and 8 of 72");
        assert!(!budget.take(turn(&"o".repeat(90)), &mut turns));
        assert_eq!(turns.len(), 1);
    }
}
