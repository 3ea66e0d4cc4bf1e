//! Epochs: a state's history begins anew now and then, and whoever reads its past does not notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mrx::backup::restore::restore;
use mrx::backup::save::{Besides, save};
use mrx::clock::Clock;
use mrx::state::epoch::Limits;
use mrx::state::history::Filter;
use mrx::state::layout::{DataFolder, RepoName};
use serde_json::{Value, json};

use crate::world::{Clone, HELLO, Listener, World, git, seconds, url};

fn name() -> RepoName {
    RepoName::Project(HELLO.parse().unwrap())
}

fn operator(world: &World) -> String {
    world.token(mrx::identity::token::OPERATOR_TOKEN)
}

/// Ends the epoch as upkeep does; tells the ref that keeps it.
async fn end_epoch(world: &World) -> String {
    world.clock.pass(seconds(60));
    let kept = world.app().state.end_epoch(&name()).await.unwrap().expect("there was something to keep");
    world.clock.pass(seconds(60));
    kept
}

async fn get(world: &World, path: &str) -> Value {
    world.admin().get(&format!("/projects/{HELLO}/{path}")).await.expect(200)
}

async fn events(world: &World, query: &str) -> Vec<String> {
    let page = get(world, &format!("history?{query}")).await;
    let event = |commit: &Value| commit["event"].as_str().unwrap().to_owned();
    page["commits"].as_array().unwrap().iter().map(event).collect()
}

async fn retitle(world: &World, chat: &str, title: &str) -> String {
    let change = json!({ "title": title });
    let path = format!("/projects/{HELLO}/chats/{chat}");
    world.admin().patch(&path).json(&change).await.expect(200);
    world.tip(HELLO).await
}

async fn new_chat(world: &World, title: &str) -> String {
    let made = world.admin().post(&format!("/projects/{HELLO}/chats")).json(&json!({ "title": title })).await;
    made.expect(201)["chatId"].as_str().unwrap().to_owned()
}

/// Git finds nothing wrong with the repository.
async fn is_sound(world: &World) {
    world.published(HELLO).await;
    let repo = world.repository(HELLO).path().to_owned();
    let said = git(&repo, &["fsck", "--strict", "--full", "--no-dangling"]).await;
    assert!(said.ok && said.text.is_empty(), "{}", said.text);
}

#[tokio::test]
async fn history_goes_on_over_an_epoch_by_path_and_id_and_page_by_page() {
    let mut world = World::start().await;
    let job = world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    end_epoch(&world).await;
    builder.say(&held, json!({ "state": "running" })).await.expect(200);
    end_epoch(&world).await;
    builder.say(&held, json!({ "state": "completed" })).await.expect(200);
    let whole = [
        "job.completed",
        "epoch.begun",
        "job.started",
        "epoch.begun",
        "job.claimed",
        "job.created",
        "project.created",
    ];
    for _ in 0..2 {
        world.published(HELLO).await;
        assert_eq!(events(&world, "").await, whole);
        let life = ["job.completed", "job.started", "job.claimed", "job.created"];
        assert_eq!(events(&world, &format!("about={job}")).await, life);
        assert_eq!(events(&world, "path=jobs").await, life, "an epoch's beginning touches no path");
        assert_eq!(events(&world, "path=project.yaml").await, ["project.created"]);
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = get(&world, &format!("history?limit=1{cursor}")).await;
            paged.extend(page["commits"].as_array().unwrap().iter().map(|commit| commit["event"].clone()));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(paged, whole);
        is_sound(&world).await;
        world.restart().await;
    }
}

#[tokio::test]
async fn the_first_commit_of_an_epoch_says_so_and_changes_nothing_and_older_ones_are_shown_as_ever() {
    let world = World::start().await;
    let chat = new_chat(&world, "first").await;
    let old = retitle(&world, &chat, "second").await;
    end_epoch(&world).await;
    let root = world.tip(HELLO).await;
    retitle(&world, &chat, "third").await;
    let shown = get(&world, &format!("commits/{root}")).await;
    assert_eq!((&shown["event"], &shown["files"]), (&json!("epoch.begun"), &json!([])));
    assert_eq!(shown["subject"], format!("epoch 2: goes on from {}", &old[..10]));
    let shown = get(&world, &format!("commits/{old}")).await;
    assert_eq!(shown["entities"][0]["fields"][0]["to"], "second");
    let diff = get(&world, &format!("diff?from={old}")).await;
    let title = diff["entities"][0]["fields"].as_array().unwrap();
    let title = title.iter().find(|field| field["field"] == "title").unwrap();
    assert_eq!((&title["from"], &title["to"]), (&json!("second"), &json!("third")));
    assert_eq!(get(&world, &format!("diff?from={old}&to={root}")).await["files"], json!([]));
}

