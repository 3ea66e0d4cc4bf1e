//! Every subject over one open state: what handlers, the daemon's tasks and the benchmarks work with.

use std::sync::Arc;

use crate::clock::Clock;
use crate::job::Jobs;
use crate::job::lease::Leases;
use crate::job::open::OpenJobs;
use crate::job::queue::Queue;
use crate::project::registry::Registered;
use crate::project::{Projects, Registry};
use crate::state::disk::{Disk, RealDisk};
use crate::state::edit::Projections;
use crate::state::layout::{DataFolder, RepoName};
use crate::state::recover::Recovered;
use crate::state::store::{Kinds, OpenError, Options, State};

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

/// Ends the process at once: after a failed fsync nobody knows what is on the disk, and only a restart finds out.
fn end_process(message: &str) {
    tracing::error!("{message}");
    eprintln!("mrx: {message}");
    std::process::exit(70);
}

/// The subjects. A clone is the same.
#[derive(Clone)]
pub struct App {
    /// The engine.
    pub state: State,
    /// The time.
    pub clock: Clock,
    /// Projects.
    pub projects: Projects,
    /// Jobs.
    pub jobs: Jobs,
}

impl App {
    /// Opens the folder, recovering what a crash left.
    pub async fn open(options: AppOptions) -> Result<(Self, Recovered), OpenError> {
        let clock = options.clock;
        let (registry, queue, leases) = (Registry::default(), Queue::default(), Leases::new(clock.clone()));
        let kinds = kinds(registry.clone(), queue.clone(), leases.clone());
        let (state, recovered) = State::open(Options {
            folder: options.folder,
            disk: options.disk,
            clock: clock.clone(),
            journal_segment_bytes: options.journal_segment_bytes,
            kinds,
            on_failure: options.on_failure,
        })?;
        let projects = Projects::new(state.clone(), clock.clone(), registry.clone());
        let jobs = Jobs::new(state.clone(), clock.clone(), registry, queue, leases);
        Ok((Self { state, clock, projects, jobs }, recovered))
    }
}

/// Which projections live in which repository: the one place where a subject is registered.
fn kinds(registry: Registry, queue: Queue, leases: Leases) -> Kinds {
    Arc::new(move |name: &RepoName| match name {
        RepoName::Platform => Projections::default().with(Registered(registry.clone())),
        RepoName::Project(id) => {
            Projections::default().with(OpenJobs::new(id.clone(), queue.clone(), leases.clone()))
        }
    })
}
