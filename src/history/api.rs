//! The HTTP side of a project's history.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::diff::{self, FileDiff};
use super::entities::{self, EntityChange, EntityDiff};
use crate::app::App;
use crate::entity::Name;
use crate::http::answer::page_length;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Named};
use crate::http::past;
use crate::id::ProjectId;
use crate::state::commit::Event;
use crate::state::history::{About, Filter, History, HistoryError};
use crate::state::layout::{self, RepoName};
use crate::state::moment::BadMoment;
use crate::state::oid::Oid;

/// How many things of a commit a page of history names.
const SUMMARY_FILES_MAX: usize = 50;

/// The query of `GET /projects/{id}/history`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only what touched this file or folder of the branch `state`.
    path: Option<String>,
    /// Only what touched this: the id of a job, wherever its file was, of a chat, an artifact or a webhook.
    id: Option<String>,
    /// Either of the two.
    about: Option<String>,
    /// The `nextCursor` of the page before: commits older than this one. `after` says the same.
    #[serde(alias = "after")]
    cursor: Option<Oid>,
    /// How many, at most 200; 50 if absent.
    limit: Option<usize>,
}

/// The query of `GET /projects/{id}/diff`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// A commit of the project's state, or a time.
    #[param(value_type = String)]
    from: String,
    /// The same; now if absent.
    to: Option<String>,
}

/// Commits, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryPage {
    commits: Vec<CommitSummary>,
    next_cursor: Option<Oid>,
}

/// A commit, and what it happened to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitSummary {
    #[serde(flatten)]
    event: Event,
    /// What it changed, at most 50 files' worth.
    entities: Vec<EntityChange>,
    /// How many files it changed.
    files_count: usize,
}

/// A commit, and what it did to each thing and file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitView {
    #[serde(flatten)]
    event: Event,
    entities: Vec<EntityDiff>,
    files: Vec<FileDiff>,
    /// Whether it changed more than is shown: at most 300 files and 4 MiB.
    is_cut: bool,
}

/// What differs between two commits.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiffView {
    /// The older one, or whichever was said first.
    from: Oid,
    /// The other.
    to: Oid,
    entities: Vec<EntityDiff>,
    files: Vec<FileDiff>,
    /// Whether more differs than is shown: at most 300 files and 4 MiB.
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
    let (about, limit) = (about(&query)?, page_length(query.limit));
    let filter = Filter { about, after: query.cursor, limit };
    app.projects.get(&id)?;
    let history = History::open(app.state.folder(), &RepoName::Project(id));
    let commits = read(move || summaries(&history, &filter)).await?;
    let last = commits.last().filter(|_| commits.len() == limit);
    let next_cursor = last.map(|commit| commit.event.commit);
    Ok(Json(HistoryPage { commits, next_cursor }))
}

/// What the query asks about: a path, an id, or either.
fn about(query: &HistoryQuery) -> ApiResult<Option<About>> {
    let bad = |what| {
        let known = "a path of the branch state such as project.yaml or jobs/open, or the id of a job, chat, artifact or webhook";
        ApiError::bad_request(format!("{what} is none; history can be asked about {known}"))
    };
    match (&query.path, &query.id, &query.about) {
        (None, None, None) => Ok(None),
        (Some(path), None, None) => path.parse().map(Some).map_err(|_| bad("path")),
        (None, None, Some(either)) => either.parse().map(Some).map_err(|_| bad("about")),
        (None, Some(id), None) if Name::of_id(id) == Some(Name::Prompt) => {
            Ok(Some(About::Path(layout::PROMPT.into())))
        }
        (None, Some(id), None) if Name::of_id(id).is_some() => id.parse().map(Some).map_err(|_| bad("id")),
        (None, Some(_), None) => Err(bad("id")),
        _ => Err(ApiError::bad_request("ask about one thing: path, id or about")),
    }
}

fn summaries(history: &History, filter: &Filter) -> Result<Vec<CommitSummary>, HistoryError> {
    let summary = |event: Event| {
        let (files, files_count) = history.touched(event.commit, SUMMARY_FILES_MAX)?;
        Ok(CommitSummary { entities: entities::touched(&files), files_count, event })
    };
    history.log(filter)?.into_iter().map(summary).collect()
}

/// `GET /projects/{id}/commits/{oid}`: one commit: who did what, and what changed, field by field.
#[utoipa::path(get, path = "/projects/{id}/commits/{oid}", params(("id" = ProjectId, Path), ("oid" = Oid, Path)),
    responses((status = 200, description = "The commit", body = CommitView), (status = 404, description = "commitUnknown, projectUnknown")))]
pub async fn get(
    State(app): State<App>,
    Named((id, oid)): Named<(ProjectId, Oid)>,
) -> ApiResult<Json<CommitView>> {
    app.projects.get(&id)?;
    let history = app.state.history(&RepoName::Project(id)).await?;
    let shown = read(move || history.show(oid)).await?;
    let files = shown.changes.iter().map(diff::of_file).collect();
    let entities = entities::diffs(&shown.changes);
    Ok(Json(CommitView { event: shown.event, entities, files, is_cut: shown.is_cut }))
}

/// `GET /projects/{id}/diff?from=&to=`: what differs between two moments, field by field.
#[utoipa::path(get, path = "/projects/{id}/diff", params(("id" = ProjectId, Path), DiffQuery),
    responses((status = 200, description = "What differs", body = DiffView), (status = 404, description = "commitUnknown, projectUnknown")))]
pub async fn diff(
    State(app): State<App>,
    Named(id): Named<ProjectId>,
    Asked(query): Asked<DiffQuery>,
) -> ApiResult<Json<DiffView>> {
    app.projects.get(&id)?;
    let repo = RepoName::Project(id);
    let from = commit_of(&app, &repo, &query.from).await?;
    let to = match &query.to {
        Some(to) => commit_of(&app, &repo, to).await?,
        None => app.state.read(&repo, |view| view.tip()).await?,
    };
    let history = app.state.history(&repo).await?;
    let (changes, is_cut) = read(move || history.diff(from, to)).await?;
    let files = changes.iter().map(diff::of_file).collect();
    Ok(Json(DiffView { from, to, entities: entities::diffs(&changes), files, is_cut }))
}

async fn commit_of(app: &App, repo: &RepoName, text: &str) -> ApiResult<Oid> {
    let moment = text.parse().map_err(|bad: BadMoment| ApiError::bad_request(bad.to_string()))?;
    app.state.commit_at(repo, moment).await?.ok_or_else(|| past::unknown(repo, moment))
}

async fn read<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, HistoryError> + Send + 'static,
) -> ApiResult<T> {
    let read = tokio::task::spawn_blocking(ask).await.map_err(|error| ApiError::internal(&error))?;
    read.map_err(|error| match error {
        HistoryError::NoCommit { .. } => {
            ApiError::new(StatusCode::NOT_FOUND, "commitUnknown", error.to_string())
        }
        _ => ApiError::internal(&error),
    })
}
