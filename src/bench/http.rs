//! Claims and reads over HTTP: a daemon process, and as many clients as asked, each on its own connection.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::task::JoinSet;

use super::report::Report;
use super::seed;
use super::server::{Connection, Server};

/// Claims `jobs` jobs with `in_flight` agents, for at most `seconds`; each answer comes when the claim is durable.
pub async fn claims(folder: &Path, in_flight: usize, jobs: usize, seconds: u64) -> anyhow::Result<Report> {
    let server = serve_pending(folder, jobs).await?;
    let mut clients = Vec::new();
    for number in 0..in_flight {
        let mut connection = server.connect_agent(&format!("bench-{number}")).await?;
        // The first claim is not measured.
        let body = format!("{{\"agentId\":\"bench-{number}\",\"labels\":[],\"types\":[\"chat\"]}}");
        connection.call("POST", "/jobs/claim", &body).await?;
        clients.push((connection, body.replace(",\"types\":[\"chat\"]", "")));
    }
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(seconds);
    let mut agents = JoinSet::new();
    for (connection, body) in clients {
        agents.spawn(repeat(connection, deadline, "POST", vec!["/jobs/claim".to_owned()], body));
    }
    let each = collect(agents).await?;
    Ok(Report { rss_mb: server.rss_mb(), ..Report::of("claims", in_flight, jobs, begun.elapsed(), each) })
}

/// Reads open jobs by id with `in_flight` clients for `seconds`.
pub async fn reads(folder: &Path, in_flight: usize, jobs: usize, seconds: u64) -> anyhow::Result<Report> {
    let server = serve_pending(folder, jobs).await?;
    let mut admin = server.connect(&server.admin).await?;
    let (_, body) = admin.call("GET", &format!("/projects/{}/jobs?limit=200", seed::PROJECT), "").await?;
    let page: serde_json::Value = serde_json::from_slice(body)?;
    let ids = page["jobs"].as_array().into_iter().flatten().filter_map(|job| job["jobId"].as_str());
    let paths: Vec<String> = ids.map(|id| format!("/jobs/{id}")).collect();
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(seconds);
    let mut readers = JoinSet::new();
    for _ in 0..in_flight {
        readers.spawn(repeat(
            server.connect(&server.admin).await?,
            deadline,
            "GET",
            paths.clone(),
            String::new(),
        ));
    }
    let each = collect(readers).await?;
    Ok(Report { rss_mb: server.rss_mb(), ..Report::of("reads", in_flight, jobs, begun.elapsed(), each) })
}

async fn serve_pending(folder: &Path, jobs: usize) -> anyhow::Result<Server> {
    let (app, project) = seed::open(folder).await?;
    seed::pending(&app, &project, jobs).await?;
    seed::close(app).await?;
    Server::start(folder).await
}

/// Sends the same request over and over until the deadline or until there is nothing more (204).
async fn repeat(
    mut connection: Connection,
    deadline: Instant,
    method: &'static str,
    paths: Vec<String>,
    body: String,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for path in paths.iter().cycle() {
        let begun = Instant::now();
        if begun >= deadline {
            break;
        }
        match connection.call(method, path, &body).await? {
            (200, _) => times.push(begun.elapsed()),
            (204, _) => break,
            (status, body) => bail!("the daemon answered {status}: {}", String::from_utf8_lossy(body)),
        }
    }
    Ok(times)
}

async fn collect(mut clients: JoinSet<anyhow::Result<Vec<Duration>>>) -> anyhow::Result<Vec<Duration>> {
    let mut each = Vec::new();
    while let Some(times) = clients.join_next().await {
        each.extend(times??);
    }
    Ok(each)
}
