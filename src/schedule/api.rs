//! The HTTP side of schedules.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cron::Cron;
use super::types::Schedule;
use super::zone::TimeZone;
use crate::app::App;
use crate::clock::Time;
use crate::http::answer::{AckQuery, with_commit, written};
use crate::http::auth::Principal;
use crate::http::error::ApiResult;
use crate::http::input::{Asked, Body, Named, present};
use crate::http::past::At;
use crate::id::{GroupName, Label, ProjectId, ScheduleName};
use crate::job::JobType;
use crate::job::new::TIMEOUT_SECONDS_DEFAULT;
use crate::state::layout::RepoName;
use crate::state::object::Object;

/// The body of `POST /projects/{id}/schedules`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSchedule {
    /// Its name: `nightly`.
    name: ScheduleName,
    /// When: minute, hour, day of the month, month, day of the week, on the clock of its zone.
    cron: Cron,
    /// The zone of that clock: `Europe/Berlin`; `UTC` if absent.
    #[serde(default)]
    time_zone: TimeZone,
    /// What kind of job it makes.
    job_type: JobType,
    /// What the job is to do.
    #[serde(default)]
    payload: Object,
    /// Jobs of higher priority are claimed first; 0 is ordinary.
    #[serde(default)]
    priority: i8,
    /// What an agent must offer to get the job; at most 32.
    #[serde(default)]
    labels: Vec<Label>,
    /// How long the job may run: 1 to 604800; 3600 if absent.
    timeout_seconds: Option<u32>,
    /// Of the project's jobs with the same group one is claimed or running at a time.
    concurrency_group: Option<GroupName>,
    /// Whether it makes jobs; it does if absent.
    enabled: Option<bool>,
}

/// The body of `PATCH /projects/{id}/schedules/{name}`: a field that is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleEdit {
    /// When. The next time is then counted from now.
    cron: Option<Cron>,
    /// The zone whose clock it goes by. The next time is then counted from now.
    time_zone: Option<TimeZone>,
    /// What kind of job it makes.
    job_type: Option<JobType>,
    /// What the job is to do.
    payload: Option<Object>,
    /// Jobs of higher priority are claimed first.
    priority: Option<i8>,
    /// What an agent must offer to get the job.
    labels: Option<Vec<Label>>,
    /// How long the job may run: 1 to 604800.
    timeout_seconds: Option<u32>,
    /// Null is no group.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<GroupName>)]
    concurrency_group: Option<Option<GroupName>>,
    /// Whether it makes jobs. The next time is then counted from now.
    enabled: Option<bool>,
}

/// All schedules of a project, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct SchedulesView {
    schedules: Vec<Schedule>,
}

impl NewSchedule {
    fn made_by(self, creator: String, now: Time) -> Schedule {
        Schedule {
            name: self.name,
            cron: self.cron,
            time_zone: self.time_zone,
            job_type: self.job_type,
            payload: self.payload,
            priority: self.priority,
            labels: self.labels,
            timeout_seconds: self.timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT),
            concurrency_group: self.concurrency_group,
            enabled: self.enabled.unwrap_or(true),
            created_by: Some(creator),
            created_at: now,
            updated_at: None,
            last_run_at: None,
            last_job: None,
            next_run_at: None,
        }
    }
}

impl ScheduleEdit {
    fn applied_to(self, known: Schedule) -> Schedule {
        Schedule {
            cron: self.cron.unwrap_or(known.cron),
            time_zone: self.time_zone.unwrap_or(known.time_zone),
            job_type: self.job_type.unwrap_or(known.job_type),
            payload: self.payload.unwrap_or(known.payload),
            priority: self.priority.unwrap_or(known.priority),
            labels: self.labels.unwrap_or(known.labels),
            timeout_seconds: self.timeout_seconds.unwrap_or(known.timeout_seconds),
            concurrency_group: self.concurrency_group.unwrap_or(known.concurrency_group),
            enabled: self.enabled.unwrap_or(known.enabled),
            ..known
        }
    }
}

/// `GET /projects/{id}/schedules`: all schedules of a project, by name, each with its next time.
#[utoipa::path(get, path = "/projects/{id}/schedules", params(("id" = ProjectId, Path)),
    responses((status = 200, description = "Schedules", body = SchedulesView)))]
