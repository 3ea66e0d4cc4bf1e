//! Git as an interface for writing: what a push does is what the API would have done, and what it may not is refused.

use serde_json::json;

use crate::world::{Clone, HELLO, World, git, git_of, seconds};

fn operator(world: &World) -> String {
    world.token(mrx::identity::token::OPERATOR_TOKEN)
}

/// A person of this name with this right in the project; tells a key of theirs.
async fn member(world: &World, name: &str, right: &str) -> String {
    let body = json!({ "name": name, "role": "developer", "password": "correct horse battery" });
    world.admin().post("/admin/users").json(&body).await.expect(201);
    world
        .admin()
        .put(&format!("/projects/{HELLO}/members/{name}"))
        .json(&json!({ "right": right }))
        .await
        .expect(200);
    let login = json!({ "name": name, "password": "correct horse battery" });
    world.stranger().post("/auth/login").json(&login).await.expect(200)["token"].as_str().unwrap().to_owned()
}

async fn new_chat(world: &World, body: serde_json::Value) -> String {
    let made = world.admin().post(&format!("/projects/{HELLO}/chats")).json(&body).await.expect(201);
    made["chatId"].as_str().unwrap().to_owned()
}

fn chat_file(id: &str) -> String {
    mrx::state::layout::chat(&id.parse().unwrap())
}

fn open_job(id: &str) -> String {
    mrx::state::layout::open_job(&id.parse().unwrap())
}

#[tokio::test]
async fn an_agent_claims_a_job_by_a_push_and_ends_it_by_another() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let clone = Clone::of(&world, HELLO, &world.key_of_agent("builder-1").await).await;
    clone.edit(
        &open_job(&job),
        &[("state: pending", "state: claimed"), ("claimedBy: null", "claimedBy: builder-1")],
    );
    let pushed = clone.push("I take it").await;
    assert!(pushed.ok && pushed.text.contains("pending -> claimed by builder-1"), "{}", pushed.text);
    let shown = world.job(&job).await;
    assert_eq!((&shown["state"], &shown["claimedBy"]), (&"claimed".into(), &"builder-1".into()));
    clone.git(&["pull", "-q"]).await;
    assert!(clone.read(&open_job(&job)).contains("lease:"), "the daemon has added the lease");
    clone.edit(&open_job(&job), &[("state: claimed", "state: completed")]);
    let text = clone.read(&open_job(&job)) + "result:\n  answer: 42\n";
    clone.write(&open_job(&job), &text);
    let pushed = clone.push("Done").await;
    assert!(pushed.ok, "{}", pushed.text);
    let shown = world.job(&job).await;
    assert_eq!((&shown["state"], &shown["result"]["answer"]), (&"completed".into(), &42.into()));
    clone.git(&["pull", "-q"]).await;
    assert!(!clone.path().join(open_job(&job)).exists(), "its file has moved to jobs/done");
    let log = clone.git(&["log", "-4", "--format=%an: %s"]).await;
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(
        lines,
        [
            format!("builder-1: job {job}: claimed -> completed by builder-1"),
            "Ada: Done".to_owned(),
            format!("builder-1: job {job}: pending -> claimed by builder-1"),
            "Ada: I take it".to_owned(),
        ]
    );
}

#[tokio::test]
async fn of_two_agents_that_claim_one_job_by_a_push_the_second_must_pull() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let mut clones = Vec::new();
    for agent in ["builder-1", "builder-2"] {
        let clone = Clone::of(&world, HELLO, &world.key_of_agent(agent).await).await;
        let claimed = format!("claimedBy: {agent}");
        clone.edit(&open_job(&job), &[("state: pending", "state: claimed"), ("claimedBy: null", &claimed)]);
        clones.push(clone);
    }
    assert!(clones[0].push("Mine").await.ok);
    let late = clones[1].push("Mine too").await;
    assert!(!late.ok && late.text.contains("fetch first"), "{}", late.text);
    assert_eq!(world.job(&job).await["claimedBy"], "builder-1");
}

