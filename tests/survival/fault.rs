//! Whichever call to the disk fails, and whenever the power is cut: nothing is answered that is not there afterwards,
//! nobody waits for ever, and a full disk ends nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mrx::app::{App, AppError, AppOptions};
use mrx::forge::{Code, ForgeKind};
use mrx::id::{JobId, ProjectId};
use mrx::job::NewJob;
use mrx::job::claim::Claim;
use mrx::job::jobs::Told;
use mrx::job::lifecycle::{Outcome, Report};
use mrx::job::queue::Offer;
use mrx::job::{Job, JobError, JobState, JobType};
use mrx::log::LogError;
use mrx::project::ProjectError;
use mrx::state::edit::Actor;
use mrx::state::layout::{DataFolder, RepoName};
use mrx::state::object::Object;
use mrx::state::recover::Recovered;
use mrx::state::store::{EngineError, OpenError};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::disk::{Fault, ModelDisk, folder_in_memory};
use super::world::{Chance, is_clean, repositories, setting};

const PROJECTS: [&str; 2] = ["mrx-anvil", "mrx-bellows"];
const WORKERS: usize = 3;
const JOBS_A_WORKER: usize = 3;
/// Two repositories get half of them each, and are folded above 16.
const PACKS_UNTIL_FOLDED: usize = 44;
/// Whoever waits longer than this waits for ever.
const EVER: Duration = Duration::from_secs(30);
/// Runs at once: most of their time is waiting for publishers.
const RUNS_AT_ONCE: usize = 6;

/// Something that was answered.
#[derive(Clone, Debug)]
enum Answered {
    Project(ProjectId),
    Job(JobId, u32, u8),
    Log(JobId, Vec<u8>),
}

type Ledger = Arc<Mutex<Vec<Answered>>>;

