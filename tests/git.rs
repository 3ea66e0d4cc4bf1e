//! Git as an interface for reading: real git clones, pulls, and sees only what its key may.

use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use crate::world::{HELLO, Said, World, git, url};

async fn cloned(
    world: &World,
    key: &str,
    repo: &str,
    options: &[&str],
) -> (tempfile::TempDir, PathBuf, Said) {
    let folder = tempfile::tempdir().unwrap();
    let url = url(world, key, repo);
    let arguments = [&["clone", "-q"], options, &[url.as_str(), "copy"]].concat();
    let said = git(folder.path(), &arguments).await;
    let copy = folder.path().join("copy");
    (folder, copy, said)
}

fn operator(world: &World) -> String {
    world.token(mrx::identity::token::OPERATOR_TOKEN)
}

#[tokio::test]
async fn an_agents_clone_has_the_state_and_a_pull_brings_what_happened_since() {
    let world = World::start().await;
    let key = world.key_of_agent("puller").await;
    world.published(HELLO).await;
    let (_folder, copy, said) = cloned(&world, &key, "mrx-hello.git", &["-b", "state"]).await;
    assert!(said.ok, "{}", said.text);
    assert!(copy.join("project.yaml").is_file());
    let job = world.queue("build").await;
    world.published(HELLO).await;
    let pulled = git(&copy, &["pull", "-q"]).await;
    assert!(pulled.ok, "{}", pulled.text);
    let log = git(&copy, &["log", "-1", "--format=%an: %s"]).await;
    assert_eq!(log.text, format!("operator: job {job}: pending build\n"));
    let checked = git(&copy, &["fsck", "--strict"]).await;
    assert!(checked.ok, "{}", checked.text);
}

#[tokio::test]
async fn clones_can_be_shallow_partial_and_sparse_and_speak_the_old_protocol() {
    let world = World::start().await;
    world.queue("build").await;
    world.published(HELLO).await;
    let key = operator(&world);
    let count = async |copy: &Path| git(copy, &["rev-list", "--count", "HEAD"]).await.text;
    let (_one, copy, said) = cloned(&world, &key, "mrx-hello.git", &["-b", "state", "--depth", "1"]).await;
    assert!(said.ok && count(&copy).await == "1\n", "{}", said.text);
    let partial = ["-b", "state", "--filter=blob:none", "--sparse"];
    let (_two, copy, said) = cloned(&world, &key, "mrx-hello.git", &partial).await;
    assert!(said.ok && copy.join("project.yaml").is_file() && !copy.join("jobs").exists(), "{}", said.text);
    let widened = git(&copy, &["sparse-checkout", "set", "jobs"]).await;
    assert!(
        widened.ok && copy.join("jobs/open").is_dir(),
        "what was left out is fetched when it is asked for: {}",
        widened.text
    );
    let (_three, copy, said) =
        cloned(&world, &key, "mrx-hello.git", &["-b", "state", "-c", "protocol.version=0"]).await;
    assert!(said.ok && count(&copy).await == "2\n", "{}", said.text);
}

#[tokio::test]
async fn a_key_sees_the_projects_it_may_read_and_of_them_only_state_and_logs() {
    let world = World::start().await;
    world.project("mrx-other").await;
    let body = json!({ "agentId": "narrow", "projects": ["mrx-other"] });
    let narrow =
        world.admin().post("/admin/agents").json(&body).await.expect(201)["key"].as_str().unwrap().to_owned();
    world.queue("build").await;
    let held = world.agent("builder-1").claim().await;
    world.agent("builder-1").write_log(&held, 0, b"hello").await;
    world.published(HELLO).await;
    world.repository(HELLO).reference_symbolic("refs/rejected/x", "refs/heads/state", true, "").unwrap();
    let here = std::env::temp_dir();
    let shown = async |key: &str, repo: &str| git(&here, &["ls-remote", &url(&world, key, repo)]).await;
    let all = shown(&operator(&world), "mrx-hello.git").await;
    let refs: Vec<&str> = all.text.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    assert_eq!(refs, ["HEAD", "refs/heads/logs/2026-11-20", "refs/heads/state"], "{}", all.text);
    assert!(shown(&narrow, "mrx-other.git").await.ok);
    assert!(!shown(&narrow, "mrx-hello.git").await.ok);
    assert!(!shown(&narrow, "platform.git").await.ok);
    assert!(shown(&operator(&world), "platform.git").await.text.contains("refs/heads/state"));
    let wrong = shown("wrong", "mrx-hello.git").await;
    assert!(!wrong.ok && wrong.text.contains("Authentication failed"), "{}", wrong.text);
    assert_eq!(
        world
            .as_agent("builder-1")
            .get("/git/platform.git/info/refs?service=git-upload-pack")
            .await
            .refused(403),
        "forbidden"
    );
}

#[tokio::test]
async fn the_projects_code_is_served_too() {
    let world = World::start().await;
    world.commit_code(HELLO, "hello.txt", "hello").await;
    let key = world.key_of_agent("builder-1").await;
    let (_folder, copy, said) = cloned(&world, &key, "code/mrx-hello.git", &[]).await;
    assert!(said.ok, "{}", said.text);
    assert_eq!(std::fs::read_to_string(copy.join("hello.txt")).unwrap(), "hello");
    assert_eq!(
        world.admin().get("/git/code/platform.git/info/refs?service=git-upload-pack").await.refused(404),
        "notFound"
    );
}

