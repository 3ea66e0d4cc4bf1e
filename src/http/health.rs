//! Is the daemon alive, does it take work, and how is it: for load balancers, Prometheus and people.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ApiResult};
use crate::app::App;
use crate::bench::report::rss_mb;
use crate::project::sync::ForgeStatus;

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    status: &'static str,
    /// The program's version.
    version: &'static str,
    /// How well the daemon knows its forge; what is wrong there does not stop jobs.
    forge: ForgeStatus,
}

/// That jobs can be claimed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// `ready`.
    status: &'static str,
}

/// `GET /health`: the process answers.
#[utoipa::path(get, path = "/health", responses((status = 200, description = "It does", body = Health)))]
pub async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), forge: app.syncer.status() })
}

/// `GET /ready`: the journal is recovered and every open job is in the queue.
#[utoipa::path(get, path = "/ready", responses((status = 200, description = "Jobs can be claimed", body = Ready)))]
pub async fn ready(State(app): State<App>) -> ApiResult<Json<Ready>> {
    check_ready(&app)?;
    Ok(Json(Ready { status: "ready" }))
}

/// Refuses while open jobs are still being read: until then nobody knows which job is next, or which are held.
pub fn check_ready(app: &App) -> ApiResult<()> {
    if app.is_ready() {
        return Ok(());
    }
    let starting = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "starting",
        "open jobs are still being read; ask again",
    );
    Err(starting.with_header(header::RETRY_AFTER, "1"))
}

/// `GET /metrics`: gauges in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics",
    responses((status = 200, description = "Gauges", body = String, content_type = "application/openmetrics-text")))]
pub async fn metrics(State(app): State<App>) -> ApiResult<Response> {
    let backlog = app.state.backlog();
    let (pending, waiting) = app.jobs.queue().depth();
    let mut registry = Registry::with_prefix("mrx");
    let mut gauge = |name: &str, help: &str, value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    let count64 = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    gauge(
        "journal_records",
        "Changes that are durable and not yet in their repository",
        count64(backlog.records),
    );
    gauge("journal_segments", "Segments of the journal in use", count64(backlog.segments));
    gauge("journal_bytes", "Bytes of the journal on disk", count64(backlog.bytes));
    gauge("jobs_pending", "Jobs that wait for an agent", count(pending));
    gauge("jobs_held", "Jobs that an agent holds", count(app.jobs.leases().count()));
    gauge("claims_waiting", "Claims that wait for a job", count(waiting));
    gauge("projects", "Projects in the registry", count(app.projects.registry().names().len()));
    let forge = app.syncer.status();
    let seconds = forge.last_whole_sync.map_or(0, |time| count64(time.seconds()));
    gauge(
        "forge_last_whole_sync_seconds",
        "When the forge was last seen whole, as seconds since 1970; 0 if never",
        seconds,
    );
    gauge("forge_failing", "1 if the last look at the forge failed", i64::from(forge.problem.is_some()));
    gauge("repositories_open", "Repositories in memory", count(app.state.open_repositories()));
    gauge("resident_mebibytes", "Resident memory of the process", rss_mb() as i64);
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()))?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}
