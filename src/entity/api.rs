//! The HTTP side of putting things back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Json, response::IntoResponse};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Name;
use super::revert::{Wanted, preview, revert};
use crate::app::App;
use crate::history::diff::{self, FileDiff};
use crate::history::entities::{self, EntityDiff};
use crate::http::answer::{Ack, written};
use crate::http::auth::Principal;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Body, Named};
use crate::http::past;
use crate::id::ProjectId;
use crate::state::history::FileChange;
use crate::state::layout::RepoName;
use crate::state::moment::{BadMoment, Moment};
use crate::state::oid::Oid;

/// The body of `POST /projects/{id}/revert`: what is put back, by `path` or `id`, and to when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertBody {
    /// One of its files, or a chat's folder: `schedules/nightly.yaml`.
    path: Option<String>,
    /// The id of a job, chat, artifact or webhook, or `prompt`.
    id: Option<String>,
    /// A commit of the project's state, or a time.
    to: String,
}

/// The query of `POST /projects/{id}/revert`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RevertQuery {
    /// Whether to tell alone what would change.
    #[serde(default)]
    dry_run: bool,
    /// What the answer waits for: `durable` survives a crash, `published` is shown by plain git too.
    #[serde(default)]
    ack: Ack,
}

/// What was put back, or would be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertView {
    /// `job`, `chat`, `prompt`, `schedule`, `artifact` or `webhook`.
    kind: &'static str,
    /// Its id or name; null where there is one alone.
    id: Option<String>,
    /// The commit it is put back to.
    to: Oid,
    /// Whether nothing was changed, and this tells alone what would be.
    dry_run: bool,
    /// What changes; nothing if it is as it was.
    entities: Vec<EntityDiff>,
    files: Vec<FileDiff>,
}

/// `POST /projects/{id}/revert`: puts one thing back to what it was, as a new commit.
///
/// All its files change together. A job that was held waits again as its next attempt; a webhook keeps its present secret; no
/// lease, token or secret comes back. `?dryRun=true` tells what would change and changes nothing.
#[utoipa::path(post, path = "/projects/{id}/revert", params(("id" = ProjectId, Path), RevertQuery), request_body = RevertBody,
    responses(
        (status = 200, description = "It is as it was, as far as its kind allows", body = RevertView),
        (status = 404, description = "projectUnknown; commitUnknown; notThere: it was not there then"),
        (status = 409, description = "revertRefused: its kind does not allow it, and the message says why; projectTrashed, projectArchived"),
    ))]
pub async fn put_back(
    State(app): State<App>,
    caller: Principal,
    Named(project): Named<ProjectId>,
    Asked(query): Asked<RevertQuery>,
    Body(body): Body<RevertBody>,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let repo = RepoName::Project(project.clone());
    let name = name_of(&body)?;
    let moment: Moment =
        body.to.parse().map_err(|bad: BadMoment| ApiError::bad_request(format!("to is no moment: {bad}")))?;
    let to = app.state.commit_at(&repo, moment).await?.ok_or_else(|| past::unknown(&repo, moment))?;
    let wanted = Wanted { project, name, to };
    if query.dry_run {
        let changes = preview(&app, &wanted).await?;
        return Ok(Json(view(&wanted, true, &changes)).into_response());
    }
    let done = revert(&app, &wanted, caller.actor()).await?;
    let view = view(&wanted, false, &done.answer);
    written(&app, query.ack, &repo, StatusCode::OK, &done, view).await
}

fn name_of(body: &RevertBody) -> ApiResult<Name> {
    match (&body.path, &body.id) {
        (Some(path), None) => Name::of_path(path).ok_or_else(|| {
            ApiError::bad_request(format!("{path:?} is the path of nothing that could be put back; say one such as schedules/nightly.yaml"))
        }),
        (None, Some(id)) => Name::of_id(id).ok_or_else(|| {
            ApiError::bad_request(format!("{id:?} is no id of a job, chat, artifact or webhook; a schedule is named by its path"))
        }),
        _ => Err(ApiError::bad_request("say what is to be put back: path or id")),
    }
}

fn view(wanted: &Wanted, dry_run: bool, changes: &[FileChange]) -> RevertView {
    RevertView {
        kind: wanted.name.kind(),
        id: wanted.name.id(),
        to: wanted.to,
        dry_run,
        entities: entities::diffs(changes),
        files: changes.iter().map(diff::of_file).collect(),
    }
}