#[tokio::test]
async fn state_is_read_as_it_was_before_an_epoch_and_put_back_to_it() {
    let world = World::start().await;
    let chat = new_chat(&world, "first").await;
    let then = world.tip(HELLO).await;
    let time = world.clock.now();
    world.clock.pass(seconds(60));
    retitle(&world, &chat, "second").await;
    end_epoch(&world).await;
    retitle(&world, &chat, "third").await;
    world.published(HELLO).await;
    for at in [then.clone(), time.to_string()] {
        assert_eq!(get(&world, &format!("chats/{chat}?at={at}")).await["title"], "first", "{at}");
    }
    let body = json!({ "id": chat, "to": then });
    world.admin().post(&format!("/projects/{HELLO}/revert")).json(&body).await.expect(200);
    assert_eq!(get(&world, &format!("chats/{chat}")).await["title"], "first");
}

#[tokio::test]
async fn events_are_replayed_over_an_epoch_each_once() {
    let mut world = World::start().await;
    let place = world.tip(HELLO).await;
    world.queue("build").await;
    end_epoch(&world).await;
    world.queue("build").await;
    for _ in 0..2 {
        let path = format!("/events?project={HELLO}&after={place}");
        let mut listener = Listener::to(world.admin().get(&path)).await;
        world.queue("chat").await;
        let heard: Vec<String> = listener.take(4).await.into_iter().map(|heard| heard.event).collect();
        assert_eq!(heard, ["job.created", "epoch.begun", "job.created", "job.created"]);
        // Memory forgets what happened; git has it.
        world.restart().await;
    }
}

#[tokio::test]
async fn a_repeated_request_is_known_over_an_epoch_and_a_restart() {
    let mut world = World::start().await;
    let body = json!({ "projectId": HELLO, "jobType": "build" });
    let make = || world.admin().post("/jobs/create").header("Idempotency-Key", "once").json(&body);
    let made = make().await.expect(201)["jobId"].clone();
    end_epoch(&world).await;
    world.restart().await;
    let again = world.admin().post("/jobs/create").header("Idempotency-Key", "once").json(&body).await;
    assert_eq!(again.json()["jobId"], made);
}

#[tokio::test]
async fn upkeep_ends_an_epoch_that_is_a_year_old() {
    let world = World::start().await;
    world.queue("build").await;
    world.published(HELLO).await;
    world.clock.pass(seconds(364 * 24 * 3600));
    world.app().state.end_due_epochs().await.unwrap();
    assert_eq!(world.branches(HELLO), ["refs/heads/state"]);
    world.clock.pass(seconds(24 * 3600));
    world.app().state.end_due_epochs().await.unwrap();
    assert_eq!(world.branches(HELLO), ["refs/archive/2027-11-20-1", "refs/heads/state"]);
    assert_eq!(events(&world, "").await, ["epoch.begun", "job.created", "project.created"]);
    is_sound(&world).await;
}

async fn cut(world: &World, repository: &str) -> crate::world::Answer {
    world.admin().post("/admin/epochs").json(&json!({ "repository": repository })).await
}

#[tokio::test]
async fn an_operator_ends_an_epoch_by_hand_and_its_commit_says_who() {
    let world = World::start().await;
    world.queue("build").await;
    let answer = cut(&world, &format!("projects/{HELLO}")).await;
    let begun = answer.expect(201);
    let archive = begun["archive"].as_str().unwrap();
    assert_eq!(begun, json!({ "repository": format!("projects/{HELLO}"), "number": 2, "archive": archive }));
    assert!(archive.starts_with("refs/archive/20") && archive.ends_with("-1"), "{archive}");
    assert_eq!(answer.header("mrx-commit"), world.tip(HELLO).await);
    world.published(HELLO).await;
    assert_eq!(world.branches(HELLO), [archive, "refs/heads/state"]);
    let told = get(&world, "history?limit=1").await["commits"][0].clone();
    assert_eq!((&told["event"], &told["actor"]), (&json!("epoch.begun"), &json!("operator operator")));
    assert_eq!(events(&world, "").await, ["epoch.begun", "job.created", "project.created"]);

    assert_eq!(cut(&world, &format!("projects/{HELLO}")).await.refused(409), "epochHasBegun");
    assert_eq!(cut(&world, "projects/mrx-nowhere").await.refused(404), "projectUnknown");
    for odd in ["", HELLO, "../platform", "projects/"] {
        assert_eq!(cut(&world, odd).await.refused(400), "badRequest", "{odd}");
    }
    let body = json!({ "repository": "platform" });
    let by_agent = world.any_agent().post("/admin/epochs").json(&body).await;
    assert_eq!(by_agent.refused(403), "forbidden");
    assert_eq!(world.admin().post("/admin/epochs?ack=published").json(&body).await.expect(201)["number"], 2);
    is_sound(&world).await;
}

