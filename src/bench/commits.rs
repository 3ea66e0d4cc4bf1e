//! The engine alone: each operation claims one job, which is one commit, and is counted when it is durable.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

use super::report::{Report, bytes_below};
use crate::app::{App, AppOptions};
use crate::clock::Time;
use crate::forge::Code;
use crate::id::{IdMaker, ProjectId};
use crate::job::jobs::Claim;
use crate::job::queue::Offer;
use crate::job::{Job, JobState, JobType};
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, DataFolder, RepoName, STATE_REF};
use crate::state::object::Object;
use crate::state::repo::{Decision, View};
use crate::state::store::EngineError;

/// How many jobs are seeded in one commit.
const SEED_BATCH: usize = 500;

/// Opens a fresh folder with one project.
pub async fn open(folder: &Path) -> anyhow::Result<(App, ProjectId)> {
    let (app, _) = App::open(AppOptions::new(DataFolder::new(folder))).await?;
    let project: ProjectId = "mrx-bench".parse().context("name the project")?;
    let code = Code { project: project.clone(), url: "/nowhere".to_owned(), default_branch: "main".to_owned() };
    app.projects.sync(&[code]).await?;
    Ok((app, project))
}

/// A pending build job.
pub fn pending(ids: &IdMaker, project: &ProjectId, now: Time) -> Job {
    Job {
        job_id: ids.job(project, now),
        project_id: project.clone(),
        kind: JobType::Build,
        state: JobState::Pending,
        priority: 0,
        labels: Vec::new(),
        payload: Object::from_iter([("ref".to_owned(), "main".into())]),
        attempt: 1,
        earlier: Vec::new(),
        timeout_seconds: 3600,
        claimed_by: None,
        lease: None,
        cancel_requested: false,
        progress: None,
        result: None,
        failure: None,
        log: None,
        created_at: now,
        updated_at: now,
        claimed_at: None,
        started_at: None,
        ended_at: None,
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

/// Seeds pending jobs.
pub async fn seed_pending(app: &App, project: &ProjectId, jobs: usize) -> anyhow::Result<()> {
    let (ids, now) = (IdMaker::new(), app.clock.now());
    let edit = |_| {
        let job = pending(&ids, project, now);
        Edit::put(layout::open_job(&job.job_id), Arc::new(job))
    };
    seed(app, project, (0..jobs).map(edit).collect()).await
}

/// Claims `jobs` jobs with `in_flight` claimers, for at most `seconds`.
pub async fn run(folder: &Path, in_flight: usize, jobs: usize, seconds: u64) -> anyhow::Result<Report> {
    let (app, project) = open(folder).await?;
    seed_pending(&app, &project, jobs).await?;
    let repo = RepoName::Project(project);
    let lsn = app.state.read(&repo, |view| view.last()).await?;
    app.state.published(&repo, lsn).await?;
    let packs = app.state.folder().repo(&repo).join("objects/pack");
    let before = bytes_below(&packs);
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(seconds);
    let mut claimers = JoinSet::new();
    for number in 0..in_flight {
        claimers.spawn(claim_all(app.clone(), number, deadline));
    }
    let mut each = Vec::with_capacity(jobs);
    while let Some(times) = claimers.join_next().await {
        each.extend(times??);
    }
    let mut report = Report::of("commits", in_flight, jobs, begun.elapsed(), each);
    let lsn = app.state.read(&repo, |view| view.last()).await?;
    app.state.published(&repo, lsn).await?;
    report.bytes_per_commit = ((bytes_below(&packs) - before) as f64 / report.operations.max(1) as f64).round();
    app.state.close();
    Ok(report)
}

async fn claim_all(app: App, number: usize, deadline: Instant) -> anyhow::Result<Vec<Duration>> {
    let agent: crate::id::AgentId = format!("bench-{number}").parse()?;
    let mut times = Vec::new();
    while Instant::now() < deadline {
        let begun = Instant::now();
        let claim = Claim { agent: agent.clone(), offer: Offer::default(), wait: Duration::ZERO, request: None };
        if app.jobs.claim(claim).await?.is_none() {
            break;
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}
