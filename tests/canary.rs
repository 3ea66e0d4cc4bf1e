//! A value that is planted in every input for secrets is found nowhere but in the one answer that may hold it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use mrx::mask::forms::{ENCODINGS, forms};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{Answer, HELLO, World, held};

/// No part of it stands anywhere by chance; with signs that encodings write differently.
const CANARY: &str = "Kanarie/Vogel+7?\"ö\"\nund-noch-eine-Zeile~";
const BASE64: &str = "S2FuYXJpZS9Wb2dlbCs3PyLDtiI";

/// All that is logged while the tests run.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

static LOGGED: LazyLock<Logged> = LazyLock::new(|| {
    let logged = Logged::default();
    tracing_subscriber::fmt()
        .with_env_filter("info,mrx=trace")
        .with_writer(logged.clone())
        .with_ansi(false)
        .try_init()
        .expect("no other test logs");
    logged
});

/// Every way in which the canary can look.
fn all_forms() -> Vec<Vec<u8>> {
    ENCODINGS.into_iter().flat_map(|encoding| forms(CANARY, encoding)).collect()
}

fn has_canary(bytes: &[u8]) -> Option<String> {
    let form = all_forms().into_iter().find(|form| memchr::memmem::find(bytes, form).is_some());
    form.map(|form| String::from_utf8_lossy(&form).into_owned())
}

#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    assert_eq!(has_canary(bytes), None, "in {what}");
}

