//! The HTTP side of chats.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::chats::{NewChat, Patch, chat_of};
use super::error::ChatError;
use super::read::{Cursor, Place};
use super::stream::{PartialAnswer, Watcher};
use super::types::{Chat, LlmMode, Message, Part, Prompt, Role};
use crate::app::App;
use crate::clock::Time;
use crate::http::answer::{AckQuery, page_length, with_etag, with_job_status, written};
use crate::http::auth::{CallingAgent, Principal, lease_of};
use crate::http::error::{ApiError, ApiResult};
use crate::http::events::KEEP_ALIVE;
use crate::http::input::{Asked, Body, Idempotency, Named, version};
use crate::http::past::{self, At};
use crate::id::{ChatId, JobId, LeaseId, ProjectId};
use crate::job::jobs::holds;
use crate::job::types::RequestKey;
use crate::state::layout::RepoName;

/// A message to be added: `text`, or `parts`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageBody {
    /// `user`, if it is said.
    role: Option<Role>,
    /// The text, if it is one part; at most 32 KiB.
    text: Option<String>,
    /// 1 to 64 parts, with at most 32 KiB of text together.
    parts: Option<Vec<Part>>,
}

/// The body of `POST /projects/{id}/chats`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateChatBody)]
pub struct CreateBody {
    /// At most 200 characters in one line; taken from the message if absent.
    title: Option<String>,
    /// `custom` if absent.
    #[serde(default)]
    llm_mode: LlmMode,
    /// The first message, which is answered at once.
    message: Option<MessageBody>,
}

/// The body of `PATCH /projects/{id}/chats/{chatId}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchBody {
    /// Its title from now on.
    title: Option<String>,
    /// Its mode from now on.
    llm_mode: Option<LlmMode>,
}

/// The query of a list of chats.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
    /// How many, at most 200; 50 if absent.
    limit: Option<usize>,
}

/// A page of chats, the last changed first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatsPage {
    chats: Vec<Chat>,
    next_cursor: Option<String>,
}

/// A page of messages, in order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagesPage {
    messages: Vec<Message>,
    /// Where newer messages begin; null if these are the newest.
    next_cursor: Option<String>,
    /// Where older messages end; null if these are the oldest.
    previous_cursor: Option<String>,
}

/// The body of `PUT /projects/{id}/prompt`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptBody {
    /// At most 16 KiB; an empty text is none.
    text: String,
}

/// The body of `PATCH /jobs/{id}/answer`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerBody {
    /// Where the text begins in the whole answer, in bytes of UTF-8.
    offset: usize,
    /// More of it.
    text: String,
}

/// How much of an answer in the making is here.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnswerSize {
    /// Bytes.
    size: usize,
}

fn parts(body: MessageBody) -> ApiResult<Vec<Part>> {
    if body.role.is_some_and(|role| role != Role::User) {
        return Err(ApiError::bad_request(
            "a message that is sent has the role user; answers come from jobs",
        ));
    }
    match (body.text, body.parts) {
        (Some(text), None) => Ok(vec![Part::Text { text }]),
        (None, Some(parts)) => Ok(parts),
        _ => Err(ApiError::bad_request("a message has either text or parts")),
    }
}

/// `GET /projects/{id}/chats`: the last changed first. All pages behind one first page show the chats as they were then.
#[utoipa::path(get, path = "/projects/{id}/chats", params(("id" = ProjectId, Path), ListQuery),
    responses((status = 200, description = "Chats", body = ChatsPage)))]
pub async fn list(
    State(app): State<App>,
    at: At,
    Named(project): Named<ProjectId>,
    Asked(query): Asked<ListQuery>,
) -> ApiResult<Json<ChatsPage>> {
    app.projects.get(&project)?;
    let cursor = query.cursor.map(|text| text.parse::<Cursor>()).transpose();
    let cursor = cursor.map_err(|_| ChatError::CursorGone)?;
    let repo = RepoName::Project(project.clone());
    let commit = at.commit_behind(&app, &repo, cursor.as_ref().map(|cursor| cursor.commit)).await?;
    let (chats, next) = app.chats.page(&project, commit, cursor, page_length(query.limit)).await?;
    let chats = chats.iter().map(|chat| (**chat).clone()).collect();
    Ok(Json(ChatsPage { chats, next_cursor: next.map(|cursor| cursor.to_string()) }))
}

/// `POST /projects/{id}/chats`: begins a chat; with a first message, also the job that answers it, in one commit.
///
/// The same `Idempotency-Key` within a day makes it once.
#[utoipa::path(post, path = "/projects/{id}/chats", request_body = CreateBody,
    params(("id" = ProjectId, Path), AckQuery, ("Idempotency-Key" = Option<RequestKey>, Header)),
    responses(
        (status = 201, description = "It has begun, or had by the same request; `lastJob` is the job that answers", body = Chat),
        (status = 413, description = "tooLarge, messageTooLarge"),
    ))]
