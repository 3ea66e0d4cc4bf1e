//! The HTTP side of projects.

use std::sync::Arc;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::edit::ProjectEdit;
use super::forks::NewFork;
use super::past::Wanted;
use super::types::{ForkOf, Project};
use crate::app::App;
use crate::forge::{ForgeError, NewCode};
use crate::http::answer::{AckQuery, page_length, with_etag, written};
use crate::http::auth::Principal;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Body, Named, version};
use crate::http::past::{self, At, Cursor};
use crate::id::{ProjectId, UserName};
use crate::identity::{IdentityError, Member, Right};
use crate::remote::address::BadAddress;
use crate::state::layout::RepoName;
use crate::state::moment::BadMoment;
use crate::state::store::Done;

/// How long an answer waits for the forge; what was asked goes on behind it.
const FORGE_WAIT: Duration = Duration::from_secs(15);
/// GitHub takes no longer description.
const DESCRIPTION_CHARS_MAX: usize = 350;

/// The query of `GET /projects`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
    /// How many, at most 200; 50 if absent.
    limit: Option<usize>,
    /// `true` lists those in the trash instead.
    #[serde(default)]
    trashed: bool,
}

/// A project to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// Its name, and its repository's; it begins with the configured prefix: `mrx-weather`.
    name: ProjectId,
    /// The account or organization that has the repository; the first configured one if absent.
    owner: Option<String>,
    /// Whether only invited people see the repository; they do if absent.
    #[serde(default = "yes")]
    private: bool,
    /// What it is about, one line of at most 350 characters.
    description: Option<String>,
}

fn yes() -> bool {
    true
}

/// A page of projects, by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectsPage {
    projects: Vec<Arc<Project>>,
    next_cursor: Option<String>,
}

/// The body of `PUT /projects/{id}/members/{user}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberBody {
    /// What the person may do: `read`, `write` or `admin`.
    right: Right,
}

/// The body of `POST /projects/{id}/forks`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkBody {
    /// Its name, with the configured prefix; one is made from the project's if absent.
    id: Option<ProjectId>,
    /// Where it starts: a commit of the project's state, or a time; now if absent.
    at: Option<String>,
    /// Whether its jobs are handed out and its schedules make some.
    #[serde(default)]
    run: bool,
}

/// `GET /projects`: the projects that the caller may read, by name.
#[utoipa::path(get, path = "/projects", params(ListQuery), responses((status = 200, description = "Projects", body = ProjectsPage)))]
pub async fn list(
    State(app): State<App>,
    caller: Principal,
    at: At,
    Asked(query): Asked<ListQuery>,
) -> ApiResult<Json<ProjectsPage>> {
    let limit = page_length(query.limit);
    let (commit, after) = at.page::<ProjectId>(&app, &RepoName::Platform, query.cursor).await?;
    let (projects, next) = match commit {
        None => {
            let wanted = |project: &Project| {
                project.trashed_at.is_some() == query.trashed
                    && caller.right_in(&project.project_id, &project.members).is_some()
            };
            let projects = app.projects.registry().page(after.as_ref(), limit, wanted);
            let next =
                projects.last().filter(|_| projects.len() == limit).map(|last| last.project_id.clone());
            (projects, next)
        }
        Some(commit) => {
            // Who may read is told by the members of now, also for a project that is no more.
            let registry = app.projects.registry().clone();
            let may_read = move |id: &ProjectId| {
                let members = registry.find(id).map(|project| project.members.clone()).unwrap_or_default();
                caller.right_in(id, &members).is_some()
            };
            let wanted = Wanted { is_trashed: query.trashed, may_read: Box::new(may_read) };
            app.projects.page_at(commit, after, limit, wanted).await?
        }
    };
    let next_cursor = next.map(|last| Cursor::behind(commit, last).to_string());
    Ok(Json(ProjectsPage { projects, next_cursor }))
}

/// `GET /projects/{id}`: one project, also one in the trash.
#[utoipa::path(get, path = "/projects/{id}",
    params(("id" = ProjectId, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The project", body = Project, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "It is as the caller knows it"),
    ))]
pub async fn get(
    State(app): State<App>,
    headers: HeaderMap,
    at: At,
    Named(id): Named<ProjectId>,
) -> ApiResult<Response> {
    let now = app.projects.get(&id)?;
    let project = match at.commit_of_entry(&app, &RepoName::Project(id.clone())).await? {
        None => now,
        Some(commit) => app.projects.get_at(&id, commit).await?,
    };
    let found = project.version();
    let response = match version(&headers, header::IF_NONE_MATCH) {
        Some(known) if known == found => StatusCode::NOT_MODIFIED.into_response(),
        _ => Json(project).into_response(),
    };
    Ok(with_etag(response, &found))
}