#[tokio::test]
async fn an_agent_that_fetches_keeps_its_lease_and_one_that_is_silent_loses_it() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let clone = Clone::of(&world, HELLO, &world.key_of_agent("builder-1").await).await;
    clone.edit(
        &open_job(&job),
        &[("state: pending", "state: running"), ("claimedBy: null", "claimedBy: builder-1")],
    );
    let pushed = clone.push("I take it and begin").await;
    assert!(pushed.ok && pushed.text.contains("claimed -> running"), "{}", pushed.text);
    for _ in 0..3 {
        world.pass(seconds(60)).await;
        clone.git(&["fetch", "-q"]).await;
    }
    assert_eq!(world.state(&job).await, "running");
    world.pass(seconds(120)).await;
    assert_eq!(world.state(&job).await, "failed");
}

#[tokio::test]
async fn a_job_that_was_claimed_by_a_push_is_offered_to_nobody_else() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let clone = Clone::of(&world, HELLO, &world.key_of_agent("builder-1").await).await;
    clone.edit(
        &open_job(&job),
        &[("state: pending", "state: claimed"), ("claimedBy: null", "claimedBy: builder-1")],
    );
    assert!(clone.push("Mine").await.ok);
    assert!(world.agent("builder-2").claim_with(json!({})).await.is_none());
    assert_eq!(world.app().jobs.queue().depth().0, 0);
}

#[tokio::test]
async fn an_agent_that_drains_claims_nothing_by_a_push_and_ends_what_it_has() {
    let world = World::start().await;
    let (job, other) = (world.queue("build").await, world.queue("build").await);
    let clone = Clone::of(&world, HELLO, &world.key_of_agent("builder-1").await).await;
    let claim = [("state: pending", "state: claimed"), ("claimedBy: null", "claimedBy: builder-1")];
    clone.edit(&open_job(&job), &claim);
    assert!(clone.push("Mine").await.ok);
    clone.git(&["pull", "-q", "--rebase"]).await;
    let body = json!({ "draining": true });
    world.admin().patch("/admin/agents/builder-1").json(&body).await.expect(200);
    clone.edit(&open_job(&other), &claim);
    let pushed = clone.push("This too").await;
    assert!(!pushed.ok && pushed.text.contains("the agent builder-1 gets no new jobs"), "{}", pushed.text);
    clone.git(&["reset", "-q", "--hard", "origin/state"]).await;
    clone.edit(&open_job(&job), &[("state: claimed", "state: completed")]);
    let pushed = clone.push("Done").await;
    assert!(pushed.ok, "{}", pushed.text);
    assert_eq!((world.state(&job).await, world.state(&other).await), ("completed".into(), "pending".into()));
}

#[tokio::test]
async fn what_an_agent_may_not_ask_for_is_refused_with_file_rule_and_remedy() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let other = world.queue_with(json!({ "jobType": "build", "priority": 5 })).await;
    assert_eq!(world.agent("builder-2").claim().await.id, other);
    let chat_file = chat_file(&new_chat(&world, json!({ "title": "Plan" })).await);
    let clone = Clone::of(&world, HELLO, &world.key_of_agent("builder-1").await).await;
    let tip = world.tip(HELLO).await;
    let (file, other) = (open_job(&job), open_job(&other));
    let cases: [(&str, &str, &str, &str); 8] = [
        (&file, "state: pending", "state: completed", "a pending job is claimed first"),
        (&file, "state: pending", "state: claimed", "claimedBy must be the agent that pushes: builder-1"),
        (&file, "priority: 0", "priority: 9", "priority is not changed together with state"),
        (&file, "state: pending", "state: pending\nextra: 1", "unknown field `extra`"),
        (&file, "attempt: 1", "attempt: 1\nattempt: 2", "duplicate"),
        (&other, "state: claimed", "state: completed", "the job is claimed by builder-2, not by builder-1"),
        (&chat_file, "title: Plan", "title: Mine", "agents change the files of jobs alone"),
        ("project.yaml", "projectId: mrx-hello", "projectId: mrx-other", "it says projectId: mrx-other"),
    ];
    for (path, from, to, why) in cases {
        clone.edit(path, &[(from, to)]);
        let pushed = clone.push("Let me").await;
        assert!(!pushed.ok && pushed.text.contains(why), "{why}: {}", pushed.text);
        assert!(
            pushed.text.contains(&format!("remote: mrx: refused: {path}: "))
                && pushed.text.contains("nothing was changed")
        );
        clone.git(&["reset", "-q", "--hard", "origin/state"]).await;
    }
    assert_eq!(world.tip(HELLO).await, tip);
}

