//! A file that is not what its path says is put aside and reported; the queue goes on without it.

use std::sync::LazyLock;
use std::time::Instant;

use mrx::id::IdMaker;
use mrx::state::layout;
use serde_json::json;

use crate::world::{HELLO, World, seconds};

/// A job of [`HELLO`] that nobody made: its id, and its file if it were open.
static JOB: LazyLock<(String, String)> = LazyLock::new(|| {
    let id = IdMaker::new().job(&HELLO.parse().unwrap(), "2026-11-20T09:00:00.000Z".parse().unwrap());
    (id.to_string(), layout::open_job(&id))
});

/// A valid file of a pending job, with lines replaced.
fn file(replace: &str, with: &str) -> Vec<u8> {
    let id = &JOB.0;
    let good = format!(
        "jobId: {id}\nprojectId: {HELLO}\ntype: build\nstate: pending\npayload: {{}}\nattempt: 1\ntimeoutSeconds: 600\nclaimedBy: null\n\
         createdAt: 2026-11-20T09:00:00.000Z\nupdatedAt: 2026-11-20T09:00:00.000Z\n"
    );
    assert!(good.contains(replace));
    good.replace(replace, with).into_bytes()
}

fn bomb() -> Vec<u8> {
    let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (name, before) in "bcdefghij".chars().zip("abcdefghi".chars()) {
        text.push_str(&format!("{name}: &{name} [{}]\n", format!("*{before},").repeat(9)));
    }
    file("payload: {}\n", &format!("payload:\n  {}\n", text.replace('\n', "\n  ")))
}

#[tokio::test]
async fn a_good_file_that_a_person_commits_is_a_job() {
    let mut world = World::start().await;
    world.close().await;
    world.commit_by_hand(HELLO, &[(&JOB.1, &file("attempt: 1", "attempt: 1"))]);
    world.open().await;
    let held = world.agent("builder-1").claim().await;
    assert_eq!(held.id, JOB.0);
    world.agent("builder-1").say(&held, json!({ "state": "completed" })).await.expect(200);
}

#[tokio::test]
async fn a_job_that_needs_itself_is_not_left_waiting_in_silence() {
    let mut world = World::start().await;
    world.close().await;
    let needs = format!("payload: {{}}\nneeds: [{}]\n", JOB.0);
    world.commit_by_hand(HELLO, &[(&JOB.1, &file("payload: {}\n", &needs))]);
    world.open().await;
    let quarantine = world.any_agent().get(&format!("/projects/{HELLO}/quarantine")).await.text();
    assert!(quarantine.contains("needs itself"), "{quarantine}");
}

#[tokio::test]
async fn a_job_whose_id_was_made_for_another_project_is_not_handed_out() {
    let mut world = World::start().await;
    world.close().await;
    let foreign =
        IdMaker::new().job(&"mrx-other".parse().unwrap(), "2026-11-20T09:00:00.000Z".parse().unwrap());
    world.commit_by_hand(HELLO, &[(&layout::open_job(&foreign), &file(&JOB.0, foreign.as_str()))]);
    world.open().await;
    assert!(world.agent("builder-1").claim_with(json!({})).await.is_none());
    let quarantine = world.any_agent().get(&format!("/projects/{HELLO}/quarantine")).await.text();
    assert!(quarantine.contains("another project"), "{quarantine}");
}

#[tokio::test]
async fn a_file_that_is_no_job_is_reported_and_the_queue_goes_on() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a YAML bomb", bomb()),
        (
            "deep lists",
            file("payload: {}", &format!("payload: {{a: {}{}}}", "[".repeat(5000), "]".repeat(5000))),
        ),
        ("a field twice", file("attempt: 1", "attempt: 1\nattempt: 1")),
        ("a name twice in the payload", file("payload: {}", "payload: {a: 1, a: 2}")),
        ("an unknown field", file("attempt: 1", "attempt: 1\nowner: anna")),
        ("another id", file(&JOB.0, "job-01jd000000000000000000007m")),
        ("another project", file(HELLO, "mrx-other")),
        ("a state of its own", file("state: pending", "state: paused")),
        ("an ended job", file("state: pending", "state: completed")),
        ("a held job without a lease", file("state: pending", "state: running")),
        ("a wrong type", file("attempt: 1", "attempt: [1]")),
        ("no time", file("updatedAt: 2026-11-20T09:00:00.000Z", "updatedAt: yesterday")),
        ("no UTF-8", [file("attempt: 1", "attempt: 1"), b"# \xff\n".to_vec()].concat()),
        ("more than a mebibyte", file("attempt: 1", &format!("attempt: 1 # {}", "x".repeat(1 << 20)))),
        ("nothing", Vec::new()),
        ("two documents", [file("attempt: 1", "attempt: 1"), b"---\n{}\n".to_vec()].concat()),
    ];
    let mut world = World::start().await;
    for (what, bytes) in cases {
        let good = world.queue("build").await;
        world.close().await;
        world.commit_by_hand(HELLO, &[(&JOB.1, &bytes)]);
        let start = Instant::now();
        world.open().await;
        assert!(start.elapsed() < seconds(5), "{what} takes no time");
        let quarantine = world.any_agent().get(&format!("/projects/{HELLO}/quarantine")).await.expect(200);
        let files = quarantine["files"].as_array().unwrap();
        let paths: Vec<_> = files.iter().map(|file| &file["path"]).collect();
        assert_eq!(paths, [JOB.1.as_str()], "{what}");
        assert!(files[0]["cause"].as_str().unwrap().len() > 10, "{what}: {quarantine}");
        assert_eq!(
            world.admin().get(&format!("/jobs/{}", JOB.0)).await.refused(409),
            "fileInvalid",
            "{what}"
        );
        assert_eq!(
            world.admin().post(&format!("/jobs/{}/cancel", JOB.0)).await.refused(409),
            "fileInvalid",
            "{what}"
        );
        let held = world.agent("builder-1").claim().await;
        assert_eq!(held.id, good, "{what}");
        world.agent("builder-1").say(&held, json!({ "state": "completed" })).await.expect(200);
    }
}

#[tokio::test]
async fn a_bad_file_among_ended_jobs_or_artifacts_does_not_hide_the_others() {
    let mut world = World::start().await;
    world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    world.agent("builder-1").upload(&held, "a.txt", b"a").await.expect(201);
    world.agent("builder-1").say(&held, json!({ "state": "completed" })).await.expect(200);
    world.close().await;
    let artifact = "artifacts/0/7/k/art-01jd000000000000000000007k.yaml";
    world.commit_by_hand(
        HELLO,
        &[("jobs/done/2026-11-20/0/7/k/job-01jd000000000000000000007k.yaml", b"?"), (artifact, b"?")],
    );
    world.open().await;
    let jobs = world.admin().get(&format!("/projects/{HELLO}/jobs")).await.expect(200);
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1);
    let artifacts = world.admin().get(&format!("/projects/{HELLO}/artifacts")).await.expect(200);
    assert_eq!(artifacts["artifacts"].as_array().unwrap().len(), 1);
    let one = world.admin().get(&format!("/projects/{HELLO}/artifacts/art-01jd000000000000000000007k")).await;
    assert_eq!(one.refused(409), "fileInvalid");
}
