//! Logs: appended exactly, read from any byte, followed as they grow, and dropped by the day.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::{AgentAtWork, Caller, HELLO, Held, Listener, World, seconds};

const DAY: u64 = 24 * 3600;

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A world with an agent at work on a build.
async fn at_work(world: &World) -> (AgentAtWork<'_>, Held) {
    world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    (builder, held)
}

/// The log as its bytes, read page by page.
async fn bytes_of(world: &World, job: &str, attempt: &str) -> Vec<u8> {
    let (mut bytes, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let path = format!("/jobs/{job}/logs?cursor={cursor}{attempt}");
        let answer = world.admin().get(&path).header("Accept", "application/octet-stream").await;
        assert_eq!(answer.status, 200);
        if answer.body.is_empty() {
            return bytes;
        }
        bytes.extend_from_slice(&answer.body);
        cursor = answer.header("log-cursor").to_owned();
    }
}

#[tokio::test]
async fn bytes_are_appended_only_where_the_log_ends() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    let first = builder.write_log(&held, 0, b"hello ").await;
    assert_eq!((first.status, first.header("range")), (202, "0-6"));
    for (start, bytes) in [(0, b"hello "), (7, b"world!"), (3, b"world!")] {
        let answer = builder.write_log(&held, start, bytes).await;
        assert_eq!((answer.refused(416).as_str(), answer.header("range")), ("logGap", "0-6"));
    }
    assert_eq!(builder.write_log(&held, 6, b"world\n").await.header("range"), "0-12");
    assert_eq!(bytes_of(&world, &held.id, "").await, b"hello world\n");
}

#[tokio::test]
async fn the_bytes_of_a_log_come_with_its_size_so_that_a_reader_can_begin_near_its_end() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    let read = async |cursor: u64| {
        let path = format!("/jobs/{}/logs?cursor={cursor}", held.id);
        let answer = world.admin().get(&path).header("Accept", "application/octet-stream").await;
        (answer.header("log-size").to_owned(), answer.header("log-cursor").to_owned(), answer.body)
    };
    assert_eq!(read(0).await, ("0".to_owned(), "0".to_owned(), vec![]));
    builder.write_log(&held, 0, b"hello ").await;
    builder.write_log(&held, 6, b"world\n").await;
    assert_eq!(read(9).await, ("12".to_owned(), "12".to_owned(), b"ld\n".to_vec()));
    assert_eq!(read(99).await, ("12".to_owned(), "99".to_owned(), vec![]));
}

#[tokio::test]
async fn a_log_has_exactly_the_bytes_that_were_written_whatever_they_are() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    let bytes: Vec<u8> = (0..=255).chain([0xff, 0xfe, 0, 0x1b, b'[']).collect();
    builder.write_log(&held, 0, &bytes).await;
    assert_eq!(bytes_of(&world, &held.id, "").await, bytes);
    let page = world.admin().get(&format!("/jobs/{}/logs", held.id)).await.expect(200);
    assert_eq!(page["nextCursor"], bytes.len());
    assert!(page["segments"][0]["text"].as_str().unwrap().contains('\u{fffd}'));
}

#[tokio::test]
async fn three_hundred_small_appends_are_read_back_in_order() {
    let mut world = World::start().await;
    let (id, written) = {
        let (builder, held) = at_work(&world).await;
        let mut written = Vec::new();
        for number in 0..300 {
            let line = format!("line {number}\n");
            assert_eq!(builder.write_log(&held, written.len(), line.as_bytes()).await.status, 202);
            written.extend_from_slice(line.as_bytes());
        }
        (held.id, written)
    };
    for _ in 0..2 {
        assert_eq!(bytes_of(&world, &id, "").await, written);
        let page = world.admin().get(&format!("/jobs/{id}/logs?cursor=1000")).await.expect(200);
        assert_eq!(page["segments"][0]["offset"], 1000);
        world.restart().await;
    }
}

