//! Remotes: a project's state on a branch elsewhere, and what people change there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Answer, Call, Caller, HELLO, World, git};

pub mod host;
mod slow;

use host::{Host, Server};

const BRANCH: &str = "refs/heads/mrx/state";
/// What a host wants between two runs.
const PAUSE: Duration = Duration::from_secs(10);
const TOKEN: &str = "ghp_canary0123456789abcdef";

async fn set(world: &World, url: &str) {
    let remote = json!({ "remote": { "url": url } });
    let project = world.admin().patch(&format!("/projects/{HELLO}")).json(&remote).await.expect(200);
    assert_eq!(project["remote"], json!({ "url": url, "branch": "mrx/state" }));
}

/// Lets the time pass that a host wants between two pushes, and asks for a run; gives the answer.
async fn sync(world: &World) -> (u16, Value) {
    let answer = answered(world, world.admin().post(&format!("/projects/{HELLO}/remote/sync"))).await;
    (answer.status, answer.json())
}

/// An answer that waits for a run, which may come after one that is under way.
async fn answered(world: &World, call: Call) -> Answer {
    world.clock.pass(PAUSE);
    let mut answer = std::pin::pin!(call.into_future());
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            () = tokio::time::sleep(Duration::from_millis(300)) => world.clock.pass(PAUSE),
        }
    }
}

#[track_caller]
fn good((status, body): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["problem"], &body["isBehind"]), (&Value::Null, &json!(false)), "{body}");
    body
}

async fn status(world: &World) -> Value {
    world.admin().get(&format!("/projects/{HELLO}/remote")).await.expect(200)
}

async fn chat(world: &World, title: &str) -> String {
    let chat = world.admin().post(&format!("/projects/{HELLO}/chats")).json(&json!({ "title": title })).await;
    chat.expect(201)["chatId"].as_str().unwrap().to_owned()
}

async fn retitle(world: &World, chat: &str, change: Value) {
    world.admin().patch(&format!("/projects/{HELLO}/chats/{chat}")).json(&change).await.expect(200);
}

async fn chat_now(world: &World, chat: &str) -> Value {
    world.admin().get(&format!("/projects/{HELLO}/chats/{chat}")).await.expect(200)
}

