//! GitHub's webhooks: a delivery counts only with its signature, once, and as a hint.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use mrx::clock::{Clock, Time};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::github::{ACME, StandIn};
use crate::world::{Answer, Call, WEBHOOK_SECRET, World};

async fn world() -> (World, Arc<StandIn>) {
    let start: Time = "2026-11-20T10:00:00.000Z".parse().unwrap();
    let clock = Clock::by_hand(start);
    let hub = Arc::new(StandIn::start(clock.clone()).await);
    let github = hub.with_token(&clock, &[ACME]);
    (World::with_github(clock, github).await, hub)
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// A delivery as GitHub sends it, but for its signature.
fn unsigned(world: &World, event: &str, id: &str, body: &str) -> Call {
    let call = world.stranger().post("/webhooks/github").text_as_json(body.to_owned());
    call.header("X-GitHub-Event", event).header("X-GitHub-Delivery", id)
}

async fn deliver(world: &World, event: &str, id: &str, payload: &Value) -> Answer {
    let body = payload.to_string();
    let sum = signature(WEBHOOK_SECRET, body.as_bytes());
    unsigned(world, event, id, &body).header("X-Hub-Signature-256", &sum).await
}

fn push(repository: u64, branch: &str, commit: char) -> Value {
    let after = commit.to_string().repeat(40);
    json!({ "ref": format!("refs/heads/{branch}"), "after": after, "repository": { "id": repository } })
}

#[tokio::test]
async fn a_delivery_without_the_right_signature_has_no_effect() {
    let (world, hub) = world().await;
    let id = hub.add("mrx-a");
    world.look_at_forge().await;
    let before = world.tip("mrx-a").await;
    let body = push(id, "main", 'a').to_string();
    let right = signature(WEBHOOK_SECRET, body.as_bytes());
    for wrong in [
        None,
        Some(signature("another secret", body.as_bytes())),
        Some(signature(WEBHOOK_SECRET, b"another body")),
        Some(right.replace("sha256=", "sha1=")),
        Some(right[..40].to_owned()),
        Some("sha256=".to_owned() + &"z".repeat(64)),
    ] {
        let mut call = unsigned(&world, "push", "one", &body);
        if let Some(wrong) = &wrong {
            call = call.header("X-Hub-Signature-256", wrong);
        }
        assert_eq!(call.await.refused(401), "signatureWrong", "{wrong:?}");
    }
    // What is not signed is not even read: no JSON at all is the same refusal.
    let nonsense = unsigned(&world, "push", "one", "{{{{").header("X-Hub-Signature-256", &right).await;
    assert_eq!(nonsense.refused(401), "signatureWrong");
    assert_eq!(world.tip("mrx-a").await, before);
    // And the same delivery counts when it is signed.
    assert_eq!(deliver(&world, "push", "one", &push(id, "main", 'a')).await.expect(200)["status"], "done");
    assert_ne!(world.tip("mrx-a").await, before);
}

#[tokio::test]
async fn without_a_secret_no_delivery_is_taken() {
    let world = World::start().await;
    assert_eq!(deliver(&world, "ping", "one", &json!({})).await.refused(503), "webhookOff");
}

#[tokio::test]
async fn a_delivery_that_is_not_as_githubs_is_refused() {
    let (world, _hub) = world().await;
    let signed = |call: Call, body: &str| {
        call.header("X-Hub-Signature-256", &signature(WEBHOOK_SECRET, body.as_bytes()))
    };
    let bare = world.stranger().post("/webhooks/github").text_as_json("{}");
    assert_eq!(signed(bare, "{}").await.refused(400), "badRequest");
    let deep = "[".repeat(100_000);
    assert_eq!(signed(unsigned(&world, "push", "two", &deep), &deep).await.refused(400), "badRequest");
    let form = world.stranger().post("/webhooks/github").body("payload={}").header("X-GitHub-Event", "push");
    let form =
        form.header("X-GitHub-Delivery", "3").header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(signed(form, "payload={}").await.refused(415), "notJson");
    let large = format!("\"{}\"", "x".repeat(2 << 20));
    assert_eq!(signed(unsigned(&world, "push", "four", &large), &large).await.status, 202, "2 MiB are taken");
    let larger = "x".repeat((25 << 20) + 1);
    assert_eq!(signed(unsigned(&world, "push", "five", &larger), &larger).await.refused(413), "tooLarge");
}

#[tokio::test]
async fn a_push_to_the_default_branch_is_recorded_once() {
    let (mut world, hub) = world().await;
    let id = hub.add("mrx-a");
    world.look_at_forge().await;
    assert_eq!(deliver(&world, "push", "one", &push(id, "main", 'a')).await.expect(200)["status"], "done");
    let recorded = world.tip("mrx-a").await;
    assert_eq!(deliver(&world, "push", "one", &push(id, "main", 'b')).await.expect(200)["status"], "known");
    assert_eq!(deliver(&world, "push", "two", &push(id, "main", 'a')).await.expect(200)["status"], "done");
    assert_eq!(deliver(&world, "push", "three", &push(id, "side", 'c')).await.expect(200)["status"], "done");
    assert_eq!(deliver(&world, "push", "four", &push(4, "main", 'c')).await.expect(202)["status"], "ignored");
    assert_eq!(world.tip("mrx-a").await, recorded, "nothing new was said");
    world.restart().await;
    deliver(&world, "push", "one", &push(id, "main", 'b')).await.expect(200);
    assert_eq!(world.tip("mrx-a").await, recorded, "a repeat is known from the commits after a restart");
    let log = world.log_of("mrx-a").await;
    assert_eq!(log.last().unwrap(), "github: code: main is at aaaaaaaaaa");
    assert!(world.file("mrx-a", "code.yaml").await.unwrap().contains(&"a".repeat(40)));
}

#[tokio::test]
async fn a_workflows_run_is_recorded_and_an_older_word_of_it_is_not() {
    let (world, hub) = world().await;
    let id = hub.add("mrx-a");
    world.look_at_forge().await;
    let run = |status: &str, conclusion: Value, minute: u32| {
        json!({ "action": status, "repository": { "id": id }, "workflow_run": {
            "id": 77, "name": "CI", "status": status, "conclusion": conclusion, "head_branch": "main",
            "head_sha": "b".repeat(40), "updated_at": format!("2026-11-20T10:{minute:02}:00Z"),
        } })
    };
    deliver(&world, "workflow_run", "one", &run("queued", Value::Null, 1)).await.expect(200);
    deliver(&world, "workflow_run", "three", &run("completed", json!("success"), 5)).await.expect(200);
    deliver(&world, "workflow_run", "two", &run("in_progress", Value::Null, 3)).await.expect(200);
    let log = world.log_of("mrx-a").await;
    assert_eq!(log[1..], ["github: workflow CI 77: queued", "github: workflow CI 77: success"]);
    assert!(world.file("mrx-a", "code.yaml").await.unwrap().contains("conclusion: success"));
}

#[tokio::test]
async fn a_change_of_repositories_is_a_hint_to_look_and_is_not_believed() {
    let (world, hub) = world().await;
    world.look_at_forge().await;
    let syncer = world.app().syncer.clone();
    let listener = async {
        hub.add("mrx-a");
        let payload = json!({ "action": "created", "repository": { "id": 5, "name": "mrx-forged" } });
        assert_eq!(deliver(&world, "repository", "one", &payload).await.expect(202)["status"], "syncing");
        while world.app().projects.registry().names().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        () = syncer.follow() => unreachable!("it follows for ever"),
        () = listener => {}
    }
    let names: Vec<String> =
        world.app().projects.registry().names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["mrx-a"], "what the delivery says is not believed");
}

