//! A stand-in for GitHub on loopback: repositories in memory, behind the part of the API that the daemon uses.
//!
//! - [`description`] is GitHub's own OpenAPI description: every answer is checked against it
//!
//! Paging, `Link`, `ETag`, budgets and refusals are as GitHub documents them. A story tells it to fail in a chosen way.

mod answer;
mod description;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use mrx::clock::Clock;
use mrx::forge::github::{Credential, GitHub, GitHubOptions};
use mrx::forge::secret::Secret;
use mrx::http::server;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The token that it takes at first.
pub const TOKEN: &str = "ghp_canary0123456789abcdefghijklmnopqrstuv";
/// The number of its App.
pub const APP: u64 = 4711;
/// The account that the token is of.
pub const PERSON: &str = "anna";
/// The organization that most repositories are of, where the App is installed.
pub const ACME: &str = "acme";
/// The App's installation there.
pub const INSTALLATION: u64 = 99;
/// Calls an hour.
pub const BUDGET: u64 = 5000;

/// A repository.
#[derive(Clone, Debug)]
pub struct Repository {
    pub id: u64,
    pub owner: String,
    pub name: String,
    pub description: Option<String>,
    pub default_branch: String,
    pub private: bool,
    pub archived: bool,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With this status.
    Status(u16),
    /// By a secondary limit that says how long to wait, in seconds.
    Secondary(u64),
    /// By one that does not say it.
    SilentSecondary,
    /// With a redirect to [`Hub::elsewhere`].
    Elsewhere,
    /// Half of the answer comes, then the connection breaks.
    Half,
}

/// What it knows.
pub struct Hub {
    pub repositories: Vec<Repository>,
    pub tokens: Vec<String>,
    /// Tokens of the installation, and until when they hold, in seconds since 1970.
    pub minted: HashMap<String, u64>,
    pub remaining: u64,
    pub reset: u64,
    /// Where redirects lead.
    pub elsewhere: String,
    /// `METHOD path status` of every answer.
    pub log: Vec<String>,
    faults: Vec<(String, Fault, u32)>,
    broken: Vec<String>,
    next_id: u64,
    base: String,
    clock: Clock,
}

/// The stand-in while it runs.
pub struct StandIn {
    hub: Arc<Mutex<Hub>>,
    address: String,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl StandIn {
    /// One whose time is this clock's.
    pub async fn start(clock: Clock) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = server::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let hub = Arc::new(Mutex::new(Hub {
            repositories: Vec::new(),
            tokens: vec![TOKEN.to_owned()],
            minted: HashMap::new(),
            remaining: BUDGET,
            reset: clock.now().seconds() + 3600,
            elsewhere: String::new(),
            log: Vec::new(),
            faults: Vec::new(),
            broken: Vec::new(),
            next_id: 1000,
            base: address.clone(),
            clock,
        }));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let served = hub.clone();
        let router = Router::new().fallback(move |request: Request| serve(served.clone(), request));
        tasks.spawn(server::serve(listener, router, stopped));
        Self { hub, address, _stop: stop, _tasks: tasks }
    }

    /// GitHub as the daemon sees it with the token.
    pub fn with_token(&self, clock: &Clock, owners: &[&str]) -> GitHub {
        self.forge(clock, owners, Credential::Token(Secret::from(TOKEN.to_owned())))
    }

    /// The same with the App.
    pub fn with_app(&self, clock: &Clock, owners: &[&str]) -> GitHub {
        let key = include_str!("../fixtures/github/app-key.pem").to_owned();
        self.forge(clock, owners, Credential::App { id: APP, key: Secret::from(key) })
    }

    fn forge(&self, clock: &Clock, owners: &[&str], credential: Credential) -> GitHub {
        let options = GitHubOptions {
            api_url: self.address.clone(),
            owners: owners.iter().map(|&owner| owner.to_owned()).collect(),
            prefix: "mrx-".to_owned(),
            installation: None,
            credential,
            clock: clock.clone(),
            chance: || 0.5,
        };
        GitHub::new(options).unwrap()
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Looks into it, or changes it.
    pub fn hub<T>(&self, look: impl FnOnce(&mut Hub) -> T) -> T {
        look(&mut self.hub.lock().unwrap())
    }

    /// Makes a repository of [`ACME`]; tells its number.
    pub fn add(&self, name: &str) -> u64 {
        self.hub(|hub| hub.add(ACME, name))
    }

    /// Changes a repository.
    pub fn change(&self, id: u64, change: impl FnOnce(&mut Repository)) {
        self.hub(|hub| change(hub.repositories.iter_mut().find(|found| found.id == id).unwrap()));
    }

    /// Lets the next so many calls fail whose path holds this text.
    pub fn fail(&self, path: &str, fault: Fault, times: u32) {
        self.hub(|hub| hub.faults.push((path.to_owned(), fault, times)));
    }

    /// Lets the calls that were to fail succeed again.
    pub fn heal(&self) {
        self.hub(|hub| hub.faults.clear());
    }

    /// What it answered since the last time this was asked.
    pub fn log(&self) -> Vec<String> {
        self.hub(|hub| std::mem::take(&mut hub.log))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let broken = std::mem::take(&mut self.hub.lock().unwrap().broken);
            assert!(broken.is_empty(), "answers that GitHub would not give: {broken:#?}");
        }
    }
}

impl Hub {
    /// Makes a repository.
    pub fn add(&mut self, owner: &str, name: &str) -> u64 {
        self.next_id += 1;
        self.repositories.push(Repository {
            id: self.next_id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            description: None,
            default_branch: "main".to_owned(),
            private: true,
            archived: false,
        });
        self.next_id
    }

    fn fault_for(&mut self, path: &str) -> Option<Fault> {
        let at =
            self.faults.iter().position(|(part, _, times)| *times > 0 && path.contains(part.as_str()))?;
        self.faults[at].2 -= 1;
        Some(self.faults[at].1)
    }
}

async fn serve(hub: Arc<Mutex<Hub>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut hub = hub.lock().unwrap();
    answer::answer(&mut hub, &parts, &body)
}

/// An hour, for how long a token of an installation holds.
pub const HOUR: Duration = Duration::from_secs(3600);
