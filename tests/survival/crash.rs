//! A daemon under load is killed at a bad moment, again and again, and everything that it answered is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::daemon::{Api, Daemon, PROJECTS, Site, end, text};
use super::world::{Chance, repositories_are_clean, setting, sha256};

const CLIENTS: usize = 16;
/// A daemon is killed at most this long after the load began.
const LOAD_MAX_MILLIS: u64 = 400;
/// And one that starts, at most this long after its start.
const STARTUP_MAX_MILLIS: u64 = 120;
/// So many old jobs are looked at again after each kill; the others after the last one.
const OLD_JOBS_CHECKED: usize = 100;
/// The folder is begun anew after so many kills, so that git's own check of it stays quick.
const CYCLES_A_SITE: u64 = 25;

/// What was answered about a job.
#[derive(Clone, Debug, Default)]
struct Known {
    attempt: u64,
    rank: u8,
    log: Vec<u8>,
    /// Bytes of which the answer was not heard.
    log_perhaps: Vec<u8>,
    result: Option<String>,
}

/// Everything that was answered.
#[derive(Default)]
struct Ledger {
    jobs: BTreeMap<String, Known>,
    /// Project, id, sum.
    artifacts: Vec<(String, String, String)>,
    changes: usize,
    touched: Vec<String>,
}

impl Ledger {
    fn saw(&mut self, job: &Value) {
        self.changes += 1;
        let id = text(job, "/jobId");
        let known = self.jobs.entry(id.clone()).or_default();
        known.attempt = known.attempt.max(job["attempt"].as_u64().unwrap());
        known.rank = known.rank.max(rank(job));
        known.result = job.pointer("/result/sum").and_then(Value::as_str).map(str::to_owned);
        self.touched.push(id);
    }
}

/// How far a job is.
fn rank(job: &Value) -> u8 {
    match job["state"].as_str().unwrap() {
        "pending" => 0,
        "claimed" => 1,
        "running" => 2,
        _ => 3,
    }
}

/// An agent and a person in one, who go on where they were when the daemon comes back.
struct Client {
    name: String,
    chance: Chance,
    ledger: Arc<Mutex<Ledger>>,
    requests: u64,
    /// The key of a request that was not answered.
    create: Option<(String, &'static str)>,
    claim: Option<String>,
    held: Option<Held>,
}

struct Held {
    project: String,
    job: String,
    lease: String,
    running: bool,
    log: Vec<u8>,
}

/// The daemon is gone, and what came of the last request is not known.
struct Cut;

impl Client {
    /// Works until the connection is cut.
    async fn work(&mut self, api: &Api) {
        if self.held.is_some() && self.ask_where_the_log_ends(api).await.is_err() {
            return;
        }
        while self.step(api).await.is_ok() {}
    }

    async fn step(&mut self, api: &Api) -> Result<(), Cut> {
        if self.create.is_some() || self.chance.one_in(3) {
            self.create(api).await?;
        }
        if self.held.is_none() {
            return self.claim(api).await;
        }
        match self.chance.below(8) {
            0 => self.finish(api).await,
            1 => self.upload(api).await,
            2..4 => self.run(api).await,
            _ => self.append(api).await,
        }
    }

    fn key(&mut self) -> String {
        self.requests += 1;
        format!("{}-{}", self.name, self.requests)
    }

    async fn create(&mut self, api: &Api) -> Result<(), Cut> {
        if self.create.is_none() {
            let project = PROJECTS[self.chance.below(PROJECTS.len() as u64) as usize];
            self.create = Some((self.key(), project));
        }
        let (key, project) = self.create.clone().unwrap();
        let (status, job) = api.create(project, &key).await.ok_or(Cut)?;
        assert_eq!(status, StatusCode::CREATED, "{job}");
        self.create = None;
        self.ledger.lock().saw(&job);
        Ok(())
    }

    async fn claim(&mut self, api: &Api) -> Result<(), Cut> {
        if self.claim.is_none() {
            self.claim = Some(self.key());
        }
        let key = self.claim.clone().unwrap();
        let (status, body) = api.claim(&self.name, &key, 0).await.ok_or(Cut)?;
        self.claim = None;
        if status == StatusCode::NO_CONTENT {
            return self.create(api).await;
        }
        assert_eq!(status, StatusCode::OK, "{body}");
        let job = &body["job"];
        self.ledger.lock().saw(job);
        let (project, job) = (text(job, "/projectId"), text(job, "/jobId"));
        self.held =
            Some(Held { project, job, lease: text(&body, "/lease/id"), running: false, log: Vec::new() });
        Ok(())
    }

