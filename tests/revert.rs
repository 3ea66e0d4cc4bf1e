//! Putting one thing back to what it was: as a new commit, by the rules of today, and without leases or secrets.

use serde_json::{Value, json};

use crate::world::{Answer, HELLO, World, seconds};

async fn revert(world: &World, body: Value) -> Answer {
    world.admin().post(&format!("/projects/{HELLO}/revert")).json(&body).await
}

async fn preview(world: &World, body: &Value) -> Value {
    let tip = world.tip(HELLO).await;
    let told =
        world.admin().post(&format!("/projects/{HELLO}/revert?dryRun=true")).json(body).await.expect(200);
    assert_eq!(world.tip(HELLO).await, tip, "a preview changes nothing");
    told
}

/// What it would do is what it does.
async fn reverted(world: &World, body: Value) -> Value {
    let would = preview(world, &body).await;
    let answer = revert(world, body).await;
    let did = answer.expect(200);
    assert_eq!((&did["entities"], &did["files"]), (&would["entities"], &would["files"]));
    assert_eq!(answer.header("mrx-commit"), world.tip(HELLO).await);
    did
}

async fn last_event(world: &World) -> Value {
    world.published(HELLO).await;
    world.admin().get(&format!("/projects/{HELLO}/history?limit=1")).await.expect(200)["commits"][0].clone()
}

fn field(did: &Value, name: &str) -> Value {
    let fields = did["entities"][0]["fields"].as_array().unwrap();
    fields.iter().find(|field| field["field"] == name).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_job_that_was_held_then_waits_again_and_is_claimed_as_its_next_attempt() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    builder.say(&held, json!({ "state": "running" })).await.expect(200);
    let then = world.tip(HELLO).await;
    let refused = revert(&world, json!({ "id": job, "to": then })).await;
    assert_eq!(refused.status, 200, "it is as it was: {}", refused.text());
    builder.say(&held, json!({ "progress": "half" })).await.expect(200);
    let refused = revert(&world, json!({ "id": job, "to": then })).await;
    assert_eq!(refused.refused(409), "revertRefused");
    assert!(refused.text().contains("cancel it first"), "{}", refused.text());
    let failure = json!({ "code": "stepFailed", "message": "no" });
    builder.say(&held, json!({ "state": "failed", "failure": failure })).await.expect(200);

    let did = reverted(&world, json!({ "id": job, "to": then })).await;
    assert_eq!((&did["kind"], &did["id"], &did["to"]), (&json!("job"), &json!(job), &json!(then)));
    assert_eq!(field(&did, "state"), json!({ "field": "state", "from": "failed", "to": "pending" }));
    assert_eq!(field(&did, "lease"), Value::Null);
    let event = last_event(&world).await;
    assert_eq!((&event["event"], &event["actor"]), (&json!("job.reverted"), &json!("operator operator")));
    // The agent of then has nothing any more, and the next one has a lease of its own.
    assert_eq!(builder.say(&held, json!({ "progress": "x" })).await.refused(409), "jobLeaseStale");
    let again = world.agent("builder-2").claim().await;
    assert_eq!((again.id.as_str(), &again.job["attempt"]), (job.as_str(), &json!(2)));
    assert_ne!(again.lease, held.lease);
}

#[tokio::test]
async fn a_job_that_was_cancelled_is_put_back_and_a_retry_is_undone() {
    let mut world = World::start().await;
    let job = world.queue("build").await;
    let waiting = world.tip(HELLO).await;
    world.admin().post(&format!("/jobs/{job}/cancel")).await.expect(200);
    let cancelled = world.tip(HELLO).await;
    world.clock.pass(seconds(24 * 3600));
    reverted(&world, json!({ "id": job, "to": waiting })).await;
    assert_eq!(world.state(&job).await, "pending");
    let path = format!("jobs/done/2026-11-20/{}/{}/{}/{job}.yaml", &job[27..28], &job[28..29], &job[29..30]);
    assert_eq!(world.file(HELLO, &path).await, None, "it moved");
    // By its path of then it is the same job.
    reverted(&world, json!({ "path": path, "to": cancelled })).await;
    assert_eq!(world.state(&job).await, "cancelled");
    assert!(world.file(HELLO, &path).await.is_some());
    let tip = world.tip(HELLO).await;
    let same = revert(&world, json!({ "id": job, "to": tip })).await.expect(200);
    assert_eq!((&same["entities"], world.tip(HELLO).await), (&json!([]), tip), "nothing to do");
    world.restart().await;
    assert_eq!(world.state(&job).await, "cancelled");
}

