//! The notebook of `examples/colab` in a real Jupyter kernel: its cells in order, its questions answered as a person would.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::world::World;

const NAME: &str = "colab-1";
const BUILD: &str = "echo building; mkdir dist; printf bytes > dist/app.bin";
/// The cells that hold code: the terms, the pairing, the command, the agent.
const CELLS: usize = 4;

/// A person at an open notebook.
struct Reader {
    kernel: Child,
    hands: ChildStdin,
    cells: Lines<BufReader<ChildStdout>>,
}

impl Reader {
    /// Opens the notebook, with what is to be answered to each question.
    async fn open(world: &World, answers: Value) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let python = std::env::var("MRX_NOTEBOOK_PYTHON").expect("make test-models says where Jupyter is");
        let home = home(world);
        std::fs::create_dir_all(&home).unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "the kernel is another program, and ends with the story"
        )]
        let mut command = Command::new(python);
        command.arg(format!("{root}/tests/models/notebook.py"));
        command.arg(format!("{root}/examples/colab/agent.ipynb")).arg(&home);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &home);
        command.env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
        let mut kernel = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (hands, said) = (kernel.stdin.take().unwrap(), kernel.stdout.take().unwrap());
        let mut reader = Self { kernel, hands, cells: BufReader::new(said).lines() };
        reader.send(&answers).await;
        reader
    }

    async fn send(&mut self, line: &Value) {
        self.hands.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// What became of the next cell; `None` behind the last that was run.
    async fn cell(&mut self) -> Option<Value> {
        let line = self.cells.next_line().await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Closes the notebook, which must have nothing more to say.
    async fn close(mut self) {
        assert_eq!(self.cell().await, None);
        assert!(self.kernel.wait().await.unwrap().success());
    }
}

/// Where the notebook runs and keeps what it makes.
fn home(world: &World) -> PathBuf {
    world.folder().join("notebook")
}

fn answers(world: &World, consent: &str, code: &str) -> Value {
    json!([
        ["Have you read the terms", consent],
        ["The daemon's address", world.address()],
        ["This agent's name", NAME],
        ["The code", code],
    ])
}

async fn code(world: &World) -> String {
    let body = json!({ "colabId": NAME });
    let issued = world.admin().post("/agents/claim-secret").json(&body).await.expect(201);
    issued["claimSecret"].as_str().unwrap().to_owned()
}

/// What a cell asked, and whether what was typed stayed hidden.
fn asked(cell: &Value) -> Vec<(&str, bool)> {
    let one = |question: &'_ Value| question["hidden"].as_bool().unwrap();
    let asked = cell["asked"].as_array().unwrap().iter();
    asked.map(|question| (question["prompt"].as_str().unwrap(), one(question))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_in_a_real_kernel_asks_pairs_builds_and_stops_when_its_cell_is_interrupted() {
    let world = World::start().await;
    world.commit_code("mrx-hello", "build.sh", BUILD).await;
    let job = world.queue_with(json!({ "jobType": "build", "payload": { "ref": "main" } })).await;
    let code = code(&world).await;
    let mut reader = Reader::open(&world, answers(&world, "yes", &code)).await;

    let terms = reader.cell().await.unwrap();
    assert_eq!((&terms["status"], terms["said"].as_str()), (&json!("ok"), Some("Going on.\n")), "{terms}");
    assert!(matches!(asked(&terms)[..], [(prompt, false)] if prompt.ends_with("Type yes to go on: ")));
    let pairing = reader.cell().await.unwrap();
    assert_eq!(pairing["status"], "ok", "{pairing}");
    let hidden: Vec<bool> = asked(&pairing).iter().map(|(_, hidden)| *hidden).collect();
    assert_eq!(hidden, [false, false, true], "the code alone is not shown: {pairing}");
    let agent_file = std::fs::read(home(&world).join("mrx_agent.py")).unwrap();
    assert_eq!(agent_file, include_bytes!("../../examples/colab/mrx_agent.py"));
    assert_eq!(reader.cell().await.unwrap()["status"], "ok");

    let ended = world.ended(&job).await;
    assert_eq!((&ended["state"], &ended["claimedBy"]), (&json!("completed"), &json!(NAME)), "{ended}");
    assert_eq!(ended["result"]["commit"].as_str().map(str::len), Some(40));
    assert!(String::from_utf8_lossy(&world.log_bytes(&job).await).starts_with("building\n"));
    let artifact = ended["result"]["artifacts"][0].as_str().unwrap();
    let path = format!("/projects/mrx-hello/artifacts/{artifact}/content");
    assert_eq!(world.admin().get(&path).await.body, b"bytes");
    // A second job, with the code that the first claim's answer carried.
    let second = world.queue_with(json!({ "jobType": "build", "payload": { "ref": "main" } })).await;
    assert_eq!(world.ended(&second).await["state"], "completed");

    reader.send(&json!({ "interrupt": true })).await;
    let agent = reader.cell().await.unwrap();
    assert_eq!((&agent["cell"], &agent["status"]), (&json!(CELLS - 1), &json!("error")), "{agent}");
    assert_eq!(agent["error"]["name"], "KeyboardInterrupt", "{agent}");
    for cell in [&terms, &pairing, &agent] {
        let shown = cell["said"].as_str().unwrap();
        assert!(
            !shown.contains("mrx_claim_") && !cell.to_string().contains(&code),
            "no code is shown: {cell}"
        );
    }
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_whose_question_is_not_answered_with_yes_starts_nothing() {
    let world = World::start().await;
    let code = code(&world).await;
    for consent in ["", "no", "yes please"] {
        let mut reader = Reader::open(&world, answers(&world, consent, &code)).await;
        let terms = reader.cell().await.unwrap();
        assert_eq!((&terms["status"], &terms["error"]["name"]), (&json!("error"), &json!("SystemExit")));
        assert_eq!(terms["error"]["value"], "Nothing was started.");
        reader.close().await;
    }
    assert!(!home(&world).join("mrx_agent.py").exists());
    let body = json!({ "colabId": NAME, "claimSecret": code });
    world.stranger().post("/jobs/claim").json(&body).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_with_a_spent_code_says_how_to_pair_again() {
    let world = World::start().await;
    let spent = code(&world).await;
    let body = json!({ "colabId": NAME, "claimSecret": spent });
    world.stranger().post("/jobs/claim").json(&body).await.expect(200);
    let mut reader = Reader::open(&world, answers(&world, "yes", &spent)).await;
    for _ in 1..CELLS {
        assert_eq!(reader.cell().await.unwrap()["status"], "ok");
    }
    let agent = reader.cell().await.unwrap();
    assert_eq!(agent["status"], "ok", "{agent}");
    let said = agent["said"].as_str().unwrap();
    assert!(said.contains("spentToken") && said.contains("Ask an admin for another code"), "{said}");
    reader.close().await;
}
