//! The agent of bash and git alone, as it stands in `examples/`: it claims, builds and reports by pushes.

use std::process::Stdio;

use mrx::clock::Time;
use serde_json::json;

use crate::world::{HELLO, World, seconds};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/git-only-agent.sh");

/// Runs the agent for one job, where the machine's clock says that it is so late; tells whether it ended well, and what it said.
#[expect(clippy::disallowed_methods, reason = "the agent is another program, and is started as one")]
async fn run(world: &World, name: &str, key: &str, command: &str, now: Time) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/git/{HELLO}.git", world.address());
    let now = format!("@{} +0000", now.seconds());
    let run = tokio::process::Command::new("bash")
        .args([SCRIPT, "--once", &url, name, "sh", "-c", command])
        .current_dir(folder.path())
        .env("MRX_KEY", key)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_DATE", &now)
        .env("GIT_COMMITTER_DATE", &now)
        .stdin(Stdio::null())
        .output();
    let output = run.await.unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Runs the agent for one job; it ends with the job.
async fn work(world: &World, name: &str, key: &str, command: &str) -> String {
    let (is_good, said) = run(world, name, key, command, world.clock.now()).await;
    assert!(is_good, "{name}: {said}");
    said
}

#[tokio::test]
async fn an_agent_whose_clock_is_a_little_off_works_and_one_whose_clock_is_wrong_says_so_and_ends() {
    let world = World::start().await;
    world.commit_code(HELLO, "hello.txt", "hello").await;
    let key = world.key_of_agent("gitter").await;
    let now = world.clock.now();
    for late in [now.before(seconds(100)), now.after(seconds(100))] {
        let job = world.queue("build").await;
        world.published(HELLO).await;
        let (is_good, said) = run(&world, "gitter", &key, "cat hello.txt", late).await;
        assert!(is_good && world.state(&job).await == "completed", "{said}");
    }
    let job = world.queue("build").await;
    world.published(HELLO).await;
    let (is_good, said) = run(&world, "gitter", &key, "cat hello.txt", now.after(seconds(4000))).await;
    assert!(!is_good && said.contains("see that your clock is right"), "{said}");
    assert_eq!(world.state(&job).await, "pending");
}

#[tokio::test]
async fn an_agent_of_bash_and_git_alone_claims_builds_and_reports() {
    let world = World::start().await;
    world.commit_code(HELLO, "hello.txt", "hello").await;
    let job = world.queue("build").await;
    let key = world.key_of_agent("gitter").await;
    world.published(HELLO).await;
    work(&world, "gitter", &key, "cat hello.txt; echo; echo 'all \"well\"'").await;
    let ended = world.job(&job).await;
    assert_eq!((&ended["state"], &ended["claimedBy"]), (&"completed".into(), &"gitter".into()));
    assert_eq!(
        (&ended["result"]["exitCode"], &ended["result"]["lastLine"]),
        (&0.into(), &"all \"well\"".into())
    );
    let failing = world.queue("build").await;
    world.published(HELLO).await;
    work(&world, "gitter", &key, "echo broken; exit 3").await;
    let ended = world.job(&failing).await;
    assert_eq!((&ended["state"], &ended["failure"]["code"]), (&"failed".into(), &"stepFailed".into()));
    assert_eq!((&ended["result"]["exitCode"], &ended["result"]["lastLine"]), (&3.into(), &"broken".into()));
    assert!(work(&world, "gitter", &key, "true").await.contains("there is no job"));
}

#[tokio::test]
async fn sixteen_agents_of_git_alone_that_race_share_no_job() {
    let world = World::start().await;
    world.commit_code(HELLO, "hello.txt", "hello").await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(world.queue("build").await);
    }
    let mut racers = Vec::new();
    for number in 1..=16 {
        let name = format!("racer-{number}");
        let key = world.key_of_agent(&name).await;
        racers.push((name, key));
    }
    world.published(HELLO).await;
    let run = racers.iter().map(|(name, key)| work(&world, name, key, "cat hello.txt"));
    let said = futures_util::future::join_all(run).await;
    let idle = said.iter().filter(|said| said.contains("there is no job")).count();
    let mut winners = Vec::new();
    for job in &jobs {
        let ended = world.job(job).await;
        assert_eq!((&ended["state"], &ended["attempt"]), (&"completed".into(), &1.into()), "{ended}");
        winners.push(ended["claimedBy"].as_str().unwrap().to_owned());
        let life = world.history(HELLO, job).await;
        assert_eq!(life.iter().filter(|line| line.contains("pending -> claimed")).count(), 1, "{life:?}");
    }
    winners.sort();
    winners.dedup();
    assert_eq!((winners.len(), idle), (4, 12), "four racers have had a job each, and the others none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_git_alone_get_through_while_others_write_without_a_pause() {
    let world = World::start().await;
    world.commit_code(HELLO, "hello.txt", "hello").await;
    let mut racers = Vec::new();
    for number in 1..=4 {
        world.queue("build").await;
        let name = format!("racer-{number}");
        let key = world.key_of_agent(&name).await;
        racers.push((name, key));
    }
    let chat = world.admin().post(&format!("/projects/{HELLO}/chats")).json(&json!({ "title": "0" })).await;
    let chat = format!("/projects/{HELLO}/chats/{}", chat.expect(201)["chatId"].as_str().unwrap());
    world.published(HELLO).await;
    let run = racers.iter().map(|(name, key)| work(&world, name, key, "cat hello.txt"));
    let all_work = futures_util::future::join_all(run);
    tokio::pin!(all_work);
    let mut written = 0;
    let said = loop {
        let write = async {
            let title = json!({ "title": format!("{written}") });
            world.admin().patch(&chat).json(&title).await.expect(200);
        };
        tokio::select! {
            biased;
            said = &mut all_work => break said,
            () = write => written += 1,
        }
    };
    assert!(written > 100, "{written} calls in between");
    for (said, (name, _)) in said.iter().zip(&racers) {
        assert!(said.contains("ended") && said.contains("with 0"), "{name}: {said}");
    }
    // Each got through: nobody waited for a pause of the writing, because there was none.
    let history = world.log_of(HELLO).await;
    for (name, _) in &racers {
        let of = |line: &&String| line.starts_with(&format!("{name}: job "));
        assert_eq!(history.iter().filter(of).count(), 3, "claimed, running, completed by {name}");
    }
}
