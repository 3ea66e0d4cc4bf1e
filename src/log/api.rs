//! The HTTP side of logs.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa::{IntoParams, ToSchema};

use super::logs::Part;
use crate::app::App;
use crate::clock::Time;
use crate::http::answer::with_job_status;
use crate::http::answer::{Ack, AckQuery, with_commit};
use crate::http::auth::{CallingAgent, lease_of};
use crate::http::error::{ApiError, ApiResult};
use crate::http::events::KEEP_ALIVE;
use crate::http::input::{Asked, Named, Raw, content_range};
use crate::id::{JobId, LeaseId};
use crate::job::{Job, JobState};
use crate::state::commit::Event;
use crate::state::layout::RepoName;

/// The query of `GET /jobs/{id}/logs`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadQuery {
    /// The offset of the first byte wanted.
    #[serde(default)]
    cursor: u64,
    /// Which attempt; the present one if absent.
    attempt: Option<u32>,
}

/// A page of a log.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogPage {
    /// Whose.
    job_id: JobId,
    /// Which attempt's.
    attempt: u32,
    /// Where the job is in its life.
    state: JobState,
    /// The offset of the first byte asked for.
    cursor: u64,
    /// The offset behind the last byte given: the next cursor.
    next_cursor: u64,
    /// Whether there is nothing more, now or later.
    complete: bool,
    /// The parts.
    segments: Vec<LogSegment>,
}

/// A part of a log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogSegment {
    /// The offset of its first byte.
    offset: u64,
    /// Its bytes.
    size: usize,
    /// Them as text: what is no UTF-8 is shown as U+FFFD.
    text: String,
}

/// The data of the last event of a log that is followed.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogEnd {
    /// How the job ended, or where it is now if another attempt has begun.
    state: JobState,
    /// How many bytes the log has.
    size: u64,
}

/// `PATCH /jobs/{id}/logs`: appends what the job's agent wrote.
///
/// The body is raw bytes, at most 1 MiB.
#[utoipa::path(patch, path = "/jobs/{id}/logs", request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(("id" = JobId, Path), AckQuery, ("Job-Lease" = LeaseId, Header),
        ("Content-Range" = String, Header, description = "`bytes <first>-<last>/*`, last inclusive (RFC 9110 §14.4)")),
    responses(
        (status = 202, description = "Stored and durable, but for what may be the beginning of a secret's value: that is held back at the end until the next call or the job's last report", headers(
            ("Range" = String, description = "`0-<size>`: where to go on; how many bytes of the log are stored, and held back"),
            ("Job-Status" = String, description = "The job's state, or `cancelling`: stop the work and report `cancelled`"),
            ("Lease-Until" = Time, description = "Until when the lease lasts"),
        )),
        (status = 409, description = "jobLeaseStale: the job is no longer the caller's; fileInvalid"),
        (status = 413, description = "tooLarge: more than 1 MiB in a call; logTooLarge: more than 1 GiB in a log"),
        (status = 416, description = "logGap: the bytes do not begin where the log ends; `Range` says where to go on"),
    ))]
pub async fn append(
    State(app): State<App>,
    CallingAgent(caller): CallingAgent,
    headers: HeaderMap,
    Named(id): Named<JobId>,
    Asked(query): Asked<AckQuery>,
    Raw(body): Raw,
) -> ApiResult<Response> {
    let lease = lease_of(&app, &caller, &id, &headers)?;
    if body.is_empty() {
        return Err(ApiError::bad_request("there are no bytes to append"));
    }
    let start = content_range(&headers, body.len())?;
    let hidden = app.secrets.hide_log(&app.logs, (&id, &lease), start, body).await?;
    let done = app.logs.append(&id, &lease, hidden.start, hidden.bytes.clone()).await?;
    let (stored, job) = &done.answer;
    let size = stored + hidden.held();
    app.secrets.log_stored(hidden);
    if query.ack == Ack::Published {
        app.state.published(&RepoName::Project(job.project_id.clone()), done.lsn).await?;
    }
    let mut response = with_commit(StatusCode::ACCEPTED.into_response(), &done);
    if let Ok(range) = HeaderValue::from_str(&format!("0-{size}")) {
        response.headers_mut().insert(header::RANGE, range);
    }
    Ok(with_job_status(response, &app, job))
}

