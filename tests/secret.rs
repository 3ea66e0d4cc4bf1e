//! Secrets: stored encrypted, never shown to people, read with plain age, handed to an agent once.

use std::io::Read;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use mrx::worker::{self, AgentOptions, SandboxChoice, Stop};

use crate::world::{AgentAtWork, Answer, HELLO, Held, World, held, seconds};

const VALUE: &str = "ghp-canary-0123456789";

async fn store(world: &World, project: Value, name: &str, value: &str) -> Value {
    let body = json!({ "projectId": project, "name": name, "value": value });
    world.admin().post("/admin/secrets").json(&body).await.expect(201)
}

/// A claim of a job, with what it answered.
async fn claim(world: &World, agent: &AgentAtWork<'_>) -> (Held, Value) {
    world.queue("build").await;
    let answer = agent.claim_call(json!({})).await;
    (held(&answer).unwrap(), answer.json())
}

async fn redeem(world: &World, held: &Held, token: &str) -> Answer {
    let path = format!("/admin/secrets/{}", held.job["projectId"].as_str().unwrap());
    world
        .as_agent("builder-1")
        .get(&path)
        .header("Job-Lease", &held.lease)
        .header("Secrets-Token", token)
        .await
}

fn decrypted(ciphertext: &str, identity: &dyn age::Identity) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a person reads a secret with plain age")]
    let mut reader = age::Decryptor::new(age::armor::ArmoredReader::new(ciphertext.as_bytes()))
        .unwrap()
        .decrypt(std::iter::once(identity))
        .ok()?;
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    Some(text)
}

