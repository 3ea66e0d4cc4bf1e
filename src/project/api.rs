//! The HTTP side of projects.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::types::Project;
use crate::app::App;
use crate::http::answer::{page, page_length};
use crate::http::error::ApiResult;
use crate::http::input::{Asked, Named};
use crate::id::ProjectId;

/// The query of `GET /projects`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    cursor: Option<ProjectId>,
    limit: Option<usize>,
}

/// `GET /projects`: all projects, by name.
pub async fn list(State(app): State<App>, Asked(query): Asked<ListQuery>) -> Json<serde_json::Value> {
    let limit = page_length(query.limit);
    let projects = app.projects.registry().page(query.cursor.as_ref(), limit);
    let next = projects.last().filter(|_| projects.len() == limit).map(|project| project.project_id.to_string());
    page("projects", projects, next)
}

/// `GET /projects/{id}`: one project.
pub async fn get(State(app): State<App>, Named(id): Named<ProjectId>) -> ApiResult<Json<Arc<Project>>> {
    Ok(Json(app.projects.get(&id)?))
}
