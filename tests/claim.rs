//! Who gets which job: in order, exclusively, once for each request, and at once when one comes.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{HELLO, World, held, seconds};

/// The ids of everything that can be claimed so, in order.
async fn claimed_in_order(world: &World, body: Value) -> Vec<String> {
    let mut order = Vec::new();
    while let Some(held) = world.agent("builder-1").claim_with(body.clone()).await {
        order.push(held.id);
    }
    order
}

#[tokio::test]
async fn jobs_go_by_priority_then_in_turns_between_projects_then_by_age() {
    let world = World::start().await;
    world.project("mrx-b").await;
    let mut jobs = Vec::new();
    for (project, priority) in [(HELLO, 0), (HELLO, 0), ("mrx-b", 0), (HELLO, -1), ("mrx-b", 5)] {
        jobs.push(
            world.queue_with(json!({ "projectId": project, "jobType": "build", "priority": priority })).await,
        );
    }
    let expected: Vec<String> = [4, 0, 2, 1, 3].iter().map(|at: &usize| jobs[*at].clone()).collect();
    assert_eq!(claimed_in_order(&world, json!({})).await, expected);
}

#[tokio::test]
async fn an_agent_gets_only_what_its_labels_types_projects_and_time_allow() {
    let world = World::start().await;
    world.project("mrx-b").await;
    let gpu = world.queue_with(json!({ "jobType": "build", "labels": ["gpu"], "priority": 9 })).await;
    let chat =
        world.queue_with(json!({ "jobType": "chat", "projectId": "mrx-b", "timeoutSeconds": 600 })).await;
    let none = [
        json!({ "types": ["build"] }),
        json!({ "types": [] }),
        json!({ "projects": [HELLO] }),
        json!({ "labels": ["gpu"], "types": ["patch"] }),
        json!({ "availableUntil": world.clock.now().after(seconds(599)).to_string() }),
        json!({ "availableUntil": "2020-01-01T00:00:00.000Z" }),
    ];
    for body in none {
        assert!(world.agent("builder-1").claim_with(body.clone()).await.is_none(), "{body}");
    }
    let long_enough = json!({ "availableUntil": world.clock.now().after(seconds(600)).to_string() });
    assert_eq!(claimed_in_order(&world, long_enough).await, [chat]);
    assert_eq!(claimed_in_order(&world, json!({ "labels": ["linux", "gpu"] })).await, [gpu]);
}

#[tokio::test]
async fn the_same_key_gets_the_same_job_again_while_it_is_the_agents() {
    let mut world = World::start().await;
    let first = world.queue("build").await;
    let second = world.queue("build").await;
    let claim = async |world: &World, agent: &str, key: &str| {
        held(&world.agent(agent).claim_call(json!({})).header("Idempotency-Key", key).await)
    };
    let got = claim(&world, "builder-1", "k1").await.unwrap();
    assert_eq!(got.id, first);
    world.restart().await;
    let again = claim(&world, "builder-1", "k1").await.unwrap();
    assert_eq!((&again.id, &again.lease), (&got.id, &got.lease), "the answer was lost, the job was not");
    assert_eq!(
        claim(&world, "builder-2", "k1").await.unwrap().id,
        second,
        "another agent's key is another key"
    );
    world.agent("builder-1").say(&again, json!({ "state": "completed" })).await.expect(200);
    assert!(claim(&world, "builder-1", "k1").await.is_none(), "it has ended, and there is no other");
}

#[tokio::test]
async fn claims_with_one_key_at_the_same_time_get_one_job() {
    let world = World::start().await;
    for _ in 0..8 {
        world.queue("build").await;
    }
    let builder = world.agent("builder-1");
    let claims = (0..8).map(|_| builder.claim_call(json!({})).header("Idempotency-Key", "k1").into_future());
    let leases: Vec<String> =
        join_all(claims).await.iter().map(|answer| held(answer).unwrap().lease).collect();
    assert!(leases.iter().all(|lease| *lease == leases[0]), "{leases:?}");
}

