//! The HTTP side of artifacts.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::artifacts::{ArtifactError, Elsewhere, Upload};
use super::types::Artifact;
use crate::app::App;
use crate::clock::Time;
use crate::http::answer::{Ack, AckQuery, page_length, with_etag, with_job_status, written};
use crate::http::auth::{Principal, lease_of};
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Body as JsonBody, Named, byte_range, version};
use crate::http::past::{At, Cursor};
use crate::id::{ArtifactId, JobId, LeaseId, ProjectId};
use crate::job::jobs::{agent_of, holds};
use crate::job::{Job, JobError};
use crate::state::edit::Actor;
use crate::state::layout::RepoName;

/// An entry of bytes elsewhere is a few short texts.
const ENTRY_BYTES_MAX: usize = 64 << 10;

/// The query of an upload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// The file's name, without folders. Without it the body is JSON, an entry of bytes that are elsewhere.
    name: Option<String>,
    /// The job that made it; an agent must say so.
    job_id: Option<JobId>,
    /// The number of the build.
    build_number: Option<String>,
    /// What the answer waits for: `durable` survives a crash, `published` is shown by plain git too.
    #[serde(default)]
    ack: Ack,
}

/// The query of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
    /// How many, at most 200; 50 if absent.
    limit: Option<usize>,
}

/// A page of artifacts, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactsPage {
    artifacts: Vec<Artifact>,
    next_cursor: Option<String>,
}

/// An entry of bytes that are elsewhere.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewEntry {
    /// What the sender calls it. It is not kept: ids are given by MrX, and the answer tells the entry's.
    #[serde(rename = "artifactId")]
    _artifact_id: Option<String>,
    /// The file's name, without folders; the last part of `drivePath` if absent.
    name: Option<String>,
    /// Where the bytes are, at most 1024 bytes.
    drive_path: String,
    /// SHA-256 of the bytes in 64 hexadecimal digits, a to f small.
    sha256: String,
    /// How many bytes.
    size: Option<u64>,
    /// The number of the build.
    build_number: Option<String>,
    /// The job that made it; an agent must say so, here or in the query.
    job_id: Option<JobId>,
    /// When they were stored there, not after now; now if absent.
    uploaded_at: Option<Time>,
}

/// `POST /projects/{id}/artifacts`: stores a file (`?name=`), or makes an entry of bytes that are elsewhere (JSON, no `name`
/// in the query). An agent does so for the job it holds.
#[utoipa::path(post, path = "/projects/{id}/artifacts",
    request_body(content((Vec<u8> = "application/octet-stream"), (NewEntry = "application/json"))),
    params(("id" = ProjectId, Path), UploadQuery, ("Job-Lease" = Option<LeaseId>, Header, description = "An agent's hold on the job")),
    responses(
        (status = 201, description = "Stored", body = Artifact),
        (status = 200, description = "The same job, name and bytes were stored before", body = Artifact),
        (status = 409, description = "jobLeaseStale: the job is no longer the caller's; fileInvalid"),
        (status = 413, description = "tooLarge: more than 8 GiB"),
    ))]
pub async fn upload(
    State(app): State<App>,
    caller: Principal,
    Named(project): Named<ProjectId>,
    Asked(query): Asked<UploadQuery>,
    request: Request,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let headers = request.headers().clone();
    let (body, name) = match query.name {
        Some(name) => (Given::Bytes(request), name),
        None => {
            let entry = entry_of(request).await?;
            let name = entry.name.clone().unwrap_or_else(|| last_part(&entry.drive_path));
            (Given::Entry(entry), name)
        }
    };
    let (told_job, told_number) = body.told();
    let job = one_of("jobId", query.job_id, told_job)?;
    let job = match job {
        Some(id) => Some(job_of(&app, &project, &id).await?),
        None => None,
    };
    let (actor, lease) = deliverer(&app, &caller, job.as_deref(), &headers)?;
    let upload = Upload {
        project: project.clone(),
        name,
        job: job.as_ref().map(|job| job.job_id.clone()),
        lease: lease.clone(),
        build_number: one_of("buildNumber", query.build_number, told_number)?,
    };
    let done = match body {
        Given::Bytes(request) => {
            app.artifacts.upload(upload, actor, request.into_body().into_data_stream()).await?
        }
        Given::Entry(entry) => app.artifacts.index(upload, entry.place(), actor).await?,
    };
    let status = if done.answer.1 { StatusCode::CREATED } else { StatusCode::OK };
    let response =
        written(&app, query.ack, &RepoName::Project(project), status, &done, &done.answer.0).await?;
    let (Some(lease), Some(job)) = (lease, job) else { return Ok(response) };
    app.jobs.leases().renew(&job.job_id, &lease);
    Ok(with_job_status(response, &app, &*app.jobs.get(&job.job_id).await?))
}