#[tokio::test]
async fn what_somebody_may_not_write_does_not_get_into_history_by_being_taken_back_in_the_next_commit() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let path = chat_file(&new_chat(&world, json!({ "title": "Plan" })).await);
    let tip = world.tip(HELLO).await;
    let agent = Clone::of(&world, HELLO, &world.key_of_agent("builder-1").await).await;
    agent.edit(&path, &[("title: Plan", "title: Forged")]);
    agent.commit("What the chat never said").await;
    agent.edit(&path, &[("title: Forged", "title: Plan")]);
    agent.edit(
        &open_job(&job),
        &[("state: pending", "state: claimed"), ("claimedBy: null", "claimedBy: builder-1")],
    );
    let pushed = agent.push("I take it").await;
    assert!(
        !pushed.ok && pushed.text.contains(&format!("{path}: it is changed and changed back")),
        "{}",
        pushed.text
    );
    assert_eq!((world.tip(HELLO).await, world.state(&job).await), (tip, "pending".to_owned()));
}

#[tokio::test]
async fn people_edit_what_the_api_would_let_them_edit() {
    let world = World::start().await;
    let ada = member(&world, "ada", "write").await;
    let job = world.queue("build").await;
    let chat = new_chat(&world, json!({ "title": "Plan" })).await;
    let path = chat_file(&chat);
    let clone = Clone::of(&world, HELLO, &ada).await;
    clone.edit(&path, &[("title: Plan", "title: A better plan")]);
    let pushed = clone.push("A better title").await;
    assert!(pushed.ok && pushed.text.contains(&format!("chat {chat}: changed by ada")), "{}", pushed.text);
    let shown = world.admin().get(&format!("/projects/{HELLO}/chats/{chat}")).await.expect(200);
    assert_eq!(shown["title"], "A better plan");
    clone.git(&["pull", "-q", "--rebase"]).await;
    clone.edit(&open_job(&job), &[("state: pending", "state: cancelled")]);
    let pushed = clone.push("Not needed").await;
    assert!(pushed.ok, "{}", pushed.text);
    assert_eq!(world.job(&job).await["state"], "cancelled");
    clone.git(&["pull", "-q", "--rebase"]).await;
    clone.write(
        "schedules/nightly.yaml",
        "name: nightly\ncron: '0 3 * * *'\njobType: build\ncreatedAt: 2020-01-01T00:00:00.000Z\n",
    );
    let pushed = clone.push("Every night").await;
    assert!(pushed.ok, "{}", pushed.text);
    let shown = world.admin().get(&format!("/projects/{HELLO}/schedules/nightly")).await.expect(200);
    assert_eq!((&shown["createdBy"], shown["nextRunAt"].is_string()), (&"ada".into(), true));
    clone.git(&["pull", "-q", "--rebase"]).await;
    clone.write("chats/prompt.yaml", "text: Be brief\nupdatedAt: 2020-01-01T00:00:00.000Z\n");
    let pushed = clone.push("A prompt").await;
    assert!(!pushed.ok && pushed.text.contains("whoever manages the project"), "{}", pushed.text);
}

#[tokio::test]
async fn a_push_arrives_in_memory_in_events_and_at_waiting_claimers() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    assert_eq!(held.id, job);
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    let second = world.agent("builder-2");
    assert!(second.claim_with(json!({})).await.is_none());
    let after = world.tip(HELLO).await;
    let waiting = second.claim_with(json!({ "wait": 20 }));
    clone.edit(&open_job(&job), &[("state: claimed", "state: pending")]);
    let (pushed, claimed) = tokio::join!(clone.push("It is stuck"), waiting);
    assert!(pushed.ok && pushed.text.contains("claimed -> pending by operator"), "{}", pushed.text);
    assert_eq!(claimed.map(|held| held.id), Some(job.clone()));
    let events = world.app().state.events().subscribe(Some(after.parse().unwrap())).missed;
    let here = events.iter().filter(|event| event.project_id.is_some());
    let names: Vec<(String, String)> = here.map(|event| (event.event.clone(), event.actor.clone())).collect();
    let name = |event: &str, actor: &str| (event.to_owned(), actor.to_owned());
    assert_eq!(
        names,
        [
            name("commit", "git Ada"),
            name("job.requeued", "operator operator"),
            name("job.claimed", "agent builder-2"),
        ]
    );
    let shown = world.job(&job).await;
    assert_eq!((&shown["attempt"], &shown["earlier"][0]["claimedBy"]), (&2.into(), &"builder-1".into()));
}

