//! Signing in and out, and who one is.

use serde_json::{Value, json};

use super::args::{Common, LoginArgs};
use super::client::{self, Client};
use super::credentials::{self, Credentials, Entry, Kind};
use super::error::{CliError, CliResult};
use super::show::{Column, Kind as Shown, Output, local};
use super::{Context, ask, screen};
use crate::mask::SecretText;

const ME: &[Column] = &[
    Column("NAME", "/name", Shown::Text),
    Column("KIND", "/kind", Shown::Text),
    Column("ROLE", "/role", Shown::Text),
    Column("KEY", "/key/name", Shown::Text),
    Column("PERMISSION", "/key/permission", Shown::Text),
    Column("PROJECT", "/key/projectId", Shown::Text),
];

/// Signs in with a password, or keeps a key that is good.
pub async fn login(args: LoginArgs) -> CliResult<()> {
    let path = credentials::path()?;
    let mut kept = Credentials::read(&path)?;
    let server = client::normal(&kept.server(args.common.server.as_deref()))?;
    let (entry, said, until) = match &args.key_file {
        Some(file) => with_key(&server, ask::first_line(file)?).await?,
        None => with_password(&server, &args).await?,
    };
    let name = screen::one_line(&entry.name);
    kept.keep(&server, entry);
    kept.write(&path)?;
    let output = Output::new(args.common.json);
    if output.is_json {
        return output.json(&said.to_string());
    }
    let until = until.map(|time| format!(" until {}", local(&time))).unwrap_or_default();
    output.line(&format!("signed in to {server} as {name}{until}"))
}

type SignedIn = (Entry, Value, Option<String>);

async fn with_key(server: &str, key: SecretText) -> CliResult<SignedIn> {
    let client = Client::new(server, Some(key.clone()))?;
    let me = client.send(client.get("auth/me")).await?.json()?;
    let name = me["name"].as_str().unwrap_or_default().to_owned();
    Ok((Entry { name, kind: Kind::Key, token: key }, me, None))
}

async fn with_password(server: &str, args: &LoginArgs) -> CliResult<SignedIn> {
    let client = Client::new(server, None)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => ask::name()?,
    };
    let password = ask::password(&name, args.password_file.as_deref())?;
    let call = client.post("auth/login").json(json!({ "name": name, "password": password.reveal() }));
    let mut said = client.send(call).await?.json()?;
    // The token is for the file alone: it is in no output.
    let token = said.as_object_mut().and_then(|said| said.remove("token"));
    let Some(Value::String(token)) = token else {
        return Err(CliError::Failed("the server gave no session's token; is the address right?".to_owned()));
    };
    let until = said["expiresAt"].as_str().map(str::to_owned);
    Ok((Entry { name, kind: Kind::Session, token: token.into() }, said, until))
}

/// Ends the session on the server, and forgets it here whatever the server says.
pub async fn logout(common: &Common) -> CliResult<()> {
    let path = credentials::path()?;
    let mut kept = Credentials::read(&path)?;
    let server = client::normal(&kept.server(common.server.as_deref()))?;
    let Some(entry) = kept.forget(&server) else {
        return Err(CliError::NotSignedIn(format!("you are not signed in to {server}")));
    };
    kept.write(&path)?;
    let output = Output::new(common.json);
    if entry.kind == Kind::Key {
        return output.line(&format!("forgot the key for {server}; it stays good until mrx keys revoke"));
    }
    let client = Client::new(&server, Some(entry.token))?;
    match client.send(client.post("auth/logout")).await {
        Ok(_) | Err(CliError::NotSignedIn(_)) => output.line(&format!("signed out of {server}")),
        Err(error) => {
            eprintln!("mrx: the token is forgotten here, but the session goes on there until it expires");
            Err(error)
        }
    }
}

/// Shows who one is to the server.
pub async fn whoami(context: &Context) -> CliResult<()> {
    let answer = context.client.send(context.client.get("auth/me")).await?;
    context.output.object(&answer, ME)
}
