//! Who may call what: every route of the table, for every kind of caller, by every way of showing who calls.

use mrx::http::auth::Who;
use mrx::http::routes;
use serde_json::{Value, json};

use crate::world::{Caller, HELLO, World};

const PASSWORD: &str = "correct horse battery";

/// What a caller is, in the words of this test alone: the expectation is computed from it and not from the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    None,
    Read,
    Write,
    Manage,
}

struct Kind {
    name: String,
    is_person: bool,
    is_logged_in: bool,
    is_agent: bool,
    is_developer: bool,
    is_admin: bool,
    standing: Standing,
}

/// Whether the guard lets such a caller pass, about a project that is there.
fn expected(who: Who, kind: &Kind) -> bool {
    let stands = |least: Standing| kind.standing >= least;
    match who {
        Who::Anyone => true,
        Who::Known => kind.is_person || kind.is_agent,
        // All of them are about a job.
        Who::Agent => kind.is_agent && stands(Standing::Read),
        Who::Claimer => !kind.is_person,
        Who::Person => kind.is_person,
        Who::Account => kind.is_logged_in,
        Who::Developer => kind.is_developer,
        Who::Admin => kind.is_admin,
        Who::AdminOrAgent => kind.is_admin || kind.is_agent,
        Who::Read => stands(Standing::Read),
        Who::Deliver => stands(Standing::Write) || (kind.is_agent && stands(Standing::Read)),
        Who::Write => kind.is_person && stands(Standing::Write),
        Who::Manage => kind.is_person && stands(Standing::Manage),
        Who::Secrets => {
            (kind.is_person && stands(Standing::Manage)) || (kind.is_agent && stands(Standing::Read))
        }
    }
}

struct Asker<'w> {
    kind: Kind,
    caller: Caller<'w>,
}

fn person(name: &str, role: &str, standing: Standing) -> Kind {
    let (is_admin, is_developer) = (role == "admin", role != "viewer");
    let name = format!("{role} {name}");
    Kind { name, is_person: true, is_logged_in: true, is_agent: false, is_developer, is_admin, standing }
}

/// The path with a project, a job of it, and things that are not there.
fn filled(template: &str, job: &str) -> String {
    let id = "01jd000000000000000000007k";
    let place = if template.starts_with("/jobs") { job } else { HELLO };
    let mut path = template.replace("{id}", place);
    while let Some(open) = path.find('{') {
        let close = path[open..].find('}').unwrap() + open;
        let value = match &path[open + 1..close] {
            "artifactId" => format!("art-{id}"),
            "webhookId" => format!("hook-{id}"),
            "keyId" => format!("key-{id}"),
            "inviteId" => format!("invite-{id}"),
            "chatId" => format!("chat-{id}"),
            "oid" => "0".repeat(40),
            "repo" => format!("{HELLO}.git"),
            _ => "nobody".to_owned(),
        };
        path.replace_range(open..=close, &value);
    }
    path
}

/// Accounts of each role, each a member with each right or none, and the sessions, cookies and keys of all of them.
async fn askers(world: &World) -> Vec<Asker<'_>> {
    let nobody = Kind {
        name: "stranger".to_owned(),
        is_person: false,
        is_logged_in: false,
        is_agent: false,
        is_developer: false,
        is_admin: false,
        standing: Standing::None,
    };
    let mut all = vec![
        Asker { kind: nobody, caller: world.stranger() },
        Asker { kind: person("operator", "admin", Standing::Manage), caller: world.admin() },
    ];
    for (agent, projects, standing) in [
        ("any-agent", Value::Null, Standing::Read),
        ("hello-agent", json!([HELLO]), Standing::Read),
        ("other-agent", json!(["mrx-other"]), Standing::None),
    ] {
        let body = json!({ "agentId": agent, "projects": projects });
        let key = world.admin().post("/admin/agents").json(&body).await.expect(201)["key"]
            .as_str()
            .unwrap()
            .to_owned();
        let kind = Kind {
            name: agent.to_owned(),
            is_person: false,
            is_logged_in: false,
            is_agent: true,
            is_developer: false,
            is_admin: false,
            standing,
        };
        all.push(Asker { kind, caller: Caller::with_token(world, &key) });
    }
    let kind = Kind {
        name: "notebook by the token of its job".to_owned(),
        is_person: false,
        is_logged_in: false,
        is_agent: true,
        is_developer: false,
        is_admin: false,
        standing: Standing::Read,
    };
    all.push(Asker { kind, caller: Caller::with_token(world, &job_token(world).await) });
    for role in ["viewer", "developer", "admin"] {
        for (membership, right) in [
            ("stranger", None),
            ("reader", Some("read")),
            ("writer", Some("write")),
            ("owner", Some("admin")),
        ] {
            all.extend(of_account(world, role, membership, right).await);
        }
    }
    all
}