#[tokio::test]
async fn a_deleted_chat_comes_back_with_its_messages_by_git_revert() {
    let world = World::start().await;
    let parts = json!([{ "type": "text", "text": "Make it blue" }]);
    let chat = new_chat(&world, json!({ "title": "Plan", "message": { "parts": parts } })).await;
    assert_eq!(world.admin().delete(&format!("/projects/{HELLO}/chats/{chat}")).await.status, 204);
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    clone.git(&["revert", "--no-edit", "HEAD"]).await;
    let said = git(clone.path(), &["push", "origin", "HEAD:state"]).await;
    assert!(said.ok, "{}", said.text);
    let page = world.admin().get(&format!("/projects/{HELLO}/chats/{chat}/messages")).await.expect(200);
    assert_eq!(page["messages"][0]["parts"][0]["text"], "Make it blue");
}

#[tokio::test]
async fn what_was_pushed_is_there_after_a_restart_and_the_repository_is_sound() {
    let mut world = World::start().await;
    let job = world.queue("build").await;
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    clone.commit("A thought").await;
    clone.edit(&open_job(&job), &[("priority: 0", "priority: 7")]);
    let pushed = clone.push("First").await;
    assert!(pushed.ok, "{}", pushed.text);
    let tip = world.tip(HELLO).await;
    world.restart().await;
    assert_eq!(world.tip(HELLO).await, tip);
    assert_eq!(world.job(&job).await["priority"], 7);
    let repository = world.repository(HELLO).path().to_owned();
    let checked = git(&repository, &["fsck", "--strict"]).await;
    assert!(checked.ok, "{}", checked.text);
    assert!(git(&repository, &["log", "--format=%s", "state"]).await.text.contains("A thought"));
}

#[tokio::test]
async fn a_branch_that_was_moved_inside_its_repository_is_taken_over_if_it_could_have_been_pushed() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    clone.edit(&open_job(&job), &[("priority: 0", "priority: 7")]);
    clone.commit("More urgent").await;
    let repository = world.repository(HELLO).path().to_owned();
    clone.git(&["push", "-q", repository.to_str().unwrap(), "HEAD:state"]).await;
    assert_eq!(mrx::git::stray::round(world.app()).await.unwrap(), 1);
    assert_eq!(world.job(&job).await["priority"], 7);
    assert!(git(&repository, &["for-each-ref", "refs/rejected"]).await.text.is_empty());
    world.published(HELLO).await;
    assert_eq!(mrx::git::stray::round(world.app()).await.unwrap(), 0);
    assert_eq!(
        git(&repository, &["log", "-2", "--format=%s", "state"]).await.text,
        format!("job {job}: repaired by operator\nMore urgent\n")
    );
}

#[tokio::test]
async fn a_branch_that_was_moved_to_what_no_push_may_bring_is_put_back_and_what_it_held_is_kept() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    clone.write("secrets/github.age", "mine");
    clone.commit("A secret").await;
    let (repository, tip) = (world.repository(HELLO).path().to_owned(), world.tip(HELLO).await);
    clone.git(&["push", "-q", repository.to_str().unwrap(), "HEAD:state"]).await;
    assert_eq!(mrx::git::stray::round(world.app()).await.unwrap(), 1);
    let theirs = clone.git(&["rev-parse", "HEAD"]).await;
    assert_eq!(
        git(&repository, &["for-each-ref", "--format=%(objectname)", "refs/rejected"]).await.text,
        theirs
    );
    assert_eq!(git(&repository, &["rev-parse", "state"]).await.text.trim(), tip);
    assert_eq!(world.state(&job).await, "pending");
}

/// A change of the project by a call, so that the branch goes on.
async fn others_write(world: &World) {
    world.queue("build").await;
    world.published(HELLO).await;
}

