//! A project's past over HTTP: what happened, to what, by whom, and what each commit changed.

use serde_json::{Value, json};

use crate::world::{HELLO, World};

async fn commits(world: &World, query: &str) -> Vec<Value> {
    let page = world.admin().get(&format!("/projects/{HELLO}/history?{query}")).await.expect(200);
    page["commits"].as_array().unwrap().clone()
}

fn events(commits: &[Value]) -> Vec<&str> {
    commits.iter().map(|commit| commit["event"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_life_of_one_job_is_read_by_its_id_and_page_by_page() {
    let world = World::start().await;
    let job = world.queue("build").await;
    world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    builder.say(&held, json!({ "state": "running" })).await.expect(200);
    world.published(HELLO).await;
    assert_eq!(held.id, job);
    assert_eq!(
        events(&commits(&world, &format!("about={job}")).await),
        ["job.started", "job.claimed", "job.created"]
    );
    assert_eq!(events(&commits(&world, "about=project.yaml").await), ["project.created"]);
    let path = format!("/projects/{HELLO}/history?limit=2");
    let first = world.admin().get(&path).await.expect(200);
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = world.admin().get(&format!("{path}&cursor={cursor}")).await.expect(200);
    assert_eq!(events(first["commits"].as_array().unwrap()), ["job.started", "job.claimed"]);
    assert_eq!(events(rest["commits"].as_array().unwrap()), ["job.created", "job.created"]);
}

#[tokio::test]
async fn a_commit_tells_who_did_it_and_which_fields_changed_how() {
    let world = World::start().await;
    let job = world.queue("build").await;
    world.agent("builder-1").claim().await;
    world.published(HELLO).await;
    let claimed = commits(&world, &format!("about={job}&limit=1")).await.remove(0);
    let oid = claimed["commit"].as_str().unwrap();
    let shown = world.admin().get(&format!("/projects/{HELLO}/commits/{oid}")).await.expect(200);
    assert_eq!((&shown["event"], &shown["actor"]), (&json!("job.claimed"), &json!("agent builder-1")));
    let file = &shown["files"][0];
    assert_eq!((&file["change"], &shown["isCut"]), (&json!("changed"), &json!(false)));
    let field = |name: &str| {
        file["fields"].as_array().unwrap().iter().find(|field| field["field"] == name).unwrap().clone()
    };
    assert_eq!(field("state"), json!({ "field": "state", "from": "pending", "to": "claimed" }));
    assert_eq!(field("claimedBy"), json!({ "field": "claimedBy", "from": null, "to": "builder-1" }));
}

#[tokio::test]
async fn a_commit_of_elsewhere_is_unknown_and_a_path_out_of_the_branch_is_none() {
    let world = World::start().await;
    let unknown = format!("/projects/{HELLO}/commits/{}", "1".repeat(40));
    assert_eq!(world.admin().get(&unknown).await.refused(404), "commitUnknown");
    let platform = world.tip("platform").await;
    assert_eq!(
        world.admin().get(&format!("/projects/{HELLO}/commits/{platform}")).await.refused(404),
        "commitUnknown"
    );
    assert_eq!(world.admin().get(&format!("/projects/{HELLO}/commits/HEAD")).await.refused(404), "notFound");
    for bad in ["../x", "/etc/passwd", "a//b"] {
        assert_eq!(
            world.admin().get(&format!("/projects/{HELLO}/history?about={bad}")).await.refused(400),
            "badRequest",
            "{bad}"
        );
    }
}

#[tokio::test]
async fn history_is_asked_by_path_or_by_id_and_says_what_each_commit_touched() {
    let world = World::start().await;
    let (first, second) = (world.queue("build").await, world.queue("build").await);
    let chats = format!("/projects/{HELLO}/chats");
    let chat =
        world.admin().post(&chats).json(&json!({ "message": { "text": "Make it blue" } })).await.expect(201);
    let id = chat["chatId"].as_str().unwrap();
    let body = json!({ "title": "Blue" });
    world.admin().patch(&format!("{chats}/{id}")).json(&body).await.expect(200);
    world.admin().post(&format!("/jobs/{first}/cancel")).await.expect(200);
    world.published(HELLO).await;
    let of_chat = commits(&world, &format!("id={id}")).await;
    assert_eq!(events(&of_chat), ["chat.changed", "chat.created"]);
    let entity = |kind: &str, id: &str, change: &str| json!({ "kind": kind, "id": id, "change": change });
    assert_eq!(of_chat[0]["entities"], json!([entity("chat", id, "changed")]));
    let job = chat["lastJob"].as_str().unwrap();
    assert_eq!(of_chat[1]["entities"], json!([entity("chat", id, "added"), entity("job", job, "added")]));
    assert_eq!(of_chat[1]["filesCount"], 3);
    let of_job = commits(&world, &format!("id={first}")).await;
    assert_eq!(events(&of_job), ["job.cancelled", "job.created"]);
    assert_eq!(of_job[0]["entities"], json!([entity("job", &first, "changed")]), "its file has moved");
    assert_eq!(events(&commits(&world, "path=jobs/done").await), ["job.cancelled"]);
    let all = commits(&world, "path=jobs/open").await;
    assert_eq!(events(&all), ["job.cancelled", "chat.created", "job.created", "job.created"]);
    let after = all[1]["commit"].as_str().unwrap();
    assert_eq!(commits(&world, &format!("path=jobs/open&after={after}")).await, all[2..]);
    for bad in [
        format!("id={id}&path=jobs"),
        "id=jobs/open".to_owned(),
        "id=".to_owned(),
        "path=../x".to_owned(),
        format!("job={second}"),
    ] {
        let path = format!("/projects/{HELLO}/history?{bad}");
        assert_eq!(world.admin().get(&path).await.refused(400), "badRequest", "{bad}");
    }
}

#[tokio::test]
async fn a_commit_tells_of_a_job_that_ended_as_one_thing_that_changed() {
    let world = World::start().await;
    let job = world.queue("build").await;
    world.admin().post(&format!("/jobs/{job}/cancel")).await.expect(200);
    // The commit of an answer is there at once.
    let tip = world.tip(HELLO).await;
    let shown = world.admin().get(&format!("/projects/{HELLO}/commits/{tip}")).await.expect(200);
    let entities = shown["entities"].as_array().unwrap();
    assert_eq!((entities.len(), shown["files"].as_array().unwrap().len()), (1, 2));
    assert_eq!((&entities[0]["id"], &entities[0]["change"]), (&json!(job), &json!("changed")));
    let fields: Vec<&str> = entities[0]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["endedAt", "state"]);
}

#[tokio::test]
async fn what_differs_between_two_moments_is_told_and_cut_where_it_is_much() {
    let world = World::start().await;
    let before = world.tip(HELLO).await;
    let then = world.clock.now();
    world.clock.pass(std::time::Duration::from_secs(60));
    let job = world.queue("build").await;
    world
        .admin()
        .put(&format!("/projects/{HELLO}/prompt"))
        .json(&json!({ "text": "Be brief" }))
        .await
        .expect(200);
    let diff = async |query: &str| world.admin().get(&format!("/projects/{HELLO}/diff?{query}")).await;
    let told = diff(&format!("from={before}")).await.expect(200);
    assert_eq!((&told["from"], &told["to"]), (&json!(before), &json!(world.tip(HELLO).await)));
    let kinds: Vec<(&str, &str)> = told["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entity| (entity["kind"].as_str().unwrap(), entity["change"].as_str().unwrap()))
        .collect();
    assert_eq!((kinds, &told["isCut"]), (vec![("prompt", "added"), ("job", "added")], &json!(false)));
    let back = diff(&format!("from={}&to={then}", world.tip(HELLO).await)).await.expect(200);
    assert_eq!(
        back["entities"][1],
        json!({ "kind": "job", "id": job, "change": "removed", "fields": back["entities"][1]["fields"] })
    );
    assert_eq!(diff(&format!("from={before}&to={before}")).await.expect(200)["entities"], json!([]));
    for number in 0..302 {
        let entry = json!({ "drivePath": format!("/{number}"), "sha256": "a".repeat(64) });
        world.admin().post(&format!("/projects/{HELLO}/artifacts")).json(&entry).await.expect(201);
    }
    let told = diff(&format!("from={before}")).await.expect(200);
    assert_eq!((told["files"].as_array().unwrap().len(), &told["isCut"]), (300, &json!(true)));
    assert_eq!(diff(&format!("from={}", "1".repeat(40))).await.refused(404), "commitUnknown");
    assert_eq!(diff("from=2026-11-19T00:00:00Z").await.refused(404), "commitUnknown");
    for bad in ["", "from=HEAD", "to=2026-11-19T00:00:00Z", "from=2026-11-20T10:00:00Z&to=x"] {
        assert_eq!(diff(bad).await.refused(400), "badRequest", "{bad}");
    }
}
