//! GitHub's own OpenAPI description, or the slice of it that the stand-in speaks: it makes answers' bodies whole, and checks them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Map, Value, json};

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let mut description =
        serde_json::from_str(include_str!("../fixtures/github/openapi.json")).expect("the fixture is JSON");
    as_json_schema(&mut description);
    description
});

/// Says OpenAPI 3.0's `nullable` as JSON Schema does.
fn as_json_schema(node: &mut Value) {
    match node {
        Value::Object(map) => {
            map.values_mut().for_each(as_json_schema);
            if map.remove("nullable") == Some(true.into()) {
                if let Some(values) = map.get_mut("enum").and_then(Value::as_array_mut) {
                    values.push(Value::Null);
                }
                match map.get_mut("type") {
                    Some(kind) => *kind = json!([kind.clone(), "null"]),
                    None => {
                        let whole = Value::Object(std::mem::take(map));
                        map.insert("anyOf".to_owned(), json!([whole, { "type": "null" }]));
                    }
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(as_json_schema),
        _ => {}
    }
}

/// The schema of an answer: as its operation says, or that of every error.
fn schema(method: &str, template: &str, status: u16) -> Value {
    let operation = &DESCRIPTION["paths"][template][method.to_lowercase()];
    assert!(operation.is_object(), "{method} {template} is not in the fixture; add it to make.py");
    let mut response = &operation["responses"][status.to_string()];
    if let Some(name) = response["$ref"].as_str() {
        response = DESCRIPTION.pointer(name.trim_start_matches('#')).expect("references lead somewhere");
    }
    match &response["content"]["application/json"]["schema"] {
        Value::Null if status >= 300 => json!({ "$ref": "#/components/schemas/basic-error" }),
        Value::Null => panic!("{method} {template} has no answer {status}"),
        schema => schema.clone(),
    }
}

/// What is wrong with an answer.
pub fn errors(method: &str, template: &str, status: u16, body: &Value) -> Vec<String> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<jsonschema::Validator>>>> =
        LazyLock::new(Mutex::default);
    let make = || {
        let whole = json!({
            "allOf": [schema(method, template, status)], "components": DESCRIPTION["components"],
        });
        Arc::new(jsonschema::draft202012::new(&whole).expect("the fixture holds schemas"))
    };
    let validator =
        KNOWN.lock().unwrap().entry(format!("{method} {template} {status}")).or_insert_with(make).clone();
    validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// A body with every field that a schema of this name requires, and these values in place of the made-up ones.
pub fn filled(name: &str, values: Value) -> Value {
    let mut body = sample(&DESCRIPTION["components"]["schemas"][name]);
    merge(&mut body, values);
    body
}

/// The same for an item of the list that an operation gives.
pub fn filled_item(template: &str, values: Value) -> Value {
    let mut body = sample(&schema("GET", template, 200)["items"]);
    merge(&mut body, values);
    body
}

fn merge(into: &mut Value, values: Value) {
    match (into, values) {
        (Value::Object(into), Value::Object(values)) => {
            for (name, value) in values {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value,
    }
}

fn sample(schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return sample(DESCRIPTION.pointer(name.trim_start_matches('#')).expect("references lead somewhere"));
    }
    if let Some(value) = schema["enum"].get(0) {
        return value.clone();
    }
    for combination in ["anyOf", "oneOf"] {
        if let Some(first) = schema[combination].get(0) {
            return sample(first);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = Value::Object(Map::new());
        parts.iter().for_each(|part| merge(&mut whole, sample(part)));
        return whole;
    }
    let kind = schema["type"].get(0).unwrap_or(&schema["type"]);
    match (kind.as_str(), schema["format"].as_str()) {
        (Some("string"), Some("uri")) => json!("https://example.org/"),
        (Some("string"), Some("date-time")) => json!("2026-11-20T09:00:00Z"),
        (Some("string"), Some("email")) => json!("anna@example.org"),
        (Some("string"), _) => json!("text"),
        (Some("integer" | "number"), _) => json!(1),
        (Some("boolean"), _) => json!(false),
        (Some("array"), _) => json!([]),
        _ => {
            let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
            let field = |name: &Value| {
                let name = name.as_str().expect("names are text");
                (name.to_owned(), sample(&schema["properties"][name]))
            };
            Value::Object(required.iter().map(field).collect())
        }
    }
}
