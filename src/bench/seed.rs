//! The folders that benchmarks run on: one project, with as many pending and finished jobs as asked.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, stream};

use crate::app::{App, AppOptions};
use crate::clock::Time;
use crate::forge::{Code, ForgeKind};
use crate::id::{IdMaker, ProjectId};
use crate::job::{Job, JobState, JobType};
use crate::job::{NewJob, pending as pending_of};
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, DataFolder, RepoName, STATE_REF};
use crate::state::object::Object;
use crate::state::repo::{Decision, View};
use crate::state::store::EngineError;

/// The name of the project.
pub const PROJECT: &str = "mrx-bench";
/// Finished jobs are spread over this many days before today.
const FINISHED_DAYS: u64 = 100;
/// How many jobs are seeded in one commit.
const SEED_BATCH: usize = 500;
/// How many jobs are made at the same time where each is a commit.
const CREATED_AT_ONCE: usize = 64;

/// Opens a fresh folder with one project.
pub async fn open(folder: &Path) -> anyhow::Result<(App, ProjectId)> {
    let (app, _) = App::open(AppOptions::new(DataFolder::new(folder))).await?;
    let project: ProjectId = PROJECT.parse().context("name the project")?;
    let code = Code::in_folder(project.clone(), "/nowhere", "main");
    app.projects.sync(ForgeKind::Local, &[code], &BTreeSet::new()).await?;
    Ok((app, project))
}

/// A pending build job.
pub fn pending_job(ids: &IdMaker, project: &ProjectId, now: Time) -> Job {
    pending_of(new_job(project), ids, now)
}

fn new_job(project: &ProjectId) -> NewJob {
    NewJob {
        project: project.clone(),
        kind: JobType::Build,
        payload: Object::from_iter([("ref".to_owned(), "main".into())]),
        priority: 0,
        labels: Vec::new(),
        timeout_seconds: 3600,
        needs: Vec::new(),
        concurrency_group: None,
    }
}

/// Commits this many files at once, a few hundred a commit.
pub async fn seed(app: &App, project: &ProjectId, edits: Vec<Edit>) -> anyhow::Result<()> {
    let repo = RepoName::Project(project.clone());
    for batch in edits.chunks(SEED_BATCH) {
        let change = Change {
            branch: STATE_REF.into(),
            subject: format!("bench: seed {} files", batch.len()),
            event: "bench.seeded",
            actor: Actor::daemon(),
            request: None,
            edits: batch.to_vec(),
        };
        let decide = |_: &mut View<'_>| -> Result<_, EngineError> { Ok(Decision::commit(change, ())) };
        app.state.change(&repo, decide).await?;
    }
    Ok(())
}

/// Seeds jobs that ended on the days before today, as many on each.
pub async fn finished(app: &App, project: &ProjectId, jobs: usize) -> anyhow::Result<()> {
    let (ids, now) = (IdMaker::new(), app.clock.now());
    for batch in 0..jobs.div_ceil(SEED_BATCH) {
        let day = FINISHED_DAYS
            - (batch as u64 * FINISHED_DAYS * SEED_BATCH as u64 / jobs.max(1) as u64).min(FINISHED_DAYS - 1);
        let ended = now.before(Duration::from_secs(day * 24 * 3600));
        let edit = |_| {
            let job = ended_job(pending_job(&ids, project, ended), ended);
            Edit::put(layout::done_job(&job.job_id, ended), Arc::new(job))
        };
        let count = SEED_BATCH.min(jobs - batch * SEED_BATCH);
        seed(app, project, (0..count).map(edit).collect()).await?;
    }
    Ok(())
}

fn ended_job(job: Job, ended: Time) -> Job {
    Job {
        state: JobState::Completed,
        claimed_by: "bench-0".parse().ok(),
        claimed_at: Some(ended),
        started_at: Some(ended),
        ended_at: Some(ended),
        ..job
    }
}

/// Seeds pending jobs.
pub async fn pending(app: &App, project: &ProjectId, jobs: usize) -> anyhow::Result<()> {
    let (ids, now) = (IdMaker::new(), app.clock.now());
    let edit = |_| {
        let job = pending_job(&ids, project, now);
        Edit::put(layout::open_job(&job.job_id), Arc::new(job))
    };
    seed(app, project, (0..jobs).map(edit).collect()).await
}

/// Makes pending jobs as callers do, each in a commit of its own: the history that a daemon finds ends so.
pub async fn created(app: &App, project: &ProjectId, jobs: usize) -> anyhow::Result<()> {
    let create = |_| app.jobs.create(new_job(project), Actor::daemon(), None);
    let mut creations = stream::iter(0..jobs).map(create).buffer_unordered(CREATED_AT_ONCE);
    while let Some(created) = creations.next().await {
        created?;
    }
    Ok(())
}

/// Waits until everything is published.
pub async fn settle(app: &App) -> anyhow::Result<()> {
    let repo = RepoName::Project(PROJECT.parse()?);
    let lsn = app.state.read(&repo, |view| view.last()).await?;
    Ok(app.state.published(&repo, lsn).await?)
}

/// Publishes everything and gives the folder up, so that another process can have it.
pub async fn close(app: App) -> anyhow::Result<()> {
    settle(&app).await?;
    tokio::task::spawn_blocking(move || app.state.close()).await.context("close the folder")
}
