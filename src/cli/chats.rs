//! `mrx chats` and `mrx chat`: what was said, and an answer as it comes.

use std::io::{IsTerminal, Read};

use reqwest::Method;
use serde_json::{Value, json};

use super::args::{ChatWhat, Part};
use super::client::fresh_key;
use super::error::{CliError, CliResult};
use super::events::{Heard, Stream};
use super::screen::{self, Screen};
use super::show::{Column, Kind, List, local};
use super::{Context, log};
use crate::id::{ChatId, JobId, ProjectId};

const CHATS: List = List {
    field: "chats",
    columns: &[
        Column("CHAT", "/chatId", Kind::Text),
        Column("MESSAGES", "/messages", Kind::Text),
        Column("UPDATED", "/updatedAt", Kind::Time),
        Column("TITLE", "/title", Kind::Text),
    ],
};

/// More than the API takes as a message.
const TEXT_BYTES_MAX: u64 = 64 << 10;
/// The most of one page.
const PAGE_MAX: &str = "200";

/// `mrx chats`.
pub async fn list(context: &Context, project: ProjectId, part: Part) -> CliResult<()> {
    let call = || context.client.get(&format!("projects/{project}/chats"));
    context.output.list(&context.client, CHATS, part.all, call).await
}

/// `mrx chat`.
pub async fn run(context: &Context, what: ChatWhat) -> CliResult<()> {
    let (client, output) = (&context.client, context.output);
    match what {
        ChatWhat::New { project, text, title, follow } => {
            let mut body = json!({});
            if let Some(text) = text {
                body["message"] = json!({ "text": said(Some(text))? });
            }
            if let Some(title) = title {
                body["title"] = title.into();
            }
            let call = client.post(&format!("projects/{project}/chats")).json(body).once(&fresh_key());
            let answer = client.send(call).await?;
            let chat = answer.json()?;
            let id = screen::one_line(chat["chatId"].as_str().unwrap_or_default());
            if !follow {
                return output.done(&answer, &id);
            }
            match output.is_json {
                true => output.json(&answer.text())?,
                false => eprintln!("{id}"),
            }
            let path = format!("projects/{project}/chats/{}", parsed::<ChatId>(&chat["chatId"])?);
            Follower::new(context, path, parsed(&chat["lastJob"])?, 1).run().await
        }
        ChatWhat::Send { project, chat, text, follow } => {
            let path = format!("projects/{project}/chats/{chat}");
            let body = json!({ "text": said(text)? });
            let call = client.post(&format!("{path}/messages")).json(body).once(&fresh_key());
            let answer = client.send(call).await?;
            let message = answer.json()?;
            if !follow {
                return output.done(&answer, &format!("message {} is sent", message["number"]));
            }
            if output.is_json {
                output.json(&answer.text())?;
            }
            let number = message["number"].as_u64().unwrap_or(0);
            Follower::new(context, path, parsed(&message["jobId"])?, number).run().await
        }
        ChatWhat::Show { project, chat, part } => {
            show(context, &format!("projects/{project}/chats/{chat}/messages"), part).await
        }
        ChatWhat::Rm { project, chat } => {
            let call = client.call(Method::DELETE, &format!("projects/{project}/chats/{chat}"));
            output.done(&client.send(call).await?, &format!("{chat} is removed"))
        }
    }
}

