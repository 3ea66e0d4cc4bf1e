//! The HTTP side of the code.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::files::{self, CodeError, CodeFile};
use crate::app::App;
use crate::http::answer::page_length;
use crate::http::error::ApiResult;
use crate::http::input::{Asked, Named};
use crate::id::ProjectId;
use crate::state::oid::Oid;

/// The query of `GET /projects/{id}/files`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FilesQuery {
    /// A branch, a tag or a whole commit id; the project's default branch if absent.
    #[serde(rename = "ref")]
    #[param(rename = "ref")]
    reference: Option<String>,
    /// The `nextCursor` of the page before; it goes on at the same commit, whatever `ref` is now.
    cursor: Option<String>,
    /// How many, at most 200; 50 if absent.
    limit: Option<usize>,
}

/// A page of files, by path as git orders it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilesPage {
    /// The commit that they are of.
    commit: Oid,
    /// How many files it has.
    count: usize,
    files: Vec<CodeFile>,
    next_cursor: Option<String>,
}

/// `GET /projects/{id}/files?ref=`: the files of the project's code. All pages are of the commit of the first.
#[utoipa::path(get, path = "/projects/{id}/files", params(("id" = ProjectId, Path), FilesQuery),
    responses(
        (status = 200, description = "Files", body = FilesPage),
        (status = 404, description = "projectUnknown, refUnknown"),
        (status = 409, description = "codeElsewhere: the code is not of the local forge; codeTooLarge: it has more than 200,000 files"),
    ))]
pub async fn list(
    State(app): State<App>,
    Named(id): Named<ProjectId>,
    Asked(query): Asked<FilesQuery>,
) -> ApiResult<Json<FilesPage>> {
    let project = app.projects.get(&id)?;
    let after = query.cursor.map(|text| text.parse()).transpose().map_err(|_| CodeError::CursorGone)?;
    let reference = query.reference.unwrap_or_else(|| project.default_branch.clone());
    let limit = page_length(query.limit);
    let read = move || files::page(&project.repo, &reference, after, limit);
    let page = tokio::task::spawn_blocking(read).await.map_err(|_| CodeError::Stopped)??;
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    Ok(Json(FilesPage { commit: page.commit, count: page.count, files: page.files, next_cursor }))
}
