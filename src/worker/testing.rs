//! A stand-in for the daemon on loopback, which plays `docs/agents.md` and fails as it is told; and a small world to
//! build in.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::backoff::Pace;
use super::daemon_client::{Claim, DaemonClient};
use super::job_client::JobClient;
use super::options::{AgentOptions, SandboxChoice};
use super::run::{self, Ended, Exit, Program, StopBy};
use super::stop::{Stop, StopSender};

pub const JOB: &str = "job-01jdaaaaaaaaaaaaaaaaaaaaaa";
pub const LEASE: &str = "lease-01jdaaaaaaaaaaaaaaaaaaaaaa";
pub const TOKEN: &str = "canary-token-of-the-agent";
pub const SECRETS_TOKEN: &str = "canary-token-of-the-secrets";
/// Longer than anything here should take; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the stand-in fails one call about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not fail.
    None,
    /// The connection closes before the call is looked at.
    Deaf,
    /// The call is obeyed and its answer lost.
    Mute,
    /// 503, with nothing done.
    Busy,
    /// It forgets all of the log but this part (in 256ths), as if it had not been durable, and then obeys.
    Forget(u8),
}

/// What the stand-in knows and was told.
#[derive(Debug, Default)]
pub struct Seen {
    /// Jobs to give, in order.
    pub queue: VecDeque<Value>,
    /// Idempotency keys, and what each was given.
    pub claims: Vec<(String, Value, Option<Value>)>,
    /// Faults for the next calls about a job.
    pub faults: VecDeque<Fault>,
    /// Faults for the next claims.
    pub claim_faults: VecDeque<Fault>,
    pub log: Vec<u8>,
    pub log_bytes_max: Option<usize>,
    /// Every report with something in it.
    pub reports: Vec<Value>,
    pub renewals: usize,
    pub artifacts: Vec<(String, Vec<u8>)>,
    pub cancel: bool,
    pub stale: bool,
    pub barred: bool,
    pub ended: Option<String>,
    /// At the first final report, corrupt the stored log without changing its size.
    pub corrupt: bool,
    /// The job's secrets, and how often they were asked for.
    pub secrets: Vec<(String, String)>,
    pub redeemed: usize,
}

type Shared = Arc<Mutex<Seen>>;

/// A running stand-in; it ends with this value.
pub struct StandIn {
    pub seen: Shared,
    pub address: String,
    changed: Arc<tokio::sync::Notify>,
    _tasks: JoinSet<()>,
}

impl StandIn {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Shared::default();
        let router = router(seen.clone());
        let changed = Arc::new(tokio::sync::Notify::new());
        let mut tasks = JoinSet::new();
        let (faults, notify) = (seen.clone(), changed.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (router, faults, notify) = (router.clone(), faults.clone(), notify.clone());
                let service =
                    hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                        let (router, faults, notify) = (router.clone(), faults.clone(), notify.clone());
                        async move {
                            let answer = serve(router, faults, request.map(axum::body::Body::new)).await;
                            notify.notify_waiters();
                            answer
                        }
                    });
                let io = TokioIo::new(stream);
                connections.spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                });
            }
        });
        Self { seen, address, changed, _tasks: tasks }
    }

    /// Puts a build job in the queue.
    pub fn queue_build(&self, code: &FilePath) {
        self.queue(json!({"url": code, "ref": "main"}), 600);
    }

    /// Puts a build job in the queue, with any code and time.
    pub fn queue(&self, code: Value, timeout_seconds: u64) {
        let job = json!({
            "jobId": JOB, "projectId": "mrx-hello", "type": "build", "state": "claimed", "priority": 0, "labels": [],
            "payload": {"ref": "main"}, "attempt": 1, "timeoutSeconds": timeout_seconds, "claimedBy": "builder-1",
            "cancelRequested": false, "progress": null, "result": null, "failure": null, "log": null,
            "createdAt": "2026-11-20T18:30:00.000Z", "updatedAt": "2026-11-20T18:30:00.000Z",
        });
        let lease = json!({"id": LEASE, "until": "2026-11-20T18:31:30.000Z", "seconds": 90});
        let mut claim = json!({"job": job, "lease": lease, "code": code});
        let mut seen = self.seen.lock();
        if !seen.secrets.is_empty() {
            claim["secretsToken"] = SECRETS_TOKEN.into();
        }
        seen.queue.push_back(claim);
    }

    /// Waits until `holds` of what was seen, looking after each call.
    pub async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let wait = async {
            while !holds(&self.seen.lock()) {
                let _ = tokio::time::timeout(Duration::from_millis(20), self.changed.notified()).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("waited in vain until {what}; seen: {:?}", self.seen.lock());
        }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().log).into_owned()
    }

    /// The report that ended the job.
    pub fn last_report(&self) -> Value {
        self.seen.lock().reports.last().cloned().unwrap_or_default()
    }

    pub fn options(&self, work: &FilePath) -> AgentOptions {
        AgentOptions {
            daemon: self.address.clone(),
            token: TOKEN.parse().unwrap(),
            name: "builder-1".parse().unwrap(),
            labels: vec!["linux".parse().unwrap()],
            work_dir: work.to_owned(),
            sandbox: SandboxChoice::Bubblewrap,
            wait_seconds: 30,
            available_until: None,
            proxy: None,
            program: None,
        }
    }

    /// The calls about the stand-in's one job.
    pub fn job_client(&self) -> JobClient {
        self.queue(Value::Null, 600);
        let claim: Claim = serde_json::from_value(self.seen.lock().queue.pop_back().unwrap()).unwrap();
        let daemon = DaemonClient::new(&self.options(FilePath::new("/nonexistent"))).unwrap();
        JobClient::new(Arc::new(daemon), &claim)
    }
}

