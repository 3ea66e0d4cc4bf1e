//! Reads a stream of server-sent events, one at a time.

use serde_json::Value;

use super::{Call, SOON};

/// Somebody who listens.
pub struct Listener {
    response: reqwest::Response,
    text: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub event: String,
    pub id: String,
    pub data: Value,
}

impl Listener {
    pub async fn to(call: Call) -> Self {
        let response = call.header("accept", "text/event-stream").open().await;
        assert_eq!(response.status(), 200);
        Self { response, text: String::new() }
    }

    /// The next event, which must come soon; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                match parse(&event) {
                    Some(heard) => return Some(heard),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(SOON, self.response.chunk())
                .await
                .expect("an event comes soon")
                .unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next so many events.
    pub async fn take(&mut self, count: usize) -> Vec<Heard> {
        let mut heard = Vec::new();
        while heard.len() < count {
            heard.push(self.next().await.expect("the stream goes on"));
        }
        heard
    }
}

/// An event; a line of nothing, which keeps the connection, is none.
fn parse(text: &str) -> Option<Heard> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = serde_json::from_str(field("data")?).unwrap();
    Some(Heard { event: field("event").unwrap().to_owned(), id: field("id").unwrap().to_owned(), data })
}
