//! Schedules: jobs that are made at their time, once, whatever happens in between.

use serde_json::{Value, json};

use crate::world::{HELLO, World, seconds};

const HOUR: u64 = 3600;

fn path(name: &str) -> String {
    format!("/projects/{HELLO}/schedules/{name}")
}

/// Makes a schedule that builds at eleven o'clock each day, an hour from the beginning, with these fields besides.
async fn make(world: &World, name: &str, more: Value) -> Value {
    let mut body = json!({ "name": name, "cron": "0 11 * * *", "jobType": "build" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.admin().post(&format!("/projects/{HELLO}/schedules")).json(&body).await.expect(201)
}

/// The daemon looks at its schedules; tells how many jobs it made.
async fn look(world: &World) -> usize {
    world.app().schedules.run_due().await
}

async fn jobs(world: &World) -> Vec<Value> {
    let page = world.admin().get(&format!("/projects/{HELLO}/jobs")).await.expect(200);
    page["jobs"].as_array().unwrap().clone()
}

async fn schedule(world: &World, name: &str) -> Value {
    world.admin().get(&path(name)).await.expect(200)
}

#[tokio::test]
async fn a_schedule_makes_one_job_at_each_of_its_times_in_one_commit_with_the_note_of_it() {
    let world = World::start().await;
    let more = json!({ "payload": { "ref": "main" }, "labels": ["linux"], "priority": 3, "timeoutSeconds": 60,
        "concurrencyGroup": "nightly" });
    let made = make(&world, "nightly", more).await;
    assert_eq!(
        (&made["nextRunAt"], &made["createdBy"]),
        (&json!("2026-11-20T11:00:00.000Z"), &json!("operator"))
    );
    world.clock.pass(seconds(HOUR - 1));
    assert_eq!(look(&world).await, 0);
    world.clock.pass(seconds(1));
    let both = tokio::join!(look(&world), look(&world));
    assert_eq!(both.0 + both.1, 1, "two looks at once make one job");
    assert_eq!(look(&world).await, 0);
    let all = jobs(&world).await;
    assert_eq!(all.len(), 1);
    for (field, expected) in [
        ("type", json!("build")),
        ("payload", json!({ "ref": "main" })),
        ("labels", json!(["linux"])),
        ("priority", json!(3)),
        ("timeoutSeconds", json!(60)),
        ("concurrencyGroup", json!("nightly")),
        ("schedule", json!("nightly")),
    ] {
        assert_eq!(all[0][field], expected, "{field}");
    }
    let ran = schedule(&world, "nightly").await;
    assert_eq!(ran["lastRunAt"], "2026-11-20T11:00:00.000Z");
    assert_eq!((&ran["nextRunAt"], &ran["lastJob"]), (&json!("2026-11-21T11:00:00.000Z"), &all[0]["jobId"]));
    let id = all[0]["jobId"].as_str().unwrap();
    assert_eq!(world.history(HELLO, id).await, ["pending build, by schedule nightly"]);
    assert_eq!(world.log_of(HELLO).await.len(), 3, "the project, the schedule, and the job with its note");
}

/// Looks each half hour until then; tells when a job was made.
async fn times(world: &World, half_hours: usize) -> Vec<String> {
    let mut made = Vec::new();
    for _ in 0..half_hours {
        world.clock.pass(seconds(HOUR / 2));
        for _ in 0..look(world).await {
            made.push(world.clock.now().to_string()["2026-".len().."2026-03-29T01:00".len()].to_owned());
        }
    }
    made
}

#[tokio::test]
async fn a_schedule_goes_by_the_clock_of_its_zone_over_both_of_its_changes() {
    let world = World::start().await;
    let berlin = json!({ "cron": "30 2 * * *", "timeZone": "Europe/Berlin" });
    let made = make(&world, "nightly", berlin).await;
    assert_eq!(
        (&made["timeZone"], &made["nextRunAt"]),
        (&json!("Europe/Berlin"), &json!("2026-11-21T01:30:00.000Z"))
    );
    // From 20 November 2026, 10:00 UTC, to 27 March 2027: one job makes up for all that were missed.
    world.clock.pass(seconds(127 * 24 * HOUR));
    assert_eq!(look(&world).await, 1);
    assert_eq!(
        times(&world, 96).await,
        ["03-28T01:00", "03-29T00:30"],
        "02:30 is not on the clock on the 28th"
    );
    // To 30 October 2027: summer ends on the 31st.
    world.clock.pass(seconds(215 * 24 * HOUR));
    assert_eq!(look(&world).await, 1);
    assert_eq!(
        times(&world, 96).await,
        ["10-31T00:30", "11-01T01:30"],
        "02:30 is on the clock twice on the 31st"
    );
}

#[tokio::test]
async fn another_zone_counts_the_next_time_anew_and_a_file_without_one_is_in_utc() {
    let mut world = World::start().await;
    assert_eq!(make(&world, "nightly", json!({})).await["timeZone"], "UTC");
    let moved =
        world.admin().patch(&path("nightly")).json(&json!({ "timeZone": "Asia/Tokyo" })).await.expect(200);
    assert_eq!(moved["nextRunAt"], "2026-11-21T02:00:00.000Z");
    world.close().await;
    let old = b"name: old\ncron: 0 11 * * *\njobType: build\ncreatedAt: 2026-11-20T10:00:00.000Z\n";
    world.commit_by_hand(HELLO, &[("schedules/old.yaml", old)]);
    world.open().await;
    let read = schedule(&world, "old").await;
    assert_eq!((&read["timeZone"], &read["nextRunAt"]), (&json!("UTC"), &json!("2026-11-20T11:00:00.000Z")));
    assert_eq!(schedule(&world, "nightly").await["nextRunAt"], "2026-11-21T02:00:00.000Z");
}

#[tokio::test]
async fn a_restart_runs_nothing_twice_and_makes_up_for_missed_times_with_one_job() {
    let mut world = World::start().await;
    make(&world, "nightly", json!({})).await;
    world.clock.pass(seconds(HOUR));
    assert_eq!(look(&world).await, 1);
    world.restart().await;
    assert_eq!(look(&world).await, 0);
    world.close().await;
    world.clock.pass(seconds(5 * 24 * HOUR));
    world.open().await;
    assert_eq!((look(&world).await, look(&world).await), (1, 0));
    assert_eq!(schedule(&world, "nightly").await["nextRunAt"], "2026-11-26T11:00:00.000Z");
    assert_eq!(jobs(&world).await.len(), 2);
}

#[tokio::test]
async fn a_project_that_is_not_in_memory_runs_its_schedules_all_the_same() {
    let mut world = World::start().await;
    make(&world, "nightly", json!({})).await;
    world.restart().await;
    assert_eq!(world.app().state.open_repositories(), 1, "only the platform's");
    world.clock.pass(seconds(HOUR));
    assert_eq!(look(&world).await, 1);
}

#[tokio::test]
async fn a_file_that_a_person_commits_is_a_schedule_and_a_broken_one_stops_no_other() {
    let mut world = World::start().await;
    make(&world, "zz-last", json!({})).await;
    world.close().await;
    let good = "name: by-hand\ncron: 30 10 * * *\njobType: build\ncreatedAt: 2026-11-20T10:00:00.000Z\n";
    let files: [(&str, &[u8]); 5] = [
        ("schedules/by-hand.yaml", good.as_bytes()),
        ("schedules/bad-cron.yaml", b"name: bad-cron\ncron: often\njobType: build\ncreatedAt: 2026-11-20T10:00:00.000Z\n"),
        ("schedules/bad-job.yaml", b"name: bad-job\ncron: 0 1 * * *\njobType: build\npayload: {shell: x}\ncreatedAt: 2026-11-20T10:00:00.000Z\n"),
        ("schedules/other-name.yaml", good.as_bytes()),
        ("schedules/folder/x.yaml", b"no schedule"),
    ];
    world.commit_by_hand(HELLO, &files);
    world.open().await;
    assert_eq!(schedule(&world, "by-hand").await["nextRunAt"], "2026-11-20T10:30:00.000Z");
    let quarantine = world.admin().get(&format!("/projects/{HELLO}/quarantine")).await.expect(200);
    let broken: Vec<&str> =
        quarantine["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(
        broken,
        [
            "schedules/bad-cron.yaml",
            "schedules/bad-job.yaml",
            "schedules/folder/x.yaml",
            "schedules/other-name.yaml"
        ]
    );
    assert_eq!(world.admin().get(&path("bad-cron")).await.refused(409), "fileInvalid");
    world.clock.pass(seconds(HOUR));
    assert_eq!(look(&world).await, 2, "the one by hand and the one by the API");
    assert_eq!(schedule(&world, "by-hand").await["nextRunAt"], "2026-11-21T10:30:00.000Z");
    assert_eq!(world.admin().delete(&path("bad-cron")).await.status, 204);
    assert_eq!(world.admin().get(&path("bad-cron")).await.refused(404), "scheduleUnknown");
}

#[tokio::test]
async fn a_schedule_is_changed_turned_off_and_on_and_removed() {
    let world = World::start().await;
    make(&world, "nightly", json!({ "concurrencyGroup": "x" })).await;
    let change = |body: Value| world.admin().patch(&path("nightly")).json(&body);
    let changed = change(json!({ "cron": "15 10 * * *", "concurrencyGroup": null })).await.expect(200);
    assert_eq!(changed["nextRunAt"], "2026-11-20T10:15:00.000Z");
    assert!(changed.get("concurrencyGroup").is_none());
    let off = change(json!({ "enabled": false })).await.expect(200);
    assert!(off.get("nextRunAt").is_none());
    world.clock.pass(seconds(HOUR));
    assert_eq!(look(&world).await, 0);
    let on = change(json!({ "enabled": true })).await.expect(200);
    assert_eq!(
        on["nextRunAt"], "2026-11-21T10:15:00.000Z",
        "what passed while it was off is not made up for"
    );
    let kept = change(json!({ "priority": 2 })).await.expect(200);
    assert_eq!((&kept["priority"], &kept["nextRunAt"]), (&json!(2), &on["nextRunAt"]));
    let list = world.admin().get(&format!("/projects/{HELLO}/schedules")).await.expect(200);
    assert_eq!(list["schedules"], json!([kept]));
    assert_eq!(world.admin().delete(&path("nightly")).await.status, 204);
    assert_eq!(world.admin().delete(&path("nightly")).await.refused(404), "scheduleUnknown");
    world.clock.pass(seconds(48 * HOUR));
    assert_eq!(look(&world).await, 0);
}

#[tokio::test]
async fn a_schedule_of_a_project_in_the_trash_does_not_run_until_the_project_is_restored() {
    let world = World::start().await;
    make(&world, "nightly", json!({})).await;
    world.admin().delete(&format!("/projects/{HELLO}")).await.expect(200);
    world.clock.pass(seconds(30 * HOUR));
    assert_eq!(look(&world).await, 0);
    world.admin().post(&format!("/projects/{HELLO}/restore")).await.expect(200);
    world.clock.pass(seconds(60));
    assert_eq!((look(&world).await, look(&world).await), (1, 0));
}

#[tokio::test]
async fn what_is_no_schedule_is_refused_and_nothing_changes() {
    let world = World::start().await;
    make(&world, "nightly", json!({})).await;
    let tip = world.tip(HELLO).await;
    let ask = |body: Value| world.admin().post(&format!("/projects/{HELLO}/schedules")).json(&body);
    let with = |field: &str, value: Value| {
        let mut body = json!({ "name": "x", "cron": "0 1 * * *", "jobType": "build" });
        body[field] = value;
        body
    };
    for bad in [
        with("cron", json!("often")),
        with("cron", json!("* * * * * *")),
        with("cron", json!("0 0 30 2 *")),
        with("timeZone", json!("Europe/Berln")),
        with("timeZone", json!("+01:00")),
        with("timeZone", Value::Null),
        with("name", json!("../x")),
        with("payload", json!({ "shell": "x" })),
        with("timeoutSeconds", json!(0)),
        with("when", json!("now")),
    ] {
        assert_eq!(ask(bad.clone()).await.refused(400), "badRequest", "{bad}");
    }
    let unknown = ask(with("timeZone", json!("Europe/Berln"))).await.expect(400).to_string();
    assert!(unknown.contains("Europe/Berln") && unknown.contains("IANA"), "{unknown}");
    assert_eq!(ask(with("name", json!("nightly"))).await.refused(409), "scheduleExists");
    let never = world.admin().patch(&path("nightly")).json(&json!({ "cron": "0 0 31 4 *" })).await;
    assert_eq!(never.refused(400), "badRequest");
    assert_eq!(world.tip(HELLO).await, tip);
}
