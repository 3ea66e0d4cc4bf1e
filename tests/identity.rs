//! Accounts, sessions, keys and one-time secrets: what they open, and that they stop doing so at once.

use serde_json::{Value, json};

use crate::world::{Caller, HELLO, Listener, World, seconds};

const PASSWORD: &str = "correct horse battery";

async fn add(world: &World, name: &str, role: &str) {
    let body = json!({ "name": name, "role": role, "password": PASSWORD });
    world.admin().post("/admin/users").json(&body).await.expect(201);
}

fn login(world: &World, name: &str, password: &str) -> crate::world::Call {
    world.stranger().post("/auth/login").json(&json!({ "name": name, "password": password }))
}

async fn session<'w>(world: &'w World, name: &str) -> Caller<'w> {
    let token = login(world, name, PASSWORD).await.expect(200)["token"].as_str().unwrap().to_owned();
    Caller::with_token(world, &token)
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

#[tokio::test]
async fn the_first_admin_is_made_once_with_the_token_that_was_printed_and_in_time() {
    let world = World::start().await;
    let setup = |token: &str, name: &str| {
        world
            .stranger()
            .post("/auth/setup")
            .json(&json!({ "token": token, "name": name, "password": PASSWORD }))
    };
    let old = world.app().identity.setup_token().unwrap();
    let token = world.app().identity.setup_token().unwrap();
    assert_eq!(setup(old.reveal(), "ada").await.refused(403), "spentToken");
    world.clock.pass(seconds(15 * 60));
    assert_eq!(setup(token.reveal(), "ada").await.refused(403), "spentToken");
    let token = world.app().identity.setup_token().unwrap();
    assert_eq!(setup(token.reveal(), "operator").await.refused(409), "nameReserved");
    assert_eq!(setup(token.reveal(), "ada").await.expect(201)["role"], "admin");
    assert_eq!(setup(token.reveal(), "eve").await.refused(409), "setUp");
    assert!(world.app().identity.setup_token().is_none());
    session(&world, "ada").await.get("/admin/users").await.expect(200);
}

#[tokio::test]
async fn registering_is_off_by_default_and_an_invitation_is_good_once() {
    let mut world = World::start().await;
    let body = |name: &str, invite: Value| json!({ "name": name, "password": PASSWORD, "invite": invite, "role": "admin" });
    let register = |world: &World, body: &Value| world.stranger().post("/auth/register").json(body);
    assert_eq!(register(&world, &body("ada", Value::Null)).await.refused(403), "registrationOff");
    world.reopen_with_registration(mrx::identity::accounts::Registration::Invite).await;
    assert_eq!(register(&world, &body("ada", Value::Null)).await.refused(403), "inviteNeeded");
    let made = world.admin().post("/admin/invites").json(&json!({ "role": "developer" })).await.expect(201);
    let token = made["token"].clone();
    assert!(!world.admin().get("/admin/invites").await.text().contains(token.as_str().unwrap()));
    let racers = (0..16).map(|n| {
        let call = register(&world, &body(&format!("racer-{n}"), token.clone()));
        async move { call.await.status }
    });
    let mut statuses = futures_util::future::join_all(racers).await;
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (201, [403; 15].as_slice()));
    let users = world.admin().get("/admin/users").await.expect(200);
    assert_eq!(users["users"][0]["role"], "developer", "what the invitation says, not the body");
    world.reopen_with_registration(mrx::identity::accounts::Registration::Open).await;
    assert_eq!(register(&world, &body("eve", Value::Null)).await.expect(201)["role"], "viewer");
    assert_eq!(register(&world, &body("eve", Value::Null)).await.refused(409), "nameTaken");
}

