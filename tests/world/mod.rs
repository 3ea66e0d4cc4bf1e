//! A small world: a data folder, a forge, a daemon on loopback whose clock the story moves, and whoever calls it.
//!
//! - [`call`] is a caller and its answers, each checked against the API's document   - [`agents`] is an agent at work
//! - [`worker`] is the real agent program   - [`listen`] reads streams of events   - [`git`] looks at the state with plain git, and changes it behind the daemon's back

mod agents;
mod call;
mod clone;
mod git;
mod listen;
mod proxy;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mrx::app::{App, AppOptions, HttpOptions};
use mrx::clock::{Clock, Time};
use mrx::forge::Forge;
use mrx::forge::github::GitHub;
use mrx::forge::local::LocalForge;
use mrx::forge::secret::Secret;
use mrx::git::receive::Patience;
use mrx::http::cors::Origin;
use mrx::http::{routes, server};
use mrx::identity::accounts::{Policy, Registration};
use mrx::identity::token::OPERATOR_TOKEN;
use mrx::remote::RemoteOptions;
use mrx::state::epoch::Limits;
use mrx::state::journal::file::OnFailure;
use mrx::state::layout::DataFolder;
use mrx::state::sign::Signer;
use mrx::webhook::names::Names;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use agents::{AgentAtWork, Held, held};
pub use call::{AgentKeys, Answer, Call, Caller};
pub use clone::{Clone, Said, git, git_of, url};
pub use git::fingerprint;
pub use listen::{Heard, Listener};
pub use proxy::{Cut, Proxy};

/// The project that stories speak of if they name none.
pub const HELLO: &str = "mrx-hello";
/// What GitHub signs webhooks with.
pub const WEBHOOK_SECRET: &str = "a webhook's secret of the stories";
/// Small segments, so that stories cross their borders; the largest append must fit into one.
const SEGMENT_BYTES: u64 = 2 << 20;
/// How long a world waits for what must come.
pub const SOON: Duration = Duration::from_secs(10);

/// The world.
pub struct World {
    /// The daemon's time.
    pub clock: Clock,
    /// A client for calls.
    pub http: reqwest::Client,
    /// The forge, if it is not a folder.
    github: Option<GitHub>,
    webhook_secret: Option<Secret>,
    allow_private_webhooks: bool,
    names: Names,
    /// Gone before the folder is.
    is_there: Arc<()>,
    folder: tempfile::TempDir,
    running: Option<Running>,
    keys: AgentKeys,
    registration: Registration,
    is_limited: bool,
    push_patience: Patience,
    issuers: Option<PathBuf>,
    origins: Vec<Origin>,
    credential_hosts: Vec<String>,
    proxies: Vec<std::net::IpAddr>,
    signer: Option<Arc<Signer>>,
    epochs: Limits,
}

/// A running daemon.
struct Running {
    app: App,
    address: String,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl World {
    /// A world with one project, [`HELLO`], at ten o'clock on 20 November 2026.
    pub async fn start() -> Self {
        let mut world = Self::prepare();
        world.open().await;
        world.project(HELLO).await;
        world
    }

    /// A world whose forge is GitHub, with a secret for webhooks; both have this clock.
    pub async fn with_github(clock: Clock, github: GitHub) -> Self {
        let mut world = Self { clock, ..Self::prepare() };
        world.github = Some(github);
        world.webhook_secret = Some(Secret::from(WEBHOOK_SECRET.to_owned()));
        world.open().await;
        world
    }

    /// A world whose webhooks may call private addresses, or not, and whose names lead where this says.
    pub async fn with_webhooks(allow_private: bool, names: Names) -> Self {
        let mut world = Self { allow_private_webhooks: allow_private, names, ..Self::prepare() };
        world.open().await;
        world.project(HELLO).await;
        world
    }

    /// Starts it again with another rule of what webhooks may call.
    pub async fn reopen_with_private_webhooks(&mut self, allowed: bool) {
        self.allow_private_webhooks = allowed;
        self.restart().await;
    }

    fn prepare() -> Self {
        // Every story installs it; the first one wins.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let start: Time = "2026-11-20T10:00:00.000Z".parse().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self {
            clock: Clock::by_hand(start),
            http,
            github: None,
            webhook_secret: None,
            allow_private_webhooks: true,
            names: Names::default(),
            is_there: Arc::default(),
            folder,
            running: None,
            keys: AgentKeys::default(),
            registration: Registration::Off,
            is_limited: false,
            push_patience: Patience::default(),
            issuers: None,
            origins: Vec::new(),
            credential_hosts: Vec::new(),
            proxies: Vec::new(),
            signer: None,
            epochs: Limits::default(),
        }
    }

