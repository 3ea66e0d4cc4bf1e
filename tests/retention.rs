//! How long artifacts are kept: rules per project, bytes that several entries share, and what a crash leaves.

use std::time::Duration;

use futures_util::stream;
use mrx::artifact::sweep::Expired;
use serde_json::{Value, json};

use crate::world::{AgentAtWork, HELLO, Held, World};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// One build, finished, with one artifact.
async fn build(world: &World, name: &str, bytes: &[u8]) -> Value {
    let (agent, held) = begin(world).await;
    agent.upload(&held, name, bytes).await.expect(201)
}

async fn begin(world: &World) -> (AgentAtWork<'_>, Held) {
    world.queue("build").await;
    let agent = world.agent("builder-1");
    let held = agent.claim().await;
    (agent, held)
}

async fn names(world: &World, project: &str) -> Vec<String> {
    let list = world.admin().get(&format!("/projects/{project}/artifacts")).await.expect(200);
    let names = list["artifacts"].as_array().unwrap().iter();
    names.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

async fn keep(world: &World, rules: Value) {
    let path = format!("/projects/{HELLO}");
    world.admin().patch(&path).json(&json!({ "retention": rules })).await.expect(200);
}

/// What the daemon does every hour: `(entries, files)` that it removed.
async fn round(world: &World) -> (usize, usize) {
    let (artifacts, registry) = (&world.app().artifacts, world.app().projects.registry());
    (artifacts.expire(registry).await.entries, artifacts.sweep(registry).await.unwrap())
}

#[tokio::test]
async fn what_neither_rule_keeps_is_removed_in_one_commit_that_says_so() {
    let mut world = World::start().await;
    for (name, bytes) in [("one", "1"), ("two", "2"), ("three", "3")] {
        build(&world, name, bytes.as_bytes()).await;
        world.clock.pass(DAY);
    }
    assert_eq!(round(&world).await, (0, 0), "without rules all is kept");
    keep(&world, json!({ "keepBuilds": 1, "keepDays": 2 })).await;
    let before = world.tip(HELLO).await;
    assert_eq!(round(&world).await, (2, 2));
    assert_ne!(world.tip(HELLO).await, before);
    assert_eq!((names(&world, HELLO).await, world.artifact_files()), (vec!["three".to_owned()], 1));
    let log = world.log_of(HELLO).await;
    let line = "mrx: artifacts of mrx-hello: 2 expired, as it keeps 1 builds and 2 days";
    assert_eq!(log.iter().filter(|said| *said == line).count(), 1, "{log:?}");
    assert_eq!(round(&world).await, (0, 0));
    world.restart().await;
    assert_eq!(names(&world, HELLO).await, ["three"]);
    keep(&world, json!(null)).await;
    let shown = world.admin().get(&format!("/projects/{HELLO}")).await.expect(200);
    assert_eq!(shown.get("retention"), None);
}

#[tokio::test]
async fn bytes_that_another_projects_entry_refers_to_stay_until_that_is_gone_too() {
    let world = World::start().await;
    world.project("mrx-b").await;
    let one = build(&world, "one", b"shared").await;
    let other = world.admin().post("/projects/mrx-b/artifacts?name=other").body("shared").await.expect(201);
    assert_eq!(world.artifact_files(), 1);
    let path = |project: &str, entry: &Value| {
        format!("/projects/{project}/artifacts/{}", entry["artifactId"].as_str().unwrap())
    };
    let removed = world.admin().delete(&path(HELLO, &one)).await;
    assert_eq!((removed.expect(200), removed.header("mrx-commit").len()), (one.clone(), 40));
    assert_eq!(world.admin().get(&path(HELLO, &one)).await.refused(404), "artifactUnknown");
    assert_eq!(world.admin().delete(&path(HELLO, &one)).await.refused(404), "artifactUnknown");
    assert_eq!((round(&world).await, world.artifact_files()), ((0, 0), 1));
    let content = world.admin().get(&format!("{}/content", path("mrx-b", &other))).await;
    assert_eq!((content.status, content.body.as_slice()), (200, b"shared".as_slice()));
    world.admin().delete(&path("mrx-b", &other)).await.expect(200);
    assert_eq!((round(&world).await, world.artifact_files()), ((0, 1), 0));
}

#[tokio::test]
async fn an_upload_that_is_repeated_after_its_entry_was_removed_makes_it_anew() {
    let world = World::start().await;
    let (agent, held) = begin(&world).await;
    let entry = agent.upload(&held, "a", b"a").await.expect(201);
    let path = format!("/projects/{HELLO}/artifacts/{}", entry["artifactId"].as_str().unwrap());
    world.admin().delete(&path).await.expect(200);
    round(&world).await;
    let again = agent.upload(&held, "a", b"a").await.expect(201);
    assert_ne!(again["artifactId"], entry["artifactId"]);
    assert_eq!((names(&world, HELLO).await, world.artifact_files()), (vec!["a".to_owned()], 1));
}

#[tokio::test]
async fn bytes_that_an_upload_brings_while_they_are_swept_are_not_lost() {
    let world = World::start().await;
    let first = build(&world, "first", b"same bytes").await;
    let path =
        |entry: &Value| format!("/projects/{HELLO}/artifacts/{}", entry["artifactId"].as_str().unwrap());
    let mut last = first;
    // Each time the entry goes, and the bytes are swept at the very moment when the next upload brings them again.
    for _ in 0..20 {
        world.admin().delete(&path(&last)).await.expect(200);
        let chunks = vec![Ok::<_, std::io::Error>("same "), Ok("bytes")];
        let body = reqwest::Body::wrap_stream(stream::iter(chunks));
        let upload = world.admin().post(&format!("/projects/{HELLO}/artifacts?name=next")).body(body);
        let (answer, _) = tokio::join!(upload.into_future(), round(&world));
        last = answer.expect(201);
        round(&world).await;
        let content = world.admin().get(&format!("{}/content", path(&last))).await;
        assert_eq!((content.status, content.body.as_slice()), (200, b"same bytes".as_slice()));
    }
}

#[tokio::test]
async fn bytes_without_an_entry_are_removed_when_they_are_a_day_old() {
    let world = World::start().await;
    build(&world, "kept", b"kept").await;
    let orphan = world.folder().join("data/artifacts").join("0".repeat(64));
    std::fs::write(&orphan, b"left by a crash").unwrap();
    let now = std::time::UNIX_EPOCH + Duration::from_millis(world.clock.now().millis());
    for path in world.files().into_iter().filter(|path| path.parent().unwrap().ends_with("artifacts")) {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(now).unwrap();
    }
    world.clock.pass(DAY - Duration::from_secs(1));
    assert_eq!((round(&world).await, orphan.exists()), ((0, 0), true));
    world.clock.pass(DAY);
    assert_eq!((round(&world).await, orphan.exists()), ((0, 1), false));
    assert_eq!((names(&world, HELLO).await, world.artifact_files()), (vec!["kept".to_owned()], 1));
}

#[tokio::test]
async fn while_an_entry_cannot_be_read_no_bytes_are_removed() {
    let world = World::start().await;
    let broken = build(&world, "broken", b"broken").await;
    let gone = build(&world, "gone", b"gone").await;
    let id = |entry: &Value| entry["artifactId"].as_str().unwrap().to_owned();
    let bad = id(&broken);
    let last: Vec<String> = bad[bad.len() - 3..].chars().map(String::from).collect();
    let file =
        mrx::state::edit::Edit::write(format!("artifacts/{}/{bad}.yaml", last.join("/")), "nonsense: [");
    let change = mrx::state::edit::Change {
        branch: "refs/heads/state".into(),
        subject: "a person edits".to_owned(),
        event: "file.changed",
        actor: mrx::state::edit::Actor::daemon(),
        request: None,
        edits: vec![file],
    };
    let name = mrx::state::layout::RepoName::Project(HELLO.parse().unwrap());
    let decide = |_: &mut mrx::state::repo::View<'_>| {
        Ok::<_, mrx::state::store::EngineError>(mrx::state::repo::Decision::commit(change, ()))
    };
    world.app().state.change(&name, decide).await.unwrap();
    world.admin().delete(&format!("/projects/{HELLO}/artifacts/{}", id(&gone))).await.expect(200);
    let swept = world.app().artifacts.sweep(world.app().projects.registry()).await;
    assert!(swept.is_err());
    assert_eq!(world.artifact_files(), 2);
}

