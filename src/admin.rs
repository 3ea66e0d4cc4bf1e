//! `mrx admin`: makes accounts and agents and ends epochs, as the operator of the daemon whose data folder is on this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::cli::ask::{self, NewKeyFile};
use crate::config::{AdminAgent, AdminArgs, AdminEpoch, AdminUser, AdminWhat, RoleChoice};
use crate::id::{AgentId, UserName};
use crate::identity::token::OPERATOR_TOKEN;
use crate::state::layout::{DataFolder, RepoName};

/// How long the daemon may take to answer: the end of an epoch of millions of files takes a while.
const ANSWER_MAX: Duration = Duration::from_secs(300);

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
        AdminWhat::Epoch(AdminEpoch::End { project, platform: _ }) => {
            end_epoch(&daemon, &project.map_or(RepoName::Platform, RepoName::Project)).await
        }
    }
}

async fn add_user(
    daemon: &Daemon,
    name: &UserName,
    role: RoleChoice,
    file: Option<&Path>,
) -> anyhow::Result<()> {
    let (password, role) = (ask::password(name.as_str(), file)?, role.word());
    let password = password.reveal();
    daemon.post("/admin/users", &json!({ "name": name, "role": role, "password": password })).await?;
    println!("{name} is there, as {role}, and can log in");
    Ok(())
}

async fn add_agent(daemon: &Daemon, name: &AgentId, file: &Path) -> anyhow::Result<()> {
    let out = NewKeyFile::create(file)?;
    let mut added = daemon.post("/admin/agents", &json!({ "agentId": name })).await?;
    let Value::String(key) = added["key"].take() else { bail!("the daemon's answer has no key") };
    out.keep(&key.into())?;
    println!("agent {name} is registered; its key is in {}", file.display());
    Ok(())
}

async fn end_epoch(daemon: &Daemon, name: &RepoName) -> anyhow::Result<()> {
    let begun = daemon.post("/admin/epochs", &json!({ "repository": name.key() })).await?;
    let (number, archive) = (&begun["number"], begun["archive"].as_str().unwrap_or_default());
    println!("{name} is in epoch {number}; {archive} keeps what was before");
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
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(ANSWER_MAX)
                .build()
                .context("prepare the client")?,
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