#[track_caller]
fn clean_answer(answer: Answer) -> Answer {
    clean(&format!("an answer of {}", answer.status), &answer.body);
    clean("the headers of an answer", format!("{:?}", answer.headers).as_bytes());
    answer
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "plain git shows every object that there is")]
fn objects(repository: &Path) -> Vec<u8> {
    let output = std::process::Command::new("git")
        .args(["cat-file", "--batch-all-objects", "--batch"])
        .current_dir(repository)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn a_value_is_found_nowhere_but_in_the_answer_to_a_redeemed_token() {
    let logged = LOGGED.clone();
    let mut world = World::start().await;
    plant(&world).await;
    let (id, printed) = run_a_leaking_job(&world).await;

    let job = clean_answer(world.admin().get(&format!("/jobs/{id}")).await).expect(200);
    assert_eq!(job["failure"]["message"], "it printed [masked]");
    assert_eq!(job["failure"]["details"]["[masked]"], json!(["x", "[masked]"]));
    let log = world.admin().get(&format!("/jobs/{id}/logs")).header("Accept", "application/octet-stream");
    let log = clean_answer(log.await);
    assert_eq!(log.body.len(), printed, "each byte keeps its place");
    assert!(log.text().starts_with("raw **"), "{}", log.text());
    assert_eq!(job["log"]["size"], printed);
    for path in ["/projects", "/projects/mrx-hello/jobs", "/agents", "/metrics", "/admin/recipients"] {
        clean_answer(world.admin().get(path).await);
    }
    clean_answer(world.admin().get(&format!("/admin/secrets/{HELLO}")).await);
    let events = world.log_of("platform").await;
    let incident = format!("mrx: job {id}: a secret's value was sent and hidden");
    assert_eq!(events.iter().filter(|line| **line == incident).count(), 1, "{events:?}");

    for name in [HELLO, "platform"] {
        world.published(name).await;
        let objects = objects(world.repository(name).path());
        assert!(objects.len() > 5000, "there are objects");
        clean(&format!("git objects of {name}"), &objects);
    }
    world.close().await;
    let mut all = Vec::new();
    files(world.folder(), &mut all);
    assert!(all.iter().any(|path| path.to_string_lossy().contains("journal")), "{all:?}");
    for path in all {
        clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    let logged = logged.0.lock().unwrap();
    assert!(String::from_utf8_lossy(&logged).contains("a secret's value was sent"), "the log is heard");
    clean("the log of the daemon", &logged);
}

/// The canary in every input for secrets, rightly and wrongly.
async fn plant(world: &World) {
    let path = format!("/admin/secrets/{HELLO}");
    for body in [
        json!({ "projectId": HELLO, "name": "signing-key", "value": CANARY }),
        json!({ "projectId": null, "kind": "llm", "value": CANARY }),
        json!({ "projectId": HELLO, "name": "signing-key", "value": { CANARY: CANARY } }),
        json!({ "projectId": CANARY, "name": CANARY, "kind": CANARY, "value": 1 }),
        json!({ CANARY: CANARY }),
        json!([CANARY]),
        json!({ "projectId": "mrx-none", "name": "llm", "value": CANARY }),
        json!({ "projectId": HELLO, "kind": "drive", "name": "llm", "value": CANARY }),
        json!({ "projectId": HELLO, "name": "llm", "value": CANARY.repeat(2000) }),
        json!({ "projectId": HELLO, "name": "llm", "value": format!("{CANARY}\u{0}") }),
    ] {
        clean_answer(world.admin().post("/admin/secrets").json(&body).await);
        clean_answer(world.as_agent("builder-1").post("/admin/secrets").json(&body).await);
        clean_answer(world.stranger().post("/admin/secrets").json(&body).await);
        clean_answer(world.admin().post(&format!("{path}/signing-key/rotate")).json(&body).await);
    }
    let broken = format!("{{\"value\": {CANARY}");
    clean_answer(world.admin().post("/admin/secrets").text_as_json(broken.as_str()).await);
    clean_answer(world.admin().post("/admin/secrets").body(broken).await);
    let rotate = json!({ "value": CANARY });
    clean_answer(world.admin().post(&format!("{path}/signing-key/rotate")).json(&rotate).await).expect(200);
    for header in ["Authorization", "Secrets-Token", "Job-Lease", "Idempotency-Key"] {
        clean_answer(world.stranger().get(&path).header(header, &format!("Bearer {BASE64}")).await);
    }
    let guess = world.as_agent("builder-1").get(&path).header("Secrets-Token", BASE64);
    clean_answer(guess.header("Job-Lease", "lease-01jd000000000000000000007k").await);
}

/// An agent that hides nothing of what it was given: in its log, its progress and its failure. Tells the job and how long
/// its log is.
async fn run_a_leaking_job(world: &World) -> (String, usize) {
    world.queue("build").await;
    let agent = world.agent("builder-1");
    let claimed = agent.claim_call(json!({})).await;
    let held = held(&claimed).unwrap();
    let token = claimed.json()["secretsToken"].as_str().unwrap().to_owned();
    let redeem = || {
        let call = world.as_agent("builder-1").get(&format!("/admin/secrets/{HELLO}"));
        call.header("Job-Lease", &held.lease).header("Secrets-Token", &token)
    };
    let answer = redeem().await;
    assert!(has_canary(&answer.body).is_some(), "the canary is found where it is");
    let given: Value = answer.expect(200);
    assert_eq!(given["secrets"].as_array().unwrap().len(), 2);
    assert_eq!(given["secrets"][1]["value"], CANARY, "this is where it may be");
    assert_eq!(clean_answer(redeem().await).refused(403), "secretsTokenSpent");

    let mut log = format!("raw {CANARY}\nbase64 {BASE64}\njson ").into_bytes();
    log.extend(serde_json::to_vec(CANARY).unwrap());
    log.extend(format!("\nagain {CANARY} and again {CANARY}\n").into_bytes());
    let mut sent = 0;
    for part in [&log[..90], &log[90..150], &log[150..]] {
        // Where two parts meet, the part of a value that came first is stored already.
        let answer = clean_answer(agent.write_log(&held, sent, part).await);
        sent += part.len();
        assert_eq!((answer.status, answer.header("range")), (202, format!("0-{sent}").as_str()));
    }
    let progress = json!({ "state": "running", "progress": format!("at {CANARY}"), "payloadDelta": { "a": CANARY }, "result": { CANARY: 1 } });
    clean_answer(agent.say(&held, progress).await).expect(200);
    let sum = mrx_sum(&log);
    let failure = json!({
        "state": "failed",
        "failure": { "code": "stepFailed", "message": format!("it printed {CANARY}"), "details": { CANARY: ["x", CANARY] } },
        "log": { "size": log.len(), "sha256": sum },
    });
    let told = clean_answer(agent.say(&held, failure.clone()).await).expect(200);
    assert_ne!(told["log"]["sha256"], sum, "the sum is that of what is stored");
    clean_answer(agent.say(&held, failure).await).expect(200);
    (held.id, log.len())
}

fn mrx_sum(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