/// What is to be said: typed in the command, or from the standard input.
fn said(text: Option<String>) -> CliResult<String> {
    match text {
        Some(text) if text != "-" => Ok(text),
        _ => {
            if std::io::stdin().is_terminal() {
                eprintln!("write the message; Ctrl-D ends it");
            }
            let mut text = String::new();
            let read = std::io::stdin().lock().take(TEXT_BYTES_MAX).read_to_string(&mut text);
            read.map_err(|error| CliError::local("read the message", error))?;
            Ok(text.trim_end_matches('\n').to_owned())
        }
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(id: &Value) -> CliResult<T> {
    let id = id.as_str().unwrap_or_default();
    id.parse().map_err(|error| CliError::local("understand the server's answer", error))
}

async fn show(context: &Context, path: &str, part: Part) -> CliResult<()> {
    if !part.all {
        let answer = context.client.send(context.client.get(path)).await?;
        if context.output.is_json {
            return context.output.json(&answer.text());
        }
        let page = answer.json()?;
        if page["previousCursor"].is_string() {
            eprintln!("there are older ones; --all shows them");
        }
        return messages(&page).iter().try_for_each(|message| print(context, message));
    }
    let found = behind(context, path, 0).await?;
    match context.output.is_json {
        true => context.output.json(&Value::Array(found).to_string()),
        false => found.iter().try_for_each(|message| print(context, message)),
    }
}

/// All messages behind the one of this number.
async fn behind(context: &Context, path: &str, number: u64) -> CliResult<Vec<Value>> {
    let (mut found, mut cursor) = (Vec::new(), format!("after-{number}"));
    loop {
        let call = context.client.get(path).query("cursor", &cursor).query("limit", PAGE_MAX);
        let page = context.client.send(call).await?.json()?;
        found.extend_from_slice(messages(&page));
        match page["nextCursor"].as_str() {
            Some(next) if next != cursor => cursor = next.to_owned(),
            _ => return Ok(found),
        }
    }
}

fn messages(page: &Value) -> &[Value] {
    page["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A message: who and when in a line, then what.
fn print(context: &Context, message: &Value) -> CliResult<()> {
    let text = |pointer: &str| {
        screen::one_line(message.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
    };
    let time = if context.output.is_terminal { local(&text("/createdAt")) } else { text("/createdAt") };
    let interrupted = if message["interrupted"] == true { ", interrupted" } else { "" };
    context.output.line(&format!(
        "#{} {} {} ({}{interrupted})",
        message["number"],
        time,
        text("/author/name"),
        text("/role")
    ))?;
    let said = text_of(message);
    let said = if context.output.is_terminal { Screen::default().show(said.as_bytes()) } else { said };
    context.output.line(&format!("{said}\n"))
}

/// What a message says; a file is named by its id.
fn text_of(message: &Value) -> String {
    let parts = message["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = parts.iter().map(|part| match part["artifactId"].as_str() {
        Some(id) => format!("[{id}]"),
        None => part["text"].as_str().unwrap_or_default().to_owned(),
    });
    shown.collect()
}

/// Somebody who waits for the answer of one job and prints it as it comes.
struct Follower<'c> {
    context: &'c Context,
    /// The chat.
    path: String,
    job: JobId,
    /// The last message that was heard.
    number: u64,
    told: Told,
    screen: Screen,
}

/// How much of an answer was printed.
#[derive(Debug, Default)]
struct Told {
    attempt: u64,
    printed: String,
    /// The texts of the answer's messages so far.
    messages: String,
}

impl Told {
    /// What of a part in the making is new.
    fn partial<'t>(&mut self, attempt: u64, offset: usize, text: &'t str) -> &'t str {
        if attempt != self.attempt {
            (self.attempt, self.printed) = (attempt, String::new());
        }
        let known = self.printed.len().saturating_sub(offset).min(text.len());
        let new = text.get(known..).unwrap_or_default();
        self.printed.push_str(new);
        new
    }

    /// What of a message of the answer was not printed as it came; all of it, behind a new line, if other words came.
    fn message(&mut self, text: &str) -> String {
        let begins = self.messages.len();
        self.messages.push_str(text);
        let is_known = self.printed.get(begins..).is_some_and(|more| more.starts_with(text));
        if is_known {
            return String::new();
        }
        let rest = self.messages.strip_prefix(&self.printed).map(str::to_owned);
        self.printed.clone_from(&self.messages);
        rest.unwrap_or_else(|| format!("\n{text}"))
    }
}

impl<'c> Follower<'c> {
    fn new(context: &'c Context, path: String, job: JobId, number: u64) -> Self {
        Self { context, path, job, number, told: Told::default(), screen: Screen::default() }
    }

    async fn run(mut self) -> CliResult<()> {
        let (client, path) = (&self.context.client, self.path.clone());
        let call = || client.get(&format!("{path}/stream"));
        let mut stream = Stream::new(client, call, Some(self.number.to_string()));
        loop {
            let is_over = match stream.next().await? {
                // A job that ended before we listened, or between, is told by itself alone.
                Heard::Opened | Heard::Quiet => self.has_ended().await?,
                Heard::Event { name, data } => self.heard(&name, &data)?,
            };
            if is_over {
                break;
            }
        }
        if !self.context.output.is_json && !self.told.printed.is_empty() {
            self.print("\n")?;
        }
        log::ended(&self.job, &log::shown(self.context, &self.job).await?, None)
    }

    async fn has_ended(&mut self) -> CliResult<bool> {
        let job = log::shown(self.context, &self.job).await?;
        if !log::has_ended(job["state"].as_str().unwrap_or_default()) {
            return Ok(false);
        }
        for message in behind(self.context, &format!("{}/messages", self.path), self.number).await? {
            self.heard("message", &message.to_string())?;
        }
        Ok(true)
    }

    /// Prints what an event says; tells whether the answer is over.
    fn heard(&mut self, name: &str, data: &str) -> CliResult<bool> {
        let event: Value = serde_json::from_str(data)
            .map_err(|error| CliError::local("understand the server's event", error))?;
        let number = event["number"].as_u64().unwrap_or(0);
        if (name == "message" && number <= self.number) || event["jobId"] != self.job.as_str() {
            return Ok(false);
        }
        let is_json = self.context.output.is_json;
        if is_json {
            self.context.output.json(data)?;
        }
        match name {
            "partial" if !is_json => {
                let offset = event["offset"].as_u64().and_then(|offset| offset.try_into().ok()).unwrap_or(0);
                let (attempt, text) =
                    (event["attempt"].as_u64().unwrap_or(0), event["text"].as_str().unwrap_or_default());
                if self.told.attempt != attempt && !self.told.printed.is_empty() {
                    eprintln!("\nmrx: the answer begins anew");
                }
                let new = self.told.partial(attempt, offset, text).to_owned();
                self.print(&new)?;
            }
            "message" => {
                self.number = number;
                if event["role"] != "assistant" {
                    return Ok(false);
                }
                let rest = self.told.message(&text_of(&event));
                if !is_json {
                    self.print(&rest)?;
                }
                return Ok(event["continued"] != true);
            }
            "state" => return Ok(log::has_ended(event["state"].as_str().unwrap_or_default())),
            _ => {}
        }
        Ok(false)
    }

    fn print(&mut self, text: &str) -> CliResult<()> {
        match self.context.output.is_terminal {
            true => self.context.output.bytes(self.screen.show(text.as_bytes()).as_bytes()),
            false => self.context.output.bytes(text.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_told_again_is_printed_once() {
        let mut told = Told::default();
        assert_eq!(told.partial(1, 0, "Hel"), "Hel");
        assert_eq!(told.partial(1, 0, "Hello"), "lo");
        assert_eq!(told.partial(1, 2, "llo"), "");
        assert_eq!(told.partial(1, 5, " you"), " you");
        assert_eq!(told.partial(2, 0, "Anew"), "Anew", "another attempt begins anew");
    }

    #[test]
    fn a_message_adds_what_did_not_come_before_it() {
        let mut told = Told::default();
        told.partial(1, 0, "Hello");
        assert_eq!(told.message("Hello world"), " world");
        assert_eq!(Told::default().message("All at once"), "All at once");
        let mut other = Told { attempt: 1, printed: "my key is".to_owned(), messages: String::new() };
        assert_eq!(other.message("[masked]"), "\n[masked]");
    }

    #[test]
    fn a_long_answer_of_several_messages_is_printed_once() {
        let mut told = Told::default();
        told.partial(1, 0, "first second");
        assert_eq!(told.message("first "), "");
        assert_eq!(told.message("second third"), " third");
        assert_eq!(told.message(" fourth"), " fourth");
    }
}
