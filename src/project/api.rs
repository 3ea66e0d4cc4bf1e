//! The HTTP side of projects.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::types::Project;
use crate::app::App;
use crate::http::answer::page_length;
use crate::http::error::ApiResult;
use crate::http::input::{Asked, Named};
use crate::id::ProjectId;

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

/// `GET /projects`: all projects, by name.
#[utoipa::path(get, path = "/projects", params(ListQuery), responses((status = 200, description = "Projects", body = ProjectsPage)))]
pub async fn list(State(app): State<App>, Asked(query): Asked<ListQuery>) -> Json<ProjectsPage> {
    let limit = page_length(query.limit);
    let projects = app.projects.registry().page(query.cursor.as_ref(), limit);
    let next_cursor =
        projects.last().filter(|_| projects.len() == limit).map(|project| project.project_id.clone());
    Json(ProjectsPage { projects, next_cursor })
}

/// `GET /projects/{id}`: one project.
#[utoipa::path(get, path = "/projects/{id}", params(("id" = ProjectId, Path)), responses((status = 200, description = "The project", body = Project)))]
pub async fn get(State(app): State<App>, Named(id): Named<ProjectId>) -> ApiResult<Json<Arc<Project>>> {
    Ok(Json(app.projects.get(&id)?))
}
