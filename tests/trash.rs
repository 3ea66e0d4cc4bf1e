//! What people change of a project, and the trash: where a project is for 30 days before it is removed.

use std::time::Duration;

use mrx::forge::ForgeKind;
use serde_json::{Value, json};

use crate::world::{HELLO, World, seconds};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn listed(world: &World, query: &str) -> Vec<String> {
    let page = world.admin().get(&format!("/projects{query}")).await.expect(200);
    let projects = page["projects"].as_array().unwrap().iter();
    projects.map(|project| project["projectId"].as_str().unwrap().to_owned()).collect()
}

fn path() -> String {
    format!("/projects/{HELLO}")
}

async fn empty(world: &World) -> Vec<String> {
    let removed = world.app().projects.empty_trash().await.unwrap();
    removed.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_project_is_edited_field_by_field_and_null_gives_back_what_the_forge_says() {
    let world = World::start().await;
    let edit = json!({ "title": "Hello", "description": "Says hello.", "defaultBranch": "develop" });
    let edited = world.admin().patch(&path()).json(&edit).await;
    let shown = edited.expect(200);
    assert_eq!((&shown["title"], &shown["defaultBranch"]), (&json!("Hello"), &json!("develop")));
    assert_eq!(edited.header("mrx-commit").len(), 40);
    world.look_at_forge().await;
    assert_eq!(world.admin().get(&path()).await.expect(200), shown, "a look at the forge keeps it");
    let back = json!({ "title": null, "defaultBranch": null });
    let shown = world.admin().patch(&path()).json(&back).await.expect(200);
    assert_eq!((&shown["title"], &shown["defaultBranch"]), (&Value::Null, &json!("main")));
    assert_eq!(shown["description"], "Says hello.");
    let log = world.log_of("platform").await;
    assert_eq!(log.iter().filter(|line| *line == "operator: project mrx-hello: edited").count(), 2);
}

#[tokio::test]
async fn an_edit_of_another_version_is_refused() {
    let world = World::start().await;
    let known = world.admin().get(&path()).await.header("etag").to_owned();
    let unchanged = world.admin().get(&path()).header("If-None-Match", &known).await;
    assert_eq!(unchanged.status, 304);
    let patch = |title: &str| world.admin().patch(&path()).json(&json!({ "title": title }));
    patch("one").header("If-Match", &known).await.expect(200);
    assert_eq!(patch("two").header("If-Match", &known).await.refused(412), "projectChanged");
    let trash = world.admin().delete(&path()).header("If-Match", &known).await;
    assert_eq!(trash.refused(412), "projectChanged");
    for bad in [json!({ "repo": "/etc" }), json!({ "defaultBranch": "-x" }), json!({ "title": 1 })] {
        assert_eq!(world.admin().patch(&path()).json(&bad).await.refused(400), "badRequest", "{bad}");
    }
}

#[tokio::test]
async fn a_project_is_made_in_the_folder_and_is_there_at_once() {
    let world = World::start().await;
    let made = world.admin().post("/projects").json(&json!({ "name": "mrx-new" })).await.expect(201);
    assert!(made["repo"].as_str().unwrap().ends_with("/forge/mrx-new.git"));
    assert_eq!(listed(&world, "").await, [HELLO, "mrx-new"]);
    let before = world.tip("platform").await;
    world.look_at_forge().await;
    assert_eq!(world.tip("platform").await, before);
    let owned = json!({ "name": "mrx-x", "owner": "acme" });
    assert_eq!(world.admin().post("/projects").json(&owned).await.refused(400), "badRequest");
    let again = world.admin().post("/projects").json(&json!({ "name": HELLO })).await;
    assert_eq!(again.refused(409), "projectExists");
    let agent = world.any_agent().post("/projects").json(&json!({ "name": "mrx-y" })).await;
    assert_eq!(agent.refused(403), "forbidden");
}

#[tokio::test]
async fn who_makes_a_repository_owns_the_project_also_if_a_look_at_the_forge_finds_it_first() {
    use mrx::forge::{ForgeKind, NewCode};
    use mrx::identity::{Member, Right};
    let world = World::start().await;
    let (app, begun) = (world.app(), world.app().clock.now());
    let name = "mrx-new".parse().unwrap();
    let new = NewCode { name, owner: None, private: true, description: None };
    let code = app.syncer.forge().create(new).await.unwrap();
    world.look_at_forge().await;
    let owner = Member { user: "ada".parse().unwrap(), right: Right::Admin };
    let actor = || mrx::state::edit::Actor { kind: "user", name: "ada".into() };
    let register =
        |owner: Member| app.projects.register(ForgeKind::Local, &code, begun, Some(owner), actor());
    let made = register(owner.clone()).await.unwrap().answer;
    assert_eq!((made.project_id.as_str(), &made.members[..]), ("mrx-new", &[owner.clone()][..]));
    assert!(register(owner).await.is_err(), "it has an owner now");
}

#[tokio::test]
async fn a_project_in_the_trash_is_hidden_and_its_jobs_wait_until_it_is_back() {
    let mut world = World::start().await;
    let job = world.queue("build").await;
    let trashed = world.admin().delete(&path()).await.expect(200);
    assert_eq!(trashed["trashedAt"], "2026-11-20T10:00:00.000Z");
    assert!(listed(&world, "").await.is_empty());
    assert_eq!(listed(&world, "?trashed=true").await, [HELLO]);
    let none = world.agent("builder-1").claim_call(json!({})).await;
    assert_eq!(none.status, 204, "{}", none.text());
    world.restart().await;
    assert_eq!(world.agent("builder-1").claim_call(json!({})).await.status, 204);
    let body = json!({ "projectId": HELLO, "jobType": "build" });
    assert_eq!(world.admin().post("/jobs/create").json(&body).await.refused(409), "projectTrashed");
    assert_eq!(
        world.admin().patch(&path()).json(&json!({ "title": "x" })).await.refused(409),
        "projectTrashed"
    );
    world.look_at_forge().await;
    assert!(listed(&world, "").await.is_empty(), "the forge does not bring it back");
    world.admin().post(&format!("{}/restore", path())).await.expect(200);
    assert_eq!(world.admin().post(&format!("{}/restore", path())).await.refused(409), "projectNotTrashed");
    assert_eq!(world.agent("builder-1").claim().await.id, job);
}

#[tokio::test]
async fn after_30_days_the_state_is_gone_for_good_and_the_code_is_not() {
    let mut world = World::start().await;
    let job = world.queue("build").await;
    world.admin().delete(&path()).await.expect(200);
    world.clock.pass(DAY * 30 - seconds(1));
    assert!(empty(&world).await.is_empty());
    world.clock.pass(seconds(1));
    assert_eq!(empty(&world).await, [HELLO]);
    assert!(!world.repository_is_there(HELLO));
    assert_eq!(world.admin().get(&path()).await.refused(404), "projectUnknown");
    assert_eq!(world.admin().get(&format!("/jobs/{job}")).await.refused(404), "jobUnknown");
    assert_eq!(world.agent("builder-1").claim_call(json!({})).await.status, 204);
    assert!(world.app().syncer.forge().kind() == ForgeKind::Local && world.code_is_there(HELLO));
    let log = world.log_of("platform").await;
    assert!(
        log.iter().any(|line| line == "mrx: project mrx-hello: removed after 30 days in the trash"),
        "{log:?}"
    );
    // Neither the forge nor the journal brings it back.
    for _ in 0..2 {
        world.look_at_forge().await;
        world.restart().await;
        assert!(!world.repository_is_there(HELLO) && listed(&world, "").await.is_empty());
    }
    assert!(empty(&world).await.is_empty());
}

#[tokio::test]
async fn a_removed_projects_name_can_be_taken_again_and_begins_anew() {
    let mut world = World::start().await;
    let old = world.queue("build").await;
    world.admin().delete(&path()).await.expect(200);
    world.clock.pass(DAY * 30);
    empty(&world).await;
    world.admin().post("/projects").json(&json!({ "name": HELLO })).await.expect(201);
    let new = world.queue("build").await;
    world.restart().await;
    assert_eq!(world.state(&new).await, "pending");
    assert_eq!(world.admin().get(&format!("/jobs/{old}")).await.refused(404), "jobUnknown");
    assert_eq!(world.log_of(HELLO).await.len(), 2, "a new beginning");
    assert!(empty(&world).await.is_empty());
}

#[tokio::test]
async fn a_removal_that_a_crash_cut_off_is_finished_by_the_next_round() {
    let mut world = World::start().await;
    let saved = tempfile::tempdir().unwrap();
    world.queue("build").await;
    world.published(HELLO).await;
    world.admin().delete(&path()).await.expect(200);
    world.clock.pass(DAY * 30);
    world.close().await;
    world.copy_repository(HELLO, saved.path());
    world.open().await;
    empty(&world).await;
    world.close().await;
    // As if the folder had not been moved away yet.
    world.put_repository(HELLO, saved.path());
    world.open().await;
    assert!(listed(&world, "").await.is_empty() && world.repository_is_there(HELLO));
    assert_eq!(empty(&world).await, [HELLO]);
    assert!(!world.repository_is_there(HELLO));
}
