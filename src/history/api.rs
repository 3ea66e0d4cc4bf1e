//! The HTTP side of a project's history.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::diff::{self, FileDiff};
use crate::app::App;
use crate::http::answer::page_length;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Named};
use crate::id::ProjectId;
use crate::state::commit::Event;
use crate::state::history::{About, Filter, History, HistoryError};
use crate::state::layout::RepoName;
use crate::state::oid::Oid;

/// The query of `GET /projects/{id}/history`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only what touched this: a job's or artifact's id, a file or a folder of the branch `state`.
    about: Option<String>,
    /// The `nextCursor` of the page before.
    cursor: Option<Oid>,
    /// How many, at most 200; 50 if absent.
    limit: Option<usize>,
}

/// Commits, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryPage {
    commits: Vec<Event>,
    next_cursor: Option<Oid>,
}

/// A commit, and what it did to each file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitView {
    #[serde(flatten)]
    event: Event,
    files: Vec<FileDiff>,
    /// Whether it changed more files than are shown.
    is_cut: bool,
}

/// `GET /projects/{id}/history`: the commits of the project's state, newest first, as plain git has them: up to 100 ms behind.
#[utoipa::path(get, path = "/projects/{id}/history", params(("id" = ProjectId, Path), HistoryQuery),
    responses((status = 200, description = "Commits", body = HistoryPage)))]
pub async fn list(
    State(app): State<App>,
    Named(id): Named<ProjectId>,
    Asked(query): Asked<HistoryQuery>,
) -> ApiResult<Json<HistoryPage>> {
    let about: Option<About> = query.about.as_deref().map(str::parse).transpose().map_err(|_| {
        ApiError::bad_request(
            "about is an id, or a path of the branch state such as project.yaml or jobs/open",
        )
    })?;
    let limit = page_length(query.limit);
    let filter = Filter { about, after: query.cursor, limit };
    let commits = read(&app, id, move |history| history.log(&filter)).await?;
    let next_cursor = commits.last().filter(|_| commits.len() == limit).map(|event| event.commit);
    Ok(Json(HistoryPage { commits, next_cursor }))
}

/// `GET /projects/{id}/commits/{oid}`: one commit: who did what, and what changed, field by field.
#[utoipa::path(get, path = "/projects/{id}/commits/{oid}", params(("id" = ProjectId, Path), ("oid" = Oid, Path)),
    responses((status = 200, description = "The commit", body = CommitView), (status = 404, description = "commitUnknown, projectUnknown")))]
pub async fn get(
    State(app): State<App>,
    Named((id, oid)): Named<(ProjectId, Oid)>,
) -> ApiResult<Json<CommitView>> {
    let shown = read(&app, id, move |history| history.show(oid)).await?;
    let files = shown.changes.iter().map(diff::of_file).collect();
    Ok(Json(CommitView { event: shown.event, files, is_cut: shown.is_cut }))
}

async fn read<T: Send + 'static>(
    app: &App,
    id: ProjectId,
    ask: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
) -> ApiResult<T> {
    app.projects.get(&id)?;
    let folder = app.state.folder().clone();
    let work = move || ask(&History::open(&folder, &RepoName::Project(id)));
    let read = tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))?;
    read.map_err(|error| match error {
        HistoryError::NoCommit { .. } => {
            ApiError::new(StatusCode::NOT_FOUND, "commitUnknown", error.to_string())
        }
        _ => ApiError::internal(&error),
    })
}
