//! Answers by a real server of models, LiteLLM: a stream, a refusal that passes, one that does not, and a cut. And the notebook's cells
//! in a real kernel of Jupyter.
//!
//! They need Python, so they are not among `cargo test`; `make test-models` prepares both and runs them.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails; the place says why")]

mod notebook;
#[path = "../openapi.rs"]
mod openapi;
#[path = "../world/mod.rs"]
#[expect(dead_code, reason = "the other stories use the rest of it")]
#[expect(unused_imports, reason = "the same")]
mod world;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use world::World;

const CHATS: &str = "/projects/mrx-hello/chats";
/// As `config.yaml` has it.
const KEY: &str = "sk-canary-of-litellm";
/// Python loads slowly on a small, busy machine.
const START_MAX: Duration = Duration::from_secs(300);

/// A running LiteLLM; it ends with this value.
struct LiteLlm {
    process: Child,
    port: u16,
}

impl Drop for LiteLlm {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl LiteLlm {
    async fn start() -> Self {
        // The first one wins, as in every world.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let root = env!("CARGO_MANIFEST_DIR");
        let program = std::env::var("MRX_LITELLM").expect("make test-models says where LiteLLM is");
        #[expect(clippy::disallowed_methods, reason = "the story's own server, which ends with it")]
        let process = Command::new(program)
            .args(["--config", &format!("{root}/tests/models/config.yaml"), "--host", "127.0.0.1"])
            .args(["--port", &port.to_string()])
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("NO_PROXY", "*")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { process, port };
        server.ready().await;
        server
    }

    async fn ready(&mut self) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let address = format!("http://127.0.0.1:{}/health/liveliness", self.port);
        let answers = async {
            while !http.get(&address).send().await.is_ok_and(|answer| answer.status().is_success()) {
                assert!(self.process.try_wait().unwrap().is_none(), "LiteLLM has ended");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(START_MAX, answers).await.expect("LiteLLM starts");
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }
}

/// A way to a server that closes each connection when this many bytes have come back.
async fn cutting(port: u16, bytes: usize) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let ((mut from, mut to), (answers, mut back)) = (client.into_split(), server.into_split());
            let mut answers = answers.take(bytes as u64);
            let up = async { drop(tokio::io::copy(&mut from, &mut back).await) };
            let down = async {
                drop(tokio::io::copy(&mut answers, &mut to).await);
                drop(to.shutdown().await);
            };
            tokio::select! { () = up => {}, () = down => {} }
        }
    });
    (address, tasks)
}

/// Begins a chat, lets the agent answer it; gives the ended job and the chat's messages.
async fn answered(address: &str, model: &str, key: &str) -> (Value, Vec<Value>) {
    let world = World::start().await;
    world.model(address, model, key).await;
    let body = json!({ "message": { "text": "hello" } });
    let chat = world.admin().post(CHATS).json(&body).await.expect(201);
    let _worker = world.worker().await;
    let job = world.ended(chat["lastJob"].as_str().unwrap()).await;
    let path = format!("{CHATS}/{}/messages", chat["chatId"].as_str().unwrap());
    let page = world.admin().get(&path).await.expect(200);
    (job, page["messages"].as_array().unwrap().clone())
}

/// One server for all: it takes half a minute to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_is_answered_by_litellm_and_its_refusals_and_cuts_are_told() {
    let server = LiteLlm::start().await;

    let (job, messages) = answered(&server.address(), "tiny", KEY).await;
    assert_eq!(job["state"], "completed", "{job}");
    assert_eq!(messages[1]["parts"][0]["text"], "Hello from LiteLLM, word by word by word.");
    assert_eq!(messages[1]["role"], "assistant");

    let (job, messages) = answered(&server.address(), "busy", KEY).await;
    assert_eq!(job["failure"]["code"], "modelBusy", "{job}");
    assert!(job["failure"]["message"].as_str().unwrap().contains("429"), "{job}");
    assert_eq!(messages.len(), 1);

    let (job, _) = answered(&server.address(), "tiny", "sk-canary-that-is-wrong").await;
    assert_eq!(job["failure"]["code"], "modelRefused", "{job}");
    assert!(!job.to_string().contains("sk-canary-that-is-wrong"), "{job}");

    let (job, _) = answered(&server.address(), "nobody", KEY).await;
    assert_eq!(job["failure"]["code"], "modelRefused", "{job}");

    let whole = stream_bytes(&server).await;
    let (cut, _relay) = cutting(server.port, whole * 2 / 3).await;
    let (job, messages) = answered(&cut, "tiny", KEY).await;
    assert_eq!(job["failure"]["code"], "modelCut", "{job}");
    assert_eq!(messages.len(), 1, "half an answer is none");
}

/// How many bytes a whole streamed answer has, with its headers.
async fn stream_bytes(server: &LiteLlm) -> usize {
    let body =
        json!({ "model": "tiny", "stream": true, "messages": [{ "role": "user", "content": "hello" }] })
            .to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer.len()
}
