//! Pages of other origins: none may read an answer, but those of the very origin that the operator names.

use reqwest::Method;

use crate::world::World;

const DASHBOARD: &str = "https://dash.example.org";

async fn told(world: &World, method: Method, path: &str, origin: &str) -> reqwest::Response {
    let call = world.stranger().call(method, path).header("origin", origin);
    call.header("access-control-request-method", "PATCH").open().await
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn by_itself_no_other_origin_is_invited() {
    let world = World::start().await;
    for method in [Method::GET, Method::OPTIONS] {
        let response = told(&world, method, "/health", DASHBOARD).await;
        let any = response.headers().keys().any(|name| name.as_str().starts_with("access-control-"));
        assert!(!any, "{:?}", response.headers());
    }
}

#[tokio::test]
async fn pages_of_the_dashboard_are_invited_with_their_cookie_and_no_others() {
    let mut world = World::start().await;
    world.reopen_with_origin(DASHBOARD).await;
    for path in ["/health", "/api/health", "/agents", "/nothing"] {
        let answer = told(&world, Method::GET, path, DASHBOARD).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), Some(DASHBOARD), "{path}");
        assert_eq!(header(&answer, "access-control-allow-credentials"), Some("true"));
        assert!(header(&answer, "access-control-expose-headers").unwrap().contains("mrx-commit"));
        assert_eq!(header(&answer, "vary"), Some("origin"));
    }
    let asked = told(&world, Method::OPTIONS, "/jobs/claim", DASHBOARD).await;
    assert_eq!(asked.status(), 204);
    assert_eq!(header(&asked, "access-control-allow-origin"), Some(DASHBOARD));
    assert_eq!(header(&asked, "access-control-allow-methods"), Some("GET, POST, PUT, PATCH, DELETE"));
    let headers = header(&asked, "access-control-allow-headers").unwrap();
    assert!(headers.contains("mrx-csrf") && headers.contains("content-type") && !headers.contains('*'));
    for origin in [
        "null",
        "*",
        "http://dash.example.org",
        "https://dash.example.org:8443",
        "https://dash.example.org.evil.org",
        "https://evildash.example.org",
        "https://x.dash.example.org",
        "https://dash.example.org/",
        "https://DASH.example.org",
    ] {
        for method in [Method::GET, Method::OPTIONS] {
            let answer = told(&world, method.clone(), "/health", origin).await;
            assert_eq!(header(&answer, "access-control-allow-origin"), None, "{method} {origin}");
            assert_eq!(header(&answer, "access-control-allow-credentials"), None, "{method} {origin}");
            assert_eq!(header(&answer, "vary"), Some("origin"), "a cache keeps the answers apart");
        }
    }
}