/// What a post brings.
enum Given {
    Bytes(Request),
    Entry(NewEntry),
}

impl Given {
    fn told(&self) -> (Option<JobId>, Option<String>) {
        match self {
            Given::Bytes(_) => (None, None),
            Given::Entry(entry) => (entry.job_id.clone(), entry.build_number.clone()),
        }
    }
}

impl NewEntry {
    fn place(self) -> Elsewhere {
        let Self { drive_path, sha256, size, uploaded_at, .. } = self;
        Elsewhere { drive_path, sha256, size, uploaded_at }
    }
}

/// The route takes bodies of any length for files; an entry is small.
async fn entry_of(mut request: Request) -> ApiResult<NewEntry> {
    let is_json = |value: &header::HeaderValue| value.as_bytes().starts_with(b"application/json");
    if !request.headers().get(header::CONTENT_TYPE).is_some_and(is_json) {
        let message = "say the file's name as ?name=, or send Content-Type: application/json for bytes that are elsewhere";
        return Err(ApiError::bad_request(message));
    }
    DefaultBodyLimit::max(ENTRY_BYTES_MAX).apply(&mut request);
    Ok(JsonBody::from_request(request, &()).await?.0)
}

fn last_part(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// What the query and the body say of the same thing; it may stand in either.
fn one_of<T: PartialEq>(what: &str, query: Option<T>, body: Option<T>) -> ApiResult<Option<T>> {
    match (query, body) {
        (Some(query), Some(body)) if query != body => {
            Err(ApiError::bad_request(format!("the query and the body say different values of {what}")))
        }
        (query, body) => Ok(query.or(body)),
    }
}

/// Who delivers, and an agent's lease, which is renewed.
fn deliverer(
    app: &App,
    caller: &Principal,
    job: Option<&Job>,
    headers: &HeaderMap,
) -> ApiResult<(Actor, Option<LeaseId>)> {
    let Principal::Agent(agent) = caller else { return Ok((caller.actor(), None)) };
    let Some(job) = job else {
        return Err(ApiError::bad_request("an agent says which job made the file: ?jobId="));
    };
    let lease = lease_of(app, agent, &job.job_id, headers)?;
    holds(job, &lease)?;
    app.jobs.leases().renew(&job.job_id, &lease);
    Ok((agent_of(job), Some(lease)))
}

async fn job_of(app: &App, project: &ProjectId, id: &JobId) -> ApiResult<Arc<Job>> {
    let job = app.jobs.get(id).await?;
    if job.project_id == *project { Ok(job) } else { Err(JobError::Unknown(id.clone()).into()) }
}

/// `GET /projects/{id}/artifacts`: the newest first.
#[utoipa::path(get, path = "/projects/{id}/artifacts", params(("id" = ProjectId, Path), ListQuery),
    responses((status = 200, description = "Artifacts", body = ArtifactsPage)))]
pub async fn list(
    State(app): State<App>,
    at: At,
    Named(project): Named<ProjectId>,
    Asked(query): Asked<ListQuery>,
) -> ApiResult<Json<ArtifactsPage>> {
    app.projects.get(&project)?;
    let limit = page_length(query.limit);
    let (commit, before) = at.page(&app, &RepoName::Project(project.clone()), query.cursor).await?;
    let found = app.artifacts.page(&project, commit, before, limit).await?;
    let last = found.last().filter(|_| found.len() == limit);
    let next_cursor = last.map(|last| Cursor::behind(commit, &last.artifact_id).to_string());
    Ok(Json(ArtifactsPage { artifacts: found, next_cursor }))
}

