//! A full disk: changes are refused for the time being, reading goes on, and when there is room so does everything.
//!
//! The data folder is a small file system in memory; to mount one takes root. Without it the test says so and ends:
//! `fault.rs` fills a disk of its own at every call.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};

use super::daemon::{Answer, Api, PROJECTS, Site, answer, text};
use super::world::{repositories_are_clean, sha256};

/// Three segments of the journal of 2 MiB each, as much again for a start that finds all of it unpublished, and the rest.
const DISK_MIB: u32 = 16;
/// A disk of this size is full long before so many jobs.
const JOBS_MAX: usize = 60_000;
/// So soon after there is room again, changes are taken again.
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// A small disk, gone when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one; `None` if we may not.
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let size = format!("size={DISK_MIB}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "mrx-test"]).arg(&at).output();
        mounted.is_ok_and(|done| done.status.success()).then_some(Self(at))
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut pieces = (0..).map(|number| self.0.join(format!("filler-{number}")));
        while fs::write(pieces.next().unwrap(), vec![7; 64 << 10]).is_ok() {}
    }

    fn free(&self) {
        let files = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let fillers = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("filler-"));
        fillers.for_each(|path| fs::remove_file(path).unwrap());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the daemon that was just killed may be on its way out.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_changes_and_not_reads_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path().join("data")) else {
        eprintln!("full disk: not checked here, because mounting a file system takes root");
        return;
    };
    let site = Site::at(folder.path(), disk.0.clone());
    let daemon = site.start().await;
    let api = daemon.api.clone();
    let held = hold_a_job(&api).await;
    disk.fill();

    let mut jobs = create_until_full(&api).await;
    a_log_and_an_artifact_are_refused_also(&api, &held, &disk.0).await;
    assert_eq!(api.job(&jobs[0]).await["state"], "pending");
    assert_eq!(api.get("/ready").send().await.unwrap().status(), StatusCode::OK);
    let page = api.get(&format!("/projects/{}/jobs", PROJECTS[0])).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);

    disk.free();
    let begun = Instant::now();
    let first = when_there_is_room(|| answer(api.admin_post("/jobs/create").json(&large_job()))).await;
    eprintln!(
        "full disk: {} jobs until it was full; {:?} after there was room it went on",
        jobs.len(),
        begun.elapsed()
    );
    jobs.push(text(&first, "/jobId"));
    when_there_is_room(|| api.append(&held.0, &held.1, 0, vec![b'x'; 9000])).await;
    let bytes = vec![3; 100_000];
    let entry =
        when_there_is_room(|| api.upload(PROJECTS[0], &held.0, &held.1, "after", bytes.clone())).await;
    assert_eq!(text(&entry, "/sha256"), sha256(&bytes));

    daemon.kill();
    repositories_are_clean(&site.data, "after a full disk");
    let daemon = site.start().await;
    for job in &jobs {
        daemon.api.job(job).await;
    }
    repositories_are_clean(&site.data, "after a full disk and recovery");
}

/// Asks again while there is no room.
async fn when_there_is_room<F: Future<Output = Answer>>(ask: impl Fn() -> F) -> Value {
    let begun = Instant::now();
    loop {
        match ask().await.unwrap() {
            (status, body) if status.is_success() => return body,
            (status, body) => assert!(status == 503 && begun.elapsed() < BACK_WITHIN, "{status} {body}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn large_job() -> Value {
    json!({ "projectId": PROJECTS[0], "jobType": "chat", "payload": { "text": "x".repeat(8000) } })
}

/// A job in an agent's hands, and its lease.
async fn hold_a_job(api: &Api) -> (String, String) {
    assert_eq!(api.create(PROJECTS[0], "held").await.unwrap().0, StatusCode::CREATED);
    let (status, body) = api.claim("agent-1", "claim", 0).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    (text(&body, "/job/jobId"), text(&body, "/lease/id"))
}

/// Makes jobs until one is refused, and looks at the refusal.
async fn create_until_full(api: &Api) -> Vec<String> {
    let mut jobs = Vec::new();
    while jobs.len() < JOBS_MAX {
        let answer = api.admin_post("/jobs/create").json(&large_job()).send().await.unwrap();
        let (status, wait) = (answer.status(), answer.headers().get(RETRY_AFTER).cloned());
        let body: Value = answer.json().await.unwrap();
        if status != StatusCode::CREATED {
            assert_eq!(
                (status, body["code"].as_str()),
                (StatusCode::SERVICE_UNAVAILABLE, Some("diskFull")),
                "{body}"
            );
            let seconds: u64 = wait.unwrap().to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&seconds));
            return jobs;
        }
        jobs.push(text(&body, "/jobId"));
    }
    panic!("the disk was never full");
}

async fn a_log_and_an_artifact_are_refused_also(api: &Api, held: &(String, String), disk: &Path) {
    let (job, lease) = held;
    let (status, body) = api.append(job, lease, 0, vec![b'x'; 9000]).await.unwrap();
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("diskFull")),
        "{body}"
    );
    let (status, body) = api.upload(PROJECTS[0], job, lease, "refused", vec![9; 1 << 20]).await.unwrap();
    let left = fs::read_dir(disk.join("artifacts")).unwrap().count();
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("diskFull")),
        "{body}, {left} files"
    );
}
