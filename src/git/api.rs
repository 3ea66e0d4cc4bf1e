//! The HTTP side of git: smart HTTP (git's `http-protocol`) for reading state and code, and for pushing state.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::receive::ReceiveError;
use super::repo_path::RepoPath;
use super::serve::{ServeError, Shown};
use crate::app::App;
use crate::forge::ForgeKind;
use crate::http::auth::Pass;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Named, Raw};
use crate::id::ProjectId;
use crate::identity::{Principal, Right};

/// The service that takes a push.
const RECEIVE_PACK: &str = "git-receive-pack";

/// The query of `GET /git/{repo}/info/refs`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ServiceQuery {
    /// `git-upload-pack`; git sends it.
    service: Option<String>,
}

/// `GET /allowed-signers`: the key that the daemon's commits are signed with, as git's `gpg.ssh.allowedSignersFile` has it.
#[utoipa::path(get, path = "/allowed-signers",
    responses(
        (status = 200, description = "A line for the key", body = String, content_type = "text/plain"),
        (status = 404, description = "notSigned: the daemon signs no commits"),
    ))]
pub async fn allowed_signers(State(app): State<App>) -> ApiResult<String> {
    let signer = app.state.signer().ok_or_else(|| {
        let message = "the daemon's commits are not signed; mrx serve --sign-with names a key for that";
        ApiError::new(StatusCode::NOT_FOUND, "notSigned", message)
    })?;
    Ok(signer.allowed_signers())
}

/// `GET /git/{repo}/info/refs`: what a clone, fetch or push of a project's state begins with.
#[utoipa::path(get, path = "/git/{repo}/info/refs", params(("repo" = RepoPath, Path), ServiceQuery),
    responses(
        (status = 200, description = "The refs, as git's protocol says them", body = Vec<u8>, content_type = "application/x-git-upload-pack-advertisement"),
        (status = 403, description = "pushOff: this repository is read, and not pushed to"),
    ))]
pub async fn refs(
    State(app): State<App>,
    by: Principal,
    headers: HeaderMap,
    Named(repo): Named<RepoPath>,
    Asked(query): Asked<ServiceQuery>,
) -> ApiResult<Response> {
    heard(&app, &by, &repo);
    if query.service.as_deref() == Some(RECEIVE_PACK) {
        let project = pushed_to(&app, &by, &repo)?;
        let told = app.receiving.advertise(&app, &by, &project).await?;
        let body = [b"001f# service=git-receive-pack\n0000", told.as_slice()].concat();
        return Ok(labelled(body.into_response(), "application/x-git-receive-pack-advertisement"));
    }
    check_service(query.service.as_deref())?;
    let path = state_of(&app, &repo)?;
    shown_now(&app, &repo).await?;
    advertised(&app, &path, Shown::State, &headers).await
}

/// `POST /git/{repo}/git-upload-pack`: the objects of a clone or fetch.
#[utoipa::path(post, path = "/git/{repo}/git-upload-pack", params(("repo" = RepoPath, Path)),
    request_body(content = Vec<u8>, content_type = "application/x-git-upload-pack-request"),
    responses((status = 200, description = "A pack, as git's protocol says it", body = Vec<u8>, content_type = "application/x-git-upload-pack-result")))]
pub async fn upload_pack(
    State(app): State<App>,
    by: Principal,
    headers: HeaderMap,
    Named(repo): Named<RepoPath>,
    Raw(wants): Raw,
) -> ApiResult<Response> {
    heard(&app, &by, &repo);
    let path = state_of(&app, &repo)?;
    if let RepoPath::Project(project) = &repo {
        app.receiving.fetched(&app, &by, project, &wants, is_gzip(&headers)).await;
    }
    uploaded(&app, &path, Shown::State, &headers, wants).await
}

/// `POST /git/{repo}/git-receive-pack`: a push to the branch `state`.
#[utoipa::path(post, path = "/git/{repo}/git-receive-pack", params(("repo" = RepoPath, Path)),
    request_body(content = Vec<u8>, content_type = "application/x-git-receive-pack-request"),
    responses(
        (status = 200, description = "What came of it, as git's protocol says it; a refusal too", body = Vec<u8>, content_type = "application/x-git-receive-pack-result"),
        (status = 408, description = "stalled: nothing more came of what is pushed"),
        (status = 403, description = "pushOff: this repository is read, and not pushed to"),
    ))]