#[tokio::test]
async fn a_session_ends_when_it_is_logged_out_too_old_or_its_account_is_disabled() {
    let mut world = World::start().await;
    add(&world, "ada", "developer").await;
    add(&world, "root", "admin").await;
    let (one, other) = (session(&world, "ada").await.token(), session(&world, "ada").await.token());
    world.restart().await;
    let me = |world: &World, token: &str| Caller::with_token(world, token).get("/auth/me");
    assert_eq!(me(&world, &one).await.expect(200)["user"]["name"], "ada");
    assert_eq!(Caller::with_token(&world, &one).post("/auth/logout").await.status, 204);
    assert_eq!(me(&world, &one).await.refused(401), "unauthorized");
    assert_eq!(me(&world, &other).await.status, 200);
    world.admin().patch("/admin/users/ada").json(&json!({ "disabled": true })).await.expect(200);
    assert_eq!(me(&world, &other).await.refused(401), "unauthorized");
    assert_eq!(login(&world, "ada", PASSWORD).await.refused(401), "wrongPassword");
    world.admin().patch("/admin/users/ada").json(&json!({ "disabled": false })).await.expect(200);
    assert_eq!(me(&world, &other).await.refused(401), "unauthorized", "a session that ended stays ended");
    let late = session(&world, "ada").await.token();
    world.clock.pass(seconds(7 * 24 * 3600));
    assert_eq!(me(&world, &late).await.refused(401), "unauthorized");
    world.app().identity.tidy().await.unwrap();
    assert!(world.app().identity.known().sessions(|_| true).is_empty());
}

#[tokio::test]
async fn a_new_password_ends_every_session_and_the_old_one_is_refused() {
    let world = World::start().await;
    add(&world, "ada", "developer").await;
    let ada = session(&world, "ada").await;
    let change = |current: &str, next: &str| {
        ada.post("/auth/password").json(&json!({ "current": current, "next": next }))
    };
    assert_eq!(change("wrong password!!", "another good one").await.refused(401), "wrongPassword");
    assert_eq!(change(PASSWORD, "short").await.refused(400), "badRequest");
    assert_eq!(change(PASSWORD, "another good one").await.status, 204);
    assert_eq!(ada.get("/auth/me").await.refused(401), "unauthorized");
    assert_eq!(login(&world, "ada", PASSWORD).await.refused(401), "wrongPassword");
    login(&world, "ada", "another good one").await.expect(200);
    world.admin().post("/admin/users/ada/password").json(&json!({ "password": PASSWORD })).await;
    session(&world, "ada").await;
}

