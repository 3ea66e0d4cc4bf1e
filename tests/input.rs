//! What is not understood is refused in one shape, with nothing changed.

use serde_json::{Value, json};

use crate::world::{HELLO, Held, World};

/// A deep JSON value.
fn deep(levels: usize) -> String {
    format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
}

async fn tips(world: &World) -> (String, String) {
    (world.tip(HELLO).await, world.tip("platform").await)
}

#[tokio::test]
async fn a_body_that_is_not_as_it_must_be_changes_nothing() {
    let world = World::start().await;
    world.any_agent().get("/auth/me").await.expect(200);
    world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    let before = tips(&world).await;
    let create = |rest: &str| format!(r#"{{"projectId":"{HELLO}","jobType":"build"{rest}}}"#);
    let bodies = [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        "{}".to_owned(),
        "\u{feff}{}".to_owned(),
        "{}{}".to_owned(),
        create(r#","jobtype":"chat""#),
        create(r#","state":"completed""#),
        create(r#","jobType":"build""#),
        create(r#","priority":"1""#),
        create(r#","priority":1.5"#),
        create(r#","priority":128"#),
        create(r#","priority":null"#),
        create(r#","timeoutSeconds":0"#),
        create(r#","timeoutSeconds":-1"#),
        create(r#","timeoutSeconds":604801"#),
        create(r#","labels":"linux""#),
        create(r#","labels":["Linux"]"#),
        create(r#","labels":["a/b"]"#),
        create(&format!(r#","labels":["{}"]"#, "a\",\"".repeat(40))),
        create(r#","payload":[]"#),
        create(r#","payload":"x""#),
        create(r#","payload":{"ref":"main","ref":"other"}"#),
        create(r#","payload":{"ref":1}"#),
        create(r#","payload":{"ref":"--upload-pack=x"}"#),
        create(r#","payload":{"ref":"a..b"}"#),
        create(r#","payload":{"command":"x"}"#),
        create(r#","payload":{"ref":"a\u0000b"}"#),
        create(&format!(r#","payload":{{"ref":"{}"}}"#, "a".repeat(201))),
        format!(r#"{{"projectId":["{HELLO}"],"jobType":"build"}}"#),
        r#"{"projectId":"../x","jobType":"build"}"#.to_owned(),
        format!(r#"{{"projectId":"{HELLO}","jobType":"deploy"}}"#),
        format!(r#"{{"projectId":"{HELLO}","jobType":"chat","payload":{{"a":{}}}}}"#, deep(40)),
        format!(r#"{{"projectId":"{HELLO}","jobType":"chat","payload":{{"a":{}}}}}"#, deep(100_000)),
    ];
    for body in bodies {
        let answer = world.admin().post("/jobs/create").text_as_json(body.clone()).await;
        assert_eq!(answer.refused(400), "badRequest", "{}", body.chars().take(200).collect::<String>());
    }
    for body in [
        json!([]),
        json!({ "agentId": "A" }),
        json!({ "agentId": "a", "wait": 61 }),
        json!({ "agentId": "a", "wait": -1 }),
        json!({ "agentId": "a", "wait": "30" }),
        json!({ "agentId": "a", "types": ["deploy"] }),
        json!({ "agentId": "a", "availableUntil": "tomorrow" }),
        json!({ "agentId": "a", "labels": [1] }),
        json!({ "agentId": { "a": 1 } }),
        json!({ "agentId": "a", "admin": true }),
    ] {
        assert_eq!(
            world.any_agent().post("/jobs/claim").json(&body).await.refused(400),
            "badRequest",
            "{body}"
        );
    }
    for body in [
        json!({ "state": "pending" }),
        json!({ "state": "claimed" }),
        json!({ "state": "done" }),
        json!({ "state": "failed" }),
        json!({ "progress": "x".repeat(201) }),
        json!({ "failure": { "code": "x", "message": "y" } }),
        json!({ "state": "completed", "failure": { "code": "x", "message": "y" } }),
        json!({ "state": "failed", "failure": "it broke" }),
        json!({ "payloadDelta": [] }),
        json!({ "result": 1 }),
        json!({ "jobId": held.id }),
        json!({ "attempt": 7 }),
        json!({ "state": "completed", "log": { "size": 0, "sha256": "xyz" } }),
        json!({ "state": "completed", "log": { "size": -1, "sha256": "0".repeat(64) } }),
    ] {
        assert_eq!(
            world.agent("builder-1").say(&held, body.clone()).await.refused(400),
            "badRequest",
            "{body}"
        );
    }
    assert_eq!(tips(&world).await, before);
}

#[tokio::test]
async fn ids_headers_and_cursors_that_are_none_change_nothing() {
    let world = World::start().await;
    world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    let before = tips(&world).await;
    for path in [
        "/jobs/x",
        "/jobs/job-1",
        "/jobs/..%2Fx",
        "/jobs/JOB-01jd000000000000000000007k",
        "/jobs/lease-01jd000000000000000000007k",
        "/projects/A",
        "/projects/..%2F..",
        "/projects/mrx-hello/artifacts/art-1",
        "/projects/mrx-hello%00/jobs",
        "/jobs/%FF",
    ] {
        assert_eq!(world.admin().get(path).await.refused(404), "notFound", "{path}");
    }
    for path in ["/jobs/job-01jd000000000000000000007k", "/jobs/job-01jd000000000000000000007k/logs"] {
        assert_eq!(world.admin().get(path).await.refused(404), "jobUnknown", "{path}");
    }
    let nowhere = "0123456789012345678901234567890123456789";
    for query in [
        "jobs?cursor=x",
        "jobs?cursor=open.x",
        "jobs?limit=-1",
        "jobs?limit=x",
        "jobs?state=done",
        "jobs?type=deploy",
        "jobs?label=A",
        "jobs?sort=x",
        "jobs?limit=1&limit=2",
        &format!("jobs?cursor={nowhere}.open.{}", held.id),
        &format!("jobs?cursor={nowhere}.../..job.{}", held.id),
        "artifacts?cursor=x",
        "artifacts?limit=x",
        "artifacts?x=1",
    ] {
        assert_eq!(
            world.admin().get(&format!("/projects/{HELLO}/{query}")).await.refused(400),
            "badRequest",
            "{query}"
        );
    }
    for query in ["cursor=-1", "cursor=x", "attempt=x", "attempt=-1", "tail=1"] {
        assert_eq!(
            world.admin().get(&format!("/jobs/{}/logs?{query}", held.id)).await.refused(400),
            "badRequest",
            "{query}"
        );
    }
    for lease in ["", "x", "job-01jd000000000000000000007k"] {
        let wrong = Held { lease: lease.to_owned(), ..held.clone() };
        assert_eq!(
            world.agent("builder-1").say(&wrong, json!({})).await.refused(400),
            "badRequest",
            "{lease:?}"
        );
    }
    for key in ["", "two words", &"k".repeat(129)] {
        let call = world.agent("builder-1").claim_call(json!({})).header("Idempotency-Key", key);
        assert_eq!(call.await.refused(400), "badRequest", "{key:?}");
    }
    assert_eq!(
        world.admin().post(&format!("/jobs/{}/cancel?ack=never", held.id)).await.refused(400),
        "badRequest"
    );
    assert_eq!(tips(&world).await, before);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_json_is_refused() {
    let world = World::start().await;
    let before = tips(&world).await;
    let large = json!({ "projectId": HELLO, "jobType": "chat", "payload": { "a": "x".repeat(1 << 20) } });
    assert_eq!(world.admin().post("/jobs/create").json(&large).await.refused(413), "tooLarge");
    let fits = json!({ "projectId": HELLO, "jobType": "build" }).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let answer = world.admin().post("/jobs/create").header("Content-Type", kind).body(fits.clone()).await;
        assert_eq!(answer.refused(415), "notJson", "{kind}");
    }
    assert_eq!(tips(&world).await, before);
    world
        .admin()
        .post("/jobs/create")
        .header("Content-Type", "application/json; charset=utf-8")
        .body(fits)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_job_for_a_project_that_is_not_there_is_refused() {
    let world = World::start().await;
    let body = json!({ "projectId": "mrx-none", "jobType": "build" });
    assert_eq!(world.admin().post("/jobs/create").json(&body).await.refused(404), "projectUnknown");
    assert_eq!(world.admin().get("/projects/mrx-none/jobs").await.refused(404), "projectUnknown");
    assert_eq!(world.admin().get("/projects/mrx-none/artifacts").await.refused(404), "projectUnknown");
}

#[tokio::test]
async fn every_answer_has_a_name_of_its_own_and_one_of_a_fault_says_it() {
    let world = World::start().await;
    let one = world.stranger().get("/health").await;
    let two = world.stranger().get("/nowhere").header("Mrx-Request-Id", one.header("mrx-request-id")).await;
    assert_ne!(one.header("mrx-request-id"), two.header("mrx-request-id"), "a caller does not choose it");
    world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    let entry = builder.upload(&held, "hello.txt", b"hello").await.expect(201);
    let bytes = world.app().state.folder().artifacts().join(entry["sha256"].as_str().unwrap());
    std::fs::remove_file(&bytes).unwrap();
    let path = format!("/projects/{HELLO}/artifacts/{}/content", entry["artifactId"].as_str().unwrap());
    let fault = world.admin().get(&path).await;
    assert_eq!(fault.refused(500), "internal");
    assert_eq!(fault.json()["details"]["requestId"], Value::from(fault.header("mrx-request-id")));
    assert!(
        !fault.text().contains(world.app().state.folder().artifacts().to_str().unwrap()),
        "the cause is in the log alone"
    );
}