/// One life of the engine over a disk.
struct Life {
    disk: ModelDisk,
    root: std::path::PathBuf,
    answered: Ledger,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Life {
    fn new(root: &Path, disk: ModelDisk) -> Self {
        Self { disk, root: root.join("data"), answered: Arc::default(), failures: Arc::default() }
    }

    fn options(&self) -> AppOptions {
        let failures = self.failures.clone();
        AppOptions {
            disk: Arc::new(self.disk.clone()),
            journal_segment_bytes: 1 << 20,
            on_failure: Arc::new(move |why| failures.lock().push(why.to_owned())),
            ..AppOptions::new(DataFolder::new(&self.root))
        }
    }

    /// Opens, works, closes and drops everything.
    async fn live(&self) {
        let Ok((app, _)) = in_time("opening", App::open(self.options())).await else { return };
        if in_time("the projects", find_projects(&app, &self.answered)).await {
            let mut workers = JoinSet::new();
            for number in 0..WORKERS {
                workers.spawn(work(app.clone(), number, self.answered.clone()));
            }
            workers.join_all().await;
        }
        in_time("closing", tokio::task::spawn_blocking(move || drop(app))).await.unwrap();
        assert!(self.failures.lock().len() <= 1, "told more than once: {:?}", self.failures.lock());
    }
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(EVER, work).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

/// Tries again while the disk is full; `None` if it did not come about.
async fn insist<T, E, F: Future<Output = Result<T, E>>>(
    is_full: fn(&E) -> bool,
    mut act: impl FnMut() -> F,
) -> Option<T> {
    for _ in 0..60 {
        match in_time("a change", act()).await {
            Ok(done) => return Some(done),
            Err(error) if is_full(&error) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(_) => return None,
        }
    }
    panic!("the disk stays full");
}

fn full_job(error: &JobError) -> bool {
    matches!(error, JobError::Engine(EngineError::Full(_)))
}

fn full_log(error: &LogError) -> bool {
    matches!(error, LogError::Job(error) if full_job(error))
}

fn full_project(error: &ProjectError) -> bool {
    matches!(error, ProjectError::Engine(EngineError::Full(_)))
}

async fn find_projects(app: &App, answered: &Ledger) -> bool {
    let code = |name: &str| Code::in_folder(name.parse().unwrap(), format!("/{name}"), "main");
    let found: Vec<Code> = PROJECTS.iter().map(|name| code(name)).collect();
    let none = Default::default();
    let done = insist(full_project, || app.projects.sync(ForgeKind::Local, &found, &none)).await.is_some();
    if done {
        answered.lock().extend(found.into_iter().map(|code| Answered::Project(code.name)));
    }
    done
}

/// Makes jobs, claims, reports and ends them, until something fails.
async fn work(app: App, number: usize, answered: Ledger) {
    for round in 0..JOBS_A_WORKER {
        if one_job(&app, number, round, &answered).await.is_none() {
            return;
        }
    }
    for project in PROJECTS {
        let repo = RepoName::Project(project.parse().unwrap());
        let Ok(lsn) = in_time("reading", app.state.read(&repo, |view| view.last())).await else { return };
        // Published or given up, but not waited for: a full disk is tried again only every second.
        let _ = tokio::time::timeout(Duration::from_millis(100), app.state.published(&repo, lsn)).await;
    }
}

async fn one_job(app: &App, number: usize, round: usize, answered: &Ledger) -> Option<()> {
    let saw = |job: &Job| answered.lock().push(Answered::Job(job.job_id.clone(), job.attempt, rank(job)));
    let project: ProjectId = PROJECTS[(number + round) % PROJECTS.len()].parse().unwrap();
    let actor = Actor { kind: "user", name: "admin".into() };
    let new = || NewJob {
        project: project.clone(),
        kind: JobType::Build,
        payload: Object::from_iter([("ref".to_owned(), "main".into())]),
        priority: 0,
        labels: Vec::new(),
        timeout_seconds: 600,
        needs: Vec::new(),
        concurrency_group: None,
    };
    saw(&insist(full_job, || app.jobs.create(new(), actor.clone(), None)).await?.answer);
    let claim = || Claim {
        agent: format!("agent-{number}").parse().unwrap(),
        offer: Offer::default(),
        request: None,
    };
    let job = insist(full_job, || app.jobs.claim(claim(), tokio::time::sleep(Duration::from_secs(1))))
        .await??
        .answer;
    saw(&job);
    let (id, lease) = (&job.job_id, &job.lease.as_ref().unwrap().id);
    let running = Told { report: Report { running: true, ..Report::default() }, ..Told::default() };
    saw(&insist(full_job, || app.jobs.tell(id, lease, running.clone())).await?.answer);
    let mut log = Vec::new();
    for piece in [Bytes::from(vec![b'x'; 700]), Bytes::from(vec![b'y'; 5000])] {
        insist(full_log, || app.logs.append(id, lease, log.len() as u64, piece.clone())).await?;
        log.extend(&piece);
        answered.lock().push(Answered::Log(id.clone(), log.clone()));
    }
    let ended = Told { outcome: Some(Outcome::Completed), ..Told::default() };
    saw(&insist(full_job, || app.jobs.tell(id, lease, ended.clone())).await?.answer);
    Some(())
}

fn rank(job: &Job) -> u8 {
    match job.state {
        JobState::Pending => 0,
        JobState::Claimed => 1,
        JobState::Running => 2,
        _ => 3,
    }
}

/// Opens the folder on the machine's disk and looks for everything that was answered.
async fn nothing_is_missing(data: &Path, answered: &[Answered], what: &str) {
    let (app, _) = open_unless_forking(data).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    app.read_open_jobs().await;
    for one in answered {
        is_there(&app, one).await.unwrap_or_else(|missing| panic!("{what}: {missing} of {one:?}"));
    }
    in_time("closing again", tokio::task::spawn_blocking(move || drop(app))).await.unwrap();
    repositories(data).iter().for_each(|repo| is_clean(repo, what));
}

/// Opens a folder on the machine's disk. Another run may be starting git: between fork and exec that child has every
/// open file of ours, and so the lock of a folder that was just closed.
async fn open_unless_forking(data: &Path) -> Result<(App, Recovered), AppError> {
    let mut tries = 0;
    loop {
        let options = AppOptions { journal_segment_bytes: 1 << 20, ..AppOptions::new(DataFolder::new(data)) };
        match in_time("opening again", App::open(options)).await {
            Err(AppError::Open(OpenError::Lock(_))) if tries < 100 => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            result => return result,
        }
    }
}

async fn is_there(app: &App, answered: &Answered) -> Result<(), String> {
    match answered {
        Answered::Project(id) => app.projects.get(id).map(drop).map_err(|error| error.to_string()),
        Answered::Job(id, attempt, rank_then) => {
            let job = app.jobs.get(id).await.map_err(|error| error.to_string())?;
            let found = (job.attempt, rank(&job));
            if found >= (*attempt, *rank_then) { Ok(()) } else { Err(format!("only {found:?}")) }
        }
        Answered::Log(id, log) => {
            let job = app.jobs.get(id).await.map_err(|error| error.to_string())?;
            let parts = app.logs.read(&job, job.attempt, 0).await.map_err(|error| error.to_string())?;
            let found: Vec<u8> = parts.iter().flat_map(|part| part.bytes.to_vec()).collect();
            if found.starts_with(log) { Ok(()) } else { Err(format!("only {} bytes", found.len())) }
        }
    }
}

/// One life with one failing call, and what is found after it; tells whether the call was ever made.
async fn live_with(call: usize, fault: Fault, mut chance: Chance) -> bool {
    let folder = folder_in_memory();
    let life = Life::new(folder.path(), ModelDisk::failing_at(call, fault));
    life.live().await;
    let Some(failed) = life.disk.failed() else { return false };
    let what = format!("{fault:?} at call {call}, {} of {}", failed.what, failed.path.display());
    let told = life.failures.lock().clone();
    if matches!(fault, Fault::NoRoom | Fault::Half) && !failed.ends_engine {
        assert!(told.is_empty(), "{what} ended the engine: {told:?}");
    }
    let answered = life.answered.lock().clone();
    let cut = life.disk.cut_power(&life.root, &mut chance);
    nothing_is_missing(&life.root, &answered, &what).await;
    nothing_is_missing(cut.path(), &answered, &format!("{what}, and a power cut")).await;
    true
}

/// Lets each call fail in turn, or as many of them as there is time for, spread over all.
async fn whichever_call_fails(fault: Fault) {
    let mut chance = Chance::announced(&format!("fault {fault:?}"));
    let folder = folder_in_memory();
    let life = Life::new(folder.path(), ModelDisk::default());
    life.live().await;
    let calls = life.disk.calls();
    let runs = (setting("MRX_FAULT_RUNS", 400) as usize).min(calls);
    let shift = chance.below(calls as u64) as usize;
    let mut waiting: Vec<usize> = (0..runs).map(|run| (shift + run * calls / runs) % calls).collect();
    let (mut running, mut met) = (JoinSet::new(), 0);
    loop {
        while running.len() < RUNS_AT_ONCE && !waiting.is_empty() {
            running.spawn(live_with(waiting.pop().unwrap(), fault, chance.fork()));
        }
        let Some(done) = running.join_next().await else { break };
        met += usize::from(done.unwrap());
    }
    eprintln!("fault {fault:?}: {runs} of {calls} calls were made to fail, {met} were met");
    assert!(met * 2 > runs, "too few of the calls were met");
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_call_reports_an_error_nothing_answered_is_missing() {
    whichever_call_fails(Fault::Error).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_whichever_call_on_the_disk_is_dead_nothing_answered_is_missing() {
    whichever_call_fails(Fault::Dead).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_whichever_call_the_disk_is_full_nothing_answered_is_missing_and_the_engine_goes_on() {
    whichever_call_fails(Fault::NoRoom).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_write_is_cut_short_nothing_answered_is_missing() {
    whichever_call_fails(Fault::Half).await;
}

/// Publishes so many packs one by one that they are folded, and cuts the power now and then.
#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_power_is_cut_while_packs_are_folded_nothing_answered_is_missing() {
    let mut chance = Chance::announced("power and folding");
    let folder = folder_in_memory();
    let life = Life::new(folder.path(), ModelDisk::default());
    let (app, _) = App::open(life.options()).await.unwrap();
    assert!(find_projects(&app, &life.answered).await);
    let images = life.disk.imagine_power_cuts(chance.fork(), 12, life.answered.clone());
    for round in 0..PACKS_UNTIL_FOLDED {
        one_job(&app, 0, round, &life.answered).await.unwrap();
        let repo = RepoName::Project(PROJECTS[round % PROJECTS.len()].parse().unwrap());
        let lsn = app.state.read(&repo, |view| view.last()).await.unwrap();
        in_time("publishing", app.state.published(&repo, lsn)).await.unwrap();
    }
    in_time("closing", tokio::task::spawn_blocking(move || drop(app))).await.unwrap();
    let images = std::mem::take(&mut *images.lock());
    eprintln!("power and folding: {} cuts", images.len());
    for image in images {
        let what = format!("a power cut before call {}", image.call);
        nothing_is_missing(image.folder.path(), &image.answered, &what).await;
    }
    let answered = life.answered.lock().clone();
    nothing_is_missing(&life.root, &answered, "no power cut").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_power_is_cut_nothing_answered_is_missing() {
    let mut chance = Chance::announced("power");
    let mut cuts = 0;
    for _ in 0..setting("MRX_POWER_RUNS", 2) {
        let folder = folder_in_memory();
        let life = Life::new(folder.path(), ModelDisk::default());
        let images = life.disk.imagine_power_cuts(chance.fork(), 6, life.answered.clone());
        life.live().await;
        let images = std::mem::take(&mut *images.lock());
        cuts += images.len();
        for image in images {
            let what = format!("a power cut before call {}", image.call);
            nothing_is_missing(image.folder.path(), &image.answered, &what).await;
        }
    }
    eprintln!("power: {cuts} cuts");
}