/// `GET /projects/{id}/artifacts/{artifactId}`: one entry.
#[utoipa::path(get, path = "/projects/{id}/artifacts/{artifactId}", params(("id" = ProjectId, Path), ("artifactId" = ArtifactId, Path)),
    responses((status = 200, description = "The entry", body = Artifact)))]
pub async fn get(
    State(app): State<App>,
    at: At,
    Named((project, id)): Named<(ProjectId, ArtifactId)>,
) -> ApiResult<Json<Artifact>> {
    let commit = at.commit(&app, &RepoName::Project(project.clone())).await?;
    Ok(Json(app.artifacts.get(&project, commit, &id).await?))
}

/// `DELETE /projects/{id}/artifacts/{artifactId}`: removes an entry. Its bytes go within hours, unless another entry of any
/// project refers to them; bytes elsewhere stay.
#[utoipa::path(delete, path = "/projects/{id}/artifacts/{artifactId}",
    params(("id" = ProjectId, Path), ("artifactId" = ArtifactId, Path), AckQuery),
    responses((status = 200, description = "The entry as it was", body = Artifact)))]
pub async fn remove(
    State(app): State<App>,
    caller: Principal,
    Named((project, id)): Named<(ProjectId, ArtifactId)>,
    Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let done = app.artifacts.remove(&project, &id, caller.actor()).await?;
    written(&app, query.ack, &RepoName::Project(project), StatusCode::OK, &done, &done.answer).await
}

/// `GET /projects/{id}/artifacts/{artifactId}/content`: the file, or the range of it that was asked for.
#[utoipa::path(get, path = "/projects/{id}/artifacts/{artifactId}/content",
    params(("id" = ProjectId, Path), ("artifactId" = ArtifactId, Path), ("Range" = Option<String>, Header, description = "`bytes=<first>-<last>`"),
        ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream",
            headers(("ETag" = String, description = "Its SHA-256"))),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "application/octet-stream",
            headers(("Content-Range" = String, description = "Which bytes these are"))),
        (status = 304, description = "The caller has it"),
        (status = 404, description = "artifactElsewhere: the bytes are not here; details.drivePath says where; artifactUnknown"),
        (status = 416, description = "rangeNotSatisfiable: the file is shorter"),
    ))]
pub async fn content(
    State(app): State<App>,
    headers: HeaderMap,
    Named((project, id)): Named<(ProjectId, ArtifactId)>,
) -> ApiResult<Response> {
    let artifact = app.artifacts.get(&project, None, &id).await?;
    if let Some(path) = artifact.drive_path {
        return Err(ArtifactError::Elsewhere(path).into());
    }
    if version(&headers, header::IF_NONE_MATCH) == Some(artifact.sha256.as_str()) {
        return Ok(with_etag(StatusCode::NOT_MODIFIED.into_response(), &artifact.sha256));
    }
    let size = artifact.size.unwrap_or_default();
    let range = byte_range(&headers, size)?;
    let bytes =
        app.artifacts.store().get(&artifact.sha256, range.clone()).await.map_err(ArtifactError::from)?;
    let length = range.as_ref().map_or(size, |range| range.end - range.start);
    let name: String =
        artifact.name.chars().map(|c| if c.is_ascii_graphic() && c != '"' { c } else { '_' }).collect();
    let mut response = Body::from_stream(bytes).into_response();
    let mut set = |name, value: String| {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "application/octet-stream".to_owned());
    set(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""));
    set(header::CONTENT_LENGTH, length.to_string());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    if let Some(range) = range {
        set(header::CONTENT_RANGE, format!("bytes {}-{}/{}", range.start, range.end - 1, size));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(with_etag(response, &artifact.sha256))
}