#[tokio::test]
async fn a_removed_chat_comes_back_whole_and_a_grown_one_shrinks() {
    let world = World::start().await;
    let chats = format!("/projects/{HELLO}/chats");
    let first = json!({ "message": { "text": "one" } });
    let chat = world.admin().post(&chats).json(&first).await.expect(201);
    let id = chat["chatId"].as_str().unwrap().to_owned();
    let path = format!("{chats}/{id}");
    let say = async |text: &str| {
        world.admin().post(&format!("{path}/messages")).json(&json!({ "text": text })).await.expect(201)
    };
    for number in 2..=40 {
        say(&format!("message {number}")).await;
    }
    let messages = async || world.admin().get(&format!("{path}/messages?limit=200")).await.expect(200);
    let (then, was, meta) =
        (world.tip(HELLO).await, messages().await, world.admin().get(&path).await.expect(200));
    for number in 41..=80 {
        say(&format!("message {number}")).await;
    }
    reverted(&world, json!({ "id": id, "to": then })).await;
    assert_eq!((messages().await, world.admin().get(&path).await.expect(200)), (was.clone(), meta.clone()));
    assert_eq!(say("again").await["number"], 41, "it goes on where it was");
    assert_eq!(world.admin().delete(&path).await.status, 204);
    let did = reverted(&world, json!({ "id": id, "to": then })).await;
    assert_eq!((&did["entities"][0]["change"], did["files"].as_array().unwrap().len()), (&json!("added"), 3));
    assert_eq!((messages().await, world.admin().get(&path).await.expect(200)), (was, meta));
    assert_eq!(last_event(&world).await["event"], "chat.reverted");
}

#[tokio::test]
async fn prompts_and_schedules_and_webhooks_are_put_back_by_their_own_rules() {
    let world = World::start().await;
    let of = |rest: &str| format!("/projects/{HELLO}{rest}");
    let admin = world.admin();
    admin.put(&of("/prompt")).json(&json!({ "text": "Be brief" })).await.expect(200);
    let schedule = json!({ "name": "nightly", "cron": "0 11 * * *", "jobType": "build" });
    admin.post(&of("/schedules")).json(&schedule).await.expect(201);
    let hook = json!({ "url": "http://127.0.0.1:9/x", "events": ["job.x"] });
    let hook = admin.post(&of("/webhooks")).json(&hook).await.expect(201);
    let hook = hook["webhookId"].as_str().unwrap();
    let sealed = async || {
        let file = world.file(HELLO, &format!("webhooks/{hook}.yaml")).await.unwrap();
        serde_yaml::from_str::<Value>(&file).unwrap()["sealedSecret"].clone()
    };
    let then = world.tip(HELLO).await;
    admin.put(&of("/prompt")).json(&json!({ "text": "Be long" })).await.expect(200);
    assert_eq!(admin.delete(&of("/schedules/nightly")).await.status, 204);
    let patch = json!({ "events": ["chat.*"], "rotateSecret": true });
    admin.patch(&of(&format!("/webhooks/{hook}"))).json(&patch).await.expect(200);
    let secret = sealed().await;
    world.clock.pass(seconds(2 * 24 * 3600));

    reverted(&world, json!({ "id": "prompt", "to": then })).await;
    assert_eq!(admin.get(&of("/prompt")).await.expect(200)["text"], "Be brief");
    reverted(&world, json!({ "path": "schedules/nightly.yaml", "to": then })).await;
    assert_eq!(world.app().schedules.run_due().await, 0, "what was missed is not made up for");
    assert_eq!(
        admin.get(&of("/schedules/nightly")).await.expect(200)["nextRunAt"],
        "2026-11-22T11:00:00.000Z"
    );
    reverted(&world, json!({ "id": hook, "to": then })).await;
    assert_eq!(admin.get(&of(&format!("/webhooks/{hook}"))).await.expect(200)["events"], json!(["job.x"]));
    assert_eq!(sealed().await, secret, "the secret is that of now");
    admin.delete(&of(&format!("/webhooks/{hook}"))).await.expect(200);
    let refused = revert(&world, json!({ "id": hook, "to": then })).await;
    assert_eq!(refused.refused(409), "revertRefused");
    assert!(refused.text().contains("its secret is gone"), "{}", refused.text());
}