pub async fn create(
    State(app): State<App>,
    caller: Principal,
    Idempotency(request): Idempotency,
    Named(project): Named<ProjectId>,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<CreateBody>,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let parts = body.message.map(parts).transpose()?;
    let new = NewChat { project: project.clone(), title: body.title, llm_mode: body.llm_mode, parts };
    let done = app.chats.create(new, caller.actor(), request).await?;
    let version = done.answer.version();
    let repo = RepoName::Project(project);
    Ok(with_etag(written(&app, query.ack, &repo, StatusCode::CREATED, &done, &*done.answer).await?, &version))
}

/// `GET /projects/{id}/chats/{chatId}`: a chat, without its messages.
#[utoipa::path(get, path = "/projects/{id}/chats/{chatId}", params(("id" = ProjectId, Path), ("chatId" = ChatId, Path)),
    responses((status = 200, description = "The chat", body = Chat, headers(("ETag" = String, description = "Its version")))))]
pub async fn get(
    State(app): State<App>,
    at: At,
    Named((project, id)): Named<(ProjectId, ChatId)>,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let commit = at.commit(&app, &RepoName::Project(project.clone())).await?;
    let chat = app.chats.get(&project, commit, &id).await?;
    let version = chat.version();
    Ok(with_etag(Json(chat).into_response(), &version))
}

/// `PATCH /projects/{id}/chats/{chatId}`: changes the title or the mode. `If-Match` with an `ETag` changes only that version.
#[utoipa::path(patch, path = "/projects/{id}/chats/{chatId}", request_body = PatchBody,
    params(("id" = ProjectId, Path), ("chatId" = ChatId, Path), AckQuery, ("If-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The chat as it is then", body = Chat),
        (status = 412, description = "chatChanged: the version of If-Match is not the chat's"),
    ))]
pub async fn patch(
    State(app): State<App>,
    caller: Principal,
    headers: HeaderMap,
    Named((project, id)): Named<(ProjectId, ChatId)>,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<PatchBody>,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let only_if = version(&headers, header::IF_MATCH).map(str::to_owned);
    let patch = Patch { title: body.title, llm_mode: body.llm_mode, only_if };
    let done = app.chats.patch(&project, &id, patch, caller.actor()).await?;
    let version = done.answer.version();
    let repo = RepoName::Project(project);
    Ok(with_etag(written(&app, query.ack, &repo, StatusCode::OK, &done, &*done.answer).await?, &version))
}

/// `DELETE /projects/{id}/chats/{chatId}`: removes a chat and cancels the jobs that answer it. Git's history keeps it.
#[utoipa::path(delete, path = "/projects/{id}/chats/{chatId}",
    params(("id" = ProjectId, Path), ("chatId" = ChatId, Path), AckQuery),
    responses((status = 204, description = "It is removed")))]
pub async fn remove(
    State(app): State<App>,
    caller: Principal,
    Named((project, id)): Named<(ProjectId, ChatId)>,
    Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let done = app.chats.remove(&project, &id, caller.actor()).await?;
    let repo = RepoName::Project(project);
    let mut response = written(&app, query.ack, &repo, StatusCode::NO_CONTENT, &done, ()).await?;
    *response.body_mut() = axum::body::Body::empty();
    response.headers_mut().remove(header::CONTENT_TYPE);
    Ok(response)
}

/// `GET /projects/{id}/chats/{chatId}/messages`: the newest, in order; from there on both ways.
///
/// A cursor is `before-<number>` or `after-<number>`, so `after-0` begins at the first message.
#[utoipa::path(get, path = "/projects/{id}/chats/{chatId}/messages", params(("id" = ProjectId, Path), ("chatId" = ChatId, Path), ListQuery),
    responses((status = 200, description = "Messages", body = MessagesPage)))]
pub async fn messages(
    State(app): State<App>,
    at: At,
    Named((project, id)): Named<(ProjectId, ChatId)>,
    Asked(query): Asked<ListQuery>,
) -> ApiResult<Json<MessagesPage>> {
    app.projects.get(&project)?;
    let (commit, place) = at.page(&app, &RepoName::Project(project.clone()), query.cursor).await?;
    let (place, limit) = (place.unwrap_or(Place::End), page_length(query.limit));
    let (messages, count) = app.chats.messages(&project, commit, &id, place, limit).await?;
    let (first, last) = (messages.first().map(|m| m.number), messages.last().map(|m| m.number));
    let cursor = |place: String| past::Cursor::behind(commit, place).to_string();
    Ok(Json(MessagesPage {
        next_cursor: last.filter(|last| *last < count).map(|last| cursor(format!("after-{last}"))),
        previous_cursor: first.filter(|first| *first > 1).map(|first| cursor(format!("before-{first}"))),
        messages,
    }))
}

/// `POST /projects/{id}/chats/{chatId}/messages`: adds a message and, in the same commit, the job that answers it.
///
/// A job that waits to answer the chat will answer this message too, so no second one is made. The same
/// `Idempotency-Key` within a day adds it once.
#[utoipa::path(post, path = "/projects/{id}/chats/{chatId}/messages", request_body = MessageBody,
    params(("id" = ProjectId, Path), ("chatId" = ChatId, Path), AckQuery, ("Idempotency-Key" = Option<RequestKey>, Header)),
    responses(
        (status = 201, description = "It is added, or was by the same request; `jobId` is the job that answers", body = Message),
        (status = 409, description = "chatFull: the chat has 10,000 messages; fileInvalid"),
        (status = 413, description = "tooLarge, messageTooLarge"),
    ))]