#[tokio::test]
async fn a_page_ends_before_it_is_large_and_the_next_one_goes_on() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    let chunk = "x".repeat(900_000);
    for number in 0..3 {
        builder.write_log(&held, number * chunk.len(), chunk.as_bytes()).await;
    }
    let first = world.admin().get(&format!("/jobs/{}/logs", held.id)).await.expect(200);
    assert!((first["nextCursor"].as_u64().unwrap() as usize) < 3 * chunk.len());
    assert_eq!(bytes_of(&world, &held.id, "").await.len(), 3 * chunk.len());
}

#[tokio::test]
async fn a_final_report_is_taken_only_with_the_whole_log() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    builder.write_log(&held, 0, b"hello ").await;
    let report =
        |bytes: &[u8]| json!({ "state": "completed", "log": { "size": bytes.len(), "sha256": sum(bytes) } });
    let short = builder.say(&held, report(b"hello world\n")).await;
    assert_eq!((short.refused(412).as_str(), short.header("range")), ("logIncomplete", "0-6"));
    builder.write_log(&held, 6, b"world\n").await;
    let mut done = report(b"hello world\n");
    done["log"]["sha256"] = done["log"]["sha256"].as_str().unwrap().to_uppercase().into();
    let job = builder.say(&held, done).await.expect(200);
    assert_eq!(job["log"], json!({ "size": 12, "sha256": sum(b"hello world\n") }));
    assert_eq!(builder.write_log(&held, 12, b"more").await.refused(409), "jobLeaseStale");
}

#[tokio::test]
async fn a_log_of_the_right_size_and_a_wrong_sum_is_dropped_and_sent_again() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    builder.write_log(&held, 0, b"hellO").await;
    let report = json!({ "state": "completed", "log": { "size": 5, "sha256": sum(b"hello") } });
    let wrong = builder.say(&held, report.clone()).await;
    assert_eq!((wrong.refused(412).as_str(), wrong.header("range")), ("logIncomplete", "0-0"));
    assert_eq!(bytes_of(&world, &held.id, "").await, b"");
    assert_eq!(builder.write_log(&held, 0, b"hello").await.status, 202);
    builder.say(&held, report).await.expect(200);
}

#[tokio::test]
async fn an_ended_jobs_log_is_complete_when_all_of_it_was_read() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    builder.write_log(&held, 0, b"hello").await;
    let page = async |cursor: u64| {
        world.any_agent().get(&format!("/jobs/{}/logs?cursor={cursor}", held.id)).await.expect(200)
    };
    assert_eq!(page(5).await["complete"], false, "more may come");
    builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    assert_eq!((&page(0).await["complete"], &page(5).await["complete"]), (&json!(false), &json!(true)));
    assert_eq!(page(99).await["segments"], json!([]), "behind the end is nothing");
}

#[tokio::test]
async fn a_log_can_be_followed_to_its_end_and_resumed_where_the_line_broke() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    builder.write_log(&held, 0, b"one\n").await;
    let path = format!("/jobs/{}/logs", held.id);
    let mut listener = Listener::to(world.any_agent().get(&path)).await;
    let first = listener.next().await.unwrap();
    assert_eq!(
        (first.event.as_str(), first.id.as_str(), &first.data["text"]),
        ("log", "4", &Value::from("one\n"))
    );
    builder.write_log(&held, 4, b"two\n").await;
    assert_eq!(listener.next().await.unwrap().data["text"], "two\n");
    drop(listener);
    builder.write_log(&held, 8, b"three\n").await;
    let mut listener = Listener::to(world.any_agent().get(&path).header("Last-Event-ID", &first.id)).await;
    assert_eq!(listener.next().await.unwrap().data["text"], "two\n");
    assert_eq!(listener.next().await.unwrap().data["text"], "three\n");
    builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    let end = listener.next().await.unwrap();
    assert_eq!((end.event.as_str(), end.data), ("end", json!({ "state": "completed", "size": 14 })));
    assert_eq!(listener.next().await, None);
}