#[tokio::test]
async fn an_artifacts_entry_comes_back_while_its_bytes_are_there() {
    let world = World::start().await;
    let artifacts = format!("/projects/{HELLO}/artifacts");
    let upload = world.admin().post(&format!("{artifacts}?name=a.txt")).body(b"hello".to_vec()).await;
    let entry = upload.expect(201);
    let id = entry["artifactId"].as_str().unwrap();
    let then = world.tip(HELLO).await;
    let path = format!("{artifacts}/{id}");
    world.admin().delete(&path).await.expect(200);
    reverted(&world, json!({ "id": id, "to": then })).await;
    assert_eq!(world.admin().get(&path).await.expect(200), entry);
    assert_eq!(world.admin().get(&format!("{path}/content")).await.body, b"hello");
    // The sweep that was about to remove them finds the entry again.
    world.app().artifacts.sweep(world.app().projects.registry()).await.unwrap();
    assert_eq!(world.admin().get(&format!("{path}/content")).await.body, b"hello");
    world.admin().delete(&path).await.expect(200);
    assert_eq!(world.app().artifacts.sweep(world.app().projects.registry()).await.unwrap(), 1);
    let refused = revert(&world, json!({ "id": id, "to": then })).await;
    assert_eq!(refused.refused(409), "revertRefused");
    assert!(refused.text().contains("are gone"), "{}", refused.text());
}

#[tokio::test]
async fn what_must_not_come_back_is_refused_and_nothing_changes() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let secret = |value: &str| json!({ "projectId": HELLO, "name": "github", "value": value });
    let before = world.tip(HELLO).await;
    world.admin().post("/admin/secrets").json(&secret("an-old-value-of-it")).await.expect(201);
    let then = world.tip(HELLO).await;
    world.admin().post("/admin/secrets").json(&secret("a-new-value-of-it")).await.expect(201);
    let later = world.queue("build").await;
    let tip = world.tip(HELLO).await;
    for path in ["secrets/github.yaml", "secrets/github.age"] {
        assert_eq!(revert(&world, json!({ "path": path, "to": then })).await.refused(409), "revertRefused");
    }
    for (id, to) in [(&later, &then), (&job, &world.tip("platform").await), (&job, &"1".repeat(40))] {
        let code = revert(&world, json!({ "id": id, "to": to })).await.refused(404);
        assert_eq!(code, if to == &then { "notThere" } else { "commitUnknown" });
    }
    assert_eq!(
        revert(&world, json!({ "path": "secrets/github.yaml", "to": before })).await.refused(404),
        "notThere"
    );
    for bad in [
        json!({ "to": then }),
        json!({ "id": job }),
        json!({ "id": job, "path": "project.yaml", "to": then }),
        json!({ "id": "nightly", "to": then }),
        json!({ "path": "README.md", "to": then }),
        json!({ "path": "../x", "to": then }),
        json!({ "id": job, "to": "HEAD" }),
        json!({ "id": job, "to": then, "force": true }),
    ] {
        assert_eq!(revert(&world, bad.clone()).await.refused(400), "badRequest", "{bad}");
    }
    assert_eq!(world.tip(HELLO).await, tip);
    world.admin().delete(&format!("/projects/{HELLO}")).await.expect(200);
    assert_eq!(revert(&world, json!({ "id": job, "to": then })).await.refused(409), "projectTrashed");
}
