//! The HTTP side of epochs: an operator ends one by hand.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::answer::{AckQuery, written};
use crate::http::auth::Principal;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Body};
use crate::state::layout::{self, RepoName};

/// The body of `POST /admin/epochs`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndEpochBody {
    /// Whose: `projects/mrx-weather`, or `platform`.
    repository: String,
}

/// An epoch that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub struct EpochView {
    /// Whose it is.
    repository: String,
    /// Its number; the first is one.
    number: u32,
    /// The ref that keeps the one before, and all before that: `refs/archive/2026-11-21-1`.
    archive: String,
}

/// `POST /admin/epochs`: ends the epoch that a state's history is in, whatever its length, and begins the next.
///
/// Nothing of the past is lost: it goes on from the commit that the new epoch's first one names, and is kept under `refs/archive/`.
#[utoipa::path(post, path = "/admin/epochs", params(AckQuery), request_body = EndEpochBody,
    responses(
        (status = 201, description = "The epoch that has begun", body = EpochView),
        (status = 404, description = "projectUnknown"),
        (status = 409, description = "epochHasBegun: the newest commit is an epoch's first one, so there is nothing to end"),
    ))]
pub async fn end(
    State(app): State<App>,
    caller: Principal,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<EndEpochBody>,
) -> ApiResult<Response> {
    let name = RepoName::from_key(&body.repository).ok_or_else(|| {
        let message =
            format!("{:?} is no repository: say platform, or projects/ and a name", body.repository);
        ApiError::bad_request(message)
    })?;
    if let Some(project) = name.project() {
        app.projects.get(project)?;
    }
    query.ack.check(&app, &name)?;
    let Some(done) = app.state.end_epoch_for(&name, caller.actor()).await? else {
        let message = format!("the epoch of {name} has only begun: its first commit is the newest");
        return Err(ApiError::new(StatusCode::CONFLICT, "epochHasBegun", message));
    };
    let number = layout::archive_number(&done.answer).unwrap_or(0) + 1;
    let view = EpochView { repository: name.key(), number, archive: done.answer.clone() };
    written(&app, query.ack, &name, StatusCode::CREATED, &done, view).await
}
