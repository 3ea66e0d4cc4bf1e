//! Agents: registered when they first claim, and again only when their labels change.

use serde_json::json;

use crate::world::{Caller, HELLO, World, seconds};

#[tokio::test]
async fn what_an_agent_offers_is_written_down_when_it_changes() {
    let mut world = World::start().await;
    for labels in [
        json!(["linux", "gpu"]),
        json!(["gpu", "linux"]),
        json!(["gpu", "linux", "gpu"]),
        json!(["gpu"]),
        json!(["gpu"]),
    ] {
        world.agent("builder-1").claim_with(json!({ "labels": labels })).await;
        world.restart().await;
    }
    let log = world.log_of("platform").await;
    let about: Vec<&str> =
        log.iter().filter_map(|line| line.strip_prefix("builder-1: agent builder-1: ")).collect();
    assert_eq!(about, ["offers labels [gpu, linux]", "offers labels [gpu]"]);
}

#[tokio::test]
async fn the_admin_sees_each_agent_and_when_it_was_last_heard_of() {
    let mut world = World::start().await;
    world.agent("builder-2").claim_with(json!({})).await;
    world.agent("builder-1").claim_with(json!({ "labels": ["linux"] })).await;
    let first = world.clock.now().to_string();
    world.clock.pass(seconds(5));
    world.agent("builder-1").claim_with(json!({ "labels": ["linux"] })).await;
    let seen = world.admin().get("/agents").await.expect(200);
    let now = world.clock.now().to_string();
    assert_eq!(
        seen["agents"][0],
        json!({
            "agentId": "builder-1", "labels": ["linux"], "allowedLabels": null, "projects": null, "drainingSince": null, "hasKey": true,
            "registeredAt": first, "updatedAt": first, "disabledAt": null, "lastHeardAt": now,
            "holds": [],
        })
    );
    assert_eq!(seen["agents"][1]["lastHeardAt"], first);
    world.restart().await;
    assert_eq!(world.admin().get("/agents").await.expect(200)["agents"][0]["lastHeardAt"], json!(null));
}

#[tokio::test]
async fn the_admin_sees_which_jobs_each_agent_holds_now() {
    let world = World::start().await;
    world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    let page = world.admin().get("/agents").await.expect(200);
    let holds = &page["agents"][0]["holds"];
    assert_eq!(*holds, json!([{ "jobId": held.id, "projectId": HELLO }]));
}

async fn drain(world: &World, draining: bool) -> serde_json::Value {
    let body = json!({ "draining": draining });
    world.admin().patch("/admin/agents/builder-1").json(&body).await.expect(200)
}

#[tokio::test]
async fn an_agent_that_drains_ends_what_it_has_gets_nothing_new_and_keeps_what_it_may() {
    let mut world = World::start().await;
    let (first, second) = (world.queue("build").await, world.queue("build").await);
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    assert_eq!(held.id, first);
    let may = json!({ "projects": [HELLO], "allowedLabels": ["linux"] });
    world.admin().patch("/admin/agents/builder-1").json(&may).await.expect(200);
    let since = world.clock.now().to_string();
    let agent = drain(&world, true).await;
    assert_eq!((&agent["drainingSince"], &agent["projects"]), (&json!(since), &json!([HELLO])));
    assert_eq!(agent["allowedLabels"], json!(["linux"]));
    assert!(builder.claim_with(json!({})).await.is_none());
    world.clock.pass(seconds(5));
    assert_eq!(drain(&world, true).await["drainingSince"], since, "it is so already");
    builder.say(&held, json!({ "state": "running" })).await.expect(200);
    world.restart().await;
    let builder = world.agent("builder-1");
    builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    assert!(builder.claim_with(json!({})).await.is_none(), "also after a restart");
    assert_eq!(world.state(&second).await, "pending");
    let agent = drain(&world, false).await;
    assert_eq!((&agent["drainingSince"], &agent["projects"]), (&json!(null), &json!([HELLO])));
    assert_eq!(builder.claim().await.id, second);
    let log = world.log_of("platform").await;
    let about = |what: &str| log.iter().filter(|line| line.ends_with(what)).count();
    assert_eq!((about("gets no new jobs"), about("gets jobs again")), (1, 1), "{log:?}");
}

#[tokio::test]
async fn an_agent_that_waits_for_a_job_gets_none_once_it_drains_and_others_do() {
    let world = World::start().await;
    let builder = world.agent("builder-1");
    builder.claim_with(json!({})).await;
    let waiting = builder.claim_with(json!({ "wait": 2 }));
    let (none, job) = tokio::join!(waiting, async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        drain(&world, true).await;
        world.queue("build").await
    });
    assert!(none.is_none(), "{none:?}");
    assert_eq!(world.agent("builder-2").claim().await.id, job);
}

#[tokio::test]
async fn an_agent_with_one_time_secrets_drains_as_one_with_a_key_does() {
    let world = World::start().await;
    let body = json!({ "colabId": "builder-1" });
    let secret = world.admin().post("/agents/claim-secret").json(&body).await.expect(201);
    drain(&world, true).await;
    let job = world.queue("build").await;
    let claim = json!({ "colabId": "builder-1", "claimSecret": secret["claimSecret"] });
    let none = world.stranger().post("/jobs/claim").json(&claim).await.expect(200);
    assert_eq!(none["job"], json!(null));
    let next = &none["credentials"]["claimSecret"];
    drain(&world, false).await;
    let claim = json!({ "colabId": "builder-1", "claimSecret": next });
    assert_eq!(world.stranger().post("/jobs/claim").json(&claim).await.expect(200)["job"]["jobId"], job);
}