pub async fn list(
    State(app): State<App>,
    at: At,
    Named(id): Named<ProjectId>,
) -> ApiResult<Json<SchedulesView>> {
    app.projects.get(&id)?;
    let schedules = match at.commit(&app, &RepoName::Project(id.clone())).await? {
        None => app.schedules.list(&id).await?,
        Some(commit) => app.schedules.list_at(&id, commit).await?,
    };
    Ok(Json(SchedulesView { schedules }))
}

/// `POST /projects/{id}/schedules`: makes a schedule, which makes a job at each of its times.
///
/// Times that are missed while the daemon is down are made up for by one job, not one each.
#[utoipa::path(post, path = "/projects/{id}/schedules", params(("id" = ProjectId, Path), AckQuery), request_body = NewSchedule,
    responses(
        (status = 201, description = "The schedule", body = Schedule),
        (status = 409, description = "scheduleExists; schedulesTooMany: a project has at most 100; projectArchived, projectTrashed; fileInvalid"),
        (status = 413, description = "tooLarge, jobTooLarge"),
    ))]
pub async fn create(
    State(app): State<App>,
    caller: Principal,
    Named(id): Named<ProjectId>,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<NewSchedule>,
) -> ApiResult<Response> {
    let actor = caller.actor();
    let schedule = body.made_by(actor.name.as_ref().to_owned(), app.clock.now());
    let done = app.schedules.create(&id, schedule, actor).await?;
    written(&app, query.ack, &RepoName::Project(id), StatusCode::CREATED, &done, &done.answer).await
}

/// `GET /projects/{id}/schedules/{name}`: one schedule.
#[utoipa::path(get, path = "/projects/{id}/schedules/{name}", params(("id" = ProjectId, Path), ("name" = ScheduleName, Path)),
    responses(
        (status = 200, description = "The schedule", body = Schedule),
        (status = 404, description = "scheduleUnknown, projectUnknown"),
        (status = 409, description = "fileInvalid: its file is broken"),
    ))]
pub async fn get(
    State(app): State<App>,
    at: At,
    Named((id, name)): Named<(ProjectId, ScheduleName)>,
) -> ApiResult<Json<Schedule>> {
    app.projects.get(&id)?;
    Ok(Json(match at.commit(&app, &RepoName::Project(id.clone())).await? {
        None => app.schedules.get(&id, &name).await?,
        Some(commit) => app.schedules.get_at(&id, commit, &name).await?,
    }))
}

/// `PATCH /projects/{id}/schedules/{name}`: changes a schedule, or turns it off and on.
#[utoipa::path(patch, path = "/projects/{id}/schedules/{name}", params(("id" = ProjectId, Path), ("name" = ScheduleName, Path), AckQuery),
    request_body = ScheduleEdit,
    responses(
        (status = 200, description = "The schedule", body = Schedule),
        (status = 404, description = "scheduleUnknown, projectUnknown"),
        (status = 409, description = "fileInvalid: its file is broken"),
        (status = 413, description = "tooLarge, jobTooLarge"),
    ))]
pub async fn edit(
    State(app): State<App>,
    caller: Principal,
    Named((id, name)): Named<(ProjectId, ScheduleName)>,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<ScheduleEdit>,
) -> ApiResult<Response> {
    let done = app.schedules.edit(&id, &name, |known| body.applied_to(known), caller.actor()).await?;
    written(&app, query.ack, &RepoName::Project(id), StatusCode::OK, &done, &done.answer).await
}

/// `DELETE /projects/{id}/schedules/{name}`: removes a schedule, also one whose file is broken. The jobs that it made stay.
#[utoipa::path(delete, path = "/projects/{id}/schedules/{name}", params(("id" = ProjectId, Path), ("name" = ScheduleName, Path)),
    responses(
        (status = 204, description = "It makes no more jobs"),
        (status = 404, description = "scheduleUnknown, projectUnknown"),
    ))]
pub async fn remove(
    State(app): State<App>,
    caller: Principal,
    Named((id, name)): Named<(ProjectId, ScheduleName)>,
) -> ApiResult<Response> {
    let done = app.schedules.remove(&id, &name, caller.actor()).await?;
    Ok(with_commit(StatusCode::NO_CONTENT.into_response(), &done))
}
