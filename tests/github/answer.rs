//! What the stand-in answers to a call: who calls, is there budget left, and then the repositories.

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use mrx::clock::Time;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::description::{errors, filled, filled_item};
use super::{ACME, APP, BUDGET, Fault, HOUR, Hub, INSTALLATION, PERSON, Repository};

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Person,
    App,
    Installation,
}

/// An answer before its headers.
struct Said {
    template: &'static str,
    status: u16,
    body: Value,
    link: Option<String>,
}

pub(super) fn answer(hub: &mut Hub, parts: &Parts, body: &[u8]) -> Response {
    let asked = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let fault = hub.fault_for(&asked);
    if fault == Some(Fault::Half) {
        hub.log.push(format!("{} {asked} half", parts.method));
        let chunks = [Ok(Bytes::from_static(b"[{\"id\": 1")), Err(std::io::Error::other("broken"))];
        return Body::from_stream(futures_util::stream::iter(chunks)).into_response();
    }
    if fault == Some(Fault::Elsewhere) {
        let target = format!("{}{asked}", hub.elsewhere);
        return (StatusCode::FOUND, [(header::LOCATION, target)]).into_response();
    }
    let said = say(hub, parts, &asked, body, fault);
    let method = parts.method.as_str();
    let wrong = errors(method, said.template, said.status, &said.body);
    if !wrong.is_empty() {
        hub.broken.push(format!("{method} {asked} {}: {wrong:?}", said.status));
    }
    let mut headers = HeaderMap::new();
    let text = said.body.to_string();
    let sum = format!("{:x?}", &Sha256::digest(&text)[..8]).replace([',', ' ', '[', ']'], "");
    let etag = format!("W/\"{sum}\"");
    let is_known = parts.headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == etag);
    let status = if said.status == 200 && is_known { 304 } else { said.status };
    if status != 304 && status < 400 {
        hub.remaining -= 1;
    }
    match fault {
        Some(Fault::Secondary(seconds)) => put(&mut headers, "retry-after", &seconds.to_string()),
        _ => {
            put(&mut headers, "x-ratelimit-limit", &BUDGET.to_string());
            put(&mut headers, "x-ratelimit-remaining", &hub.remaining.to_string());
            put(&mut headers, "x-ratelimit-reset", &hub.reset.to_string());
        }
    }
    if said.status == 200 {
        put(&mut headers, "etag", &etag);
    }
    if let Some(link) = &said.link {
        put(&mut headers, "link", link);
    }
    put(&mut headers, "content-type", "application/json; charset=utf-8");
    hub.log.push(format!("{method} {asked} {status}"));
    let body = if status == 304 { String::new() } else { text };
    (StatusCode::from_u16(status).unwrap(), headers, body).into_response()
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.insert(name, HeaderValue::from_str(value).unwrap());
}

fn say(hub: &mut Hub, parts: &Parts, asked: &str, body: &[u8], fault: Option<Fault>) -> Said {
    let path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
    let (template, allowed): (&'static str, &[Caller]) = match path.as_slice() {
        ["user"] => ("/user", &[Caller::Person]),
        ["user", "repos"] => ("/user/repos", &[Caller::Person]),
        ["orgs", _, "repos"] => ("/orgs/{org}/repos", &[Caller::Person, Caller::Installation]),
        ["users", _, "repos"] => ("/users/{username}/repos", &[Caller::Person]),
        ["repos", _, _] => ("/repos/{owner}/{repo}", &[Caller::Person, Caller::Installation]),
        ["app", "installations"] => ("/app/installations", &[Caller::App]),
        ["app", "installations", _, "access_tokens"] => {
            ("/app/installations/{installation_id}/access_tokens", &[Caller::App])
        }
        ["installation", "repositories"] => ("/installation/repositories", &[Caller::Installation]),
        ["rate_limit"] => ("/rate_limit", &[Caller::Person, Caller::Installation]),
        _ => panic!("the stand-in does not know {asked}"),
    };
    let error = |status: u16, message: &str| Said {
        template,
        status,
        body: json!({ "message": message, "documentation_url": "https://docs.github.com/rest" }),
        link: None,
    };
    let secondary =
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    match fault {
        Some(Fault::Status(status)) => return error(status, "Server Error"),
        Some(Fault::Secondary(_) | Fault::SilentSecondary) => return error(403, secondary),
        _ => {}
    }
    let now = hub.clock.now().seconds();
    if now >= hub.reset {
        (hub.remaining, hub.reset) = (BUDGET, now + 3600);
    }
    let caller = caller(hub, parts, now);
    let Some(caller) = caller else { return error(401, "Bad credentials") };
    if hub.remaining == 0 {
        return error(403, "API rate limit exceeded for user ID 1.");
    }
    if !allowed.contains(&caller) {
        return error(403, "Resource not accessible by integration");
    }
    let ok = |body: Value| Said { template, status: 200, body, link: None };
    let list = |hub: &Hub, name: &str, is_in: &dyn Fn(&Repository) -> bool| {
        let found: Vec<&Repository> = hub.repositories.iter().filter(|found| is_in(found)).collect();
        let (page, link) = page(hub, parts, &found);
        Said { template, status: 200, body: page.iter().map(|found| shown(name, found)).collect(), link }
    };
    match (parts.method.as_str(), path.as_slice()) {
        ("GET", ["user"]) => ok(filled("public-user", json!({ "login": PERSON, "id": 1, "type": "User" }))),
        ("GET", ["user", "repos"]) => list(hub, "repository", &|found| found.owner == PERSON),
        ("GET", ["orgs", org, "repos"]) if *org != ACME => error(404, "Not Found"),
        ("GET", ["orgs", org, "repos"]) => list(hub, "minimal-repository", &|found| found.owner == *org),
        ("GET", ["users", user, "repos"]) => {
            list(hub, "minimal-repository", &|found| found.owner == *user && !found.private)
        }
        ("GET", ["repos", owner, name]) => {
            let is_it = |found: &&Repository| found.owner == *owner && found.name == *name;
            match hub.repositories.iter().find(is_it) {
                Some(found) => ok(shown("full-repository", found)),
                None => error(404, "Not Found"),
            }
        }
        ("POST", ["user", "repos"]) => create(hub, template, PERSON, body),
        ("POST", ["orgs", org, "repos"]) => create(hub, template, org, body),
        ("GET", ["app", "installations"]) => {
            let values = json!({ "id": INSTALLATION, "app_id": APP, "account": { "login": ACME }, "suspended_at": null });
            ok(json!([filled_item(template, values)]))
        }
        ("POST", ["app", "installations", id, _]) if *id == INSTALLATION.to_string() => {
            let token = format!("ghs_{}", hub.minted.len() + 1);
            let end = Time::from_millis(now * 1000).after(HOUR);
            hub.minted.insert(token.clone(), end.seconds());
            let expires_at = format!("{}Z", &end.to_string()[..19]);
            let body = filled("installation-token", json!({ "token": token, "expires_at": expires_at }));
            Said { template, status: 201, body, link: None }
        }
        ("GET", ["installation", "repositories"]) => {
            let mut said = list(hub, "repository", &|found| found.owner == ACME);
            let count = hub.repositories.iter().filter(|found| found.owner == ACME).count();
            said.body = json!({ "total_count": count, "repositories": said.body });
            said
        }
        _ => error(404, "Not Found"),
    }
}

