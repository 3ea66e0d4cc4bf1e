//! The program as a client: the real binary, as a script runs it, against the world's server.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::CommandFactory;
use mrx::config::Cli;
use mrx::state::layout::DataFolder;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::world::{Caller, HELLO, World};

mod cutter;
mod terminal;

use cutter::Cutter;

const PASSWORD: &str = "a long enough pass phrase";

/// Somebody's machine: a home, a working folder, and the program.
struct Desk {
    home: tempfile::TempDir,
    server: String,
    token: Option<String>,
}

/// What a command did.
struct Ran {
    code: i32,
    out: Vec<u8>,
    err: String,
}

impl Ran {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// The output of a command that must have succeeded.
    #[track_caller]
    fn good(&self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.text(), self.err);
        self.text()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }

    /// What is said of a command that must have ended like this, and printed nothing else.
    #[track_caller]
    fn failed(&self, code: i32) -> &str {
        assert_eq!((self.code, self.text().as_str()), (code, ""), "{}", self.err);
        &self.err
    }

    fn shows(&self, text: &str) -> bool {
        self.text().contains(text) || self.err.contains(text)
    }
}

impl Desk {
    /// A desk whose environment has the operator's token.
    fn of_operator(world: &World) -> Self {
        Self { token: Some(world.admin().token()), ..Self::of_nobody(world.address()) }
    }

    fn of_nobody(server: &str) -> Self {
        Self { home: tempfile::tempdir().unwrap(), server: server.to_owned(), token: None }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.at(name), text).unwrap();
        name.to_owned()
    }

    #[expect(clippy::disallowed_methods, reason = "the program is run as a script runs it")]
    fn start(&self, arguments: &[&str], input: Stdio) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mrx"));
        command.env_clear().env("HOME", self.home.path()).env("MRX_SERVER", &self.server);
        if let Some(token) = &self.token {
            command.env("MRX_TOKEN", token);
        }
        command.args(arguments).current_dir(self.home.path()).kill_on_drop(true);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        ended(self.start(arguments, Stdio::null())).await
    }

    async fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.start(arguments, Stdio::piped());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        ended(child).await
    }

    fn credentials(&self) -> PathBuf {
        self.at(".config/mrx/credentials.yaml")
    }
}

async fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().await.unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), out: output.stdout, err }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn add_anna(world: &World) {
    let anna = json!({ "name": "anna", "role": "developer", "password": PASSWORD });
    world.admin().post("/admin/users").json(&anna).await.expect(201);
}

#[tokio::test]
async fn a_person_signs_in_works_and_signs_out() {
    let world = World::start().await;
    add_anna(&world).await;
    let desk = Desk::of_nobody(world.address());
    assert!(desk.run(&["whoami"]).await.failed(4).contains("mrx login"));
    let file = desk.file("password", &format!("{PASSWORD}\n"));
    let login = desk.run(&["login", "--name", "anna", "--password-file", &file]).await;
    assert!(login.good().starts_with(&format!("signed in to {} as anna until 20", world.address())));
    assert_eq!((mode(&desk.credentials()), mode(desk.credentials().parent().unwrap())), (0o600, 0o700));
    let kept: Value = yaml_of(&desk.credentials());
    let token = kept["servers"][world.address()]["token"].as_str().unwrap().to_owned();
    assert!(!login.shows(&token) && !login.shows(PASSWORD));
    assert!(!std::fs::read_to_string(desk.credentials()).unwrap().contains(PASSWORD));
    assert_eq!(desk.run(&["whoami"]).await.good(), "name\tanna\nkind\tuser\nrole\tdeveloper\n");
    // The token is its server's alone, and the file remembers which server that is.
    let elsewhere = desk.run(&["whoami", "--server", "http://127.0.0.1:9"]).await;
    assert!(elsewhere.failed(4).contains("http://127.0.0.1:9"));
    let mut by_file = desk;
    by_file.server = String::new();
    desk_without_server(&by_file, world.address()).await;
    let desk = Desk { server: world.address().to_owned(), ..by_file };
    assert_eq!(desk.run(&["logout"]).await.good(), format!("signed out of {}\n", world.address()));
    assert_eq!(Caller::with_token(&world, &token).get("/auth/me").await.refused(401), "unauthorized");
    assert!(!std::fs::read_to_string(desk.credentials()).unwrap().contains(&token));
    desk.run(&["whoami"]).await.failed(4);
}

