//! What many finished jobs cost: the price of a commit among them, and the start of a daemon over them.

use std::future::ready;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::report::Report;
use super::seed;
use super::server::Server;
use crate::app::App;
use crate::id::AgentId;
use crate::job::claim::Claim;
use crate::job::jobs::Told;
use crate::job::lifecycle::Outcome;
use crate::job::queue::Offer;

/// How many jobs go through their life while it is measured: enough for some seconds.
const WORKED_JOBS: usize = 50_000;
/// How many jobs are open at a start.
const OPEN_JOBS: usize = 10_000;

/// Claims and completes jobs in a project that has `jobs` finished ones already; an operation is one commit.
pub async fn commits(folder: &Path, in_flight: usize, jobs: usize, seconds: u64) -> anyhow::Result<Report> {
    let (app, project) = seed::open(folder).await?;
    seed::finished(&app, &project, jobs).await?;
    seed::pending(&app, &project, WORKED_JOBS).await?;
    seed::settle(&app).await?;
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(seconds);
    let mut agents = JoinSet::new();
    for number in 0..in_flight {
        agents.spawn(work(app.clone(), number, deadline));
    }
    let mut each = Vec::new();
    while let Some(times) = agents.join_next().await {
        each.extend(times??);
    }
    let report = Report::of("finished", in_flight, jobs, begun.elapsed(), each);
    seed::close(app).await?;
    Ok(report)
}

async fn work(app: App, number: usize, deadline: Instant) -> anyhow::Result<Vec<Duration>> {
    let agent: AgentId = format!("bench-{number}").parse()?;
    let mut times = Vec::new();
    while Instant::now() < deadline {
        let begun = Instant::now();
        let claim = Claim { agent: agent.clone(), offer: Offer::default(), request: None };
        let Some(claimed) = app.jobs.claim(claim, ready(())).await? else { break };
        times.push(begun.elapsed());
        let begun = Instant::now();
        let told = Told { outcome: Some(Outcome::Completed), ..Told::default() };
        if let Some(lease) = &claimed.answer.lease {
            app.jobs.tell(&claimed.answer.job_id, &lease.id, told).await?;
            times.push(begun.elapsed());
        }
    }
    Ok(times)
}

/// Starts a daemon over `jobs` finished and 10,000 open jobs; the operation is the time to readiness.
pub async fn start(folder: &Path, jobs: usize) -> anyhow::Result<Report> {
    let (app, project) = seed::open(folder).await?;
    seed::finished(&app, &project, jobs).await?;
    seed::created(&app, &project, OPEN_JOBS).await?;
    seed::close(app).await?;
    let server = Server::start(folder).await?;
    let rss_mb = server.rss_mb();
    Ok(Report { rss_mb, ..Report::of("start", 1, jobs, server.ready_after, vec![server.ready_after]) })
}
