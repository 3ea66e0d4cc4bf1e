//! How the daemon is inside, for admins alone, without opening what is closed.

use serde_json::json;

use crate::world::{HELLO, World};

#[tokio::test]
async fn an_admin_sees_each_project_as_the_engine_has_it_page_by_page() {
    let world = World::start().await;
    world.project("mrx-idle").await;
    world.queue("build").await;
    world.published(HELLO).await;
    world.admin().delete("/projects/mrx-idle").await.expect(200);
    let first = world.admin().get("/admin/debug/projects?limit=1").await.expect(200);
    let hello = &first["projects"][0];
    assert_eq!((&hello["projectId"], &hello["openJobs"]), (&json!(HELLO), &json!(1)));
    assert_eq!((&hello["isOpen"], &hello["isTrashed"]), (&json!(true), &json!(false)));
    assert_eq!(hello["lastCommit"].as_str().unwrap(), world.tip(HELLO).await);
    assert!(hello["bytes"].as_u64().unwrap() > 1000);
    let next = first["nextCursor"].as_str().unwrap();
    let second = world.admin().get(&format!("/admin/debug/projects?limit=1&cursor={next}")).await.expect(200);
    let idle = &second["projects"][0];
    assert_eq!((&idle["projectId"], &idle["isTrashed"]), (&json!("mrx-idle"), &json!(true)));
    assert_eq!(idle["openJobs"], 0);
    assert_eq!(world.admin().get("/admin/debug/projects?page=1").await.refused(400), "badRequest");
}

#[tokio::test]
async fn an_admin_sees_what_the_engine_holds_and_nobody_else_does() {
    let world = World::start().await;
    world.queue("build").await;
    world.queue("build").await;
    world.agent("builder-1").claim().await;
    let state = world.admin().get("/admin/debug/state").await.expect(200);
    assert_eq!(
        (&state["projects"], &state["jobsPending"], &state["jobsHeld"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(state["claimsMeasured"], 1);
    assert!(state["claimMedianMs"].as_f64().unwrap() > 0.0);
    assert!(state["eventsKept"].as_u64().unwrap() >= 3 && state["repositoriesOpen"].as_u64().unwrap() >= 2);
    assert!(state["journalBytes"].as_u64().unwrap() > 0);
    assert!(state["diskBytesFree"].as_u64().unwrap() <= state["diskBytes"].as_u64().unwrap());
    for path in ["/admin/debug/state", "/admin/debug/projects"] {
        assert_eq!(world.any_agent().get(path).await.refused(403), "forbidden");
        assert_eq!(world.stranger().get(path).await.refused(401), "unauthorized");
    }
}