#[tokio::test]
async fn failed_log_ins_must_wait_also_after_a_restart_and_in_another_spelling() {
    let mut world = World::start().await;
    add(&world, "ada", "developer").await;
    for _ in 0..5 {
        assert_eq!(login(&world, "ada", "not the password").await.refused(401), "wrongPassword");
    }
    world.restart().await;
    for name in ["ada", "ADA", " ada "] {
        let refused = login(&world, name, PASSWORD).await;
        assert_eq!(refused.refused(429), "loginThrottled", "{name}");
        assert_eq!(refused.header("retry-after"), "30");
    }
    world.clock.pass(seconds(30));
    session(&world, "ada").await;
    assert_eq!(
        login(&world, "ada", "not the password").await.refused(401),
        "wrongPassword",
        "the count began anew"
    );
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_caller_has_an_address_and_elsewhere_the_header_says_nothing() {
    let mut world = World::start().await;
    add(&world, "ada", "developer").await;
    let from = async |world: &World, address: &str, attempt: usize| {
        let body = json!({ "name": format!("nobody-{attempt}"), "password": "not the password" });
        world.stranger().post("/auth/login").header("X-Forwarded-For", address).json(&body).await.status
    };
    for proxy in [None, Some("127.0.0.1")] {
        if let Some(proxy) = proxy {
            world.clock.pass(seconds(3600));
            world.reopen_with_proxy(proxy).await;
        }
        for attempt in 0..20 {
            assert_eq!(from(&world, "203.0.113.9", attempt).await, 401);
        }
        assert_eq!(from(&world, "203.0.113.9", 20).await, 429);
        let of_another = from(&world, "203.0.113.10", 21).await;
        assert_eq!(of_another, if proxy.is_some() { 401 } else { 429 }, "{proxy:?}");
    }
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_get_the_same_answer() {
    let world = World::start().await;
    add(&world, "ada", "developer").await;
    let (wrong, unknown) =
        (login(&world, "ada", "not the password").await, login(&world, "bob", PASSWORD).await);
    assert_eq!((wrong.status, wrong.text()), (unknown.status, unknown.text()));
    let log = world.log_of("platform").await.join("\n");
    assert!(
        log.contains("a log-in as ada failed") && log.contains("a log-in as an unknown name failed"),
        "{log}"
    );
}

#[tokio::test]
async fn the_last_admin_who_can_log_in_stays_one() {
    let world = World::start().await;
    add(&world, "ada", "admin").await;
    let change = |name: &str, body: Value| world.admin().patch(&format!("/admin/users/{name}")).json(&body);
    assert_eq!(change("ada", json!({ "role": "viewer" })).await.refused(409), "lastAdmin");
    assert_eq!(change("ada", json!({ "disabled": true })).await.refused(409), "lastAdmin");
    add(&world, "eve", "admin").await;
    change("ada", json!({ "role": "viewer" })).await.expect(200);
    assert_eq!(change("bob", json!({ "role": "viewer" })).await.refused(404), "userUnknown");
}

#[tokio::test]
async fn a_key_is_shown_once_and_refused_when_it_is_revoked_or_over() {
    let mut world = World::start().await;
    add(&world, "ada", "admin").await;
    let ada = session(&world, "ada").await;
    let end = world.clock.now().after(seconds(60)).to_string();
    let made = ada
        .post("/keys")
        .json(&json!({ "name": "ci", "permission": "write", "expiresAt": end }))
        .await
        .expect(201);
    let lasting = ada.post("/keys").json(&json!({ "name": "ops", "permission": "admin" })).await.expect(201);
    let (key, lasting_key, id) = (text(&made, "key"), text(&lasting, "key"), text(&lasting, "keyId"));
    assert!(key.starts_with("mrx_live_"));
    let listed = ada.get("/keys").await;
    assert!(!listed.text().contains(&key) && !listed.text().contains("hash"));
    let token = ada.token();
    world.restart().await;
    let uses = |world: &World, key: &str| Caller::with_token(world, key).get("/projects");
    assert_eq!((uses(&world, &key).await.status, uses(&world, &lasting_key).await.status), (200, 200));
    assert_eq!(
        Caller::with_token(&world, &key).get("/admin/users").await.refused(403),
        "forbidden",
        "write is not admin"
    );
    world.clock.pass(seconds(60));
    assert_eq!(uses(&world, &key).await.refused(401), "unauthorized");
    let before = world.tip("platform").await;
    for _ in 0..10 {
        uses(&world, &lasting_key).await;
    }
    assert_eq!(world.tip("platform").await, before, "using a key is no commit");
    world.app().identity.tidy().await.unwrap();
    world.restart().await;
    let ada = Caller::with_token(&world, &token);
    let found = ada.get("/keys").await.expect(200);
    assert!(found["keys"].as_array().unwrap().iter().all(|key| key["lastUsedAt"].is_string()), "{found}");
    assert_eq!(ada.delete(&format!("/keys/{id}")).await.status, 204);
    assert_eq!(uses(&world, &lasting_key).await.refused(401), "unauthorized");
    assert_eq!(ada.delete(&format!("/keys/{id}")).await.refused(404), "keyUnknown");
}

#[tokio::test]
async fn a_project_is_unknown_to_who_is_no_member_and_its_events_are_too() {
    let world = World::start().await;
    add(&world, "ada", "developer").await;
    let ada = session(&world, "ada").await;
    let member = format!("/projects/{HELLO}/members/ada");
    let create = || ada.post("/jobs/create").json(&json!({ "projectId": HELLO, "jobType": "build" }));
    assert_eq!(ada.get("/projects").await.expect(200)["projects"], json!([]));
    assert_eq!(create().await.refused(404), "projectUnknown");
    assert_eq!(ada.get(&format!("/events?project={HELLO}")).await.refused(404), "projectUnknown");
    let unknown = ada.get("/projects/mrx-none").await.text().replace("mrx-none", HELLO);
    assert_eq!(
        ada.get(&format!("/projects/{HELLO}")).await.text(),
        unknown,
        "no difference to one that is not there"
    );
    world.admin().put(&member).json(&json!({ "right": "read" })).await.expect(200);
    assert_eq!(create().await.refused(403), "forbidden");
    assert_eq!(
        world
            .admin()
            .put(&format!("/projects/{HELLO}/members/bob"))
            .json(&json!({ "right": "read" }))
            .await
            .refused(404),
        "userUnknown"
    );
    world.admin().put(&member).json(&json!({ "right": "write" })).await.expect(200);
    let job = text(&create().await.expect(201), "jobId");
    assert_eq!(ada.get(&format!("/jobs/{job}")).await.status, 200);
    world.admin().delete(&member).await.expect(200);
    assert_eq!(ada.get(&format!("/jobs/{job}")).await.refused(404), "jobUnknown");
}

#[tokio::test]
async fn an_open_stream_ends_within_a_second_of_its_session() {
    let world = World::start().await;
    add(&world, "ada", "developer").await;
    world
        .admin()
        .put(&format!("/projects/{HELLO}/members/ada"))
        .json(&json!({ "right": "read" }))
        .await
        .expect(200);
    let ada = session(&world, "ada").await;
    let mut stream = Listener::to(ada.get(&format!("/events?project={HELLO}"))).await;
    world.queue("build").await;
    assert_eq!(stream.next().await.unwrap().event, "job.created");
    ada.post("/auth/logout").await;
    let begun = std::time::Instant::now();
    assert!(stream.next().await.is_none(), "the stream is over");
    assert!(begun.elapsed() < seconds(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_open_stream_of_all_projects_ends_when_its_caller_is_no_admin_any_more() {
    let world = World::start().await;
    add(&world, "ada", "admin").await;
    add(&world, "eve", "admin").await;
    let ada = session(&world, "ada").await;
    let mut stream = Listener::to(ada.get("/events")).await;
    world.queue("build").await;
    assert_eq!(stream.next().await.unwrap().event, "job.created");
    world.admin().patch("/admin/users/ada").json(&json!({ "role": "viewer" })).await.expect(200);
    let ended = async { while stream.next().await.is_some() {} };
    tokio::time::timeout(seconds(5), ended).await.expect("the stream ends");
}

#[tokio::test]
async fn a_claim_secret_is_good_for_one_claim_whose_answer_carries_the_next() {
    let mut world = World::start().await;
    let job = world.queue("build").await;
    let issued =
        world.admin().post("/agents/claim-secret").json(&json!({ "colabId": "colab-1" })).await.expect(201);
    let secret = text(&issued, "claimSecret");
    let claim = |world: &World, secret: &str, key: &str| {
        let body = json!({ "colabId": "colab-1", "claimSecret": secret });
        world.stranger().post("/jobs/claim").header("Idempotency-Key", key).json(&body)
    };
    let first = claim(&world, &secret, "one").await.expect(200);
    assert_eq!(first["job"]["jobId"], json!(job));
    world.restart().await;
    assert_eq!(
        claim(&world, &secret, "one").await.expect(200)["credentials"]["claimSecret"],
        first["credentials"]["claimSecret"]
    );
    assert_eq!(claim(&world, &secret, "one").await.expect(200)["lease"]["id"], first["lease"]["id"]);
    assert_eq!(claim(&world, &secret, "two").await.refused(403), "spentToken");
    let log = world.log_of("platform").await.join("\n");
    assert!(log.contains("a spent claim secret was used again"), "{log}");
    let job_token = text(&first["credentials"], "jobToken");
    let agent = Caller::with_token(&world, &job_token);
    let lease = text(&first["lease"], "id");
    agent
        .patch(&format!("/jobs/{job}"))
        .header("Job-Lease", &lease)
        .json(&json!({ "state": "running" }))
        .await
        .expect(200);
    let other = world.queue("build").await;
    assert_eq!(
        agent.get(&format!("/jobs/{other}")).await.refused(404),
        "jobUnknown",
        "good for its own job alone"
    );
    assert_eq!(
        agent.post("/jobs/claim").json(&json!({ "colabId": "colab-1" })).await.refused(400),
        "badRequest"
    );
    let next = text(&first["credentials"], "claimSecret");
    assert_eq!(claim(&world, &next, "three").await.expect(200)["job"]["jobId"], json!(other));
    assert_eq!(
        world.stranger().post("/jobs/claim").json(&json!({ "colabId": "colab-1" })).await.refused(401),
        "unauthorized"
    );
}

#[tokio::test]
async fn a_claim_secret_ends_and_belongs_to_one_agent() {
    let world = World::start().await;
    let issue = |body: Value| world.admin().post("/agents/claim-secret").json(&body);
    assert_eq!(issue(json!({ "colabId": "colab-1", "ttlSeconds": 59 })).await.refused(400), "badRequest");
    assert_eq!(issue(json!({ "colabId": "colab-1", "ttlSeconds": 301 })).await.refused(400), "badRequest");
    let secret =
        text(&issue(json!({ "colabId": "colab-1", "ttlSeconds": 60 })).await.expect(201), "claimSecret");
    let claim = |name: &str| {
        let body = json!({ "colabId": name, "claimSecret": secret });
        world.stranger().post("/jobs/claim").json(&body)
    };
    assert_eq!(claim("colab-2").await.refused(403), "spentToken");
    world.clock.pass(seconds(60));
    assert_eq!(claim("colab-1").await.refused(403), "spentToken");
}

#[tokio::test]
async fn a_claim_that_is_refused_spends_no_secret() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let body = json!({ "colabId": "colab-1", "labels": ["gpu"] });
    let secret =
        text(&world.admin().post("/agents/claim-secret").json(&body).await.expect(201), "claimSecret");
    let claim = |rest: Value| {
        let mut body = json!({ "colabId": "colab-1", "claimSecret": secret });
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        world.stranger().post("/jobs/claim").json(&body)
    };
    assert_eq!(claim(json!({ "labels": ["tpu"] })).await.refused(403), "labelNotAllowed");
    assert_eq!(claim(json!({ "wait": 61 })).await.refused(400), "badRequest");
    let disable =
        |disabled: bool| world.admin().patch("/admin/agents/colab-1").json(&json!({ "disabled": disabled }));
    disable(true).await.expect(200);
    assert_eq!(claim(json!({})).await.refused(403), "agentDisabled");
    disable(false).await.expect(200);
    assert_eq!(claim(json!({ "labels": ["gpu"] })).await.expect(200)["job"]["jobId"], json!(job));
}

#[tokio::test]
async fn sixty_four_racing_redeemers_of_one_claim_secret_give_one_winner() {
    let world = World::start().await;
    for _ in 0..3 {
        world.queue("build").await;
    }
    let issued =
        world.admin().post("/agents/claim-secret").json(&json!({ "colabId": "colab-1" })).await.expect(201);
    let secret = text(&issued, "claimSecret");
    let racers = (0..64).map(|n| {
        let body = json!({ "colabId": "colab-1", "claimSecret": secret });
        let call =
            world.stranger().post("/jobs/claim").header("Idempotency-Key", &format!("racer-{n}")).json(&body);
        async move { call.await.status }
    });
    let statuses = futures_util::future::join_all(racers).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 403)), "{statuses:?}");
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back() {
    let mut world = World::start().await;
    world.reopen_with_limits().await;
    let calls = (0..200).map(|_| {
        let call = world.stranger().get("/projects");
        async move {
            let answer = call.await;
            (answer.status, answer.header("retry-after").to_owned())
        }
    });
    let answers = futures_util::future::join_all(calls).await;
    let refused: Vec<_> = answers.iter().filter(|(status, _)| *status == 429).collect();
    assert!(!refused.is_empty() && refused.iter().all(|(_, wait)| wait == "1"), "{answers:?}");
    assert!(answers.iter().any(|(status, _)| *status == 401));
    assert_eq!(world.admin().get("/projects").await.status, 200);
}