/// Without `MRX_SERVER`, the server of the last log-in is meant.
#[expect(clippy::disallowed_methods, reason = "the program is run as a script runs it")]
async fn desk_without_server(desk: &Desk, address: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mrx"));
    let output = command.env_clear().env("HOME", desk.home.path()).args(["whoami", "--json"]).output();
    let said: Value = serde_json::from_slice(&output.await.unwrap().stdout).unwrap();
    assert_eq!(said["name"], "anna", "{address}");
}

fn yaml_of(path: &Path) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_nothing_is_kept() {
    let world = World::start().await;
    add_anna(&world).await;
    let desk = Desk::of_nobody(world.address());
    let file = desk.file("password", "not the pass phrase\n");
    let login = desk.run(&["login", "--name", "anna", "--password-file", &file]).await;
    assert!(login.failed(1).contains("(wrongPassword, request "), "{}", login.err);
    assert!(!desk.credentials().exists());
}

#[tokio::test]
async fn a_key_is_kept_if_it_is_good() {
    let world = World::start().await;
    let desk = Desk::of_nobody(world.address());
    let bad = desk.file("bad.key", "mrx_live_nonsense\n");
    desk.run(&["login", "--key-file", &bad]).await.failed(4);
    assert!(!desk.credentials().exists());
    let good = desk.file("good.key", &world.admin().token());
    assert!(desk.run(&["login", "--key-file", &good]).await.good().starts_with("signed in to "));
    assert_eq!(desk.run(&["projects"]).await.good().split('\t').next(), Some(HELLO));
}

#[tokio::test]
async fn the_exit_code_tells_what_kind_of_failure_it_is() {
    let world = World::start().await;
    let desk = Desk::of_operator(&world);
    let refused = desk.run(&["jobs", "show", "job-01jd000000000000000000007k"]).await;
    let said = refused.failed(1);
    assert!(said.starts_with("mrx: ") && said.contains("(jobUnknown, request "), "{said}");
    desk.run(&["jobs", "list"]).await.failed(2);
    desk.run(&["jobs", "show", "no-id"]).await.failed(2);
    desk.run(&["projects", "--server", "ftp://x"]).await.failed(2);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Desk { server: format!("http://{closed}"), ..Desk::of_operator(&world) };
    assert!(nobody.run(&["projects"]).await.failed(3).contains("cannot be reached"));
    let stranger = Desk { token: Some("nonsense".to_owned()), ..Desk::of_nobody(world.address()) };
    assert!(stranger.run(&["projects"]).await.failed(4).contains("mrx login"));
}

