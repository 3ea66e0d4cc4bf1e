//! What the types of answers and files look like to others: JSON Schema, told by the types themselves (`ToSchema`).
//!
//! `http/openapi.rs` puts the same schemas into the API's document; here they become the files `.mrx/schema/*.json`.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Gives a type that is written as text its schema: a description and the pattern it matches.
macro_rules! text_schema {
    ($name:ident, $description:expr, $pattern:expr) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some($description))
                    .pattern(Some($pattern))
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use text_schema;

/// Gives a type that is a free-form object its schema.
macro_rules! object_schema {
    ($name:ident, $description:expr) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::Object)
                    .description(Some($description))
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use object_schema;

const JSON_SCHEMA_DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The JSON Schema of a file that holds a `T`, with every type it names inside it.
pub fn of_file<T: ToSchema>() -> Value {
    let mut named = Vec::new();
    T::schemas(&mut named);
    let definitions: Map<String, Value> =
        named.into_iter().map(|(name, schema)| (name, value_of(&schema))).collect();
    let mut root = json!({ "$schema": JSON_SCHEMA_DIALECT, "title": T::name() });
    if let (Some(root), Value::Object(own)) = (root.as_object_mut(), value_of(&T::schema())) {
        root.extend(own);
        if !definitions.is_empty() {
            root.insert("$defs".to_owned(), Value::Object(definitions));
        }
    }
    localise(&mut root);
    root
}

fn value_of(schema: &impl serde::Serialize) -> Value {
    serde_json::to_value(schema).expect("a schema has string keys")
}

/// Lets references point into the file instead of the API's document.
fn localise(value: &mut Value) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(name, value)| match value {
            Value::String(target) if name == "$ref" => {
                *target = target.replace("#/components/schemas/", "#/$defs/")
            }
            other => localise(other),
        }),
        Value::Array(items) => items.iter_mut().for_each(localise),
        _ => {}
    }
}

/// The files of `.mrx/schema/`, by name.
pub fn files() -> Vec<(&'static str, Value)> {
    vec![
        ("agent.json", of_file::<crate::agent::Agent>()),
        ("artifact.json", of_file::<crate::artifact::Artifact>()),
        ("chat.json", of_file::<crate::chat::Chat>()),
        ("chat-messages.json", of_file::<crate::chat::Segment>()),
        ("chat-prompt.json", of_file::<crate::chat::Prompt>()),
        ("claim-secret.json", of_file::<crate::identity::types::ClaimSecret>()),
        ("invite.json", of_file::<crate::identity::types::Invite>()),
        ("code.json", of_file::<crate::project::types::CodeFile>()),
        ("conflict.json", of_file::<crate::remote::types::ConflictFile>()),
        ("job.json", of_file::<crate::job::Job>()),
        ("key.json", of_file::<crate::identity::types::ApiKey>()),
        ("recipients.json", of_file::<crate::secret::recipients::Recipients>()),
        ("remote.json", of_file::<crate::remote::types::RemoteFile>()),
        ("schedule.json", of_file::<crate::schedule::Schedule>()),
        ("secret.json", of_file::<crate::secret::Secret>()),
        ("project.json", of_file::<crate::project::types::ProjectFile>()),
        ("session.json", of_file::<crate::identity::types::Session>()),
        ("throttle.json", of_file::<crate::identity::types::Throttle>()),
        ("webhook.json", of_file::<crate::webhook::types::Webhook>()),
        ("user.json", of_file::<crate::identity::types::User>()),
    ]
}
