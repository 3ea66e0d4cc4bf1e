//! `?at=`: state as it was, whatever has become of it, for whoever may read it now.

use mrx::http::routes;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, Caller, HELLO, World, seconds};

const SUM: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Paths that are read, and what each answered.
type Seen = Vec<(String, Value)>;

async fn see(world: &World, paths: &[String]) -> Seen {
    let mut seen = Vec::new();
    for path in paths {
        seen.push((path.clone(), world.admin().get(path).await.expect(200)));
    }
    seen
}

async fn made(world: &World, path: &str, body: Value) -> Value {
    world.admin().post(&format!("/projects/{HELLO}{path}")).json(&body).await.expect(201)
}

/// One of each kind; tells the paths at which it is read.
async fn one_of_each(world: &World) -> Vec<String> {
    let job = world.queue("build").await;
    let chat = made(world, "/chats", json!({ "message": { "text": "Make it blue" } })).await;
    let chat = format!("/projects/{HELLO}/chats/{}", chat["chatId"].as_str().unwrap());
    made(world, "/schedules", json!({ "name": "nightly", "cron": "0 3 * * *", "jobType": "build" })).await;
    let hook = made(world, "/webhooks", json!({ "url": "http://127.0.0.1:9/x", "events": ["job.x"] })).await;
    let entry = made(world, "/artifacts", json!({ "drivePath": "/a/b.bin", "sha256": SUM })).await;
    let admin = world.admin();
    admin.put(&format!("/projects/{HELLO}/prompt")).json(&json!({ "text": "Be brief" })).await.expect(200);
    let secret = json!({ "projectId": HELLO, "name": "github", "value": "a-value-of-the-past" });
    admin.post("/admin/secrets").json(&secret).await.expect(201);
    let of = |rest: &str| format!("/projects/{HELLO}{rest}");
    vec![
        of("/jobs"),
        format!("/jobs/{job}"),
        of("/chats"),
        chat.clone(),
        format!("{chat}/messages"),
        of("/prompt"),
        of("/schedules"),
        of("/schedules/nightly"),
        of("/webhooks"),
        of(&format!("/webhooks/{}", hook["webhookId"].as_str().unwrap())),
        of("/artifacts"),
        of(&format!("/artifacts/{}", entry["artifactId"].as_str().unwrap())),
        of("/quarantine"),
        format!("/admin/secrets/{HELLO}"),
    ]
}

/// Changes or removes whatever those paths show.
async fn change_all(world: &mut World, paths: &[String]) {
    let admin = world.admin();
    let of = |rest: &str| format!("/projects/{HELLO}{rest}");
    admin.post(&format!("{}/cancel", paths[1])).await.expect(200);
    assert_eq!(admin.delete(&paths[3]).await.status, 204);
    admin.put(&of("/prompt")).json(&json!({ "text": "Be long" })).await.expect(200);
    assert_eq!(admin.delete(&of("/schedules/nightly")).await.status, 204);
    admin.delete(&paths[9]).await.expect(200);
    admin.delete(&paths[11]).await.expect(200);
    assert_eq!(admin.delete(&format!("/admin/secrets/{HELLO}/github")).await.status, 204);
    world.close().await;
    world.commit_by_hand(HELLO, &[("schedules/broken.yaml", b"{")]);
    world.open().await;
}

fn with_at(path: &str, at: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}at={at}")
}

async fn at(caller: &Caller<'_>, path: &str, at: &str) -> Answer {
    caller.get(&with_at(path, at)).await
}

#[tokio::test]
async fn every_kind_is_read_as_it_was_by_commit_and_by_time() {
    let mut world = World::start().await;
    let paths = one_of_each(&world).await;
    let (seen, commit, time) = (see(&world, &paths).await, world.tip(HELLO).await, world.clock.now());
    world.clock.pass(seconds(60));
    change_all(&mut world, &paths).await;
    for (path, then) in &seen {
        let now = world.admin().get(path).await;
        assert!(now.status != 200 || now.json() != *then, "{path} has not changed");
        for moment in [commit.clone(), time.to_string(), "2026-11-20T11:00:30%2B01:00".to_owned()] {
            let answer = at(&world.admin(), path, &moment).await;
            assert_eq!(answer.expect(200), *then, "{path} at {moment}");
            assert_eq!(answer.header("mrx-commit"), commit, "{path}");
        }
    }
}