fn chat_file(copy: &Path, chat: &str) -> PathBuf {
    let end: Vec<String> = chat[chat.len() - 3..].chars().map(String::from).collect();
    copy.join("chats").join(end.join("/")).join(chat).join("chat.yaml")
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

/// A world whose project has a remote that has its state.
async fn with_remote() -> (World, Host) {
    let (world, host) = (World::start().await, Host::begun().await);
    set(&world, &host.url()).await;
    good(sync(&world).await);
    (world, host)
}

/// The branch there has all that the state leads to, and the same files.
async fn is_the_same(world: &World, host: &Host) {
    let tip = world.tip(HELLO).await;
    host.git(&["merge-base", "--is-ancestor", &tip, BRANCH]).await;
    let there = host.git(&["rev-parse", &format!("{BRANCH}^{{tree}}")]).await;
    let here = world.repository(HELLO).find_commit(tip.parse().unwrap()).unwrap().tree_id().to_string();
    assert_eq!(there, here);
    host.git(&["fsck", "--strict", "--no-dangling"]).await;
}

#[tokio::test]
async fn a_state_is_pushed_as_it_moves_but_never_as_the_first_branch_of_a_remote() {
    let (world, host) = (World::start().await, Host::empty().await);
    assert_eq!(world.admin().get(&format!("/projects/{HELLO}/remote")).await.refused(409), "noRemote");
    set(&world, &host.url()).await;
    let (code, body) = sync(&world).await;
    assert_eq!((code, &body["code"]), (502, &json!("remoteFailed")));
    assert!(body["message"].as_str().unwrap().contains("push a branch of yours there"), "{body}");
    assert_eq!(status(&world).await["problem"]["code"], "emptyRemote");
    assert_eq!(host.git(&["for-each-ref"]).await, "");

    host.begin().await;
    let synced = good(sync(&world).await);
    assert_eq!(synced["pushed"], world.tip(HELLO).await);
    assert_eq!(host.git(&["rev-parse", BRANCH]).await, world.tip(HELLO).await);
    assert_eq!(host.git(&["symbolic-ref", "HEAD"]).await, "refs/heads/main");

    // Nobody asks now: the daemon sees by itself that the state has moved.
    world.queue("build").await;
    world.published(HELLO).await;
    world.clock.pass(PAUSE);
    for _ in 0..500 {
        if status(&world).await["isBehind"] == false {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(host.git(&["rev-parse", BRANCH]).await, world.tip(HELLO).await);
}

#[tokio::test]
async fn an_answer_can_wait_until_the_remote_has_the_change() {
    let (world, host) = with_remote().await;
    let body = json!({ "projectId": HELLO, "jobType": "build" });
    let answer = answered(&world, world.admin().post("/jobs/create?ack=pushed").json(&body)).await;
    let job = answer.expect(201)["jobId"].as_str().unwrap().to_owned();
    assert!(host.git(&["log", "-1", "--format=%s", BRANCH]).await.contains(&job));

    world.admin().patch(&format!("/projects/{HELLO}")).json(&json!({ "remote": null })).await.expect(200);
    assert_eq!(world.admin().post("/jobs/create?ack=pushed").json(&body).await.refused(409), "noRemote");
}

#[tokio::test]
async fn who_would_wait_for_a_remote_that_is_not_there_is_refused_before_anything_changes() {
    let world = World::start().await;
    let (job, chat) = (world.queue("build").await, chat(&world, "Plans").await);
    let agent = world.key_of_agent("builder-1").await;
    let before = (world.tip(HELLO).await, world.tip("platform").await);
    let project = format!("/projects/{HELLO}");
    let (chat, member) = (format!("{project}/chats/{chat}"), format!("{project}/members/ada"));
    let (cancel, trash) = (format!("/jobs/{job}/cancel"), project.clone());
    let before = (before, world.admin().get(&project).await.expect(200));
    let new = json!({ "projectId": HELLO, "jobType": "build" });
    let secret = json!({ "projectId": HELLO, "kind": "github", "value": "ghp_0123456789" });
    let cases = [
        ("POST", "/jobs/create", new),
        ("POST", &cancel, json!({})),
        ("PATCH", &chat, json!({ "title": "Other" })),
        ("DELETE", &chat, json!({})),
        ("POST", "/admin/secrets", secret),
        ("PATCH", &project, json!({ "description": "Other" })),
        ("DELETE", &trash, json!({})),
        ("PUT", &member, json!({ "right": "read" })),
        ("POST", "/admin/agents", json!({ "agentId": "builder-2" })),
        (
            "POST",
            "/admin/users",
            json!({ "name": "bob", "role": "viewer", "password": "correct horse battery" }),
        ),
    ];
    for (method, path, body) in cases {
        let path = format!("{path}?ack=pushed");
        let admin = world.admin();
        let call = match method {
            "POST" => admin.post(&path),
            "PATCH" => admin.patch(&path),
            "PUT" => admin.put(&path),
            _ => admin.delete(&path),
        };
        let call = if method == "DELETE" { call } else { call.json(&body) };
        assert_eq!(call.await.refused(409), "noRemote", "{method} {path}");
    }
    let claimed = Caller::with_token(&world, &agent).post("/jobs/claim?ack=pushed").json(&json!({})).await;
    assert_eq!(claimed.refused(409), "noRemote");
    let after = (world.tip(HELLO).await, world.tip("platform").await);
    assert_eq!((after, world.admin().get(&project).await.expect(200)), before);
    assert_eq!(world.state(&job).await, "pending");
}

#[tokio::test]
async fn what_is_merged_on_the_host_comes_back_as_edits_field_by_field() {
    let (world, host) = with_remote().await;
    let (ours, theirs) = (chat(&world, "Plans").await, chat(&world, "Notes").await);
    let job = world.queue("build").await;
    good(sync(&world).await);
    let copy = host.copy("ada").await;
    replace(&chat_file(&copy, &ours), "llmMode: custom", "llmMode: openai");
    replace(&chat_file(&copy, &theirs), "title: Notes", "title: Their notes");
    let file = job_file(&copy, &job);
    replace(&file, "state: pending", "state: cancelled");
    host.merge(&copy, "A pull request").await;
    let request = host.git(&["rev-parse", BRANCH]).await;
    // Meanwhile somebody changes another field here.
    retitle(&world, &ours, json!({ "title": "Our plans" })).await;

    let synced = good(sync(&world).await);
    assert!(synced["mergedAt"].is_string());
    let chat = chat_now(&world, &ours).await;
    assert_eq!((&chat["title"], &chat["llmMode"]), (&json!("Our plans"), &json!("openai")));
    assert_eq!(chat_now(&world, &theirs).await["title"], "Their notes");
    assert_eq!(world.state(&job).await, "cancelled", "by the same decision as over HTTP");
    is_the_same(&world, &host).await;
    host.git(&["merge-base", "--is-ancestor", &request, BRANCH]).await;
    let log = world.log_of(HELLO).await;
    assert!(log.last().unwrap().starts_with("local: remote mrx/state: 3 files merged from"), "{log:?}");

    // A clone of the remote is a backup of the project's state.
    let restored = host.folder().join("restored");
    let report = mrx::backup::restore::restore(&host.repo(), &restored, None).unwrap();
    assert_eq!(report.repositories, [format!("projects/{HELLO}")]);
    let repo = restored.join(format!("repos/projects/{HELLO}.git"));
    let tip = git(&repo, &["rev-parse", "refs/heads/state"]).await.text;
    assert_eq!(tip.trim(), world.tip(HELLO).await);

    // A fork is a rehearsal, and is not pushed anywhere.
    let fork =
        world.admin().post(&format!("/projects/{HELLO}/forks")).json(&json!({ "id": "mrx-fork" })).await;
    assert_eq!(fork.expect(201)["remote"], Value::Null);

    // It is at rest now, and goes on from there.
    let before = world.tip(HELLO).await;
    good(sync(&world).await);
    assert_eq!(world.tip(HELLO).await, before);
    retitle(&world, &theirs, json!({ "title": "Ours again" })).await;
    good(sync(&world).await);
    is_the_same(&world, &host).await;
    assert_eq!(git(&copy, &["pull", "-q", "--ff-only", "origin", "mrx/state"]).await.text, "");
    assert!(std::fs::read_to_string(chat_file(&copy, &theirs)).unwrap().contains("Ours again"));
}

fn job_file(copy: &Path, job: &str) -> PathBuf {
    let end: Vec<String> = job[job.len() - 3..].chars().map(String::from).collect();
    copy.join("jobs/open").join(end.join("/")).join(format!("{job}.yaml"))
}

/// The conflict files of the state, as text.
async fn conflicts(world: &World) -> Vec<(String, String)> {
    let repo = world.repository(HELLO);
    let tip = world.tip(HELLO).await;
    world.published(HELLO).await;
    let root = repo.find_commit(tip.parse().unwrap()).unwrap().tree().unwrap();
    let Some(entry) = root.get_name("conflicts") else { return Vec::new() };
    let folder = entry.to_object(&repo).unwrap().into_tree().unwrap();
    let text = |entry: git2::TreeEntry<'_>| {
        let blob = repo.find_blob(entry.id()).unwrap();
        (entry.name().unwrap().to_owned(), String::from_utf8(blob.content().to_vec()).unwrap())
    };
    folder.iter().map(text).collect()
}

#[tokio::test]
async fn what_cannot_be_merged_is_ours_and_theirs_is_kept_until_somebody_has_looked() {
    let (world, host) = with_remote().await;
    let both = chat(&world, "Plans").await;
    good(sync(&world).await);
    let copy = host.copy("ada").await;
    replace(&chat_file(&copy, &both), "title: Plans", "title: Their plans");
    std::fs::write(copy.join("secrets.txt"), "a file of no kind\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", copy.join("link")).unwrap();
    std::fs::write(copy.join("project.yaml"), "projectId: mrx-other\ncreatedAt: 2026-11-20T10:00:00.000Z\n")
        .unwrap();
    host.merge(&copy, "Ada's changes").await;
    retitle(&world, &both, json!({ "title": "Our plans" })).await;

    good(sync(&world).await);
    assert_eq!(chat_now(&world, &both).await["title"], "Our plans");
    let files = conflicts(&world).await;
    assert_eq!(files.len(), 1, "{files:?}");
    let text = &files[0].1;
    for part in [
        "field: title",
        "ours: Our plans",
        "theirs: Their plans",
        "base: Plans",
        "path: secrets.txt",
        "path: link",
        "path: project.yaml",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    is_the_same(&world, &host).await;
    let events = world.admin().get(&format!("/projects/{HELLO}/history")).await.expect(200);
    assert!(events.to_string().contains("remote.conflict"), "{events}");

    let schema: Value =
        serde_json::from_str(include_str!("../state-template/.mrx/schema/conflict.json")).unwrap();
    let value: Value = serde_yaml::from_str(text).unwrap();
    assert!(jsonschema::draft202012::new(&schema).unwrap().is_valid(&value), "{text}");

    // The branch has ours and the file; who has looked at it removes it there.
    assert_eq!(git(&copy, &["pull", "-q", "--ff-only", "origin", "mrx/state"]).await.text, "");
    assert!(!copy.join("link").exists() && !copy.join("secrets.txt").exists());
    std::fs::remove_dir_all(copy.join("conflicts")).unwrap();
    host.merge(&copy, "Looked at").await;
    good(sync(&world).await);
    assert!(conflicts(&world).await.is_empty());
    is_the_same(&world, &host).await;
}

#[tokio::test]
async fn what_was_brought_in_and_could_not_be_pushed_is_not_brought_in_again() {
    let (world, host) = with_remote().await;
    let one = chat(&world, "First").await;
    good(sync(&world).await);
    let copy = host.copy("ada").await;
    replace(&chat_file(&copy, &one), "title: First", "title: Theirs");
    host.merge(&copy, "A title").await;
    let hook = host.repo().join("hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\necho the branch is protected\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (code, body) = sync(&world).await;
    assert_eq!(code, 502, "{body}");
    let problem = status(&world).await["problem"].clone();
    assert_eq!(problem["code"], "refused");
    assert!(problem["message"].as_str().unwrap().contains("the branch is protected"), "{problem}");
    assert_eq!(chat_now(&world, &one).await["title"], "Theirs");
    // Somebody puts it back here; then the host takes pushes again.
    retitle(&world, &one, json!({ "title": "First" })).await;
    std::fs::remove_file(&hook).unwrap();
    good(sync(&world).await);
    assert_eq!(chat_now(&world, &one).await["title"], "First");
    assert!(conflicts(&world).await.is_empty());
    is_the_same(&world, &host).await;
}

#[tokio::test]
async fn a_branch_of_another_history_is_left_alone() {
    let (world, host) = (World::start().await, Host::begun().await);
    host.git(&["branch", "mrx/state", "main"]).await;
    set(&world, &host.url()).await;
    let (before, there) = (world.tip(HELLO).await, host.git(&["rev-parse", BRANCH]).await);
    let (code, _) = sync(&world).await;
    assert_eq!((code, &status(&world).await["problem"]["code"]), (502, &json!("unrelated")));
    assert_eq!((world.tip(HELLO).await, host.git(&["rev-parse", BRANCH]).await), (before, there));
}

#[tokio::test]
async fn a_remote_is_an_address_that_managers_set_and_daemons_call() {
    let world = World::start().await;
    for bad in [
        "https://me:key@example.org/x.git",
        "ssh://git@example.org/x.git",
        "ext::sh",
        "/srv/x.git",
        "https://example.org",
    ] {
        let remote = json!({ "remote": { "url": bad } });
        let answer = world.admin().patch(&format!("/projects/{HELLO}")).json(&remote).await;
        assert_eq!(answer.refused(422), "remoteAddress", "{bad}");
    }
    for bad in ["-x", "a..b", "a b", "x.lock"] {
        let remote = json!({ "remote": { "url": "https://example.org/x.git", "branch": bad } });
        let answer = world.admin().patch(&format!("/projects/{HELLO}")).json(&remote).await;
        assert_eq!(answer.refused(400), "badRequest", "{bad}");
    }
    assert_eq!(world.admin().post(&format!("/projects/{HELLO}/remote/sync")).await.refused(409), "noRemote");
}

#[tokio::test]
async fn the_credential_goes_through_a_pipe_to_the_hosts_that_the_operator_named_alone() {
    let (mut world, host) = (World::start().await, Host::begun().await);
    let server = Server::of(&host, &base64(&format!("x-access-token:{TOKEN}"))).await;
    let secret = json!({ "projectId": HELLO, "kind": "github", "value": TOKEN });
    world.admin().post("/admin/secrets").json(&secret).await.expect(201);
    set(&world, &format!("http://{}/state.git", server.address)).await;
    let (code, body) = sync(&world).await;
    assert_eq!(code, 502, "{body}");
    assert_eq!(status(&world).await["problem"]["code"], "unreachable");
    assert!(
        server.shown.lock().unwrap().iter().all(Option::is_none),
        "a host that nobody named is shown nothing"
    );

    let address = server.address.clone();
    world.reopen_with_credential_host(&address).await;
    let synced = good(sync(&world).await);
    assert_eq!(host.git(&["rev-parse", BRANCH]).await, world.tip(HELLO).await);
    assert!(!synced.to_string().contains(TOKEN));
    // A change on the host comes by the same way.
    let copy = host.copy("ada").await;
    std::fs::create_dir_all(copy.join("schedules")).unwrap();
    let schedule = "createdAt: 2026-11-01T00:00:00.000Z\ncron: 0 3 * * *\njobType: build\nname: nightly\n";
    std::fs::write(copy.join("schedules/nightly.yaml"), schedule).unwrap();
    host.merge(&copy, "A schedule").await;
    good(sync(&world).await);
    world.admin().get(&format!("/projects/{HELLO}/schedules/nightly")).await.expect(200);
    for file in world.files() {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let is_there = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
        assert!(!is_there, "the credential is in {}", file.display());
    }
    // The host is asked for it, and so a wrong one is told, without it.
    let rotate = json!({ "value": "ghp_another_one" });
    world.admin().post(&format!("/admin/secrets/{HELLO}/github/rotate")).json(&rotate).await.expect(200);
    let (code, body) = sync(&world).await;
    assert_eq!(code, 502, "{body}");
    assert!(!body.to_string().contains("ghp_another_one"), "{body}");
    assert!(host.folder().join("ada").is_dir());
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

async fn end_epoch(world: &World) -> String {
    world.clock.pass(PAUSE);
    let name = mrx::state::layout::RepoName::Project(HELLO.parse().unwrap());
    let kept = world.app().state.end_epoch(&name).await.unwrap().unwrap();
    world.clock.pass(PAUSE);
    kept.replace("refs/archive/", "refs/archive/mrx/state/")
}

#[tokio::test]
async fn a_remote_keeps_the_end_of_an_epoch_and_its_branch_goes_over_to_the_next() {
    let (world, host) = with_remote().await;
    chat(&world, "before").await;
    let end = world.tip(HELLO).await;
    let kept = end_epoch(&world).await;
    chat(&world, "after").await;
    let synced = good(sync(&world).await);
    assert_eq!(synced["remoteTip"], world.tip(HELLO).await);
    is_the_same(&world, &host).await;
    assert_eq!(host.git(&["rev-parse", &kept]).await, end);
    assert_eq!(host.git(&["rev-list", "--count", BRANCH]).await, "2");

    // What people change there on top of the new epoch comes back as ever.
    let title = chat(&world, "theirs").await;
    good(sync(&world).await);
    let copy = host.copy("copy").await;
    replace(&chat_file(&copy, &title), "title: theirs", "title: changed there");
    host.merge(&copy, "Change it").await;
    good(sync(&world).await);
    assert_eq!(chat_now(&world, &title).await["title"], "changed there");
    assert_eq!(host.git(&["for-each-ref", "refs/archive"]).await.lines().count(), 1);

    // A mirror of the remote is enough to bring both epochs back.
    let mirror = host.folder().join("mirror.git");
    let said = git(host.folder(), &["clone", "-q", "--mirror", "state.git", "mirror.git"]).await;
    assert!(said.ok, "{}", said.text);
    let data = mrx::state::layout::DataFolder::new(host.folder().join("restored"));
    mrx::backup::restore::restore(&mirror, data.path(), None).unwrap();
    let name = mrx::state::layout::RepoName::Project(HELLO.parse().unwrap());
    let repo = git2::Repository::open_bare(data.repo(&name)).unwrap();
    let archives = mrx::state::epoch::archives(&repo).unwrap();
    assert_eq!((archives.len(), archives[0].tip.to_string(), archives[0].number), (1, end, 1));
}

#[tokio::test]
async fn what_a_remote_changed_on_the_epoch_before_is_brought_in() {
    let (world, host) = with_remote().await;
    let title = chat(&world, "ours").await;
    good(sync(&world).await);
    let copy = host.copy("copy").await;
    let kept = end_epoch(&world).await;
    let other = chat(&world, "after").await;
    replace(&chat_file(&copy, &title), "title: ours", "title: changed there");
    host.merge(&copy, "Change it").await;
    for _ in 0..2 {
        good(sync(&world).await);
        assert_eq!(chat_now(&world, &title).await["title"], "changed there");
        assert_eq!(chat_now(&world, &other).await["title"], "after");
        is_the_same(&world, &host).await;
        retitle(&world, &other, json!({ "title": "after" })).await;
    }
    assert!(!host.git(&["rev-parse", &kept]).await.is_empty());
}

#[tokio::test]
async fn a_remote_that_only_moves_forward_gets_a_commit_that_leads_to_both_epochs() {
    let (world, host) = with_remote().await;
    host.git(&["config", "receive.denyNonFastForwards", "true"]).await;
    let kept = end_epoch(&world).await;
    for title in ["one", "two"] {
        chat(&world, title).await;
        good(sync(&world).await);
        is_the_same(&world, &host).await;
        host.git(&["merge-base", "--is-ancestor", &kept, BRANCH]).await;
    }
}

fn segment_file(copy: &Path, chat: &str, first: u64) -> PathBuf {
    chat_file(copy, chat).with_file_name("messages").join(format!("{first:06}.yaml"))
}

async fn say(world: &World, chat: &str, text: &str) {
    let path = format!("/projects/{HELLO}/chats/{chat}/messages");
    world.admin().post(&path).json(&json!({ "text": text })).await.expect(201);
}

/// What was said in a chat, with its numbers.
async fn said(world: &World, chat: &str) -> Vec<(u64, String)> {
    let page = world.admin().get(&format!("/projects/{HELLO}/chats/{chat}/messages")).await.expect(200);
    let one = |message: &Value| {
        (message["number"].as_u64().unwrap(), message["parts"][0]["text"].as_str().unwrap().to_owned())
    };
    page["messages"].as_array().unwrap().iter().map(one).collect()
}

/// A message as a person writes it into a segment.
fn message(number: u64, text: &str, minute: u32) -> String {
    format!(
        "- number: {number}\n  role: user\n  author:\n    kind: user\n    name: ada\n  parts:\n  - type: text\n    text: {text}\n  createdAt: 2026-11-20T09:{minute:02}:00.000Z\n"
    )
}

#[tokio::test]
async fn a_chat_that_is_new_on_the_host_comes_in_with_its_messages() {
    let (world, host) = with_remote().await;
    let model = chat(&world, "Model").await;
    good(sync(&world).await);
    let copy = host.copy("ada").await;
    let new = "chat-01jd000000000000000000007k";
    std::fs::create_dir_all(segment_file(&copy, new, 1).parent().unwrap()).unwrap();
    let file = std::fs::read_to_string(chat_file(&copy, &model)).unwrap().replace(&model, new);
    let file = file.replace("title: Model", "title: From there");
    let file = file.replace("messages: 0", "messages: 2").replace("lastSegment: 0", "lastSegment: 1");
    std::fs::write(chat_file(&copy, new), &file).unwrap();
    let segment =
        format!("chatId: {new}\nmessages:\n{}{}", message(1, "Hello", 1), message(2, "Anybody?", 2));
    std::fs::write(segment_file(&copy, new, 1), segment).unwrap();
    // One whose file counts what is not there is no chat.
    let odd = "chat-01jd000000000000000000008k";
    std::fs::create_dir_all(chat_file(&copy, odd).parent().unwrap()).unwrap();
    std::fs::write(chat_file(&copy, odd), file.replace(new, odd)).unwrap();
    host.merge(&copy, "A chat").await;

    good(sync(&world).await);
    assert_eq!(chat_now(&world, new).await["title"], "From there");
    assert_eq!(said(&world, new).await, [(1, "Hello".to_owned()), (2, "Anybody?".to_owned())]);
    let files = conflicts(&world).await;
    assert!(files.len() == 1 && files[0].1.contains(odd) && !files[0].1.contains(new), "{files:?}");
    let gone = world.admin().get(&format!("/projects/{HELLO}/chats/{odd}")).await;
    assert_eq!(gone.refused(404), "chatUnknown");
    say(&world, new, "Here I am").await;
    assert_eq!(said(&world, new).await[2].0, 3);
    good(sync(&world).await);
    is_the_same(&world, &host).await;
}

#[tokio::test]
async fn what_was_said_on_both_sides_is_kept_and_nothing_that_was_said_changes() {
    let (world, host) = with_remote().await;
    let (both, forged) = (chat(&world, "Plans").await, chat(&world, "Notes").await);
    say(&world, &both, "First").await;
    say(&world, &forged, "Mine").await;
    good(sync(&world).await);
    let copy = host.copy("ada").await;
    let file = segment_file(&copy, &both, 1);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + &message(2, "Later there", 5) + &message(3, "Earlier there", 4)).unwrap();
    replace(&chat_file(&copy, &both), "messages: 1", "messages: 3");
    replace(&chat_file(&copy, &both), "title: Plans", "title: Their plans");
    replace(&segment_file(&copy, &forged, 1), "text: Mine", "text: Never said");
    replace(&chat_file(&copy, &forged), "title: Notes", "title: Forged");
    host.merge(&copy, "What Ada says").await;
    say(&world, &both, "Second").await;

    good(sync(&world).await);
    let wanted = [(1, "First"), (2, "Second"), (3, "Earlier there"), (4, "Later there")];
    assert_eq!(said(&world, &both).await, wanted.map(|(number, text)| (number, text.to_owned())));
    let now = chat_now(&world, &both).await;
    assert_eq!((&now["title"], &now["messages"]), (&json!("Their plans"), &json!(4)));
    assert!(now["lastJob"].is_string(), "the job that answers is as it was");
    assert_eq!(said(&world, &forged).await, [(1, "Mine".to_owned())]);
    let files = conflicts(&world).await;
    assert!(files.len() == 1 && files[0].1.contains(&forged) && !files[0].1.contains(&both), "{files:?}");
    is_the_same(&world, &host).await;
    let before = world.tip(HELLO).await;
    good(sync(&world).await);
    assert_eq!(world.tip(HELLO).await, before, "and not again");
}
