//! Stories of chats: messages, the jobs that answer them, and answers as they come.

use serde_json::{Value, json};

use crate::world::{HELLO, Held, Listener, World, seconds};

const CHATS: &str = "/projects/mrx-hello/chats";

/// Begins a chat with this message; tells its path and the job that answers.
async fn chat(world: &World, text: &str) -> (String, String) {
    let body = json!({ "message": { "text": text } });
    let chat = world.admin().post(CHATS).json(&body).await.expect(201);
    let id = chat["chatId"].as_str().unwrap();
    (format!("{CHATS}/{id}"), chat["lastJob"].as_str().unwrap().to_owned())
}

async fn say(world: &World, chat: &str, text: &str) -> Value {
    world.admin().post(&format!("{chat}/messages")).json(&json!({ "text": text })).await.expect(201)
}

async fn messages(world: &World, chat: &str) -> Vec<Value> {
    let page = world.admin().get(&format!("{chat}/messages?limit=200")).await.expect(200);
    page["messages"].as_array().unwrap().clone()
}

fn texts(messages: &[Value]) -> Vec<String> {
    let text = |message: &Value| message["parts"][0]["text"].as_str().unwrap().to_owned();
    messages.iter().map(text).collect()
}

async fn send(world: &World, held: &Held, offset: usize, text: &str) -> crate::world::Answer {
    let call = world
        .as_agent("talker-1")
        .patch(&format!("/jobs/{}/answer", held.id))
        .header("Job-Lease", &held.lease);
    call.json(&json!({ "offset": offset, "text": text })).await
}

#[tokio::test]
async fn a_chat_with_a_first_message_is_one_commit_with_its_job() {
    let world = World::start().await;
    let before = world.log_of(HELLO).await.len();
    let (chat, job) = chat(&world, "Make it blue\nplease").await;
    let id = chat.rsplit('/').next().unwrap();
    let log = world.log_of(HELLO).await;
    assert_eq!(log[before..], [format!("operator: chat {id}: created by operator")]);
    let fan: Vec<String> = id[id.len() - 3..].chars().map(String::from).collect();
    let folder = format!("chats/{}/{id}", fan.join("/"));
    let meta = world.file(HELLO, &format!("{folder}/chat.yaml")).await.unwrap();
    assert!(meta.contains("title: Make it blue\nllmMode: custom\nmessages: 1\n"), "{meta}");
    let segment = world.file(HELLO, &format!("{folder}/messages/000001.yaml")).await.unwrap();
    assert!(segment.contains("role: user") && segment.contains("name: operator"), "{segment}");
    let queued = world.job(&job).await;
    assert_eq!((&queued["type"], &queued["state"]), (&json!("chat"), &json!("pending")));
    assert_eq!(queued["payload"], json!({ "chatId": id, "message": 1 }));
    assert_eq!(messages(&world, &chat).await[0]["jobId"], job);
}

