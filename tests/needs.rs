//! Jobs that need other jobs: they wait, go on at once, or end with what they need.

use serde_json::{Value, json};

use crate::world::{AgentAtWork, HELLO, World, seconds};

async fn needing(world: &World, needs: &[&String]) -> String {
    world.queue_with(json!({ "jobType": "build", "needs": needs })).await
}

/// The agent takes the one job there is, and ends it so.
async fn end(agent: &AgentAtWork<'_>, how: &str) -> String {
    let held = agent.claim().await;
    let mut body = json!({ "state": how });
    if how == "failed" {
        body["failure"] = json!({ "code": "stepFailed", "message": "it broke" });
    }
    agent.say(&held, body).await.expect(200);
    held.id
}

fn why(job: &Value) -> (&str, &str) {
    let text = |value: &Value| -> String { value.as_str().unwrap_or_default().to_owned() };
    let failure = &job["failure"];
    assert!(text(&failure["message"]).contains(&text(&failure["details"]["jobId"])));
    (failure["code"].as_str().unwrap(), failure["details"]["jobId"].as_str().unwrap())
}

#[tokio::test]
async fn a_job_is_handed_out_when_the_last_of_those_it_needs_has_completed() {
    let world = World::start().await;
    let builder = world.agent("builder-1");
    let (one, two) = (world.queue("build").await, world.queue("build").await);
    let last = needing(&world, &[&one, &two]).await;
    assert_eq!(world.state(&last).await, "pending");
    assert_eq!(end(&builder, "completed").await, one);
    let held = builder.claim().await;
    assert_eq!(held.id, two);
    assert!(builder.claim_with(json!({})).await.is_none(), "the third still waits for the second");
    builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    assert!(world.job(&last).await["needsMetAt"].is_string());
    assert_eq!(builder.claim().await.id, last);
    let history = world.history(HELLO, &last).await;
    assert_eq!(
        history,
        [
            "pending build, needs 2",
            "ready: all jobs it needs have completed",
            "pending -> claimed by builder-1"
        ]
    );
}

#[tokio::test]
async fn a_waiting_agent_gets_the_job_in_the_moment_its_need_completes() {
    let world = World::start().await;
    let (first, second) = (world.agent("builder-1"), world.agent("builder-2"));
    let need = world.queue("build").await;
    let job = needing(&world, &[&need]).await;
    let held = first.claim().await;
    let waits = second.claim_call(json!({ "wait": 60 }));
    let waiting = async { crate::world::held(&waits.await).unwrap().id };
    let ending = async {
        while world.app().jobs.queue().depth().1 == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        first.say(&held, json!({ "state": "completed" })).await.expect(200);
    };
    assert_eq!(tokio::join!(waiting, ending).0, job);
}

#[tokio::test]
async fn a_failed_job_takes_along_all_that_need_it_each_in_its_own_commit() {
    let world = World::start().await;
    let need = world.queue("build").await;
    let next = needing(&world, &[&need]).await;
    let last = needing(&world, &[&next]).await;
    let aside = world.queue("build").await;
    assert_eq!(end(&world.agent("builder-1"), "failed").await, need);
    let (next_job, last_job) = (world.job(&next).await, world.job(&last).await);
    assert_eq!((next_job["state"].as_str(), why(&next_job)), (Some("failed"), ("needFailed", need.as_str())));
    assert_eq!((last_job["state"].as_str(), why(&last_job)), (Some("failed"), ("needFailed", next.as_str())));
    assert_eq!(world.state(&aside).await, "pending");
    for job in [&next, &last] {
        let history = world.history(HELLO, job).await;
        assert_eq!(history, ["pending build, needs 1", "pending -> failed by mrx (needFailed)"]);
    }
}

#[tokio::test]
async fn a_cancelled_job_cancels_those_that_need_it_and_a_silent_agents_job_fails_them() {
    let world = World::start().await;
    let (cancelled, silent) = (world.queue("build").await, world.queue("build").await);
    let (one, two) = (needing(&world, &[&cancelled]).await, needing(&world, &[&silent]).await);
    world.admin().post(&format!("/jobs/{cancelled}/cancel")).await.expect(200);
    assert_eq!(world.state(&one).await, "cancelled");
    assert_eq!(world.agent("builder-1").claim().await.id, silent);
    world.pass(seconds(90)).await;
    assert_eq!(why(&world.job(&two).await), ("needFailed", silent.as_str()));
}

