//! Pushes by real git and calls race while the daemon is killed again and again: whatever either was told is so, and no job has two
//! claimants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use git2::Repository;
use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::daemon::{Answer, Api, PROJECTS, Site, answer, text};
use super::world::{Chance, repositories_are_clean, setting};

/// Agents that have git alone, agents that call, and people who rename chats by pushes.
const GIT_AGENTS: usize = 3;
const CALLERS: usize = 3;
/// How long all of it lasts; `make crash` lets it last longer.
const SECONDS: u64 = 20;
/// A daemon lives at least and at most so long under load: a push takes some tenths of a second.
const LIFE_MILLIS: (u64, u64) = (1200, 4000);
/// Calls come in bursts, so that pushes meet a busy branch and a quiet one.
const RHYTHM_MILLIS: u128 = 3000;
const CALLS_MILLIS: u128 = 300;
/// A request that was not answered is sent again so often.
const TRIES: usize = 200;

/// What was acknowledged.
#[derive(Default)]
struct Ledger {
    /// Each claim that was taken: job, agent.
    claims: Vec<(String, String)>,
    completed: BTreeSet<String>,
    created: BTreeSet<String>,
    /// The number in each chat's title that was last acknowledged.
    titles: BTreeMap<String, u64>,
    pushes: usize,
}

/// Where the daemon is at present, and when all are to end.
#[derive(Clone)]
struct Stage {
    api: Arc<Mutex<Api>>,
    ledger: Arc<Mutex<Ledger>>,
    end: Instant,
}

impl Stage {
    fn is_over(&self) -> bool {
        Instant::now() > self.end
    }

