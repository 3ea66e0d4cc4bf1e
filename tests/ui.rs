//! The dashboard's files over HTTP. What a request for them gets is decided, and tested, in `src/ui/choose.rs`.

use crate::world::World;

#[tokio::test]
async fn a_browser_is_led_to_the_dashboard() {
    let world = World::start().await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for path in ["/", "/ui"] {
        let answer = client.get(format!("{}{path}", world.address())).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (307, "/ui/"));
    }
}

#[tokio::test]
async fn every_address_of_the_dashboard_is_a_page_that_trusts_the_daemons_own_files_alone() {
    let world = World::start().await;
    for path in ["/ui/", "/ui/setup", "/ui/projects/mrx-hello/jobs?state=failed"] {
        let answer = world.stranger().get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "text/html; charset=utf-8"),
            "{path}"
        );
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert!(answer.text().starts_with("<!doctype html>"), "{path}");
    }
}

#[tokio::test]
async fn somebody_without_an_account_learns_how_to_get_one_and_no_more() {
    let world = World::start().await;
    let options = world.stranger().get("/auth/options").await.expect(200);
    assert_eq!(options, serde_json::json!({ "registration": "off", "needsSetup": true }));
    let add = serde_json::json!({ "name": "ada", "role": "admin", "password": "correct horse battery" });
    world.admin().post("/admin/users").json(&add).await.expect(201);
    assert_eq!(world.stranger().get("/auth/options").await.expect(200)["needsSetup"], false);
}
