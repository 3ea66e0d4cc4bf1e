//! The HTTP side of API keys.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::api::KeyView;
use super::keys::NewKey;
use super::principal::Principal;
use super::rights::{Right, Role};
use crate::app::App;
use crate::clock::Time;
use crate::http::answer::{AckQuery, with_commit, written};
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Body, Named};
use crate::id::{KeyId, ProjectId, UserName};
use crate::state::layout::RepoName;

/// The body of `POST /keys`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateKeyBody {
    /// What its owner calls it, in at most 100 characters.
    name: String,
    /// The one project it is for; all of its owner's if absent.
    project_id: Option<ProjectId>,
    /// The most it may do: `read`, `write` or `admin`. It never may more than its owner.
    permission: Right,
    /// When it ends; never if absent.
    expires_at: Option<Time>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewKeyView {
    #[serde(flatten)]
    about: KeyView,
    /// The key itself. It is shown in this answer and never again.
    key: String,
}

/// The query of `GET /keys`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeysQuery {
    /// Whose keys; an admin may ask for anybody's, and gets all if it is absent.
    owner: Option<UserName>,
}

/// Keys, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeysPage {
    keys: Vec<KeyView>,
    next_cursor: Option<KeyId>,
}

/// `POST /keys`: makes an API key of the caller's account. The key is in this answer and nowhere else.
#[utoipa::path(post, path = "/keys", params(AckQuery), request_body = CreateKeyBody,
    responses((status = 201, description = "The key", body = NewKeyView), (status = 404, description = "projectUnknown")))]
pub async fn create(
    State(app): State<App>,
    caller: Principal,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<CreateKeyBody>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    let owner = caller.user().cloned().ok_or_else(|| {
        ApiError::bad_request("the operator has no account that a key could belong to; log in with one")
    })?;
    if let Some(project) = &body.project_id {
        caller.demand(&app, Right::Read, project)?;
    }
    let new = NewKey {
        name: body.name,
        project: body.project_id,
        permission: body.permission,
        expires_at: body.expires_at,
    };
    let done = app.identity.create_key(&owner, new, caller.actor()).await?;
    let (key, token) = &done.answer;
    let view = NewKeyView { about: KeyView::of(&app, key), key: token.reveal().to_owned() };
    written(&app, query.ack, &RepoName::Platform, StatusCode::CREATED, &done, view).await
}

/// `GET /keys`: the caller's API keys, or for an admin anybody's; never the keys themselves.
#[utoipa::path(get, path = "/keys", params(KeysQuery), responses((status = 200, description = "Keys", body = KeysPage)))]
pub async fn list(
    State(app): State<App>,
    caller: Principal,
    Asked(query): Asked<KeysQuery>,
) -> Json<KeysPage> {
    let own = if caller.role() == Some(Role::Admin) { query.owner } else { caller.user().cloned() };
    let keys = app.identity.known().keys(|key| own.as_ref().is_none_or(|owner| key.owner == *owner));
    Json(KeysPage { keys: keys.iter().map(|key| KeyView::of(&app, key)).collect(), next_cursor: None })
}

/// `DELETE /keys/{keyId}`: revokes an API key; it is refused from this moment on.
#[utoipa::path(delete, path = "/keys/{keyId}", params(("keyId" = KeyId, Path)),
    responses((status = 204, description = "It is refused from now on"), (status = 404, description = "keyUnknown")))]
pub async fn revoke(
    State(app): State<App>,
    caller: Principal,
    Named(id): Named<KeyId>,
) -> ApiResult<Response> {
    let own = if caller.role() == Some(Role::Admin) { None } else { caller.user() };
    let done = app.identity.revoke_key(&id, own, caller.actor()).await?;
    Ok(with_commit(StatusCode::NO_CONTENT.into_response(), &done))
}
