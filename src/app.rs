//! Every subject over one open state: what handlers, the daemon's tasks and the benchmarks work with.

use std::net::IpAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::agent::Agents;
use crate::agent::agents::{self, KnownAgents};
use crate::artifact::Artifacts;
use crate::artifact::store::{ArtifactStore, StoreError};
use crate::chat::Chats;
use crate::clock::Clock;
use crate::forge::Forge;
use crate::forge::local::{LocalForge, LocalForgeError};
use crate::forge::secret::Secret;
use crate::forge::webhook::Deliveries;
use crate::git::receive::{Patience, Receiving};
use crate::git::serve::Serving;
use crate::http::cors::Origin;
use crate::identity::Identity;
use crate::identity::accounts::{IdentityKeys, Policy};
use crate::identity::issuer::Issuers;
use crate::identity::known;
use crate::identity::rate::RateLimits;
use crate::identity::token::{self, DerivingKey, OPERATOR_TOKEN, SIGNING_KEY};
use crate::job::Jobs;
use crate::job::lease::Leases;
use crate::job::needs::Unsettled;
use crate::job::open::{JobMemory, OpenJobs};
use crate::job::queue::Queue;
use crate::key_file::KeyFileError;
use crate::log::Logs;
use crate::project::registry::Registered;
use crate::project::{Project, Projects, Registry, Syncer};
use crate::remote::{RemoteOptions, Remotes};
use crate::schedule::Schedules;
use crate::schedule::known::{KnownSchedules, Timetable};
use crate::secret::keys::Keys;
use crate::secret::known::KnownSecrets;
use crate::secret::{self, Scope, Secrets};
use crate::state::disk::{Disk, RealDisk};
use crate::state::edit::Projections;
use crate::state::epoch::Limits;
use crate::state::layout::{DataFolder, RepoName};
use crate::state::recover::Recovered;
use crate::state::sign::Signer;
use crate::state::store::{EngineError, Kinds, OpenError, Options, State};
use crate::webhook::Webhooks;
use crate::webhook::known::{KnownWebhooks, Registered as RegisteredWebhooks};
use crate::webhook::names::Names;

/// How to open a data folder.
pub struct AppOptions {
    /// The data folder.
    pub folder: DataFolder,
    /// The time.
    pub clock: Clock,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// Where projects come from; a folder of repositories in the data folder if absent.
    pub forge: Option<Forge>,
    /// How often a forge is asked that cannot be watched.
    pub forge_poll: Duration,
    /// What GitHub signs its webhooks with.
    pub webhook_secret: Option<Secret>,
    /// Whether outbound webhooks may call every address, also by http: for tests and networks of one's own.
    pub allow_private_webhooks: bool,
    /// Who says where the names in webhooks' addresses lead.
    pub names: Names,
    /// What the operator decides about remotes.
    pub remotes: RemoteOptions,
    /// The size of a journal segment in bytes.
    pub journal_segment_bytes: u64,
    /// When the history of a branch goes on without what was before.
    pub epochs: Limits,
    /// What the operator decides about accounts.
    pub policy: Policy,
    /// The file of other issuers of tokens, if any is believed.
    pub issuers: Option<PathBuf>,
    /// How the HTTP side behaves.
    pub http: HttpOptions,
    /// What the daemon's commits are signed with, if they are.
    pub signer: Option<Arc<Signer>>,
    /// The program that git's hooks run: `mrx` itself.
    pub program: PathBuf,
    /// How long whoever pushes is waited for.
    pub push_patience: Patience,
    /// Called once when nothing can be acknowledged any more.
    pub on_failure: Arc<dyn Fn(&str) + Send + Sync>,
}

impl AppOptions {
    /// The usual ones; a failed write or fsync ends the process.
    pub fn new(folder: DataFolder) -> Self {
        Self {
            folder,
            clock: Clock::system(),
            disk: Arc::new(RealDisk),
            forge: None,
            forge_poll: Duration::from_secs(300),
            webhook_secret: None,
            allow_private_webhooks: false,
            names: Names::default(),
            remotes: RemoteOptions::default(),
            journal_segment_bytes: 32 << 20,
            epochs: Limits::default(),
            policy: Policy::default(),
            issuers: None,
            http: HttpOptions::default(),
            signer: None,
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("mrx")),
            push_patience: Patience::default(),
            on_failure: Arc::new(end_process),
        }
    }
}

