//! The HTTP side of remotes. The setting itself is a field of the project: `PATCH /projects/{id}`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::error::RemoteError;
use super::types::RemoteStatus;
use crate::app::App;
use crate::http::error::ApiResult;
use crate::http::input::Named;
use crate::id::ProjectId;

/// `GET /projects/{id}/remote`: how the project's remote is.
#[utoipa::path(get, path = "/projects/{id}/remote", params(("id" = ProjectId, Path)),
    responses(
        (status = 200, description = "How it is", body = RemoteStatus),
        (status = 409, description = "noRemote: the project has none"),
    ))]
pub async fn get(State(app): State<App>, Named(id): Named<ProjectId>) -> ApiResult<Json<RemoteStatus>> {
    app.projects.get(&id)?;
    Ok(Json(app.remotes.status(&id)?))
}

/// `POST /projects/{id}/remote/sync`: looks at the remote as soon as its host bears it, brings in what is new there, and pushes.
#[utoipa::path(post, path = "/projects/{id}/remote/sync", params(("id" = ProjectId, Path)),
    responses(
        (status = 200, description = "How it is now", body = RemoteStatus),
        (status = 202, description = "How it is while that goes on", body = RemoteStatus),
        (status = 409, description = "noRemote: the project has none"),
        (status = 502, description = "remoteFailed: it does not have the state; the message says why, and what to do"),
    ))]
pub async fn sync(State(app): State<App>, Named(id): Named<ProjectId>) -> ApiResult<Response> {
    app.projects.get(&id)?;
    let status = match app.remotes.ask(&id).await {
        Ok(()) => StatusCode::OK,
        Err(RemoteError::Late) => StatusCode::ACCEPTED,
        Err(error) => return Err(error.into()),
    };
    Ok((status, Json(app.remotes.status(&id)?)).into_response())
}