#[tokio::test]
async fn a_job_is_made_once_for_each_key() {
    let mut world = World::start().await;
    let make = async |world: &World| {
        let body = json!({ "projectId": HELLO, "jobType": "build" });
        let answer =
            world.admin().post("/jobs/create").header("Idempotency-Key", "push-17").json(&body).await;
        answer.expect(201)["jobId"].as_str().unwrap().to_owned()
    };
    let job = make(&world).await;
    world.restart().await;
    assert_eq!(make(&world).await, job);
    assert_eq!(claimed_in_order(&world, json!({})).await, [job]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_claimers_never_share_one_of_forty_jobs() {
    let world = World::start().await;
    for _ in 0..40 {
        world.queue("build").await;
    }
    let agents: Vec<_> = (0..64).map(|number| world.agent(&format!("builder-{number}"))).collect();
    let answers = join_all(agents.iter().map(|agent| agent.claim_with(json!({})))).await;
    let mut got: Vec<String> = answers.into_iter().flatten().map(|held| held.id).collect();
    assert_eq!(got.len(), 40);
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 40);
}

/// A claim that waits gets `job` as soon as `happens` is through.
async fn wakes(world: &World, body: Value, happens: impl Future<Output = String>) {
    let waiting = world.agent("waiter-1");
    let start = Instant::now();
    let claim = async {
        let mut body = body;
        body["wait"] = 30.into();
        waiting.claim_with(body).await.expect("it was woken")
    };
    let event = async {
        while world.app().jobs.queue().depth().1 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        happens.await
    };
    let (held, job) = tokio::join!(claim, event);
    assert_eq!(held.id, job);
    assert!(start.elapsed() < seconds(10), "it was woken, not late");
}

#[tokio::test]
async fn a_waiting_claim_is_woken_by_a_new_job() {
    let world = World::start().await;
    wakes(&world, json!({}), world.queue("build")).await;
}

#[tokio::test]
async fn a_waiting_claim_is_woken_by_a_retried_job() {
    let world = World::start().await;
    world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    world.agent("builder-1").say(&held, json!({ "state": "completed" })).await.expect(200);
    let retried = async {
        world.admin().post(&format!("/jobs/{}/retry", held.id)).await.expect(200);
        held.id.clone()
    };
    wakes(&world, json!({}), retried).await;
}

#[tokio::test]
async fn a_waiting_claim_is_woken_by_a_silent_agents_chat() {
    let world = World::start().await;
    world.queue("chat").await;
    let held = world.agent("talker-1").claim().await;
    let expired = async {
        world.pass(seconds(90)).await;
        held.id.clone()
    };
    wakes(&world, json!({ "types": ["chat"] }), expired).await;
}

#[tokio::test]
async fn a_claim_that_waits_when_the_daemon_stops_is_told_that_no_job_came() {
    let mut world = World::start().await;
    let (waiting, queue) = (world.agent("waiter-1"), world.app().jobs.queue().clone());
    let claim = waiting.claim_call(json!({ "wait": 60 }));
    let stop = async {
        while queue.depth().1 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.close().await;
    };
    let (answer, ()) = tokio::join!(claim, stop);
    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn a_claim_that_waits_in_vain_is_told_so() {
    let world = World::start().await;
    let answer = world.agent("builder-1").claim_call(json!({ "wait": 1 })).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
}

#[tokio::test]
async fn a_job_goes_to_another_agent_when_the_one_that_waited_went_away() {
    let world = World::start().await;
    let waiting = world.agent("waiter-1");
    let gone =
        tokio::time::timeout(Duration::from_millis(200), waiting.claim_with(json!({ "wait": 30 }))).await;
    assert!(gone.is_err());
    let job = world.queue("build").await;
    assert_eq!(world.agent("builder-1").claim_with(json!({ "wait": 5 })).await.unwrap().id, job);
}
