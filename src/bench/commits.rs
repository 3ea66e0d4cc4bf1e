//! The engine alone: each operation claims one job, which is one commit, and is counted when it is durable.

use std::future::ready;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::report::{Report, bytes_below};
use super::seed;
use crate::app::App;
use crate::git::child::Program;
use crate::id::AgentId;
use crate::job::claim::Claim;
use crate::job::queue::Offer;
use crate::state::layout::RepoName;

/// How long git may take to repack what was measured.
const REPACK_TIME_MAX: Duration = Duration::from_secs(1800);

/// Has git repack the repository as well as it can; gives the bytes of its packs and indexes then.
fn repacked_bytes(repo: &Path) -> anyhow::Result<u64> {
    let repack = ["-c", "pack.threads=2", "repack", "-adfq"];
    Program::git(repo).args(repack).time_limit(REPACK_TIME_MAX).run()?;
    Ok(bytes_below(&repo.join("objects/pack")))
}

/// Claims `jobs` jobs with `in_flight` claimers, for at most `seconds`. With `repack` it also tells what a commit takes
/// once git has repacked the repository.
pub async fn run(
    folder: &Path,
    in_flight: usize,
    jobs: usize,
    seconds: u64,
    repack: bool,
) -> anyhow::Result<Report> {
    let (app, project) = seed::open(folder).await?;
    seed::pending(&app, &project, jobs).await?;
    let git = app.state.folder().repo(&RepoName::Project(project.clone()));
    if repack {
        seed::settle(&app).await?;
    }
    let seeded = if repack { repacked_bytes(&git)? } else { 0 };
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
    if repack {
        let bytes = repacked_bytes(&git)?.saturating_sub(seeded);
        report.bytes_per_commit_repacked = (bytes as f64 / report.operations.max(1) as f64).round();
    }
    Ok(report)
}

async fn claim_all(app: App, number: usize, deadline: Instant) -> anyhow::Result<Vec<Duration>> {
    let agent: AgentId = format!("bench-{number}").parse()?;
    let mut times = Vec::new();
    while Instant::now() < deadline {
        let begun = Instant::now();
        let claim = Claim { agent: agent.clone(), offer: Offer::default(), request: None };
        if app.jobs.claim(claim, ready(())).await?.is_none() {
            break;
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}
