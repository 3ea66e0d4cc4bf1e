//! The HTTP side of a project's jobs together: pages of them, and the files that are none.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::list::Cursor;
use super::types::{Job, JobState, JobType};
use crate::app::App;
use crate::http::answer::page_length;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Named};
use crate::http::past::At;
use crate::id::{AgentId, Label, ProjectId};
use crate::state::layout::RepoName;
use crate::state::yaml::BadFile;

/// The query of `GET /projects/{id}/jobs`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only jobs in this state.
    state: Option<JobState>,
    /// Only jobs of this type.
    #[serde(rename = "type")]
    kind: Option<JobType>,
    /// Only jobs with this label.
    label: Option<Label>,
    /// Only jobs that this agent has, or had last.
    agent: Option<AgentId>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
    /// How many, at most 200; 50 if absent.
    limit: Option<usize>,
}

/// A page of jobs. It can have fewer than asked for and still have a next one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobsPage {
    jobs: Vec<Job>,
    next_cursor: Option<String>,
}

/// The files of a project that should be jobs or schedules and cannot be read: a person mends or removes them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quarantine {
    files: Vec<QuarantinedFile>,
    /// Whether there were more open jobs, of the past, than were looked at.
    is_cut: bool,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedFile {
    /// Where it is on the branch `state`.
    path: String,
    /// What it should hold.
    kind: String,
    /// What is wrong with it.
    cause: String,
}

/// `GET /projects/{id}/jobs`: open jobs, newest first, then ended ones, the newest day first.
///
/// All pages behind one first page show the jobs as they were then.
#[utoipa::path(get, path = "/projects/{id}/jobs", params(("id" = ProjectId, Path), ListQuery),
    responses((status = 200, description = "Jobs", body = JobsPage)))]
pub async fn list(
    State(app): State<App>,
    at: At,
    Named(id): Named<ProjectId>,
    Asked(query): Asked<ListQuery>,
) -> ApiResult<Json<JobsPage>> {
    app.projects.get(&id)?;
    let cursor: Option<Cursor> =
        query.cursor.as_deref().map(str::parse).transpose().map_err(|_| {
            ApiError::bad_request("the cursor is none that this list gave; begin without one")
        })?;
    let commit =
        at.commit_behind(&app, &RepoName::Project(id.clone()), cursor.as_ref().map(|c| c.commit)).await?;
    let wanted = move |job: &Job| {
        query.state.is_none_or(|state| job.state == state)
            && query.kind.is_none_or(|kind| job.kind == kind)
            && query.label.as_ref().is_none_or(|label| job.labels.contains(label))
            && query.agent.as_ref().is_none_or(|agent| job.claimed_by.as_ref() == Some(agent))
    };
    let (jobs, next) = app.jobs.page(&id, commit, cursor, page_length(query.limit), wanted).await?;
    let jobs = jobs.iter().map(|job| job.shown()).collect();
    Ok(Json(JobsPage { jobs, next_cursor: next.map(|cursor| cursor.to_string()) }))
}

/// `GET /projects/{id}/quarantine`: files that should be open jobs or schedules and cannot be read; the others go on
/// without them.
#[utoipa::path(get, path = "/projects/{id}/quarantine", params(("id" = ProjectId, Path)),
    responses((status = 200, description = "The files and what is wrong with each", body = Quarantine)))]
pub async fn quarantine(
    State(app): State<App>,
    at: At,
    Named(id): Named<ProjectId>,
) -> ApiResult<Json<Quarantine>> {
    app.projects.get(&id)?;
    let view = |bad: BadFile| QuarantinedFile { path: bad.path, kind: bad.kind.to_owned(), cause: bad.cause };
    let ((jobs, is_cut), schedules) = match at.commit(&app, &RepoName::Project(id.clone())).await? {
        None => ((app.jobs.quarantined(&id).await?, false), app.schedules.quarantined(&id).await?),
        Some(commit) => {
            (app.jobs.quarantined_at(&id, commit).await?, app.schedules.quarantined_at(&id, commit).await?)
        }
    };
    Ok(Json(Quarantine { files: jobs.into_iter().chain(schedules).map(view).collect(), is_cut }))
}
