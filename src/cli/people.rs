//! `mrx agents`, `mrx keys` and `mrx users`: whoever may call, and by what.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use super::args::{AgentsWhat, KeysWhat, UsersWhat};
use super::ask::{self, NewKeyFile};
use super::client::Call;
use super::error::{CliError, CliResult};
use super::show::{Column, Kind, List};
use super::{Context, screen};
use crate::config::RoleChoice;
use crate::id::AgentId;

const AGENTS: List = List {
    field: "agents",
    columns: &[
        Column("AGENT", "/agentId", Kind::Text),
        Column("LABELS", "/labels", Kind::Text),
        Column("PROJECTS", "/projects", Kind::Text),
        Column("LAST HEARD", "/lastHeardAt", Kind::Time),
        Column("DRAINING", "/drainingSince", Kind::Time),
        Column("DISABLED", "/disabledAt", Kind::Time),
    ],
};

const KEYS: List = List {
    field: "keys",
    columns: &[
        Column("KEY", "/keyId", Kind::Text),
        Column("NAME", "/name", Kind::Text),
        Column("OWNER", "/owner", Kind::Text),
        Column("PERMISSION", "/permission", Kind::Text),
        Column("PROJECT", "/projectId", Kind::Text),
        Column("EXPIRES", "/expiresAt", Kind::Time),
        Column("LAST USED", "/lastUsedAt", Kind::Time),
    ],
};

const USERS: List = List {
    field: "users",
    columns: &[
        Column("NAME", "/name", Kind::Text),
        Column("ROLE", "/role", Kind::Text),
        Column("EMAIL", "/email", Kind::Text),
        Column("CREATED", "/createdAt", Kind::Time),
        Column("DISABLED", "/disabledAt", Kind::Time),
    ],
};

impl Default for KeysWhat {
    fn default() -> Self {
        Self::List { owner: None }
    }
}

/// `mrx agents`.
pub async fn agents(context: &Context, what: AgentsWhat) -> CliResult<()> {
    let (client, output) = (&context.client, context.output);
    match what {
        AgentsWhat::List => output.list(client, AGENTS, false, || client.get("agents")).await,
        AgentsWhat::Add { name, key_file, label, project } => {
            let body = json!({
                "agentId": name,
                "allowedLabels": (!label.is_empty()).then_some(label),
                "projects": (!project.is_empty()).then_some(project),
            });
            let file = file_of(&name, key_file);
            let said = kept(context, client.post("admin/agents").json(body), &file).await?;
            told(context, &said, &format!("agent {name} is registered; its key is in {}", file.display()))
        }
        AgentsWhat::Drain { name, undo } => {
            let call = client.call(Method::PATCH, &format!("admin/agents/{name}"));
            let answer = client.send(call.json(json!({ "draining": !undo }))).await?;
            let sentence = if undo { "gets jobs again" } else { "gets no new jobs, and ends what it has" };
            output.done(&answer, &format!("{name} {sentence}"))
        }
        AgentsWhat::Disable { name } => switch(context, &format!("admin/agents/{name}"), true).await,
        AgentsWhat::Enable { name } => switch(context, &format!("admin/agents/{name}"), false).await,
        AgentsWhat::Rotate { name, key_file } => {
            let file = file_of(&name, key_file);
            let said = kept(context, client.post(&format!("admin/agents/{name}/rotate")), &file).await?;
            told(
                context,
                &said,
                &format!("agent {name} has another key, in {}; the one before is refused", file.display()),
            )
        }
        AgentsWhat::ClaimSecret { name, ttl_seconds } => {
            let mut body = json!({ "agentId": name });
            if let Some(seconds) = ttl_seconds {
                body["ttlSeconds"] = seconds.into();
            }
            let answer = client.send(client.post("agents/claim-secret").json(body)).await?;
            let secret = answer.json()?["claimSecret"].as_str().map(screen::one_line).unwrap_or_default();
            output.done(&answer, &secret)
        }
    }
}

fn file_of(name: &AgentId, file: Option<PathBuf>) -> PathBuf {
    file.unwrap_or_else(|| PathBuf::from(format!("{name}.key")))
}

/// Makes the call and puts the key that it answers into a new file; tells the answer without the key.
async fn kept(context: &Context, call: Call, path: &Path) -> CliResult<Value> {
    let file = NewKeyFile::create(path)?;
    let mut said = context.client.send(call).await?.json()?;
    let key = said.as_object_mut().and_then(|said| said.remove("key"));
    let Some(Value::String(key)) = key else {
        return Err(CliError::Failed("the server's answer has no key; is the address right?".to_owned()));
    };
    file.keep(&key.into())?;
    Ok(said)
}

fn told(context: &Context, said: &Value, sentence: &str) -> CliResult<()> {
    if context.output.is_json {
        context.output.json(&said.to_string())
    } else {
        context.output.line(sentence)
    }
}

/// Keeps an agent or an account from calling, or lets it again.
async fn switch(context: &Context, path: &str, disabled: bool) -> CliResult<()> {
    let call = context.client.call(Method::PATCH, path).json(json!({ "disabled": disabled }));
    let name = path.rsplit('/').next().unwrap_or_default();
    let sentence = format!("{name} {}", if disabled { "may not call any more" } else { "may call again" });
    context.output.done(&context.client.send(call).await?, &sentence)
}

/// `mrx keys`.
pub async fn keys(context: &Context, what: KeysWhat) -> CliResult<()> {
    let (client, output) = (&context.client, context.output);
    match what {
        KeysWhat::List { owner } => {
            output.list(client, KEYS, false, || client.get("keys").query_if("owner", owner.as_ref())).await
        }
        KeysWhat::Create { name, permission, project, expires_at, key_file } => {
            let body = json!({ "name": name, "permission": permission, "projectId": project, "expiresAt": expires_at });
            let said = kept(context, client.post("keys").json(body), &key_file).await?;
            let id = said["keyId"].as_str().map(screen::one_line).unwrap_or_default();
            told(context, &said, &format!("{id} is in {}", key_file.display()))
        }
        KeysWhat::Revoke { key } => {
            let answer = client.send(client.call(Method::DELETE, &format!("keys/{key}"))).await?;
            output.done(&answer, &format!("{key} is worth nothing any more"))
        }
    }
}

/// `mrx users`.
pub async fn users(context: &Context, what: UsersWhat) -> CliResult<()> {
    let (client, output) = (&context.client, context.output);
    match what {
        UsersWhat::List => output.list(client, USERS, false, || client.get("admin/users")).await,
        UsersWhat::Add { name, role, password_file } => {
            let password = ask::password(name.as_str(), password_file.as_deref())?;
            let role = role.word();
            let body = json!({ "name": name, "role": role, "password": password.reveal() });
            let answer = client.send(client.post("admin/users").json(body)).await?;
            output.done(&answer, &format!("{name} is there, as {role}, and can sign in"))
        }
        UsersWhat::Role { name, role } => {
            let call = client.call(Method::PATCH, &format!("admin/users/{name}"));
            let answer = client.send(call.json(json!({ "role": role.word() }))).await?;
            output.done(&answer, &format!("{name} is {} now", role.word()))
        }
        UsersWhat::Disable { name } => switch(context, &format!("admin/users/{name}"), true).await,
        UsersWhat::Enable { name } => switch(context, &format!("admin/users/{name}"), false).await,
    }
}

impl RoleChoice {
    /// The API's word for it.
    pub fn word(self) -> &'static str {
        match self {
            RoleChoice::Viewer => "viewer",
            RoleChoice::Developer => "developer",
            RoleChoice::Admin => "admin",
        }
    }
}
