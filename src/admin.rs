//! `mrx admin`: makes accounts and agents, as the operator of the daemon whose data folder is on this machine.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::config::{AdminAgent, AdminArgs, AdminUser, AdminWhat, RoleChoice};
use crate::id::{AgentId, UserName};
use crate::identity::token::OPERATOR_TOKEN;
use crate::state::layout::DataFolder;

/// Does what was asked.
pub async fn run(args: AdminArgs) -> anyhow::Result<()> {
    let daemon = Daemon::of(&DataFolder::new(&args.data))?;
    match args.what {
        AdminWhat::User(AdminUser::Add { name, role, password_file }) => {
            add_user(&daemon, &name, role, password_file.as_deref()).await
        }
        AdminWhat::Agent(AdminAgent::Add { name, key_file }) => {
            let file = key_file.unwrap_or_else(|| PathBuf::from(format!("{name}.key")));
            add_agent(&daemon, &name, &file).await
        }
    }
}

async fn add_user(
    daemon: &Daemon,
    name: &UserName,
    role: RoleChoice,
    file: Option<&Path>,
) -> anyhow::Result<()> {
    let password = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
            text.lines().next().unwrap_or_default().to_owned()
        }
        None => {
            rpassword::prompt_password(format!("Password of {name}: ")).context("ask for the password")?
        }
    };
    let role = match role {
        RoleChoice::Viewer => "viewer",
        RoleChoice::Developer => "developer",
        RoleChoice::Admin => "admin",
    };
    daemon.post("/admin/users", &json!({ "name": name, "role": role, "password": password })).await?;
    println!("{name} is there, as {role}, and can log in");
    Ok(())
}

/// The file comes first: a key that cannot be written down would be lost.
async fn add_agent(daemon: &Daemon, name: &AgentId, file: &Path) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut out = options.write(true).create_new(true).mode(0o600).open(file);
    let out = out.as_mut().map_err(|error| std::io::Error::new(error.kind(), error.to_string()));
    let out = out.with_context(|| format!("make the key's file {}", file.display()))?;
    let added = daemon.post("/admin/agents", &json!({ "agentId": name })).await;
    let added = added.inspect_err(|_| {
        // It is empty and ours; what matters is why the agent is not there.
        let _ = std::fs::remove_file(file);
    })?;
    let key = added["key"].as_str().context("find the key in the answer")?;
    writeln!(out, "{key}").and_then(|()| out.sync_all()).context("write the key")?;
    println!("agent {name} is registered; its key is in {}", file.display());
    Ok(())
}

/// The running daemon of a data folder.
struct Daemon {
    address: String,
    token: String,
    http: reqwest::Client,
}

impl Daemon {
    fn of(folder: &DataFolder) -> anyhow::Result<Self> {
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).with_context(|| {
                format!("read {}: is a daemon running on this folder, and is it yours?", path.display())
            });
            text.map(|text| text.trim().to_owned())
        };
        Ok(Self {
            address: read(folder.address())?,
            token: read(folder.keys().join(OPERATOR_TOKEN))?,
            http: reqwest::Client::builder().no_proxy().build().context("prepare the client")?,
        })
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.address);
        let answer = self.http.post(&url).bearer_auth(&self.token).json(body).send().await;
        let answer = answer.with_context(|| format!("call the daemon at {}", self.address))?;
        let is_done = answer.status().is_success();
        let said: Value = answer.json().await.context("understand the daemon's answer")?;
        if !is_done {
            bail!("{}", said["message"].as_str().unwrap_or("the daemon refused"));
        }
        Ok(said)
    }
}