/// Waits short enough for tests.
pub fn hasty() -> Pace {
    Pace {
        retry_first: Duration::from_millis(2),
        claim_retry_max: Duration::from_millis(20),
        job_retry_max: Duration::from_millis(20),
        flush_after: Duration::from_millis(5),
        poll: Duration::from_millis(20),
        finish_max: Duration::from_secs(30),
        finish_hurried_max: Duration::from_secs(5),
    }
}

async fn serve(router: Router, seen: Shared, request: Request) -> std::io::Result<Response> {
    let closed = || std::io::Error::other("the stand-in closes the connection");
    let fault = {
        let mut seen = seen.lock();
        let claim = request.uri().path() == "/jobs/claim";
        let faults = if claim { &mut seen.claim_faults } else { &mut seen.faults };
        faults.pop_front().unwrap_or(Fault::None)
    };
    match fault {
        Fault::Deaf => return Err(closed()),
        Fault::Busy => return Ok(refuse(503, "busy")),
        Fault::Forget(part) => {
            let mut seen = seen.lock();
            let kept = seen.log.len() * usize::from(part) / 256;
            seen.log.truncate(kept);
        }
        Fault::None | Fault::Mute => {}
    }
    let Ok(answer) = router.oneshot(request).await;
    if fault == Fault::Mute { Err(closed()) } else { Ok(answer) }
}

fn router(seen: Shared) -> Router {
    Router::new()
        .route("/jobs/claim", post(claim))
        .route("/jobs/{id}", patch(report))
        .route("/jobs/{id}/logs", patch(append))
        .route("/projects/{id}/artifacts", post(artifact))
        .route("/admin/secrets/{id}", axum::routing::get(secrets))
        .layer(axum::extract::DefaultBodyLimit::max(64 << 20))
        .with_state(seen)
}

