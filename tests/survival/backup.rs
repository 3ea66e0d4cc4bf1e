//! Backups: the data folder is destroyed, and all that was answered is there again.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::daemon::{Api, Daemon, PROJECTS, Site, answer, text};
use crate::world::{git_command, repositories_are_clean};

const PROJECT: &str = PROJECTS[0];

/// What a team has made, as the API tells it.
#[derive(Debug, PartialEq)]
struct Seen {
    jobs: Value,
    members: Value,
    messages: Value,
    secrets: Value,
    log: Vec<u8>,
}

/// Runs the program, and gives whether it was well and what it said.
fn mrx(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mrx"));
    let done = command.args(arguments).env("RUST_BACKTRACE", "0").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    (done.status.success(), said)
}

fn good(arguments: &[&str]) -> String {
    let (was_good, said) = mrx(arguments);
    assert!(was_good, "mrx {arguments:?}: {said}");
    said
}

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn put(api: &Api, path: &str, body: Value) -> Value {
    let (status, said) = answer(api.admin_post(path).json(&body)).await.unwrap();
    assert!(status.is_success(), "{path}: {said}");
    said
}

async fn get(api: &Api, path: &str) -> Value {
    let (status, said) = answer(api.get(path)).await.unwrap();
    assert!(status.is_success(), "{path}: {said}");
    said
}

/// A person, a chat, a secret, and a job that somebody works on.
async fn work(api: &Api) -> (String, String, String) {
    put(
        api,
        "/admin/users",
        json!({ "name": "ada", "role": "developer", "password": "a long enough pass phrase" }),
    )
    .await;
    let member =
        api.client().put(format!("{}/projects/{PROJECT}/members/ada", api.url)).bearer_auth(api.token());
    assert!(answer(member.json(&json!({ "right": "write" }))).await.unwrap().0.is_success());
    let chat = put(api, &format!("/projects/{PROJECT}/chats"), json!({ "title": "Plans" })).await;
    let chat = text(&chat, "/chatId");
    put(
        api,
        "/admin/secrets",
        json!({ "projectId": PROJECT, "name": "deploy", "kind": "named", "value": "a value of many letters" }),
    )
    .await;
    api.create(PROJECT, "one").await.unwrap();
    let (_, claimed) = api.claim("builder-1", "first", 0).await.unwrap();
    let (job, lease) = (text(&claimed, "/job/jobId"), text(&claimed, "/lease/id"));
    api.append(&job, &lease, 0, b"the log of a build\n".to_vec()).await.unwrap();
    let (_, artifact) = api.upload(PROJECT, &job, &lease, "app.txt", b"the app".to_vec()).await.unwrap();
    (chat, job, text(&artifact, "/artifactId"))
}

async fn seen(api: &Api, chat: &str, job: &str) -> Seen {
    Seen {
        jobs: get(api, &format!("/projects/{PROJECT}/jobs")).await,
        members: get(api, &format!("/projects/{PROJECT}")).await["members"].clone(),
        messages: get(api, &format!("/projects/{PROJECT}/chats/{chat}/messages")).await,
        secrets: get(api, &format!("/admin/secrets/{PROJECT}")).await,
        log: api.log(job).await.unwrap(),
    }
}