pub async fn append(
    State(app): State<App>,
    caller: Principal,
    Idempotency(request): Idempotency,
    Named((project, id)): Named<(ProjectId, ChatId)>,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<MessageBody>,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let parts = parts(body)?;
    let done = app.chats.append(&project, &id, parts, caller.actor(), request).await?;
    let repo = RepoName::Project(project);
    written(&app, query.ack, &repo, StatusCode::CREATED, &done, &*done.answer).await
}

/// `GET /projects/{id}/chats/{chatId}/stream`: what happens in a chat, as server-sent events.
///
/// `message` is a Message, `state` an AnswerState, `partial` a PartialAnswer: text of an answer in the making, at first
/// all that there is of it. The id of an event is the number of the last message told; with it as `Last-Event-ID` a
/// watcher goes on behind that message.
#[utoipa::path(get, path = "/projects/{id}/chats/{chatId}/stream",
    params(("id" = ProjectId, Path), ("chatId" = ChatId, Path), ("Last-Event-ID" = Option<u64>, Header)),
    responses((status = 200, description = "Server-sent events", body = PartialAnswer, content_type = "text/event-stream")))]
pub async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
    Named((project, id)): Named<(ProjectId, ChatId)>,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let after = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let watcher = Watcher::new(app.chats.clone(), project, id, after).await?;
    Ok(Sse::new(watcher.events()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// `GET /projects/{id}/prompt`: what every model is told first about the project; an empty text if nothing is set.
#[utoipa::path(get, path = "/projects/{id}/prompt", params(("id" = ProjectId, Path)),
    responses((status = 200, description = "The prompt", body = Prompt)))]
pub async fn prompt(
    State(app): State<App>,
    at: At,
    Named(project): Named<ProjectId>,
) -> ApiResult<Json<Prompt>> {
    let known = app.projects.get(&project)?;
    let commit = at.commit(&app, &RepoName::Project(project.clone())).await?;
    let none = || Prompt { text: String::new(), updated_at: known.created_at };
    Ok(Json(app.chats.prompt(&project, commit).await?.unwrap_or_else(none)))
}

/// `PUT /projects/{id}/prompt`: sets what every model is told first about the project.
#[utoipa::path(put, path = "/projects/{id}/prompt", request_body = PromptBody, params(("id" = ProjectId, Path), AckQuery),
    responses(
        (status = 200, description = "It is set", body = Prompt),
        (status = 413, description = "tooLarge, messageTooLarge: more than 16 KiB"),
    ))]
pub async fn set_prompt(
    State(app): State<App>,
    caller: Principal,
    Named(project): Named<ProjectId>,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<PromptBody>,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let done = app.chats.set_prompt(&project, body.text, caller.actor()).await?;
    written(&app, query.ack, &RepoName::Project(project), StatusCode::OK, &done, &*done.answer).await
}

/// `PATCH /jobs/{id}/answer`: more of the answer that the job's agent is writing, for those who watch the chat.
///
/// It is held in memory only; the agent sends the whole answer again as it ends the job. Text that is here already is
/// passed over, so a call can be repeated.
#[utoipa::path(patch, path = "/jobs/{id}/answer", request_body = AnswerBody,
    params(("id" = JobId, Path), ("Job-Lease" = LeaseId, Header)),
    responses(
        (status = 200, description = "It is told to those who watch", body = AnswerSize, headers(
            ("Job-Status" = String, description = "The job's state, or `cancelling`: stop the work and report `cancelled`"),
            ("Lease-Until" = Time, description = "Until when the lease lasts"),
        )),
        (status = 409, description = "jobLeaseStale: the job is no longer the caller's; fileInvalid"),
        (status = 413, description = "tooLarge; answerTooLarge: more than 256 KiB"),
        (status = 416, description = "answerGap: the text does not begin where the answer ends; `Range` says where to go on"),
    ))]
pub async fn answer(
    State(app): State<App>,
    CallingAgent(caller): CallingAgent,
    headers: HeaderMap,
    Named(id): Named<JobId>,
    Body(body): Body<AnswerBody>,
) -> ApiResult<Response> {
    let lease = lease_of(&app, &caller, &id, &headers)?;
    let job = app.jobs.get(&id).await?;
    holds(&job, &lease)?;
    if chat_of(&job).is_none() {
        return Err(ApiError::bad_request("this job answers no chat"));
    }
    // What is hidden here is as long as what was sent, so that the offsets stay.
    let text = app.secrets.hide_text_in_place(&id, &lease, body.text).await?;
    let size = app.chats.live().put(&id, job.attempt, body.offset, &text)?;
    app.jobs.leases().renew(&id, &lease);
    let mut response = Json(AnswerSize { size }).into_response();
    if let Ok(range) = HeaderValue::from_str(&format!("0-{size}")) {
        response.headers_mut().insert(header::RANGE, range);
    }
    Ok(with_job_status(response, &app, &job))
}
