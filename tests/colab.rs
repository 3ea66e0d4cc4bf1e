//! The agent for notebooks, as the Python that runs it, with the world's daemon; killed and started again.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::{Cut, Proxy, SOON, World};

const PYTHON: &str = "python3";
const NAME: &str = "colab-1";
const NOTEBOOK: &str = include_str!("../examples/colab/agent.ipynb");

/// A running agent; it is killed with this value.
struct Notebook {
    child: Child,
}

#[expect(clippy::disallowed_methods, reason = "the agent is another program, and is started as one")]
fn python() -> Command {
    let mut command = Command::new(PYTHON);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

impl Notebook {
    /// Starts it in the world's folder, with this script for each job and, if it is to pair, this code.
    fn start(world: &World, server: &str, code: Option<&str>, script: &str) -> Self {
        Self::start_with(world, server, code, script, None)
    }

    /// The same, which trusts these certificates and no others.
    fn start_with(
        world: &World,
        server: &str,
        code: Option<&str>,
        script: &str,
        trusted: Option<&Path>,
    ) -> Self {
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(said_path(world)).unwrap();
        let mut command = python();
        command.envs(trusted.map(|file| ("SSL_CERT_FILE", file)));
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/colab/mrx_agent.py"));
        command.args(["--server", server, "--name", NAME, "--state"]).arg(world.folder().join("colab"));
        if code.is_some() {
            command.arg("--pair");
        }
        command.args(["--", "/bin/sh", "-c", script]);
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("these tests need Python 3.9 or later as python3: apt-get install python3");
        let code = format!("{}\n", code.unwrap_or_default());
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), code.as_bytes()).unwrap();
        Self { child }
    }

    /// Kills it as a crash would, and waits until it is gone.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its own end.
    async fn ended(&mut self) -> Option<i32> {
        for _ in 0..SOON.as_millis() / 5 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the agent does not end");
    }
}

