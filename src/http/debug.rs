//! How the daemon is inside, for admins: its projects a page at a time, and what the engine holds. Nothing is opened for it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::page_length;
use super::error::{ApiError, ApiResult};
use super::input::Asked;
use crate::app::App;
use crate::bench::report::{bytes_below, rss_mb};
use crate::clock::Time;
use crate::id::ProjectId;
use crate::job::open::OpenJobs;
use crate::project::types::ProjectState;
use crate::state::layout::RepoName;
use crate::state::oid::Oid;
use crate::state::store::EngineError;

/// How many repositories are named that have the most packs.
const MOST_PACKS_SHOWN: usize = 20;

/// And how many whose epochs are the longest.
const LONGEST_EPOCHS_SHOWN: usize = 20;

/// The query of a page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DebugQuery {
    /// The `nextCursor` of the page before.
    cursor: Option<ProjectId>,
    /// How many, at most 200; 50 if absent.
    limit: Option<usize>,
}

/// A page of the registry, by name, with those in the trash.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DebugProjects {
    projects: Vec<DebugProject>,
    next_cursor: Option<ProjectId>,
}

/// A project, as the engine has it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DebugProject {
    project_id: ProjectId,
    state: ProjectState,
    is_trashed: bool,
    /// Whether its state is in memory.
    is_open: bool,
    /// Its pending, claimed and running jobs.
    open_jobs: usize,
    /// The newest commit that plain git shows; absent if its repository cannot be read.
    last_commit: Option<Oid>,
    /// How many packs it has; absent if nothing was written to it since the start.
    packs: Option<usize>,
    /// Bytes of its repository on the disk.
    bytes: u64,
    /// The number of the epoch that its history is in, from one on; absent if its repository cannot be read.
    epoch: Option<u32>,
    /// How many commits the epoch had when upkeep looked last; absent if it has not since the start.
    epoch_commits: Option<u64>,
    /// The time of the epoch's first commit, known as the count is.
    epoch_began_at: Option<Time>,
}

/// `GET /admin/debug/projects`: the registry, and how each project's repository is.
#[utoipa::path(get, path = "/admin/debug/projects", params(DebugQuery),
    responses((status = 200, description = "Projects", body = DebugProjects)))]
pub async fn projects(
    State(app): State<App>,
    Asked(query): Asked<DebugQuery>,
) -> ApiResult<Json<DebugProjects>> {
    let limit = page_length(query.limit);
    let page = app.projects.registry().page(query.cursor.as_ref(), limit, |_| true);
    let next_cursor = page.last().filter(|_| page.len() == limit).map(|last| last.project_id.clone());
    let packs: std::collections::HashMap<_, _> = app.state.packs().into_iter().collect();
    let mut projects = Vec::new();
    for project in page {
        let name = RepoName::Project(project.project_id.clone());
        let (state, of) = (app.state.clone(), name.clone());
        let look =
            move || (state.glance(&of), bytes_below(&state.folder().repo(&of)), state.epoch_now(&of).ok());
        let (glance, bytes, epoch) =
            tokio::task::spawn_blocking(look).await.map_err(|_| ApiError::from(EngineError::Unknown))?;
        // A project with open jobs stays in memory, so one that is not there has none.
        let open_jobs = match glance.is_open {
            true => app.state.read(&name, |view| view.get::<OpenJobs>().len()).await.unwrap_or(0),
            false => 0,
        };
        projects.push(DebugProject {
            project_id: project.project_id.clone(),
            state: project.state,
            is_trashed: project.trashed_at.is_some(),
            is_open: glance.is_open,
            open_jobs,
            last_commit: glance.published,
            packs: packs.get(&name).copied(),
            bytes,
            epoch: epoch.map(|epoch| epoch.number),
            epoch_commits: epoch.and_then(|epoch| epoch.counted).map(|counted| counted.commits),
            epoch_began_at: epoch.and_then(|epoch| epoch.counted).map(|counted| counted.began),
        });
    }
    Ok(Json(DebugProjects { projects, next_cursor }))
}