#[tokio::test]
async fn a_reader_removes_nothing_and_nonsense_rules_are_refused() {
    let world = World::start().await;
    let entry = build(&world, "a", b"a").await;
    let path = format!("/projects/{HELLO}/artifacts/{}", entry["artifactId"].as_str().unwrap());
    assert_eq!(world.any_agent().delete(&path).await.refused(403), "forbidden");
    for bad in [json!({ "keepBuilds": 0 }), json!({ "keepDays": 4000 }), json!({ "days": 1 }), json!(7)] {
        let edit = json!({ "retention": bad });
        let answer = world.admin().patch(&format!("/projects/{HELLO}")).json(&edit).await;
        assert_eq!(answer.refused(400), "badRequest", "{bad}");
    }
}

#[tokio::test]
async fn a_project_that_has_nothing_to_let_go_is_not_opened_again_before_something_can_be() {
    let mut world = World::start().await;
    build(&world, "one", b"1").await;
    keep(&world, json!({ "keepBuilds": 1, "keepDays": 2 })).await;
    world.published(HELLO).await;
    world.restart().await;
    let look = async |world: &World| world.app().artifacts.expire(world.app().projects.registry()).await;
    let found = |projects, entries| Expired { projects, entries };
    assert_eq!(look(&world).await, found(1, 0), "the first time after a start");
    for _ in 0..3 {
        world.clock.pass(Duration::from_secs(3600));
        assert_eq!(look(&world).await, found(0, 0));
    }
    build(&world, "two", b"2").await;
    world.published(HELLO).await;
    assert_eq!((look(&world).await, look(&world).await), (found(1, 0), found(0, 0)), "the state is another");
    keep(&world, json!({ "keepBuilds": 1, "keepDays": 3 })).await;
    assert_eq!((look(&world).await, look(&world).await), (found(1, 0), found(0, 0)), "the rules are others");
    world.clock.pass(3 * DAY);
    assert_eq!(look(&world).await, found(1, 1), "the first build has come of age");
    world.published(HELLO).await;
    assert_eq!((look(&world).await, look(&world).await), (found(1, 0), found(0, 0)));
}
