//! Projects: they come from the forge, and are never deleted.

use serde_json::{Value, json};

use crate::world::{HELLO, World, seconds};

async fn names(world: &World) -> Vec<String> {
    let page = world.any_agent().get("/projects").await.expect(200);
    page["projects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|project| project["projectId"].as_str().unwrap().to_owned())
        .collect()
}

async fn project(world: &World, name: &str) -> Value {
    world.any_agent().get(&format!("/projects/{name}")).await.expect(200)
}

#[tokio::test]
async fn a_bare_repository_in_the_forge_is_a_project() {
    let world = World::start().await;
    assert_eq!(names(&world).await, [HELLO]);
    world.project("mrx-a").await;
    world.project("other").await;
    assert_eq!(names(&world).await, ["mrx-a", HELLO]);
    let found = project(&world, "mrx-a").await;
    assert_eq!((&found["state"], &found["defaultBranch"]), (&json!("active"), &json!("main")));
    assert!(found["repo"].as_str().unwrap().ends_with("/forge/mrx-a.git"));
    assert_eq!(world.log_of("mrx-a").await, ["mrx: project mrx-a: created"]);
    assert_eq!(world.any_agent().get("/projects/mrx-none").await.refused(404), "projectUnknown");
}

#[tokio::test]
async fn a_project_without_code_is_missing_and_keeps_its_jobs_until_the_code_is_back() {
    let mut world = World::start().await;
    let job = world.queue("build").await;
    let created = project(&world, HELLO).await["createdAt"].clone();
    world.clock.pass(seconds(60));
    world.remove_code(HELLO).await;
    world.look_at_forge().await;
    world.restart().await;
    assert_eq!(project(&world, HELLO).await["state"], "missing");
    assert_eq!(world.state(&job).await, "pending");
    world.project(HELLO).await;
    let back = project(&world, HELLO).await;
    assert_eq!((&back["state"], &back["createdAt"]), (&json!("active"), &created));
    let log = world.log_of("platform").await;
    let about: Vec<&str> =
        log.iter().filter_map(|line| line.strip_prefix("mrx: project mrx-hello: ")).collect();
    assert_eq!(about, ["found", "no longer on the forge", "on the forge again"]);
}

#[tokio::test]
async fn projects_are_listed_page_by_page() {
    let world = World::start().await;
    for name in ["mrx-a", "mrx-b", "mrx-z"] {
        world.project(name).await;
    }
    let first = world.any_agent().get("/projects?limit=3").await.expect(200);
    assert_eq!(first["projects"].as_array().unwrap().len(), 3);
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = world.any_agent().get(&format!("/projects?limit=3&cursor={cursor}")).await.expect(200);
    assert_eq!((&rest["projects"][0]["projectId"], &rest["nextCursor"]), (&json!("mrx-z"), &Value::Null));
}