#[tokio::test]
async fn a_push_whose_branch_has_gone_on_is_taken_where_nobody_touched_what_it_touches() {
    let world = World::start().await;
    let chat = new_chat(&world, json!({ "title": "Plan" })).await;
    let path = chat_file(&chat);
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    clone.git(&["config", "pull.rebase", "true"]).await;
    others_write(&world).await;
    clone.edit(&path, &[("title: Plan", "title: A better plan")]);
    clone.commit("A thought").await;
    clone.edit(&path, &[("title: A better plan", "title: The best plan")]);
    let pushed = clone.push("A better title").await;
    assert!(pushed.ok && pushed.text.contains("made anew on what came meanwhile"), "{}", pushed.text);
    let shown = world.admin().get(&format!("/projects/{HELLO}/chats/{chat}")).await.expect(200);
    assert_eq!(shown["title"], "The best plan");
    world.published(HELLO).await;
    let log =
        git(world.repository(HELLO).path(), &["log", "-3", "--format=%an/%cn/%P: %s", "state"]).await.text;
    let lines: Vec<(&str, &str)> = log.lines().filter_map(|line| line.split_once(": ")).collect();
    let subjects: Vec<&str> = lines.iter().map(|(_, subject)| *subject).collect();
    assert_eq!(
        subjects,
        [format!("chat {chat}: changed by operator").as_str(), "A better title", "A thought"]
    );
    assert!(lines[1].0.starts_with("Ada/MrX/") && lines[1].0.matches(' ').count() == 0, "one parent: {log}");

    // The pusher's own commits give way to those that were made of them.
    clone.git(&["pull", "-q", "--rebase"]).await;
    let here = clone.git(&["rev-parse", "HEAD"]).await;
    assert_eq!(here.trim(), world.tip(HELLO).await);
    assert!(clone.git(&["status", "-sb"]).await.trim().ends_with("state...origin/state"));
}

#[tokio::test]
async fn a_push_whose_thing_somebody_touched_meanwhile_is_refused_and_says_which() {
    let world = World::start().await;
    let (chat, other) = (
        new_chat(&world, json!({ "title": "Plan" })).await,
        new_chat(&world, json!({ "title": "Notes" })).await,
    );
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    // Not the file that is pushed, and still the same chat.
    let message = json!({ "parts": [{ "type": "text", "text": "Make it blue" }] });
    let path = format!("/projects/{HELLO}/chats/{chat}/messages");
    world.admin().post(&path).json(&message).await.expect(201);
    let tip = world.tip(HELLO).await;
    clone.edit(&chat_file(&other), &[("title: Notes", "title: More notes")]);
    clone.edit(&chat_file(&chat), &[("title: Plan", "title: A better plan")]);
    let pushed = clone.push("Titles").await;
    let wanted = format!("chat {chat} is not as it was on the commit that this was made on (fetch first)");
    assert!(!pushed.ok && pushed.text.contains(&wanted), "{}", pushed.text);
    assert!(
        pushed.text.contains("git pull --rebase, then push again")
            && pushed.text.contains("nothing was changed")
    );
    assert_eq!(world.tip(HELLO).await, tip);
    clone.git(&["pull", "-q", "--rebase"]).await;
    let pushed = git(clone.path(), &["push", "origin", "HEAD:state"]).await;
    assert!(pushed.ok, "{}", pushed.text);
}

#[tokio::test]
async fn a_shallow_clone_and_an_idle_one_push_where_the_branch_has_gone_on_and_what_it_has_is_no_news() {
    let world = World::start().await;
    let (one, two) = (
        new_chat(&world, json!({ "title": "One" })).await,
        new_chat(&world, json!({ "title": "Two" })).await,
    );
    let idle = Clone::of(&world, HELLO, &operator(&world)).await;
    others_write(&world).await;
    let key = member(&world, "ada", "write").await;
    let shallow = Clone::with(&world, HELLO, &key, &["--depth", "1"]).await;
    for round in 1..=2 {
        others_write(&world).await;
        for (clone, chat, title) in [(&idle, &one, "One"), (&shallow, &two, "Two")] {
            clone.git(&["pull", "-q", "--rebase"]).await;
            others_write(&world).await;
            let text = clone
                .read(&chat_file(chat))
                .replace(&format!("title: {title}"), &format!("title: {title} {round}"));
            clone.write(&chat_file(chat), &text);
            let pushed = clone.push("Again").await;
            assert!(pushed.ok && pushed.text.contains("made anew"), "{title}: {}", pushed.text);
        }
    }
    idle.git(&["pull", "-q", "--rebase"]).await;
    others_write(&world).await;
    let tip = world.tip(HELLO).await;
    let said = git(idle.path(), &["push", "origin", "HEAD:state"]).await;
    assert!(said.ok && said.text.contains("the branch has all of this already"), "{}", said.text);
    assert_eq!(world.tip(HELLO).await, tip);
    let repository = world.repository(HELLO).path().to_owned();
    let checked = git(&repository, &["fsck", "--strict"]).await;
    assert!(checked.ok, "{}", checked.text);
}