impl Drop for Notebook {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said_path(world: &World) -> PathBuf {
    world.folder().join("colab.said")
}

fn said(world: &World) -> String {
    std::fs::read_to_string(said_path(world)).unwrap()
}

async fn code(world: &World) -> String {
    let issued =
        world.admin().post("/agents/claim-secret").json(&json!({ "colabId": NAME })).await.expect(201);
    issued["claimSecret"].as_str().unwrap().to_owned()
}

/// A script that says it has begun and goes on until a file is there.
fn waits_for(world: &World, file: &str) -> String {
    format!(
        "echo begun; while [ ! -e {} ]; do sleep 0.05; done; echo over",
        world.folder().join(file).display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_pairs_runs_a_job_streams_its_log_and_delivers_what_it_made() {
    let world = World::start().await;
    let job = world.queue_with(json!({ "jobType": "build", "payload": { "ref": "main" } })).await;
    let script = format!(
        r#"cat > given; printf 'o\n'; printf 'e\n' >&2; echo 'half way' > "$MRX_OUT/progress"; {}
        printf '{{"got": %s}}' "$(cat given)" > "$MRX_OUT/result.json"; printf bytes > "$MRX_OUT/artifacts/a.bin"; env"#,
        waits_for(&world, "go")
    );
    let _notebook = Notebook::start(&world, world.address(), Some(&code(&world).await), &script);
    world.log_has(&job, "o\ne\nbegun\n").await;
    for _ in 0..200 {
        if world.job(&job).await["progress"] == "half way" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let running = world.job(&job).await;
    assert_eq!((&running["state"], &running["progress"]), (&json!("running"), &json!("half way")));
    std::fs::write(world.folder().join("go"), "").unwrap();
    let ended = world.ended(&job).await;
    assert_eq!(ended["state"], "completed", "{ended} {}", said(&world));
    assert_eq!(ended["claimedBy"], NAME);
    assert_eq!(ended["result"]["got"]["job"]["jobId"], json!(job));
    assert_eq!(ended["result"]["got"]["job"]["payload"]["ref"], "main");
    let log = world.log_bytes(&job).await;
    let sum: String = Sha256::digest(&log).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&ended["log"]["size"], &ended["log"]["sha256"]), (&json!(log.len()), &json!(sum)));
    let artifact = ended["result"]["artifacts"][0].as_str().unwrap();
    let path = format!("/projects/mrx-hello/artifacts/{artifact}/content");
    assert_eq!(world.admin().get(&path).await.body, b"bytes");
    let text = String::from_utf8_lossy(&log);
    assert!(!text.contains("mrx_claim_") && !said(&world).contains("mrx_claim_"), "no code is shown");
    let state = world.folder().join("colab/state.json");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(state).unwrap().permissions()) & 0o777,
        0o600
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_is_spent_is_refused_with_what_to_do() {
    let world = World::start().await;
    let spent = code(&world).await;
    let body = json!({ "colabId": NAME, "claimSecret": spent });
    world.stranger().post("/jobs/claim").json(&body).await.expect(200);
    let mut notebook = Notebook::start(&world, world.address(), Some(&spent), "true");
    assert_eq!(notebook.ended().await, Some(3));
    assert!(said(&world).contains("spentToken") && said(&world).contains("--pair"), "{}", said(&world));
    assert!(!said(&world).contains(&spent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_ends_a_cancelled_job_with_all_that_it_started_and_does_the_next() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let script = "[ -e ../../second ] && exit 3; touch ../../second; trap '' TERM; sleep 86431 & echo begun; wait; sleep 86431";
    let _notebook = Notebook::start(&world, world.address(), Some(&code(&world).await), script);
    world.log_has(&job, "begun").await;
    world.admin().post(&format!("/jobs/{job}/cancel")).await.expect(200);
    assert_eq!(world.ended(&job).await["state"], "cancelled");
    let next = world.ended(&world.queue("build").await).await;
    assert_eq!(
        (&next["state"], &next["failure"]["code"], &next["failure"]["details"]["exitCode"]),
        (&json!("failed"), &json!("programFailed"), &json!(3))
    );
    assert_eq!(running("86431"), 0);
}

/// How many processes have this word in their command line.
fn running(word: &str) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = lines.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_that_is_killed_in_mid_job_reports_it_when_it_starts_again_and_does_the_next() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let mut notebook =
        Notebook::start(&world, world.address(), Some(&code(&world).await), "echo begun; sleep 86432");
    world.log_has(&job, "begun").await;
    notebook.kill();
    let _again = Notebook::start(&world, world.address(), None, "echo second");
    let ended = world.ended(&job).await;
    assert_eq!((&ended["state"], &ended["failure"]["code"]), (&json!("failed"), &json!("agentRestarted")));
    assert!(String::from_utf8_lossy(&world.log_bytes(&job).await).starts_with("begun\n== failed"));
    assert_eq!(ended["attempt"], 1);
    assert_eq!(running("86432"), 0, "what was left running is ended");
    assert_eq!(world.ended(&world.queue("build").await).await["state"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_is_lost_gives_a_notebook_the_same_job_once() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let other = world.queue_with(json!({ "jobType": "build", "labels": ["gpu"] })).await;
    let proxy = Proxy::start(world.address()).await;
    proxy.cut("/jobs/claim", Cut::Answer, 1);
    let _notebook = Notebook::start(&world, &proxy.address, Some(&code(&world).await), "echo ran");
    let ended = world.ended(&job).await;
    assert_eq!((&ended["state"], &ended["attempt"]), (&json!("completed"), &json!(1)), "{}", said(&world));
    assert_eq!(proxy.cuts_left(), 0);
    assert_eq!(world.log_bytes(&job).await, b"ran\n== completed\n");
    assert_eq!(world.state(&other).await, "pending", "it offers no such label");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_killed_while_its_daemon_was_away_tells_the_end_once_when_both_are_back() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let proxy = Proxy::start(world.address()).await;
    let script = format!("{}; printf x > \"$MRX_OUT/artifacts/x\"", waits_for(&world, "go"));
    let mut notebook = Notebook::start(&world, &proxy.address, Some(&code(&world).await), &script);
    world.log_has(&job, "begun").await;
    proxy.cut("/", Cut::Request, usize::MAX);
    std::fs::write(world.folder().join("go"), "").unwrap();
    for _ in 0..500 {
        let state = std::fs::read_to_string(world.folder().join("colab/state.json")).unwrap();
        if state.contains(r#""stage": "ending""#) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    notebook.kill();
    proxy.cut("/", Cut::Request, 0);
    let _again = Notebook::start(&world, &proxy.address, None, "true");
    let ended = world.ended(&job).await;
    assert_eq!(ended["state"], "completed", "{ended} {}", said(&world));
    assert_eq!(ended["result"]["artifacts"].as_array().unwrap().len(), 1);
    let log = String::from_utf8(world.log_bytes(&job).await).unwrap();
    assert!(
        log.starts_with("begun\nover\n== artifact \"x\": art-") && log.ends_with("== completed\n"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_says_how_long_it_stays_and_goes_then() {
    let world = World::start().await;
    let proxy = Proxy::start(world.address()).await;
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/colab/mrx_agent.py");
    let script = format!(
        "import importlib.util, sys\nspec = importlib.util.spec_from_file_location('a', {program:?})\n\
         a = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(a)\n\
         agent = a.Agent(sys.argv[1], 'colab-1', ['true'], state=sys.argv[2], available_minutes=0.02)\n\
         agent.pair(sys.stdin.readline())\nagent.run()\n"
    );
    let mut command = python();
    command
        .args(["-c", &script, &proxy.address])
        .arg(world.folder().join("colab"))
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let mut notebook = Notebook { child: command.spawn().unwrap() };
    let code = code(&world).await;
    std::io::Write::write_all(&mut notebook.child.stdin.take().unwrap(), code.as_bytes()).unwrap();
    assert_eq!(notebook.ended().await, Some(0));
    let claim = proxy.bodies("/jobs/claim").remove(0);
    let claim: Value = serde_json::from_str(&claim).unwrap();
    let until = claim["availableUntil"].as_str().unwrap();
    assert!(until.parse::<mrx::clock::Time>().is_ok(), "{until}");
    assert_eq!((&claim["colabId"], &claim["types"]), (&json!(NAME), &json!(["build"])));
}

#[test]
fn a_notebook_calls_no_other_machine_without_encryption() {
    for server in
        ["http://mrx.example.org", "ftp://127.0.0.1", "https://me:word@mrx.example.org", "127.0.0.1:8421"]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut command = python();
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/colab/mrx_agent.py"));
        command.args(["--server", server, "--name", NAME, "--state"]).arg(folder.path().join("s"));
        let output = command.args(["--", "true"]).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "{server}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("https://"), "{server}: {said}");
    }
}

#[tokio::test]
async fn the_daemon_serves_the_agent_that_fits_it() {
    let world = World::start().await;
    let answer = world.stranger().get("/agent.py").await;
    assert_eq!(answer.text(), include_str!("../examples/colab/mrx_agent.py"));
    assert!(answer.header("content-type").starts_with("text/x-python"));
    let again = world.stranger().get("/agent.py").header("If-None-Match", answer.header("etag")).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[test]
fn the_notebook_begins_with_the_terms_then_asks_and_its_code_is_python() {
    let notebook: Value = serde_json::from_str(NOTEBOOK).unwrap();
    assert_eq!(notebook["nbformat"], 4);
    let cells = notebook["cells"].as_array().unwrap();
    let text = |cell: &Value| -> String {
        cell["source"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
    };
    assert_eq!(cells[0]["cell_type"], "markdown");
    let first = text(&cells[0]);
    for word in ["may forbid", "distributed computing", "https://research.google.com/colaboratory/faq.html"] {
        assert!(first.contains(word), "{word}: {first}");
    }
    assert!(text(&cells[1]).contains("yes") && text(&cells[1]).contains("raise SystemExit"));
    let mut count = 0;
    for cell in cells.iter().filter(|cell| cell["cell_type"] == "code") {
        assert_eq!(cell["outputs"], json!([]));
        let source = text(cell);
        let source = source.strip_prefix("%%writefile mrx_build.py\n").unwrap_or(&source);
        let mut command = python();
        let check = "import sys; compile(sys.argv[1], 'cell', 'exec')";
        let output = command.args(["-c", check, source]).output().expect("these tests need python3");
        assert!(output.status.success(), "{source}\n{}", String::from_utf8_lossy(&output.stderr));
        count += 1;
    }
    assert!(count >= 4, "{count}");
}

/// Ends TLS on a port of its own, which it prints, and hands what is inside on to another port.
const TLS_END: &str = r#"
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)

def pour(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for one in (source, sink):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def serve(raw):
    try:
        inside = context.wrap_socket(raw, server_side=True)
    except OSError:
        return
    behind = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
    threading.Thread(target=pour, args=(behind, inside), daemon=True).start()
    pour(inside, behind)

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

/// The daemon behind a certificate of nobody's: its address, and the certificate's file. It ends with the value.
#[expect(clippy::disallowed_methods, reason = "a certificate is made as an operator makes one")]
fn behind_tls(world: &World) -> (Notebook, String, PathBuf) {
    let (certificate, key) = (world.folder().join("tls.pem"), world.folder().join("tls.key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=mrx", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("this test needs openssl: apt-get install openssl").success());
    let mut command = python();
    command.args(["-c", TLS_END]).arg(&certificate).arg(&key);
    command.arg(world.address().rsplit(':').next().unwrap()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    (Notebook { child }, format!("https://127.0.0.1:{}", port.trim()), certificate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notebook_works_through_tls_with_a_certificate_that_it_was_told_of_and_with_no_other() {
    let world = World::start().await;
    let (_tls, address, certificate) = behind_tls(&world);
    let secret = code(&world).await;
    let mut distrustful = Notebook::start(&world, &address, Some(&secret), "echo ran");
    assert_eq!(distrustful.ended().await, Some(1));
    assert!(said(&world).contains("certificate is not accepted"), "{}", said(&world));
    let job = world.queue("build").await;
    let _notebook = Notebook::start_with(&world, &address, Some(&secret), "echo ran", Some(&certificate));
    let ended = world.ended(&job).await;
    assert_eq!(
        ended["state"],
        "completed",
        "the code was not shown to whom is not trusted: {ended} {}",
        said(&world)
    );
    assert_eq!(world.log_bytes(&job).await, b"ran\n== completed\n");
}
