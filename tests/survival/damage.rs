//! What a start does about what it finds: leftovers are removed, a torn end is dropped, a moved ref is put aside and
//! put back, and what no crash explains is refused, with the file and what to do about it, and nothing is changed.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mrx::app::{App, AppOptions};
use mrx::forge::{Code, ForgeKind};
use mrx::job::JobType;
use mrx::job::NewJob;
use mrx::state::disk::{Disk, DiskFile, RealDisk};
use mrx::state::edit::Actor;
use mrx::state::layout::{DataFolder, RepoName};
use mrx::state::object::Object;
use reqwest::StatusCode;

use super::daemon::{Daemon, PROJECTS, Site, answer, text};
use super::world::{copy_folder, git, is_clean, repositories, repositories_are_clean, sha256};

const BLOCK: usize = 4096;
const PROJECT: &str = PROJECTS[0];

/// The machine's disk, with no room for packs while it is told so: what is changed stays in the journal.
#[derive(Clone, Default)]
struct NoRoomForPacks(Arc<AtomicBool>);

impl Disk for NoRoomForPacks {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.open(path)
    }
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn DiskFile>> {
        if self.0.load(Ordering::SeqCst)
            && path.parent().is_some_and(|folder| folder.ends_with("objects/pack"))
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.create_new(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_folder(path)
    }
}

/// Leaves in the site's data folder what a kill leaves when `published` jobs stand in the repository of [`PROJECT`] and
/// `journalled` more only in the journal, a batch each. Gives the jobs' ids in order.
async fn leave_behind(site: &Site, published: usize, journalled: usize) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let disk = NoRoomForPacks::default();
    disk.0.store(published == 0, Ordering::SeqCst);
    let options = AppOptions {
        disk: Arc::new(disk.clone()),
        journal_segment_bytes: 1 << 20,
        on_failure: Arc::new(|why| panic!("{why}")),
        ..AppOptions::new(DataFolder::new(folder.path()))
    };
    let (app, _) = App::open(options).await.unwrap();
    let code = Code::in_folder(PROJECT.parse().unwrap(), "/nowhere", "main");
    app.projects.sync(ForgeKind::Local, &[code], &Default::default()).await.unwrap();
    let mut jobs = create(&app, published).await;
    disk.0.store(true, Ordering::SeqCst);
    jobs.extend(create(&app, journalled).await);
    copy_folder(folder.path(), &site.data);
    tokio::task::spawn_blocking(move || drop(app)).await.unwrap();
    jobs
}

/// Makes jobs, each published before the next if there is room for packs.
async fn create(app: &App, jobs: usize) -> Vec<String> {
    let (repo, mut ids) = (RepoName::Project(PROJECT.parse().unwrap()), Vec::new());
    for _ in 0..jobs {
        let new = NewJob {
            project: PROJECT.parse().unwrap(),
            kind: JobType::Build,
            payload: Object::default(),
            priority: 0,
            labels: Vec::new(),
            timeout_seconds: 600,
            needs: Vec::new(),
            concurrency_group: None,
        };
        let done = app.jobs.create(new, Actor { kind: "user", name: "admin".into() }, None).await.unwrap();
        ids.push(done.answer.job_id.to_string());
        // Without room this is never the case, and the next job gets a batch of its own all the same.
        let _ = tokio::time::timeout(Duration::from_millis(300), app.state.published(&repo, done.lsn)).await;
    }
    ids
}

async fn are_there(daemon: &Daemon, jobs: &[String]) {
    for job in jobs {
        daemon.api.job(job).await;
    }
}

/// Every file of a data folder, by its sum; but the lock, which names its holder.
fn sums(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sums.extend(self::sums(&path));
        } else if !path.ends_with("mrx.lock") {
            let sum = sha256(&fs::read(&path).unwrap());
            sums.insert(path, sum);
        }
    }
    sums
}