#[tokio::test]
async fn a_secret_is_stored_encrypted_listed_rotated_and_removed_and_no_answer_holds_its_value() {
    let world = World::start().await;
    let made = store(&world, json!(HELLO), "github", VALUE).await;
    assert_eq!(
        (&made["name"], &made["kind"], &made["createdBy"]),
        (&json!("github"), &json!("github"), &json!("operator"))
    );
    let kind = json!({ "projectId": HELLO, "kind": "llm", "value": VALUE });
    assert_eq!(world.admin().post("/admin/secrets").json(&kind).await.expect(201)["name"], "llm");
    let path = format!("/admin/secrets/{HELLO}");
    let listed = world.admin().get(&path).await;
    assert!(!listed.text().contains(VALUE), "{}", listed.text());
    let names: Vec<Value> =
        listed.json()["secrets"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["github", "llm"]);

    let first = world.file(HELLO, "secrets/github.age").await.unwrap();
    assert!(first.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{first}");
    let rotated = world
        .admin()
        .post(&format!("{path}/github/rotate"))
        .json(&json!({ "value": "another-value" }))
        .await
        .expect(200);
    assert!(rotated["rotatedAt"].is_string() && rotated["createdAt"] == made["createdAt"], "{rotated}");
    assert_ne!(world.file(HELLO, "secrets/github.age").await.unwrap(), first);
    assert_eq!(world.admin().delete(&format!("{path}/github")).await.status, 204);
    assert_eq!(world.admin().delete(&format!("{path}/github")).await.refused(404), "secretUnknown");
    assert_eq!(world.file(HELLO, "secrets/github.yaml").await, None);
    let log = world.log_of(HELLO).await;
    assert_eq!(
        log[1..],
        [
            "operator: secret github: created",
            "operator: secret llm: created",
            "operator: secret github: rotated",
            "operator: secret github: removed"
        ]
    );
}

#[tokio::test]
async fn what_is_no_secret_is_refused_and_nothing_changes() {
    let world = World::start().await;
    let before = world.tip(HELLO).await;
    for (body, status, code) in [
        (json!({ "projectId": HELLO, "name": "llm", "value": "12345" }), 422, "secretTooShort"),
        (json!({ "projectId": HELLO, "name": "llm", "value": "x".repeat(65_537) }), 422, "secretTooLong"),
        (json!({ "projectId": HELLO, "name": "llm", "value": "123\u{0}456" }), 422, "secretUnusable"),
        (json!({ "projectId": "mrx-none", "name": "llm", "value": VALUE }), 404, "projectUnknown"),
        (json!({ "projectId": HELLO, "value": VALUE }), 400, "badRequest"),
        (json!({ "projectId": HELLO, "kind": "named", "value": VALUE }), 400, "badRequest"),
        (json!({ "projectId": HELLO, "kind": "llm", "name": "drive", "value": VALUE }), 400, "badRequest"),
        (json!({ "projectId": HELLO, "name": "../llm", "value": VALUE }), 400, "badRequest"),
        (json!({ "projectId": HELLO, "name": "llm", "value": VALUE, "more": 1 }), 400, "badRequest"),
    ] {
        assert_eq!(world.admin().post("/admin/secrets").json(&body).await.refused(status), code, "{body}");
    }
    assert_eq!(world.tip(HELLO).await, before);
    let rotate = format!("/admin/secrets/{HELLO}/llm/rotate");
    let body = json!({ "value": VALUE });
    assert_eq!(world.admin().post(&rotate).json(&body).await.refused(404), "secretUnknown");
}

#[tokio::test]
async fn a_project_has_at_most_32_secrets() {
    let world = World::start().await;
    for number in 0..32 {
        store(&world, json!(HELLO), &format!("key-{number}"), VALUE).await;
    }
    let body = json!({ "projectId": HELLO, "name": "one-more", "value": VALUE });
    assert_eq!(world.admin().post("/admin/secrets").json(&body).await.refused(409), "secretsTooMany");
    store(&world, json!(HELLO), "key-0", "a-new-value").await;
}

#[tokio::test]
async fn a_refusal_of_a_body_with_a_secret_does_not_repeat_it() {
    let world = World::start().await;
    for body in [
        json!({ "projectId": HELLO, "name": "llm", "value": { "secret": VALUE } }),
        json!({ "projectId": HELLO, "name": "llm", "value": [VALUE] }),
        json!({ "projectId": VALUE.to_uppercase(), "name": "llm", "value": VALUE }),
        json!({ "projectId": HELLO, "name": VALUE.to_uppercase(), "value": VALUE }),
        json!({ "projectId": HELLO, "kind": VALUE, "value": VALUE }),
        json!({ "projectId": HELLO, VALUE: "x" }),
        json!(VALUE),
    ] {
        for path in ["/admin/secrets", "/admin/secrets/mrx-hello/llm/rotate"] {
            let answer = world.admin().post(path).json(&body).await;
            assert_eq!(answer.refused(400), "badRequest");
            assert!(!answer.text().to_lowercase().contains("canary"), "{}", answer.text());
        }
    }
    let broken = format!(r#"{{"value": "{VALUE}" {VALUE}"#);
    let answer = world.admin().post("/admin/secrets").text_as_json(broken).await;
    assert!(answer.refused(400) == "badRequest" && !answer.text().contains(VALUE), "{}", answer.text());
}

#[tokio::test]
async fn an_agent_gets_the_values_once_with_the_token_of_its_claim() {
    let world = World::start().await;
    store(&world, Value::Null, "llm", "the-platforms-key").await;
    store(&world, Value::Null, "drive", "the-platforms-drive").await;
    store(&world, json!(HELLO), "llm", "the-projects-key").await;
    let agent = world.agent("builder-1");
    let (held, claimed) = claim(&world, &agent).await;
    let token = claimed["secretsToken"].as_str().unwrap();
    assert_eq!(token.len(), 64);

    let answer = redeem(&world, &held, token).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.expect(200)["secrets"],
        json!([
            { "name": "drive", "kind": "drive", "value": "the-platforms-drive" },
            { "name": "llm", "kind": "llm", "value": "the-projects-key" },
        ])
    );
    for _ in 0..2 {
        assert_eq!(redeem(&world, &held, token).await.refused(403), "secretsTokenSpent");
    }
    let about = format!("mrx: job {}: a spent token for secrets was sent again", held.id);
    let recorded = world.log_of("platform").await.iter().filter(|line| **line == about).count();
    assert_eq!(recorded, 1, "once for each attempt, however often it is tried");
    let record =
        world.file("platform", &format!("security/token-reused/{}", reuse_file(&held.id))).await.unwrap();
    assert!(record.contains("claimedBy: builder-1"), "{record}");
    let job = world.job(&held.id).await;
    assert!(job.get("lease").is_none() && !job.to_string().contains(token), "{job}");
    assert_eq!(world.history(HELLO, &held.id).await.last().map(String::as_str), Some("secrets handed over"));
}

fn reuse_file(job: &str) -> String {
    let end: Vec<char> = job[job.len() - 3..].chars().collect();
    format!("{}/{}/{}/{job}-1.yaml", end[0], end[1], end[2])
}

#[tokio::test]
async fn of_64_callers_with_the_same_token_one_gets_the_values() {
    let world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    let (held, claimed) = claim(&world, &world.agent("builder-1")).await;
    let token = claimed["secretsToken"].as_str().unwrap();
    let answers = join_all((0..64).map(|_| redeem(&world, &held, token))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 63));
    assert!(won[0].text().contains(VALUE));
    for answer in lost {
        assert_eq!(answer.refused(403), "secretsTokenSpent");
        assert!(!answer.text().contains(VALUE));
    }
}

