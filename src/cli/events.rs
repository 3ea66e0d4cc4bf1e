//! Streams of server-sent events that go on after a broken connection, behind the last event that came.
//!
//! What an event means is its reader's; this file knows lines, ids and patience (WHATWG HTML §9.2).

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;

use super::client::{Call, Client};
use super::error::{CliError, CliResult};

/// How often a stream is opened again without a single event in between: about a minute of trying.
const TRIES_MAX: u32 = 15;
/// The first wait before it is opened again, and the longest; it doubles in between.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// An event is no longer than this: a part of a log is about 1 MiB, each byte of which can be six in JSON.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// What came.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// The stream was opened, for the first time or again.
    Opened,
    /// Something happened.
    Event {
        /// What.
        name: String,
        /// Its data, which is JSON.
        data: String,
    },
    /// Nothing happened for a while, and the connection holds.
    Quiet,
}

/// How long to wait before another try, growing while nothing comes.
#[derive(Debug, Default)]
pub struct Patience {
    tries: u32,
}

impl Patience {
    /// Something came: patience is whole again.
    pub fn restore(&mut self) {
        self.tries = 0;
    }

    /// Waits before another try; after too many the failure stands.
    pub async fn wait(&mut self, failure: CliError) -> CliResult<()> {
        if self.tries >= TRIES_MAX || !may_pass(&failure) {
            return Err(failure);
        }
        let wait = WAIT_FIRST.saturating_mul(1 << self.tries.min(8)).min(WAIT_MAX);
        self.tries += 1;
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Whether the same call may succeed a little later.
fn may_pass(failure: &CliError) -> bool {
    match failure {
        CliError::Unreachable { .. } => true,
        CliError::Refused { status, .. } => matches!(status, 429 | 500..=599),
        _ => false,
    }
}

/// A stream of events.
pub struct Stream<'c> {
    client: &'c Client,
    call: Box<dyn Fn() -> Call + 'c>,
    last_id: Option<String>,
    response: Option<Response>,
    lines: Lines,
    patience: Patience,
    has_been_open: bool,
}

impl<'c> Stream<'c> {
    /// The stream that `call` opens, behind the event of this id.
    pub fn new(client: &'c Client, call: impl Fn() -> Call + 'c, last_id: Option<String>) -> Self {
        Self {
            client,
            call: Box::new(call),
            last_id,
            response: None,
            lines: Lines::default(),
            patience: Patience::default(),
            has_been_open: false,
        }
    }

    /// What comes next, through as many connections as it takes. A stream has no end of its own: its reader knows it.
    pub async fn next(&mut self) -> CliResult<Heard> {
        loop {
            if let Some(heard) = self.lines.ready.pop_front() {
                return Ok(self.noted(heard));
            }
            let Some(response) = &mut self.response else {
                match self.open().await {
                    Ok(()) => return Ok(Heard::Opened),
                    // Whoever has never been connected learns at once that nobody is there.
                    Err(failure) if !self.has_been_open => return Err(failure),
                    Err(failure) => self.patience.wait(failure).await?,
                }
                continue;
            };
            match response.chunk().await {
                Ok(Some(bytes)) => self.lines.take(&bytes)?,
                Ok(None) => self.broken("the stream ended").await?,
                Err(error) => {
                    let CliError::Unreachable { what, .. } = self.client.unreachable(error) else { continue };
                    self.broken(&what).await?;
                }
            }
        }
    }

    fn noted(&mut self, parsed: Parsed) -> Heard {
        self.patience.restore();
        if let Some(id) = parsed.id {
            self.last_id = Some(id);
        }
        match parsed.data {
            Some(data) => Heard::Event { name: parsed.name, data },
            None => Heard::Quiet,
        }
    }

    async fn open(&mut self) -> CliResult<()> {
        let mut call = (self.call)().header("Accept", "text/event-stream");
        if let Some(id) = &self.last_id {
            call = call.header("Last-Event-ID", id);
        }
        self.response = Some(self.client.open(&call).await?);
        self.has_been_open = true;
        Ok(())
    }

    async fn broken(&mut self, what: &str) -> CliResult<()> {
        self.response = None;
        // Half an event is told again.
        self.lines = Lines::default();
        tracing::info!(what, "the stream is opened again");
        let failure = CliError::Unreachable { server: self.client.server(), what: what.to_owned() };
        self.patience.wait(failure).await
    }
}

/// An event as its lines say; without data it is a line that keeps the connection.
#[derive(Debug, Default, PartialEq)]
struct Parsed {
    name: String,
    id: Option<String>,
    data: Option<String>,
}

/// Bytes that become events.
#[derive(Debug, Default)]
struct Lines {
    /// A line whose end has not come.
    line: Vec<u8>,
    event: Parsed,
    size: usize,
    ready: VecDeque<Parsed>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> CliResult<()> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            self.size += part.len();
            if self.size > EVENT_BYTES_MAX {
                return Err(CliError::Failed("the server sends an event without an end".to_owned()));
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.line_ended(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
            }
        }
        Ok(())
    }

    fn line_ended(&mut self, line: &str) {
        if line.is_empty() {
            self.size = 0;
            self.ready.push_back(std::mem::take(&mut self.event));
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => match &mut self.event.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.event.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pieces: &[&str]) -> Vec<Parsed> {
        let mut lines = Lines::default();
        pieces.iter().for_each(|piece| lines.take(piece.as_bytes()).unwrap());
        lines.ready.into()
    }

    fn event(name: &str, id: &str, data: &str) -> Parsed {
        Parsed { name: name.to_owned(), id: Some(id.to_owned()), data: Some(data.to_owned()) }
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let whole =
            "event: log\nid: 7\ndata: {\"a\":1}\n\n:\n\nevent:end\r\nid:9\r\ndata:x\r\ndata:y\r\n\r\n";
        let wanted = vec![event("log", "7", "{\"a\":1}"), Parsed::default(), event("end", "9", "x\ny")];
        assert_eq!(parsed(&[whole]), wanted);
        let bytes: Vec<String> = whole.chars().map(String::from).collect();
        assert_eq!(parsed(&bytes.iter().map(String::as_str).collect::<Vec<_>>()), wanted);
    }

    #[test]
    fn half_an_event_is_none() {
        assert_eq!(parsed(&["event: log\nid: 7\ndata: x\n"]), vec![]);
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut lines = Lines::default();
        assert!(lines.take(&vec![b'x'; EVENT_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn only_what_may_pass_is_waited_for() {
        let refused = |status| CliError::Refused {
            message: String::new(),
            code: String::new(),
            request_id: String::new(),
            status,
        };
        assert!(may_pass(&refused(503)) && may_pass(&refused(429)));
        assert!(!may_pass(&refused(404)) && !may_pass(&CliError::NotSignedIn(String::new())));
    }
}
