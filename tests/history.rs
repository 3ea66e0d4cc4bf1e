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
