//! Agents: registered when they first claim, and again only when their labels change.

use serde_json::json;

use crate::world::{World, seconds};

#[tokio::test]
async fn an_agent_is_registered_once_and_again_when_its_labels_change() {
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
    assert_eq!(about, ["registered with labels [gpu, linux]", "registered with labels [gpu]"]);
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
            "agentId": "builder-1", "labels": ["linux"], "registeredAt": first, "updatedAt": first, "lastHeardAt": now,
        })
    );
    assert_eq!(seen["agents"][1]["lastHeardAt"], first);
    world.restart().await;
    assert_eq!(world.admin().get("/agents").await.expect(200)["agents"][0]["lastHeardAt"], json!(null));
}

#[tokio::test]
async fn an_agent_may_call_itself_by_its_notebook() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let claimed =
        world.any_agent().post("/jobs/claim").json(&json!({ "colabId": "colab-1" })).await.expect(200);
    assert_eq!((&claimed["job"]["jobId"], &claimed["job"]["claimedBy"]), (&json!(job), &json!("colab-1")));
    let both = json!({ "colabId": "colab-1", "agentId": "colab-1" });
    assert_eq!(world.any_agent().post("/jobs/claim").json(&both).await.refused(400), "badRequest");
}
