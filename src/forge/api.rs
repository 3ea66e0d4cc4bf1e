//! The HTTP side of the forge: deliveries of GitHub's webhooks.

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::ForgeKind;
use super::webhook::{self, Hint};
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::Raw;

/// A delivery is at most this large: GitHub's own limit.
pub const DELIVERY_BYTES_MAX: usize = 25 << 20;
/// GitHub's ids of deliveries are UUIDs of 36 characters.
const DELIVERY_ID_CHARS_MAX: usize = 64;

/// What became of a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct Taken {
    /// `done`, `syncing`, `known` or `ignored`.
    status: &'static str,
}

/// `POST /webhooks/github`: takes a delivery, which proves by its signature that it comes from GitHub.
///
/// 200 `done`: it is recorded, or changed nothing. 200 `known`: it was taken before. 202 `syncing`: the forge is being asked. 202
/// `ignored`: the event means nothing here.
#[utoipa::path(post, path = "/webhooks/github",
    params(
        ("X-Hub-Signature-256" = Option<String>, Header, description = "`sha256=` and the HMAC-SHA-256 of the body"),
        ("X-GitHub-Event" = Option<String>, Header), ("X-GitHub-Delivery" = Option<String>, Header)
    ),
    request_body(content = Value, description = "The payload", content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded, changes nothing, or was taken before", body = Taken),
        (status = 202, description = "The forge is being asked, or the event means nothing here", body = Taken),
        (status = 401, description = "signatureWrong: the body is not signed with the webhook's secret"),
        (status = 503, description = "webhookOff: no secret is configured; diskFull, stopping: deliver again"),
    ))]
pub async fn github(State(app): State<App>, headers: HeaderMap, request: Request) -> ApiResult<Response> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(secret) = &app.webhook_secret else {
        let message = "no webhook secret is configured: set MRX_GITHUB_WEBHOOK_SECRET_FILE";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "webhookOff", message));
    };
    let unsigned = || {
        let message = "X-Hub-Signature-256 is not the signature of this body under the webhook's secret";
        ApiError::new(StatusCode::UNAUTHORIZED, "signatureWrong", message)
    };
    let signature = text("x-hub-signature-256");
    // What does not even look signed is not worth 25 MiB of memory.
    if signature.is_empty() {
        return Err(unsigned());
    }
    let Raw(body) = Raw::from_request(request, &()).await?;
    if !webhook::is_signed(secret, &body, signature) {
        return Err(unsigned());
    }
    let (event, delivery) = (text("x-github-event"), text("x-github-delivery"));
    if delivery.is_empty() || delivery.len() > DELIVERY_ID_CHARS_MAX || event.is_empty() {
        return Err(ApiError::bad_request("send X-GitHub-Event and X-GitHub-Delivery, as GitHub does"));
    }
    if !text(header::CONTENT_TYPE.as_str()).starts_with("application/json") {
        let message = "set the webhook's content type to application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "notJson", message));
    }
    let payload: Value = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("the delivery is no JSON: {error}")))?;
    if !app.deliveries.take(delivery) {
        return Ok(answer(StatusCode::OK, "known"));
    }
    if let Some((repository, branch, commit)) = webhook::moved_branch(event, &payload) {
        app.remotes.hint(&repository, &branch, &commit);
    }
    let hint = webhook::hint(event, &payload);
    let taken = take(&app, hint, delivery).await;
    if taken.is_err() {
        app.deliveries.give_back(delivery);
    }
    taken
}

async fn take(app: &App, hint: Hint, delivery: &str) -> ApiResult<Response> {
    let project = |number| app.projects.registry().of_repository(ForgeKind::GitHub, number);
    match hint {
        Hint::Look => {
            app.syncer.hint();
            return Ok(answer(StatusCode::ACCEPTED, "syncing"));
        }
        Hint::Pushed { repository, branch, commit } => match project(repository) {
            Some(project) => app.projects.pushed(&project, &branch, &commit, delivery).await?,
            None => return Ok(answer(StatusCode::ACCEPTED, "ignored")),
        },
        Hint::Workflow { repository, run } => match project(repository) {
            Some(project) => app.projects.workflow_ran(&project, run, delivery).await?,
            None => return Ok(answer(StatusCode::ACCEPTED, "ignored")),
        },
        Hint::Nothing => return Ok(answer(StatusCode::ACCEPTED, "ignored")),
    }
    Ok(answer(StatusCode::OK, "done"))
}

fn answer(status: StatusCode, word: &'static str) -> Response {
    (status, Json(Taken { status: word })).into_response()
}