/// `POST /projects`: makes the repository on the forge and registers it. One that the forge has already is registered.
#[utoipa::path(post, path = "/projects", params(AckQuery), request_body = NewProject,
    responses(
        (status = 201, description = "The project", body = Project, headers(("ETag" = String, description = "Its version"))),
        (status = 409, description = "projectExists: there is one of this name"),
        (status = 502, description = "forgeFailed: the forge did not make it"),
        (status = 503, description = "forgeBusy: the forge asks to wait, until Retry-After; diskFull, stopping, starting: ask again after Retry-After"),
    ))]
pub async fn create(
    State(app): State<App>,
    principal: Principal,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<NewProject>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    let forge = app.syncer.forge();
    let (name, prefix) = (body.name.clone(), forge.prefix());
    if !name.as_str().starts_with(prefix) {
        return Err(ApiError::bad_request(format!(
            "the name must begin with {prefix}, as every project's does"
        )));
    }
    let is_line =
        |text: &String| text.chars().count() <= DESCRIPTION_CHARS_MAX && !text.chars().any(char::is_control);
    if !body.description.as_ref().is_none_or(is_line) {
        let message =
            format!("the description must be one line of at most {DESCRIPTION_CHARS_MAX} characters");
        return Err(ApiError::bad_request(message));
    }
    if body.owner.is_none() && app.projects.registry().find(&name).is_some() {
        return Err(super::ProjectError::Exists(name).into());
    }
    let begun = app.clock.now();
    let new = NewCode { name, owner: body.owner, private: body.private, description: body.description };
    let made = tokio::time::timeout(FORGE_WAIT, forge.create(new)).await;
    let code = made.map_err(|_| forge_failed("it did not answer in time; ask again"))??;
    let owner = principal.user().map(|user| Member { user: user.clone(), right: Right::Admin });
    let done = app.projects.register(forge.kind(), &code, begun, owner, principal.actor()).await?;
    answered(&app, query, StatusCode::CREATED, &done).await
}

/// `PATCH /projects/{id}`: changes what people say of a project. `If-Match` with an `ETag` changes only that version.
#[utoipa::path(patch, path = "/projects/{id}",
    params(("id" = ProjectId, Path), AckQuery, ("If-Match" = Option<String>, Header)), request_body = ProjectEdit,
    responses(
        (status = 200, description = "The project", body = Project, headers(("ETag" = String, description = "Its version"))),
        (status = 409, description = "projectTrashed: it is in the trash; with run: noFork, forkTooLarge: more than 1,000 open jobs of its source, forkBusy"),
        (status = 412, description = "projectChanged: the version of If-Match is not the project's"),
        (status = 422, description = "remoteAddress: the remote is none that is called"),
    ))]
pub async fn edit(
    State(app): State<App>,
    principal: Principal,
    headers: HeaderMap,
    Named(id): Named<ProjectId>,
    Asked(query): Asked<AckQuery>,
    Body(edit): Body<ProjectEdit>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    edit.check().map_err(|bad| ApiError::bad_request(bad.to_string()))?;
    if let Some(remote) = edit.remote() {
        let bad = |bad: BadAddress| {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "remoteAddress", bad.to_string())
        };
        app.remotes.check(remote).map_err(bad)?;
    }
    let only_if = version(&headers, header::IF_MATCH);
    let done = app.projects.edit(&id, &edit, only_if, principal.actor()).await?;
    answered(&app, query, StatusCode::OK, &done).await
}

/// `DELETE /projects/{id}`: puts a project into the trash. After 30 days its state is removed; its code stays on the forge.
#[utoipa::path(delete, path = "/projects/{id}",
    params(("id" = ProjectId, Path), AckQuery, ("If-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The project, in the trash", body = Project, headers(("ETag" = String, description = "Its version"))),
        (status = 412, description = "projectChanged: the version of If-Match is not the project's"),
    ))]
pub async fn trash(
    State(app): State<App>,
    principal: Principal,
    headers: HeaderMap,
    Named(id): Named<ProjectId>,
    Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    let only_if = version(&headers, header::IF_MATCH);
    let done = app.projects.trash(&id, only_if, principal.actor()).await?;
    answered(&app, query, StatusCode::OK, &done).await
}

