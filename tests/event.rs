//! Events: everything that happens, in order, told to whoever listens and to whoever comes back.

use serde_json::json;

use crate::world::{HELLO, Listener, World};

/// What happened to jobs, as a listener heard it.
async fn subjects(listener: &mut Listener, count: usize) -> Vec<String> {
    listener
        .take(count)
        .await
        .into_iter()
        .map(|heard| heard.data["subject"].as_str().unwrap().to_owned())
        .collect()
}

/// So many jobs are made; their commits' subjects.
async fn make(world: &World, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for _ in 0..count {
        made.push(format!("job {}: pending build", world.queue("build").await));
    }
    made
}

#[tokio::test]
async fn a_listener_hears_what_happens_in_the_order_of_the_commits() {
    let world = World::start().await;
    let mut listener = Listener::to(world.admin().get("/events")).await;
    world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    builder.write_log(&held, 0, b"not told to whoever does not ask").await;
    let done = builder.say(&held, json!({ "state": "completed" })).await;
    let heard = listener.take(4).await;
    let events: Vec<&str> = heard.iter().map(|heard| heard.event.as_str()).collect();
    assert_eq!(events, ["job.created", "agent.registered", "job.claimed", "job.completed"]);
    let last = &heard[3];
    assert_eq!(last.id, done.header("mrx-commit"));
    assert_eq!(
        (&last.data["commit"], &last.data["projectId"], &last.data["actor"]),
        (&json!(last.id), &json!(HELLO), &json!("agent builder-1"))
    );
}

#[tokio::test]
async fn every_stream_ends_in_good_order_when_the_daemon_stops() {
    let mut world = World::start().await;
    let job = world.queue("build").await;
    world.agent("builder-1").claim().await;
    let chats = format!("/projects/{HELLO}/chats");
    let chat = world.admin().post(&chats).json(&json!({ "title": "Hello" })).await.expect(201);
    let chat = chat["chatId"].as_str().unwrap().to_owned();
    let mut streams = Vec::new();
    for path in ["/events", &format!("/jobs/{job}/logs"), &format!("{chats}/{chat}/stream")] {
        streams.push((path.to_owned(), Listener::to(world.admin().get(path)).await));
    }
    world.close().await;
    for (path, mut stream) in streams {
        // One that is cut off is an error, and not an end.
        while let Some(heard) = stream.next().await {
            assert_ne!(heard.event, "end", "{path}: nothing says that what it told of has ended");
        }
    }
}

#[tokio::test]
async fn a_listener_can_have_one_project_and_the_logs_as_well() {
    let world = World::start().await;
    world.project("mrx-b").await;
    let mut listener = Listener::to(world.admin().get("/events?project=mrx-b&logs=true")).await;
    world.queue("build").await;
    world.queue_with(json!({ "projectId": "mrx-b", "jobType": "chat" })).await;
    let held = world.agent("talker-1").claim_with(json!({ "projects": ["mrx-b"] })).await.unwrap();
    world.agent("talker-1").write_log(&held, 0, b"hi").await;
    let events: Vec<String> = listener.take(3).await.into_iter().map(|heard| heard.event).collect();
    assert_eq!(events, ["job.created", "job.claimed", "log.appended"]);
}

#[tokio::test]
async fn a_listener_that_comes_back_misses_nothing_and_hears_nothing_twice() {
    let world = World::start().await;
    let mut listener = Listener::to(world.admin().get("/events")).await;
    let mut made = make(&world, 3).await;
    let place = listener.take(2).await[1].id.clone();
    drop(listener);
    made.extend(make(&world, 2).await);
    let mut by_query = Listener::to(world.admin().get(&format!("/events?after={place}"))).await;
    let mut by_header =
        Listener::to(world.admin().get("/events?after=").header("Last-Event-ID", &place)).await;
    made.extend(make(&world, 1).await);
    assert_eq!(subjects(&mut by_query, 4).await, made[2..]);
    assert_eq!(subjects(&mut by_header, 4).await, made[2..]);
}

#[tokio::test]
async fn after_a_restart_a_projects_events_are_read_from_its_git_history() {
    let mut world = World::start().await;
    let mut made = make(&world, 2).await;
    let place = world.tip(HELLO).await;
    made.extend(make(&world, 3).await);
    world.restart().await;
    let path = format!("/events?project={HELLO}");
    let mut listener = Listener::to(world.admin().get(&path).header("Last-Event-ID", &place)).await;
    made.extend(make(&world, 2).await);
    assert_eq!(subjects(&mut listener, 5).await, made[2..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_the_history_is_read_is_told_once() {
    let mut world = World::start().await;
    let place = world.tip(HELLO).await;
    let mut made = make(&world, 20).await;
    world.restart().await;
    let path = format!("/events?project={HELLO}&after={place}");
    let (listener, meanwhile) = tokio::join!(Listener::to(world.admin().get(&path)), make(&world, 20));
    made.extend(meanwhile);
    made.extend(make(&world, 1).await);
    let mut listener = listener;
    assert_eq!(subjects(&mut listener, 41).await, made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_are_replayed_each_once_across_restarts() {
    let mut world = World::start().await;
    let begin = world.tip(HELLO).await;
    world.close().await;
    let mut made = world.many_commits_by_hand(HELLO, 0..10_000);
    world.open().await;
    let path = |after: &str| format!("/events?project={HELLO}&after={after}");
    let mut listener = Listener::to(world.admin().get(&path(&begin))).await;
    let mut heard: Vec<String> = Vec::new();
    for count in [1, 4_000] {
        heard.extend(listener.take(count).await.into_iter().map(|event| event.id));
    }
    drop(listener);
    world.restart().await;
    let last = heard.last().unwrap().clone();
    let mut listener = Listener::to(world.admin().get(&path(&last))).await;
    // What happens while it is told the past follows it.
    for _ in 0..3 {
        world.queue("build").await;
        made.push(world.tip(HELLO).await);
    }
    heard.extend(listener.take(made.len() - heard.len()).await.into_iter().map(|event| event.id));
    assert!(heard == made, "no gap, nothing twice, in order");
    // From near the end too, and from the very end nothing but what comes.
    let mut near = Listener::to(world.admin().get(&path(&made[9_990]))).await;
    let mut end = Listener::to(world.admin().get(&path(&made[10_002]))).await;
    world.queue("build").await;
    made.push(world.tip(HELLO).await);
    let ids = |heard: Vec<crate::world::Heard>| heard.into_iter().map(|event| event.id).collect::<Vec<_>>();
    assert_eq!(ids(near.take(13).await), made[9_991..]);
    assert_eq!(ids(end.take(1).await), made[10_003..]);
}

#[tokio::test]
async fn a_place_that_nobody_remembers_is_gone_and_one_that_is_no_commit_is_refused() {
    let mut world = World::start().await;
    let tip = world.tip(HELLO).await;
    world.restart().await;
    let ask = async |query: String| world.admin().get(&format!("/events?{query}")).await;
    assert_eq!(
        ask(format!("after={tip}")).await.refused(410),
        "eventsGone",
        "between projects git knows no order"
    );
    let unknown = "0123456789012345678901234567890123456789";
    assert_eq!(ask(format!("after={unknown}&project={HELLO}")).await.refused(410), "eventsGone");
    assert_eq!(ask(format!("after={tip}&project=mrx-none")).await.refused(404), "projectUnknown");
    for bad in ["after=yesterday", "after=HEAD", "project=..", "logs=maybe", "since=1"] {
        assert_eq!(ask(bad.to_owned()).await.refused(400), "badRequest", "{bad}");
    }
}