pub async fn receive_pack(
    State(app): State<App>,
    pass: Pass,
    headers: HeaderMap,
    Named(repo): Named<RepoPath>,
    sent: Body,
) -> ApiResult<Response> {
    heard(&app, pass.caller(), &repo);
    let project = pushed_to(&app, pass.caller(), &repo)?;
    let told = app.receiving.receive(&app, &pass, &project, sent, is_gzip(&headers)).await?;
    Ok(labelled(told.into_response(), "application/x-git-receive-pack-result"))
}

/// `GET /git/code/{repo}/info/refs`: what a clone of a project's code begins with; code that is elsewhere is redirected to.
#[utoipa::path(get, path = "/git/code/{repo}/info/refs", params(("repo" = RepoPath, Path), ServiceQuery),
    responses(
        (status = 200, description = "The refs, as git's protocol says them", body = Vec<u8>, content_type = "application/x-git-upload-pack-advertisement"),
        (status = 307, description = "The code is at another address"),
        (status = 403, description = "pushOff: this repository is read, and not pushed to"),
    ))]
pub async fn code_refs(
    State(app): State<App>,
    headers: HeaderMap,
    Named(repo): Named<RepoPath>,
    Asked(query): Asked<ServiceQuery>,
) -> ApiResult<Response> {
    check_service(query.service.as_deref())?;
    match code_of(&app, &repo)? {
        Code::Here(path) => advertised(&app, &path, Shown::Code, &headers).await,
        Code::Elsewhere(url) => {
            let url = format!("{}/info/refs?service=git-upload-pack", url.trim_end_matches('/'));
            Ok(Redirect::temporary(&url).into_response())
        }
    }
}

/// `POST /git/code/{repo}/git-upload-pack`: the objects of a clone of code.
#[utoipa::path(post, path = "/git/code/{repo}/git-upload-pack", params(("repo" = RepoPath, Path)),
    request_body(content = Vec<u8>, content_type = "application/x-git-upload-pack-request"),
    responses((status = 200, description = "A pack, as git's protocol says it", body = Vec<u8>, content_type = "application/x-git-upload-pack-result")))]
pub async fn code_upload_pack(
    State(app): State<App>,
    headers: HeaderMap,
    Named(repo): Named<RepoPath>,
    Raw(wants): Raw,
) -> ApiResult<Response> {
    match code_of(&app, &repo)? {
        Code::Here(path) => uploaded(&app, &path, Shown::Code, &headers, wants).await,
        Code::Elsewhere(_) => {
            Err(ApiError::bad_request("the code is elsewhere; fetch from where info/refs redirects"))
        }
    }
}

fn check_service(service: Option<&str>) -> Result<(), ApiError> {
    match service {
        Some("git-upload-pack") => Ok(()),
        Some(RECEIVE_PACK) => Err(push_off("code is not pushed to here; push it to where it is from")),
        _ => Err(ApiError::bad_request("only git's smart protocol is spoken: ?service=git-upload-pack")),
    }
}

fn push_off(message: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "pushOff", message)
}

/// An agent that fetches or pushes is alive, so its leases in this project go on.
fn heard(app: &App, by: &Principal, repo: &RepoPath) {
    if let (Principal::Agent(caller), RepoPath::Project(project)) = (by, repo) {
        match &caller.only {
            Some((job, lease)) => drop(app.jobs.leases().renew(job, lease)),
            None => app.jobs.leases().renew_of(project, &caller.agent.agent_id),
        }
    }
}

/// The project whose state the caller may push to: agents to what they work for, people to what they may write to.
fn pushed_to(app: &App, by: &Principal, repo: &RepoPath) -> ApiResult<ProjectId> {
    let RepoPath::Project(project) = repo else {
        return Err(push_off("the platform's own state is changed over the HTTP API alone"));
    };
    app.projects.get(project)?;
    if !matches!(by, Principal::Agent(_)) {
        by.demand(app, Right::Write, project)?;
    }
    Ok(project.clone())
}