#[tokio::test]
async fn the_registry_is_read_as_it_was_also_at_a_commit_of_the_project() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let project = format!("/projects/{HELLO}");
    let (of_project, of_platform) = (world.tip(HELLO).await, world.tip("platform").await);
    let then = world.admin().get(&project).await.expect(200);
    world.clock.pass(seconds(60));
    world.admin().patch(&project).json(&json!({ "title": "Hello" })).await.expect(200);
    world.project("mrx-later").await;
    for moment in [&of_project, &of_platform, "2026-11-20T10:00:59Z"] {
        let answer = at(&world.admin(), &project, moment).await;
        assert_eq!(answer.expect(200), then, "{moment}");
        assert_eq!(answer.header("mrx-commit"), of_platform);
    }
    let page = at(&world.admin(), "/projects", &of_platform).await.expect(200);
    assert_eq!(page, json!({ "projects": [then], "nextCursor": null }));
    assert_eq!(world.admin().get("/projects").await.expect(200)["projects"].as_array().unwrap().len(), 2);
    // A project that was not there yet has no past.
    assert_eq!(at(&world.admin(), "/projects/mrx-later", &of_platform).await.refused(404), "projectUnknown");
    assert_eq!(at(&world.admin(), &format!("/jobs/{job}"), &of_platform).await.refused(404), "commitUnknown");
}

#[tokio::test]
async fn all_pages_of_a_list_of_the_past_are_of_its_commit() {
    let world = World::start().await;
    for place in ["/a", "/b", "/c"] {
        made(&world, "/artifacts", json!({ "drivePath": place, "sha256": SUM })).await;
        world.queue("build").await;
        made(&world, "/chats", json!({})).await;
    }
    let chat = made(&world, "/chats", json!({ "message": { "text": "one" } })).await;
    let messages = format!("/projects/{HELLO}/chats/{}/messages", chat["chatId"].as_str().unwrap());
    for text in ["two", "three"] {
        world.admin().post(&messages).json(&json!({ "text": text })).await.expect(201);
    }
    world.project("mrx-a").await;
    world.project("mrx-b").await;
    let of = |rest: &str| format!("/projects/{HELLO}{rest}");
    let lists = [
        (of("/artifacts"), "artifacts", HELLO),
        (of("/jobs"), "jobs", HELLO),
        (of("/chats"), "chats", HELLO),
        (format!("{messages}?cursor=after-0"), "messages", HELLO),
        ("/projects".to_owned(), "projects", "platform"),
    ];
    let mut then = Vec::new();
    for (path, name, repo) in &lists {
        let page = world.admin().get(path).await.expect(200);
        then.push((page[*name].as_array().unwrap().clone(), world.tip(repo).await));
    }
    let cut = then[0].0.len();
    world
        .admin()
        .delete(&of(&format!("/artifacts/{}", then[0].0[cut - 1]["artifactId"].as_str().unwrap())))
        .await
        .expect(200);
    world.queue("build").await;
    made(&world, "/chats", json!({})).await;
    world.admin().post(&messages).json(&json!({ "text": "four" })).await.expect(201);
    world.project("mrx-c").await;
    for ((path, name, _), (then, commit)) in lists.iter().zip(&then) {
        let mut found: Vec<Value> = Vec::new();
        let mut next = with_at(&with_limit(path), commit);
        loop {
            let page = world.admin().get(&next).await;
            assert_eq!(page.header("mrx-commit"), if next.contains("at=") { commit } else { "" });
            let page = page.expect(200);
            found.extend(page[*name].as_array().unwrap().iter().cloned());
            let Some(cursor) = page["nextCursor"].as_str() else { break };
            assert!(cursor.starts_with(commit.as_str()), "{path}: {cursor}");
            let plain = path.split('?').next().unwrap();
            next = format!("{plain}?limit=1&cursor={cursor}");
            // Another commit's list does not go on there.
            let other = with_at(&next, &"0".repeat(40));
            assert_eq!(world.admin().get(&other).await.refused(400), "badRequest");
        }
        assert_eq!(found, *then, "{path}");
    }
}

fn with_limit(path: &str) -> String {
    if path.contains('?') { format!("{path}&limit=1") } else { format!("{path}?limit=1") }
}

#[tokio::test]
async fn a_moment_that_the_branch_does_not_have_is_unknown_and_nonsense_is_refused() {
    let world = World::start().await;
    world.project("mrx-other").await;
    let job = world.queue("build").await;
    world.published(HELLO).await;
    let beside = world.commit_beside(HELLO);
    let paths = ["/projects".to_owned(), format!("/projects/{HELLO}/jobs"), format!("/jobs/{job}")];
    for path in &paths {
        for unknown in [&beside, &world.tip("mrx-other").await, &"0".repeat(40), "2026-11-20T09:59:59Z"] {
            assert_eq!(
                at(&world.admin(), path, unknown).await.refused(404),
                "commitUnknown",
                "{path} {unknown}"
            );
        }
        for bad in ["", "HEAD", "main", "yesterday", "1763663400", "2026-11-20", "%FF", "..%2f"] {
            assert_eq!(at(&world.admin(), path, bad).await.refused(400), "badRequest", "{path} {bad}");
        }
        let twice = with_at(&with_at(path, &world.tip(HELLO).await), "2026-11-20T10:00:00Z");
        assert_eq!(world.admin().get(&twice).await.refused(400), "badRequest");
    }
}

