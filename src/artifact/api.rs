//! The HTTP side of artifacts.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::artifacts::Upload;
use super::types::Artifact;
use crate::app::App;
use crate::http::answer::with_job_status;
use crate::http::answer::{Ack, page_length, with_etag, written};
use crate::http::auth::{Principal, lease_of};
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Named, byte_range, version};
use crate::id::{ArtifactId, JobId, LeaseId, ProjectId};
use crate::job::jobs::{agent_of, holds};
use crate::job::{Job, JobError};
use crate::state::layout::RepoName;

/// The query of an upload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// The file's name, without folders.
    name: String,
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
    cursor: Option<ArtifactId>,
    /// How many, at most 200; 50 if absent.
    limit: Option<usize>,
}

/// A page of artifacts, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactsPage {
    artifacts: Vec<Artifact>,
    next_cursor: Option<ArtifactId>,
}

/// `POST /projects/{id}/artifacts?name=&jobId=`: stores a file. An agent does so for the job it holds.
#[utoipa::path(post, path = "/projects/{id}/artifacts", request_body(content = Vec<u8>, content_type = "application/octet-stream"),
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
    let job = match &query.job_id {
        Some(id) => Some(job_of(&app, &project, id).await?),
        None => None,
    };
    let (actor, lease) = match (&caller, &job) {
        (Principal::Agent(_), None) => {
            return Err(ApiError::bad_request("an agent says which job made the file: ?jobId="));
        }
        (Principal::Agent(agent), Some(job)) => {
            let lease = lease_of(&app, agent, &job.job_id, request.headers())?;
            holds(job, &lease)?;
            app.jobs.leases().renew(&job.job_id, &lease);
            (agent_of(job), Some(lease))
        }
        _ => (caller.actor(), None),
    };
    let upload = Upload {
        project: project.clone(),
        name: query.name,
        job: query.job_id,
        lease: lease.clone(),
        build_number: query.build_number,
    };
    let done = app.artifacts.upload(upload, actor, request.into_body().into_data_stream()).await?;
    let status = if done.answer.1 { StatusCode::CREATED } else { StatusCode::OK };
    let response =
        written(&app, query.ack, &RepoName::Project(project), status, &done, &done.answer.0).await?;
    let (Some(lease), Some(job)) = (lease, job) else { return Ok(response) };
    app.jobs.leases().renew(&job.job_id, &lease);
    Ok(with_job_status(response, &app, &*app.jobs.get(&job.job_id).await?))
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
    Named(project): Named<ProjectId>,
    Asked(query): Asked<ListQuery>,
) -> ApiResult<Json<ArtifactsPage>> {
    app.projects.get(&project)?;
    let limit = page_length(query.limit);
    let found = app.artifacts.page(&project, query.cursor, limit).await?;
    let next_cursor =
        found.last().filter(|_| found.len() == limit).map(|artifact| artifact.artifact_id.clone());
    Ok(Json(ArtifactsPage { artifacts: found, next_cursor }))
}

/// `GET /projects/{id}/artifacts/{artifactId}`: one entry.
#[utoipa::path(get, path = "/projects/{id}/artifacts/{artifactId}", params(("id" = ProjectId, Path), ("artifactId" = ArtifactId, Path)),
    responses((status = 200, description = "The entry", body = Artifact)))]
pub async fn get(
    State(app): State<App>,
    Named((project, id)): Named<(ProjectId, ArtifactId)>,
) -> ApiResult<Json<Artifact>> {
    Ok(Json(app.artifacts.get(&project, &id).await?))
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
        (status = 416, description = "rangeNotSatisfiable: the file is shorter"),
    ))]
pub async fn content(
    State(app): State<App>,
    headers: HeaderMap,
    Named((project, id)): Named<(ProjectId, ArtifactId)>,
) -> ApiResult<Response> {
    let artifact = app.artifacts.get(&project, &id).await?;
    if version(&headers, header::IF_NONE_MATCH) == Some(artifact.sha256.as_str()) {
        return Ok(with_etag(StatusCode::NOT_MODIFIED.into_response(), &artifact.sha256));
    }
    let range = byte_range(&headers, artifact.size)?;
    let bytes = app
        .artifacts
        .store()
        .get(&artifact.sha256, range.clone())
        .await
        .map_err(crate::artifact::ArtifactError::from)?;
    let length = range.as_ref().map_or(artifact.size, |range| range.end - range.start);
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
        set(header::CONTENT_RANGE, format!("bytes {}-{}/{}", range.start, range.end - 1, artifact.size));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(with_etag(response, &artifact.sha256))
}