fn refuse(status: u16, code: &str) -> Response {
    let body = json!({"error": true, "code": code, "message": code, "details": {}}).to_string();
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

/// What every call about a job is checked for, and the answer if it may not be made.
fn refusal(seen: &Seen, headers: &HeaderMap) -> Option<Response> {
    if seen.barred
        || headers.get("authorization").and_then(|v| v.to_str().ok()) != Some(&format!("Bearer {TOKEN}"))
    {
        return Some(refuse(401, "unauthorized"));
    }
    let holds = headers.get("job-lease").is_some_and(|lease| lease == LEASE);
    if seen.stale || !holds { Some(refuse(409, "jobLeaseStale")) } else { None }
}

/// An answer with what every answer about a job tells.
fn tell(seen: &Seen, status: u16, body: Value, range: bool) -> Response {
    let standing =
        seen.ended.as_deref().unwrap_or(if seen.cancel { "cancelling" } else { "running" }).to_owned();
    let mut answer = (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response();
    answer.headers_mut().insert("job-status", standing.parse().unwrap());
    if range {
        answer.headers_mut().insert("range", format!("0-{}", seen.log.len()).parse().unwrap());
    }
    answer
}

async fn claim(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let wanted: Value = serde_json::from_slice(&body).unwrap();
    if seen.lock().barred {
        return refuse(401, "unauthorized");
    }
    if let Some((.., Some(given))) =
        seen.lock().claims.iter().find(|(known, _, given)| *known == key && given.is_some())
    {
        return given.to_string().into_response();
    }
    let given = match wanted["availableUntil"] {
        Value::Null => seen.lock().queue.pop_front(),
        _ => None,
    };
    seen.lock().claims.push((key, wanted.clone(), given.clone()));
    match given {
        Some(job) => job.to_string().into_response(),
        None => {
            let wait = Duration::from_secs(wanted["wait"].as_u64().unwrap()).min(Duration::from_millis(200));
            tokio::time::sleep(wait).await;
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

async fn report(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let mut seen = seen.lock();
    if let Some(refused) = refusal(&seen, &headers) {
        return refused;
    }
    let report: Value = serde_json::from_slice(&body).unwrap();
    if report == json!({}) {
        seen.renewals += 1;
        return tell(&seen, 200, json!({}), false);
    }
    let ends = report["state"].as_str().filter(|state| *state != "running").map(str::to_owned);
    if let (Some(state), Some(ended)) = (&ends, &seen.ended) {
        return if state == ended { tell(&seen, 200, json!({}), false) } else { refuse(409, "jobEnded") };
    }
    if ends.is_some() && !report["log"].is_null() {
        if std::mem::take(&mut seen.corrupt) && !seen.log.is_empty() {
            seen.log[0] ^= 1;
        }
        let sum: String = Sha256::digest(&seen.log).iter().map(|byte| format!("{byte:02x}")).collect();
        if report["log"]["size"] != seen.log.len() as u64 {
            return tell(&seen, 412, json!({"error": true, "code": "logIncomplete", "message": ""}), true);
        }
        if report["log"]["sha256"] != sum {
            seen.log.clear();
            return tell(&seen, 412, json!({"error": true, "code": "logIncomplete", "message": ""}), true);
        }
    }
    seen.reports.push(report);
    if ends.is_some() {
        seen.ended = ends;
    }
    tell(&seen, 200, json!({}), false)
}

async fn append(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let mut seen = seen.lock();
    if let Some(refused) = refusal(&seen, &headers) {
        return refused;
    }
    let range = headers["content-range"].to_str().unwrap();
    let (first, last) =
        range.strip_prefix("bytes ").unwrap().strip_suffix("/*").unwrap().split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    assert_eq!(last + 1 - first, body.len(), "the range tells the body's length");
    assert!(body.len() <= 1 << 20, "a piece is at most 1 MiB");
    if first != seen.log.len() {
        return tell(&seen, 416, json!({}), true);
    }
    if seen.log_bytes_max.is_some_and(|max| first + body.len() > max) {
        return refuse(413, "logTooLarge");
    }
    seen.log.extend_from_slice(&body);
    tell(&seen, 202, json!({}), true)
}

async fn secrets(State(seen): State<Shared>, headers: HeaderMap) -> Response {
    let mut seen = seen.lock();
    if let Some(refused) = refusal(&seen, &headers) {
        return refused;
    }
    assert_eq!(headers["secrets-token"], SECRETS_TOKEN);
    seen.redeemed += 1;
    if seen.redeemed > 1 {
        return refuse(403, "secretsTokenSpent");
    }
    let values = seen.secrets.iter();
    let values: Vec<Value> =
        values.map(|(name, value)| json!({"name": name, "kind": "named", "value": value})).collect();
    tell(&seen, 200, json!({ "secrets": values }), false)
}

async fn artifact(
    State(seen): State<Shared>,
    Path(project): Path<String>,
    Query(query): Query<std::collections::BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut seen = seen.lock();
    if let Some(refused) = refusal(&seen, &headers) {
        return refused;
    }
    assert_eq!((project.as_str(), query["jobId"].as_str()), ("mrx-hello", JOB));
    let entry = (query["name"].clone(), body.to_vec());
    let known = seen.artifacts.iter().position(|known| *known == entry);
    let place = known.unwrap_or_else(|| {
        seen.artifacts.push(entry);
        seen.artifacts.len() - 1
    });
    let id = format!("art-01jdaaaaaaaaaaaaaaaaaaaaa{place}");
    tell(
        &seen,
        if known.is_some() { 200 } else { 201 },
        json!({"artifactId": id, "name": query["name"]}),
        false,
    )
}

/// A git repository with a recipe and files.
pub async fn repository(recipe: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        files.iter().copied().chain([("mrx.yaml", recipe)]).filter(|(_, text)| !text.is_empty())
    {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    git(folder.path(), &["init", "--quiet", "--initial-branch=main"]).await;
    git(folder.path(), &["add", "--all"]).await;
    let author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    git(folder.path(), &[&author[..], &["commit", "--quiet", "--allow-empty", "-m", "Begin"]].concat()).await;
    folder
}

/// Runs git and returns what it said.
pub async fn git(folder: &FilePath, arguments: &[&str]) -> String {
    let program = Program {
        argv: ["git"].iter().chain(arguments).map(OsString::from).collect(),
        environment: ["PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"]
            .map(str::to_owned)
            .into_iter()
            .zip([super::sandbox::PATH, "/dev/null", "1"].map(str::to_owned))
            .collect(),
        secrets: Vec::new(),
        folder: folder.to_owned(),
        input: None,
        stop_by: StopBy::OwnGroup,
        memory_bytes_max: None,
    };
    let mut said = Vec::new();
    let mut hear = |bytes: &[u8]| {
        said.extend_from_slice(bytes);
        Ok(())
    };
    let ended =
        run::run(&program, &mut hear, std::future::pending::<()>()).await.expect("these tests need git");
    let said = String::from_utf8(said).unwrap();
    assert_eq!(ended, Ended::Exited(Exit::Code(0)), "git {arguments:?}: {said}");
    said.trim().to_owned()
}

/// A stand-in, an agent that works for it, and what to stop it with.
pub struct World {
    pub daemon: StandIn,
    pub stop: StopSender,
    work: tempfile::TempDir,
    agent: JoinSet<anyhow::Result<()>>,
}

impl World {
    /// An agent at work, in a sandbox.
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// An agent at work, with other options.
    pub async fn with(change: impl FnOnce(&mut AgentOptions)) -> Self {
        let daemon = StandIn::start().await;
        let work = tempfile::tempdir().unwrap();
        let (stop, listener): (StopSender, Stop) = Stop::channel();
        let mut options = daemon.options(work.path());
        change(&mut options);
        let mut agent = JoinSet::new();
        agent.spawn(super::run_at(options, listener, hasty()));
        Self { daemon, stop, work, agent }
    }

    /// Builds a repository with this recipe, until the job has ended; returns the last report.
    pub async fn build(&self, recipe: &str) -> Value {
        let code = repository(recipe, &[]).await;
        self.daemon.queue_build(code.path());
        self.ended().await
    }

    /// Waits until the job has ended.
    pub async fn ended(&self) -> Value {
        self.daemon.until("the job has ended", |seen| seen.ended.is_some()).await;
        self.daemon.last_report()
    }

    /// Waits until the agent has ended.
    pub async fn agent_ended(&mut self) -> anyhow::Result<()> {
        let ended = tokio::time::timeout(PATIENCE, self.agent.join_next()).await.expect("the agent ends");
        ended.expect("there is an agent").expect("the agent does not panic")
    }

    /// Folders of jobs that are left in the work folder.
    pub fn job_folders(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.work.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("job-")).collect()
    }

    /// The work folder.
    pub fn work(&self) -> &FilePath {
        self.work.path()
    }
}