/// Waits until git shows what has been acknowledged, so that whoever made a change finds it in the clone made next.
async fn shown_now(app: &App, repo: &RepoPath) -> ApiResult<()> {
    let name = repo.name();
    // A repository that is not in memory has nothing on its way.
    if app.state.glance(&name).is_open {
        let last = app.state.read(&name, |view| view.last()).await?;
        app.state.published(&name, last).await?;
    }
    Ok(())
}

fn state_of(app: &App, repo: &RepoPath) -> ApiResult<PathBuf> {
    if let RepoPath::Project(project) = repo {
        app.projects.get(project)?;
    }
    Ok(app.state.folder().repo(&repo.name()))
}

/// Where the code of a project is.
enum Code {
    Here(PathBuf),
    Elsewhere(String),
}

fn code_of(app: &App, repo: &RepoPath) -> ApiResult<Code> {
    let RepoPath::Project(project) = repo else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "notFound", "the platform has no code"));
    };
    let known = app.projects.get(project)?;
    match known.forge.kind {
        ForgeKind::Local => Ok(Code::Here(PathBuf::from(&known.repo))),
        ForgeKind::GitHub => Ok(Code::Elsewhere(known.clone_url())),
    }
}

async fn advertised(
    app: &App,
    path: &std::path::Path,
    shown: Shown,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    let refs = app.serving.advertise(path, shown, protocol(headers)).await.map_err(refused)?;
    let mut response = (StatusCode::OK, Body::from_stream(refs)).into_response();
    if protocol(headers) != Some("version=2") {
        // Protocols 0 and 1 begin with the service's name (gitprotocol-http, "Smart Clients").
        let (parts, body) = response.into_parts();
        let first = futures_util::stream::iter([Ok(bytes::Bytes::from_static(
            b"001e# service=git-upload-pack\n0000",
        ))]);
        let body = futures_util::StreamExt::chain(first, body.into_data_stream());
        response = Response::from_parts(parts, Body::from_stream(body));
    }
    Ok(labelled(response, "application/x-git-upload-pack-advertisement"))
}

async fn uploaded(
    app: &App,
    path: &std::path::Path,
    shown: Shown,
    headers: &HeaderMap,
    wants: bytes::Bytes,
) -> ApiResult<Response> {
    let pack = app.serving.upload_pack(path, shown, protocol(headers), wants, is_gzip(headers)).await;
    let pack = pack.map_err(refused)?;
    let response = (StatusCode::OK, Body::from_stream(pack)).into_response();
    Ok(labelled(response, "application/x-git-upload-pack-result"))
}

fn labelled(mut response: Response, kind: &'static str) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0, must-revalidate"));
    response
}

fn is_gzip(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip" || value == "x-gzip")
}

fn protocol(headers: &HeaderMap) -> Option<&str> {
    headers.get("git-protocol").and_then(|value| value.to_str().ok())
}

fn refused(error: ServeError) -> ApiError {
    match error {
        ServeError::Busy => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "gitBusy", error.to_string())
            .with_header(header::RETRY_AFTER, "5"),
        ServeError::TooLarge => ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "tooLarge", error.to_string()),
        ServeError::NotGzip => ApiError::bad_request(error.to_string()),
        ServeError::Start(error) => ApiError::internal(&error),
    }
}

impl From<ReceiveError> for ApiError {
    fn from(error: ReceiveError) -> Self {
        let message = error.to_string();
        match error {
            ReceiveError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "gitBusy", message)
                .with_header(header::RETRY_AFTER, "5"),
            ReceiveError::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "tooLarge", message),
            ReceiveError::Stalled(_) => Self::new(StatusCode::REQUEST_TIMEOUT, "stalled", message),
            ReceiveError::Unreadable(_) | ReceiveError::Git(_) => Self::bad_request(message),
            ReceiveError::Disk(error) => Self::internal(&error),
            ReceiveError::Engine(error) => error.into(),
        }
    }
}