/// The payloads of the package `@octokit/webhooks-examples`, from the git object that they are kept in.
fn examples() -> Vec<(String, Vec<Value>)> {
    let folder = tempfile::tempdir().unwrap();
    let repo = git2::Repository::init_bare(folder.path()).unwrap();
    let id = include_str!("fixtures/github/webhooks-examples.id").trim();
    let place = folder.path().join("objects").join(&id[..2]);
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join(&id[2..]), include_bytes!("fixtures/github/webhooks-examples.blob")).unwrap();
    let blob = repo.find_blob(id.parse().unwrap()).unwrap();
    let events: Vec<Value> = serde_json::from_slice(blob.content()).unwrap();
    let event = |event: Value| {
        let examples = event["examples"].as_array().unwrap().clone();
        (event["event"].as_str().unwrap().to_owned(), examples)
    };
    events.into_iter().map(event).collect()
}

#[tokio::test]
async fn every_example_of_githubs_payloads_is_taken() {
    let (world, hub) = world().await;
    world.look_at_forge().await;
    let events = examples();
    assert_eq!((events.len(), events.iter().map(|(_, examples)| examples.len()).sum::<usize>()), (58, 329));
    // The repository that most of them are about is a project, so that they have something to change.
    let hello_world = 186_853_002;
    let id = hub.add("mrx-hello-world");
    hub.change(id, |found| found.id = hello_world);
    world.look_at_forge().await;
    let mut recorded = 0;
    for (event, examples) in events {
        for (number, payload) in examples.iter().enumerate() {
            let answer = deliver(&world, &event, &format!("{event}-{number}"), payload).await;
            assert!((200..300).contains(&answer.status), "{event} {number}: {}", answer.text());
            recorded += u32::from(answer.json()["status"] == "done");
        }
    }
    assert!(recorded > 0, "some of them are of this repository");
    world.stranger().get("/health").await.expect(200);
}