/// How the HTTP side behaves.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Whether cookies are sent over TLS alone: set where a TLS proxy stands before the daemon.
    pub are_cookies_secure: bool,
    /// Other origins whose pages may use the API.
    pub dashboard_origins: Vec<Origin>,
    /// The proxies that are believed when they say for whom they call.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether nobody's calls are counted, for measuring.
    pub is_unlimited: bool,
}

/// Why the data folder was not opened.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The engine.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The platform's own state.
    #[error(transparent)]
    Platform(#[from] EngineError),
    /// The artifact store.
    #[error(transparent)]
    Artifacts(#[from] StoreError),
    /// The daemon's keys and tokens.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The file of other issuers.
    #[error("the other issuers of tokens cannot be used: {0:#}")]
    Issuers(anyhow::Error),
    /// The forge's folder.
    #[error(transparent)]
    Forge(#[from] LocalForgeError),
    /// The folder of pushes under way.
    #[error("the leftovers of pushes cannot be removed: {0}")]
    Pushes(std::io::Error),
}

/// Ends the process at once: after a failed fsync nobody knows what is on the disk, and only a restart finds out.
fn end_process(message: &str) {
    tracing::error!("{message}");
    eprintln!("mrx: {message}");
    std::process::exit(70);
}

/// The subjects. A clone is the same, and costs one count: every request makes a few.
#[derive(Clone)]
pub struct App(Arc<Subjects>);

/// What an [`App`] holds.
pub struct Subjects {
    /// The engine.
    pub state: State,
    /// The time.
    pub clock: Clock,
    /// Projects.
    pub projects: Projects,
    /// Keeps them as the forge has them.
    pub syncer: Syncer,
    /// What GitHub signs its webhooks with.
    pub webhook_secret: Option<Secret>,
    /// GitHub's deliveries that were taken.
    pub deliveries: Deliveries,
    /// Jobs.
    pub jobs: Jobs,
    /// Logs.
    pub logs: Logs,
    /// Artifacts.
    pub artifacts: Artifacts,
    /// Agents.
    pub agents: Agents,
    /// Accounts, sessions and keys.
    pub identity: Identity,
    /// Clones and fetches under way.
    pub serving: Serving,
    /// Pushes under way.
    pub receiving: Receiving,
    /// How often each may call.
    pub limits: RateLimits,
    /// How the HTTP side behaves.
    pub http: HttpOptions,
    /// Schedules.
    pub schedules: Schedules,
    /// Secrets.
    pub secrets: Secrets,
    /// Outbound webhooks.
    pub webhooks: Webhooks,
    /// Remotes of projects.
    pub remotes: Remotes,
    /// Chats.
    pub chats: Chats,
    ready: AtomicBool,
}

impl Deref for App {
    type Target = Subjects;
    fn deref(&self) -> &Subjects {
        &self.0
    }
}

impl App {
    /// Opens the folder, recovering what a crash left.
    pub async fn open(options: AppOptions) -> Result<(Self, Recovered), AppError> {
        let clock = options.clock;
        let registry = Registry::default();
        let timetable = Timetable::default();
        let job_memory = JobMemory {
            queue: Queue::default(),
            leases: Leases::new(clock.clone()),
            unsettled: Unsettled::default(),
        };
        let (known_agents, known, known_secrets) =
            (KnownAgents::default(), known::Known::default(), KnownSecrets::default());
        let known_webhooks = KnownWebhooks::default();
        let kinds = kinds(Memory {
            registry: registry.clone(),
            agents: known_agents.clone(),
            identity: known.clone(),
            secrets: known_secrets.clone(),
            jobs: job_memory.clone(),
            timetable: timetable.clone(),
            webhooks: known_webhooks.clone(),
        });
        let issuers = Issuers::read(options.issuers.as_deref(), clock.clone()).map_err(AppError::Issuers)?;
        let (state, recovered) = State::open(Options {
            folder: options.folder,
            disk: options.disk,
            clock: clock.clone(),
            journal_segment_bytes: options.journal_segment_bytes,
            epochs: options.epochs,
            kinds,
            signer: options.signer,
            on_failure: options.on_failure,
        })?;
        let projects = Projects::new(state.clone(), clock.clone(), registry.clone());
        let keys = Keys::open(&state.folder().keys())?;
        let forge = match options.forge {
            Some(forge) => forge,
            None => Forge::Local(LocalForge::open(&state.folder().forge())?),
        };
        let syncer = Syncer::new(forge, projects.clone(), clock.clone(), options.forge_poll);
        let jobs = Jobs::new(state.clone(), clock.clone(), registry.clone(), job_memory);
        let schedules = Schedules::new(state.clone(), clock.clone(), registry.clone(), timetable);
        let logs = Logs::new(state.clone(), clock.clone(), jobs.clone());
        let store = ArtifactStore::in_folder(&state.folder().artifacts())?;
        let artifacts = Artifacts::new(state.clone(), clock.clone(), store);
        let agents = Agents::new(state.clone(), clock.clone(), known_agents);
        let secrets = Secrets::new(state.clone(), clock.clone(), jobs.clone(), registry, known_secrets, keys);
        let chats = Chats::new(state.clone(), clock.clone(), jobs.clone());
        let allow_private = options.allow_private_webhooks;
        let webhooks = Webhooks::new(
            state.clone(),
            clock.clone(),
            known_webhooks,
            secrets.clone(),
            (allow_private, options.names),
        );
        let remotes = Remotes::new(
            state.clone(),
            clock.clone(),
            projects.registry().clone(),
            secrets.clone(),
            options.remotes,
            allow_private,
        );
        let keys = state.folder().keys();
        let keys = IdentityKeys {
            operator: token::read_or_make(&keys, OPERATOR_TOKEN)?.hash(),
            signing: DerivingKey::new(token::read_or_make(&keys, SIGNING_KEY)?),
        };
        let identity = Identity::new(state.clone(), clock.clone(), known, keys, options.policy, issuers);
        let (limits, http) = (RateLimits::new(!options.http.is_unlimited), options.http);
        projects.create_platform().await?;
        let ready = AtomicBool::new(false);
        let (webhook_secret, deliveries) = (options.webhook_secret, Deliveries::default());
        let receiving = Receiving::new(state.folder().pushes(), options.program, options.push_patience)
            .map_err(AppError::Pushes)?;
        let subjects = Subjects {
            state,
            clock,
            projects,
            syncer,
            webhook_secret,
            deliveries,
            jobs,
            logs,
            artifacts,
            agents,
            identity,
            serving: Serving::default(),
            receiving,
            limits,
            http,
            schedules,
            secrets,
            webhooks,
            remotes,
            chats,
            ready,
        };
        Ok((Self(Arc::new(subjects)), recovered))
    }

    /// Reads the open jobs of every project into the queue; then the daemon is ready. A project that has none is closed
    /// again at once, so ten thousand of them cost nothing.
    pub async fn read_open_jobs(&self) {
        for project in self.projects.registry().names() {
            let repo = RepoName::Project(project);
            if let Err(error) = self.state.read(&repo, |_| ()).await {
                tracing::error!(%repo, %error, "a project's state cannot be read; the others go on without it");
            }
            self.state.let_go(&repo);
        }
        if let Err(error) = self.jobs.settle(usize::MAX).await {
            tracing::error!(%error, "a job that needs others waits for the next round");
        }
        self.ready.store(true, Ordering::Release);
    }

    /// Whether every open job is in the queue.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

/// What the projections fill.
struct Memory {
    registry: Registry,
    agents: KnownAgents,
    identity: known::Known,
    secrets: KnownSecrets,
    jobs: JobMemory,
    timetable: Timetable,
    webhooks: KnownWebhooks,
}

/// Which projections live in which repository: the one place where a subject is registered.
fn kinds(memory: Memory) -> Kinds {
    let Memory { registry, agents, identity, secrets, jobs, timetable, webhooks } = memory;
    Arc::new(move |name: &RepoName| {
        let all =
            Projections::default().with(secret::known::Registered::new(Scope::of(name), secrets.clone()));
        match name {
            RepoName::Platform => {
                let lines = jobs.queue.clone();
                let on_entry = Box::new(move |id: &_, project: Option<&Project>| {
                    lines.pause(id, !project.is_some_and(Project::is_worked_on));
                    lines.limit(id, project.and_then(|project| project.concurrency).map(usize::from));
                });
                let lines = jobs.queue.clone();
                let on_agent = Box::new(move |id: &_, is_draining| lines.drain(id, is_draining));
                all.with(Registered { registry: registry.clone(), on_entry })
                    .with(agents::Registered { known: agents.clone(), on_agent })
                    .with(known::Registered(identity.clone()))
            }
            RepoName::Project(id) if registry.is_begun_fork(id) => Projections::default(),
            RepoName::Project(id) => all
                .with(OpenJobs::new(id.clone(), jobs.clone(), registry.is_fork(id)))
                .with(KnownSchedules::new(id.clone(), timetable.clone()))
                .with(RegisteredWebhooks::new(id.clone(), webhooks.clone())),
        }
    })
}
