//! `mrx demo`: a daemon, an agent and two small projects on this machine, so that a newcomer sees the whole at once.
//!
//! - [`code`] the two projects
//!
//! What it does goes through the HTTP API and the agent, as for everybody; only the printing is its own.

pub mod code;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::agent::agents::AgentPatch;
use crate::config::{DemoArgs, GitHubArgs, ServeArgs};
use crate::daemon::{Daemon, stop_signal};
use crate::id::AgentId;
use crate::identity::token::OPERATOR_TOKEN;
use crate::state::edit::Actor;
use crate::state::layout::{DataFolder, RepoName};
use crate::worker::{self, AgentOptions, AgentToken, SandboxChoice, Stop};

/// How long a build of the demo may take before something must be wrong.
const BUILD_TIME_MAX: Duration = Duration::from_secs(180);
/// How often the demo asks how far a build is.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Runs the demo; with `--once` it ends when both builds have.
pub async fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new().prefix("mrx-demo-").tempdir().context("make a folder")?;
    let data = args.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    let folder = DataFolder::new(&data);
    std::fs::create_dir_all(folder.forge()).context("make the forge's folder")?;
    code::create(&folder.forge())?;
    let daemon = Daemon::start(&serve_args(args, &data)).await?;
    println!("MrX listens on http://{}, with its data in {}", daemon.address, data.display());
    let (stopper, stop) = Stop::channel();
    let agent = worker::run(agent_options(&daemon, temporary.path()).await?, stop);
    let story = async {
        let told = tell(&daemon, &folder).await;
        if told.is_ok() && !args.once {
            if let Some(token) = daemon.app.identity.setup_token() {
                println!("\nOpen the dashboard and make yourself its first admin, within 15 minutes:\n");
                println!("  http://{}/ui/setup#{}", daemon.address, token.reveal());
            }
            println!("\nThe demo stays up: open another terminal and try\n");
            println!("  export TOKEN=$(cat {})", folder.keys().join(OPERATOR_TOKEN).display());
            println!("  curl -H \"Authorization: Bearer $TOKEN\" http://{}/projects", daemon.address);
            println!("  git -C {} log state", folder.repo(&repo("mrx-hello")?).display());
            println!("\nCtrl-C ends it.");
            stop_signal().await;
        }
        stopper.signal();
        told
    };
    let (worked, told) = tokio::join!(agent, story);
    daemon.stop().await;
    told.and(worked.context("the agent"))
}

fn repo(name: &str) -> anyhow::Result<RepoName> {
    Ok(RepoName::Project(name.parse()?))
}

fn serve_args(args: &DemoArgs, data: &Path) -> ServeArgs {
    ServeArgs {
        journal_segment_mib: 8,
        forge: None,
        github: GitHubArgs::default(),
        ..ServeArgs::usual(data, args.listen)
    }
}

async fn agent_options(daemon: &Daemon, temporary: &Path) -> anyhow::Result<AgentOptions> {
    let sandbox = match worker::sandbox::probe(SandboxChoice::Bubblewrap).await {
        Ok(_) => SandboxChoice::Bubblewrap,
        Err(error) => {
            eprintln!("WARNING: builds run WITHOUT A SANDBOX in this demo: {error:#}");
            eprintln!(
                "WARNING: they are the demo's own two projects; `mrx agent` itself would refuse to start."
            );
            SandboxChoice::Off
        }
    };
    let name: AgentId = "demo-agent".parse()?;
    Ok(AgentOptions {
        daemon: format!("http://{}", daemon.address),
        token: agent_key(daemon, &name).await?,
        name,
        labels: Vec::new(),
        work_dir: temporary.join("work"),
        sandbox,
        wait_seconds: 30,
        available_until: None,
        proxy: None,
        program: None,
    })
}

