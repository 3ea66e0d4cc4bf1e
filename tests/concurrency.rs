//! How many jobs of a project, or of a group, are held at once: never more than was said, however many ask.

use serde_json::{Value, json};

use crate::world::{HELLO, Held, World, seconds};

async fn set_limit(world: &World, limit: Value) {
    let body = json!({ "concurrency": limit });
    world.admin().patch(&format!("/projects/{HELLO}")).json(&body).await.expect(200);
}

/// So many agents claim at the same time, once each.
async fn claims(world: &World, agents: usize) -> Vec<Held> {
    let claim =
        |number: usize| async move { world.agent(&format!("builder-{number}")).claim_with(json!({})).await };
    futures_util::future::join_all((0..agents).map(claim)).await.into_iter().flatten().collect()
}

async fn complete(world: &World, held: &Held) {
    let agent = held.job["claimedBy"].as_str().unwrap();
    world.agent(agent).say(held, json!({ "state": "completed" })).await.expect(200);
}

#[tokio::test]
async fn sixty_four_agents_that_claim_at_once_get_as_many_jobs_as_the_project_may_have() {
    let world = World::start().await;
    set_limit(&world, json!(3)).await;
    for _ in 0..10 {
        world.queue("build").await;
    }
    let held = claims(&world, 64).await;
    assert_eq!(held.len(), 3);
    assert!(claims(&world, 4).await.is_empty());
    complete(&world, &held[0]).await;
    assert_eq!(claims(&world, 4).await.len(), 1, "one ended, and one follows");
    set_limit(&world, Value::Null).await;
    assert_eq!(claims(&world, 64).await.len(), 6, "all that were left");
}

#[tokio::test]
async fn a_waiting_agent_gets_a_job_when_one_ends_or_the_limit_is_raised_and_other_projects_go_on() {
    let world = World::start().await;
    world.project("mrx-other").await;
    set_limit(&world, json!(1)).await;
    let builder = world.agent("builder-1");
    let (one, two, three) =
        (world.queue("build").await, world.queue("build").await, world.queue("build").await);
    let held = builder.claim().await;
    assert_eq!(held.id, one);
    let other = world.queue_with(json!({ "jobType": "build", "projectId": "mrx-other" })).await;
    assert_eq!(builder.claim().await.id, other);
    let ended = waited_for(&world, complete(&world, &held)).await;
    assert_eq!(ended.id, two);
    let raised = waited_for(&world, set_limit(&world, json!(2))).await;
    assert_eq!(raised.id, three);
}

/// What an agent gets that waits when something happens.
async fn waited_for(world: &World, event: impl Future<Output = ()>) -> Held {
    let waits = world.agent("builder-2").claim_call(json!({ "wait": 60 }));
    let waiting = async { crate::world::held(&waits.await).unwrap() };
    let happening = async {
        while world.app().jobs.queue().depth().1 == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        event.await;
    };
    tokio::join!(waiting, happening).0
}

#[tokio::test]
async fn of_a_group_one_job_is_held_at_a_time_also_after_a_restart() {
    let mut world = World::start().await;
    let job = |group: Value| json!({ "jobType": "build", "concurrencyGroup": group });
    let first = world.queue_with(job(json!("deploy"))).await;
    let second = world.queue_with(job(json!("deploy"))).await;
    let aside = world.queue_with(job(json!("docs"))).await;
    let ids = |held: Vec<Held>| {
        let mut ids: Vec<String> = held.into_iter().map(|held| held.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(claims(&world, 64).await), [first.clone(), aside]);
    world.restart().await;
    assert!(claims(&world, 4).await.is_empty());
    world.pass(seconds(90)).await;
    assert_eq!(world.state(&first).await, "failed", "its agents were silent");
    assert_eq!(ids(claims(&world, 4).await), [second]);
}

#[tokio::test]
async fn a_limit_is_one_to_a_thousand_and_is_seen_in_the_project() {
    let world = World::start().await;
    let path = format!("/projects/{HELLO}");
    for bad in [json!(0), json!(1001), json!(-1), json!("two")] {
        let answer = world.admin().patch(&path).json(&json!({ "concurrency": bad })).await;
        assert_eq!(answer.refused(400), "badRequest");
    }
    set_limit(&world, json!(7)).await;
    world.commit_code(HELLO, "README.md", "hello").await;
    assert_eq!(world.admin().get(&path).await.expect(200)["concurrency"], 7);
    set_limit(&world, Value::Null).await;
    assert!(world.admin().get(&path).await.expect(200).get("concurrency").is_none());
}
