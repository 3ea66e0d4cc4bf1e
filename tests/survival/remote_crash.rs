//! A daemon is killed again and again in the middle of bringing in what people changed on a remote: nothing of it is lost or brought in
//! twice, and both sides end the same.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use super::daemon::{Api, PROJECTS, Site, answer, text};
use super::world::{Chance, is_clean, repositories_are_clean, setting};

/// How often it is killed.
const KILLS: u64 = 8;
/// A run of a remote takes some tenths of a second; the hook makes its push take longer.
const LIFE_MILLIS: u64 = 900;
/// Whoever waits longer than this waits for ever.
const EVER: Duration = Duration::from_secs(60);
/// What is pushed comes through late, so that kills find it under way.
const SLOW_HOOK: &str = "#!/bin/sh\nsleep 0.3\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_a_remotes_merge_loses_nothing_and_brings_nothing_in_twice() {
    let mut chance = Chance::announced("remote_crash");
    let site = Site::new().with_options(&["--allow-local-remotes"]);
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().join("host.git");
    let mut daemon = site.start().await;
    let chat = begin(&daemon.api, folder.path(), &host).await;
    let copy = folder.path().join("ada");
    git(folder.path(), &["clone", "-q", "-b", "mrx/state", "host.git", "ada"]);
    let hook = host.join("hooks/pre-receive");
    std::fs::write(&hook, SLOW_HOOK).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let kills = setting("MRX_REMOTE_CRASH_KILLS", KILLS);
    let path = mrx::state::layout::chat(&chat.parse().unwrap());
    for number in 1..=kills {
        change_there(&copy, &path, number);
        // Here the title is left alone, and the state goes on.
        let body = json!({ "projectId": PROJECTS[0], "jobType": "build" });
        let (status, made) = answer(daemon.api.admin_post("/jobs/create").json(&body)).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let asked = daemon.api.admin_post(&format!("/projects/{}/remote/sync", PROJECTS[0])).send();
        let life = Duration::from_millis(chance.below(LIFE_MILLIS));
        drop(tokio::time::timeout(life, asked).await);
        tokio::task::spawn_blocking(move || daemon.kill()).await.unwrap();
        repositories_are_clean(&site.data, "after a kill");
        daemon = site.start().await;
    }
    std::fs::remove_file(&hook).unwrap();
    at_rest(&daemon.api).await;
    let (_, shown) =
        answer(daemon.api.get(&format!("/projects/{}/chats/{chat}", PROJECTS[0]))).await.unwrap();
    assert_eq!(text(&shown, "/title"), format!("n {kills}"));
    drop(daemon);
    let ours = site.repo(PROJECTS[0]);
    let tip = git(&ours, &["rev-parse", "state"]);
    git(&host, &["merge-base", "--is-ancestor", &tip, "mrx/state"]);
    git(&host, &["merge-base", "--is-ancestor", &git(&copy, &["rev-parse", "HEAD"]), "mrx/state"]);
    assert_eq!(git(&host, &["rev-parse", "mrx/state^{tree}"]), git(&ours, &["rev-parse", "state^{tree}"]));
    let log = git(&ours, &["log", "--format=%B", "state"]);
    assert!(!log.contains("remote.conflict"), "both sides changed other things: {log}");
    // Each title is one commit, and titles that were changed before they came in are in the one that came.
    let titles: Vec<String> = versions(&ours, &path);
    let mut sorted = titles.clone();
    sorted.dedup();
    assert_eq!(titles, sorted, "each came in once");
    repositories_are_clean(&site.data, "in the end");
    is_clean(&host, "the remote in the end");
    eprintln!("remote crash: {kills} kills, {} titles came in", titles.len());
}

/// A remote that has the state of the first project; tells a chat of it.
async fn begin(api: &Api, folder: &Path, host: &Path) -> String {
    git(folder, &["init", "-q", "--bare", "--initial-branch=main", "host.git"]);
    git(folder, &["clone", "-q", "host.git", "first"]);
    let first = folder.join("first");
    git(&first, &["commit", "-q", "--allow-empty", "-m", "Begin"]);
    git(&first, &["push", "-q", "origin", "HEAD:main"]);
    let (status, chat) =
        answer(api.admin_post(&format!("/projects/{}/chats", PROJECTS[0])).json(&json!({ "title": "n 0" })))
            .await
            .unwrap();
    assert_eq!(status, StatusCode::CREATED, "{chat}");
    let remote = json!({ "remote": { "url": format!("file://{}", host.display()) } });
    let edit = api.client().patch(format!("{}/projects/{}", api.url, PROJECTS[0]));
    let (status, set) = answer(edit.bearer_auth(api.token()).json(&remote)).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{set}");
    at_rest(api).await;
    text(&chat, "/chatId")
}

/// Somebody changes the chat's title on the remote, wherever its branch is.
fn change_there(copy: &Path, path: &str, number: u64) {
    let begun = Instant::now();
    loop {
        git(copy, &["fetch", "-q", "origin"]);
        git(copy, &["reset", "-q", "--hard", "origin/mrx/state"]);
        let file = std::fs::read_to_string(copy.join(path)).unwrap();
        let title = file.lines().find(|line| line.starts_with("title: ")).unwrap();
        std::fs::write(copy.join(path), file.replace(title, &format!("title: n {number}"))).unwrap();
        git(copy, &["commit", "-qam", &format!("Title {number}")]);
        // A push of the daemon's may have come first; git of one that was killed may still be at work.
        if try_git(copy, &["push", "-q", "origin", "HEAD:mrx/state"]).0 {
            return;
        }
        assert!(begun.elapsed() < EVER, "the remote takes no push");
    }
}

/// Waits until the remote has all.
async fn at_rest(api: &Api) {
    let begun = Instant::now();
    loop {
        let asked = api.admin_post(&format!("/projects/{}/remote/sync", PROJECTS[0]));
        if let Some((StatusCode::OK, status)) = answer(asked).await
            && status["isBehind"] == false
            && status["problem"].is_null()
        {
            return;
        }
        assert!(begun.elapsed() < EVER, "the remote does not come to rest");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The titles that the chat has had, oldest first, each as often as it was given.
fn versions(repo: &Path, path: &str) -> Vec<String> {
    let commits = git(repo, &["log", "--reverse", "--format=%H", "state", "--", path]);
    let title = |commit: &str| {
        let file = git(repo, &["show", &format!("{commit}:{path}")]);
        file.lines().find(|line| line.starts_with("title: ")).unwrap().to_owned()
    };
    commits.lines().map(title).collect()
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let (ok, said) = try_git(folder, arguments);
    assert!(ok, "git {arguments:?}: {said}");
    said
}

fn try_git(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let done = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.success(), said.trim().to_owned())
}