/// The journal's file with records, and at which block each of its last batches may begin, last one first.
fn journal_of(site: &Site) -> (PathBuf, Vec<usize>) {
    let written = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        let is_written =
            |block: &usize| bytes[block * BLOCK..(block + 1) * BLOCK].iter().any(|byte| *byte != 0);
        (1..bytes.len() / BLOCK).rev().filter(is_written).collect::<Vec<_>>()
    };
    let files = fs::read_dir(site.data.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let all = files.map(|path| (path.clone(), written(&path)));
    all.max_by_key(|(_, blocks)| blocks.len()).unwrap()
}

/// Writes a commit that the daemon has not made and moves the branch to it, as a person with git may.
fn move_ref_to_foreign_commit(repo: &Path) -> String {
    let tree = git(repo, &["rev-parse", "refs/heads/state^{tree}"]);
    let who = ["-c", "user.name=eve", "-c", "user.email=eve@example.org"];
    let commit = git(repo, &[&who[..], &["commit-tree", &tree, "-m", "a foreign commit"]].concat());
    git(repo, &["update-ref", "refs/heads/state", &commit]);
    commit
}

/// The foreign commit is kept, the branch is the daemon's, and every job stands on it.
fn is_put_aside(repo: &Path, foreign: &str, jobs: &[String]) {
    let rejected = git(repo, &["for-each-ref", "--format=%(objectname)", "refs/rejected/"]);
    assert_eq!(rejected, foreign, "what was moved there is kept under refs/rejected/");
    let log = git(repo, &["log", "--format=%s", "refs/heads/state"]);
    assert!(!log.contains("a foreign commit"), "{log}");
    let files = git(repo, &["ls-tree", "-r", "--name-only", "refs/heads/state"]);
    let missing: Vec<&String> = jobs.iter().filter(|job| !files.contains(job.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} not in {files}");
    is_clean(repo, "after a ref was put aside");
}

async fn create_published(daemon: &Daemon) -> String {
    let body = serde_json::json!({ "projectId": PROJECT, "jobType": "build" });
    let (status, job) =
        answer(daemon.api.admin_post("/jobs/create?ack=published").json(&body)).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{job}");
    text(&job, "/jobId")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_is_refused_and_told_who_has_the_folder() {
    let site = Site::new();
    let daemon = site.start().await;
    let (status, said) = site.refused();
    assert!(!status.success());
    assert!(said.contains(&format!("is in use by another MrX daemon (process {}", daemon.id())), "{said}");
    assert!(said.contains("give another folder with --data"), "{said}");
    create_published(&daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_and_unfinished_files_of_a_killed_process_do_not_stop_a_start() {
    let site = Site::new();
    let daemon = site.start().await;
    let job = create_published(&daemon).await;
    daemon.kill();
    let leftovers = [
        "refs/heads/state.lock",
        "HEAD.lock",
        "config.lock",
        "packed-refs.lock",
        "tmp_mrx_config",
        "tmp_mrx_HEAD",
        "objects/pack/tmp_pack_abc",
        "objects/pack/tmp_mrx_pack-abc.pack",
        "objects/pack/pack-abc.idx.lock",
        "tmp_mrx_recovery/pack_git2_abc",
    ];
    for repo in repositories(&site.data) {
        fs::create_dir(repo.join("tmp_mrx_recovery")).unwrap();
        leftovers.iter().for_each(|name| fs::write(repo.join(name), "half").unwrap());
    }
    let daemon = site.start().await;
    are_there(&daemon, &[job, create_published(&daemon).await]).await;
    let left = |repo: &PathBuf| leftovers.iter().filter(|name| repo.join(name).exists()).count();
    assert_eq!(repositories(&site.data).iter().map(left).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_an_answered_change_is_refused_and_nothing_is_changed() {
    let site = Site::new();
    leave_behind(&site, 0, 4).await;
    let (file, blocks) = journal_of(&site);
    let mut bytes = fs::read(&file).unwrap();
    bytes[blocks[blocks.len() / 2] * BLOCK + 150] ^= 8;
    fs::write(&file, bytes).unwrap();
    let before = sums(&site.data);
    let (status, said) = site.refused();
    assert!(!status.success());
    assert!(
        said.contains("the journal is damaged: in ") && said.contains(&file.display().to_string()),
        "{said}"
    );
    assert!(said.contains("keep a copy of the journal folder"), "{said}");
    assert_eq!(sums(&site.data), before, "the refusal changed something");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_last_batch_is_dropped_and_the_rest_is_there() {
    let site = Site::new();
    let jobs = leave_behind(&site, 0, 4).await;
    let (file, blocks) = journal_of(&site);
    OpenOptions::new().write(true).open(&file).unwrap().set_len((blocks[0] * BLOCK + 100) as u64).unwrap();
    let daemon = site.start().await;
    are_there(&daemon, &jobs[..3]).await;
    daemon.kill();
    repositories_are_clean(&site.data, "after a truncated batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_which_the_journal_has_everything_is_made_again() {
    let site = Site::new();
    let jobs = leave_behind(&site, 0, 3).await;
    fs::remove_dir_all(site.repo(PROJECT)).unwrap();
    let daemon = site.start().await;
    are_there(&daemon, &jobs).await;
    daemon.kill();
    repositories_are_clean(&site.data, "after it was made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_which_the_journal_has_only_the_end_is_refused_until_it_is_brought_back() {
    let site = Site::new();
    let jobs = leave_behind(&site, 3, 3).await;
    let (repo, backup) = (site.repo(PROJECT), site.data.join("backup"));
    fs::rename(&repo, &backup).unwrap();
    let before = sums(&site.data);
    let (status, said) = site.refused();
    assert!(!status.success());
    assert!(said.contains(&format!("the repository {} is gone", repo.display())), "{said}");
    assert!(said.contains("bring the folder back from a backup"), "{said}");
    assert!(!repo.exists(), "nothing is put in its place");
    let (after, journal) = (sums(&site.data), site.data.join("journal"));
    let gone: Vec<_> = before.keys().filter(|path| !after.contains_key(*path)).collect();
    assert!(gone.is_empty(), "nothing is taken away, but {gone:?}");
    let mut records = before.iter().filter(|(path, _)| path.starts_with(&journal));
    assert!(records.all(|(path, sum)| after[path] == *sum), "the journal is as it was");
    fs::rename(&backup, &repo).unwrap();
    are_there(&site.start().await, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ref_moved_behind_a_running_daemon_is_put_aside_and_put_back() {
    let site = Site::new();
    let daemon = site.start().await;
    let mut jobs = vec![create_published(&daemon).await];
    let foreign = move_ref_to_foreign_commit(&site.repo(PROJECT));
    jobs.push(create_published(&daemon).await);
    is_put_aside(&site.repo(PROJECT), &foreign, &jobs);
    daemon.kill();
    are_there(&site.start().await, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ref_moved_while_the_daemon_is_down_with_unpublished_changes_is_put_aside_and_put_back() {
    let site = Site::new();
    let jobs = leave_behind(&site, 2, 3).await;
    let foreign = move_ref_to_foreign_commit(&site.repo(PROJECT));
    let daemon = site.start().await;
    is_put_aside(&site.repo(PROJECT), &foreign, &jobs);
    are_there(&daemon, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ref_moved_after_a_kill_is_put_back_although_its_pack_was_published() {
    let site = Site::new();
    let daemon = site.start().await;
    let jobs = vec![create_published(&daemon).await, create_published(&daemon).await];
    daemon.kill();
    let foreign = move_ref_to_foreign_commit(&site.repo(PROJECT));
    let begun = Instant::now();
    let daemon = site.start().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    is_put_aside(&site.repo(PROJECT), &foreign, &jobs);
    are_there(&daemon, &jobs).await;
}
