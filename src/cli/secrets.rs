//! `mrx secrets`: a value goes to the server and nowhere else.

use reqwest::Method;
use serde_json::json;

use super::args::SecretsWhat;
use super::error::CliResult;
use super::show::{Column, Kind, List};
use super::{Context, ask};
use crate::secret::types::Scope;

const SECRETS: List = List {
    field: "secrets",
    columns: &[
        Column("NAME", "/name", Kind::Text),
        Column("KIND", "/kind", Kind::Text),
        Column("CREATED", "/createdAt", Kind::Time),
        Column("ROTATED", "/rotatedAt", Kind::Time),
        Column("BY", "/createdBy", Kind::Text),
    ],
};

/// Does what was asked.
pub async fn run(context: &Context, what: SecretsWhat) -> CliResult<()> {
    let client = &context.client;
    match what {
        SecretsWhat::List { scope } => {
            context
                .output
                .list(client, SECRETS, false, || client.get(&format!("admin/secrets/{scope}")))
                .await
        }
        SecretsWhat::Set { scope, name, file } => {
            let value = ask::value(name.as_str(), file.as_deref())?;
            // Storing in place of an old value is a rotation, which who manages a project may do; a first value is an admin's to store.
            let call = match is_there(context, &scope, name.as_str()).await? {
                true => client
                    .post(&format!("admin/secrets/{scope}/{name}/rotate"))
                    .json(json!({ "value": value.reveal() })),
                false => {
                    let project = match &scope {
                        Scope::Platform => None,
                        Scope::Project(project) => Some(project),
                    };
                    let body = json!({ "projectId": project, "name": name, "value": value.reveal() });
                    client.post("admin/secrets").json(body)
                }
            };
            context.output.done(&client.send(call).await?, &format!("{name} of {scope} is stored"))
        }
        SecretsWhat::Rm { scope, name } => {
            let call = client.call(Method::DELETE, &format!("admin/secrets/{scope}/{name}"));
            context.output.done(&client.send(call).await?, &format!("{name} of {scope} is removed"))
        }
    }
}

async fn is_there(context: &Context, scope: &Scope, name: &str) -> CliResult<bool> {
    let page = context.client.send(context.client.get(&format!("admin/secrets/{scope}"))).await?.json()?;
    Ok(page["secrets"].as_array().is_some_and(|secrets| secrets.iter().any(|secret| secret["name"] == name)))
}