    async fn run(&mut self, api: &Api) -> Result<(), Cut> {
        let held = self.held.as_mut().unwrap();
        let body = json!({ "state": "running", "progress": format!("{} bytes", held.log.len()) });
        let (status, job) = api.tell(&held.job, &held.lease, &body).await.ok_or(Cut)?;
        assert_eq!(status, StatusCode::OK, "{job}");
        held.running = true;
        self.ledger.lock().saw(&job);
        Ok(())
    }

    async fn append(&mut self, api: &Api) -> Result<(), Cut> {
        let bytes = 1 + self.chance.below(3000) as usize;
        let bytes = self.chance.text(bytes);
        let held = self.held.as_mut().unwrap();
        self.ledger.lock().jobs.get_mut(&held.job).unwrap().log_perhaps.clone_from(&bytes);
        let (status, body) =
            api.append(&held.job, &held.lease, held.log.len(), bytes.clone()).await.ok_or(Cut)?;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        held.log.extend(&bytes);
        let mut ledger = self.ledger.lock();
        let known = ledger.jobs.get_mut(&held.job).unwrap();
        known.log.clone_from(&held.log);
        known.log_perhaps.clear();
        ledger.changes += 1;
        ledger.touched.push(held.job.clone());
        Ok(())
    }

    async fn upload(&mut self, api: &Api) -> Result<(), Cut> {
        let bytes = 1 + self.chance.below(8000) as usize;
        let bytes = self.chance.text(bytes);
        let held = self.held.as_ref().unwrap();
        let (sum, name) = (sha256(&bytes), format!("file-{}", self.requests));
        let (status, entry) =
            api.upload(&held.project, &held.job, &held.lease, &name, bytes).await.ok_or(Cut)?;
        assert!(matches!(status, StatusCode::CREATED | StatusCode::OK), "{entry}");
        assert_eq!(text(&entry, "/sha256"), sum);
        let mut ledger = self.ledger.lock();
        ledger.changes += 1;
        ledger.artifacts.push((held.project.clone(), text(&entry, "/artifactId"), sum));
        Ok(())
    }

    async fn finish(&mut self, api: &Api) -> Result<(), Cut> {
        if !self.held.as_ref().unwrap().running {
            self.run(api).await?;
        }
        let held = self.held.as_ref().unwrap();
        let log = json!({ "size": held.log.len(), "sha256": sha256(&held.log) });
        let body =
            json!({ "state": "completed", "result": { "sum": sha256(held.job.as_bytes()) }, "log": log });
        let (status, job) = api.tell(&held.job, &held.lease, &body).await.ok_or(Cut)?;
        assert_eq!(status, StatusCode::OK, "{job}");
        self.ledger.lock().saw(&job);
        self.held = None;
        Ok(())
    }

