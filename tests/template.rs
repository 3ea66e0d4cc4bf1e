//! What a new state branch begins with, and that its schemas are those of the files the engine writes.

use std::path::Path;

use mrx::schema;
use serde_json::{Value, json};

use crate::world::{Caller, HELLO, World, seconds};

#[test]
fn the_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("state-template/.mrx/schema");
    for (name, schema) in schema::files() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("MRX_UPDATE").is_some() {
            std::fs::write(folder.join(name), &text).unwrap();
        }
        let stands = std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(stands, text, "{name} is old; MRX_UPDATE=1 cargo test template writes it anew");
    }
}

/// Fails if a file of the state is not what its schema says.
async fn check(world: &World, project: &str, path: &str, schema_name: &str) {
    let text = world.file(project, path).await.unwrap_or_else(|| panic!("{path} is there"));
    let value: Value = serde_yaml::from_str(&text).unwrap();
    let schema = world.file(project, &format!(".mrx/schema/{schema_name}.json")).await.unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{path}: {errors:?} in {text}");
    let mut odd = value.clone();
    odd["unknown"] = json!(1);
    assert!(!validator.is_valid(&odd), "{schema_name} says which fields there are");
}

fn fanned(folder: &str, id: &str) -> String {
    let last: Vec<String> = id[id.len() - 3..].chars().map(String::from).collect();
    format!("{folder}/{}/{id}.yaml", last.join("/"))
}

#[tokio::test]
async fn the_files_that_are_written_are_as_their_schemas_say() {
    let world = World::start().await;
    check(&world, HELLO, "project.yaml", "project").await;
    let (hello, projects) = (HELLO.parse().unwrap(), &world.app().projects);
    projects.pushed(&hello, "main", &"a".repeat(40), "delivery-1").await.unwrap();
    check(&world, HELLO, "code.yaml", "code").await;
    let id = world
        .queue_with(json!({ "jobType": "chat", "labels": ["gpu"], "payload": { "a": [1, null] } }))
        .await;
    let open = fanned("jobs/open", &id);
    check(&world, HELLO, &open, "job").await;
    for attempt in 0..2 {
        let agent = world.agent("talker-1");
        let call =
            agent.claim_call(json!({ "labels": ["gpu"] })).header("Idempotency-Key", &format!("k{attempt}"));
        let held = crate::world::held(&call.await).unwrap();
        check(&world, HELLO, &open, "job").await;
        agent
            .say(&held, json!({ "state": "running", "progress": "half", "result": { "x": 1 } }))
            .await
            .expect(200);
        world.admin().post(&format!("/jobs/{id}/cancel")).await.expect(200);
        check(&world, HELLO, &open, "job").await;
        let artifact = agent.upload(&held, "a.txt", b"a").await;
        let artifact = artifact.json()["artifactId"].as_str().unwrap().to_owned();
        check(&world, HELLO, &fanned("artifacts", &artifact), "artifact").await;
        let failure = json!({ "code": "stepFailed", "message": "no", "details": { "exitCode": 2 } });
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let report = json!({ "state": "failed", "failure": failure, "log": { "size": 0, "sha256": sum } });
        agent.say(&held, report).await.expect(200);
        check(&world, HELLO, &fanned("jobs/done/2026-11-20", &id), "job").await;
        world.admin().post(&format!("/jobs/{id}/retry")).await.expect(200);
        world.clock.pass(seconds(1));
    }
    check(&world, "platform", "agents/talker-1.yaml", "agent").await;
    let body = json!({ "message": { "text": "hello" } });
    let chat = world.admin().post("/projects/mrx-hello/chats").json(&body).await.expect(201);
    let folder = fanned("chats", chat["chatId"].as_str().unwrap()).replace(".yaml", "");
    check(&world, HELLO, &format!("{folder}/chat.yaml"), "chat").await;
    check(&world, HELLO, &format!("{folder}/messages/000001.yaml"), "chat-messages").await;
    let prompt = json!({ "text": "Answer briefly." });
    world.admin().call(reqwest::Method::PUT, "/projects/mrx-hello/prompt").json(&prompt).await.expect(200);
    check(&world, HELLO, "chats/prompt.yaml", "chat-prompt").await;
}

#[tokio::test]
async fn the_files_of_people_are_as_their_schemas_say() {
    let world = World::start().await;
    let add = json!({ "name": "ada", "role": "admin", "email": "ada@example.org", "password": "correct horse battery" });
    world.admin().post("/admin/users").json(&add).await.expect(201);
    let login = json!({ "name": "ada", "password": "correct horse battery" });
    let token = world.stranger().post("/auth/login").json(&login).await.expect(200)["token"].clone();
    let ada = Caller::with_token(&world, token.as_str().unwrap());
    let key = ada
        .post("/keys")
        .json(&json!({ "name": "ci", "permission": "read", "projectId": HELLO }))
        .await
        .expect(201);
    let invite = ada.post("/admin/invites").json(&json!({})).await.expect(201);
    world.admin().post("/agents/claim-secret").json(&json!({ "colabId": "colab-1" })).await.expect(201);
    world
        .stranger()
        .post("/auth/login")
        .json(&json!({ "name": "ada", "password": "not the password" }))
        .await
        .refused(401);
    let known = world.app().identity.known();
    check(&world, "platform", "users/ada.yaml", "user").await;
    let session = known.sessions(|_| true)[0].session_id.as_str().to_owned();
    check(&world, "platform", &fanned("sessions", &session), "session").await;
    check(&world, "platform", &fanned("keys", key["keyId"].as_str().unwrap()), "key").await;
    check(&world, "platform", &format!("invites/{}.yaml", invite["inviteId"].as_str().unwrap()), "invite")
        .await;
    let secret = known.claim_secrets()[0].hash.to_string();
    check(&world, "platform", &fanned("claim-secrets", &secret), "claim-secret").await;
    let throttle = known.throttles()[0].0.clone();
    check(&world, "platform", &format!("throttles/{throttle}.yaml"), "throttle").await;
}
