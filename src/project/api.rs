//! The HTTP side of projects.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::types::Project;
use crate::app::App;
use crate::http::answer::{AckQuery, page_length, written};
use crate::http::auth::Principal;
use crate::http::error::ApiResult;
use crate::http::input::{Asked, Body, Named};
use crate::id::{ProjectId, UserName};
use crate::identity::{IdentityError, Member, Right};
use crate::state::layout::RepoName;

/// The query of `GET /projects`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// The `nextCursor` of the page before.
    cursor: Option<ProjectId>,
    /// How many, at most 200; 50 if absent.
    limit: Option<usize>,
}

/// A page of projects, by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectsPage {
    projects: Vec<Arc<Project>>,
    next_cursor: Option<ProjectId>,
}

/// The body of `PUT /projects/{id}/members/{user}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberBody {
    /// What the person may do: `read`, `write` or `admin`.
    right: Right,
}

/// `GET /projects`: the projects that the caller may read, by name.
#[utoipa::path(get, path = "/projects", params(ListQuery), responses((status = 200, description = "Projects", body = ProjectsPage)))]
pub async fn list(
    State(app): State<App>,
    caller: Principal,
    Asked(query): Asked<ListQuery>,
) -> Json<ProjectsPage> {
    let limit = page_length(query.limit);
    let readable = |project: &Project| caller.right_in(&project.project_id, &project.members).is_some();
    let projects = app.projects.registry().page(query.cursor.as_ref(), limit, readable);
    let next_cursor =
        projects.last().filter(|_| projects.len() == limit).map(|project| project.project_id.clone());
    Json(ProjectsPage { projects, next_cursor })
}

/// `GET /projects/{id}`: one project.
#[utoipa::path(get, path = "/projects/{id}", params(("id" = ProjectId, Path)), responses((status = 200, description = "The project", body = Project)))]
pub async fn get(State(app): State<App>, Named(id): Named<ProjectId>) -> ApiResult<Json<Arc<Project>>> {
    Ok(Json(app.projects.get(&id)?))
}

/// `PUT /projects/{id}/members/{user}`: gives a person a right in the project.
#[utoipa::path(put, path = "/projects/{id}/members/{user}", params(("id" = ProjectId, Path), ("user" = UserName, Path), AckQuery), request_body = MemberBody,
    responses((status = 200, description = "The project", body = Project), (status = 404, description = "projectUnknown, userUnknown")))]
pub async fn set_member(
    State(app): State<App>,
    caller: Principal,
    Named((id, user)): Named<(ProjectId, UserName)>,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<MemberBody>,
) -> ApiResult<Response> {
    if app.identity.known().user(&user).is_none() {
        return Err(IdentityError::UnknownUser(user).into());
    }
    let done = app.projects.set_member(&id, Member { user, right: body.right }, caller.actor()).await?;
    written(&app, query.ack, &RepoName::Platform, StatusCode::OK, &done, &done.answer).await
}

/// `DELETE /projects/{id}/members/{user}`: takes a person's right in the project.
#[utoipa::path(delete, path = "/projects/{id}/members/{user}", params(("id" = ProjectId, Path), ("user" = UserName, Path), AckQuery),
    responses((status = 200, description = "The project", body = Project)))]
pub async fn remove_member(
    State(app): State<App>,
    caller: Principal,
    Named((id, user)): Named<(ProjectId, UserName)>,
    Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    let done = app.projects.remove_member(&id, &user, caller.actor()).await?;
    written(&app, query.ack, &RepoName::Platform, StatusCode::OK, &done, &done.answer).await
}
