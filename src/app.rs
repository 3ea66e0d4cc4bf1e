//! Every subject over one open state: what handlers, the daemon's tasks and the benchmarks work with.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::agent::Agents;
use crate::agent::agents::{self, KnownAgents};
use crate::artifact::Artifacts;
use crate::artifact::store::{ArtifactStore, StoreError};
use crate::chat::Chats;
use crate::clock::Clock;
use crate::job::Jobs;
use crate::job::lease::Leases;
use crate::job::open::OpenJobs;
use crate::job::queue::Queue;
use crate::log::Logs;
use crate::project::registry::Registered;
use crate::project::{Projects, Registry};
use crate::secret::keys::{KeyError, Keys};
use crate::secret::known::{self, KnownSecrets};
use crate::secret::{Scope, Secrets};
use crate::state::disk::{Disk, RealDisk};
use crate::state::edit::Projections;
use crate::state::layout::{DataFolder, RepoName};
use crate::state::recover::Recovered;
use crate::state::store::{EngineError, Kinds, OpenError, Options, State};

/// How to open a data folder.
pub struct AppOptions {
    /// The data folder.
    pub folder: DataFolder,
    /// The time.
    pub clock: Clock,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// The size of a journal segment in bytes.
    pub journal_segment_bytes: u64,
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
            journal_segment_bytes: 32 << 20,
            on_failure: Arc::new(end_process),
        }
    }
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
    /// The daemon's keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
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
    /// Jobs.
    pub jobs: Jobs,
    /// Logs.
    pub logs: Logs,
    /// Artifacts.
    pub artifacts: Artifacts,
    /// Agents.
    pub agents: Agents,
    /// Secrets.
    pub secrets: Secrets,
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
        let (registry, queue, leases) = (Registry::default(), Queue::default(), Leases::new(clock.clone()));
        let (known_agents, known_secrets) = (KnownAgents::default(), KnownSecrets::default());
        let kinds = kinds(
            registry.clone(),
            known_agents.clone(),
            known_secrets.clone(),
            queue.clone(),
            leases.clone(),
        );
        let (state, recovered) = State::open(Options {
            folder: options.folder,
            disk: options.disk,
            clock: clock.clone(),
            journal_segment_bytes: options.journal_segment_bytes,
            kinds,
            on_failure: options.on_failure,
        })?;
        let projects = Projects::new(state.clone(), clock.clone(), registry.clone());
        let keys = Keys::open(&state.folder().keys())?;
        let jobs = Jobs::new(state.clone(), clock.clone(), registry.clone(), queue, leases);
        let logs = Logs::new(state.clone(), clock.clone(), jobs.clone());
        let store = ArtifactStore::in_folder(&state.folder().artifacts())?;
        let artifacts = Artifacts::new(state.clone(), clock.clone(), store);
        let agents = Agents::new(state.clone(), clock.clone(), known_agents);
        let secrets = Secrets::new(state.clone(), clock.clone(), jobs.clone(), registry, known_secrets, keys);
        let chats = Chats::new(state.clone(), clock.clone(), jobs.clone());
        projects.create_platform().await?;
        let ready = AtomicBool::new(false);
        let subjects =
            Subjects { state, clock, projects, jobs, logs, artifacts, agents, secrets, chats, ready };
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
        self.ready.store(true, Ordering::Release);
    }

    /// Whether every open job is in the queue.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

/// Which projections live in which repository: the one place where a subject is registered.
fn kinds(
    registry: Registry,
    agents: KnownAgents,
    secrets: KnownSecrets,
    queue: Queue,
    leases: Leases,
) -> Kinds {
    Arc::new(move |name: &RepoName| {
        let all = Projections::default().with(known::Registered::new(Scope::of(name), secrets.clone()));
        match name {
            RepoName::Platform => {
                all.with(Registered(registry.clone())).with(agents::Registered(agents.clone()))
            }
            RepoName::Project(id) => all.with(OpenJobs::new(id.clone(), queue.clone(), leases.clone())),
        }
    })
}
