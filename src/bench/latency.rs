//! How soon others learn of a change: a listener, a waiting claimer, and plain git.

use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::report::Report;
use super::seed;
use super::server::Server;
use crate::app::App;
use crate::id::{AgentId, ProjectId};
use crate::job::claim::Claim;
use crate::job::queue::Offer;
use crate::state::layout::{RepoName, STATE_REF};

/// How many changes are measured, and how long apart: others should be idle again.
const CHANGES: usize = 500;
const APART: Duration = Duration::from_millis(2);
/// Changes that are measured for how far plain git is behind; idle ones are further apart than publishings under load.
const LAGS: usize = 100;
const APART_IDLE: Duration = Duration::from_millis(120);

/// From sending the request that makes a job to its event at a listener. Over HTTP.
pub async fn events(folder: &Path) -> anyhow::Result<Report> {
    let server = serve(folder).await?;
    let mut stream = server.connect(&server.admin).await?.events("/events").await?;
    let mut admin = server.connect(&server.admin).await?;
    let (mut each, mut buffer) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for _ in 0..CHANGES {
        tokio::time::sleep(APART).await;
        buffer.clear();
        let sent = Instant::now();
        let heard = async {
            while memchr::memmem::find(&buffer, b"event: job.created").is_none() {
                if stream.read_buf(&mut buffer).await? == 0 {
                    bail!("the stream ended");
                }
            }
            Ok(sent.elapsed())
        };
        let body = create_body();
        let (heard, made) = tokio::join!(heard, admin.call("POST", "/jobs/create", &body));
        expect(201, made?.0)?;
        each.push(heard?);
    }
    Ok(Report {
        rss_mb: server.rss_mb(),
        ..Report::of("commit-to-listener", 1, CHANGES, begun.elapsed(), each)
    })
}

/// From sending the request that makes a job to its claim being answered to an agent that waits. Over HTTP.
pub async fn claimer(folder: &Path) -> anyhow::Result<Report> {
    let server = serve(folder).await?;
    let mut agent = server.connect_agent("bench").await?;
    let mut admin = server.connect(&server.admin).await?;
    let mut each = Vec::new();
    let begun = Instant::now();
    for _ in 0..CHANGES {
        let claim = async {
            let status = agent.call("POST", "/jobs/claim", r#"{"agentId":"bench","wait":30}"#).await?.0;
            anyhow::Ok((status, Instant::now()))
        };
        let create = async {
            tokio::time::sleep(APART).await;
            let sent = Instant::now();
            anyhow::Ok((admin.call("POST", "/jobs/create", &create_body()).await?.0, sent))
        };
        let (claimed, made) = tokio::join!(claim, create);
        let ((status, answered), (made, sent)) = (claimed?, made?);
        expect(200, status)?;
        expect(201, made)?;
        each.push(answered.duration_since(sent));
    }
    Ok(Report {
        rss_mb: server.rss_mb(),
        ..Report::of("commit-to-claimer", 1, CHANGES, begun.elapsed(), each)
    })
}

/// From a change being durable to plain git showing it: idle, or while 64 claimers make as many changes as they can.
pub async fn git_lag(folder: &Path, under_load: bool, jobs: usize) -> anyhow::Result<Report> {
    let (app, project) = seed::open(folder).await?;
    seed::pending(&app, &project, if under_load { jobs } else { 2 * LAGS }).await?;
    seed::settle(&app).await?;
    let go_on = Arc::new(AtomicBool::new(true));
    let mut load = JoinSet::new();
    for number in 0..if under_load { 64 } else { 0 } {
        load.spawn(claim_until(app.clone(), format!("load-{number}"), go_on.clone()));
    }
    tokio::time::sleep(APART_IDLE).await;
    let mut each = Vec::new();
    let begun = Instant::now();
    for number in 0..LAGS {
        let Some(lag) = one_lag(&app, &project, number).await? else { break };
        each.push(lag);
        tokio::time::sleep(if under_load { APART } else { APART_IDLE }).await;
    }
    let elapsed = begun.elapsed();
    go_on.store(false, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        ended??;
    }
    let what = if under_load { "git-behind-under-load" } else { "git-behind-idle" };
    let report = Report::of(what, if under_load { 64 } else { 1 }, jobs, elapsed, each);
    seed::close(app).await?;
    Ok(report)
}

async fn one_lag(app: &App, project: &ProjectId, number: usize) -> anyhow::Result<Option<Duration>> {
    let agent: AgentId = format!("bench-{number}").parse()?;
    let claim = Claim { agent, offer: Offer::default(), request: None };
    let Some(done) = app.jobs.claim(claim, ready(())).await? else { return Ok(None) };
    let durable = Instant::now();
    let repo = RepoName::Project(project.clone());
    app.state.published(&repo, done.lsn).await?;
    let lag = durable.elapsed();
    let git = git2::Repository::open_bare(app.state.folder().repo(&repo)).context("open the repository")?;
    let tip = git.refname_to_id(STATE_REF)?;
    let shown = tip == done.commit.to_git() || git.graph_descendant_of(tip, done.commit.to_git())?;
    if !shown {
        bail!("git does not show {} although it is said to be published", done.commit);
    }
    Ok(Some(lag))
}

async fn claim_until(app: App, agent: String, go_on: Arc<AtomicBool>) -> anyhow::Result<()> {
    let agent: AgentId = agent.parse()?;
    while go_on.load(Ordering::Relaxed) {
        let claim = Claim { agent: agent.clone(), offer: Offer::default(), request: None };
        if app.jobs.claim(claim, ready(())).await?.is_none() {
            break;
        }
    }
    Ok(())
}

async fn serve(folder: &Path) -> anyhow::Result<Server> {
    let (app, _) = seed::open(folder).await?;
    seed::close(app).await?;
    Server::start(folder).await
}

fn create_body() -> String {
    format!("{{\"projectId\":\"{}\",\"jobType\":\"build\"}}", seed::PROJECT)
}

fn expect(wanted: u16, status: u16) -> anyhow::Result<()> {
    if status == wanted { Ok(()) } else { bail!("the daemon answered {status}, not {wanted}") }
}