#[tokio::test]
async fn an_admin_sees_which_epoch_each_history_is_in_and_how_long_it_is() {
    let world = World::start().await;
    world.queue("build").await;
    cut(&world, &format!("projects/{HELLO}")).await.expect(201);
    world.queue("build").await;
    world.published(HELLO).await;
    let shown = |page: Value| page["projects"][0].clone();
    let before = shown(world.admin().get("/admin/debug/projects").await.expect(200));
    assert_eq!((&before["epoch"], &before["epochCommits"]), (&json!(2), &Value::Null), "it was not counted");
    world.app().state.end_due_epochs().await.unwrap();
    let after = shown(world.admin().get("/admin/debug/projects").await.expect(200));
    assert_eq!((&after["epoch"], &after["epochCommits"]), (&json!(2), &json!(2)));
    let began = after["epochBeganAt"].as_str().unwrap();
    let state = world.admin().get("/admin/debug/state").await.expect(200);
    assert_eq!(state["epochsCounted"], 2, "the platform's too");
    let longest = state["longestEpochs"].as_array().unwrap();
    let hello = longest.iter().find(|one| one["repository"] == format!("projects/{HELLO}")).unwrap();
    assert_eq!((&hello["commits"], hello["beganAt"].as_str().unwrap()), (&json!(2), began));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_epochs_end_nobody_who_writes_is_refused_and_nothing_is_lost() {
    let mut world = World::start().await;
    world.reopen_with_epochs(Limits { commits: 10, days: 0 }).await;
    let ended = |world: &World| world.branches(HELLO).len() - 1;
    let is_enough = AtomicBool::new(false);
    let upkeep = async {
        while ended(&world) < 3 {
            world.app().state.end_due_epochs().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        is_enough.store(true, Ordering::SeqCst);
    };
    let work = async {
        let mut made = Vec::new();
        while !is_enough.load(Ordering::SeqCst) {
            let each = (world.queue("build"), world.queue("build"), world.queue("build"));
            let (one, two, three) = tokio::join!(each.0, each.1, each.2);
            made.extend([one, two, three]);
        }
        made
    };
    let (made, ()) = tokio::join!(work, upkeep);
    is_sound(&world).await;
    world.restart().await;
    let told = world.app().state.log(&name(), Filter { limit: 10_000, ..Filter::default() }).await.unwrap();
    let count = |event: &str| told.iter().filter(|one| one.event == event).count();
    assert_eq!((count("job.created"), count("epoch.begun")), (made.len(), ended(&world)));
    for job in [&made[0], &made[made.len() / 2], &made[made.len() - 1]] {
        assert_eq!(events(&world, &format!("about={job}")).await, ["job.created"]);
    }
    assert!(world.branches(HELLO).iter().all(|name| !name.starts_with("refs/rejected/")));
    is_sound(&world).await;
}

#[tokio::test]
async fn a_fork_of_an_old_commit_has_the_past_up_to_there_and_ends_epochs_of_its_own() {
    let world = World::start().await;
    world.queue("build").await;
    let first = end_epoch(&world).await;
    let chat = new_chat(&world, "second").await;
    let then = world.tip(HELLO).await;
    end_epoch(&world).await;
    retitle(&world, &chat, "third").await;
    let body = json!({ "id": "mrx-branch", "at": then });
    world.admin().post(&format!("/projects/{HELLO}/forks")).json(&body).await.expect(201);
    assert_eq!(world.branches("mrx-branch"), [first.as_str(), "refs/heads/state"]);
    let told = world.admin().get("/projects/mrx-branch/history").await.expect(200);
    let told: Vec<&str> =
        told["commits"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["project.forked", "chat.created", "epoch.begun", "job.created", "project.created"]);
    let fork = RepoName::Project("mrx-branch".parse().unwrap());
    let kept = world.app().state.end_epoch(&fork).await.unwrap().unwrap();
    assert!(kept.ends_with("-2"), "{kept}");
}

#[tokio::test]
async fn a_backup_on_either_side_of_an_epoch_brings_all_of_it_back() {
    let mut world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (data, to) = (DataFolder::new(world.folder().join("data")), folder.path().join("backup"));
    let besides = || Besides { artifacts: true, keys: true };
    let chat = new_chat(&world, "first").await;
    world.published(HELLO).await;
    save(&data, &to, besides(), &Clock::system()).unwrap();
    let kept = end_epoch(&world).await;
    retitle(&world, &chat, "second").await;
    world.published(HELLO).await;
    save(&data, &to, besides(), &Clock::system()).unwrap();
    let whole = events(&world, "").await;
    world.close().await;
    std::fs::rename(data.path(), folder.path().join("lost")).unwrap();
    restore(&to, data.path(), None).unwrap();
    world.open().await;
    assert_eq!(world.branches(HELLO), [kept.as_str(), "refs/heads/state"]);
    assert_eq!(events(&world, "").await, whole);
    assert_eq!(whole, ["chat.changed", "epoch.begun", "chat.created", "project.created"]);
    is_sound(&world).await;
}

#[tokio::test]
async fn a_clone_from_before_follows_with_a_fetch_and_a_rebase_and_can_have_the_past_joined() {
    let world = World::start().await;
    let chat = new_chat(&world, "first").await;
    let file = mrx::state::layout::chat(&chat.parse().unwrap());
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    let old = world.tip(HELLO).await;
    clone.edit(&file, &[("title: first", "title: mine")]);
    clone.commit("Rename the chat").await;
    let kept = end_epoch(&world).await;
    new_chat(&world, "second").await;
    world.published(HELLO).await;

    let said = git(clone.path(), &["push", "origin", "HEAD:state"]).await;
    assert!(!said.ok && said.text.contains("rejected"), "{}", said.text);
    let said = git(clone.path(), &["push", "--force", "origin", "HEAD:state"]).await;
    assert!(
        !said.ok && said.text.contains(&format!("git rebase --onto origin/state {old}")),
        "{}",
        said.text
    );
    let said = git(clone.path(), &["pull", "--ff-only"]).await;
    assert!(!said.ok && said.text.contains("forced update"), "{}", said.text);

    clone.git(&["rebase", "-q", "--onto", "origin/state", &old]).await;
    let said = git(clone.path(), &["push", "origin", "HEAD:state"]).await;
    assert!(said.ok, "{}", said.text);
    assert_eq!(get(&world, &format!("chats/{chat}")).await["title"], "mine");

    clone.git(&["fetch", "-q", "origin", "+refs/archive/*:refs/archive/*"]).await;
    assert_eq!(clone.git(&["rev-parse", &kept]).await.trim(), old);
    let root = clone.git(&["rev-list", "--max-parents=0", "origin/state"]).await;
    clone.git(&["replace", "--graft", root.trim(), &kept]).await;
    let told = clone.git(&["log", "--format=%s", "origin/state"]).await;
    assert!(told.lines().last().unwrap().starts_with(&format!("project {HELLO}: ")), "{told}");
    assert!(told.contains("epoch 2: goes on from") && told.contains("Rename the chat"), "{told}");
}

#[tokio::test]
async fn a_new_clone_has_the_epoch_alone_and_a_mirror_all() {
    let world = World::start().await;
    world.queue("build").await;
    let kept = end_epoch(&world).await;
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    assert_eq!(clone.git(&["rev-list", "--count", "HEAD"]).await.trim(), "1");
    let folder = tempfile::tempdir().unwrap();
    let from = url(&world, &operator(&world), &format!("{HELLO}.git"));
    let said = git(folder.path(), &["clone", "-q", "--mirror", &from, "mirror.git"]).await;
    assert!(said.ok, "{}", said.text);
    let said = git(&folder.path().join("mirror.git"), &["rev-list", "--count", &kept]).await;
    assert_eq!(said.text.trim(), "2");
}