/// The token of the one job that waits, as an agent without a key gets it.
async fn job_token(world: &World) -> String {
    let issued =
        world.admin().post("/agents/claim-secret").json(&json!({ "colabId": "colab-1" })).await.expect(201);
    let body = json!({ "colabId": "colab-1", "claimSecret": issued["claimSecret"] });
    let claimed = world.stranger().post("/jobs/claim").json(&body).await.expect(200);
    claimed["credentials"]["jobToken"].as_str().unwrap().to_owned()
}

async fn of_account<'w>(
    world: &'w World,
    role: &str,
    membership: &str,
    right: Option<&str>,
) -> Vec<Asker<'w>> {
    let name = format!("{role}-{membership}");
    let body = json!({ "name": name, "role": role, "password": PASSWORD });
    world.admin().post("/admin/users").json(&body).await.expect(201);
    if let Some(right) = right {
        let path = format!("/projects/{HELLO}/members/{name}");
        world.admin().put(&path).json(&json!({ "right": right })).await.expect(200);
    }
    let member = match right {
        None => Standing::None,
        Some("read") => Standing::Read,
        Some("write") => Standing::Write,
        Some(_) => Standing::Manage,
    };
    let standing = match role {
        "admin" => Standing::Manage,
        "viewer" => member.min(Standing::Read),
        _ => member,
    };
    let login = |cookie: bool| {
        world
            .stranger()
            .post("/auth/login")
            .json(&json!({ "name": name, "password": PASSWORD, "cookie": cookie }))
    };
    let token = login(false).await.expect(200)["token"].as_str().unwrap().to_owned();
    let by_cookie = login(true).await;
    let csrf = by_cookie.expect(200)["csrfToken"].as_str().unwrap().to_owned();
    let cookie = by_cookie.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
    let session = Caller::with_token(world, &token);
    let mut all = vec![
        Asker { kind: person(&format!("{membership} by session"), role, standing), caller: session.clone() },
        Asker {
            kind: person(&format!("{membership} by cookie"), role, standing),
            caller: Caller::with_cookie(world, &cookie, &csrf),
        },
    ];
    for (permission, most) in
        [("read", Standing::Read), ("write", Standing::Write), ("admin", Standing::Manage)]
    {
        let key = session.post("/keys").json(&json!({ "name": permission, "permission": permission })).await;
        let key = key.expect(201)["key"].as_str().unwrap().to_owned();
        let mut kind = person(&format!("{membership} by {permission} key"), role, standing.min(most));
        kind.is_logged_in = false;
        kind.is_admin &= permission == "admin";
        kind.is_developer &= permission != "read";
        all.push(Asker { kind, caller: Caller::with_token(world, &key) });
    }
    if standing > Standing::None {
        let body = json!({ "name": "one project", "permission": "admin", "projectId": HELLO });
        let key = session.post("/keys").json(&body).await.expect(201)["key"].as_str().unwrap().to_owned();
        let mut kind = person(&format!("{membership} by a key of the project"), role, standing);
        (kind.is_logged_in, kind.is_admin, kind.is_developer) = (false, false, false);
        all.push(Asker { kind, caller: Caller::with_token(world, &key) });
    }
    all
}

