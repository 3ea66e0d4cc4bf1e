//! The HTTP side of artifacts.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::artifacts::Upload;
use super::types::Artifact;
use crate::app::App;
use crate::http::answer::{Ack, page, page_length, written};
use crate::http::auth::Principal;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::{Asked, Named, byte_range, lease};
use crate::id::{ArtifactId, JobId, ProjectId};
use crate::job::JobError;
use crate::job::jobs::{agent_of, holds};
use crate::state::layout::RepoName;

/// The query of an upload.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UploadQuery {
    name: String,
    job_id: Option<JobId>,
    build_number: Option<String>,
    #[serde(default)]
    ack: Ack,
}

/// The query of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    cursor: Option<ArtifactId>,
    limit: Option<usize>,
}

/// `POST /projects/{id}/artifacts?name=&jobId=`: stores a file. An agent does so for the job it holds.
pub async fn upload(
    State(app): State<App>, caller: Principal, Named(project): Named<ProjectId>, Asked(query): Asked<UploadQuery>, request: Request,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let actor = match (caller, &query.job_id) {
        (Principal::Agent, None) => return Err(ApiError::bad_request("an agent says which job made the file: ?jobId=")),
        (Principal::Agent, Some(id)) => {
            let job = app.jobs.get(id).await?;
            let lease = lease(request.headers())?;
            holds(&job, &lease)?;
            if job.project_id != project {
                return Err(JobError::Unknown(id.clone()).into());
            }
            app.jobs.leases().renew(id, &lease);
            agent_of(&job)
        }
        (Principal::Admin, _) => caller.actor(),
    };
    let upload = Upload { project: project.clone(), name: query.name, job: query.job_id, build_number: query.build_number };
    let done = app.artifacts.upload(upload, actor, request.into_body().into_data_stream()).await?;
    let status = if done.answer.1 { StatusCode::CREATED } else { StatusCode::OK };
    written(&app, query.ack, &RepoName::Project(project), status, &done, &done.answer.0).await
}

/// `GET /projects/{id}/artifacts`: the newest first.
pub async fn list(
    State(app): State<App>, Named(project): Named<ProjectId>, Asked(query): Asked<ListQuery>,
) -> ApiResult<Json<serde_json::Value>> {
    let limit = page_length(query.limit);
    let found = app.artifacts.page(&project, query.cursor, limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|artifact| artifact.artifact_id.to_string());
    Ok(page("artifacts", found, next))
}

/// `GET /projects/{id}/artifacts/{artifactId}`: one entry.
pub async fn get(
    State(app): State<App>, Named((project, id)): Named<(ProjectId, ArtifactId)>,
) -> ApiResult<Json<Artifact>> {
    Ok(Json(app.artifacts.get(&project, &id).await?))
}

/// `GET /projects/{id}/artifacts/{artifactId}/content`: the file, or the range of it that was asked for.
pub async fn content(
    State(app): State<App>, headers: HeaderMap, Named((project, id)): Named<(ProjectId, ArtifactId)>,
) -> ApiResult<Response> {
    let artifact = app.artifacts.get(&project, &id).await?;
    let range = byte_range(&headers, artifact.size)?;
    let bytes = app.artifacts.store().get(&artifact.sha256, range.clone()).await.map_err(crate::artifact::ArtifactError::from)?;
    let length = range.as_ref().map_or(artifact.size, |range| range.end - range.start);
    let name: String = artifact.name.chars().map(|c| if c.is_ascii_graphic() && c != '"' { c } else { '_' }).collect();
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
    set(header::ETAG, format!("\"{}\"", artifact.sha256));
    if let Some(range) = range {
        set(header::CONTENT_RANGE, format!("bytes {}-{}/{}", range.start, range.end - 1, artifact.size));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}