/// `POST /projects/{id}/restore`: brings a project back from the trash.
#[utoipa::path(post, path = "/projects/{id}/restore", params(("id" = ProjectId, Path), AckQuery),
    responses(
        (status = 200, description = "The project", body = Project, headers(("ETag" = String, description = "Its version"))),
        (status = 409, description = "projectNotTrashed: it is not in the trash"),
    ))]
pub async fn restore(
    State(app): State<App>,
    principal: Principal,
    Named(id): Named<ProjectId>,
    Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    let done = app.projects.restore(&id, principal.actor()).await?;
    answered(&app, query, StatusCode::OK, &done).await
}

/// `POST /projects/{id}/sync`: looks at the forge now. 202 if that takes long; it goes on.
#[utoipa::path(post, path = "/projects/{id}/sync", params(("id" = ProjectId, Path)),
    responses(
        (status = 200, description = "The project, as the forge has it now", body = Project),
        (status = 202, description = "The project as it was; the forge is being asked", body = Project),
        (status = 502, description = "forgeFailed: the forge was not seen whole"),
        (status = 503, description = "forgeBusy: the forge asks to wait, until Retry-After; diskFull, stopping, starting: ask again after Retry-After"),
    ))]
pub async fn sync(State(app): State<App>, Named(id): Named<ProjectId>) -> ApiResult<Response> {
    app.projects.get(&id)?;
    let status = match tokio::time::timeout(FORGE_WAIT, app.syncer.sync()).await {
        Ok(looked) => looked.map(|()| StatusCode::OK)?,
        Err(_) => {
            app.syncer.hint();
            StatusCode::ACCEPTED
        }
    };
    Ok((status, Json(app.projects.get(&id)?)).into_response())
}

/// `POST /projects/{id}/forks`: makes a second project whose state starts at a commit of this one, for rehearsal.
///
/// It has the jobs, chats, schedules and artifacts' entries of then, and no secrets and no webhooks; the caller owns it. Its
/// jobs are not handed out and its schedules are off, unless `run` is asked for: then each job that was open is a new one.
#[utoipa::path(post, path = "/projects/{id}/forks", params(("id" = ProjectId, Path), AckQuery), request_body = ForkBody,
    responses(
        (status = 201, description = "The fork", body = Project, headers(("ETag" = String, description = "Its version"))),
        (status = 404, description = "projectUnknown, commitUnknown"),
        (status = 409, description = "projectExists: there is one of this name; projectTrashed; forkTooLarge: more than 1,000 open jobs, with run; forkBusy"),
    ))]
pub async fn fork(
    State(app): State<App>,
    principal: Principal,
    Named(id): Named<ProjectId>,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<ForkBody>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    principal.demand(&app, Right::Read, &id)?;
    let prefix = app.syncer.forge().prefix();
    if body.id.as_ref().is_some_and(|id| !id.as_str().starts_with(prefix)) {
        return Err(ApiError::bad_request(format!(
            "the id must begin with {prefix}, as every project's does"
        )));
    }
    let repo = RepoName::Project(id.clone());
    let commit = match &body.at {
        None => app.state.read(&repo, |view| view.tip()).await?,
        Some(text) => {
            let moment = text.parse().map_err(|bad: BadMoment| ApiError::bad_request(bad.to_string()))?;
            app.state.commit_at(&repo, moment).await?.ok_or_else(|| past::unknown(&repo, moment))?
        }
    };
    let owner = principal.user().map(|user| Member { user: user.clone(), right: Right::Admin });
    let new = NewFork { id: body.id, of: ForkOf { project: id, commit, run: body.run }, owner };
    let done = app.projects.fork(new, principal.actor()).await?;
    answered(&app, query, StatusCode::CREATED, &done).await
}

async fn answered(
    app: &App,
    query: AckQuery,
    status: StatusCode,
    done: &Done<Arc<Project>>,
) -> ApiResult<Response> {
    let response = written(app, query.ack, &RepoName::Platform, status, done, &done.answer).await?;
    Ok(with_etag(response, &done.answer.version()))
}

fn forge_failed(message: &str) -> ForgeError {
    crate::forge::github::GitHubError::Unreachable(message.to_owned()).into()
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
    query.ack.check(&app, &RepoName::Platform)?;
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
    query.ack.check(&app, &RepoName::Platform)?;
    let done = app.projects.remove_member(&id, &user, caller.actor()).await?;
    written(&app, query.ack, &RepoName::Platform, StatusCode::OK, &done, &done.answer).await
}