/// Every git that is installed pushes in the same way.
#[tokio::test]
async fn each_installed_git_pushes_where_the_branch_goes_on_between_its_fetch_and_its_push() {
    for program in ["/usr/bin/git", "/usr/local/bin/git"] {
        if !std::path::Path::new(program).exists() {
            continue;
        }
        let world = World::start().await;
        let chat = new_chat(&world, json!({ "title": "Plan 0" })).await;
        let clone = Clone::of(&world, HELLO, &operator(&world)).await;
        for round in 1..=2 {
            let said = git_of(program, clone.path(), &["pull", "-q", "--rebase"]).await;
            assert!(said.ok, "{program}: {}", said.text);
            others_write(&world).await;
            clone.edit(&chat_file(&chat), &[(&format!("Plan {}", round - 1), &format!("Plan {round}"))]);
            clone.commit("Again").await;
            let said = git_of(program, clone.path(), &["push", "origin", "state"]).await;
            assert!(said.ok && said.text.contains("made anew"), "{program}: {}", said.text);
        }
        let said = git_of(program, clone.path(), &["pull", "-q", "--rebase"]).await;
        assert!(said.ok, "{program}: {}", said.text);
        assert_eq!(clone.git(&["rev-parse", "HEAD"]).await.trim(), world.tip(HELLO).await);
    }
}

/// What a search by time finds.
async fn at(world: &World, time: mrx::clock::Time) -> String {
    let name = mrx::state::layout::RepoName::Project(HELLO.parse().unwrap());
    let found = world.app().state.commit_at(&name, mrx::state::moment::Moment::Time(time)).await.unwrap();
    found.unwrap().to_string()
}