#[tokio::test]
async fn what_has_ended_before_a_job_is_made_decides_at_once() {
    let world = World::start().await;
    let builder = world.agent("builder-1");
    let mut ended = Vec::new();
    for how in ["completed", "failed"] {
        world.queue("build").await;
        ended.push(end(&builder, how).await);
    }
    let failed = needing(&world, &[&ended[0], &ended[1]]).await;
    assert_eq!(why(&world.job(&failed).await), ("needFailed", ended[1].as_str()));
    assert_eq!(world.history(HELLO, &failed).await, ["failed build, with a job it needs"]);
    let ready = needing(&world, &[&ended[0]]).await;
    assert_eq!(builder.claim().await.id, ready);
}

#[tokio::test]
async fn a_retried_need_starts_nothing_by_itself_and_a_retried_job_looks_at_its_needs_again() {
    let world = World::start().await;
    let builder = world.agent("builder-1");
    let need = world.queue("build").await;
    let job = needing(&world, &[&need]).await;
    end(&builder, "failed").await;
    let retry = |id: &str| world.admin().post(&format!("/jobs/{id}/retry"));
    retry(&job).await.expect(200);
    assert_eq!(why(&world.job(&job).await), ("needFailed", need.as_str()), "its need has still failed");
    retry(&need).await.expect(200);
    assert_eq!(world.state(&job).await, "failed");
    retry(&job).await.expect(200);
    assert_eq!(world.state(&job).await, "pending");
    assert_eq!(end(&builder, "completed").await, need);
    assert_eq!(end(&builder, "completed").await, job);
}

#[tokio::test]
async fn what_waits_for_what_survives_a_restart_also_where_a_need_ended_behind_the_daemons_back() {
    let mut world = World::start().await;
    let (first, second) = (world.queue("build").await, world.queue("build").await);
    let (one, two) = (needing(&world, &[&first]).await, needing(&world, &[&second]).await);
    let of = |id: &str| mrx::state::layout::open_job(&id.parse().unwrap());
    let file = world.file(HELLO, &of(&second)).await.unwrap();
    world.close().await;
    let ended = file.replace("state: pending", "state: completed") + "endedAt: 2026-11-20T10:00:00.000Z\n";
    let done = mrx::state::layout::done_job_on(&second.parse().unwrap(), "2026-11-20");
    world.commit_by_hand(HELLO, &[(&done, ended.as_bytes()), (&of(&second), b"not a job any more")]);
    world.open().await;
    let builder = world.agent("builder-1");
    assert_eq!(world.state(&one).await, "pending");
    assert_eq!(builder.claim().await.id, first, "the other waits for a file that somebody must mend");
    assert!(builder.claim_with(json!({})).await.is_none());
    world.close().await;
    world.remove_by_hand(HELLO, &of(&second));
    world.open().await;
    assert_eq!(world.agent("builder-1").claim().await.id, two);
}

#[tokio::test]
async fn more_jobs_than_an_answer_waits_for_are_seen_to_in_the_next_round() {
    let world = World::start().await;
    let need = world.queue("build").await;
    for _ in 0..40 {
        needing(&world, &[&need]).await;
    }
    end(&world.agent("builder-1"), "failed").await;
    let failed = || async {
        let page =
            world.admin().get(&format!("/projects/{HELLO}/jobs?state=failed&limit=100")).await.expect(200);
        page["jobs"].as_array().unwrap().len()
    };
    assert_eq!(failed().await, 1 + 32);
    world.app().jobs.settle(usize::MAX).await.unwrap();
    assert_eq!(failed().await, 1 + 40);
}

#[tokio::test]
async fn only_jobs_that_are_there_can_be_needed_each_once_and_at_most_sixteen() {
    let world = World::start().await;
    world.project("mrx-other").await;
    let own = world.queue("build").await;
    let other = world.queue_with(json!({ "jobType": "build", "projectId": "mrx-other" })).await;
    let missing = mrx::id::IdMaker::new().job(&HELLO.parse().unwrap(), world.clock.now()).to_string();
    let tip = world.tip(HELLO).await;
    let ask = |needs: Vec<&str>| {
        let body = json!({ "projectId": HELLO, "jobType": "build", "needs": needs });
        world.admin().post("/jobs/create").json(&body)
    };
    assert_eq!(ask(vec![&own, &other]).await.refused(404), "needUnknown");
    assert_eq!(ask(vec![&missing]).await.refused(404), "needUnknown");
    assert_eq!(ask(vec![&own, &own]).await.refused(400), "badRequest");
    assert_eq!(ask(vec![&own; 17]).await.refused(400), "badRequest");
    assert_eq!(world.tip(HELLO).await, tip);
}