/// The key of the demo's agent: a new one each time, since the one before was shown once.
async fn agent_key(daemon: &Daemon, name: &AgentId) -> anyhow::Result<AgentToken> {
    let agents = &daemon.app.agents;
    let added = match agents.find(name) {
        None => agents.add(name, AgentPatch::default(), Actor::daemon()).await,
        Some(_) => agents.rotate(name, Actor::daemon()).await,
    };
    Ok(added.context("register the demo's agent")?.answer.1.reveal().parse()?)
}

/// Builds each project and shows what came of it.
async fn tell(daemon: &Daemon, folder: &DataFolder) -> anyhow::Result<()> {
    let token =
        std::fs::read_to_string(folder.keys().join(OPERATOR_TOKEN)).context("read the admin's token")?;
    let client = Client {
        http: reqwest::Client::builder().no_proxy().build()?,
        base: format!("http://{}", daemon.address),
        token,
    };
    while client.get("/ready").await.is_err() {
        tokio::time::sleep(ASK_AGAIN).await;
    }
    for sample in &code::SAMPLES {
        println!("\n== {}: POST /jobs/create", sample.name);
        let job = build(&client, sample.name).await?;
        show_result(&client, sample.name, &job).await?;
        println!("\n-- the state's history: git log --oneline state");
        show_history(&folder.repo(&repo(sample.name)?))?;
    }
    Ok(())
}

async fn build(client: &Client, project: &str) -> anyhow::Result<Value> {
    let body = json!({ "projectId": project, "jobType": "build", "payload": { "ref": "main" } });
    let id = text(&client.post("/jobs/create?ack=published", &body).await?, "jobId")?;
    let end = tokio::time::Instant::now() + BUILD_TIME_MAX;
    loop {
        let job = client.get(&format!("/jobs/{id}")).await?;
        match job["state"].as_str() {
            Some("completed") => return Ok(job),
            Some("failed" | "cancelled") => {
                println!("{}", log_text(client, &id).await?);
                bail!("the build of {project} ended badly: {}", job["failure"]);
            }
            _ if tokio::time::Instant::now() > end => bail!("the build of {project} takes too long"),
            _ => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

async fn show_result(client: &Client, project: &str, job: &Value) -> anyhow::Result<()> {
    let id = text(job, "jobId")?;
    println!("\n-- its log: GET /jobs/{id}/logs");
    println!("{}", log_text(client, &id).await?.trim_end());
    println!("\n-- its artifacts: GET /projects/{project}/artifacts");
    let artifacts = client.get(&format!("/projects/{project}/artifacts")).await?;
    for artifact in artifacts["artifacts"].as_array().into_iter().flatten() {
        println!(
            "{}  {} bytes  sha256 {}",
            text(artifact, "name")?,
            artifact["size"],
            text(artifact, "sha256")?
        );
    }
    Ok(())
}

async fn log_text(client: &Client, id: &str) -> anyhow::Result<String> {
    let log = client.get(&format!("/jobs/{id}/logs")).await?;
    let segments = log["segments"].as_array().into_iter().flatten();
    Ok(segments.filter_map(|segment| segment["text"].as_str()).collect())
}

/// Prints the first lines of the commits, the oldest first: they read as a story.
fn show_history(path: &Path) -> anyhow::Result<()> {
    let repo = git2::Repository::open_bare(path)?;
    let mut walk = repo.revwalk()?;
    walk.push_ref("refs/heads/state")?;
    walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE)?;
    for oid in walk {
        let commit = repo.find_commit(oid?)?;
        let summary = commit.summary()?.unwrap_or_default().to_owned();
        println!("{}  {summary}", &commit.id().to_string()[..9]);
    }
    Ok(())
}

fn text(value: &Value, name: &str) -> anyhow::Result<String> {
    value[name].as_str().map(str::to_owned).with_context(|| format!("the answer has no {name}"))
}

/// The admin's side of the HTTP API.
struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(self.http.post(format!("{}{path}", self.base)).json(body)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let response = request.bearer_auth(self.token.trim()).send().await?;
        let status = response.status();
        let body: Value = response.json().await?;
        if !status.is_success() {
            bail!("the daemon answered {status}: {}", body["message"]);
        }
        Ok(body)
    }
}