/// `GET /jobs/{id}/logs?cursor=&attempt=`: what is stored from a byte on: as JSON, as it comes (`Accept:
/// text/event-stream`), or as the bytes themselves (`Accept: application/octet-stream`).
///
/// At most about 1 MiB is given at once; go on at `nextCursor`, or at the header `Log-Cursor` of the bytes, whose
/// `Log-Size` is how many are stored, so that a reader can begin near the end. A stream of events gives `log` with a LogSegment, its id the next cursor, and at the end one `end` with a LogEnd.
#[utoipa::path(get, path = "/jobs/{id}/logs",
    params(("id" = JobId, Path), ReadQuery, ("Last-Event-ID" = Option<u64>, Header, description = "Goes before `cursor`")),
    responses(
        (status = 200, description = "What is stored", content(
            (LogPage = "application/json"), (LogSegment = "text/event-stream"), (Vec<u8> = "application/octet-stream")),
            headers(
                ("Log-Cursor" = Option<u64>, description = "With bytes: where to go on"),
                ("Log-Size" = Option<u64>, description = "With bytes: how many are stored"),
            )),
        (status = 404, description = "jobUnknown, attemptUnknown"),
    ))]
pub async fn read(
    State(app): State<App>,
    headers: HeaderMap,
    Named(id): Named<JobId>,
    Asked(query): Asked<ReadQuery>,
) -> ApiResult<Response> {
    let live = app.state.events().subscribe(None).live;
    let job = app.jobs.get(&id).await?;
    let attempt = query.attempt.unwrap_or(job.attempt);
    app.logs.check_attempt(&job, attempt)?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/event-stream") {
        let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
        let cursor = resumed.unwrap_or(query.cursor);
        let follower = Follower { app, job, attempt, cursor, live, ready: Vec::new(), ended: false };
        return Ok(Sse::new(follow(follower))
            .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
            .into_response());
    }
    let parts = app.logs.read(&job, attempt, query.cursor).await?;
    let next = parts.last().map_or(query.cursor, |part| part.offset + part.bytes.len() as u64);
    if accept.contains("application/octet-stream") {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes.iter().copied()).collect();
        // Asked for behind the read: a log only grows, so it is never less than what was read.
        let size = app.logs.size(&job, attempt).await?;
        return Ok(
            ([("log-cursor", next.to_string()), ("log-size", size.to_string())], bytes).into_response()
        );
    }
    Ok(Json(page(&job, attempt, query.cursor, next, &parts)).into_response())
}

/// Bytes that are no UTF-8 are shown as U+FFFD here; the stream of bytes has them as they are.
fn page(job: &Job, attempt: u32, cursor: u64, next_cursor: u64, parts: &[Part]) -> LogPage {
    let complete = (job.state.has_ended() || attempt < job.attempt) && parts.is_empty();
    let segments = parts.iter().map(segment).collect();
    LogPage { job_id: job.job_id.clone(), attempt, state: job.state, cursor, next_cursor, complete, segments }
}

fn segment(part: &Part) -> LogSegment {
    LogSegment {
        offset: part.offset,
        size: part.bytes.len(),
        text: String::from_utf8_lossy(&part.bytes).into_owned(),
    }
}

fn event<T: Serialize>(name: &str, id: u64, data: &T) -> SseEvent {
    let data = serde_json::to_string(data).expect("a part of a log has string keys");
    SseEvent::default().event(name).id(id.to_string()).data(data)
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
                return Some(event("log", self.cursor, &segment(&part)));
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
                return Some(event("end", self.cursor, &LogEnd { state: self.job.state, size: self.cursor }));
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
