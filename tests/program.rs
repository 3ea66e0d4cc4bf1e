//! Any program as an agent: `mrx agent --type T -- command` as a process of its own, killed where it hurts.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::{Cut, HELLO, Proxy, SOON, World};

const NAME: &str = "runner-1";

/// A running agent; it is killed with this value.
struct Agent {
    child: Child,
}

impl Agent {
    /// Starts `mrx agent` for this daemon with these options, and this script for each job.
    #[expect(clippy::disallowed_methods, reason = "the agent is another program, and is started as one")]
    async fn start(world: &World, server: &str, options: &[&str], script: &str) -> Self {
        let token = world.folder().join("runner.key");
        if !token.exists() {
            std::fs::write(&token, world.key_of_agent(NAME).await).unwrap();
            std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(said_path(world)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mrx"));
        command.args(["agent", "--daemon", server, "--name", NAME, "--wait-seconds", "5", "--token-file"]);
        command.arg(token).arg("--work-dir").arg(work(world)).args(options);
        command.args(["--", "/bin/sh", "-c", script]);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        Self { child: command.env("MRX_LOG", "info").spawn().unwrap() }
    }

    /// Kills it as a crash would, and waits until it is gone.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn work(world: &World) -> PathBuf {
    world.folder().join("work")
}

fn said_path(world: &World) -> PathBuf {
    world.folder().join("runner.said")
}

fn said(world: &World) -> String {
    std::fs::read_to_string(said_path(world)).unwrap()
}

/// The record of the one job in the work folder.
fn record(world: &World) -> Value {
    let entries = std::fs::read_dir(work(world)).into_iter().flatten().flatten();
    let mut records = entries.filter_map(|entry| std::fs::read(entry.path().join("record.json")).ok());
    records.next().map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn until(world: &World, what: &str, holds: impl Fn() -> bool) {
    for _ in 0..SOON.as_millis() / 5 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain until {what}; the agent said {}", said(world));
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A script that goes on when a file is there; it runs outside of a sandbox.
fn waits_for(world: &World, file: &str) -> String {
    format!("while [ ! -e {} ]; do sleep 0.05; done", world.folder().join(file).display())
}

fn let_go(world: &World) {
    std::fs::write(world.folder().join("go"), "").unwrap();
}

const BUILDS: &[&str] = &["--type", "build"];
const BUILDS_OUTSIDE: &[&str] = &["--type", "build", "--sandbox", "off"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_given_its_job_and_what_it_prints_and_leaves_is_told() {
    let world = World::start().await;
    let job = world.queue_with(json!({ "jobType": "build", "payload": { "ref": "main" } })).await;
    let chat = world.queue("chat").await;
    let script = r#"printf o; printf e >&2; printf '%s\n' "$PWD $MRX_OUT"; echo 'one' > "$MRX_OUT/progress"; sleep 1.5
        printf '{"got": %s}' "$(cat)" > "$MRX_OUT/result.json"; mkdir "$MRX_OUT/artifacts/deep"
        printf bytes > "$MRX_OUT/artifacts/deep/a.bin"; ln -s /etc/passwd "$MRX_OUT/artifacts/link""#;
    let _agent = Agent::start(&world, world.address(), BUILDS, script).await;
    let ended = world.ended(&job).await;
    assert_eq!(ended["state"], "completed", "{ended} {}", said(&world));
    let got = &ended["result"]["got"];
    assert_eq!((&got["job"]["jobId"], &got["job"]["payload"]["ref"]), (&json!(job), &json!("main")));
    assert_eq!((&got["job"]["projectId"], &got["folder"]), (&json!(HELLO), &json!("/build")));
    assert_eq!(ended["progress"], "one");
    assert_eq!(ended["result"]["artifacts"].as_array().unwrap().len(), 1, "a link is nothing to upload");
    let artifact = ended["result"]["artifacts"][0].as_str().unwrap();
    let path = format!("/projects/{HELLO}/artifacts/{artifact}/content");
    assert_eq!(world.admin().get(&path).await.body, b"bytes");
    let log = world.log_bytes(&job).await;
    assert!(
        String::from_utf8_lossy(&log).contains("\noe/build /build/out\n"),
        "{}",
        String::from_utf8_lossy(&log)
    );
    assert_eq!((&ended["log"]["size"], &ended["log"]["sha256"]), (&json!(log.len()), &json!(sum(&log))));
    assert_eq!(world.state(&chat).await, "pending", "it was not asked to do chats");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_gets_the_memory_that_the_machine_gives_to_any_other() {
    let world = World::start().await;
    let script = r#"printf '{"hugePages": "%s"}' "$(grep THP_enabled /proc/self/status | tr -cd 01)" > "$MRX_OUT/result.json""#;
    let _agent = Agent::start(&world, world.address(), BUILDS_OUTSIDE, script).await;
    let ended = world.ended(&world.queue("build").await).await;
    let here = std::fs::read_to_string("/proc/self/status").unwrap();
    let here = here.lines().find_map(|line| line.strip_prefix("THP_enabled:")).unwrap_or_default().trim();
    assert_eq!(ended["result"]["hugePages"], here, "{ended} {}", said(&world));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_fails_says_why_and_one_that_is_cancelled_ends_with_its_group() {
    let world = World::start().await;
    let script = r#"echo '{"message": "no disk", "details": {"free": 0}}' > "$MRX_OUT/failure.json"
        [ -n "$(grep -o second)" ] && { trap '' TERM; sleep 86441 & echo begun; wait; sleep 86441; }; exit 3"#;
    let _agent = Agent::start(&world, world.address(), BUILDS, script).await;
    let failed = world.ended(&world.queue("build").await).await;
    let expected =
        json!({"code": "programFailed", "message": "no disk", "details": {"free": 0, "exitCode": 3}});
    assert_eq!((&failed["state"], &failed["failure"]), (&json!("failed"), &expected));
    let job = world.queue_with(json!({ "jobType": "build", "payload": { "ref": "second" } })).await;
    world.log_has(&job, "\nbegun\n").await;
    world.admin().post(&format!("/jobs/{job}/cancel")).await.expect(200);
    assert_eq!(world.ended(&job).await["state"], "cancelled");
    let late =
        world.queue_with(json!({ "jobType": "build", "payload": { "ref": "second" }, "timeoutSeconds": 1 }));
    let late = world.ended(&late.await).await;
    assert_eq!((&late["state"], &late["failure"]["code"]), (&json!("failed"), &json!("jobTimedOut")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_finds_the_secrets_that_were_asked_for_and_they_are_hidden() {
    let world = World::start().await;
    let body = json!({ "projectId": HELLO, "name": "signing-key", "value": "canary-value" });
    world.admin().post("/admin/secrets").json(&body).await.expect(201);
    let script = r#"printf 'it is %s\n' "$MRX_SECRET_SIGNING_KEY"; printf '{"key": "%s"}' "$MRX_SECRET_SIGNING_KEY" > "$MRX_OUT/result.json""#;
    let options = ["--type", "build", "--secret", "signing-key"];
    let _agent = Agent::start(&world, world.address(), &options, script).await;
    let job = world.queue("build").await;
    let ended = world.ended(&job).await;
    assert_eq!(ended["result"]["key"], "[masked]", "{ended} {}", said(&world));
    assert!(String::from_utf8_lossy(&world.log_bytes(&job).await).contains("it is [masked]\n"));
    assert!(!said(&world).contains("canary"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_killed_after_its_program_ended_tells_the_end_once_when_it_starts_again() {
    let world = World::start().await;
    let proxy = Proxy::start(world.address()).await;
    let job = world.queue("build").await;
    let script = format!(
        "echo begun; {}; seq 1 20000; echo x > $MRX_OUT/artifacts/x; echo '{{\"n\": 1}}' > $MRX_OUT/result.json",
        waits_for(&world, "go")
    );
    let mut agent = Agent::start(&world, &proxy.address, BUILDS_OUTSIDE, &script).await;
    world.log_has(&job, "\nbegun\n").await;
    proxy.cut("/", Cut::Request, usize::MAX);
    let_go(&world);
    until(&world, "the end of the work is recorded", || record(&world)["stage"]["stage"] == "uploading")
        .await;
    agent.kill();
    assert_eq!(world.state(&job).await, "running");
    proxy.cut("/", Cut::Request, 0);
    let _again = Agent::start(&world, &proxy.address, BUILDS_OUTSIDE, "echo next").await;
    let ended = world.ended(&job).await;
    assert_eq!((&ended["state"], &ended["attempt"]), (&json!("completed"), &json!(1)), "{}", said(&world));
    assert_eq!(ended["result"]["n"], 1);
    assert_eq!(ended["result"]["artifacts"].as_array().unwrap().len(), 1);
    let log = world.log_bytes(&job).await;
    assert_eq!(ended["log"]["sha256"], sum(&log));
    let text = String::from_utf8(log).unwrap();
    let numbers: Vec<&str> = text.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert_eq!(
        (numbers.len(), numbers[0], numbers[19_999]),
        (20_000, "1", "20000"),
        "no line was lost or came twice"
    );
    assert_eq!(world.ended(&world.queue("build").await).await["state"], "completed");
    until(&world, "nothing is left", || record(&world) == Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_killed_before_the_answer_to_its_report_came_changes_nothing_by_telling_it_again() {
    let world = World::start().await;
    let proxy = Proxy::start(world.address()).await;
    let job = world.queue("build").await;
    let script = format!("echo begun; {}", waits_for(&world, "go"));
    let mut agent = Agent::start(&world, &proxy.address, BUILDS_OUTSIDE, &script).await;
    world.log_has(&job, "\nbegun\n").await;
    proxy.cut(&format!("/jobs/{job}"), Cut::Answer, usize::MAX);
    let_go(&world);
    let ended = world.ended(&job).await;
    assert_eq!(ended["state"], "completed");
    agent.kill();
    assert_eq!(
        record(&world)["stage"]["stage"],
        "reporting",
        "the answer was lost, so it is still to be told"
    );
    proxy.cut("/", Cut::Answer, 0);
    let _again = Agent::start(&world, &proxy.address, BUILDS_OUTSIDE, "echo next").await;
    assert_eq!(world.ended(&world.queue("build").await).await["state"], "completed");
    assert_eq!(world.job(&job).await, ended, "it has ended once");
    until(&world, "nothing is left", || record(&world) == Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_down_for_the_end_of_a_job_gets_all_of_it_when_it_is_back() {
    let mut world = World::start().await;
    let proxy = Proxy::start(world.address()).await;
    let job = world.queue("build").await;
    let script = format!("echo begun; {}; seq 1 20000", waits_for(&world, "go"));
    let mut agent = Agent::start(&world, &proxy.address, BUILDS_OUTSIDE, &script).await;
    world.log_has(&job, "\nbegun\n").await;
    world.close().await;
    let_go(&world);
    until(&world, "the report is recorded", || record(&world)["stage"]["stage"] == "reporting").await;
    agent.kill();
    world.open().await;
    let _again = Agent::start(&world, world.address(), BUILDS_OUTSIDE, "echo next").await;
    let ended = world.ended(&job).await;
    assert_eq!(ended["state"], "completed", "{ended} {}", said(&world));
    let log = world.log_bytes(&job).await;
    assert_eq!((&ended["log"]["size"], &ended["log"]["sha256"]), (&json!(log.len()), &json!(sum(&log))));
    assert!(String::from_utf8_lossy(&log).contains("\n19999\n20000\n== "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_killed_in_mid_job_reports_that_it_was_restarted() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let mut agent = Agent::start(&world, world.address(), BUILDS, "echo begun; sleep 86442").await;
    world.log_has(&job, "\nbegun\n").await;
    agent.kill();
    let _again = Agent::start(&world, world.address(), BUILDS, "echo next").await;
    let ended = world.ended(&job).await;
    assert_eq!((&ended["state"], &ended["failure"]["code"]), (&json!("failed"), &json!("agentRestarted")));
    let log = world.log_bytes(&job).await;
    assert_eq!(ended["log"]["sha256"], sum(&log));
    assert!(
        String::from_utf8_lossy(&log)
            .ends_with("begun\n== failed: the agent was stopped while the job ran\n")
    );
    assert_eq!(world.ended(&world.queue("build").await).await["state"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_restarted_agent_holds_no_more_is_dropped_and_said() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let mut agent = Agent::start(&world, world.address(), BUILDS, "echo begun; sleep 86443").await;
    world.log_has(&job, "\nbegun\n").await;
    agent.kill();
    world.pass(Duration::from_secs(91)).await;
    assert_eq!(world.job(&job).await["failure"]["code"], "leaseExpired");
    let _again = Agent::start(&world, world.address(), BUILDS, "echo next").await;
    assert_eq!(world.ended(&world.queue("build").await).await["state"], "completed");
    assert_eq!(world.job(&job).await["failure"]["code"], "leaseExpired");
    assert!(said(&world).contains("no longer this agent's"), "{}", said(&world));
    until(&world, "nothing is left", || record(&world) == Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_dies_in_mid_log_loses_no_byte() {
    let world = World::start().await;
    let proxy = Proxy::start(world.address()).await;
    let job = world.queue("build").await;
    let script =
        format!("seq 1 1000; {}; seq 1001 300000; sleep 1; seq 300001 300010", waits_for(&world, "go"));
    let _agent = Agent::start(&world, &proxy.address, BUILDS_OUTSIDE, &script).await;
    world.log_has(&job, "\n1000\n").await;
    proxy.cut("/jobs/", Cut::Answer, 3);
    let_go(&world);
    until(&world, "the answers are lost", || proxy.cuts_left() == 0).await;
    proxy.cut("/jobs/", Cut::Request, 3);
    let ended = world.ended(&job).await;
    assert_eq!(ended["state"], "completed", "{}", said(&world));
    let log = world.log_bytes(&job).await;
    assert_eq!(ended["log"]["sha256"], sum(&log));
    let text = String::from_utf8(log).unwrap();
    let numbers: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.iter().copied().eq(1..=300_010), "{} lines", numbers.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_does_not_fit_into_the_job_fails_it_with_that_reason() {
    let world = World::start().await;
    let script = r#"printf '{"a": "%s"}' "$(head -c 500000 /dev/zero | tr '\0' a)" > "$MRX_OUT/result.json""#;
    let _agent = Agent::start(&world, world.address(), BUILDS, script).await;
    let payload = json!({ "buildNumber": "1".repeat(700_000) });
    let job = world.queue_with(json!({ "jobType": "build", "payload": payload })).await;
    let ended = world.ended(&job).await;
    assert_eq!((&ended["state"], &ended["failure"]["code"]), (&json!("failed"), &json!("resultInvalid")));
    assert_eq!(world.ended(&world.queue("build").await).await["state"], "completed");
}