#[tokio::test]
async fn wants_that_are_no_protocol_or_no_gzip_end_without_harm() {
    let world = World::start().await;
    world.published(HELLO).await;
    let post = |body: &'static [u8]| world.admin().post("/git/mrx-hello.git/git-upload-pack").body(body);
    assert_eq!(post(b"no gzip").header("Content-Encoding", "gzip").await.refused(400), "badRequest");
    for nonsense in [
        &b""[..],
        b"0000",
        b"zzzz",
        b"ffff",
        b"0032want 0000000000000000000000000000000000000000\n00000009done\n",
    ] {
        let answer = post(nonsense).open().await;
        assert_eq!(answer.status(), 200, "git itself says what is wrong, in its protocol");
        let _ = answer.bytes().await;
    }
    assert_eq!(world.app().serving.count(), 0);
    assert!(
        git(&std::env::temp_dir(), &["ls-remote", &url(&world, &operator(&world), "mrx-hello.git")]).await.ok
    );
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the key is made by ssh itself, as people make theirs")]
async fn signed_commits_are_verified_by_git_with_what_the_daemon_publishes() {
    let mut world = World::start().await;
    assert_eq!(world.stranger().get("/allowed-signers").await.refused(404), "notSigned");
    let (key, allowed) = (world.folder().join("signing"), world.folder().join("allowed"));
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "MrX", "-f"])
        .arg(&key)
        .status()
        .expect("this test needs ssh-keygen: apt-get install openssh-client");
    assert!(made.success());
    let before = world.queue("build").await;
    world.published(HELLO).await;
    world.reopen_with_signer(&key).await;
    let after = world.queue("build").await;
    world.published(HELLO).await;
    std::fs::write(&allowed, world.stranger().get("/allowed-signers").await.text()).unwrap();
    let repository = world.repository(HELLO).path().to_owned();
    let setting = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
    let shown = git(&repository, &["-c", &setting, "log", "-2", "--format=%G? %GS %s", "state"]).await.text;
    assert_eq!(
        shown,
        format!("G daemon@mrx.invalid job {after}: pending build\nN  job {before}: pending build\n")
    );
    let verified = git(&repository, &["-c", &setting, "verify-commit", "state"]).await;
    assert!(
        verified.ok && verified.text.contains("Good \"git\" signature for daemon@mrx.invalid"),
        "{}",
        verified.text
    );
    assert!(git(&repository, &["fsck", "--strict"]).await.ok);
    world.restart().await;
    assert_eq!(world.state(&after).await, "pending", "signed commits are read back as others are");
}

/// A text of so many bytes that nothing makes shorter than a half.
fn noise(bytes: usize) -> String {
    let mut seed = 88_172_645_463_325_252_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        format!("{seed:016x}")
    };
    (0..bytes / 16).map(|_| next()).collect()
}

/// The body of a fetch, of which the first bytes were read: nothing between it and the daemon holds more of it.
async fn under_way(world: &World, key: &str) -> Body {
    let code = url(world, key, &format!("code/{HELLO}.git"));
    let tip = git(world.folder(), &["ls-remote", &code, "HEAD"]).await.text;
    let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let wants =
        line("command=fetch") + "0001" + &line(&format!("want {}\n", &tip[..40])) + &line("done\n") + "0000";
    let request = Request::post(format!("/git/code/{HELLO}.git/git-upload-pack"))
        .header("Authorization", format!("Bearer {key}"))
        .header("Git-Protocol", "version=2")
        .body(Body::from(wants))
        .unwrap();
    let answer = mrx::http::routes::router(world.app().clone()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut fetch = answer.into_body();
    let first = fetch.frame().await.expect("it has begun").unwrap();
    assert!(first.into_data().is_ok_and(|bytes| !bytes.is_empty()));
    fetch
}

/// How many bytes come until its end.
async fn rest(fetch: Body) -> usize {
    fetch.collect().await.unwrap().to_bytes().len()
}

#[tokio::test]
async fn a_fetch_under_way_ends_when_its_key_is_revoked_or_its_project_goes_into_the_trash() {
    const LARGE: usize = 4 << 20;
    let world = World::start().await;
    world.commit_code(HELLO, "large.txt", &noise(LARGE)).await;
    let admin = operator(&world);
    let key = world.key_of_agent("builder-1").await;
    let fetch = under_way(&world, &key).await;
    let off = json!({ "disabled": true });
    world.admin().patch("/admin/agents/builder-1").json(&off).await.expect(200);
    tokio::time::sleep(2 * mrx::http::auth::ASK_AGAIN).await;
    let read = rest(fetch).await;
    assert!(read < LARGE / 3, "it ended early: {read}");

    let fetch = under_way(&world, &admin).await;
    world.admin().delete(&format!("/projects/{HELLO}")).await.expect(200);
    tokio::time::sleep(2 * mrx::http::auth::ASK_AGAIN).await;
    let read = rest(fetch).await;
    assert!(read < LARGE / 3, "it ended early: {read}");

    world.admin().post(&format!("/projects/{HELLO}/restore")).await.expect(200);
    let whole = under_way(&world, &admin).await;
    tokio::time::sleep(2 * mrx::http::auth::ASK_AGAIN).await;
    assert!(rest(whole).await > LARGE / 2, "nobody ends it");
}
