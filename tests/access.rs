//! Paths, methods and credentials that are none. Who may call which route is in `matrix.rs`.

use mrx::http::routes;
use mrx::identity::token::OPERATOR_TOKEN;
use reqwest::Method;

use crate::world::World;

/// A path of the table with something in its places.
fn filled(template: &str) -> String {
    let id = "01jd000000000000000000007k";
    let job = if template.starts_with("/jobs") { format!("job-{id}") } else { "mrx-none".to_owned() };
    template
        .replace("{id}", &job)
        .replace("{artifactId}", &format!("art-{id}"))
        .replace("{keyId}", &format!("key-{id}"))
        .replace("{inviteId}", &format!("invite-{id}"))
        .replace("{name}", "nobody")
        .replace("{user}", "nobody")
        .replace("{agentId}", "nobody")
        .replace("{oid}", &"0".repeat(40))
        .replace("{repo}", "mrx-none.git")
        .replace("{path}", "assets/none.js")
}

#[tokio::test]
async fn a_path_that_is_not_in_the_table_is_not_found_whoever_asks() {
    let world = World::start().await;
    for path in [
        "/api",
        "/api/",
        "/api/ui/",
        "/jobs",
        "/jobs/",
        "/jobs/claim/x",
        "/api/api/health",
        "/health/",
        "/..%2Fhealth",
        "/.git/config",
    ] {
        for caller in [world.stranger(), world.admin()] {
            let answer = caller.get(path).open().await;
            assert_eq!(answer.status(), 404, "{path}");
        }
    }
    assert_eq!(world.stranger().get("/nothing").await.refused(404), "notFound");
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_refused_with_those_it_has() {
    let world = World::start().await;
    let methods = [Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE];
    for route in routes::table() {
        let known: Vec<Method> = routes::table()
            .iter()
            .filter(|other| other.path == route.path)
            .map(|other| other.method.clone())
            .collect();
        for method in methods.iter().filter(|method| !known.contains(method)) {
            // `/jobs/claim` and `/jobs/create` are also what `/jobs/{id}` could be, and are not.
            let answer = world.admin().call(method.clone(), &filled(route.path)).open().await;
            assert_eq!(answer.status(), 405, "{method} {}", route.path);
            let allow = answer.headers()["allow"].to_str().unwrap().to_owned();
            assert!(known.iter().all(|method| allow.contains(method.as_str())), "{allow} {}", route.path);
        }
    }
}

#[tokio::test]
async fn options_tell_the_methods_and_head_is_get_without_its_body() {
    let world = World::start().await;
    let options = world.stranger().call(Method::OPTIONS, "/jobs/claim").open().await;
    assert_eq!((options.status().as_u16(), options.headers()["allow"].to_str().unwrap()), (204, "POST"));
    assert!(options.headers().get("access-control-allow-origin").is_none(), "no other origin is invited");
    let head = world.any_agent().call(Method::HEAD, "/projects").open().await;
    assert_eq!((head.status().as_u16(), head.bytes().await.unwrap().len()), (200, 0));
    assert_eq!(world.stranger().call(Method::HEAD, "/projects").open().await.status(), 401);
}

#[tokio::test]
async fn a_token_counts_only_as_a_bearer_in_the_header() {
    let world = World::start().await;
    let token = world.token(OPERATOR_TOKEN);
    let refused = [
        world.stranger().get(&format!("/agents?token={token}")),
        world.stranger().get(&format!("/agents?access_token={token}")),
        world.stranger().get("/agents").header("Authorization", &format!("Basic {token}")),
        world.stranger().get("/agents").header("Authorization", &token),
        world.stranger().get("/agents").header("Authorization", &format!("Bearer {}", &token[..63])),
        world.stranger().get("/agents").header("Authorization", &format!("Bearer {token}0")),
        world.stranger().get("/agents").header("Authorization", "Bearer "),
        world.stranger().get("/agents").header("Cookie", &format!("token={token}")),
        world.stranger().get("/agents").header("X-Forwarded-User", "admin"),
    ];
    for call in refused {
        let answer = call.await;
        assert_eq!(answer.refused(401), "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    world.stranger().get("/agents").header("Authorization", &format!("bearer {token}")).await.expect(200);
}

#[tokio::test]
async fn no_answer_holds_a_token() {
    let world = World::start().await;
    world.agent("builder-1").claim_with(serde_json::json!({})).await;
    let tokens = [world.token(OPERATOR_TOKEN)];
    for route in routes::table().iter().filter(|route| route.path != "/events") {
        for caller in [world.stranger(), world.any_agent(), world.admin()] {
            let answer = caller.call(route.method.clone(), &filled(route.path)).open().await;
            let headers = format!("{:?}", answer.headers());
            let text = answer.text().await.unwrap() + &headers;
            assert!(tokens.iter().all(|token| !text.contains(token)), "{}", route.path);
        }
    }
}

#[tokio::test]
async fn an_agents_id_in_a_body_gives_it_no_rights() {
    let world = World::start().await;
    let body = serde_json::json!({ "projectId": "mrx-hello", "jobType": "build", "role": "admin" });
    assert_eq!(world.any_agent().post("/jobs/create").json(&body).await.refused(403), "forbidden");
    assert_eq!(world.admin().post("/jobs/create").json(&body).await.refused(400), "badRequest");
}