#[tokio::test]
async fn who_may_read_the_past_is_told_by_the_rights_of_now() {
    let world = World::start().await;
    let body = json!({ "name": "ada", "role": "developer", "password": "correct horse battery" });
    world.admin().post("/admin/users").json(&body).await.expect(201);
    let login = json!({ "name": "ada", "password": "correct horse battery" });
    let token = world.stranger().post("/auth/login").json(&login).await.expect(200)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let ada = Caller::with_token(&world, &token);
    let member = format!("/projects/{HELLO}/members/ada");
    world.admin().put(&member).json(&json!({ "right": "read" })).await.expect(200);
    let job = world.queue("build").await;
    let (then, then_platform) = (world.tip(HELLO).await, world.tip("platform").await);
    let path = format!("/jobs/{job}");
    at(&ada, &path, &then).await.expect(200);
    assert_eq!(at(&ada, "/projects", &then_platform).await.expect(200)["projects"][0]["projectId"], HELLO);
    world.admin().delete(&member).await.expect(200);
    assert_eq!(at(&ada, &path, &then).await.refused(404), "jobUnknown");
    assert_eq!(at(&ada, &format!("/projects/{HELLO}"), &then).await.refused(404), "projectUnknown");
    assert_eq!(at(&ada, "/projects", &then_platform).await.expect(200)["projects"], json!([]));
}

#[tokio::test]
async fn an_agent_gets_no_values_of_the_past() {
    let world = World::start().await;
    world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    let path = format!("/admin/secrets/{HELLO}?at={}", world.tip(HELLO).await);
    let call = world.as_agent("builder-1").get(&path).header("Job-Lease", &held.lease);
    assert_eq!(call.await.refused(400), "badRequest");
}

const PAGE: &str = "a page, whose query is its own";

/// Paths that are read and have no past, and why.
const WITHOUT_PAST: &[(&str, &str)] = &[
    ("/", PAGE),
    ("/ui", PAGE),
    ("/ui/", PAGE),
    ("/ui/{path}", PAGE),
    ("/health", "the daemon's own"),
    ("/ready", "the daemon's own"),
    ("/metrics", "the daemon's own"),
    ("/openapi.json", "the program's own"),
    ("/agent.py", "the program's own"),
    ("/events", "a stream; after= begins it in the past"),
    ("/projects/{id}/chats/{chatId}/stream", "a stream"),
    ("/auth/me", "who calls now"),
    ("/allowed-signers", "how the daemon is set up"),
    ("/auth/options", "how the daemon is set up"),
    ("/keys", "credentials are those of now"),
    ("/admin/users", "who may do what is asked of now"),
    ("/admin/users/{name}", "who may do what is asked of now"),
    ("/admin/invites", "credentials are those of now"),
    ("/admin/debug/projects", "how the daemon is inside"),
    ("/admin/debug/state", "how the daemon is inside"),
    ("/agents", "who was heard of just now"),
    ("/jobs/{id}/logs", "a log only grows: its bytes of then begin it"),
    ("/projects/{id}/artifacts/{artifactId}/content", "bytes are no state; an entry's never change"),
    ("/projects/{id}/files", "code, which has ref="),
    ("/projects/{id}/webhooks/{webhookId}/deliveries", "calls that were made, beside the state"),
    ("/projects/{id}/remote", "how a host elsewhere was found just now"),
    ("/projects/{id}/history", "the past itself"),
    ("/projects/{id}/commits/{oid}", "the past itself"),
    ("/projects/{id}/diff", "the past itself"),
    ("/git/{repo}/info/refs", "git has the past"),
    ("/git/code/{repo}/info/refs", "git has the past"),
];

/// The path with things in its places, which need not be there.
fn filled(template: &str, job: &str) -> String {
    let id = "01jd000000000000000000007k";
    let place = if template.starts_with("/jobs") { job } else { HELLO };
    [
        ("{id}", place),
        ("{artifactId}", &format!("art-{id}")),
        ("{chatId}", &format!("chat-{id}")),
        ("{webhookId}", &format!("hook-{id}")),
        ("{name}", "nobody"),
        ("{oid}", &"0".repeat(40)),
        ("{repo}", &format!("{HELLO}.git")),
    ]
    .iter()
    .fold(template.to_owned(), |path, (name, value)| path.replace(name, value))
}

#[tokio::test]
async fn every_path_that_is_read_has_a_past_or_a_reason_to_have_none() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let document = mrx::http::openapi::build();
    for route in routes::table().iter().filter(|route| route.method == Method::GET) {
        let reason = WITHOUT_PAST.iter().find(|(path, _)| *path == route.path);
        assert_eq!(reason.is_none(), route.reads_past, "{}", route.path);
        let parameters = &document["paths"][route.path]["get"]["parameters"];
        let is_told = parameters.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "at"));
        assert_eq!(is_told, route.reads_past, "{}", route.path);
        if reason.is_some_and(|(_, reason)| *reason != PAGE) {
            let path = filled(route.path, &job);
            let answer = world.admin().get(&with_at(&path, "2026-11-20T10:00:00Z")).open().await;
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["code"], "badRequest", "{path}: {body}");
            assert!(body["message"].as_str().unwrap().contains("no past"), "{path}: {body}");
        }
    }
}
