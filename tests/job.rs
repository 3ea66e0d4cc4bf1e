//! The life of a job: from the queue to its end, with everything that can happen on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use crate::world::{Caller, HELLO, World, fingerprint, seconds};

#[tokio::test]
async fn the_whole_life_of_a_build_is_a_story_in_git() {
    let world = World::start().await;
    let builder = world.agent("builder-1");
    let job = world.queue_with(json!({ "jobType": "build", "payload": { "ref": "main" } })).await;
    let held = builder.claim_with(json!({ "labels": ["linux"] })).await.unwrap();
    assert_eq!(held.id, job);
    assert_eq!(held.code["ref"], "main");
    builder.say(&held, json!({ "state": "running" })).await.expect(200);
    world.clock.pass(seconds(20));
    builder.say(&held, json!({ "progress": "compiling 3/9" })).await.expect(200);
    assert_eq!(builder.write_log(&held, 0, b"hello\n").await.status, 202);
    builder.upload(&held, "hello.tar.gz", b"bytes").await.expect(201);
    let done = builder.say(&held, json!({ "state": "completed", "result": { "commit": "abc" } })).await;
    assert_eq!((done.status, done.header("job-status")), (200, "completed"));
    let story: Vec<String> = world.log_of(HELLO).await.iter().map(|line| fingerprint(line)).collect();
    insta::assert_snapshot!(story.join("\n"), @r"
    mrx: project mrx-hello: created
    operator: job job-…: pending build
    builder-1: job job-…: pending -> claimed by builder-1
    builder-1: job job-…: claimed -> running by builder-1
    builder-1: job job-…: compiling 3/9
    builder-1: artifact art-…: hello.tar.gz uploaded, 5 bytes
    builder-1: job job-…: running -> completed by builder-1
    ");
    let platform: Vec<String> = world.log_of("platform").await;
    insta::assert_snapshot!(platform.join("\n"), @r"
    mrx: platform: created
    mrx: project mrx-hello: found
    operator: agent builder-1: registered
    builder-1: agent builder-1: offers labels [linux]
    ");
}

#[tokio::test]
async fn a_job_tells_all_that_is_known_of_it_and_never_its_lease() {
    let world = World::start().await;
    let builder = world.agent("builder-1");
    world
        .queue_with(
            json!({ "jobType": "build", "payload": { "ref": "main" }, "priority": 3, "labels": ["linux"] }),
        )
        .await;
    let held = builder.claim_with(json!({ "labels": ["linux", "gpu"] })).await.unwrap();
    builder
        .say(&held, json!({ "state": "running", "progress": "half", "payloadDelta": { "commit": "abc" } }))
        .await
        .expect(200);
    let job = serde_json::to_string_pretty(&world.job(&held.id).await).unwrap();
    insta::assert_snapshot!(fingerprint(&job), @r#"
    {
      "attempt": 1,
      "claimedAt": "2026-11-20T10:00:00.000Z",
      "claimedBy": "builder-1",
      "createdAt": "2026-11-20T10:00:00.000Z",
      "jobId": "job-…",
      "labels": [
        "linux"
      ],
      "payload": {
        "commit": "abc",
        "ref": "main"
      },
      "priority": 3,
      "progress": "half",
      "projectId": "mrx-hello",
      "startedAt": "2026-11-20T10:00:00.000Z",
      "state": "running",
      "timeoutSeconds": 3600,
      "type": "build",
      "updatedAt": "2026-11-20T10:00:00.000Z"
    }
    "#);
    let listed = world.admin().get(&format!("/projects/{HELLO}/jobs")).await.text();
    assert!(!job.contains("lease") && !listed.contains("lease") && !held.job.to_string().contains("lease"));
}

#[tokio::test]
async fn every_answered_change_names_its_commit_which_plain_git_has_once_it_is_published() {
    let world = World::start().await;
    let builder = world.agent("builder-1");
    let body = json!({ "projectId": HELLO, "jobType": "build" });
    let created = world.admin().post("/jobs/create?ack=published").json(&body).await;
    let repo = world.repository(HELLO);
    let tip = || repo.find_reference("refs/heads/state").unwrap().target().unwrap().to_string();
    assert_eq!(created.header("mrx-commit"), tip(), "at once, with nothing waited for");
    let claimed = builder.claim_call(json!({})).await;
    let held = crate::world::held(&claimed).unwrap();
    let path = format!("/jobs/{}?ack=published", held.id);
    let told = Caller::of_agent(&world, "builder-1")
        .patch(&path)
        .header("Job-Lease", &held.lease)
        .json(&json!({ "state": "running" }))
        .await;
    assert_eq!(told.header("mrx-commit"), tip());
    let logged = builder.write_log(&held, 0, b"x").await;
    let uploaded = builder.upload(&held, "x", b"x").await;
    for answer in [claimed, logged, uploaded] {
        assert_eq!(answer.header("mrx-commit").len(), 40);
    }
}

#[tokio::test]
async fn a_silent_agents_build_fails_with_its_lease() {
    let world = World::start().await;
    let held = {
        world.queue("build").await;
        world.agent("builder-1").claim().await
    };
    world.pass(seconds(89)).await;
    assert_eq!(world.state(&held.id).await, "claimed");
    world.pass(seconds(1)).await;
    let job = world.job(&held.id).await;
    assert_eq!(
        (job["state"].as_str(), job["failure"]["code"].as_str()),
        (Some("failed"), Some("leaseExpired"))
    );
    assert_eq!(
        world.history(HELLO, &held.id).await.last().unwrap(),
        "claimed -> failed by mrx (leaseExpired)"
    );
}

#[tokio::test]
async fn a_silent_agents_chat_waits_again_as_its_second_attempt() {
    let world = World::start().await;
    world.queue("chat").await;
    let held = world.agent("talker-1").claim().await;
    world.pass(seconds(90)).await;
    let job = world.job(&held.id).await;
    assert_eq!((job["state"].as_str(), job["attempt"].as_u64()), (Some("pending"), Some(2)));
    let again = world.agent("talker-2").claim().await;
    assert_eq!(again.id, held.id);
    assert_ne!(again.lease, held.lease);
    assert_eq!(again.job["earlier"][0]["claimedBy"], "talker-1");
}

#[tokio::test]
async fn any_call_of_the_holder_renews_the_lease() {
    let world = World::start().await;
    world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    for round in 0..4 {
        world.pass(seconds(80)).await;
        let answer = match round {
            0 => builder.say(&held, json!({})).await,
            1 => builder.write_log(&held, 0, b"still here\n").await,
            2 => builder.upload(&held, "a.txt", b"a").await,
            _ => builder.say(&held, json!({ "progress": "half" })).await,
        };
        assert!(answer.status < 300, "{}", answer.text());
        assert_eq!(answer.header("job-status"), "claimed");
        assert_eq!(answer.header("lease-until"), world.clock.now().after(seconds(90)).to_string());
    }
    let tip = world.tip(HELLO).await;
    builder.say(&held, json!({})).await.expect(200);
    assert_eq!(world.tip(HELLO).await, tip, "being there is no change");
}

#[tokio::test]
async fn a_restart_gives_every_lease_a_whole_period_of_grace() {
    let mut world = World::start().await;
    world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    world.clock.pass(seconds(80));
    world.restart().await;
    world.pass(seconds(80)).await;
    world.agent("builder-1").say(&held, json!({ "state": "running" })).await.expect(200);
    world.pass(seconds(90)).await;
    assert_eq!(world.state(&held.id).await, "failed");
}

#[tokio::test]
async fn a_job_that_runs_longer_than_it_may_fails_however_often_its_agent_calls() {
    let world = World::start().await;
    world.queue_with(json!({ "jobType": "build", "timeoutSeconds": 100 })).await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    for _ in 0..2 {
        world.pass(seconds(79)).await;
        builder.say(&held, json!({})).await.expect(200);
    }
    world.pass(seconds(2)).await;
    assert_eq!(world.job(&held.id).await["failure"]["code"], "timedOut");
}

#[tokio::test]
async fn a_stale_lease_is_refused_with_where_the_job_is_on_every_call() {
    let world = World::start().await;
    world.queue("chat").await;
    let talker = world.agent("talker-1");
    let held = talker.claim().await;
    world.pass(seconds(90)).await;
    let tip = world.tip(HELLO).await;
    let log = json!({ "size": 5, "sha256": "0".repeat(64) });
    let answers = [
        talker.say(&held, json!({})).await,
        talker.say(&held, json!({ "state": "completed" })).await,
        talker.say(&held, json!({ "state": "completed", "log": log })).await,
        talker.write_log(&held, 0, b"late").await,
        talker.upload(&held, "late.txt", b"late").await,
    ];
    for answer in answers {
        assert_eq!(answer.refused(409), "jobLeaseStale");
        assert_eq!(answer.json()["details"], json!({ "state": "pending", "attempt": 2 }));
    }
    assert_eq!(world.tip(HELLO).await, tip);
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let cancelled = world.admin().post(&format!("/jobs/{job}/cancel")).await.expect(200);
    assert_eq!(cancelled["state"], "cancelled");
    assert!(world.agent("builder-1").claim_with(json!({})).await.is_none());
    let again = world.admin().post(&format!("/jobs/{job}/cancel")).await;
    assert_eq!(again.refused(409), "jobEnded");
}

#[tokio::test]
async fn a_running_jobs_agent_is_told_to_stop_and_reports_that_it_did() {
    let world = World::start().await;
    world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    builder.say(&held, json!({ "state": "running" })).await.expect(200);
    let asked = world.admin().post(&format!("/jobs/{}/cancel", held.id)).await.expect(200);
    assert_eq!((asked["state"].as_str(), asked["cancelRequested"].as_bool()), (Some("running"), Some(true)));
    assert_eq!(builder.say(&held, json!({})).await.header("job-status"), "cancelling");
    assert_eq!(builder.write_log(&held, 0, b"stopping\n").await.header("job-status"), "cancelling");
    let told = builder.say(&held, json!({ "state": "cancelled" })).await;
    assert_eq!((told.status, told.header("job-status")), (200, "cancelled"));
    let history = world.history(HELLO, &held.id).await;
    assert_eq!(history[3..], ["cancel asked for by operator", "running -> cancelled by builder-1"]);
}

#[tokio::test]
async fn a_retried_job_runs_again_as_its_second_attempt() {
    let world = World::start().await;
    world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    let retry = format!("/jobs/{}/retry", held.id);
    assert_eq!(world.admin().post(&retry).await.refused(409), "jobState");
    let failure = json!({ "code": "stepFailed", "message": "step compile exited with 2", "details": { "exitCode": 2 } });
    builder.say(&held, json!({ "state": "failed", "failure": failure })).await.expect(200);
    let again = world.admin().post(&retry).await.expect(200);
    assert_eq!((again["state"].as_str(), again["attempt"].as_u64()), (Some("pending"), Some(2)));
    assert!(again["failure"].is_null());
    let second = builder.claim().await;
    assert_eq!((second.id, second.job["attempt"].as_u64()), (held.id, Some(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_ends_and_is_queued_again_while_it_is_read_is_always_found() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..3 {
        let (jobs, over, id) = (world.app().jobs.clone(), over.clone(), job.parse().unwrap());
        readers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                jobs.get(&id).await.unwrap();
            }
        });
    }
    for _ in 0..100 {
        world.admin().post(&format!("/jobs/{job}/cancel")).await.expect(200);
        world.admin().post(&format!("/jobs/{job}/retry")).await.expect(200);
    }
    over.store(true, Ordering::Relaxed);
    readers.join_all().await;
}

#[tokio::test]
async fn a_repeated_final_report_is_answered_again_and_another_one_is_refused() {
    let mut world = World::start().await;
    world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    world.agent("builder-1").say(&held, json!({ "state": "completed" })).await.expect(200);
    for _ in 0..2 {
        let builder = world.agent("builder-1");
        let tip = world.tip(HELLO).await;
        assert_eq!(
            builder.say(&held, json!({ "state": "completed" })).await.expect(200)["state"],
            "completed"
        );
        let other = builder.say(&held, json!({ "state": "cancelled" })).await;
        assert_eq!(other.refused(409), "jobEnded");
        assert_eq!(world.tip(HELLO).await, tip);
        world.restart().await;
    }
}

#[tokio::test]
async fn a_job_changes_only_from_the_version_that_the_caller_knows() {
    let world = World::start().await;
    world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    let path = format!("/jobs/{}", held.id);
    let seen = world.admin().get(&path).await.header("etag").to_owned();
    assert_eq!(world.admin().get(&path).header("If-None-Match", &seen).await.status, 304);
    let told = builder.say_call(&held).header("If-Match", &seen).json(&json!({ "state": "running" })).await;
    assert_eq!(told.status, 200);
    let late = builder.say_call(&held).header("If-Match", &seen).json(&json!({ "progress": "half" })).await;
    assert_eq!(late.refused(412), "jobChanged");
    assert_eq!(
        world.admin().get(&path).header("If-None-Match", &seen).await.header("etag"),
        told.header("etag")
    );
}

#[tokio::test]
async fn a_list_shows_each_job_once_while_jobs_come_and_end() {
    let world = World::start().await;
    let builder = world.agent("builder-1");
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(world.queue("build").await);
        let held = builder.claim().await;
        world.clock.pass(seconds(12 * 3600));
        builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    }
    for _ in 0..9 {
        expected.push(world.queue("build").await);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            world.any_agent().get(&format!("/projects/{HELLO}/jobs?limit=2{cursor}")).await.expect(200);
        seen.extend(
            page["jobs"].as_array().unwrap().iter().map(|job| job["jobId"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        let held = builder.claim().await;
        builder.say(&held, json!({ "state": "completed" })).await.expect(200);
        world.queue("build").await;
    }
    expected.reverse();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_list_can_be_of_one_state_type_label_or_agent() {
    let world = World::start().await;
    let build = world.queue_with(json!({ "jobType": "build", "labels": ["gpu"] })).await;
    let chat = world.queue("chat").await;
    let held = world.agent("talker-1").claim_with(json!({ "types": ["chat"] })).await.unwrap();
    world.agent("talker-1").say(&held, json!({ "state": "completed" })).await.expect(200);
    for (filter, expected) in [
        ("state=pending", vec![&build]),
        ("state=completed", vec![&chat]),
        ("state=failed", vec![]),
        ("type=chat", vec![&chat]),
        ("type=build", vec![&build]),
        ("label=gpu", vec![&build]),
        ("label=linux", vec![]),
        ("agent=talker-1", vec![&chat]),
        ("agent=talker-2", vec![]),
        ("limit=1&type=chat", vec![&chat]),
    ] {
        let page = world.admin().get(&format!("/projects/{HELLO}/jobs?{filter}")).await.expect(200);
        let found: Vec<&str> =
            page["jobs"].as_array().unwrap().iter().map(|job| job["jobId"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{filter}");
    }
}

#[tokio::test]
async fn whatever_a_payload_holds_is_there_again_after_a_restart() {
    let mut world = World::start().await;
    let payload = json!({
        "": "empty name", "yes": "no", "~": "null", "<<": { "a": 1 }, "1": "1", "0x1f": "0o17", "1e3": "1e3",
        "lines": "a\n\n  b\n", "spaces": "  a  ", "tab": "\t", "bell": "\u{7}", "nel": "\u{85}\u{2028}\u{feff}", "zero": "\u{0}",
        "quote": "\"'`: #-?*&!|>%@{}[],", "trail": "x: ", "dash": "---", "dots": "...", "emoji": "🦀", "long": "k".repeat(5000),
        "l".repeat(2000): true, "float": 0.1, "big": 18446744073709551615u64, "small": i64::MIN, "huge": 1e300, "tiny": 5e-324, "neg": -0.0,
        "list": [[], {}, null, true, [1, [2, [3]]]], "date": "2026-11-20", "time": "12:30:45", "nan": ".nan", "inf": "-.inf",
    });
    let job = world.queue_with(json!({ "jobType": "chat", "payload": payload })).await;
    assert_eq!(world.job(&job).await["payload"], payload);
    world.restart().await;
    assert_eq!(world.job(&job).await["payload"], payload);
}

#[tokio::test]
async fn a_job_never_grows_larger_than_what_can_be_read_back() {
    let mut world = World::start().await;
    world.queue("chat").await;
    let held = world.agent("talker-1").claim().await;
    let big = "x".repeat(600_000);
    let talker = world.agent("talker-1");
    talker.say(&held, json!({ "payloadDelta": { "a": big } })).await.expect(200);
    let more = talker.say(&held, json!({ "payloadDelta": { "b": big } })).await;
    assert_eq!(more.refused(413), "jobTooLarge");
    world.restart().await;
    world.agent("talker-1").say(&held, json!({ "state": "completed" })).await.expect(200);
}