    /// After a cut the last piece may be stored or not, and the job may have ended.
    async fn ask_where_the_log_ends(&mut self, api: &Api) -> Result<(), Cut> {
        let held = self.held.as_mut().unwrap();
        let (status, job) = api.tell(&held.job, &held.lease, &json!({})).await.ok_or(Cut)?;
        assert_eq!(status, StatusCode::OK, "the lease of {} did not survive: {job}", held.job);
        let stored = api.log(&held.job).await.ok_or(Cut)?;
        assert!(stored.starts_with(&held.log), "the log of {} lost bytes", held.job);
        let mut ledger = self.ledger.lock();
        let known = ledger.jobs.get_mut(&held.job).unwrap();
        known.log.clone_from(&stored);
        known.log_perhaps.clear();
        held.log = stored;
        if rank(&job) == 3 {
            self.held = None;
        }
        Ok(())
    }
}

/// What came of all cycles.
#[derive(Default, Debug)]
struct Totals {
    cycles: u64,
    killed_at_start: u64,
    changes: usize,
    checked: usize,
    slowest_start: Duration,
    check_took: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_answered_is_there_after_a_kill_at_any_moment() {
    let mut chance = Chance::announced("crash");
    let cycles = setting("MRX_CRASH_CYCLES", 20);
    let mut totals = Totals::default();
    while totals.cycles < cycles {
        live_at_one_site(&mut chance, cycles.min(totals.cycles + CYCLES_A_SITE), &mut totals).await;
    }
    let in_time = if totals.slowest_start < Duration::from_secs(2) { "within" } else { "MORE THAN" };
    eprintln!("crash: {totals:?}; the slowest start took {in_time} the two seconds of the design");
}

async fn live_at_one_site(chance: &mut Chance, until: u64, totals: &mut Totals) {
    let site = Site::new();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let new_client = |number: usize, chance: Chance| Client {
        name: format!("agent-{number}"),
        chance,
        ledger: ledger.clone(),
        requests: 0,
        create: None,
        claim: None,
        held: None,
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|number| new_client(number, chance.fork())).collect();
    let mut daemon = site.start().await;
    while totals.cycles < until {
        totals.cycles += 1;
        clients = load_and_kill(daemon, clients, Duration::from_millis(chance.below(LOAD_MAX_MILLIS))).await;
        repositories_are_clean(&site.data, "after a kill");
        while chance.one_in(3) {
            totals.killed_at_start += 1;
            kill_while_it_starts(&site, Duration::from_millis(chance.below(STARTUP_MAX_MILLIS))).await;
            repositories_are_clean(&site.data, "after a kill during the start");
        }
        daemon = site.start().await;
        totals.slowest_start = totals.slowest_start.max(daemon.start_took);
        repositories_are_clean(&site.data, "after recovery");
        let begun = Instant::now();
        totals.checked += everything_is_there(&daemon.api, &ledger, chance, totals.cycles == until).await;
        totals.check_took += begun.elapsed();
    }
    totals.changes += ledger.lock().changes;
}

async fn load_and_kill(daemon: Daemon, clients: Vec<Client>, after: Duration) -> Vec<Client> {
    let mut working = JoinSet::new();
    for mut client in clients {
        let api = daemon.api.clone();
        working.spawn(async move {
            client.work(&api).await;
            client
        });
    }
    tokio::time::sleep(after).await;
    tokio::task::spawn_blocking(move || daemon.kill()).await.unwrap();
    working.join_all().await
}

async fn kill_while_it_starts(site: &Site, after: Duration) {
    let mut child = site.spawn();
    tokio::time::sleep(after).await;
    end(&mut child);
}

/// Looks at what was touched since the last kill, and at some or all of the rest; tells at how many things.
async fn everything_is_there(api: &Api, ledger: &Mutex<Ledger>, chance: &mut Chance, all: bool) -> usize {
    let (jobs, artifacts) = to_check(&mut ledger.lock(), chance, all);
    let count = jobs.len() + artifacts.len();
    let (jobs, artifacts) = (Arc::new(Mutex::new(jobs)), Arc::new(Mutex::new(artifacts)));
    let mut checking = JoinSet::new();
    for _ in 0..8 {
        let (api, jobs, artifacts) = (api.clone(), jobs.clone(), artifacts.clone());
        checking.spawn(async move {
            while let Some((id, known)) = { jobs.lock().pop() } {
                job_is_there(&api, &id, &known).await;
            }
            while let Some((project, id, sum)) = { artifacts.lock().pop() } {
                assert_eq!(sha256(&api.artifact(&project, &id).await), sum, "artifact {id}");
            }
        });
    }
    checking.join_all().await;
    count
}

type ToCheck = (Vec<(String, Known)>, Vec<(String, String, String)>);

fn to_check(ledger: &mut Ledger, chance: &mut Chance, all: bool) -> ToCheck {
    let mut ids = std::mem::take(&mut ledger.touched);
    let known: Vec<&String> = ledger.jobs.keys().collect();
    if all {
        ids.extend(known.into_iter().cloned());
    } else if !known.is_empty() {
        ids.extend((0..OLD_JOBS_CHECKED).map(|_| known[chance.below(known.len() as u64) as usize].clone()));
    }
    ids.sort_unstable();
    ids.dedup();
    let jobs = ids.into_iter().map(|id| (id.clone(), ledger.jobs[&id].clone())).collect();
    let from = if all { 0 } else { ledger.artifacts.len().saturating_sub(OLD_JOBS_CHECKED) };
    (jobs, ledger.artifacts[from..].to_vec())
}

async fn job_is_there(api: &Api, id: &str, known: &Known) {
    let job = api.job(id).await;
    let found = (job["attempt"].as_u64().unwrap(), rank(&job));
    assert!(found >= (known.attempt, known.rank), "{id} is {found:?}, and was answered as {known:?}");
    if let Some(sum) = &known.result {
        assert_eq!(job.pointer("/result/sum").and_then(Value::as_str), Some(sum.as_str()), "{id}");
    }
    let log = api.log(id).await.unwrap();
    let with_last = [known.log.as_slice(), &known.log_perhaps].concat();
    assert!(
        log == known.log || log == with_last,
        "the log of {id}: {} bytes of {}",
        log.len(),
        known.log.len()
    );
}
