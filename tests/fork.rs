//! Forks of state: a second project that begins as another was, in which nothing of it wakes up unless asked.

use mrx::state::layout::RepoName;
use serde_json::{Value, json};

use crate::world::{Answer, Caller, HELLO, World, seconds};

const FORK: &str = "mrx-hello-rehearsal";

async fn fork(caller: &Caller<'_>, body: Value) -> Answer {
    caller.post(&format!("/projects/{HELLO}/forks")).json(&body).await
}

async fn list(world: &World, project: &str, name: &str) -> Vec<Value> {
    let page = world.admin().get(&format!("/projects/{project}/{name}?limit=200")).await.expect(200);
    page[name].as_array().unwrap().clone()
}

/// Two jobs, of which one has ended; a chat, a schedule, a webhook and a secret.
async fn busy(world: &World) -> (String, String) {
    let (ended, open) = (world.queue("build").await, world.queue("build").await);
    let admin = world.admin();
    admin.post(&format!("/jobs/{ended}/cancel")).await.expect(200);
    let of = |rest: &str| format!("/projects/{HELLO}/{rest}");
    admin.post(&of("chats")).json(&json!({ "title": "A plan" })).await.expect(201);
    let schedule = json!({ "name": "nightly", "cron": "0 11 * * *", "jobType": "build" });
    admin.post(&of("schedules")).json(&schedule).await.expect(201);
    let hook = json!({ "url": "http://127.0.0.1:9/x", "events": ["nothing.x"] });
    admin.post(&of("webhooks")).json(&hook).await.expect(201);
    let secret = json!({ "projectId": HELLO, "name": "github", "value": "a-value-of-the-source" });
    admin.post("/admin/secrets").json(&secret).await.expect(201);
    (ended, open)
}

#[tokio::test]
async fn a_fork_begins_as_its_source_was_and_nothing_of_it_wakes_up() {
    let mut world = World::start().await;
    let (ended, open) = busy(&world).await;
    let then = world.tip(HELLO).await;
    let later = world.queue("build").await;
    let made = fork(&world.admin(), json!({ "id": FORK, "at": then })).await;
    let project = made.expect(201);
    assert_eq!(project["forkOf"], json!({ "project": HELLO, "commit": then }));
    assert_eq!(
        (&project["projectId"], made.header("mrx-commit")),
        (&json!(FORK), world.tip("platform").await.as_str())
    );
    for _ in 0..2 {
        let ids: Vec<Value> =
            list(&world, FORK, "jobs").await.iter().map(|job| job["jobId"].clone()).collect();
        assert_eq!(ids, [json!(open), json!(ended)]);
        assert_eq!(list(&world, FORK, "chats").await[0]["title"], "A plan");
        assert_eq!(list(&world, FORK, "schedules").await[0]["enabled"], false);
        assert_eq!(list(&world, FORK, "webhooks").await, [] as [Value; 0]);
        assert_eq!(
            world.admin().get(&format!("/admin/secrets/{FORK}")).await.expect(200)["secrets"],
            json!([])
        );
        let path = format!("/projects/{FORK}/quarantine");
        assert_eq!(world.admin().get(&path).await.expect(200)["files"], json!([]));
        world.restart().await;
    }
    // The source goes on: both of its jobs are handed out, once, and the fork's own waits.
    let own = world.queue_with(json!({ "projectId": FORK, "jobType": "build" })).await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    assert_eq!((held.id.as_str(), held.job["projectId"].as_str()), (open.as_str(), Some(HELLO)));
    builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    assert_eq!(builder.claim().await.id, later);
    assert!(builder.claim_with(json!({})).await.is_none(), "{own} waits");
    world.clock.pass(seconds(3600));
    assert_eq!(world.app().schedules.run_due().await, 1, "the source's alone");
    let ids: Vec<Value> = list(&world, FORK, "jobs").await.iter().map(|job| job["jobId"].clone()).collect();
    assert_eq!(ids, [json!(own), json!(open), json!(ended)]);
    let state = |jobs: &[Value]| jobs[1]["state"].clone();
    assert_eq!(state(&list(&world, FORK, "jobs").await), "pending", "what the source does is not the fork's");
}

