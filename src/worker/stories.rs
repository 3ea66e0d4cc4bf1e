//! What the agent does, told with a stand-in for the daemon, real git repositories and a real bubblewrap.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::spool::Spool;
use super::testing::{Fault, StandIn, World, git, hasty, repository};
use super::upload::{UploadError, upload};

const HELLO: &str = r#"
build:
  environment: {GREETING: hello world}
  steps:
    - {name: compile, run: [sh, -c, 'mkdir dist; echo "$GREETING" > dist/hello.txt; echo compiled']}
    - {name: test, run: [grep, -c, hello, dist/hello.txt]}
  artifacts: [dist/*.txt]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_runs_from_clone_to_artifact_and_leaves_nothing_behind() {
    let mut world = World::start().await;
    let code = repository(HELLO, &[]).await;
    let commit = git(code.path(), &["rev-parse", "HEAD"]).await;
    world.daemon.queue_build(code.path());

    let mut report = world.ended().await;

    let steps = report["result"]["steps"].take();
    assert_eq!(report["state"], "completed");
    assert_eq!(report["result"]["commit"], commit);
    assert_eq!(report["result"]["artifacts"], json!(["art-01jdaaaaaaaaaaaaaaaaaaaaa0"]));
    let told: Vec<_> =
        steps.as_array().unwrap().iter().map(|step| (&step["name"], &step["exitCode"])).collect();
    assert_eq!(told, [(&json!("compile"), &json!(0)), (&json!("test"), &json!(0))]);
    assert!(steps[0]["seconds"].is_number());
    assert_eq!(world.daemon.seen.lock().artifacts, [("hello.txt".to_owned(), b"hello world\n".to_vec())]);
    let log = world.daemon.log();
    assert!(log.starts_with(&format!("== code: {commit}\n== compile: sh -c ")), "{log}");
    assert!(log.contains("\ncompiled\n== compile: exit 0 in 0."), "{log}");
    assert!(log.contains("== test: grep -c hello dist/hello.txt\n1\n== test: exit 0 in "), "{log}");
    assert!(log.ends_with("== completed\n"), "{log}");
    world.stop.signal();
    world.agent_ended().await.unwrap();
    assert_eq!(world.job_folders(), [""; 0]);
    let reports = world.daemon.seen.lock().reports.clone();
    assert_eq!(
        (&reports[0]["state"], &reports[0]["progress"]),
        (&json!("running"), &json!("fetching the code"))
    );
}

#[tokio::test]
async fn progress_tells_the_step() {
    let world = World::start().await;
    world.build("build: {steps: [{name: a, run: [sleep, 0.1]}, {name: b, run: [sleep, 0.1]}]}").await;
    let reports = world.daemon.seen.lock().reports.clone();
    let progress: Vec<&str> = reports.iter().filter_map(|report| report["progress"].as_str()).collect();
    assert!(progress.ends_with(&["step 1/2: a", "step 2/2: b"]), "{progress:?}");
}

/// Runs one step and returns the exit code that its failure tells, 0 for none, and the log.
async fn step(script: &str, network: bool) -> (Value, String) {
    let world = World::start().await;
    let (code, log) = step_in(&world, script, network).await;
    (code, log)
}

async fn step_in(world: &World, script: &str, network: bool) -> (Value, String) {
    let recipe =
        json!({"build": {"steps": [{"name": "a", "run": ["bash", "-c", script], "network": network}]}});
    let report = world.build(&recipe.to_string()).await;
    let code = if report["state"] == "completed" {
        json!(0)
    } else {
        report["failure"]["details"]["exitCode"].clone()
    };
    (code, world.daemon.log())
}

#[tokio::test]
async fn a_step_has_no_network_unless_it_asks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect =
        format!("exec 3<>/dev/tcp/127.0.0.1/{} && echo reached", listener.local_addr().unwrap().port());
    let (code, log) = step(&connect, false).await;
    assert_eq!(code, 1, "{log}");
    let (code, log) = step(&connect, true).await;
    assert!(code == 0 && log.contains("\nreached\n"), "{log}");
}

#[tokio::test]
async fn a_step_writes_nothing_but_its_clone_and_its_own_tmp() {
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let script = format!(
        "touch /build/a /tmp/b || exit 9
         for path in /x /etc/x /usr/x /usr/bin/x /lib/x /var/x /proc/x /home/x {0}/x; do
             (: > $path) 2>/dev/null && echo wrote $path
         done
         for path in /proc/sys/kernel/hostname /proc/sys/vm/swappiness; do
             (cat $path > $path) 2>/dev/null && echo wrote $path
         done
         mount -t tmpfs x /mnt 2>/dev/null && echo mounted
         true",
        outside.path().display()
    );
    let (code, log) = step(&script, true).await;
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("\nwrote") && !log.contains("\nmounted"), "{log}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_step_sees_neither_the_token_nor_other_folders_nor_processes_of_the_machine() {
    let world = World::start().await;
    let token_file = tempfile::NamedTempFile::new().unwrap();
    fs::write(token_file.path(), super::testing::TOKEN).unwrap();
    let script = format!(
        "env; cat /proc/*/environ /proc/*/cmdline | tr '\\0' ' '; cat {token}; ls {work}; ls /root /home /etc/ssl/private; cat /etc/shadow
         cat /etc/passwd; ls /proc | grep -c '^[0-9]'; echo $HOME $PATH; id -u; true",
        token = token_file.path().display(),
        work = world.work().display(),
    );
    let (code, log) = step_in(&world, &script, true).await;
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains(super::testing::TOKEN), "{log}");
    assert!(log.contains(&format!("cannot access '{}'", world.work().display())), "{log}");
    assert!(
        log.contains("cannot access '/root'")
            && log.contains("cannot access '/etc/ssl/private'")
            && log.contains("/etc/shadow: No such file"),
        "{log}"
    );
    assert!(log.contains("build:x:1000") && !log.contains("root:x:0"), "{log}");
    assert!(log.contains("\n/tmp /usr/local/sbin:") && log.contains("\n1000\n"), "{log}");
    let processes: usize = log.lines().filter_map(|line| line.parse().ok()).next().unwrap();
    assert!(processes < 10, "{log}");
}

#[tokio::test]
async fn a_step_that_fails_ends_the_build_with_its_code_and_its_words_in_order() {
    let world = World::start().await;
    let report = world
        .build(
            "build: {steps: [{name: a, run: [bash, -c, 'for n in 1 2 3; do echo o$n; echo e$n >&2; done; exit 7']}, \
             {name: b, run: [echo, never]}]}",
        )
        .await;
    assert_eq!(report["failure"]["code"], "stepFailed");
    assert_eq!(report["failure"]["details"], json!({"step": "a", "exitCode": 7}));
    let log = world.daemon.log();
    assert!(log.contains("\no1\ne1\no2\ne2\no3\ne3\n== a: exit 7 in "), "{log}");
    assert!(log.ends_with("== failed: step a exited with 7\n") && !log.contains("never"), "{log}");
}

#[tokio::test]
async fn bytes_that_are_no_text_reach_the_daemon_as_they_are() {
    let world = World::start().await;
    world.build(r#"build: {steps: [{name: a, run: [printf, '\377\000\033[1m\r\n']}]}"#).await;
    let log = world.daemon.seen.lock().log.clone();
    assert!(
        log.windows(9).any(|bytes| bytes == b"\xff\x00\x1b[1m\r\n="),
        "{:?}",
        String::from_utf8_lossy(&log)
    );
}

/// What a stubborn build does: a tree of processes that do not listen to TERM, marked so a test finds them.
fn stubborn(mark: &str) -> String {
    format!(
        "build: {{steps: [{{name: a, run: [bash, -c, \"trap '' TERM; (trap '' TERM; sleep {mark}) & setsid sleep {mark} & \
         echo started; while true; do sleep {mark}; done\"]}}]}}"
    )
}

/// How many processes have this word in their command line.
fn processes(mark: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())).count()
}

async fn wait_for_processes(mark: &str, holds: impl Fn(usize) -> bool) {
    for _ in 0..500 {
        if holds(processes(mark)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} processes of {mark} run", processes(mark));
}

async fn are_gone(mark: &str) {
    wait_for_processes(mark, |count| count == 0).await;
}

#[tokio::test]
async fn a_cancel_ends_even_a_stubborn_tree_of_processes_and_is_reported() {
    let world = World::start().await;
    let code = repository(&stubborn("86421"), &[]).await;
    world.daemon.queue_build(code.path());
    world.daemon.until("the step runs", |seen| seen.log.windows(9).any(|word| word == b"\nstarted\n")).await;
    wait_for_processes("86421", |count| count >= 3).await;

    world.daemon.seen.lock().cancel = true;
    let report = world.ended().await;

    assert_eq!(report["state"], "cancelled");
    assert!(report["failure"].is_null());
    are_gone("86421").await;
    let log = world.daemon.log();
    assert!(log.contains("== a: stopped after ") && log.ends_with("== stopped: cancelled\n"), "{log}");
    assert_eq!(report["log"]["size"], log.len());
}

#[tokio::test]
async fn a_cancelled_step_that_listens_ends_in_good_order() {
    let world = World::start().await;
    let recipe = "build: {steps: [{name: a, run: [bash, -c, \"trap 'echo tidied; exit 0' TERM; echo started; \
                  while true; do sleep 0.05; done\"]}]}";
    let code = repository(recipe, &[]).await;
    world.daemon.queue_build(code.path());
    world.daemon.until("the step runs", |seen| seen.log.windows(9).any(|word| word == b"\nstarted\n")).await;
    world.daemon.seen.lock().cancel = true;
    assert_eq!(world.ended().await["state"], "cancelled");
    assert!(world.daemon.log().contains("\ntidied\n"), "{}", world.daemon.log());
}

#[tokio::test]
async fn without_a_sandbox_a_cancel_ends_the_process_group() {
    let world = World::with(|options| options.sandbox = super::SandboxChoice::Off).await;
    let code = repository(
        "build: {steps: [{name: a, run: [bash, -c, \"trap '' TERM; echo started; sleep 86422\"]}]}",
        &[],
    )
    .await;
    world.daemon.queue_build(code.path());
    world.daemon.until("the step runs", |seen| seen.log.windows(9).any(|word| word == b"\nstarted\n")).await;
    world.daemon.seen.lock().cancel = true;
    assert_eq!(world.ended().await["state"], "cancelled");
    are_gone("86422").await;
}

#[tokio::test]
async fn a_job_that_was_lost_is_stopped_and_nothing_is_said_of_it() {
    let mut world = World::start().await;
    let code = repository(&stubborn("86423"), &[]).await;
    world.daemon.queue_build(code.path());
    world.daemon.until("the step runs", |seen| seen.log.windows(9).any(|word| word == b"\nstarted\n")).await;
    let claims = world.daemon.seen.lock().claims.len();

    world.daemon.seen.lock().stale = true;
    world.daemon.until("the agent asks for the next job", |seen| seen.claims.len() > claims).await;

    are_gone("86423").await;
    assert!(world.daemon.seen.lock().reports.iter().all(|report| report["state"] != "failed"));
    assert_eq!(world.job_folders(), [""; 0]);
    world.stop.signal();
    world.agent_ended().await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_accepted_no_more_ends_the_job_and_the_agent() {
    let mut world = World::start().await;
    let code = repository(&stubborn("86424"), &[]).await;
    world.daemon.queue_build(code.path());
    world.daemon.until("the step runs", |seen| seen.log.windows(9).any(|word| word == b"\nstarted\n")).await;
    world.daemon.seen.lock().barred = true;
    let error = world.agent_ended().await.unwrap_err().to_string();
    assert!(error.contains("does not accept this agent's token"), "{error}");
    are_gone("86424").await;
}

#[tokio::test]
async fn a_refused_token_ends_the_agent_before_any_job() {
    let mut world = World::start().await;
    world.daemon.seen.lock().barred = true;
    let error = format!("{:#}", world.agent_ended().await.unwrap_err());
    assert!(error.contains("claim a job") && error.contains("401"), "{error}");
}

#[tokio::test]
async fn the_first_stop_lets_the_job_finish_and_claims_nothing_more() {
    let mut world = World::start().await;
    let code =
        repository("build: {steps: [{name: a, run: [bash, -c, 'echo started; sleep 0.5; echo done']}]}", &[])
            .await;
    world.daemon.queue_build(code.path());
    world.daemon.until("the step runs", |seen| seen.log.windows(9).any(|word| word == b"\nstarted\n")).await;
    world.daemon.queue_build(code.path());
    world.stop.signal();
    world.agent_ended().await.unwrap();
    assert_eq!(world.daemon.last_report()["state"], "completed");
    assert_eq!(world.daemon.seen.lock().queue.len(), 1, "the other job waits for another agent");
}

#[tokio::test]
async fn the_second_stop_ends_the_job_as_failed_by_the_agents_stop() {
    let mut world = World::start().await;
    let code = repository(&stubborn("86425"), &[]).await;
    world.daemon.queue_build(code.path());
    world.daemon.until("the step runs", |seen| seen.log.windows(9).any(|word| word == b"\nstarted\n")).await;
    world.stop.signal();
    world.stop.signal();
    world.agent_ended().await.unwrap();
    assert_eq!(world.daemon.last_report()["failure"]["code"], "agentStopped");
    are_gone("86425").await;
}

#[tokio::test]
async fn an_idle_agent_stops_at_once_and_asks_only_whether_its_claim_was_answered() {
    let mut world = World::start().await;
    world.daemon.until("the agent waits for a job", |seen| !seen.claims.is_empty()).await;
    world.stop.signal();
    world.agent_ended().await.unwrap();
    let claims = world.daemon.seen.lock().claims.clone();
    let (key, settling, _) = claims.last().unwrap();
    assert_eq!((&settling["wait"], settling["availableUntil"].is_string()), (&json!(0), true));
    assert_eq!(*key, claims[claims.len() - 2].0);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_asked_again_with_the_same_key_and_gives_the_same_job() {
    let world = World::start().await;
    world.daemon.seen.lock().claim_faults.extend([Fault::Busy, Fault::Deaf, Fault::Mute]);
    let report = world.build("build: {steps: [{name: a, run: ['true']}]}").await;
    assert_eq!(report["state"], "completed");
    let given = world.daemon.seen.lock().claims.iter().filter(|(.., given)| given.is_some()).count();
    assert_eq!(given, 1);
}

#[tokio::test]
async fn failures_have_the_codes_that_are_promised() {
    let told = [
        ("", "recipeMissing"),
        ("build: {steps: []}", "recipeInvalid"),
        ("build: {steps: [{name: a, run: ['false']}]}", "stepFailed"),
        ("build: {steps: [{name: a, run: [no-such-program]}]}", "stepFailed"),
        ("build: {steps: [{name: a, run: [sleep, 100], timeoutSeconds: 1}]}", "stepTimedOut"),
        ("build: {timeoutSeconds: 1, steps: [{name: a, run: [sleep, 100]}]}", "buildTimedOut"),
        ("build: {steps: [{name: a, run: ['true']}], artifacts: [dist/*]}", "artifactMissing"),
        ("build: {steps: [{name: a, run: [ln, -s, /etc/passwd, b]}], artifacts: [b]}", "artifactMissing"),
    ];
    for (recipe, code) in told {
        let world = World::start().await;
        let report = world.build(recipe).await;
        assert_eq!(
            (&report["state"], &report["failure"]["code"]),
            (&json!("failed"), &json!(code)),
            "{report}"
        );
        assert_eq!(report["log"]["size"], world.daemon.log().len());
    }
}

#[tokio::test]
async fn code_that_cannot_be_had_is_said_to_be_unavailable() {
    let absent = json!({"url": "/nonexistent/a.git", "ref": "main"});
    let code = repository("", &[]).await;
    let no_branch = json!({"url": code.path(), "ref": "other"});
    for code in [Value::Null, absent, no_branch, json!({"url": "ext::sh -c id", "ref": "main"})] {
        let world = World::start().await;
        world.daemon.queue(code.clone(), 600);
        let report = world.ended().await;
        assert_eq!(report["failure"]["code"], "codeUnavailable", "{code} {report}");
    }
}

#[tokio::test]
async fn a_recipe_that_is_a_link_is_not_followed() {
    let code = repository("", &[("a", "a")]).await;
    std::os::unix::fs::symlink("/etc/passwd", code.path().join("mrx.yaml")).unwrap();
    git(code.path(), &["add", "--all"]).await;
    git(code.path(), &["-c", "user.name=Ada", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "Link"])
        .await;
    let world = World::start().await;
    world.daemon.queue_build(code.path());
    assert_eq!(world.ended().await["failure"]["code"], "recipeInvalid");
}

#[tokio::test]
async fn a_tag_or_a_commit_is_built_as_a_branch_is() {
    let code = repository("build: {steps: [{name: a, run: ['true']}]}", &[]).await;
    let commit = git(code.path(), &["rev-parse", "HEAD"]).await;
    git(code.path(), &["tag", "v1"]).await;
    for reference in ["v1", &commit] {
        let world = World::start().await;
        world.daemon.queue(json!({"url": code.path(), "ref": reference}), 600);
        assert_eq!(world.ended().await["result"]["commit"], commit, "{reference}");
    }
}

#[tokio::test]
async fn a_daemon_that_comes_and_goes_gets_the_whole_log_the_artifact_and_the_end() {
    let world = World::start().await;
    let faults =
        [Fault::Busy, Fault::Deaf, Fault::Mute, Fault::None, Fault::Forget(100), Fault::Mute, Fault::Deaf];
    world.daemon.seen.lock().faults.extend(faults.into_iter().cycle().take(60));
    let report = world
        .build(
            "build: {steps: [{name: a, run: [bash, -c, 'for n in {1..20}; do echo line $n; sleep 0.02; done; echo x > a']}], \
             artifacts: [a]}",
        )
        .await;
    assert_eq!(report["state"], "completed");
    let log = world.daemon.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("line ")).collect();
    assert_eq!(lines, (1..=20).map(|n| format!("line {n}")).collect::<Vec<_>>());
    assert_eq!(world.daemon.seen.lock().artifacts.len(), 1, "an upload that is sent again is one artifact");
}

#[tokio::test]
async fn a_log_that_was_damaged_at_the_daemon_is_sent_again_from_the_start() {
    let world = World::start().await;
    world.daemon.seen.lock().corrupt = true;
    let report = world.build("build: {steps: [{name: a, run: [echo, hello]}]}").await;
    assert_eq!(report["state"], "completed");
    assert!(!world.daemon.seen.lock().corrupt);
    assert!(world.daemon.log().contains("\nhello\n"), "{}", world.daemon.log());
}

#[tokio::test]
async fn a_log_larger_than_the_daemon_keeps_fails_the_job() {
    let world = World::start().await;
    world.daemon.seen.lock().log_bytes_max = Some(100_000);
    let report = world.build("build: {steps: [{name: a, run: ['yes', '86426']}]}").await;
    assert_eq!(report["failure"]["code"], "logTooLarge");
    are_gone("86426").await;
}

#[tokio::test]
async fn a_silent_step_keeps_its_lease() {
    let world = World::start().await;
    world.build("build: {steps: [{name: a, run: [sleep, 0.5]}]}").await;
    assert!(world.daemon.seen.lock().renewals >= 5, "{}", world.daemon.seen.lock().renewals);
}

#[tokio::test]
async fn an_agent_whose_time_is_over_claims_nothing_and_ends() {
    let past = crate::clock::Time::from_millis(1);
    let mut world = World::with(|options| options.available_until = Some(past)).await;
    world.agent_ended().await.unwrap();
    assert!(world.daemon.seen.lock().claims.is_empty());
}

#[tokio::test]
async fn a_daemon_that_claims_more_log_than_was_written_is_not_believed_for_ever() {
    let daemon = StandIn::start().await;
    daemon.seen.lock().log = vec![0; 100];
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::create(&folder.path().join("log"), Default::default()).unwrap();
    spool.write(b"short").unwrap();
    spool.close();
    let sent = upload(&spool, &daemon.job_client(), 0, hasty()).await;
    assert!(matches!(sent, Err(UploadError::Refused(_))), "{sent:?}");
}

/// A step that shows which secrets it has, and whether the list of processes shows them too. The text that is looked
/// for is split, so that it does not stand in the log by the command itself.
const SHOWS_SECRETS: &str = r#"
build:
  steps:
    - name: with
      run: [sh, -c, 'test "$MRX_SECRET_SIGNING_KEY" = "canary-va""lue" && test -z "$MRX_SECRET_LLM" && echo it is there; cat /proc/*/cmdline | tr "\0" " " | grep -c "canary-valu[e]"; true']
      secrets: [signing-key]
    - name: without
      run: [sh, -c, 'env | grep -c MRX_SECRET; true']
"#;

async fn with_secrets(recipe: &str) -> (World, serde_json::Value) {
    let world = World::start().await;
    let secrets = [("signing-key", "canary-value"), ("llm", "canary-of-llm")];
    world.daemon.seen.lock().secrets = secrets.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
    let report = world.build(recipe).await;
    (world, report)
}

#[tokio::test]
async fn a_step_finds_the_secrets_it_names_in_its_environment_and_nowhere_else() {
    let (world, report) = with_secrets(SHOWS_SECRETS).await;
    assert_eq!(report["state"], "completed", "{report} {}", world.daemon.log());
    let log = world.daemon.log();
    assert!(log.contains("it is there\n0\n"), "in the environment, and in no argument list: {log}");
    assert!(log.contains("MRX_SECRET; true\"\n0\n"), "a step that names none has none: {log}");
    assert_eq!(world.daemon.seen.lock().redeemed, 1);
}

#[tokio::test]
async fn a_value_is_hidden_in_all_that_an_agent_sends() {
    let recipe = r#"
build:
  steps:
    - name: print
      run: [sh, -c, 'printf "canary-v"; sleep 0.1; printf "alue|"; printf %s "$MRX_SECRET_SIGNING_KEY" | base64; printf "user:%s" "$MRX_SECRET_SIGNING_KEY" | base64']
      secrets: [signing-key]
    - name: canary-value
      run: ["false"]
"#;
    let (world, report) = with_secrets(recipe).await;
    let log = world.daemon.log();
    assert!(log.contains("[masked]|[masked]") && log.contains("== [masked]: exit 1"), "{log}");
    assert_eq!(report["failure"]["message"], "step [masked] exited with 1");
    assert_eq!(report["failure"]["details"]["step"], "[masked]");
    let seen = format!("{log}{:?}", world.daemon.seen.lock().reports);
    for form in ["canary-value", "Y2FuYXJ5LXZhbHVl", "bmFyeS12YWx1", "hbmFyeS12YWx1"] {
        assert!(!seen.contains(form), "{form} in {seen}");
    }
}

#[tokio::test]
async fn a_step_that_names_a_secret_that_is_not_there_fails_and_says_which() {
    let recipe = "build:\n  steps:\n    - {name: a, run: [\"true\"], secrets: [no-such]}\n";
    let (_world, report) = with_secrets(recipe).await;
    assert_eq!(report["failure"]["code"], "secretsUnavailable", "{report}");
    assert!(report["failure"]["message"].as_str().unwrap().contains("no-such"), "{report}");
}

#[tokio::test]
async fn a_job_whose_token_is_spent_fails_before_anything_runs() {
    let world = World::start().await;
    world.daemon.seen.lock().secrets = vec![("llm".to_owned(), "canary-of-llm".to_owned())];
    world.daemon.seen.lock().faults.push_back(Fault::Mute);
    let report = world.build("build:\n  steps:\n    - {name: a, run: [\"true\"]}\n").await;
    assert_eq!(report["failure"]["code"], "secretsUnavailable", "{report}");
    assert!(report["failure"]["message"].as_str().unwrap().contains("secretsTokenSpent"), "{report}");
    assert_eq!(world.daemon.log(), "");
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::None),
        1 => Just(Fault::Deaf),
        1 => Just(Fault::Mute),
        1 => Just(Fault::Busy),
        1 => any::<u8>().prop_map(Fault::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn every_byte_of_a_log_arrives_once_whatever_is_lost_on_the_way(
        pieces in prop::collection::vec((0usize..100_000, any::<u8>(), 0u64..4), 0..12),
        faults in prop::collection::vec(fault(), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let daemon = StandIn::start().await;
            daemon.seen.lock().faults.extend(faults);
            let folder = tempfile::tempdir().unwrap();
            let spool = Spool::create(&folder.path().join("log"), Default::default()).unwrap();
            let client = daemon.job_client();
            let mut written = Vec::new();
            let write = async {
                for (count, byte, millis) in pieces {
                    let piece: Vec<u8> = (0..count).map(|n| byte.wrapping_add((n % 251) as u8)).collect();
                    spool.write(&piece).unwrap();
                    written.extend_from_slice(&piece);
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                }
                spool.close();
            };
            let (sent, ()) = tokio::join!(upload(&spool, &client, 0, hasty()), write);
            sent.unwrap();
            // What was forgotten after the last piece is found by the report's sum; here, as the report would do.
            let stored = daemon.seen.lock().log.len() as u64;
            daemon.seen.lock().faults.clear();
            upload(&spool, &client, stored, hasty()).await.unwrap();
            assert!(daemon.seen.lock().log == written, "{} of {} bytes", daemon.seen.lock().log.len(), written.len());
        });
    }
}