#[tokio::test]
async fn a_repeated_claim_gives_the_same_token_also_after_a_restart_and_a_spent_one_stays_spent() {
    let mut world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    world.queue("build").await;
    let token = async |world: &World| {
        let call = world.agent("builder-1").claim_call(json!({})).header("Idempotency-Key", "claim-1");
        let answer = call.await;
        (held(&answer).unwrap(), answer.json()["secretsToken"].clone())
    };
    let (first, given) = token(&world).await;
    assert_eq!(token(&world).await.1, given);
    world.restart().await;
    let (again, same) = token(&world).await;
    assert_eq!((again.id, &same), (first.id.clone(), &given));
    redeem(&world, &first, given.as_str().unwrap()).await.expect(200);
    assert_eq!(token(&world).await.1, Value::Null, "there is none to give any more");
    world.restart().await;
    assert_eq!(redeem(&world, &first, given.as_str().unwrap()).await.refused(403), "secretsTokenSpent");
}

#[tokio::test]
async fn a_token_is_of_no_use_without_its_lease_after_its_time_or_when_the_job_has_ended() {
    let world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    let agent = world.agent("builder-1");
    let (first, one) = claim(&world, &agent).await;
    let (second, two) = claim(&world, &agent).await;
    let (one, two) = (one["secretsToken"].as_str().unwrap(), two["secretsToken"].as_str().unwrap());
    assert_ne!(one, two);
    assert_eq!(redeem(&world, &first, two).await.refused(403), "secretsTokenInvalid");
    assert_eq!(redeem(&world, &first, "").await.refused(403), "secretsTokenInvalid");
    let path = format!("/admin/secrets/{HELLO}");
    assert_eq!(world.as_agent("builder-1").get(&path).await.refused(400), "badRequest");
    assert_eq!(
        world.as_agent("builder-1").get(&path).header("Job-Lease", &first.lease).await.refused(400),
        "badRequest"
    );
    world.project("mrx-other").await;
    let other = world.as_agent("builder-1").get("/admin/secrets/mrx-other");
    let other = other.header("Job-Lease", &first.lease).header("Secrets-Token", one).await;
    assert_eq!(other.refused(409), "jobLeaseStale", "a token opens the secrets of its own project only");
    agent.say(&first, json!({ "state": "completed" })).await.expect(200);
    assert_eq!(redeem(&world, &first, one).await.refused(409), "jobLeaseStale");
    for _ in 0..5 {
        world.pass(seconds(60)).await;
        agent.say(&second, json!({})).await.expect(200);
    }
    assert_eq!(redeem(&world, &second, two).await.refused(403), "secretsTokenExpired");
}

#[tokio::test]
async fn a_claim_of_a_project_without_secrets_carries_no_token() {
    let world = World::start().await;
    let (_, claimed) = claim(&world, &world.agent("builder-1")).await;
    assert!(claimed.get("secretsToken").is_none(), "{claimed}");
}