/// What the daemon holds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DebugState {
    projects: usize,
    jobs_pending: usize,
    jobs_held: usize,
    claims_waiting: usize,
    /// How many claims the next two figures are of: the last 1,000 since the start.
    claims_measured: usize,
    /// Half of them took this long at most, from a job that was there to a claim that is durable.
    claim_median_ms: f64,
    /// 99 of 100 of them did.
    claim_p99_ms: f64,
    webhooks_enabled: usize,
    /// Remotes that do not have their project's state, or cannot be read; `GET /projects/{id}/remote` says why.
    remotes_failing: usize,
    /// Changes that are durable and not yet in their repository.
    journal_records: u64,
    journal_segments: u64,
    journal_bytes: u64,
    /// Events kept for listeners that come back.
    events_kept: usize,
    event_listeners: usize,
    repositories_open: usize,
    /// Handles of repositories kept for the next reader.
    handles_kept: usize,
    /// Packs of the repositories that were written to since the start.
    packs: usize,
    /// Those that have the most.
    most_packs: Vec<DebugPacks>,
    /// How many repositories upkeep has counted the epoch of since the start; it reaches all.
    epochs_counted: usize,
    /// Those with the most commits.
    longest_epochs: Vec<DebugEpoch>,
    /// Bytes of the disk that holds the data folder.
    disk_bytes: u64,
    /// How many of them are left.
    disk_bytes_free: u64,
    resident_mebibytes: f64,
}

/// How many packs a repository has.
#[derive(Debug, Serialize, ToSchema)]
pub struct DebugPacks {
    /// `platform` or `projects/mrx-weather`.
    repository: String,
    packs: usize,
}

/// The epoch that a repository's history is in, as upkeep counted it last.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DebugEpoch {
    /// `platform` or `projects/mrx-weather`.
    repository: String,
    commits: u64,
    /// The time of its first commit.
    began_at: Time,
}

/// `GET /admin/debug/state`: what the engine and the queue hold, and the room on the disk.
#[utoipa::path(get, path = "/admin/debug/state", responses((status = 200, description = "The state", body = DebugState)))]
pub async fn state(State(app): State<App>) -> ApiResult<Json<DebugState>> {
    let backlog = app.state.backlog();
    let (jobs_pending, claims_waiting) = app.jobs.queue().depth();
    let claims = app.jobs.pace().figures();
    let (events_kept, event_listeners) = app.state.events().depth();
    let mut packs = app.state.packs();
    packs.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut epochs = app.state.epochs_counted();
    epochs.sort_by(|a, b| b.1.commits.cmp(&a.1.commits).then_with(|| a.0.cmp(&b.0)));
    let room = rustix::fs::statvfs(app.state.folder().path());
    let (disk_bytes, disk_bytes_free) =
        room.map_or((0, 0), |room| (room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize));
    Ok(Json(DebugState {
        projects: app.projects.registry().names().len(),
        jobs_pending,
        jobs_held: app.jobs.leases().count(),
        claims_waiting,
        claims_measured: claims.count,
        claim_median_ms: claims.median.as_secs_f64() * 1e3,
        claim_p99_ms: claims.p99.as_secs_f64() * 1e3,
        webhooks_enabled: app.webhooks.enabled(),
        remotes_failing: app.remotes.failing(),
        journal_records: backlog.records,
        journal_segments: backlog.segments,
        journal_bytes: backlog.bytes,
        events_kept,
        event_listeners,
        repositories_open: app.state.open_repositories(),
        handles_kept: app.state.kept_handles(),
        packs: packs.iter().map(|(_, packs)| packs).sum(),
        most_packs: (packs.into_iter().take(MOST_PACKS_SHOWN))
            .map(|(name, packs)| DebugPacks { repository: name.key(), packs })
            .collect(),
        epochs_counted: epochs.len(),
        longest_epochs: (epochs.into_iter().take(LONGEST_EPOCHS_SHOWN))
            .map(|(name, epoch)| DebugEpoch {
                repository: name.key(),
                commits: epoch.commits,
                began_at: epoch.began,
            })
            .collect(),
        disk_bytes,
        disk_bytes_free,
        resident_mebibytes: rss_mb(),
    }))
}