/// The seconds of the branch's commits, newest first.
async fn times(world: &World) -> Vec<u64> {
    world.published(HELLO).await;
    let log = git(world.repository(HELLO).path(), &["log", "--format=%ct", "state"]).await.text;
    log.lines().map(|line| line.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_push_whose_committer_time_is_before_its_parents_hides_nothing_from_a_search_by_time() {
    let world = World::start().await;
    let chat = new_chat(&world, json!({ "title": "Plan" })).await;
    let path = chat_file(&chat);
    world.pass(seconds(3600)).await;
    world.queue("build").await;
    let (then, tip) = (world.clock.now(), world.tip(HELLO).await);
    world.pass(seconds(3600)).await;
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    clone.edit(&path, &[("title: Plan", "title: Another")]);
    clone.git(&["add", "-A"]).await;
    clone.git_at(then.before(seconds(301)).seconds(), &["commit", "-q", "-m", "Long ago"]).await;
    let commit = clone.git(&["rev-parse", "HEAD"]).await;
    let pushed = git(clone.path(), &["push", "origin", "HEAD:state"]).await;
    let wanted = format!("the commit {} says that it was committed at 2026-11-20T10:54:59", &commit[..10]);
    assert!(!pushed.ok && pushed.text.contains(&wanted), "{}", pushed.text);
    assert!(pushed.text.contains("to do: see that your clock is right, then git rebase --force-rebase"));
    assert_eq!((world.tip(HELLO).await, at(&world, then).await), (tip.clone(), tip.clone()));
    // What the refusal tells to do makes it good.
    clone.git(&["rebase", "-q", "--force-rebase", "origin/state"]).await;
    let pushed = git(clone.path(), &["push", "origin", "HEAD:state"]).await;
    assert!(pushed.ok && pushed.text.contains("mrx: taken; "), "{}", pushed.text);
    assert_eq!(at(&world, then).await, tip);
}

#[tokio::test]
async fn a_push_of_a_clock_that_is_a_little_off_is_taken_and_made_anew_at_the_daemons_time() {
    let world = World::start().await;
    let chat = new_chat(&world, json!({ "title": "Plan 0" })).await;
    let (path, now) = (chat_file(&chat), world.clock.now().seconds());
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    for (round, second) in [now - 2, now + 2, now - 300, now + 300].into_iter().enumerate() {
        clone.edit(&path, &[(&format!("Plan {round}"), &format!("Plan {}", round + 1))]);
        clone.git(&["add", "-A"]).await;
        clone.git_at(second, &["commit", "-q", "-m", "Off by a little"]).await;
        let pushed = git(clone.path(), &["push", "origin", "HEAD:state"]).await;
        assert!(pushed.ok && pushed.text.contains("made anew at the time here"), "{}", pushed.text);
        clone.git(&["pull", "-q", "--rebase"]).await;
        assert_eq!(clone.git(&["rev-parse", "HEAD"]).await.trim(), world.tip(HELLO).await);
    }
    let times = times(&world).await;
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    let shown = world.admin().get(&format!("/projects/{HELLO}/chats/{chat}")).await.expect(200);
    assert_eq!(shown["title"], "Plan 4");
}

#[tokio::test]
async fn a_commit_from_the_future_is_refused_and_the_commit_graph_stays_sound() {
    let world = World::start().await;
    let path = chat_file(&new_chat(&world, json!({ "title": "Plan" })).await);
    let (tip, now) = (world.tip(HELLO).await, world.clock.now().seconds());
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    clone.edit(&path, &[("title: Plan", "title: Another")]);
    clone.commit("From now").await;
    for second in [now + 301, 3_800_000_000, (1 << 34) + 5] {
        clone.git_at(second, &["commit", "-q", "--amend", "-m", "From then"]).await;
        let pushed = git(clone.path(), &["push", "origin", "HEAD:state"]).await;
        assert!(!pushed.ok && pushed.text.contains("more than 300 s ahead"), "{}", pushed.text);
        let date = format!("--date=@{second} +0000");
        clone.git(&["commit", "-q", "--amend", "-m", "By whom", &date]).await;
        let pushed = git(clone.path(), &["push", "origin", "HEAD:state"]).await;
        assert!(!pushed.ok && pushed.text.contains("says that it was authored at"), "{}", pushed.text);
        assert!(pushed.text.contains("git rebase --ignore-date origin/state"), "{}", pushed.text);
    }
    assert_eq!(world.tip(HELLO).await, tip);
    // What the refusal tells to do gives new dates: those of this machine, whose clock is not the story's.
    clone.git(&["rebase", "-q", "--ignore-date", "origin/state"]).await;
    let dates = clone.git(&["log", "-1", "--format=%at %ct"]).await;
    assert!(!dates.contains("17179869"), "{dates}");
    clone.git(&["commit", "-q", "--amend", "--reset-author", "--no-edit"]).await;
    let pushed = git(clone.path(), &["push", "origin", "HEAD:state"]).await;
    assert!(pushed.ok && pushed.text.contains("mrx: taken; "), "{}", pushed.text);
    world.published(HELLO).await;
    let repository = world.repository(HELLO).path().to_owned();
    for check in
        [&["commit-graph", "write", "--reachable"][..], &["commit-graph", "verify"], &["fsck", "--strict"]]
    {
        let said = git(&repository, check).await;
        assert!(said.ok, "{check:?}: {}", said.text);
    }
}

#[tokio::test]
async fn the_zone_of_a_commits_time_makes_no_difference_to_when_it_is() {
    let world = World::start().await;
    let chat = new_chat(&world, json!({ "title": "Plan 0" })).await;
    let (path, now) = (chat_file(&chat), world.clock.now().seconds());
    let clone = Clone::of(&world, HELLO, &operator(&world)).await;
    for (round, zone) in ["-1200", "+1400", "-0000", "+0545", "-9959"].into_iter().enumerate() {
        clone.edit(&path, &[(&format!("Plan {round}"), &format!("Plan {}", round + 1))]);
        clone.commit("Elsewhere").await;
        let text =
            clone.git(&["cat-file", "commit", "HEAD"]).await.replace(" +0000\n", &format!(" {zone}\n"));
        clone.write(".git/elsewhere", &text);
        let commit = clone.git(&["hash-object", "-t", "commit", "-w", ".git/elsewhere"]).await;
        let pushed =
            git(clone.path(), &["push", "origin", &format!("{}:refs/heads/state", commit.trim())]).await;
        assert!(pushed.ok && pushed.text.contains("mrx: taken; "), "{zone}: {}", pushed.text);
        clone.git(&["fetch", "-q"]).await;
        clone.git(&["reset", "-q", "--hard", "origin/state"]).await;
    }
    assert!(times(&world).await.into_iter().all(|second| second == now));
}