#[tokio::test]
async fn recipients_read_secrets_with_plain_age_and_lose_that_when_the_list_changes() {
    let world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    store(&world, Value::Null, "drive", "the-platforms-drive").await;
    let anna = age::x25519::Identity::generate();
    let (ben, ben_public) = ssh_key(world_folder().path());
    let list = json!({ "recipients": [
        { "name": "anna", "key": anna.to_public().to_string() },
        { "name": "ben", "key": ben_public },
    ]});
    let set = world.admin().call(reqwest::Method::PUT, "/admin/recipients").json(&list).await.expect(200);
    assert_eq!(set["notResealed"], json!([]));
    for (project, path, value) in
        [(HELLO, "secrets/llm.age", VALUE), ("platform", "secrets/drive.age", "the-platforms-drive")]
    {
        let ciphertext = world.file(project, path).await.unwrap();
        assert_eq!(decrypted(&ciphertext, &anna).as_deref(), Some(value));
        assert_eq!(decrypted(&ciphertext, &ben).as_deref(), Some(value));
    }
    let meta = &world.admin().get(&format!("/admin/secrets/{HELLO}")).await.expect(200)["secrets"][0];
    assert_eq!(meta["recipients"].as_array().unwrap().len(), 3, "the daemon itself, Anna and Ben");
    assert_eq!(meta["rotatedAt"], Value::Null, "the value is the same");

    let list = json!({ "recipients": [{ "name": "ben", "key": ben_public }] });
    world.admin().call(reqwest::Method::PUT, "/admin/recipients").json(&list).await.expect(200);
    let ciphertext = world.file(HELLO, "secrets/llm.age").await.unwrap();
    assert_eq!(decrypted(&ciphertext, &anna), None);
    assert_eq!(decrypted(&ciphertext, &ben).as_deref(), Some(VALUE));
    store(&world, json!(HELLO), "later", "a-later-value").await;
    let ciphertext = world.file(HELLO, "secrets/later.age").await.unwrap();
    assert_eq!(decrypted(&ciphertext, &ben).as_deref(), Some("a-later-value"));
    assert_eq!(world.admin().get("/admin/recipients").await.expect(200)["recipients"], list["recipients"]);
}

#[tokio::test]
async fn a_change_of_recipients_that_was_cut_off_is_finished_at_the_next_start() {
    let mut world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    let anna = age::x25519::Identity::generate();
    world.published(HELLO).await;
    world.published("platform").await;
    world.close().await;
    let list = format!("recipients:\n- name: anna\n  key: {}\nupdatedAt: null\n", anna.to_public());
    world.commit_by_hand("platform", &[("recipients.yaml", list.as_bytes())]);
    world.open().await;
    let ciphertext = world.file(HELLO, "secrets/llm.age").await.unwrap();
    assert_eq!(decrypted(&ciphertext, &anna).as_deref(), Some(VALUE));
    let commits = world.log_of(HELLO).await.len();
    world.restart().await;
    assert_eq!(world.log_of(HELLO).await.len(), commits, "and then there is nothing more to do");
}

#[tokio::test]
async fn a_list_of_recipients_that_cannot_be_is_refused() {
    let world = World::start().await;
    let put = |list: Value| {
        world.admin().call(reqwest::Method::PUT, "/admin/recipients").json(&json!({ "recipients": list }))
    };
    let key = || age::x25519::Identity::generate().to_public().to_string();
    let same = key();
    let twice = json!([{ "name": "anna", "key": same }, { "name": "ben", "key": same }]);
    assert_eq!(put(twice).await.refused(422), "recipientsInvalid");
    let names = json!([{ "name": "anna", "key": key() }, { "name": "anna", "key": key() }]);
    assert_eq!(put(names).await.refused(422), "recipientsInvalid");
    let many: Vec<Value> = (0..33).map(|n| json!({ "name": format!("p-{n}"), "key": key() })).collect();
    assert_eq!(put(json!(many)).await.refused(422), "recipientsInvalid");
    assert_eq!(put(json!([{ "name": "anna", "key": "ssh-dss AAAA" }])).await.refused(400), "badRequest");
    assert_eq!(world.admin().get("/admin/recipients").await.expect(200)["recipients"], json!([]));
}

fn world_folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A key pair as `ssh-keygen` makes it, and its public half with the comment.
#[expect(clippy::disallowed_methods, reason = "a person's key is made with ssh-keygen")]
fn ssh_key(folder: &std::path::Path) -> (age::ssh::Identity, String) {
    let path = folder.join("id_ed25519");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "ben@laptop", "-f"])
        .arg(&path)
        .status();
    assert!(made.expect("this story needs ssh-keygen").success());
    let private = std::fs::read(&path).unwrap();
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    let parts: Vec<&str> = public.split_whitespace().take(2).collect();
    (age::ssh::Identity::from_buffer(&private[..], None).unwrap(), parts.join(" "))
}