#[tokio::test]
async fn an_agent_is_who_its_key_says_whatever_the_body_says() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let claim = |body: serde_json::Value| world.any_agent().post("/jobs/claim").json(&body);
    assert_eq!(claim(json!({ "colabId": "colab-1" })).await.refused(403), "agentMismatch");
    let both = json!({ "colabId": "any-agent", "agentId": "any-agent" });
    assert_eq!(claim(both).await.refused(400), "badRequest");
    let claimed = claim(json!({})).await.expect(200);
    assert_eq!((&claimed["job"]["jobId"], &claimed["job"]["claimedBy"]), (&json!(job), &json!("any-agent")));
}

#[tokio::test]
async fn a_lease_is_of_use_to_its_own_agent_alone() {
    let world = World::start().await;
    world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    let thief = world.agent("builder-2");
    assert_eq!(thief.say(&held, json!({ "state": "completed" })).await.refused(403), "notTheHolder");
    assert_eq!(thief.write_log(&held, 0, b"x").await.refused(403), "notTheHolder");
    assert_eq!(thief.upload(&held, "x", b"x").await.refused(403), "notTheHolder");
    assert_eq!(world.state(&held.id).await, "claimed");
}

#[tokio::test]
async fn a_rotated_or_disabled_agents_key_is_refused_at_once_and_after_a_restart() {
    let mut world = World::start().await;
    let added = world.admin().post("/admin/agents").json(&json!({ "agentId": "laptop" })).await.expect(201);
    let key = |answer: &serde_json::Value| answer["key"].as_str().unwrap().to_owned();
    let first = key(&added);
    assert_eq!(
        world.admin().post("/admin/agents").json(&json!({ "agentId": "laptop" })).await.refused(409),
        "agentExists"
    );
    let second = key(&world.admin().post("/admin/agents/laptop/rotate").await.expect(200));
    for _ in 0..2 {
        let asks = |key: &str| Caller::with_token(&world, key).get("/auth/me");
        assert_eq!(asks(&first).await.refused(401), "unauthorized");
        assert_eq!(asks(&second).await.expect(200)["agent"], "laptop");
        world.restart().await;
    }
    let disabled =
        world.admin().patch("/admin/agents/laptop").json(&json!({ "disabled": true })).await.expect(200);
    assert!(disabled["disabledAt"].is_string());
    assert_eq!(Caller::with_token(&world, &second).get("/auth/me").await.refused(401), "unauthorized");
    world.admin().patch("/admin/agents/laptop").json(&json!({ "disabled": false })).await.expect(200);
    assert_eq!(Caller::with_token(&world, &second).get("/auth/me").await.status, 200);
}

#[tokio::test]
async fn an_agent_gets_jobs_only_of_its_projects_and_offers_only_its_labels() {
    let world = World::start().await;
    world.project("mrx-other").await;
    world.queue("build").await;
    let body = json!({ "agentId": "laptop", "projects": ["mrx-other"], "allowedLabels": ["linux"] });
    let key =
        world.admin().post("/admin/agents").json(&body).await.expect(201)["key"].as_str().unwrap().to_owned();
    let laptop = Caller::with_token(&world, &key);
    let claim = |body: serde_json::Value| laptop.post("/jobs/claim").json(&body);
    assert_eq!(claim(json!({ "labels": ["gpu"] })).await.refused(403), "labelNotAllowed");
    assert_eq!(claim(json!({ "projects": [HELLO] })).await.status, 204);
    assert_eq!(claim(json!({ "labels": ["linux"] })).await.status, 204);
    let job = world.queue_with(json!({ "projectId": "mrx-other", "jobType": "build" })).await;
    assert_eq!(claim(json!({ "labels": ["linux"] })).await.expect(200)["job"]["jobId"], json!(job));
    assert_eq!(laptop.get("/projects").await.expect(200)["projects"].as_array().unwrap().len(), 1);
    assert_eq!(laptop.get(&format!("/projects/{HELLO}")).await.refused(404), "projectUnknown");
}

#[tokio::test]
async fn a_waiting_agent_that_is_disabled_gets_no_job_any_more() {
    let world = World::start().await;
    let agent = world.agent("builder-1");
    agent.claim_with(json!({})).await;
    let waiting = async { agent.claim_call(json!({ "wait": 60 })).await.refused(401) };
    let disabling = async {
        world.admin().patch("/admin/agents/builder-1").json(&json!({ "disabled": true })).await.expect(200);
    };
    let begun = std::time::Instant::now();
    let (refused, ()) = tokio::join!(waiting, disabling);
    assert_eq!(refused, "unauthorized");
    assert!(begun.elapsed() < seconds(30), "it does not wait for the end of its wait");
    let job = world.queue("build").await;
    assert_eq!(world.state(&job).await, "pending");
    assert_eq!(world.agent("builder-2").claim().await.id, job);
}