fn caller(hub: &Hub, parts: &Parts, now: u64) -> Option<Caller> {
    let token = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    if hub.tokens.iter().any(|known| known == token) {
        return Some(Caller::Person);
    }
    if let Some(end) = hub.minted.get(token) {
        return (now < *end).then_some(Caller::Installation);
    }
    // The App's own tokens tell the machine's time, and so are checked against it.
    let key = DecodingKey::from_rsa_pem(include_bytes!("../fixtures/github/app-key.pub")).unwrap();
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_required_spec_claims(&["exp"]);
    let claims = jsonwebtoken::decode::<Value>(token, &key, &rules).ok()?.claims;
    let issuer = claims["iss"].as_u64().map_or_else(|| claims["iss"].as_str()?.parse().ok(), Some);
    (issuer == Some(APP)).then_some(Caller::App)
}

fn create(hub: &mut Hub, template: &'static str, owner: &str, body: &[u8]) -> Said {
    let wanted: Value = serde_json::from_slice(body).unwrap();
    let name = wanted["name"].as_str().unwrap();
    if hub.repositories.iter().any(|found| found.owner == owner && found.name == name) {
        let error = json!({
            "resource": "Repository", "code": "custom", "field": "name",
            "message": "name already exists on this account",
        });
        let body = json!({
            "message": "Repository creation failed.", "errors": [error],
            "documentation_url": "https://docs.github.com/rest",
        });
        return Said { template, status: 422, body, link: None };
    }
    let id = hub.add(owner, name);
    let made = hub.repositories.iter_mut().find(|found| found.id == id).unwrap();
    made.private = wanted["private"] == true;
    made.description = wanted["description"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    assert_eq!(wanted["auto_init"], true, "a repository without a commit cannot be cloned");
    Said { template, status: 201, body: shown("full-repository", made), link: None }
}

fn shown(schema: &str, repository: &Repository) -> Value {
    let Repository { id, owner, name, description, default_branch, private, archived } = repository;
    filled(
        schema,
        json!({
            "id": id, "name": name, "full_name": format!("{owner}/{name}"), "owner": { "login": owner },
            "description": description, "default_branch": default_branch, "private": private, "archived": archived,
        }),
    )
}

/// The page that is asked for, and the header `Link` as GitHub writes it.
fn page<'a>(hub: &Hub, parts: &Parts, all: &[&'a Repository]) -> (Vec<&'a Repository>, Option<String>) {
    let query = parts.uri.query().unwrap_or_default();
    let number = |name: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse::<usize>().ok())
    };
    let length = number("per_page").unwrap_or(30).clamp(1, 100);
    let page = number("page").unwrap_or(1).max(1);
    let last = all.len().div_ceil(length).max(1);
    let shown = all.iter().skip((page - 1) * length).take(length).copied().collect();
    let path = parts.uri.path().replace("/orgs/acme/", "/organizations/7/");
    let others: Vec<&str> =
        query.split('&').filter(|pair| !pair.starts_with("page=") && !pair.is_empty()).collect();
    let to = |page: usize, rel: &str| {
        format!("<{}{path}?{}&page={page}>; rel=\"{rel}\"", hub.base, others.join("&"))
    };
    let mut links = Vec::new();
    if page > 1 {
        links.push(to(page - 1, "prev"));
    }
    if page < last {
        links.extend([to(page + 1, "next"), to(last, "last")]);
    }
    if page > 1 {
        links.push(to(1, "first"));
    }
    (shown, (!links.is_empty()).then(|| links.join(", ")))
}
