//! The engine alone: each operation claims one job, which is one commit, and is counted when it is durable.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::report::{Report, bytes_below};
use super::seed;
use crate::app::App;
use crate::git::child::Program;
use crate::id::AgentId;
use crate::job::jobs::Claim;
use crate::job::queue::Offer;
use crate::state::layout::{DataFolder, RepoName};

/// How long git may take to repack what was measured.
const REPACK_TIME_MAX: Duration = Duration::from_secs(1800);

/// Bytes a commit once git has repacked the whole repository; the seeded jobs are counted to the commits.
pub fn repacked(folder: &Path, operations: usize) -> anyhow::Result<f64> {
    let repo = DataFolder::new(folder).repo(&RepoName::Project(seed::PROJECT.parse()?));
    let repack = ["-c", "pack.threads=2", "repack", "-adfq"];
    Program::git(&repo).args(repack).time_limit(REPACK_TIME_MAX).run()?;
    Ok((bytes_below(&repo.join("objects/pack")) as f64 / operations.max(1) as f64).round())
}

/// Claims `jobs` jobs with `in_flight` claimers, for at most `seconds`.
pub async fn run(folder: &Path, in_flight: usize, jobs: usize, seconds: u64) -> anyhow::Result<Report> {
    let (app, project) = seed::open(folder).await?;
    seed::pending(&app, &project, jobs).await?;
    let repo = RepoName::Project(project);
    seed::settle(&app).await?;
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
    seed::settle(&app).await?;
    report.bytes_per_commit =
        ((bytes_below(&packs) - before) as f64 / report.operations.max(1) as f64).round();
    seed::close(app).await?;
    Ok(report)
}

async fn claim_all(app: App, number: usize, deadline: Instant) -> anyhow::Result<Vec<Duration>> {
    let agent: AgentId = format!("bench-{number}").parse()?;
    let mut times = Vec::new();
    while Instant::now() < deadline {
        let begun = Instant::now();
        let claim =
            Claim { agent: agent.clone(), offer: Offer::default(), wait: Duration::ZERO, request: None };
        if app.jobs.claim(claim).await?.is_none() {
            break;
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}