#[tokio::test]
async fn json_is_the_apis_and_all_is_every_page() {
    let world = World::start().await;
    let desk = Desk::of_operator(&world);
    let mut made = BTreeSet::new();
    for _ in 0..52 {
        made.insert(world.queue("build").await);
    }
    let path = format!("/projects/{HELLO}/jobs");
    let page = desk.run(&["jobs", "list", HELLO, "--json"]).await.json();
    // A cursor names the moment that it was given in, so it differs from call to call.
    assert_eq!(page["jobs"], world.admin().get(&path).await.expect(200)["jobs"]);
    assert!(page["nextCursor"].is_string());
    let all = desk.run(&["jobs", "list", HELLO, "--json", "--all"]).await.json();
    let ids = |items: &Value| -> Vec<String> {
        items.as_array().unwrap().iter().map(|job| job["jobId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((ids(&all).len(), ids(&all).into_iter().collect::<BTreeSet<_>>()), (52, made));
    let lines = desk.run(&["jobs", "list", HELLO]).await;
    assert!(lines.err.contains("--all"), "{}", lines.err);
    let lines = lines.good();
    let first: Vec<&str> = lines.lines().next().unwrap().split('\t').collect();
    assert_eq!((lines.lines().count(), &first[1..4]), (50, &["build", "pending", ""][..]));
    for (arguments, path) in [
        (&["projects", "--json"][..], "/projects".to_owned()),
        (&["projects", "show", HELLO, "--json"], format!("/projects/{HELLO}")),
        (&["jobs", "show", &ids(&all)[0], "--json"], format!("/jobs/{}", ids(&all)[0])),
        (&["agents", "--json"], "/agents".to_owned()),
        (&["users", "list", "--json"], "/admin/users".to_owned()),
        (&["whoami", "--json"], "/auth/me".to_owned()),
    ] {
        assert_eq!(desk.run(arguments).await.json(), world.admin().get(&path).await.expect(200), "{path}");
    }
}

#[tokio::test]
async fn a_job_is_made_and_its_log_followed_byte_by_byte_while_an_agent_writes_it() {
    let world = World::start().await;
    let desk = Desk::of_operator(&world);
    let create = ["jobs", "create", HELLO, "--type", "build", "--ref", "dev", "--priority", "-3", "--follow"];
    let follower = desk.start(&create, Stdio::null());
    let agent = world.agent("builder-1");
    let held = agent.claim_with(json!({ "wait": 10 })).await.unwrap();
    assert_eq!((&held.job["payload"]["ref"], &held.job["priority"]), (&json!("dev"), &json!(-3)));
    let pieces: [&[u8]; 3] = [b"\x1b[31mred\x1b[0m \x1b[2Jgr\xc3", b"\xbcn \xff\xfe\x00 raw\n", b"the end\n"];
    let mut written = Vec::new();
    for piece in pieces {
        agent.write_log(&held, written.len(), piece).await;
        written.extend_from_slice(piece);
    }
    agent.say(&held, json!({ "state": "completed" })).await.expect(200);
    let ran = ended(follower).await;
    assert_eq!((ran.code, &ran.out), (0, &written), "{}", ran.err);
    assert_eq!(ran.err, format!("{}\n", held.id));
    assert_eq!(desk.run(&["jobs", "logs", &held.id]).await.out, written);
    let page = world.admin().get(&format!("/jobs/{}/logs", held.id)).await.expect(200);
    assert_eq!(desk.run(&["jobs", "logs", &held.id, "--json"]).await.json(), page);
}

#[tokio::test]
async fn a_job_that_fails_is_told_by_its_own_exit_code_and_can_be_tried_again() {
    let world = World::start().await;
    let desk = Desk::of_operator(&world);
    let payload = desk.file("payload.json", r#"{"buildNumber": "7"}"#);
    let create =
        ["jobs", "create", HELLO, "--type=build", "--payload", &format!("@{payload}"), "--label=gpu"];
    let id = desk.run(&create).await.good().trim().to_owned();
    assert_eq!(world.job(&id).await["payload"], json!({ "buildNumber": "7" }));
    let agent = world.agent("builder-1");
    let held = agent.claim_with(json!({ "labels": ["gpu"] })).await.unwrap();
    let failure = json!({ "code": "stepFailed", "message": "step compile exited with 2" });
    agent.say(&held, json!({ "state": "failed", "failure": failure })).await.expect(200);
    let ran = desk.run(&["jobs", "logs", "--follow", &id]).await;
    assert!(ran.failed(5).contains("failed: step compile exited with 2"), "{}", ran.err);
    assert!(
        desk.run(&["jobs", "show", &id]).await.good().contains("\nfailure\tstep compile exited with 2\n")
    );
    assert!(desk.run(&["jobs", "retry", &id]).await.good().contains("attempt 2"));
    assert_eq!(desk.run(&["jobs", "cancel", &id]).await.good(), format!("{id} is cancelled\n"));
    let again = desk.run(&["jobs", "cancel", &id]).await;
    assert!(again.failed(1).contains("(jobEnded, request "), "{}", again.err);
}

#[tokio::test]
async fn the_same_key_makes_one_job() {
    let world = World::start().await;
    let desk = Desk::of_operator(&world);
    let create = ["jobs", "create", HELLO, "--type=build", "--idempotency-key=release-7"];
    let first = desk.run(&create).await.good();
    assert_eq!(desk.run(&create).await.good(), first);
    assert_ne!(desk.run(&create[..4]).await.good(), first);
}

#[tokio::test]
async fn a_chat_is_begun_and_its_answer_printed_once_as_it_comes() {
    let world = World::start().await;
    let desk = Desk::of_operator(&world);
    let new = ["chat", "new", HELLO, "Make it blue", "--follow"];
    let mut follower = desk.start(&new, Stdio::null());
    let agent = world.agent("talker-1");
    let held = agent.claim_with(json!({ "wait": 10, "types": ["chat"] })).await.unwrap();
    let answer = world.as_agent("talker-1");
    let more = |offset: usize, text: &str| {
        let call = answer.patch(&format!("/jobs/{}/answer", held.id)).header("Job-Lease", &held.lease);
        call.json(&json!({ "offset": offset, "text": text }))
    };
    assert!(more(0, "It is ").await.status < 300);
    // The words are there before the answer is whole.
    let mut came = [0; 6];
    let mut out = follower.stdout.take().unwrap();
    tokio::time::timeout(crate::world::SOON, out.read_exact(&mut came)).await.unwrap().unwrap();
    assert_eq!(&came, b"It is ");
    let done = json!({ "state": "completed", "answer": { "text": "It is blue now.", "model": "tiny" } });
    agent.say(&held, done).await.expect(200);
    let mut rest = String::new();
    out.read_to_string(&mut rest).await.unwrap();
    let ran = ended(follower).await;
    assert_eq!((ran.code, rest.as_str()), (0, "blue now.\n"), "{}", ran.err);

    let chat = ran.err.trim();
    let listed = desk.run(&["chats", HELLO]).await.good();
    assert!(listed.starts_with(&format!("{chat}\t2\t")) && listed.ends_with("\tMake it blue\n"), "{listed}");
    let sent = desk.run_with(&["chat", "send", HELLO, chat], "And green?\n").await;
    assert_eq!(sent.good(), "message 3 is sent\n");
    let shown = desk.run(&["chat", "show", HELLO, chat]).await.good();
    assert!(
        shown.contains("talker-1 (assistant)\nIt is blue now.\n") && shown.ends_with("\nAnd green?\n\n"),
        "{shown}"
    );
    let page = world.admin().get(&format!("/projects/{HELLO}/chats/{chat}/messages")).await.expect(200);
    assert_eq!(desk.run(&["chat", "show", HELLO, chat, "--json"]).await.json(), page);
    assert_eq!(desk.run(&["chat", "show", HELLO, chat, "--json", "--all"]).await.json(), page["messages"]);
}

#[tokio::test]
async fn a_chat_that_nobody_can_answer_says_why() {
    let world = World::start().await;
    let desk = Desk::of_operator(&world);
    let chat = desk.run(&["chat", "new", HELLO, "--title", "Colours"]).await.good().trim().to_owned();
    let follower = desk.start(&["chat", "send", HELLO, &chat, "Blue?", "--follow"], Stdio::null());
    let agent = world.agent("talker-1");
    let held = agent.claim_with(json!({ "wait": 10 })).await.unwrap();
    let failure = json!({ "code": "modelUnset", "message": "there is no secret llm" });
    agent.say(&held, json!({ "state": "failed", "failure": failure })).await.expect(200);
    let ran = ended(follower).await;
    assert!(ran.failed(5).contains("failed: there is no secret llm"), "{}", ran.err);
    desk.run(&["chat", "rm", HELLO, &chat]).await.good();
    assert_eq!(desk.run(&["chats", HELLO]).await.good(), "");
}

#[tokio::test]
async fn a_log_is_followed_through_broken_connections_without_a_gap_or_a_repeat() {
    let world = World::start().await;
    let id = world.queue("build").await;
    let agent = world.agent("builder-1");
    let held = agent.claim().await;
    let mut written = Vec::new();
    for number in 0..40 {
        let piece = format!("{number:04} {}\n", "x".repeat(200));
        agent.write_log(&held, written.len(), piece.as_bytes()).await;
        written.extend_from_slice(piece.as_bytes());
    }
    agent.say(&held, json!({ "state": "completed" })).await.expect(200);
    let cutter = Cutter::before(world.address(), 3000).await;
    let desk = Desk { server: cutter.address(), ..Desk::of_operator(&world) };
    let ran = desk.run(&["jobs", "logs", "--follow", &id]).await;
    assert_eq!((ran.code, ran.text()), (0, String::from_utf8(written).unwrap()), "{}", ran.err);
    assert!(cutter.asked("last-event-id: "), "it went on behind the last event that came");
}

#[tokio::test]
async fn a_download_goes_on_where_the_connection_broke_and_is_checked() {
    let world = World::start().await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let direct = Desk::of_operator(&world);
    std::fs::write(direct.at("data.bin"), &bytes).unwrap();
    let stored = direct.run(&["artifacts", "put", HELLO, "data.bin", "--json"]).await.json();
    let id = stored["artifactId"].as_str().unwrap();
    assert!(
        direct
            .run(&["artifacts", "list", HELLO])
            .await
            .good()
            .starts_with(&format!("{id}\tdata.bin\t300000\t"))
    );

    let cutter = Cutter::before(world.address(), 60_000).await;
    let desk = Desk { server: cutter.address(), ..Desk::of_operator(&world) };
    let ran = desk.run(&["artifacts", "get", HELLO, id]).await;
    let sum = stored["sha256"].as_str().unwrap();
    assert_eq!(ran.good(), format!("data.bin: 300000 bytes, SHA-256 {sum} as it must be\n"));
    assert!(std::fs::read(desk.at("data.bin")).unwrap() == bytes, "the file is the artifact");
    assert!(cutter.asked("range: bytes="), "it went on where it was");
    let files = std::fs::read_dir(desk.home.path()).unwrap().count();
    assert_eq!(files, 1, "nothing is left beside it");
    let again = desk.run(&["artifacts", "get", HELLO, id]).await;
    assert!(again.failed(2).contains("data.bin is there already"), "{}", again.err);
    desk.run(&["artifacts", "get", HELLO, id, "--output", "data.bin"]).await.good();
}

#[tokio::test]
async fn a_secrets_value_reaches_the_agent_and_shows_nowhere_on_the_way() {
    const CANARY: &str = "correct-horse-battery-staple";
    let world = World::start().await;
    let desk = Desk::of_operator(&world);
    desk.run(&["login", "--key-file", &desk.file("operator", &world.admin().token())]).await.good();
    let set = ["secrets", "set", HELLO, "signing-key"];
    let by_argument = desk.run(&[&set[..], &["a-value-that-is-no-argument"]].concat()).await;
    by_argument.failed(2);
    let stored = desk.run_with(&[&set[..], &["--file", "-"]].concat(), &format!("{CANARY}\n")).await;
    assert_eq!(stored.good(), format!("signing-key of {HELLO} is stored\n"));
    let listed = desk.run(&["secrets", "list", HELLO]).await;
    assert!(listed.good().starts_with("signing-key\tnamed\t2026-11-20T10:00:00.000Z\t"));
    let json = desk.run(&["secrets", "list", HELLO, "--json"]).await;
    assert_eq!(json.json(), world.admin().get(&format!("/admin/secrets/{HELLO}")).await.expect(200));
    for ran in [&stored, &listed, &json] {
        assert!(!ran.shows(CANARY), "{}", ran.err);
    }
    assert!(!std::fs::read_to_string(desk.credentials()).unwrap().contains(CANARY));

    world.queue("build").await;
    let claim = world.agent("builder-1").claim_call(json!({})).await.expect(200);
    let call = world.as_agent("builder-1").get(&format!("/admin/secrets/{HELLO}"));
    let call = call.header("Job-Lease", claim["lease"]["id"].as_str().unwrap());
    let opened = call.header("Secrets-Token", claim["secretsToken"].as_str().unwrap()).await.expect(200);
    assert_eq!(opened["secrets"][0]["value"], CANARY);

    desk.run_with(&["secrets", "set", HELLO, "signing-key", "--file=-"], "another value\n").await.good();
    assert!(desk.run(&["secrets", "list", HELLO]).await.good().contains("\t2026-11-20T10:00:00.000Z\t2026"));
    desk.run(&["secrets", "rm", HELLO, "signing-key"]).await.good();
    assert_eq!(desk.run(&["secrets", "list", HELLO]).await.good(), "");
}

#[tokio::test]
async fn a_key_that_is_shown_once_is_in_a_file_of_its_owner_and_in_no_output() {
    let world = World::start().await;
    add_anna(&world).await;
    let desk = Desk::of_operator(&world);
    let added = desk.run(&["agents", "add", "builder-9", "--label", "linux"]).await;
    assert_eq!(added.good(), "agent builder-9 is registered; its key is in builder-9.key\n");
    let key = std::fs::read_to_string(desk.at("builder-9.key")).unwrap().trim().to_owned();
    assert_eq!(mode(&desk.at("builder-9.key")), 0o600);
    let agent = Caller::with_token(&world, &key).get("/auth/me").await.expect(200);
    assert_eq!(agent["agent"], "builder-9");
    assert!(desk.run(&["agents", "rotate", "builder-9"]).await.failed(1).contains("builder-9.key"));
    let rotated = desk.run(&["agents", "rotate", "builder-9", "--key-file", "new.key", "--json"]).await;
    assert_eq!(rotated.json()["agent"]["agentId"], "builder-9");
    assert!(!rotated.shows(std::fs::read_to_string(desk.at("new.key")).unwrap().trim()));
    assert_eq!(Caller::with_token(&world, &key).get("/auth/me").await.status, 401);
    desk.run(&["agents", "disable", "builder-9"]).await.good();
    let secret = desk.run(&["agents", "claim-secret", "notebook-1"]).await.good();
    assert!(secret.starts_with("mrx_claim_"), "{secret}");

    desk.run(&["projects", "member", "set", HELLO, "anna", "write"]).await.good();
    assert_eq!(desk.run(&["projects", "members", HELLO]).await.good(), "anna\twrite\n");
    let anna = Desk::of_nobody(world.address());
    let file = anna.file("password", PASSWORD);
    anna.run(&["login", "--name", "anna", "--password-file", &file]).await.good();
    let made = anna.run(&["keys", "create", "ci", "--permission", "read", "--project", HELLO]).await.good();
    let key = std::fs::read_to_string(anna.at("mrx.key")).unwrap().trim().to_owned();
    assert!(made.starts_with("key-") && !made.contains(&key) && mode(&anna.at("mrx.key")) == 0o600);
    let reader = Desk { token: Some(key), ..Desk::of_nobody(world.address()) };
    assert_eq!(reader.run(&["whoami"]).await.good().lines().last(), Some(&*format!("project\t{HELLO}")));
    reader.run(&["jobs", "create", HELLO, "--type=build"]).await.failed(1);
    let id = made.split(' ').next().unwrap();
    anna.run(&["keys", "revoke", id]).await.good();
    reader.run(&["whoami"]).await.failed(4);
}

#[tokio::test]
async fn events_come_as_they_happen_behind_the_commit_that_was_seen() {
    let world = World::start().await;
    let desk = Desk::of_operator(&world);
    let body = json!({ "projectId": HELLO, "jobType": "build" });
    let first = world.admin().post("/jobs/create").json(&body).await;
    let seen = first.header("mrx-commit").to_owned();
    let missed = world.queue("build").await;
    let mut listener = desk.start(&["events", "--project", HELLO, "--after", &seen], Stdio::null());
    let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines();
    let mut line =
        async || tokio::time::timeout(crate::world::SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    let told = line().await;
    assert!(told.contains(&format!("\t{HELLO}\tjob.")) && told.contains(&missed), "{told}");
    let later = world.queue("build").await;
    let told = line().await;
    assert!(told.contains(&later) && told.ends_with("\toperator operator"), "{told}");
}

fn names(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        let page = format!("{path}-{}", sub.get_name());
        found.push((page.clone(), sub.get_name().to_owned()));
        names(sub, &page, found);
    }
}

#[tokio::test]
async fn completions_and_the_manual_know_every_command() {
    let desk = Desk::of_nobody("");
    let mut all = Vec::new();
    names(&Cli::command(), "mrx", &mut all);
    assert!(all.len() > 50, "{all:?}");
    desk.run(&["man", "--dir", "man"]).await.good();
    for (page, name) in &all {
        let text = std::fs::read_to_string(desk.at("man").join(format!("{page}.1"))).unwrap();
        assert!(text.starts_with(".ie") && text.contains(".TH"), "{name}");
    }
    assert!(desk.run(&["man"]).await.good().contains("mrx\\-jobs(1)"));
    for shell in ["bash", "zsh", "fish"] {
        let text = desk.run(&["completions", shell]).await.good();
        for (page, name) in &all {
            assert!(text.contains(name.as_str()), "{shell} does not know {page}");
        }
    }
}

#[tokio::test]
async fn the_operator_ends_an_epoch_from_the_machine_of_the_daemon() {
    let world = World::start().await;
    world.queue("build").await;
    let data = world.folder().join("data");
    std::fs::write(DataFolder::new(&data).address(), world.address()).unwrap();
    let desk = Desk::of_nobody(world.address());
    let data = data.to_str().unwrap();
    let said = desk.run(&["admin", "epoch", "end", HELLO, "--data", data]).await.good();
    world.published(HELLO).await;
    let kept = world.branches(HELLO)[0].clone();
    assert_eq!(said, format!("projects/{HELLO} is in epoch 2; {kept} keeps what was before\n"));
    let again = desk.run(&["admin", "epoch", "end", HELLO, "--data", data]).await;
    assert!(again.failed(1).contains("has only begun"), "{}", again.err);
    let said = desk.run(&["admin", "epoch", "end", "--platform", "--data", data]).await.good();
    assert!(said.starts_with("platform is in epoch 2; refs/archive/"), "{said}");
    desk.run(&["admin", "epoch", "end", "--data", data]).await.failed(2);
}

#[tokio::test]
async fn an_agent_is_drained_and_gets_jobs_again() {
    let world = World::start().await;
    let desk = Desk::of_operator(&world);
    desk.run(&["agents", "add", "laptop", "--project", HELLO]).await.good();
    let said = desk.run(&["agents", "drain", "laptop"]).await.good();
    assert_eq!(said, "laptop gets no new jobs, and ends what it has\n");
    let agents = desk.run(&["agents", "--json"]).await.json();
    assert!(
        agents["agents"][0]["drainingSince"].is_string() && agents["agents"][0]["projects"] == json!([HELLO])
    );
    let said = desk.run(&["agents", "drain", "laptop", "--undo"]).await.good();
    assert_eq!(said, "laptop gets jobs again\n");
    assert_eq!(desk.run(&["agents", "--json"]).await.json()["agents"][0]["drainingSince"], Value::Null);
}