fn destroy(site: &Site, daemon: Daemon) {
    daemon.kill();
    fs::remove_dir_all(&site.data).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroyed_data_folder_comes_back_from_a_backup_whose_second_part_holds_only_what_was_new() {
    let site = Site::new();
    let daemon = site.start().await;
    let api = daemon.api.clone();
    let (chat, job, artifact) = work(&api).await;
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backup");
    let save = ["backup", "--data", str(&site.data), "--to", str(&to), "--artifacts", "--keys"];
    assert!(good(&save).contains("4 repositories"));
    let first = fs::metadata(to.join(format!("projects/{PROJECT}/000001.bundle"))).unwrap().len();
    // Nothing has happened, so nothing is written.
    assert!(good(&save).contains("0 new bundles"));
    let message = json!({ "text": "said after the first backup" });
    put(&api, &format!("/projects/{PROJECT}/chats/{chat}/messages?ack=published"), message).await;
    let said = good(&save);
    assert!(said.contains("1 new bundles"), "{said}");
    let second = fs::metadata(to.join(format!("projects/{PROJECT}/000002.bundle"))).unwrap().len();
    assert!(second < first / 2, "{second} of {first} bytes");
    let before = seen(&api, &chat, &job).await;
    destroy(&site, daemon);

    let said = good(&["restore", str(&to), "--data", str(&site.data)]);
    assert!(said.contains("4 repositories, checked by git"), "{said}");
    assert!(!said.contains("no keys"), "{said}");
    repositories_are_clean(&site.data, "after it was restored");
    let daemon = site.start().await;
    let api = daemon.api.clone();
    assert_eq!(seen(&api, &chat, &job).await, before);
    assert_eq!(api.artifact(PROJECT, &artifact).await, b"the app");
    // It goes on, and the same backup with it.
    api.create(PROJECT, "two").await.unwrap();
    let (_, claimed) = api.claim("builder-1", "second", 0).await.unwrap();
    assert_ne!(text(&claimed, "/job/jobId"), job);
    daemon.kill();
    // What the killed daemon left in its journal is in it too.
    let said = good(&save);
    assert!(said.contains("new bundles"), "{said}");
    let again = place.path().join("again");
    good(&["restore", str(&to), "--data", str(&again)]);
    let tip = |data: &Path| {
        let repo = data.join(format!("repos/projects/{PROJECT}.git"));
        crate::world::git(&repo, &["rev-parse", "refs/heads/state"])
    };
    assert_eq!(tip(&again), tip(&site.data));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clones_with_plain_git_make_a_data_folder_and_what_they_lack_is_said() {
    let site = Site::new();
    let daemon = site.start().await;
    let api = daemon.api.clone();
    let (chat, job, _) = work(&api).await;
    // What is cloned is what is published.
    put(
        &api,
        "/jobs/create?ack=published",
        json!({ "projectId": PROJECT, "jobType": "build", "payload": { "ref": "main" } }),
    )
    .await;
    let before = seen(&api, &chat, &job).await;
    let mirrors = tempfile::tempdir().unwrap();
    for repo in ["platform", PROJECT] {
        let header = format!("http.extraHeader=Authorization: Bearer {}", api.token());
        let mut clone = git_command(mirrors.path());
        let url = format!("{}/git/{repo}.git", api.url);
        assert!(
            clone.args(["-c", &header, "clone", "--quiet", "--mirror", &url]).status().unwrap().success()
        );
    }
    destroy(&site, daemon);

    let said = good(&["restore", str(mirrors.path()), "--data", str(&site.data)]);
    assert!(said.contains(&format!("platform, projects/{PROJECT}")), "{said}");
    for lack in [
        format!("projects/{PROJECT} deploy"),
        format!("not in it: {}, {}", PROJECTS[1], PROJECTS[2]),
        "the bytes of none".to_owned(),
    ] {
        assert!(said.contains(&lack), "{lack}: {said}");
    }
    let daemon = site.start().await;
    assert_eq!(seen(&daemon.api, &chat, &job).await, before);
    daemon.kill();

    // One bundle is a backup of one project.
    let bundle = mirrors.path().join("one.bundle");
    let repo = mirrors.path().join(format!("{PROJECT}.git"));
    crate::world::git(&repo, &["bundle", "create", "--quiet", str(&bundle), "--all"]);
    let one = mirrors.path().join("one");
    let said = good(&["restore", str(&bundle), "--data", str(&one)]);
    assert!(said.contains("no state of the platform"), "{said}");
    assert!(one.join(format!("repos/projects/{PROJECT}.git/HEAD")).is_file());
}

#[test]
fn a_restore_that_cannot_be_whole_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (full, empty) = (place.path().join("full"), place.path().join("empty"));
    fs::create_dir_all(&full).unwrap();
    fs::create_dir_all(&empty).unwrap();
    fs::write(full.join("x"), "x").unwrap();
    let (was_good, said) = mrx(&["restore", str(&empty), "--data", str(&full)]);
    assert!(!was_good && said.contains("is not empty"), "{said}");
    let new = place.path().join("new");
    let (was_good, said) = mrx(&["restore", str(&empty), "--data", str(&new)]);
    assert!(!was_good && said.contains("nothing to restore"), "{said}");
    let code = place.path().join("code.git");
    fs::create_dir_all(&code).unwrap();
    crate::world::git(&code, &["init", "--quiet", "--bare"]);
    let (was_good, said) = mrx(&["restore", str(&code), "--data", str(&new)]);
    assert!(!was_good && said.contains("no branch `state`"), "{said}");
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    let (was_good, said) = mrx(&["backup", "--data", str(&empty), "--to", str(&new)]);
    assert!(!was_good && said.contains("no data folder"), "{said}");
}