#[tokio::test]
async fn the_jobs_of_a_fork_that_runs_are_new_ones() {
    let world = World::start().await;
    let (_, open) = busy(&world).await;
    let needs = world.queue_with(json!({ "jobType": "build", "needs": [open] })).await;
    let project = fork(&world.admin(), json!({ "run": true })).await.expect(201);
    let id = project["projectId"].as_str().unwrap();
    assert!(id.starts_with("mrx-hello-fork-"), "{id}");
    let builder = world.agent("builder-1");
    let held = builder.claim_with(json!({ "projects": [id] })).await.unwrap();
    assert!(held.id != open && held.id != needs);
    assert_eq!(held.job["projectId"], id);
    assert!(builder.claim_with(json!({ "projects": [id] })).await.is_none(), "the other needs it");
    builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    assert!(builder.claim_with(json!({ "projects": [id] })).await.is_some());
    assert_eq!(world.state(&open).await, "pending", "the source's own still waits");
    assert_eq!(list(&world, id, "schedules").await[0]["enabled"], true);
}

async fn set_run(world: &World, run: bool) -> Answer {
    world.admin().patch(&format!("/projects/{FORK}")).json(&json!({ "run": run })).await
}

async fn ids(world: &World) -> Vec<String> {
    let jobs = list(world, FORK, "jobs").await;
    jobs.iter().map(|job| job["jobId"].as_str().unwrap().to_owned()).collect()
}

async fn fork_events(world: &World) -> Vec<Value> {
    let told = world.admin().get(&format!("/projects/{FORK}/history?limit=2")).await.expect(200);
    told["commits"].as_array().unwrap().iter().map(|one| one["event"].clone()).collect()
}

#[tokio::test]
async fn a_fork_that_rested_is_started_and_the_queue_takes_its_jobs() {
    let mut world = World::start().await;
    let (_, open) = busy(&world).await;
    fork(&world.admin(), json!({ "id": FORK })).await.expect(201);
    let own = world.queue_with(json!({ "projectId": FORK, "jobType": "build", "priority": 5 })).await;
    let builder = world.agent("builder-1");
    let of_fork = || json!({ "projects": [FORK] });
    assert!(builder.claim_with(of_fork()).await.is_none(), "it rests");
    // An agent that waits gets its job as it is started.
    let waiting = builder.claim_with(json!({ "projects": [FORK], "wait": 20 }));
    let (held, started) = tokio::join!(waiting, async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        set_run(&world, true).await
    });
    assert_eq!(started.expect(200)["forkOf"]["run"], true);
    let held = held.unwrap();
    assert_eq!(held.id, own);
    builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    world.published(FORK).await;
    let told = world.admin().get(&format!("/projects/{FORK}/history")).await.expect(200);
    let began = told["commits"].as_array().unwrap().iter().find(|one| one["event"] == "project.started");
    let began = began.unwrap();
    assert_eq!(began["actor"], "operator operator");
    assert_eq!(began["subject"], format!("project {FORK}: begins to run, with 1 jobs of its source"));
    assert!(!ids(&world).await.contains(&open), "what was open is the fork's own now");
    world.restart().await;
    let builder = world.agent("builder-1");
    let held = builder.claim_with(of_fork()).await.expect("what was open in its source");
    assert!(held.id != open && held.job["projectId"] == FORK);
    builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    assert!(builder.claim_with(of_fork()).await.is_none());
    assert_eq!(world.state(&open).await, "pending", "the source's own still waits");
    assert_eq!(list(&world, FORK, "schedules").await[0]["enabled"], false, "who wants them turns them on");
}

#[tokio::test]
async fn a_fork_that_runs_is_laid_to_rest_and_one_that_does_so_already_is_left_alone() {
    let world = World::start().await;
    fork(&world.admin(), json!({ "id": FORK })).await.expect(201);
    let tip = world.tip(FORK).await;
    set_run(&world, false).await.expect(200);
    assert_eq!(world.tip(FORK).await, tip);
    set_run(&world, true).await.expect(200);
    let tip = world.tip(FORK).await;
    set_run(&world, true).await.expect(200);
    assert_eq!(world.tip(FORK).await, tip);
    assert_eq!(set_run(&world, false).await.expect(200)["forkOf"]["run"], Value::Null);
    world.published(FORK).await;
    assert_eq!(fork_events(&world).await, ["project.rested", "project.started"]);
    world.queue_with(json!({ "projectId": FORK, "jobType": "build" })).await;
    let builder = world.agent("builder-1");
    assert!(builder.claim_with(json!({ "projects": [FORK] })).await.is_none());

    let hello = world.admin().patch(&format!("/projects/{HELLO}")).json(&json!({ "run": true })).await;
    assert_eq!(hello.refused(409), "noFork");
    let stale = world.admin().patch(&format!("/projects/{FORK}")).header("If-Match", "\"0\"");
    assert_eq!(stale.json(&json!({ "run": true })).await.refused(412), "projectChanged");
    world.published(FORK).await;
    assert_eq!(fork_events(&world).await[1], "project.rested", "it was refused before anything changed");
}