#[tokio::test]
async fn the_same_request_makes_a_chat_and_a_message_once_also_after_a_restart() {
    let mut world = World::start().await;
    let body = json!({ "title": "A", "message": { "text": "hello" } });
    let create = async |world: &World| {
        world.admin().post(CHATS).header("Idempotency-Key", "k1").json(&body).await.expect(201)
    };
    let first = create(&world).await;
    assert_eq!(create(&world).await, first);
    let path = format!("{CHATS}/{}", first["chatId"].as_str().unwrap());
    let append = async |world: &World| {
        let call = world.admin().post(&format!("{path}/messages")).header("Idempotency-Key", "k2");
        call.json(&json!({ "text": "and again" })).await.expect(201)
    };
    let second = append(&world).await;
    assert_eq!(append(&world).await, second);
    world.restart().await;
    assert_eq!(
        (create(&world).await["chatId"].clone(), append(&world).await),
        (first["chatId"].clone(), second)
    );
    assert_eq!(texts(&messages(&world, &path).await), ["hello", "and again"]);
    let chats = world.admin().get(CHATS).await.expect(200);
    assert_eq!(chats["chats"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_waiting_job_answers_later_messages_too_and_a_running_one_does_not() {
    let world = World::start().await;
    let (chat, job) = chat(&world, "one").await;
    assert_eq!(say(&world, &chat, "two").await["jobId"], job);
    let held = world.agent("talker-1").claim().await;
    assert_eq!(held.id, job);
    let third = say(&world, &chat, "three").await;
    assert_ne!(third["jobId"], json!(job));
    assert_eq!(world.state(third["jobId"].as_str().unwrap()).await, "pending");
    assert_eq!(say(&world, &chat, "four").await["jobId"], third["jobId"]);
}

#[tokio::test]
async fn an_answer_is_a_message_in_the_commit_that_ends_the_job() {
    let world = World::start().await;
    let (chat, job) = chat(&world, "hello").await;
    let agent = world.agent("talker-1");
    let held = agent.claim().await;
    let before = world.log_of(HELLO).await.len();
    let report = json!({ "state": "completed", "answer": { "text": "Hello, you", "model": "tiny" } });
    let answered = agent.say(&held, report.clone()).await.expect(200);
    assert_eq!((&answered["state"], &answered["result"]), (&json!("completed"), &Value::Null));
    agent.say(&held, report).await.expect(200);
    let log = world.log_of(HELLO).await;
    assert_eq!(log[before..], [format!("talker-1: job {job}: claimed -> completed by talker-1")]);
    let messages = messages(&world, &chat).await;
    assert_eq!(texts(&messages), ["hello", "Hello, you"]);
    let answer = &messages[1];
    assert_eq!(answer["author"], json!({ "kind": "agent", "name": "talker-1" }));
    assert_eq!(
        (&answer["role"], &answer["model"], &answer["jobId"]),
        (&json!("assistant"), &json!("tiny"), &json!(job))
    );
}

#[tokio::test]
async fn an_answer_that_is_no_answer_of_the_job_is_refused_and_nothing_changes() {
    let world = World::start().await;
    let (chat, _) = chat(&world, "hello").await;
    let agent = world.agent("talker-1");
    let held = agent.claim().await;
    let tip = world.tip(HELLO).await;
    for report in [
        json!({ "state": "completed" }),
        json!({ "state": "completed", "answer": { "text": " \n" } }),
        json!({ "state": "running", "answer": { "text": "x" } }),
        json!({ "state": "failed", "failure": { "code": "a", "message": "b" }, "answer": { "text": "x" } }),
        json!({ "state": "completed", "answer": { "text": "x".repeat(256 * 1024 + 1) } }),
        json!({ "state": "completed", "answer": { "text": "x", "odd": 1 } }),
    ] {
        assert_eq!(agent.say(&held, report.clone()).await.refused(400), "badRequest", "{report}");
    }
    assert_eq!(world.tip(HELLO).await, tip);
    let failure = json!({ "code": "modelRefused", "message": "no quota" });
    agent.say(&held, json!({ "state": "failed", "failure": failure })).await.expect(200);
    assert_eq!(texts(&messages(&world, &chat).await), ["hello"], "a failed job says nothing");
    let build = world.queue("build").await;
    let held = agent.claim().await;
    assert_eq!(held.id, build);
    let report = json!({ "state": "completed", "answer": { "text": "x" } });
    assert_eq!(agent.say(&held, report).await.refused(400), "badRequest");
}

#[tokio::test]
async fn of_a_cancelled_answer_what_there_was_is_kept_and_marked() {
    let world = World::start().await;
    let (chat, job) = chat(&world, "hello").await;
    let agent = world.agent("talker-1");
    let held = agent.claim().await;
    world.admin().post(&format!("/jobs/{job}/cancel")).await.expect(200);
    assert_eq!(send(&world, &held, 0, "Hel").await.header("job-status"), "cancelling");
    agent.say(&held, json!({ "state": "cancelled", "answer": { "text": "Hel" } })).await.expect(200);
    let messages = messages(&world, &chat).await;
    assert_eq!((texts(&messages)[1].as_str(), &messages[1]["interrupted"]), ("Hel", &json!(true)));
}

#[tokio::test]
async fn an_answer_longer_than_a_message_is_several_in_order() {
    let world = World::start().await;
    let (chat, _) = chat(&world, "hello").await;
    let agent = world.agent("talker-1");
    let held = agent.claim().await;
    let text = "äöü€ ".repeat(10_000);
    agent.say(&held, json!({ "state": "completed", "answer": { "text": text } })).await.expect(200);
    let messages = messages(&world, &chat).await;
    assert_eq!(texts(&messages[1..]).concat(), text);
    let continued: Vec<bool> = messages[1..].iter().map(|m| m["continued"] == json!(true)).collect();
    assert!(continued.len() > 2 && !continued.last().unwrap(), "{continued:?}");
    assert!(continued[..continued.len() - 1].iter().all(|continued| *continued));
}

#[tokio::test]
async fn a_watcher_hears_the_answer_as_it_comes_and_whoever_comes_later_hears_it_whole() {
    let world = World::start().await;
    let (chat, job) = chat(&world, "hello").await;
    let mut early = Listener::to(world.admin().get(&format!("{chat}/stream"))).await;
    let first = early.next().await.unwrap();
    assert_eq!((first.event.as_str(), &first.data["state"]), ("state", &json!("pending")));
    let agent = world.agent("talker-1");
    let held = agent.claim().await;
    assert_eq!(early.next().await.unwrap().data["state"], "claimed");
    send(&world, &held, 0, "Hello").await.expect(200);
    assert_eq!(
        early.next().await.unwrap().data,
        json!({ "jobId": job, "attempt": 1, "offset": 0, "text": "Hello" })
    );
    send(&world, &held, 0, "Hello").await.expect(200);
    let sent = send(&world, &held, 5, ", you").await;
    assert_eq!((sent.expect(200), sent.header("range")), (json!({ "size": 10 }), "0-10"));
    let more = early.next().await.unwrap();
    assert_eq!(
        (more.event.as_str(), &more.data["offset"], &more.data["text"]),
        ("partial", &json!(5), &json!(", you"))
    );

    let mut late =
        Listener::to(world.as_agent("talker-1").get(&format!("{chat}/stream")).header("Last-Event-ID", "0"))
            .await;
    let heard: Vec<_> = late.take(3).await;
    let kinds: Vec<&str> = heard.iter().map(|heard| heard.event.as_str()).collect();
    assert_eq!(kinds, ["state", "partial", "message"]);
    assert_eq!((&heard[1].data["text"], &heard[2].data["number"]), (&json!("Hello, you"), &json!(1)));

    agent.say(&held, json!({ "state": "completed", "answer": { "text": "Hello, you" } })).await.expect(200);
    for listener in [&mut early, &mut late] {
        let message = listener.next().await.unwrap();
        assert_eq!((message.event.as_str(), message.id.as_str()), ("message", "2"));
        assert_eq!(message.data["role"], "assistant");
        let state = listener.next().await.unwrap();
        assert_eq!((state.event.as_str(), &state.data["state"]), ("state", &json!("completed")));
    }
}

#[tokio::test]
async fn a_partial_answer_needs_the_lease_and_no_gap_and_does_not_outlive_the_daemon() {
    let mut world = World::start().await;
    let (_, job) = chat(&world, "hello").await;
    let held = world.agent("talker-1").claim().await;
    send(&world, &held, 0, "Hello").await.expect(200);
    let gap = send(&world, &held, 9, "x").await;
    assert_eq!((gap.refused(416).as_str(), gap.header("range")), ("answerGap", "0-5"));
    let stale = Held { lease: "lease-01jd000000000000000000007k".into(), ..held.clone() };
    assert_eq!(send(&world, &stale, 5, "x").await.refused(409), "jobLeaseStale");
    assert_eq!(send(&world, &held, 5, &"x".repeat(256 * 1024)).await.refused(413), "answerTooLarge");
    world.restart().await;
    let gap = send(&world, &held, 5, "x").await;
    assert_eq!((gap.refused(416).as_str(), gap.header("range")), ("answerGap", "0-0"));
    assert_eq!(world.job(&job).await["state"], "claimed");
}

#[tokio::test]
async fn chats_are_listed_by_their_last_change_and_pages_are_of_one_moment() {
    let world = World::start().await;
    let mut paths = Vec::new();
    for name in ["a", "b", "c", "d"] {
        paths.push(chat(&world, name).await.0);
        world.clock.pass(seconds(1));
    }
    say(&world, &paths[1], "again").await;
    let titles = |page: &Value| -> Vec<String> {
        page["chats"].as_array().unwrap().iter().map(|c| c["title"].as_str().unwrap().to_owned()).collect()
    };
    let first = world.admin().get(&format!("{CHATS}?limit=2")).await.expect(200);
    assert_eq!(titles(&first), ["b", "d"]);
    world.clock.pass(seconds(1));
    say(&world, &paths[0], "first again").await;
    world.admin().delete(&paths[2]).await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = world.admin().get(&format!("{CHATS}?limit=2&cursor={cursor}")).await.expect(200);
    assert_eq!(
        (titles(&second), &second["nextCursor"]),
        (vec!["c".to_owned(), "a".to_owned()], &Value::Null)
    );
    let now = world.admin().get(CHATS).await.expect(200);
    assert_eq!(titles(&now), ["a", "b", "d"]);
    assert_eq!(world.admin().get(&format!("{CHATS}?cursor=x")).await.refused(400), "badRequest");
}

#[tokio::test]
async fn messages_are_paged_both_ways_over_segments_and_new_ones_do_not_disturb() {
    let world = World::start().await;
    let (chat, _) = chat(&world, "1").await;
    for number in 2..=70 {
        say(&world, &chat, &number.to_string()).await;
    }
    let get =
        async |query: &str| world.admin().get(&format!("{chat}/messages?limit=30&{query}")).await.expect(200);
    let numbers = |page: &Value| -> Vec<u64> {
        page["messages"].as_array().unwrap().iter().map(|m| m["number"].as_u64().unwrap()).collect()
    };
    let newest = get("").await;
    assert_eq!((numbers(&newest), &newest["nextCursor"]), ((41..=70).collect(), &Value::Null));
    say(&world, &chat, "71").await;
    let before = get(&format!("cursor={}", newest["previousCursor"].as_str().unwrap())).await;
    assert_eq!(numbers(&before), (11..=40).collect::<Vec<_>>());
    let oldest = get(&format!("cursor={}", before["previousCursor"].as_str().unwrap())).await;
    assert_eq!((numbers(&oldest), &oldest["previousCursor"]), ((1..=10).collect(), &Value::Null));
    let forward = get("cursor=after-0").await;
    assert_eq!((numbers(&forward), &forward["nextCursor"]), ((1..=30).collect(), &json!("after-30")));
    assert_eq!(numbers(&get("cursor=after-70").await), [71]);
    let id = chat.rsplit('/').next().unwrap();
    let fan: Vec<String> = id[id.len() - 3..].chars().map(String::from).collect();
    for first in ["000001", "000033", "000065"] {
        let path = format!("chats/{}/{id}/messages/{first}.yaml", fan.join("/"));
        assert!(world.file(HELLO, &path).await.is_some(), "{path}");
    }
}

#[tokio::test]
async fn a_chat_is_renamed_guarded_by_its_version_and_removed_with_its_jobs() {
    let world = World::start().await;
    let (path, job) = chat(&world, "hello").await;
    let etag = world.admin().get(&path).await.header("etag").to_owned();
    let rename = async |title: &str| {
        let body = json!({ "title": title, "llmMode": "openai" });
        world.admin().patch(&path).header("If-Match", &etag).json(&body).await
    };
    let renamed = rename("New").await.expect(200);
    assert_eq!((&renamed["title"], &renamed["llmMode"]), (&json!("New"), &json!("openai")));
    assert_eq!(rename("Newer").await.refused(412), "chatChanged");
    let held = world.agent("talker-1").claim().await;
    let waiting = say(&world, &path, "more").await["jobId"].as_str().unwrap().to_owned();
    assert_eq!(world.admin().delete(&path).await.status, 204);
    assert_eq!(world.admin().get(&path).await.refused(404), "chatUnknown");
    assert_eq!(world.admin().get(&format!("{path}/messages")).await.refused(404), "chatUnknown");
    assert_eq!(world.state(&waiting).await, "cancelled");
    assert_eq!(world.job(&job).await["cancelRequested"], true);
    let late = json!({ "state": "cancelled", "answer": { "text": "too late" } });
    world.agent("talker-1").say(&held, late).await.expect(200);
    assert_eq!(world.admin().delete(&path).await.refused(404), "chatUnknown");
}

#[tokio::test]
async fn what_is_no_chat_or_message_is_refused_and_nothing_changes() {
    let world = World::start().await;
    let (path, _) = chat(&world, "hello").await;
    let tip = world.tip(HELLO).await;
    let art = "art-01jd000000000000000000007k";
    for (body, status, code) in [
        (json!({ "title": "" }), 400, "badRequest"),
        (json!({ "title": "a\nb" }), 400, "badRequest"),
        (json!({ "title": "a".repeat(201) }), 400, "badRequest"),
        (json!({ "llmMode": "other" }), 400, "badRequest"),
        (json!({ "message": { "text": " " } }), 400, "badRequest"),
        (json!({ "message": { "text": "a", "role": "assistant" } }), 400, "badRequest"),
        (json!({ "message": {} }), 400, "badRequest"),
        (json!({ "message": { "parts": [] } }), 400, "badRequest"),
        (json!({ "message": { "parts": [{ "type": "text", "text": "a", "odd": 1 }] } }), 400, "badRequest"),
        (json!({ "message": { "parts": [{ "type": "file", "artifactId": art }] } }), 404, "artifactUnknown"),
        (json!({ "message": { "text": "a".repeat(32 * 1024 + 1) } }), 413, "messageTooLarge"),
        (json!({ "message": { "text": "\u{1}".repeat(32 * 1024) } }), 413, "messageTooLarge"),
    ] {
        assert_eq!(world.admin().post(CHATS).json(&body).await.refused(status), code, "{body}");
        if let Some(message) = body.get("message") {
            let answer = world.admin().post(&format!("{path}/messages")).json(message).await;
            assert_eq!(answer.refused(status), code, "{body}");
        }
    }
    let unknown = format!("{CHATS}/chat-01jd000000000000000000007k/messages");
    assert_eq!(world.admin().post(&unknown).json(&json!({ "text": "a" })).await.refused(404), "chatUnknown");
    assert_eq!(world.admin().get(&format!("{path}/messages?cursor=9")).await.refused(400), "badRequest");
    assert_eq!(world.admin().get("/projects/mrx-none/chats").await.refused(404), "projectUnknown");
    assert_eq!(world.tip(HELLO).await, tip);
}

#[tokio::test]
async fn a_project_has_a_prompt_and_a_message_can_name_its_files() {
    let world = World::start().await;
    let path = "/projects/mrx-hello/prompt";
    assert_eq!(world.as_agent("talker-1").get(path).await.expect(200)["text"], "");
    let set = json!({ "text": "Answer briefly." });
    world.admin().call(reqwest::Method::PUT, path).json(&set).await.expect(200);
    assert_eq!(world.as_agent("talker-1").get(path).await.expect(200)["text"], "Answer briefly.");
    let long = json!({ "text": "a".repeat(16 * 1024 + 1) });
    assert_eq!(
        world.admin().call(reqwest::Method::PUT, path).json(&long).await.refused(413),
        "messageTooLarge"
    );
    let upload = world.admin().post("/projects/mrx-hello/artifacts?name=a.txt").body("a").await.expect(201);
    let parts =
        json!([{ "type": "text", "text": "see" }, { "type": "file", "artifactId": upload["artifactId"] }]);
    let chat = world.admin().post(CHATS).json(&json!({ "message": { "parts": parts } })).await.expect(201);
    let path = format!("{CHATS}/{}", chat["chatId"].as_str().unwrap());
    assert_eq!(messages(&world, &path).await[0]["parts"], parts);
}
