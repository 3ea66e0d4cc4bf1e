//! The HTTP side of logs.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::logs::Part;
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::events::KEEP_ALIVE;
use crate::http::input::{Asked, Named, Raw, content_range, lease};
use crate::id::JobId;
use crate::job::Job;
use crate::job::api::with_job_status;
use crate::state::commit::Event;

/// The query of `GET /jobs/{id}/logs`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadQuery {
    /// The offset of the first byte wanted.
    #[serde(default)]
    cursor: u64,
    /// Which attempt; the present one if absent.
    attempt: Option<u32>,
}

/// `PATCH /jobs/{id}/logs`: appends what the job's agent wrote.
pub async fn append(
    State(app): State<App>, headers: HeaderMap, Named(id): Named<JobId>, Raw(body): Raw,
) -> ApiResult<Response> {
    let lease = lease(&headers)?;
    if body.is_empty() {
        return Err(ApiError::bad_request("there are no bytes to append"));
    }
    let start = content_range(&headers, body.len())?;
    let (size, job) = app.logs.append(&id, &lease, start, body).await?;
    let mut response = StatusCode::ACCEPTED.into_response();
    if let Ok(range) = HeaderValue::from_str(&format!("0-{size}")) {
        response.headers_mut().insert(header::RANGE, range);
    }
    Ok(with_job_status(response, &app, &job))
}

/// `GET /jobs/{id}/logs?cursor=&attempt=`: what is stored from a byte on: as JSON, as it comes (`Accept:
/// text/event-stream`), or as the bytes themselves (`Accept: application/octet-stream`).
pub async fn read(
    State(app): State<App>, headers: HeaderMap, Named(id): Named<JobId>, Asked(query): Asked<ReadQuery>,
) -> ApiResult<Response> {
    let live = app.state.events().subscribe(None).live;
    let job = app.jobs.get(&id).await?;
    let attempt = query.attempt.unwrap_or(job.attempt);
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/event-stream") {
        let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
        let cursor = resumed.unwrap_or(query.cursor);
        let follower = Follower { app, job, attempt, cursor, live, ready: Vec::new(), ended: false };
        return Ok(Sse::new(follow(follower)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response());
    }
    let parts = app.logs.read(&job, attempt, query.cursor).await?;
    let next = parts.last().map_or(query.cursor, |part| part.offset + part.bytes.len() as u64);
    if accept.contains("application/octet-stream") {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes.iter().copied()).collect();
        return Ok(([("log-cursor", next.to_string())], bytes).into_response());
    }
    Ok(Json(page(&job, attempt, query.cursor, next, &parts)).into_response())
}

/// Bytes that are no UTF-8 are shown as U+FFFD here; the stream of bytes has them as they are.
fn page(job: &Job, attempt: u32, cursor: u64, next: u64, parts: &[Part]) -> Value {
    let segments: Vec<Value> = parts.iter().map(segment).collect();
    let complete = (job.state.has_ended() || attempt < job.attempt) && parts.is_empty();
    json!({
        "jobId": job.job_id, "attempt": attempt, "state": job.state,
        "cursor": cursor, "nextCursor": next, "complete": complete, "segments": segments,
    })
}

fn segment(part: &Part) -> Value {
    json!({ "offset": part.offset, "size": part.bytes.len(), "text": String::from_utf8_lossy(&part.bytes) })
}

/// A reader that waits for more.
struct Follower {
    app: App,
    job: Arc<Job>,
    attempt: u32,
    cursor: u64,
    live: Receiver<Arc<Event>>,
    /// Parts read and not yet sent, the next one last.
    ready: Vec<Part>,
    ended: bool,
}

/// Events `log` with the id of the next byte, then one `end` with the job's state.
fn follow(follower: Follower) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    futures_util::stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
}

impl Follower {
    async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(part) = self.ready.pop() {
                self.cursor = part.offset + part.bytes.len() as u64;
                return Some(SseEvent::default().event("log").id(self.cursor.to_string()).data(segment(&part).to_string()));
            }
            if self.ended {
                return None;
            }
            // The job first, then its log: what an ended job wrote is all there.
            let job = self.app.jobs.get(&self.job.job_id).await.ok()?;
            let over = job.state.has_ended() || job.attempt != self.attempt;
            self.ready = self.app.logs.read(&job, self.attempt, self.cursor).await.ok()?;
            self.ready.reverse();
            self.job = job;
            if self.ready.is_empty() && over {
                self.ended = true;
                let data = json!({ "state": self.job.state, "size": self.cursor }).to_string();
                return Some(SseEvent::default().event("end").id(self.cursor.to_string()).data(data));
            }
            if self.ready.is_empty() {
                self.wait_for_more().await?;
            }
        }
    }

    /// Waits until something happens to the job or its log.
    async fn wait_for_more(&mut self) -> Option<()> {
        loop {
            match self.live.recv().await {
                Ok(event) if event.subject.contains(self.job.job_id.as_str()) => return Some(()),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some(()),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