#[tokio::test]
async fn each_attempt_has_its_own_log_which_is_found_whenever_the_attempt_was() {
    let mut world = World::start().await;
    let job = world.queue("build").await;
    for text in ["first", "second"] {
        world.clock.pass(seconds(2 * DAY));
        let builder = world.agent("builder-1");
        let held = builder.claim().await;
        builder.write_log(&held, 0, text.as_bytes()).await;
        builder.say(&held, json!({ "state": "completed" })).await.expect(200);
        world.clock.pass(seconds(DAY));
        world.admin().post(&format!("/jobs/{job}/retry")).await.expect(200);
    }
    world.restart().await;
    assert_eq!(bytes_of(&world, &job, "&attempt=1").await, b"first");
    assert_eq!(bytes_of(&world, &job, "&attempt=2").await, b"second");
    assert_eq!(bytes_of(&world, &job, "").await, b"", "the third attempt has not begun");
    for attempt in [0, 4, 4_000_000_000u32] {
        let answer = world.admin().get(&format!("/jobs/{job}/logs?attempt={attempt}")).await;
        assert_eq!(answer.refused(404), "attemptUnknown");
    }
}

#[tokio::test]
async fn logs_are_on_a_branch_of_their_day_and_go_with_it() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    builder.write_log(&held, 0, b"old").await;
    let state = world.tip(HELLO).await;
    world.published(HELLO).await;
    assert_eq!(world.branches(HELLO), ["refs/heads/logs/2026-11-20", "refs/heads/state"]);
    builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    world.clock.pass(seconds(DAY));
    let (builder, new) = at_work(&world).await;
    builder.write_log(&new, 0, b"new").await;
    world.published(HELLO).await;
    assert_eq!(world.app().logs.drop_old(seconds(DAY)).await, 0);
    assert_eq!(world.app().logs.drop_old(seconds(DAY - 1)).await, 0, "the day is not over that long");
    world.clock.pass(seconds(DAY));
    assert_eq!(world.app().logs.drop_old(seconds(DAY)).await, 1);
    assert_eq!(world.branches(HELLO), ["refs/heads/logs/2026-11-21", "refs/heads/state"]);
    assert_eq!(bytes_of(&world, &held.id, "").await, b"");
    assert_eq!(bytes_of(&world, &new.id, "").await, b"new");
    assert_ne!(world.tip(HELLO).await, state);
}

#[tokio::test]
async fn the_log_of_a_job_that_is_gone_goes_with_its_day() {
    let mut world = World::start().await;
    let id = {
        let (builder, held) = at_work(&world).await;
        builder.write_log(&held, 0, b"nobody's").await;
        held.id
    };
    world.published(HELLO).await;
    world.close().await;
    world.remove_by_hand(HELLO, &mrx::state::layout::open_job(&id.parse().unwrap()));
    world.open().await;
    assert_eq!(world.admin().get(&format!("/jobs/{id}/logs")).await.refused(404), "jobUnknown");
    assert_eq!(world.branches(HELLO), ["refs/heads/logs/2026-11-20", "refs/heads/state"]);
    world.clock.pass(seconds(2 * DAY));
    assert_eq!(world.app().logs.drop_old(seconds(DAY)).await, 1);
    assert_eq!(world.branches(HELLO), ["refs/heads/state"]);
}

#[tokio::test]
async fn a_log_is_written_only_with_a_range_that_fits_and_bodies_of_a_mebibyte() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    let call = |range: &str, body: Vec<u8>| {
        let call = Caller::of_agent(&world, "builder-1")
            .patch(&format!("/jobs/{}/logs", held.id))
            .header("Job-Lease", &held.lease);
        let call = if range.is_empty() { call } else { call.header("Content-Range", range) };
        call.body(body)
    };
    for (range, length) in [
        ("", 5),
        ("bytes 0-5/*", 5),
        ("bytes 5-0/*", 5),
        ("lines 0-4/*", 5),
        ("bytes 0-18446744073709551615/*", 5),
        ("bytes 0-0/*", 0),
    ] {
        assert_eq!(call(range, vec![b'x'; length]).await.refused(400), "badRequest", "{range}");
    }
    assert_eq!(call("bytes 0-1048575/*", vec![b'x'; 1 << 20]).await.status, 202);
    assert_eq!(call("bytes 1048576-2097152/*", vec![b'x'; (1 << 20) + 1]).await.refused(413), "tooLarge");
    builder.say(&held, json!({})).await.expect(200);
}
