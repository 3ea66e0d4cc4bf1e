//! Stories of patches: the real agent program changes the code of the forge.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::answer::model_that_says;
use crate::code::push;
use crate::remote::host::{Host, Server};
use crate::world::{HELLO, World, git};

async fn patched(world: &World, payload: Value) -> Value {
    let job = world.queue_with(json!({ "jobType": "patch", "payload": payload })).await;
    world.ended(&job).await
}

fn diff(from: &str, to: &str) -> String {
    format!("--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-{from}\n+{to}\n three\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_diff_becomes_a_commit_on_a_branch_and_a_conflict_says_where() {
    let world = World::start().await;
    let base = push(&world, "main", &[("a.txt", "one\ntwo\nthree\n")]);
    let _worker = world.worker().await;
    let job = patched(&world, json!({ "diff": diff("two", "2"), "message": "Use digits" })).await;
    assert_eq!((&job["state"], &job["result"]["base"]), (&json!("completed"), &json!(base)), "{job}");
    let repo = git2::Repository::open_bare(world.code_of(HELLO)).unwrap();
    let branch = format!("refs/heads/{}", job["result"]["branch"].as_str().unwrap());
    assert!(branch.starts_with("refs/heads/mrx/patch-"), "{branch}");
    let commit = repo.find_reference(&branch).unwrap().peel_to_commit().unwrap();
    assert_eq!(commit.id().to_string(), job["result"]["commit"].as_str().unwrap());
    assert_eq!(commit.parent_id(0).unwrap().to_string(), base);
    assert_eq!(commit.summary().unwrap(), Some("Use digits"));
    let blob = commit.tree().unwrap().get_name("a.txt").unwrap().id();
    assert_eq!(repo.find_blob(blob).unwrap().content(), b"one\n2\nthree\n");

    let job = patched(&world, json!({ "diff": diff("zwei", "2") })).await;
    assert_eq!(job["failure"]["code"], "patchConflict", "{job}");
    assert_eq!(job["failure"]["details"]["files"], json!([{ "path": "a.txt", "hunks": [1] }]));

    let link = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n";
    for payload in [
        json!({ "diff": link }),
        json!({ "diff": diff("two", "2").replace("a.txt", "../a.txt") }),
        json!({ "diff": diff("two", "2"), "branch": "--force" }),
        json!({ "diff": diff("two", "2"), "odd": 1 }),
    ] {
        let job = patched(&world, payload.clone()).await;
        assert_eq!(job["failure"]["code"], "patchInvalid", "{payload}: {job}");
    }
    assert_eq!(repo.references().unwrap().count(), 2, "nothing else was pushed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instruction_becomes_a_diff_of_the_projects_model_that_is_held_to_the_same_rules() {
    let world = World::start().await;
    push(&world, "main", &[("a.txt", "one\ntwo\nthree\n"), ("b.txt", "other\n")]);
    let (model, asked) = model_that_says(vec![
        format!("Here:\n```diff\n{}```\n", diff("two", "2").replace("@@ -1,3 +1,3 @@", "@@ -1,9 +1,7 @@")),
        "I would rather not.".to_owned(),
        format!("```diff\n{}```\n", diff("two", "2").replace("a.txt", "../a.txt")),
    ])
    .await;
    let _worker = world.worker().await;
    let order = json!({ "instruction": "Use a digit in a.txt", "message": "Use digits" });
    let job = patched(&world, order.clone()).await;
    assert_eq!(job["failure"]["code"], "modelUnset", "{job}");
    world.model(&model, "tiny", "canary-key-of-the-model").await;
    let job = patched(&world, order.clone()).await;
    assert_eq!(job["state"], "completed", "{job}");
    let repo = git2::Repository::open_bare(world.code_of(HELLO)).unwrap();
    let branch = format!("refs/heads/{}", job["result"]["branch"].as_str().unwrap());
    let tree = repo.find_reference(&branch).unwrap().peel_to_tree().unwrap();
    let text = |name: &str| repo.find_blob(tree.get_name(name).unwrap().id()).unwrap().content().to_vec();
    assert_eq!((text("a.txt"), text("b.txt")), (b"one\n2\nthree\n".to_vec(), b"other\n".to_vec()));
    let question = asked.lock().await[0]["messages"][1]["content"].as_str().unwrap().to_owned();
    assert!(question.contains("Use a digit") && question.contains("=== a.txt\none\ntwo"), "{question}");
    assert_eq!(patched(&world, order.clone()).await["failure"]["code"], "modelFailed");
    assert_eq!(patched(&world, order).await["failure"]["code"], "patchInvalid");
    for bad in
        [json!({ "instruction": " " }), json!({ "instruction": "x", "diff": diff("two", "2") }), json!({})]
    {
        assert_eq!(patched(&world, bad).await["failure"]["code"], "patchInvalid");
    }
}

/// The project's code is at this address from now on, as if the forge had said so.
async fn move_code(world: &mut World, url: &str) {
    world.published("platform").await;
    world.close().await;
    let path = format!("projects/{HELLO}.yaml");
    let file = world.file_of("platform", &path);
    let moved: Vec<String> = file
        .lines()
        .map(|line| if line.starts_with("repo:") { format!("repo: {url}") } else { line.to_owned() })
        .collect();
    world.commit_by_hand("platform", &[(&path, moved.join("\n").as_bytes())]);
    world.open().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_behind_a_credential_is_fetched_and_pushed_with_the_projects_secret_which_is_nowhere_else() {
    let mut world = World::start().await;
    let host = Host::empty().await;
    let copy = host.folder().join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::write(copy.join("a.txt"), "one\ntwo\nthree\n").unwrap();
    for arguments in [
        &["init", "-q", "--initial-branch=main"][..],
        &["add", "a.txt"],
        &["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "Begin"],
        &["push", "-q", "../state.git", "main"],
    ] {
        assert!(git(&copy, arguments).await.ok, "{arguments:?}");
    }
    let token = "canary-token-of-the-code";
    let server = Server::of(&host, &BASE64.encode(format!("x-access-token:{token}"))).await;
    move_code(&mut world, &format!("http://{}/state.git", server.address)).await;
    let _worker = world.worker().await;
    let order = json!({ "diff": diff("two", "2"), "branch": "digits", "message": "Use digits" });
    let job = patched(&world, order.clone()).await;
    assert_eq!(job["failure"]["code"], "codeUnavailable", "there is no credential: {job}");
    let secret = json!({ "projectId": HELLO, "name": "github", "value": token });
    world.admin().post("/admin/secrets").json(&secret).await.expect(201);
    let job = patched(&world, order).await;
    assert_eq!(job["state"], "completed", "{job}");
    assert_eq!(host.git(&["rev-parse", "digits"]).await, job["result"]["commit"].as_str().unwrap());
    assert_eq!(host.git(&["show", "digits:a.txt"]).await, "one\n2\nthree");
    assert_eq!(host.git(&["log", "-1", "--format=%cn", "digits"]).await, "MrX");
    let log = world.admin().get(&format!("/jobs/{}/logs", job["jobId"].as_str().unwrap())).await.text();
    assert!(!log.contains(token) && !job.to_string().contains(token), "{log}");
}
