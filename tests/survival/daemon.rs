//! A daemon in a process of its own, and how its clients speak to it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::world;

/// A start that takes longer is a failure on any machine; the promise is two seconds.
pub const START_MAX: Duration = Duration::from_secs(10);

/// The projects of every site.
pub const PROJECTS: [&str; 3] = ["mrx-anvil", "mrx-bellows", "mrx-crucible"];

/// A data folder, a forge, and the daemons that are started on them.
pub struct Site {
    pub data: PathBuf,
    forge: PathBuf,
    log: PathBuf,
    options: Vec<String>,
    agents: Agents,
    _folder: Option<TempDir>,
}

/// The keys of agents, and which lease is whose: they outlive the daemons.
#[derive(Clone, Default)]
struct Agents {
    keys: Arc<Mutex<HashMap<String, String>>>,
    leases: Arc<Mutex<HashMap<String, String>>>,
}

impl Site {
    /// In a temporary folder.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self::at(folder.path(), folder.path().join("data"));
        Self { _folder: Some(folder), ..site }
    }

    /// With its data in a folder of its own.
    pub fn at(folder: &Path, data: PathBuf) -> Self {
        let forge = folder.join("forge");
        world::make_forge(&forge, &PROJECTS);
        let log = folder.join("daemon.log");
        Self { data, forge, log, options: Vec::new(), agents: Agents::default(), _folder: None }
    }

    /// Whose daemons have these options too.
    pub fn with_options(self, options: &[&str]) -> Self {
        Self { options: options.iter().map(|option| (*option).to_owned()).collect(), ..self }
    }

    /// Starts the program and does not wait.
    pub fn spawn(&self) -> Child {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        Command::new(env!("CARGO_BIN_EXE_mrx"))
            .args([
                "serve",
                "--no-rate-limits",
                "--listen",
                "127.0.0.1:0",
                "--journal-segment-mib",
                "2",
                "--data",
            ])
            .arg(&self.data)
            .arg("--forge")
            .arg(&self.forge)
            .args(&self.options)
            // A refusal is read as a person sees it.
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap()
    }

    /// Starts a daemon and waits until it is ready.
    pub async fn start(&self) -> Daemon {
        let begun = Instant::now();
        let mut child = self.spawn();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = tokio::task::spawn_blocking(move || {
            let line = lines.next().and_then(Result::ok)?;
            let address = line.strip_prefix("mrx listens on ").map(str::to_owned);
            // What is printed later must find a reader, or the daemon would wait.
            std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
            address
        });
        let address = address.await.unwrap().unwrap_or_else(|| panic!("no start: {}", self.said()));
        let token =
            |name: &str| fs::read_to_string(self.data.join("keys").join(name)).unwrap().trim().to_owned();
        let admin = token("admin.token");
        let api = Api { client: client(), url: address, admin, agents: self.agents.clone() };
        let mut daemon = Daemon { child, api, start_took: Duration::ZERO };
        while daemon.api.get("/ready").send().await.is_ok_and(|answer| answer.status() != StatusCode::OK) {
            assert!(begun.elapsed() < START_MAX, "not ready in time: {}", self.said());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        daemon.start_took = begun.elapsed();
        assert!(daemon.start_took < START_MAX, "the start took {:?}", daemon.start_took);
        daemon
    }

    /// Starts a daemon that is expected to refuse; gives how it ended and what it said.
    pub fn refused(&self) -> (ExitStatus, String) {
        File::create(&self.log).unwrap();
        let mut child = self.spawn();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return (status, self.said());
            }
            if begun.elapsed() > START_MAX {
                end(&mut child);
                panic!("it started: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The last that the daemons wrote to their log.
    pub fn said(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let start = log.len().saturating_sub(4000);
        log.get(start..).unwrap_or(&log).to_owned()
    }

    /// A project's state repository.
    pub fn repo(&self, project: &str) -> PathBuf {
        self.data.join(format!("repos/projects/{project}.git"))
    }
}

/// A running daemon; it is killed when this is dropped.
pub struct Daemon {
    child: Child,
    pub api: Api,
    pub start_took: Duration,
}

impl Daemon {
    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        end(&mut self.child);
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills a process of ours, if it still runs.
pub fn end(child: &mut Child) {
    let _ = child.kill();
    child.wait().unwrap();
}

fn client() -> Client {
    // It is an error to install it twice, and no matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}

/// How to speak to a daemon. A clone shares its connections.
#[derive(Clone)]
pub struct Api {
    client: Client,
    pub url: String,
    admin: String,
    agents: Agents,
}

/// What came of a request: the status and the body; `None` if the connection was cut and nobody knows.
pub type Answer = Option<(StatusCode, Value)>;

impl Api {
    /// The client itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The operator's token.
    pub fn token(&self) -> &str {
        &self.admin
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.admin)
    }

    pub fn admin_post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.admin)
    }

    pub fn stranger_post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    /// The key of an agent, which is registered first; `None` if the connection was cut. Of a registration whose answer was
    /// not heard the key is lost, and another one is made.
    pub async fn key_of(&self, agent: &str) -> Option<String> {
        if let Some(key) = self.agents.keys.lock().unwrap().get(agent) {
            return Some(key.clone());
        }
        let body = json!({ "agentId": agent });
        let (status, mut said) = answer(self.admin_post("/admin/agents").json(&body)).await?;
        if status == StatusCode::CONFLICT {
            said = answer(self.admin_post(&format!("/admin/agents/{agent}/rotate"))).await?.1;
        }
        let key = text(&said, "/key");
        self.agents.keys.lock().unwrap().insert(agent.to_owned(), key.clone());
        Some(key)
    }

    /// The operator's token.
    pub fn admin_key(&self) -> String {
        self.admin.clone()
    }

    /// The key of the agent that got this lease.
    fn key_of_holder(&self, lease: &str) -> String {
        let leases = self.agents.leases.lock().unwrap();
        let agent = leases.get(lease).unwrap_or_else(|| panic!("nobody here got {lease}"));
        self.agents.keys.lock().unwrap()[agent].clone()
    }

    fn agent_patch(&self, path: &str, lease: &str) -> RequestBuilder {
        let request = self.client.patch(format!("{}{path}", self.url));
        request.bearer_auth(self.key_of_holder(lease)).header("job-lease", lease)
    }

    pub async fn create(&self, project: &str, key: &str) -> Answer {
        let body = json!({ "projectId": project, "jobType": "build", "payload": { "ref": "main" } });
        answer(self.admin_post("/jobs/create").header("idempotency-key", key).json(&body)).await
    }

    pub async fn claim(&self, agent: &str, key: &str, wait: u64) -> Answer {
        let body = json!({ "agentId": agent, "wait": wait });
        let request =
            self.client.post(format!("{}/jobs/claim", self.url)).bearer_auth(self.key_of(agent).await?);
        let claimed = answer(request.header("idempotency-key", key).json(&body)).await?;
        if let Some(lease) = claimed.1.pointer("/lease/id").and_then(Value::as_str) {
            self.agents.leases.lock().unwrap().insert(lease.to_owned(), agent.to_owned());
        }
        Some(claimed)
    }

    pub async fn tell(&self, job: &str, lease: &str, body: &Value) -> Answer {
        answer(self.agent_patch(&format!("/jobs/{job}"), lease).json(body)).await
    }

    pub async fn append(&self, job: &str, lease: &str, at: usize, bytes: Vec<u8>) -> Answer {
        let range = format!("bytes {at}-{}/*", at + bytes.len() - 1);
        answer(
            self.agent_patch(&format!("/jobs/{job}/logs"), lease).header("content-range", range).body(bytes),
        )
        .await
    }

    pub async fn upload(&self, project: &str, job: &str, lease: &str, name: &str, bytes: Vec<u8>) -> Answer {
        let path = format!("/projects/{project}/artifacts?name={name}&jobId={job}");
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(self.key_of_holder(lease));
        answer(request.header("job-lease", lease).body(bytes)).await
    }

    /// A job as it is.
    pub async fn job(&self, job: &str) -> Value {
        let (status, body) = answer(self.get(&format!("/jobs/{job}"))).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{job}: {body}");
        body
    }

    /// The bytes of a job's log, of one that is short; `None` if the connection was cut.
    pub async fn log(&self, job: &str) -> Option<Vec<u8>> {
        let request = self.get(&format!("/jobs/{job}/logs")).header("accept", "application/octet-stream");
        let answer = request.send().await.ok()?;
        assert_eq!(answer.status(), StatusCode::OK);
        Some(answer.bytes().await.ok()?.to_vec())
    }

    /// The bytes of an artifact.
    pub async fn artifact(&self, project: &str, id: &str) -> Vec<u8> {
        let answer = self.get(&format!("/projects/{project}/artifacts/{id}/content")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.bytes().await.unwrap().to_vec()
    }
}

/// Sends a request. An answer that did not come whole was not heard.
pub async fn answer(request: RequestBuilder) -> Answer {
    let answer = request.send().await.ok()?;
    let status = answer.status();
    let body = answer.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

/// A text of a JSON object.
pub fn text(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path} in {value}")).to_owned()
}
