//! A job's log as it is, and as it comes; and the events of everything.

use serde_json::Value;

use super::Context;
use super::args::EventsArgs;
use super::client::header;
use super::error::{CliError, CliResult};
use super::events::{Heard, Stream};
use super::screen::{self, Screen};
use super::show::{Output, local};
use crate::id::JobId;

/// What asks for a log's bytes as they are.
const BYTES: &str = "application/octet-stream";

/// Where a log's bytes go: as they are, or fit for a terminal.
struct Sink {
    output: Output,
    screen: Screen,
}

impl Sink {
    fn new(output: Output) -> Self {
        Self { output, screen: Screen::default() }
    }

    fn take(&mut self, bytes: &[u8]) -> CliResult<()> {
        match self.output.is_terminal {
            true => {
                let shown = self.screen.show(bytes);
                self.output.bytes(shown.as_bytes())
            }
            false => self.output.bytes(bytes),
        }
    }

    /// A colour that the log left on is not the shell's.
    fn end(&self) -> CliResult<()> {
        if self.output.is_terminal { self.output.bytes(b"\x1b[0m") } else { Ok(()) }
    }
}

/// Prints what there is of a log.
pub async fn print(context: &Context, job: &JobId, attempt: Option<u32>) -> CliResult<()> {
    let client = &context.client;
    let call = |cursor: u64| {
        let call = client.get(&format!("jobs/{job}/logs")).query("cursor", &cursor.to_string());
        call.query_if("attempt", attempt)
    };
    if context.output.is_json {
        return context.output.json(&client.send(call(0)).await?.text());
    }
    let (mut sink, mut cursor) = (Sink::new(context.output), 0);
    loop {
        let answer = client.send(call(cursor).header("Accept", BYTES)).await?;
        let next = header(&answer.headers, "log-cursor").parse().unwrap_or(cursor);
        sink.take(&answer.body)?;
        if next <= cursor {
            return sink.end();
        }
        cursor = next;
    }
}

/// Prints a log as it comes, until the job ends; a job that begins again is followed into its next attempt.
pub async fn follow(context: &Context, job: &JobId, attempt: Option<u32>) -> CliResult<()> {
    let mut next = match attempt {
        Some(attempt) => attempt,
        None => attempt_of(&shown(context, job).await?),
    };
    loop {
        let end = follow_attempt(context, job, next).await?;
        if attempt.is_some() || has_ended(&end) {
            break;
        }
        next = attempt_of(&shown(context, job).await?);
        eprintln!("mrx: the job begins again: attempt {next}");
    }
    ended(job, &shown(context, job).await?, attempt)
}

/// Follows one attempt; tells the state that the end says.
async fn follow_attempt(context: &Context, job: &JobId, attempt: u32) -> CliResult<String> {
    let (client, attempt) = (&context.client, attempt.to_string());
    let call = || client.get(&format!("jobs/{job}/logs")).query("attempt", &attempt);
    let (mut stream, mut sink) = (Stream::new(client, call, None), Sink::new(context.output));
    loop {
        let Heard::Event { name, data } = stream.next().await? else { continue };
        if context.output.is_json {
            context.output.json(&data)?;
        }
        let event: Value = serde_json::from_str(&data)
            .map_err(|error| CliError::local("understand the server's event", error))?;
        match name.as_str() {
            "log" if !context.output.is_json => {
                sink.take(&bytes_of(context, job, &attempt, &event).await?)?
            }
            "end" => {
                sink.end()?;
                return Ok(event["state"].as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }
}

/// The bytes of a part. Its text shows them, unless some are no UTF-8: then they are fetched as they are.
async fn bytes_of(context: &Context, job: &JobId, attempt: &str, part: &Value) -> CliResult<Vec<u8>> {
    let (offset, size) = (part["offset"].as_u64().unwrap_or(0), part["size"].as_u64().unwrap_or(0));
    let text = part["text"].as_str().unwrap_or_default();
    if text.len() as u64 == size && !text.contains('\u{fffd}') {
        return Ok(text.as_bytes().to_vec());
    }
    let (client, mut found) = (&context.client, Vec::new());
    while (found.len() as u64) < size {
        let cursor = (offset + found.len() as u64).to_string();
        let call = client.get(&format!("jobs/{job}/logs")).query("cursor", &cursor).query("attempt", attempt);
        let answer = client.send(call.header("Accept", BYTES)).await?;
        if answer.body.is_empty() {
            return Err(CliError::Failed("the server has less of the log than it said".to_owned()));
        }
        found.extend_from_slice(&answer.body);
    }
    found.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    Ok(found)
}

/// The job as it is now.
pub async fn shown(context: &Context, job: &JobId) -> CliResult<Value> {
    context.client.send(context.client.get(&format!("jobs/{job}"))).await?.json()
}

fn attempt_of(job: &Value) -> u32 {
    job["attempt"].as_u64().and_then(|attempt| attempt.try_into().ok()).unwrap_or(1)
}

/// Whether nothing more will happen to a job in this state.
pub fn has_ended(state: &str) -> bool {
    matches!(state, "completed" | "failed" | "cancelled")
}

/// What the job's end means for the exit code: only a job that completed did what was asked.
pub fn ended(id: &JobId, job: &Value, attempt: Option<u32>) -> CliResult<()> {
    let state = job["state"].as_str().unwrap_or_default();
    let is_earlier = attempt.is_some_and(|attempt| attempt != attempt_of(job));
    if is_earlier || state == "completed" {
        return Ok(());
    }
    let because = job["failure"]["message"].as_str().map(screen::one_line);
    Err(CliError::JobEnded { job: id.to_string(), state: screen::one_line(state), because })
}

/// Prints events as they come, until it is stopped: a line each, or the API's JSON.
pub async fn events(context: &Context, args: EventsArgs) -> CliResult<()> {
    let client = &context.client;
    let call = || {
        let call = client.get("events").query_if("project", args.project.as_ref());
        call.query_if("logs", args.logs.then_some(true))
    };
    let mut stream = Stream::new(client, call, args.after.clone());
    loop {
        let Heard::Event { name, data } = stream.next().await? else { continue };
        if context.output.is_json {
            context.output.json(&data)?;
            continue;
        }
        let event: Value = serde_json::from_str(&data)
            .map_err(|error| CliError::local("understand the server's event", error))?;
        let text = |field: &str| screen::one_line(event[field].as_str().unwrap_or_default());
        let time = if context.output.is_terminal { local(&text("time")) } else { text("time") };
        let between = if context.output.is_terminal { "  " } else { "\t" };
        let line = [time, text("projectId"), screen::one_line(&name), text("subject"), text("actor")];
        context.output.line(&line.join(between))?;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_job_that_completed_did_what_was_asked() {
        let id: JobId = "job-01jd000000000000000000007k".parse().unwrap();
        let end = |job: Value, attempt| {
            ended(&id, &job, attempt).map_err(|error| (error.exit_code(), error.to_string()))
        };
        assert_eq!(end(json!({"state": "completed", "attempt": 1}), None), Ok(()));
        let failed =
            json!({"state": "failed", "attempt": 2, "failure": {"message": "step compile exited with 2"}});
        let (code, text) = end(failed.clone(), None).unwrap_err();
        assert_eq!(code, 5);
        assert!(text.ends_with("failed: step compile exited with 2"), "{text}");
        assert_eq!(end(failed, Some(1)), Ok(()), "of an earlier attempt nothing more is known");
    }
}