#[tokio::test]
async fn a_fork_outlives_upkeep_and_removal_of_its_source() {
    let mut world = World::start().await;
    busy(&world).await;
    fork(&world.admin(), json!({ "id": FORK })).await.expect(201);
    for _ in 0..3 {
        world.queue("build").await;
        world.published(HELLO).await;
    }
    world.app().state.maintain().await.unwrap();
    let before = list(&world, FORK, "jobs").await;
    world.app().state.remove(&RepoName::Project(HELLO.parse().unwrap())).await.unwrap();
    world.restart().await;
    assert_eq!(list(&world, FORK, "jobs").await, before);
    world.queue_with(json!({ "projectId": FORK, "jobType": "build" })).await;
    world.published(FORK).await;
    let repo = world.repository(FORK);
    let mut walk = repo.revwalk().unwrap();
    walk.push_ref("refs/heads/state").unwrap();
    for commit in walk {
        // Every object of its history is its own.
        let tree = repo.find_commit(commit.unwrap()).unwrap().tree().unwrap();
        tree.walk(git2::TreeWalkMode::PreOrder, |_, entry| {
            entry.to_object(&repo).unwrap();
            git2::TreeWalkResult::Ok
        })
        .unwrap();
    }
    assert!(world.branches(FORK).contains(&"refs/heads/state".to_owned()));
}

#[tokio::test]
async fn a_fork_is_made_by_developers_who_may_read_the_source_and_is_theirs() {
    let world = World::start().await;
    let account = async |name: &str, role: &str| {
        let body = json!({ "name": name, "role": role, "password": "correct horse battery" });
        world.admin().post("/admin/users").json(&body).await.expect(201);
        let login = json!({ "name": name, "password": "correct horse battery" });
        let token = world.stranger().post("/auth/login").json(&login).await.expect(200);
        Caller::with_token(&world, token["token"].as_str().unwrap())
    };
    let (ada, eve) = (account("ada", "developer").await, account("eve", "viewer").await);
    let tips = (world.tip(HELLO).await, world.tip("platform").await);
    assert_eq!(fork(&ada, json!({})).await.refused(404), "projectUnknown");
    assert_eq!(fork(&eve, json!({})).await.refused(403), "forbidden");
    assert_eq!((world.tip(HELLO).await, world.tip("platform").await), tips);
    let member = format!("/projects/{HELLO}/members/ada");
    world.admin().put(&member).json(&json!({ "right": "read" })).await.expect(200);
    for (body, status, code) in [
        (json!({ "id": HELLO }), 409, "projectExists"),
        (json!({ "id": "hello" }), 400, "badRequest"),
        (json!({ "at": "HEAD" }), 400, "badRequest"),
        (json!({ "at": "1".repeat(40) }), 404, "commitUnknown"),
        (json!({ "start": true }), 400, "badRequest"),
    ] {
        assert_eq!(fork(&ada, body.clone()).await.refused(status), code, "{body}");
    }
    let project = fork(&ada, json!({ "id": FORK })).await.expect(201);
    assert_eq!(project["members"], json!([{ "user": "ada", "right": "admin" }]));
    assert_eq!(fork(&ada, json!({ "id": FORK })).await.refused(409), "projectExists");
    assert_eq!(ada.get(&format!("/projects/{FORK}")).await.expect(200)["forkOf"]["project"], HELLO);
    world.look_at_forge().await;
    assert_eq!(
        ada.get(&format!("/projects/{FORK}")).await.expect(200)["state"],
        "active",
        "its code is the source's"
    );
}