#[tokio::test]
async fn every_route_admits_exactly_whom_the_table_says_by_every_kind_of_credential() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let askers = askers(&world).await;
    let mut wrong = Vec::new();
    let mut asked = 0;
    for asker in &askers {
        for route in routes::table() {
            if is_not_harmless(route.path) {
                continue;
            }
            // The body is no JSON, so that whoever passes changes nothing.
            let call = asker.caller.call(route.method.clone(), &filled(route.path, &job));
            let answer = call.text_as_json("{").open().await;
            let status = answer.status().as_u16();
            let is_stream =
                answer.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream");
            let body: Value =
                if is_stream { Value::Null } else { answer.json().await.unwrap_or(Value::Null) };
            let code = body["code"].as_str().unwrap_or_default().to_owned();
            // What a caller may not read is unknown to it.
            let hidden = status == 404
                && matches!(code.as_str(), "projectUnknown" | "jobUnknown")
                && asker.kind.standing == Standing::None;
            let passed = !(matches!(code.as_str(), "unauthorized" | "forbidden" | "csrf") || hidden);
            // Git sends no cookies, so on its paths one says nothing.
            let is_mute = route.path.starts_with("/git/") && asker.kind.name.contains("by cookie");
            let should = expected(route.who, &asker.kind) && !is_mute;
            asked += 1;
            if passed != should || status >= 500 && status != 503 {
                wrong.push(format!(
                    "{} {} by {}: {status} {code}, should pass: {should}",
                    route.method, route.path, asker.kind.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Ends the session that the test goes on with, whatever the body is.
fn is_not_harmless(path: &str) -> bool {
    path == "/auth/logout"
}

#[tokio::test]
async fn a_credential_of_one_kind_is_nothing_by_another_transport() {
    let world = World::start().await;
    world
        .admin()
        .post("/admin/users")
        .json(&json!({ "name": "ada", "role": "admin", "password": PASSWORD }))
        .await
        .expect(201);
    let login =
        world.stranger().post("/auth/login").json(&json!({ "name": "ada", "password": PASSWORD })).await;
    let session = login.expect(200)["token"].as_str().unwrap().to_owned();
    let caller = Caller::with_token(&world, &session);
    let key = caller.post("/keys").json(&json!({ "name": "k", "permission": "admin" })).await;
    let key = key.expect(201)["key"].as_str().unwrap().to_owned();
    for token in [&session, &key] {
        for (name, value) in [
            ("authorization", format!("Basic {token}")),
            ("authorization", token.clone()),
            ("x-api-key", token.clone()),
            ("x-forwarded-user", "ada".to_owned()),
            ("cookie", format!("session={token}")),
        ] {
            assert_eq!(
                world.stranger().get("/auth/me").header(name, &value).await.refused(401),
                "unauthorized",
                "{name}"
            );
        }
        assert_eq!(
            world.stranger().get(&format!("/auth/me?token={token}")).await.refused(401),
            "unauthorized"
        );
    }
    let cookie = |token: &str| Caller::with_cookie(&world, token, "");
    assert_eq!(cookie(&key).get("/auth/me").await.refused(401), "unauthorized", "a key is no cookie");
    assert_eq!(cookie(&session).get("/auth/me").await.expect(200)["name"], "ada");
}

#[tokio::test]
async fn a_change_by_cookie_needs_the_token_that_only_our_pages_know() {
    let world = World::start().await;
    world
        .admin()
        .post("/admin/users")
        .json(&json!({ "name": "ada", "role": "admin", "password": PASSWORD }))
        .await
        .expect(201);
    let login = world
        .stranger()
        .post("/auth/login")
        .json(&json!({ "name": "ada", "password": PASSWORD, "cookie": true }))
        .await;
    let said = login.expect(200);
    assert_eq!(said["token"], Value::Null, "what is in the cookie is not in the answer");
    let set = login.header("set-cookie").to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
    let cookie = set.split(['=', ';']).nth(1).unwrap().to_owned();
    let csrf = said["csrfToken"].as_str().unwrap();
    let body = json!({ "name": "k", "permission": "read" });
    for wrong in ["", "x", &csrf[..63], &"0".repeat(64)] {
        let caller = Caller::with_cookie(&world, &cookie, wrong);
        assert_eq!(caller.post("/keys").json(&body).await.refused(403), "csrf");
    }
    let caller = Caller::with_cookie(&world, &cookie, csrf);
    assert_eq!(caller.get("/auth/me").await.expect(200)["csrfToken"].as_str(), Some(csrf));
    caller.post("/keys").json(&body).await.expect(201);
}