#[tokio::test]
async fn a_secret_whose_ciphertext_is_damaged_is_said_so_and_spends_no_token() {
    let mut world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    let (held, claimed) = claim(&world, &world.agent("builder-1")).await;
    let token = claimed["secretsToken"].as_str().unwrap();
    world.published(HELLO).await;
    world.close().await;
    world.commit_by_hand(HELLO, &[("secrets/llm.age", b"damaged")]);
    world.open().await;
    assert_eq!(redeem(&world, &held, token).await.refused(409), "secretBroken");
    store(&world, json!(HELLO), "llm", "stored-anew").await;
    let answer = redeem(&world, &held, token).await.expect(200);
    assert_eq!(answer["secrets"][0]["value"], "stored-anew");
    world.pass(Duration::from_secs(1)).await;
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A job's whole log, as its bytes.
async fn log_of(world: &World, held: &Held) -> String {
    let path = format!("/jobs/{}/logs", held.id);
    world.admin().get(&path).header("Accept", "application/octet-stream").await.text()
}

#[tokio::test]
async fn a_value_that_is_cut_between_two_calls_is_hidden_wherever_it_is_cut() {
    let world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    let agent = world.agent("builder-1");
    let text = format!("one {VALUE} two");
    let hidden = format!("one {} two", "*".repeat(VALUE.len()));
    for cut in 1..text.len() {
        let (held, claimed) = claim(&world, &agent).await;
        redeem(&world, &held, claimed["secretsToken"].as_str().unwrap()).await.expect(200);
        let (first, rest) = text.as_bytes().split_at(cut);
        let answer = agent.write_log(&held, 0, first).await;
        assert_eq!((answer.status, answer.header("range")), (202, format!("0-{cut}").as_str()));
        let stored = log_of(&world, &held).await;
        assert!(hidden.starts_with(&stored), "cut at {cut}, there is {stored:?}");
        let answer = agent.write_log(&held, cut, rest).await;
        assert_eq!((answer.status, answer.header("range")), (202, format!("0-{}", text.len()).as_str()));
        assert_eq!(log_of(&world, &held).await, hidden, "cut at {cut}");
        let log = json!({ "size": text.len(), "sha256": sha256(text.as_bytes()) });
        let ended = agent.say(&held, json!({ "state": "completed", "log": log })).await.expect(200);
        assert_eq!(ended["log"]["sha256"], sha256(hidden.as_bytes()), "what is stored has this sum");
    }
}

#[tokio::test]
async fn a_value_that_is_cut_is_hidden_after_a_restart_too_and_the_agent_is_told_where_to_go_on() {
    let mut world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    let (held, claimed) = claim(&world, &world.agent("builder-1")).await;
    redeem(&world, &held, claimed["secretsToken"].as_str().unwrap()).await.expect(200);
    let text = format!("one {VALUE} two {VALUE} three");
    let cut = 4 + VALUE.len() + 5 + 4;
    assert_eq!(world.agent("builder-1").write_log(&held, 0, &text.as_bytes()[..cut]).await.status, 202);
    world.restart().await;
    let agent = world.agent("builder-1");
    let gap = agent.write_log(&held, cut, &text.as_bytes()[cut..]).await;
    assert_eq!(
        (gap.header("range"), gap.refused(416).as_str()),
        (format!("0-{}", cut - 4).as_str(), "logGap")
    );
    assert_eq!(agent.write_log(&held, cut - 4, &text.as_bytes()[cut - 4..]).await.status, 202);
    assert_eq!(agent.write_log(&held, cut, &text.as_bytes()[cut..]).await.refused(416), "logGap");
    let stars = "*".repeat(VALUE.len());
    assert_eq!(log_of(&world, &held).await, format!("one {stars} two {stars} three"));
}

#[tokio::test]
async fn what_only_looks_like_the_beginning_of_a_value_is_there_when_the_job_has_ended() {
    let mut world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    let text = format!("one {}", &VALUE[..VALUE.len() - 1]);
    let log = json!({ "size": text.len(), "sha256": sha256(text.as_bytes()) });
    for restarts in [false, true] {
        let (held, claimed) = claim(&world, &world.agent("builder-1")).await;
        redeem(&world, &held, claimed["secretsToken"].as_str().unwrap()).await.expect(200);
        for (start, end) in [(0, 6), (6, 8), (8, text.len())] {
            let part = &text.as_bytes()[start..end];
            assert_eq!(world.agent("builder-1").write_log(&held, start, part).await.status, 202);
        }
        assert_eq!(log_of(&world, &held).await, "one ");
        let end = json!({ "state": "completed", "log": log });
        if restarts {
            world.restart().await;
            let missing = world.agent("builder-1").say(&held, end.clone()).await;
            assert_eq!((missing.header("range"), missing.refused(412).as_str()), ("0-4", "logIncomplete"));
            assert_eq!(world.agent("builder-1").write_log(&held, 4, &text.as_bytes()[4..]).await.status, 202);
        }
        let ended = world.agent("builder-1").say(&held, end).await.expect(200);
        assert_eq!((&ended["log"], log_of(&world, &held).await), (&log, text.clone()));
    }
}

#[tokio::test]
async fn a_job_that_fails_without_a_sum_of_its_log_has_all_of_it_too() {
    let world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    let agent = world.agent("builder-1");
    let (held, claimed) = claim(&world, &agent).await;
    redeem(&world, &held, claimed["secretsToken"].as_str().unwrap()).await.expect(200);
    agent.write_log(&held, 0, &VALUE.as_bytes()[..5]).await;
    let failure = json!({ "code": "buildFailed", "message": "no" });
    agent.say(&held, json!({ "state": "failed", "failure": failure })).await.expect(200);
    assert_eq!(log_of(&world, &held).await, VALUE[..5]);
}

#[tokio::test]
async fn a_value_that_was_handed_over_stays_hidden_when_it_is_rotated_and_logs_without_one_keep_their_sum() {
    let world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    let agent = world.agent("builder-1");
    let (held, claimed) = claim(&world, &agent).await;
    redeem(&world, &held, claimed["secretsToken"].as_str().unwrap()).await.expect(200);
    store(&world, json!(HELLO), "llm", "a-newer-value").await;
    let progress = json!({ "progress": format!("with {VALUE}") });
    assert_eq!(agent.say(&held, progress).await.expect(200)["progress"], "with [masked]");

    let (clean, claimed) = claim(&world, &agent).await;
    redeem(&world, &clean, claimed["secretsToken"].as_str().unwrap()).await.expect(200);
    agent.write_log(&clean, 0, b"nothing secret").await;
    let wrong = json!({ "state": "completed", "log": { "size": 14, "sha256": "0".repeat(64) } });
    assert_eq!(agent.say(&clean, wrong).await.refused(412), "logIncomplete");
}

#[tokio::test]
async fn a_job_that_got_no_secrets_may_print_what_it_likes() {
    let world = World::start().await;
    store(&world, json!(HELLO), "llm", VALUE).await;
    let agent = world.agent("builder-1");
    let (held, _) = claim(&world, &agent).await;
    let progress = json!({ "progress": VALUE });
    assert_eq!(
        agent.say(&held, progress).await.expect(200)["progress"],
        VALUE,
        "it cannot know it from here"
    );
}

const RECIPE: &str = r#"
build:
  steps:
    - name: use
      run: [sh, -c, 'test ${#MRX_SECRET_SIGNING_KEY} = 21 && echo "it is $MRX_SECRET_SIGNING_KEY"']
      secrets: [signing-key]
"#;

#[tokio::test]
async fn the_agent_program_builds_with_a_secret_and_shows_it_nowhere() {
    let world = World::start().await;
    world.commit_code(HELLO, "mrx.yaml", RECIPE).await;
    store(&world, json!(HELLO), "signing-key", VALUE).await;
    let id = world.queue("build").await;
    let work = tempfile::tempdir().unwrap();
    let options = AgentOptions {
        daemon: world.address().to_owned(),
        token: world.key_of_agent("builder-1").await.parse().unwrap(),
        name: "builder-1".parse().unwrap(),
        labels: Vec::new(),
        work_dir: work.path().to_owned(),
        sandbox: SandboxChoice::Bubblewrap,
        wait_seconds: 1,
        available_until: None,
        proxy: None,
        program: None,
    };
    let (stop, stopped) = Stop::channel();
    let ended = async {
        let mut events = world.app().state.events().subscribe(None).live;
        while !world.app().jobs.get(&id.parse().unwrap()).await.unwrap().state.has_ended() {
            tokio::time::timeout(crate::world::SOON, events.recv()).await.expect("the job goes on").unwrap();
        }
        stop.signal();
    };
    let (agent, ()) = tokio::join!(worker::run(options, stopped), ended);
    agent.unwrap();
    let log = world.admin().get(&format!("/jobs/{id}/logs")).await.text();
    assert_eq!(world.state(&id).await, "completed", "{log}");
    assert!(log.contains("it is [masked]") && !log.contains(VALUE), "{log}");
    let incidents = world.log_of("platform").await;
    assert!(
        !incidents.iter().any(|line| line.contains("was sent")),
        "there was nothing left to hide: {incidents:?}"
    );
}