    /// Opens the data folder and serves it.
    pub async fn open(&mut self) {
        let app = self.open_app().await;
        app.read_open_jobs().await;
        app.secrets.reseal_all().await;
        let listener = server::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = watch::channel(false);
        let (remotes, mut until_then) = (app.remotes.clone(), stopped.clone());
        let mut tasks = JoinSet::new();
        let (hooks, mut until) = (app.webhooks.clone(), stopped.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = hooks.run() => {}
                _ = until.wait_for(|stop| *stop) => {}
            }
        });
        tasks.spawn(async move {
            tokio::select! {
                () = remotes.run() => {}
                _ = until_then.wait_for(|stop| *stop) => {}
            }
        });
        tasks.spawn(server::serve(listener, routes::router(app.clone()), stopped));
        self.running = Some(Running { app, address, stop, tasks });
    }

    /// A daemon that stopped a moment ago may still hold the folder.
    async fn open_app(&self) -> App {
        for _ in 0..500 {
            let options = AppOptions {
                clock: self.clock.clone(),
                forge: Some(self.forge()),
                webhook_secret: self.webhook_secret.clone(),
                allow_private_webhooks: self.allow_private_webhooks,
                names: self.names.clone(),
                remotes: RemoteOptions {
                    allow_local: true,
                    credential_hosts: self.credential_hosts.clone(),
                    ..RemoteOptions::default()
                },
                journal_segment_bytes: SEGMENT_BYTES,
                http: HttpOptions {
                    is_unlimited: !self.is_limited,
                    dashboard_origins: self.origins.clone(),
                    trusted_proxies: self.proxies.clone(),
                    ..HttpOptions::default()
                },
                issuers: self.issuers.clone(),
                policy: Policy { registration: self.registration, ..Policy::default() },
                push_patience: self.push_patience,
                signer: self.signer.clone(),
                epochs: self.epochs,
                program: PathBuf::from(env!("CARGO_BIN_EXE_mrx")),
                on_failure: self.on_failure(),
                ..AppOptions::new(self.data())
            };
            match App::open(options).await {
                Ok((app, _)) => return app,
                Err(mrx::app::AppError::Open(mrx::state::store::OpenError::Lock(_))) => {}
                Err(error) => panic!("the folder cannot be opened: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the folder stays locked");
    }

    /// A failure fails the test, but not once the world and its folder are gone while something was still being published.
    fn on_failure(&self) -> OnFailure {
        let world = Arc::downgrade(&self.is_there);
        Arc::new(move |message| assert!(world.strong_count() == 0, "{message}"))
    }

    fn forge(&self) -> Forge {
        let folder = || LocalForge::open(&self.folder.path().join("forge")).unwrap();
        self.github.clone().map_or_else(|| Forge::Local(folder()), Forge::GitHub)
    }

    /// Stops the daemon.
    pub async fn close(&mut self) {
        let mut running = self.running.take().expect("the daemon runs");
        running.stop.send(true).unwrap();
        while running.tasks.join_next().await.is_some() {}
        running.app.webhooks.save().await;
        running.app.state.close();
    }

    /// Stops the daemon and starts it again.
    pub async fn restart(&mut self) {
        self.close().await;
        self.open().await;
    }

    /// Starts it again with another rule of who may register.
    pub async fn reopen_with_registration(&mut self, registration: Registration) {
        self.registration = registration;
        self.restart().await;
    }

    /// Starts it again with other issuers of tokens, as their file says.
    pub async fn reopen_with_issuers(&mut self, text: &str) {
        let file = self.folder.path().join("issuers.yaml");
        std::fs::write(&file, text).unwrap();
        self.issuers = Some(file);
        self.restart().await;
    }

    /// Starts it again as one that waits a fifth of a second for who pushes.
    pub async fn reopened_with_short_patience(mut self) -> Self {
        self.push_patience = Patience { silence: Duration::from_millis(200), whole: seconds(10) };
        self.restart().await;
        self
    }

    /// Starts it again with limits on how often each may call.
    pub async fn reopen_with_limits(&mut self) {
        self.is_limited = true;
        self.restart().await;
    }

    /// Starts it again with pages of another origin invited.
    pub async fn reopen_with_origin(&mut self, origin: &str) {
        self.origins = vec![origin.parse().unwrap()];
        self.restart().await;
    }

    /// Starts it again with its commits signed.
    pub async fn reopen_with_signer(&mut self, key: &std::path::Path) {
        self.signer = Some(Arc::new(Signer::read(key).unwrap()));
        self.restart().await;
    }

    /// Starts it again as one whose epochs end so.
    pub async fn reopen_with_epochs(&mut self, epochs: Limits) {
        self.epochs = epochs;
        self.restart().await;
    }

    /// Starts it again with a host that gets projects' credentials.
    pub async fn reopen_with_credential_host(&mut self, host: &str) {
        self.credential_hosts = vec![host.to_owned()];
        self.restart().await;
    }

    /// Starts it again behind a proxy at this address.
    pub async fn reopen_with_proxy(&mut self, proxy: &str) {
        self.proxies = vec![proxy.parse().unwrap()];
        self.restart().await;
    }

    /// The daemon's subjects.
    pub fn app(&self) -> &App {
        &self.running.as_ref().expect("the daemon runs").app
    }

    /// Where the daemon listens.
    pub fn address(&self) -> &str {
        &self.running.as_ref().expect("the daemon runs").address
    }

    fn data(&self) -> DataFolder {
        DataFolder::new(self.folder.path().join("data"))
    }

    /// The folder that everything is in.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Every file of the data folder.
    pub fn files(&self) -> Vec<PathBuf> {
        let (mut folders, mut files) = (vec![self.folder.path().join("data")], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        files
    }

    /// The folder of artifact bytes.
    pub fn artifact_files(&self) -> usize {
        let count = |folder: PathBuf| {
            std::fs::read_dir(folder)
                .map_or(0, |entries| entries.flatten().filter(|e| e.path().is_file()).count())
        };
        count(self.data().artifacts()) + count(self.data().artifacts().join("incoming"))
    }

    /// The operator: an admin.
    pub fn admin(&self) -> Caller<'_> {
        Caller::with_token(self, &self.token(OPERATOR_TOKEN))
    }

    /// An agent, whichever: it is registered when it first calls.
    pub fn any_agent(&self) -> Caller<'_> {
        Caller::of_agent(self, "any-agent")
    }

    /// What an agent of this name calls, besides its work.
    pub fn as_agent(&self, name: &str) -> Caller<'_> {
        Caller::of_agent(self, name)
    }

    /// The key of an agent, which is registered first.
    pub async fn key_of_agent(&self, name: &str) -> String {
        let answer = self.admin().post("/admin/agents").json(&json!({ "agentId": name })).await;
        answer.expect(201)["key"].as_str().unwrap().to_owned()
    }

    /// Whoever has none.
    pub fn stranger(&self) -> Caller<'_> {
        Caller::without_token(self)
    }

    /// A token, as its file has it.
    pub fn token(&self, name: &str) -> String {
        std::fs::read_to_string(self.data().keys().join(name)).unwrap().trim().to_owned()
    }

    /// An agent of this name.
    pub fn agent(&self, name: &str) -> AgentAtWork<'_> {
        AgentAtWork::new(self, name)
    }

    /// Puts a bare repository into the forge, and lets the daemon see it.
    pub async fn project(&self, name: &str) {
        let mut options = git2::RepositoryInitOptions::new();
        git2::Repository::init_opts(self.code_of(name), options.bare(true).initial_head("main")).unwrap();
        self.look_at_forge().await;
    }

    /// Takes the repository away again.
    pub async fn remove_code(&self, name: &str) {
        std::fs::remove_dir_all(self.code_of(name)).unwrap();
        self.look_at_forge().await;
    }

    /// Puts a first commit with one file into a project's code.
    #[expect(clippy::disallowed_methods, reason = "this is a repository of code, which MrX only reads")]
    pub async fn commit_code(&self, name: &str, file: &str, text: &str) {
        let repo = git2::Repository::open_bare(self.code_of(name)).unwrap();
        let mut root = repo.treebuilder(None).unwrap();
        root.insert(file, repo.blob(text.as_bytes()).unwrap(), 0o100_644).unwrap();
        let tree = repo.find_tree(root.write().unwrap()).unwrap();
        let author = git2::Signature::now("anna", "anna@example.org").unwrap();
        repo.commit(Some("refs/heads/main"), &author, &author, "Begin", &tree, &[]).unwrap();
        self.look_at_forge().await;
    }

    /// Whether the folder of the forge has a project's code.
    pub fn code_is_there(&self, name: &str) -> bool {
        self.code_of(name).join("HEAD").is_file()
    }

    /// Where the forge's folder has a project's code.
    pub fn code_of(&self, name: &str) -> PathBuf {
        self.folder.path().join("forge").join(format!("{name}.git"))
    }

    /// Lets the daemon see what the forge has.
    pub async fn look_at_forge(&self) {
        self.app().syncer.sync().await.unwrap();
    }

    /// Queues a job of this type for [`HELLO`]; tells its id.
    pub async fn queue(&self, kind: &str) -> String {
        self.queue_with(json!({ "jobType": kind })).await
    }

    /// Queues a job with these fields, of [`HELLO`] if they name no project; tells its id.
    pub async fn queue_with(&self, mut body: Value) -> String {
        if body.get("projectId").is_none() {
            body["projectId"] = HELLO.into();
        }
        let answer = self.admin().post("/jobs/create").json(&body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["jobId"].as_str().unwrap().to_owned()
    }

    /// The job as it is now.
    pub async fn job(&self, id: &str) -> Value {
        self.admin().get(&format!("/jobs/{id}")).await.expect(200)
    }

    /// The job's state as it is now.
    pub async fn state(&self, id: &str) -> String {
        self.job(id).await["state"].as_str().unwrap().to_owned()
    }

    /// Time passes, and the daemon looks at its leases.
    pub async fn pass(&self, span: Duration) {
        self.clock.pass(span);
        self.app().jobs.expire().await.unwrap();
    }
}

/// So many seconds.
pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
