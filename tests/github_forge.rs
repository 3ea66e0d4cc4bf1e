//! GitHub as the forge: what it has becomes projects, and its limits and failures never take one away.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use mrx::clock::Time;
use serde_json::{Value, json};

use crate::github::{ACME, Fault, PERSON, StandIn, TOKEN};
use crate::world::{World, seconds};

/// A world with GitHub as its forge, used with the token; the stand-in has these repositories of the organization.
async fn world(names: &[&str]) -> (World, Arc<StandIn>) {
    world_of(names, |hub, clock| hub.with_token(clock, &[ACME])).await
}

async fn world_of(
    names: &[&str],
    forge: impl FnOnce(&StandIn, &mrx::clock::Clock) -> mrx::forge::github::GitHub,
) -> (World, Arc<StandIn>) {
    let start: Time = "2026-11-20T10:00:00.000Z".parse().unwrap();
    let clock = mrx::clock::Clock::by_hand(start);
    let hub = Arc::new(StandIn::start(clock.clone()).await);
    for name in names {
        hub.add(name);
    }
    let github = forge(&hub, &clock);
    let world = World::with_github(clock, github).await;
    (world, hub)
}

async fn names(world: &World) -> Vec<String> {
    let mut names = Vec::new();
    let mut path = "/projects?limit=200".to_owned();
    loop {
        let page = world.admin().get(&path).await.expect(200);
        let found = page["projects"].as_array().unwrap().iter();
        names.extend(found.map(|project| project["projectId"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/projects?limit=200&cursor={cursor}"),
            None => return names,
        }
    }
}

async fn project(world: &World, name: &str) -> Value {
    world.admin().get(&format!("/projects/{name}")).await.expect(200)
}

async fn health(world: &World) -> Value {
    world.stranger().get("/health").await.expect(200)["forge"].clone()
}

/// What the platform's log says about a project.
async fn told(world: &World, name: &str) -> Vec<String> {
    let about = format!("mrx: project {name}: ");
    let log = world.log_of("platform").await;
    log.iter().filter_map(|line| line.strip_prefix(&about).map(str::to_owned)).collect()
}

/// Looks at the forge while time passes whenever the daemon waits for it; tells how long that was.
async fn look_and_wait(world: &World) -> Duration {
    let syncer = world.app().syncer.clone();
    let begun = world.clock.now();
    let passing = async {
        loop {
            world.clock.pass(seconds(1));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        looked = syncer.sync() => looked.unwrap(),
        () = passing => unreachable!("time does not end"),
    }
    world.clock.now().since(begun)
}

#[tokio::test]
async fn of_250_repositories_on_three_pages_only_those_with_the_prefix_are_projects() {
    let (world, hub) = world(&[]).await;
    for number in 0..250 {
        hub.add(&if number % 5 == 0 { format!("mrx-{number:03}") } else { format!("other-{number:03}") });
    }
    hub.hub(|hub| hub.add(PERSON, "mrx-annas"));
    world.look_at_forge().await;
    let expected: Vec<String> = (0..50).map(|number| format!("mrx-{:03}", number * 5)).collect();
    assert_eq!(names(&world).await, expected);
    let pages = hub.log().iter().filter(|line| line.starts_with("GET /orgs/acme/repos")).count();
    assert_eq!(pages, 3);
    let found = project(&world, "mrx-000").await;
    assert!(found["repo"].as_str().unwrap().ends_with("/acme/mrx-000"), "{found}");
    assert_eq!(found["forge"]["kind"], "github");
    assert_eq!(health(&world).await["lastWholeSync"], "2026-11-20T10:00:00.000Z");
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again_and_costs_no_budget() {
    let (world, hub) = world(&["mrx-a"]).await;
    world.look_at_forge().await;
    let (tip, remaining) = (world.tip("platform").await, hub.hub(|hub| hub.remaining));
    hub.log();
    world.look_at_forge().await;
    let log = hub.log();
    assert!(!log.is_empty() && log.iter().all(|line| line.ends_with(" 304")), "{log:?}");
    assert_eq!(hub.hub(|hub| hub.remaining), remaining);
    assert_eq!(world.tip("platform").await, tip, "nothing is committed");
}

#[tokio::test]
async fn a_full_page_that_has_not_changed_may_have_got_a_successor() {
    let (world, hub) = world(&[]).await;
    for number in 0..100 {
        hub.add(&format!("mrx-{number:03}"));
    }
    world.look_at_forge().await;
    assert_eq!(names(&world).await.len(), 100);
    hub.add("mrx-new");
    world.look_at_forge().await;
    assert_eq!(names(&world).await.len(), 101);
}

#[tokio::test]
async fn a_page_that_fails_or_breaks_off_leaves_the_list_as_it_was() {
    let (world, hub) = world(&[]).await;
    for number in 0..150 {
        hub.add(&format!("mrx-{number:03}"));
    }
    world.look_at_forge().await;
    for fault in [Fault::Status(502), Fault::Half] {
        hub.fail("page=2", fault, 5);
        let syncer = world.app().syncer.clone();
        let passing = async {
            loop {
                world.clock.pass(seconds(1));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            looked = syncer.sync() => assert!(looked.is_err(), "{fault:?}"),
            () = passing => {}
        }
        assert_eq!(names(&world).await.len(), 150);
        assert!(health(&world).await["problem"].is_string());
        assert_eq!(health(&world).await["lastWholeSync"], "2026-11-20T10:00:00.000Z");
    }
    world.look_at_forge().await;
    assert_eq!(health(&world).await["problem"], Value::Null);
}

#[tokio::test]
async fn a_broken_answer_is_asked_for_again_after_a_pause() {
    let (world, hub) = world(&["mrx-a"]).await;
    hub.fail("/orgs/", Fault::Status(503), 2);
    hub.fail("/orgs/", Fault::Half, 1);
    let waited = look_and_wait(&world).await;
    assert!(waited >= Duration::from_secs_f64(0.75 + 1.5 + 3.0), "{waited:?}");
    assert_eq!(names(&world).await, ["mrx-a"]);
}

#[tokio::test]
async fn a_revoked_token_keeps_the_list_and_says_so() {
    let (world, hub) = world(&["mrx-a"]).await;
    world.look_at_forge().await;
    hub.hub(|hub| hub.tokens.clear());
    assert!(world.app().syncer.sync().await.is_err());
    assert_eq!(names(&world).await, ["mrx-a"]);
    assert_eq!(health(&world).await["problem"], "credentialRefused");
    let answer = world.admin().post("/projects/mrx-a/sync").await;
    assert_eq!(answer.refused(502), "forgeFailed");
}

#[tokio::test]
async fn a_secondary_limit_is_waited_for_as_long_as_it_says() {
    let (world, hub) = world(&["mrx-a"]).await;
    hub.fail("/orgs/", Fault::Secondary(90), 1);
    assert!(look_and_wait(&world).await >= seconds(90));
    hub.fail("/orgs/", Fault::SilentSecondary, 1);
    assert!(look_and_wait(&world).await >= seconds(60));
    assert_eq!(names(&world).await, ["mrx-a"]);
}

#[tokio::test]
async fn an_exhausted_budget_is_waited_for_and_nobody_is_kept_waiting_meanwhile() {
    let (world, hub) = world(&["mrx-a"]).await;
    world.look_at_forge().await;
    hub.add("mrx-b");
    hub.hub(|hub| (hub.remaining, hub.reset) = (0, hub_now(&world) + 600));
    let syncer = world.app().syncer.clone();
    let waiting = async {
        while health(&world).await["waitingUntil"].is_null() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(names(&world).await, ["mrx-a"]);
        let answer = world.admin().post("/projects").json(&json!({ "name": "mrx-c" })).await;
        assert_eq!((answer.refused(503).as_str(), answer.header("retry-after")), ("forgeBusy", "60"));
        hub.log();
        world.clock.pass(seconds(599));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(hub.log().is_empty(), "nothing is asked before the reset");
        world.clock.pass(seconds(2));
    };
    let (looked, ()) = tokio::join!(syncer.sync(), waiting);
    looked.unwrap();
    assert_eq!(names(&world).await, ["mrx-a", "mrx-b"]);
}

fn hub_now(world: &World) -> u64 {
    world.clock.now().seconds()
}

#[tokio::test]
async fn a_renamed_repository_keeps_its_project_its_state_and_its_jobs() {
    let (world, hub) = world(&[]).await;
    let id = hub.add("mrx-a");
    world.look_at_forge().await;
    let job = world.queue_with(json!({ "projectId": "mrx-a", "jobType": "build" })).await;
    hub.change(id, |found| found.name = "mrx-wind".to_owned());
    world.look_at_forge().await;
    assert_eq!(names(&world).await, ["mrx-a"]);
    assert!(project(&world, "mrx-a").await["repo"].as_str().unwrap().ends_with("/acme/mrx-wind"));
    assert_eq!(world.state(&job).await, "pending");
    let held = world.agent("builder-1").claim().await;
    let url = held.code["url"].as_str().unwrap();
    assert!(url.starts_with("https://") && url.ends_with("/acme/mrx-wind.git"), "{url}");
    assert!(told(&world, "mrx-a").await[1].starts_with("renamed to "));
    // A new repository under the old name is another project.
    let other = hub.add("mrx-a");
    world.look_at_forge().await;
    assert_eq!(names(&world).await, ["mrx-a".to_owned(), format!("mrx-a-{other}")]);
}

#[tokio::test]
async fn an_archived_repository_is_flagged_and_takes_no_new_jobs() {
    let (world, hub) = world(&[]).await;
    let id = hub.add("mrx-a");
    world.look_at_forge().await;
    let job = world.queue_with(json!({ "projectId": "mrx-a", "jobType": "build" })).await;
    hub.change(id, |found| found.archived = true);
    world.look_at_forge().await;
    assert_eq!(project(&world, "mrx-a").await["archived"], true);
    let body = json!({ "projectId": "mrx-a", "jobType": "build" });
    let refused = world.admin().post("/jobs/create").json(&body).await;
    assert_eq!(refused.refused(409), "projectArchived");
    assert_eq!(world.state(&job).await, "pending", "the jobs that were there go on");
    hub.change(id, |found| found.archived = false);
    world.look_at_forge().await;
    world.admin().post("/jobs/create").json(&body).await.expect(201);
    assert_eq!(told(&world, "mrx-a").await, ["found", "archived", "no longer archived"]);
}

#[tokio::test]
async fn a_deleted_repository_is_missing_and_one_that_is_restored_is_back() {
    let (mut world, hub) = world(&["mrx-b"]).await;
    let id = hub.add("mrx-a");
    world.look_at_forge().await;
    world.clock.pass(seconds(60));
    let deleted = hub.hub(|hub| {
        let at = hub.repositories.iter().position(|found| found.id == id).unwrap();
        hub.repositories.remove(at)
    });
    world.look_at_forge().await;
    world.restart().await;
    let missing = project(&world, "mrx-a").await;
    assert_eq!(
        (&missing["state"], &missing["missingSince"]),
        (&json!("missing"), &json!("2026-11-20T10:01:00.000Z"))
    );
    assert_eq!(project(&world, "mrx-b").await["state"], "active");
    hub.hub(|hub| hub.repositories.push(deleted));
    world.look_at_forge().await;
    let back = project(&world, "mrx-a").await;
    assert_eq!((&back["state"], &back["missingSince"]), (&json!("active"), &Value::Null));
    assert_eq!(told(&world, "mrx-a").await, ["found", "no longer on the forge", "on the forge again"]);
}

#[tokio::test]
async fn what_a_list_lacks_is_asked_for_before_it_is_missing() {
    let (world, hub) = world(&["mrx-b"]).await;
    let id = hub.add("mrx-a");
    world.look_at_forge().await;
    // The list lacks it, as when pages shift, and it is there.
    hub.change(id, |found| found.owner = "ACME".to_owned());
    hub.fail("/repos/acme/mrx-a", Fault::Status(500), 5);
    let syncer = world.app().syncer.clone();
    let passing = async {
        loop {
            world.clock.pass(seconds(5));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! { looked = syncer.sync() => assert!(looked.is_err()), () = passing => {} }
    assert_eq!(project(&world, "mrx-a").await["state"], "active", "nobody knows");
    hub.heal();
    world.look_at_forge().await;
    assert_eq!(project(&world, "mrx-a").await["state"], "missing", "now it is known");
}

#[tokio::test]
async fn a_name_that_is_no_projects_is_passed_over_and_the_others_are_taken() {
    let (world, _hub) = world(&["mrx-a", "mrx-Under_Score", "mrx-b.c"]).await;
    world.look_at_forge().await;
    assert_eq!(names(&world).await, ["mrx-a"]);
}

#[tokio::test]
async fn a_person_and_an_organization_can_both_be_owners_and_of_others_only_public_ones_show() {
    let owners = |hub: &StandIn, clock: &mrx::clock::Clock| hub.with_token(clock, &["Anna", ACME, "bert"]);
    let (world, hub) = world_of(&["mrx-a"], owners).await;
    hub.hub(|hub| {
        hub.add(PERSON, "mrx-annas");
        hub.add("bert", "mrx-private");
        let public = hub.add("bert", "mrx-public");
        hub.repositories.iter_mut().find(|found| found.id == public).unwrap().private = false;
    });
    world.look_at_forge().await;
    assert_eq!(names(&world).await, ["mrx-a", "mrx-annas", "mrx-public"]);
}

#[tokio::test]
async fn an_apps_token_is_minted_kept_and_renewed() {
    let (world, hub) = world_of(&["mrx-a"], |hub, clock| hub.with_app(clock, &[ACME])).await;
    world.look_at_forge().await;
    world.look_at_forge().await;
    assert_eq!(names(&world).await, ["mrx-a"]);
    assert_eq!(hub.hub(|hub| hub.minted.len()), 1, "one token is enough");
    world.clock.pass(seconds(56 * 60));
    world.look_at_forge().await;
    assert_eq!(hub.hub(|hub| hub.minted.len()), 2, "it is renewed before it ends");
    hub.hub(|hub| hub.minted.values_mut().for_each(|end| *end = 0));
    hub.add("mrx-b");
    world.look_at_forge().await;
    assert_eq!(names(&world).await, ["mrx-a", "mrx-b"], "a revoked one is replaced at once");
    assert_eq!(hub.hub(|hub| hub.minted.len()), 3);
    let made = world.admin().post("/projects").json(&json!({ "name": "mrx-c" })).await.expect(201);
    assert!(made["repo"].as_str().unwrap().ends_with("/acme/mrx-c"));
}

#[tokio::test]
async fn a_project_is_made_on_github_and_is_there_at_once() {
    let (world, hub) = world(&[]).await;
    let body = json!({ "name": "mrx-new", "private": false, "description": "the weather" });
    let answer = world.admin().post("/projects").json(&body).await;
    let made = answer.expect(201);
    assert_eq!((&made["projectId"], &made["description"]), (&json!("mrx-new"), &json!("the weather")));
    assert!(answer.header("mrx-commit").len() == 40 && answer.header("etag").len() > 2);
    assert_eq!(names(&world).await, ["mrx-new"]);
    hub.hub(|hub| assert!(!hub.repositories[0].private && hub.repositories[0].owner == ACME));
    assert_eq!(world.admin().post("/projects").json(&body).await.refused(409), "projectExists");
    world.look_at_forge().await;
    assert_eq!(names(&world).await, ["mrx-new"], "the list shows the same one");
    // One that GitHub has and no look has found yet is taken as it is.
    hub.add("mrx-there");
    world.admin().post("/projects").json(&json!({ "name": "mrx-there" })).await.expect(201);
    let log = world.log_of("platform").await;
    assert!(log.iter().any(|line| line.starts_with("operator: project mrx-new: made for ")), "{log:?}");
}

#[tokio::test]
async fn a_project_that_github_refuses_is_not_made() {
    let (world, hub) = world(&[]).await;
    let post = async |body: Value| world.admin().post("/projects").json(&body).await;
    assert_eq!(post(json!({ "name": "weather" })).await.refused(400), "badRequest");
    assert_eq!(post(json!({ "name": "mrx-a", "owner": "bert" })).await.refused(400), "badRequest");
    assert_eq!(
        post(json!({ "name": "mrx-a", "description": "two\nlines" })).await.refused(400),
        "badRequest"
    );
    assert_eq!(post(json!({ "name": "mrx-a", "token": TOKEN })).await.refused(400), "badRequest");
    hub.fail("/orgs/acme/repos", Fault::Status(404), 1);
    let refused = post(json!({ "name": "mrx-a" })).await;
    assert_eq!(
        (refused.refused(502).as_str(), &refused.json()["details"]["problem"]),
        ("forgeFailed", &json!("refused"))
    );
    assert!(names(&world).await.is_empty());
}

#[tokio::test]
async fn no_answer_and_no_file_holds_the_credential() {
    let (world, hub) = world(&["mrx-a"]).await;
    world.look_at_forge().await;
    hub.hub(|hub| hub.tokens.clear());
    let _ = world.app().syncer.sync().await;
    for path in ["/health", "/projects", "/projects/mrx-a", "/metrics"] {
        assert!(!world.admin().get(path).await.text().contains(TOKEN), "{path}");
    }
    assert!(!world.admin().post("/projects/mrx-a/sync").await.text().contains(TOKEN));
    assert!(!world.admin().post("/projects").json(&json!({ "name": "mrx-z" })).await.text().contains(TOKEN));
    assert!(!format!("{:?}", world.app().syncer.forge()).contains(TOKEN));
    world.published("platform").await;
    for file in world.files() {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
        assert!(!found, "{}", file.display());
    }
}

#[tokio::test]
async fn an_owner_that_fails_leaves_the_others_repositories_to_be_found() {
    let owners = |hub: &StandIn, clock: &mrx::clock::Clock| hub.with_token(clock, &[ACME, PERSON]);
    let (world, hub) = world_of(&["mrx-a"], owners).await;
    world.look_at_forge().await;
    hub.hub(|hub| hub.add(PERSON, "mrx-annas"));
    hub.fail("/orgs/acme", Fault::Status(403), 1);
    assert!(world.app().syncer.sync().await.is_err());
    assert_eq!(names(&world).await, ["mrx-a", "mrx-annas"]);
    assert_eq!(project(&world, "mrx-a").await["state"], "active");
}

#[tokio::test]
async fn github_is_asked_every_five_minutes_without_any_hint() {
    let (world, hub) = world(&["mrx-a"]).await;
    let (syncer, begun) = (world.app().syncer.clone(), world.clock.now());
    let passing = async {
        while names(&world).await.is_empty() {
            world.clock.pass(seconds(10));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! { () = syncer.follow() => unreachable!("it follows for ever"), () = passing => {} }
    assert!(world.clock.now().since(begun) >= seconds(270), "not before");
    assert!(hub.log().len() >= 2);
}

#[tokio::test]
async fn a_daemon_that_is_configured_for_github_has_its_projects() {
    let hub = StandIn::start(mrx::clock::Clock::system()).await;
    hub.add("mrx-a");
    let folder = tempfile::tempdir().unwrap();
    let (data, token) = (folder.path().join("data"), folder.path().join("token"));
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let (data, token) = (data.to_str().unwrap(), token.to_str().unwrap());
    let line = format!(
        "mrx serve --data {data} --listen 127.0.0.1:0 --github-token-file {token} --github-owners acme"
    );
    let words = line.split(' ').chain(["--github-api-url", hub.address()]);
    let mrx::config::Command::Serve(args) = mrx::config::Cli::parse_from(words).command else {
        unreachable!()
    };
    let daemon = mrx::daemon::Daemon::start(&args).await.unwrap();
    let seen = async {
        while daemon.app.projects.registry().names().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::world::SOON, seen).await.expect("the first look is soon");
    assert_eq!(daemon.app.projects.registry().names()[0].as_str(), "mrx-a");
    daemon.stop().await;
}

#[tokio::test]
async fn a_redirect_does_not_take_the_credential_elsewhere() {
    let (world, hub) = world(&["mrx-a"]).await;
    world.look_at_forge().await;
    let thief = StandIn::start(world.clock.clone()).await;
    hub.hub(|hub| hub.elsewhere = thief.address().to_owned());
    hub.fail("/orgs/", Fault::Elsewhere, 1);
    assert!(world.app().syncer.sync().await.is_err());
    assert!(thief.log().is_empty(), "nobody called there");
    assert_eq!(names(&world).await, ["mrx-a"]);
}

#[tokio::test]
async fn a_sync_that_is_asked_for_shows_what_github_has_now() {
    let (world, hub) = world(&[]).await;
    let id = hub.add("mrx-a");
    world.look_at_forge().await;
    hub.change(id, |found| found.default_branch = "trunk".to_owned());
    let synced = world.admin().post("/projects/mrx-a/sync").await.expect(200);
    assert_eq!(synced["defaultBranch"], "trunk");
    assert_eq!(world.admin().post("/projects/mrx-none/sync").await.refused(404), "projectUnknown");
}
