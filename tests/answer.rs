//! Stories of answers: the real agent program, a real daemon, and a model that plays a script.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::world::{HELLO, Listener, World};

const CHATS: &str = "/projects/mrx-hello/chats";
const KEY: &str = "canary-key-of-the-model";

/// A model whose words the story sends when it likes; a closed channel closes the connection.
struct Model {
    address: String,
    asked: Arc<Mutex<Vec<Value>>>,
    _task: JoinSet<()>,
}

impl Model {
    async fn start(mut words: mpsc::Receiver<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, mut task) = (asked.clone(), JoinSet::new());
        task.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            heard.lock().await.push(question(&mut stream).await);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            while let Some(word) = words.recv().await {
                let event = match word {
                    "" => "data: [DONE]\n\n".to_owned(),
                    word => format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": word } }] })),
                };
                if stream.write_all(event.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        Self { address, asked, _task: task }
    }
}

/// A model that gives these answers one after the other; tells its address and what it was asked.
pub async fn model_that_says(answers: Vec<String>) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    // It ends with its last answer.
    let serve = async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            heard.lock().await.push(question(&mut stream).await);
            let word = json!({ "choices": [{ "delta": { "content": answer } }] });
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            let said = format!("{head}data: {word}\n\ndata: [DONE]\n\n");
            stream.write_all(said.as_bytes()).await.unwrap();
        }
    };
    let mut task = JoinSet::new();
    task.spawn(serve);
    task.detach_all();
    (address, asked)
}

async fn question(stream: &mut TcpStream) -> Value {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return body;
        }
    }
}

async fn chat(world: &World, text: &str) -> (String, String) {
    let body = json!({ "message": { "text": text } });
    let chat = world.admin().post(CHATS).json(&body).await.expect(201);
    (format!("{CHATS}/{}", chat["chatId"].as_str().unwrap()), chat["lastJob"].as_str().unwrap().to_owned())
}

async fn last_message(world: &World, chat: &str) -> Value {
    let page = world.admin().get(&format!("{chat}/messages")).await.expect(200);
    page["messages"].as_array().unwrap().last().unwrap().clone()
}

/// The next `partial` that a watcher hears.
async fn partial(listener: &mut Listener) -> String {
    loop {
        let heard = listener.next().await.unwrap();
        if heard.event == "partial" {
            return heard.data["text"].as_str().unwrap().to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_answered_by_the_projects_model_while_watchers_listen() {
    let world = World::start().await;
    let (say, words) = mpsc::channel(10);
    let model = Model::start(words).await;
    world.model(&model.address, "tiny", KEY).await;
    let prompt = json!({ "text": "Answer briefly." });
    world.admin().call(reqwest::Method::PUT, "/projects/mrx-hello/prompt").json(&prompt).await.expect(200);
    let (chat, job) = chat(&world, &"old ".repeat(2000)).await;
    for text in ["first", "second"] {
        world.admin().post(&format!("{chat}/messages")).json(&json!({ "text": text })).await.expect(201);
    }
    let mut listener = Listener::to(world.admin().get(&format!("{chat}/stream"))).await;
    let _worker = world.worker().await;
    say.send("Hello").await.unwrap();
    assert_eq!(partial(&mut listener).await, "Hello");
    say.send(", you").await.unwrap();
    assert_eq!(partial(&mut listener).await, ", you");
    say.send("").await.unwrap();
    let ended = world.ended(&job).await;
    assert_eq!((&ended["state"], &ended["result"]["turns"]), (&json!("completed"), &json!(3)), "{ended}");
    let answer = last_message(&world, &chat).await;
    assert_eq!((&answer["parts"][0]["text"], &answer["model"]), (&json!("Hello, you"), &json!("tiny")));
    let asked = model.asked.lock().await[0].clone();
    let turns = [("system", "Answer briefly."), ("user", "first"), ("user", "second")];
    let turns: Vec<Value> = turns.map(|(role, content)| json!({ "role": role, "content": content })).into();
    assert_eq!(asked["messages"], json!(turns), "the oldest message does not fit");
    let state =
        world.log_of(HELLO).await.join("\n") + &world.admin().get(&format!("/jobs/{job}/logs")).await.text();
    assert!(!state.contains(KEY), "{state}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_answer_stays_as_far_as_it_came() {
    let world = World::start().await;
    let (say, words) = mpsc::channel(10);
    let model = Model::start(words).await;
    world.model(&model.address, "tiny", KEY).await;
    let (chat, job) = chat(&world, "hello").await;
    let mut listener = Listener::to(world.admin().get(&format!("{chat}/stream"))).await;
    let _worker = world.worker().await;
    say.send("Hel").await.unwrap();
    assert_eq!(partial(&mut listener).await, "Hel");
    world.admin().post(&format!("/jobs/{job}/cancel")).await.expect(200);
    assert_eq!(world.ended(&job).await["state"], "cancelled");
    let answer = last_message(&world, &chat).await;
    assert_eq!((&answer["parts"][0]["text"], &answer["interrupted"]), (&json!("Hel"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_fails_the_job_with_what_happened_and_says_nothing() {
    let world = World::start().await;
    let (say, words) = mpsc::channel(10);
    let model = Model::start(words).await;
    world.model(&model.address, "tiny", KEY).await;
    let (chat, job) = chat(&world, "hello").await;
    say.send("Hel").await.unwrap();
    drop(say);
    let _worker = world.worker().await;
    let ended = world.ended(&job).await;
    assert_eq!(ended["failure"]["code"], "modelCut", "{ended}");
    assert_eq!(last_message(&world, &chat).await["role"], "user");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_without_a_model_is_told_what_is_missing() {
    let world = World::start().await;
    let (_, job) = chat(&world, "hello").await;
    let _worker = world.worker().await;
    let ended = world.ended(&job).await;
    assert_eq!(ended["failure"]["code"], "modelUnset");
    assert!(ended["failure"]["message"].as_str().unwrap().contains("secret llm"), "{ended}");
}