    fn api(&self) -> Api {
        self.api.lock().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushes_and_calls_that_were_acknowledged_are_there_after_kills() {
    let mut chance = Chance::announced("push_crash");
    let site = Site::new();
    let mut daemon = site.start().await;
    let seconds = setting("MRX_PUSH_CRASH_SECONDS", SECONDS);
    let stage = Stage {
        api: Arc::new(Mutex::new(daemon.api.clone())),
        ledger: Arc::default(),
        end: Instant::now() + Duration::from_secs(seconds),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut working = start_all(&stage, folder.path(), &mut chance).await;
    let mut kills = 0;
    while !stage.is_over() {
        let life = LIFE_MILLIS.0 + chance.below(LIFE_MILLIS.1 - LIFE_MILLIS.0);
        tokio::time::sleep(Duration::from_millis(life)).await;
        tokio::task::spawn_blocking(move || daemon.kill()).await.unwrap();
        kills += 1;
        repositories_are_clean(&site.data, "after a kill");
        daemon = site.start().await;
        *stage.api.lock() = daemon.api.clone();
    }
    while let Some(done) = working.join_next().await {
        done.unwrap();
    }
    let ledger = std::mem::take(&mut *stage.ledger.lock());
    all_is_there(&daemon.api, &ledger).await;
    drop(daemon);
    repositories_are_clean(&site.data, "in the end");
    each_attempt_has_one_claimant(&site.repo(PROJECTS[0]));
    let (pushes, claims, created) = (ledger.pushes, ledger.claims.len(), ledger.created.len());
    eprintln!("push crash: {kills} kills, {pushes} pushes taken, {claims} claims, {created} jobs made");
    assert!(kills > 1 && pushes > 0 && created > 0);
}

async fn start_all(stage: &Stage, folder: &Path, chance: &mut Chance) -> JoinSet<()> {
    let mut working = JoinSet::new();
    let api = stage.api();
    for number in 0..GIT_AGENTS {
        let name = format!("git-{number}");
        let key = api.key_of(&name).await.unwrap();
        let clone = Clone::new(folder.join(&name), &name, key);
        working.spawn(claim_by_git(stage.clone(), clone, name, chance.fork()));
    }
    let (status, chat) =
        answer(api.admin_post(&format!("/projects/{}/chats", PROJECTS[0])).json(&json!({ "title": "n 0" })))
            .await
            .unwrap();
    assert_eq!(status, StatusCode::CREATED, "{chat}");
    let clone = Clone::new(folder.join("person"), "person", api.admin_key());
    working.spawn(rename_by_git(stage.clone(), clone, text(&chat, "/chatId")));
    for number in 0..CALLERS {
        working.spawn(call(stage.clone(), format!("caller-{number}")));
    }
    working
}

/// A clone that its owner makes anew whenever it is in the way.
struct Clone {
    path: PathBuf,
    name: String,
    key: String,
}

impl Clone {
    fn new(path: PathBuf, name: &str, key: String) -> Self {
        Self { path, name: name.to_owned(), key }
    }

    async fn git(&self, arguments: &[&str]) -> (bool, String) {
        let done = tokio::process::Command::new("git")
            .args(["-c", "credential.helper=", "-c", "user.email=a@example.org", "-c"])
            .arg(format!("user.name={}", self.name))
            .args(arguments)
            .current_dir(&self.path)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        (done.status.success(), said.into_owned())
    }

    /// Stands where the branch is now; false if the daemon is away.
    async fn follow(&self, stage: &Stage) -> bool {
        let at = stage.api().url.replace("http://", &format!("http://me:{}@", self.key));
        let url = format!("{at}/git/{}.git", PROJECTS[0]);
        if !self.path.join(".git").exists() {
            std::fs::create_dir_all(&self.path).unwrap();
            assert!(self.git(&["init", "-q", "-b", "state"]).await.0);
            assert!(self.git(&["remote", "add", "origin", &url]).await.0);
        }
        self.git(&["remote", "set-url", "origin", &url]).await.0
            && self.git(&["fetch", "-q", "origin", "state"]).await.0
            && self.git(&["reset", "-q", "--hard", "FETCH_HEAD"]).await.0
    }

    /// Whether what stands there was committed and taken.
    async fn push(&self, stage: &Stage, message: &str) -> bool {
        let committed = self.git(&["commit", "-qam", message]).await.0;
        let taken = committed && self.git(&["push", "-q", "origin", "HEAD:state"]).await.0;
        stage.ledger.lock().pushes += usize::from(taken);
        taken
    }

    fn edit(&self, path: &str, changes: &[(&str, &str)]) -> bool {
        let path = self.path.join(path);
        let Ok(text) = std::fs::read_to_string(&path) else { return false };
        let fits = changes.iter().all(|(from, _)| text.contains(from));
        let text = changes.iter().fold(text, |text, (from, to)| text.replace(from, to));
        fits && std::fs::write(path, text).is_ok()
    }

    /// The files of jobs with this line.
    async fn jobs_with(&self, line: &str) -> Vec<String> {
        let found = self.git(&["grep", "-l", "-x", "-F", line, "--", "jobs/open"]).await.1;
        found.lines().map(str::to_owned).collect()
    }
}

/// Claims a job by a push and completes it by another, on and on.
async fn claim_by_git(stage: Stage, clone: Clone, name: String, mut chance: Chance) {
    let mine = format!("claimedBy: {name}");
    while !stage.is_over() {
        if !clone.follow(&stage).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        if let Some(path) = clone.jobs_with(&mine).await.pop() {
            let id = id_of(&path);
            if clone.edit(&path, &[("state: claimed", "state: completed")])
                && clone.push(&stage, "Done").await
            {
                stage.ledger.lock().completed.insert(id);
            }
            continue;
        }
        let waiting = clone.jobs_with("state: pending").await;
        if waiting.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let path = &waiting[chance.below(waiting.len() as u64) as usize];
        let claimed = [("state: pending", "state: claimed"), ("claimedBy: null", mine.as_str())];
        if clone.edit(path, &claimed) && clone.push(&stage, "Mine").await {
            stage.ledger.lock().claims.push((id_of(path), name.clone()));
        }
    }
}

/// Gives a chat one number after another.
async fn rename_by_git(stage: Stage, clone: Clone, chat: String) {
    let path = mrx::state::layout::chat(&chat.parse().unwrap());
    while !stage.is_over() {
        if !clone.follow(&stage).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let file = std::fs::read_to_string(clone.path.join(&path)).unwrap();
        let now =
            file.lines().find_map(|line| line.strip_prefix("title: n ")).unwrap_or_else(|| panic!("{file}"));
        let next = now.parse::<u64>().unwrap() + 1;
        let change = [(format!("title: n {now}"), format!("title: n {next}"))];
        let change: Vec<(&str, &str)> =
            change.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        if clone.edit(&path, &change) && clone.push(&stage, "Again").await {
            stage.ledger.lock().titles.insert(chat.clone(), next);
        }
    }
}

/// Makes jobs and claims some of them over HTTP; each request again until it is answered.
async fn call(stage: Stage, name: String) {
    let (begun, mut number) = (Instant::now(), 0);
    while !stage.is_over() {
        tokio::time::sleep(Duration::from_millis(60)).await;
        if begun.elapsed().as_millis() % RHYTHM_MILLIS > CALLS_MILLIS {
            continue;
        }
        number += 1;
        let key = format!("{name}-{number}");
        let job = again(&stage, |api| create(api, key.clone())).await;
        stage.ledger.lock().created.insert(text(&job, "/jobId"));
        if number % 3 == 0 {
            let claimed = again(&stage, |api| claim(api, name.clone(), key.clone())).await;
            if !claimed.is_null() {
                let (job, lease) = (text(&claimed, "/job/jobId"), text(&claimed, "/lease/id"));
                stage.ledger.lock().claims.push((job.clone(), name.clone()));
                again(&stage, |api| complete(api, job.clone(), lease.clone())).await;
                stage.ledger.lock().completed.insert(job);
            }
        }
    }
}

async fn create(api: Api, key: String) -> Answer {
    api.create(PROJECTS[0], &key).await
}

async fn claim(api: Api, agent: String, key: String) -> Answer {
    api.claim(&agent, &key, 0).await
}

async fn complete(api: Api, job: String, lease: String) -> Answer {
    api.tell(&job, &lease, &json!({ "state": "completed" })).await
}

/// Sends a request until it is answered.
async fn again<F: Future<Output = Answer>>(stage: &Stage, send: impl Fn(Api) -> F) -> Value {
    for _ in 0..TRIES {
        if let Some((status, body)) = send(stage.api()).await {
            assert!(status.is_success(), "{status}: {body}");
            return body;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the daemon does not come back");
}

fn id_of(path: &str) -> String {
    path.rsplit('/').next().unwrap().trim_end_matches(".yaml").to_owned()
}

async fn all_is_there(api: &Api, ledger: &Ledger) {
    for id in &ledger.created {
        assert_eq!(text(&api.job(id).await, "/jobId"), *id);
    }
    for (id, agent) in &ledger.claims {
        assert_eq!(text(&api.job(id).await, "/claimedBy"), *agent, "{id} was claimed by somebody else");
    }
    for id in &ledger.completed {
        assert_eq!(text(&api.job(id).await, "/state"), "completed", "{id}");
    }
    for (chat, number) in &ledger.titles {
        let (_, shown) = answer(api.get(&format!("/projects/{}/chats/{chat}", PROJECTS[0]))).await.unwrap();
        let title = text(&shown, "/title");
        let found: u64 = title.trim_start_matches("n ").parse().unwrap();
        assert!(found >= *number, "the chat is called {title}, and {number} was acknowledged");
    }
}

/// In all of history no job that waits is claimed twice: each is of one attempt here.
fn each_attempt_has_one_claimant(repository: &Path) {
    let repo = Repository::open_bare(repository).unwrap();
    let mut walk = repo.revwalk().unwrap();
    walk.push_ref("refs/heads/state").unwrap();
    let mut claimants: BTreeMap<String, String> = BTreeMap::new();
    for id in walk {
        let commit = repo.find_commit(id.unwrap()).unwrap();
        let subject = commit.summary().unwrap().unwrap_or_default().to_owned();
        if let Some((job, agent)) = subject.split_once(": pending -> claimed by ") {
            let before = claimants.insert(job.to_owned(), agent.to_owned());
            assert_eq!(before, None, "{job} was claimed twice, also by {agent}");
        }
    }
    assert!(!claimants.is_empty());
}
