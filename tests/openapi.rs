//! The API's document says what the routes are, and what they answer with.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use mrx::http::{openapi, routes};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, World};

static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi::build);

/// Fails if an answer is not what the document says of its route.
pub fn check_answer(method: &Method, path: &str, answer: &Answer) {
    let Some(template) = template_of(path) else { return assert_eq!(answer.status, 404, "{path}") };
    let Some(operation) = operation(template, method) else { return };
    let response = &operation["responses"][answer.status.to_string()];
    assert!(
        response.is_object(),
        "{method} {template} answered {}, which is not in the document: {}",
        answer.status,
        answer.text()
    );
    assert_eq!(answer.header("mrx-request-id").len(), 16);
    let schema = &response["content"]["application/json"]["schema"];
    if schema.is_null() || !answer.header("content-type").starts_with("application/json") {
        return;
    }
    let validator = validator(&format!("{method} {template} {}", answer.status), schema);
    let body = answer.json();
    let errors: Vec<String> =
        validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{method} {template}: {errors:?} in {body}");
}

fn validator(name: &str, schema: &Value) -> Arc<jsonschema::Validator> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<jsonschema::Validator>>>> =
        LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap();
    let make = || {
        let whole = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
        Arc::new(jsonschema::draft202012::new(&whole).unwrap())
    };
    known.entry(name.to_owned()).or_insert_with(make).clone()
}

fn operation<'a>(template: &str, method: &Method) -> Option<&'a Value> {
    DOCUMENT["paths"][template].get(method.as_str().to_lowercase())
}

/// The path of the table that a path is one of.
fn template_of(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap();
    let path = path.strip_prefix("/api").unwrap_or(path);
    let fits = |template: &str| {
        // The last name of such a template may have slashes in it.
        let length = if template.ends_with("{path}") { template.split('/').count() } else { usize::MAX };
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (template.split('/').collect(), path.splitn(length, '/').collect());
        ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|(a, b)| a.starts_with('{') && !b.is_empty() || a == b)
    };
    let mut templates: Vec<&'static str> =
        routes::table().iter().map(|route| route.path).filter(|path| fits(path)).collect();
    templates.sort_by_key(|template| template.contains('{'));
    templates.first().copied()
}

#[test]
fn the_document_has_every_route_of_the_table_and_no_other() {
    let table: BTreeSet<String> = routes::table()
        .iter()
        .map(|route| format!("{} {}", route.method.as_str().to_lowercase(), route.path))
        .collect();
    let mut document = BTreeSet::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            document.insert(format!("{method} {path}"));
        }
    }
    assert_eq!(document, table);
}

#[test]
fn the_dashboard_is_built_against_this_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard/openapi.json");
    let text = serde_json::to_string_pretty(&*DOCUMENT).unwrap() + "\n";
    if std::env::var_os("MRX_UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stands == text,
        "dashboard/openapi.json is old; MRX_UPDATE=1 cargo test --test main the_dashboard_is_built writes it anew, and npm run generate in dashboard/ its types"
    );
}

#[test]
fn every_route_says_who_may_call_it_and_how_it_refuses() {
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
    assert_eq!(DOCUMENT["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    for route in routes::table() {
        let operation = operation(route.path, &route.method).unwrap();
        let says = operation["description"].as_str().unwrap();
        assert!(says.contains("Who may call: "), "{says}");
        let open = route.who == mrx::http::auth::Who::Anyone;
        assert_eq!(operation["security"].is_null(), open, "{}", route.path);
        assert!(open || operation["responses"]["401"].is_object(), "{}", route.path);
        let refusal = &operation["responses"]["500"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(refusal, "#/components/schemas/Error");
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn check(value: &Value) {
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| match value {
                Value::String(target) if name == "$ref" => {
                    let found = DOCUMENT.pointer(target.trim_start_matches('#'));
                    assert!(found.is_some(), "{target}");
                }
                other => check(other),
            }),
            Value::Array(items) => items.iter().for_each(check),
            _ => {}
        }
    }
    check(&DOCUMENT);
}

#[tokio::test]
async fn the_daemon_serves_the_document() {
    let world = World::start().await;
    for path in ["/openapi.json", "/api/openapi.json"] {
        assert_eq!(world.stranger().get(path).await.expect(200), *DOCUMENT);
    }
}
