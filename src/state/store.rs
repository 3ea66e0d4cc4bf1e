//! The state as a whole: opens the data folder, finds repositories, and takes changes and reads to them.

mod epochs;
mod error;
mod read;
mod remove;
mod stray;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::commit::Event;
use super::create;
use super::disk::{self, Disk};
use super::edit::{Change, Projections, Step};
use super::epoch::{self, Limits};
use super::events::Events;
use super::halt::Halt;
use super::journal::file::{FileJournal, JournalOptions};
use super::journal::{Backlog, Flusher, Journal, Lsn, OnDurable};
use super::layout::{DataFolder, RepoName, STATE_REF};
use super::lock::FolderLock;
use super::maintain::Upkeep;
use super::objects::{Handles, Objects};
use super::oid::Oid;
use super::publish::{Agenda, Publisher, Unpublished};
use super::recover::{self, Recovered};
use super::repo::{Appended, Decision, Progress, Repo, Sink, View};
use super::sign::Signer;
use epochs::Epochs;
pub use error::{EngineError, OpenError};
pub use stray::Stray;

use super::threads;
use super::tree::LoadError;
use crate::clock::{Clock, Time};

/// Changes under way at once; more wait their turn. Far above what a batch needs to be full.
const IN_FLIGHT_MAX: usize = 4096;
/// Threads that publish: while one waits for an fsync, another packs.
const PUBLISHERS: usize = 2;
/// A repository that nobody used for this long is closed.
const IDLE_AFTER: Duration = Duration::from_secs(600);

/// What the subjects keep in memory of a repository.
pub type Kinds = Arc<dyn Fn(&RepoName) -> Projections + Send + Sync>;

/// How to open the state.
pub struct Options {
    /// The data folder.
    pub folder: DataFolder,
    /// The file system; `RealDisk` but in fault tests.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Clock,
    /// The size of a journal segment in bytes.
    pub journal_segment_bytes: u64,
    /// When an epoch ends.
    pub epochs: Limits,
    /// The projections of each repository.
    pub kinds: Kinds,
    /// What the daemon's commits are signed with, if they are.
    pub signer: Option<Arc<Signer>>,
    /// Called once, with a message for a person, when a write or fsync failed and nothing may be acknowledged any
    /// more. The daemon ends the process.
    pub on_failure: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A change that is durable, or that was not needed.
#[derive(Debug)]
pub struct Done<T> {
    /// What the decision answered.
    pub answer: T,
    /// The commit; the newest one if nothing had to change.
    pub commit: Oid,
    /// The journal's record; wait for it with [`State::published`].
    pub lsn: Lsn,
}

/// The engine. A clone is the same engine.
#[derive(Clone)]
pub struct State(Arc<Engine>);

struct Engine {
    folder: DataFolder,
    disk: Arc<dyn Disk>,
    clock: Clock,
    kinds: Kinds,
    journal: Arc<dyn Journal>,
    repos: Mutex<HashMap<RepoName, Slot>>,
    agenda: Arc<Agenda>,
    unpublished: Arc<Unpublished>,
    events: Arc<Events>,
    signer: Option<Arc<Signer>>,
    handles: Handles,
    halt: Arc<Halt>,
    in_flight: Semaphore,
    publishers: Mutex<Vec<JoinHandle<()>>>,
    upkeep: Arc<Upkeep>,
    folding: Mutex<Option<JoinHandle<()>>>,
    epochs: Epochs,
    _lock: FolderLock,
}

/// A place for one repository; its own lock is held while it loads, so that it loads once.
type Slot = Arc<Mutex<Option<Arc<Repo>>>>;
/// Who has a slot that nobody loads into: the map, and the one that asks. Slots are handed out under the map's lock.
const SLOT_UNUSED: usize = 2;

impl State {
    /// Takes the folder, recovers what a crash left, and starts the journal and the publishers.
    pub fn open(options: Options) -> Result<(Self, Recovered), OpenError> {
        let folder = options.folder;
        let failed = |source| OpenError::Folder { path: folder.path().to_owned(), source };
        disk::make_folders(&*options.disk, folder.path()).map_err(failed)?;
        let lock = FolderLock::take(&folder.lock())?;
        prepare(&folder, &*options.disk).map_err(failed)?;
        let halt = Arc::new(Halt::new(options.on_failure));
        let stop = halt.clone();
        let journal_options = JournalOptions {
            segment_bytes: options.journal_segment_bytes,
            ..JournalOptions::new(folder.journal(), Arc::new(move |why| stop.stop(why)))
        };
        let (journal, left) = FileJournal::open(journal_options, options.disk.clone())?;
        let journal: Arc<dyn Journal> = Arc::new(journal);
        let recovered = recover::replay(&folder, &*options.disk, &options.clock, &left, &*journal)?;
        let agenda = Arc::new(Agenda::default());
        let unpublished = Arc::new(Unpublished::default());
        let (disk, clock) = (options.disk.clone(), options.clock.clone());
        let upkeep = Arc::new(Upkeep::new(folder.clone(), disk, clock, halt.as_callback()));
        let folding_upkeep = upkeep.clone();
        let folding = threads::start("fold", move || folding_upkeep.run());
        let publisher = Arc::new(Publisher {
            disk: options.disk.clone(),
            journal: journal.clone(),
            agenda: agenda.clone(),
            unpublished: unpublished.clone(),
            clock: options.clock.clone(),
            upkeep: upkeep.clone(),
            halt: halt.clone(),
        });
        let publishers = (1..=PUBLISHERS)
            .map(|number| {
                let publisher = publisher.clone();
                threads::start(&format!("publish-{number}"), move || publisher.run())
            })
            .collect();
        let engine = Engine {
            folder,
            disk: options.disk,
            clock: options.clock,
            kinds: options.kinds,
            journal,
            repos: Mutex::default(),
            agenda,
            unpublished,
            events: Arc::default(),
            signer: options.signer,
            handles: Handles::default(),
            halt,
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            publishers: Mutex::new(publishers),
            upkeep,
            folding: Mutex::new(Some(folding)),
            epochs: Epochs::new(options.epochs),
            _lock: lock,
        };
        Ok((Self(Arc::new(engine)), recovered))
    }

    /// Makes one change: decides on the newest state, commits, and answers once that is durable. A refusal of the
    /// decision comes back as it is; what the engine cannot do becomes an error of the same type.
    pub async fn change<T, E: From<EngineError>>(
        &self,
        name: &RepoName,
        decide: impl FnOnce(&mut View<'_>) -> Result<Decision<T>, E>,
    ) -> Result<Done<T>, E> {
        let _place = self.0.in_flight.acquire().await.map_err(|_| EngineError::Unknown)?;
        let mut decide = Some(decide);
        loop {
            let repo = self.repo(name).await?;
            repo.wait_for_turn().await;
            let Some(tried) = self.0.try_change(&repo, &mut decide) else { continue };
            let (done, durable) = tried?;
            match durable {
                Some(durable) => {
                    self.0.journal.flush(self.0.flusher());
                    durable.await.map_err(|_| EngineError::Unknown)?;
                }
                None => self.0.reached(&repo.durable, done.lsn).await?,
            }
            return Ok(done);
        }
    }

    /// Waits until plain git shows everything up to this record of the repository.
    pub async fn published(&self, name: &RepoName, lsn: Lsn) -> Result<(), EngineError> {
        let repo = self.repo(name).await?;
        self.0.reached(&repo.published, lsn).await
    }

    /// Makes a repository with a first commit; nothing if it exists.
    pub async fn create(&self, name: &RepoName, first: Change) -> Result<Oid, EngineError> {
        let path = self.0.folder.repo(name);
        // One without a commit may have been left before its name was durable; to make it again harms nothing.
        if !self.exists(name) || super::refs::read(&path, STATE_REF).is_ok_and(|tip| tip == Oid::ZERO) {
            let (disk, slot) =
                (self.0.disk.clone(), self.0.repos.lock().entry(name.clone()).or_default().clone());
            // Two may want it at the same time; the one who comes second finds it made, or makes nothing new of it.
            let make = move || {
                let held = slot.lock();
                if held.is_some() { Ok(()) } else { create::repository(&*disk, &path) }
            };
            let made = tokio::task::spawn_blocking(make).await;
            made.map_err(|_| EngineError::Unknown)?.map_err(|error| not_made(name, &error))?;
        }
        let decide = |view: &mut View<'_>| -> Result<Decision<()>, EngineError> {
            let is_new = view.tip() == Oid::ZERO;
            Ok(if is_new { Decision::commit(first, ()) } else { Decision::nothing(()) })
        };
        Ok(self.change(name, decide).await?.commit)
    }

    /// Makes a repository whose state branch starts at a commit of another's, in as much time as there are packs to link.
    pub async fn fork(&self, source: &RepoName, commit: Oid, name: &RepoName) -> Result<(), EngineError> {
        let last = self.read(source, |view| view.last()).await?;
        self.published(source, last).await?;
        let (disk, from, to) = (self.0.disk.clone(), self.0.folder.repo(source), self.0.folder.repo(name));
        let make = move || -> Result<io::Result<()>, LoadError> {
            let epochs = epoch::ended_before(&Objects::new(from.clone()), epoch::From::Any(commit))?;
            Ok(create::fork(&*disk, &from, &to, commit, &epochs))
        };
        let made = tokio::task::spawn_blocking(make).await;
        made.map_err(|_| EngineError::Unknown)??.map_err(|error| not_made(name, &error))
    }

    /// Whether the repository is on the disk.
    pub fn exists(&self, name: &RepoName) -> bool {
        self.0.folder.repo(name).join("HEAD").is_file()
    }

    /// What has happened and happens.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// What the daemon's commits are signed with, if they are.
    pub fn signer(&self) -> Option<&Signer> {
        self.0.signer.as_deref()
    }

    /// The data folder.
    pub fn folder(&self) -> &DataFolder {
        &self.0.folder
    }

    /// What is journalled and not yet in its repository.
    pub fn backlog(&self) -> Backlog {
        self.0.journal.backlog()
    }

    /// How many handles of repositories are kept open for the next reader.
    pub fn kept_handles(&self) -> usize {
        self.0.handles.kept()
    }

    /// The tip of a branch as plain git shows it, which a change reaches within a moment; the repository is not opened for it.
    pub fn published_tip(&self, name: &RepoName, branch: &str) -> std::io::Result<Oid> {
        super::refs::read(&self.0.folder.repo(name), branch)
    }

    /// How many repositories are in memory.
    pub fn open_repositories(&self) -> usize {
        self.0.repos.lock().len()
    }

    /// Closes repositories that nobody uses. Asked for now and then by the daemon.
    pub fn close_idle(&self) {
        let idle_since = self.0.clock.now().before(IDLE_AFTER);
        let names: Vec<RepoName> = self.0.repos.lock().keys().cloned().collect();
        names.iter().for_each(|name| self.0.close_unused(name, idle_since));
    }

    /// Closes a repository that was just looked into, unless it has something to stay in memory for.
    pub fn let_go(&self, name: &RepoName) {
        self.0.close_unused(name, self.0.clock.now().after(Duration::from_secs(1)));
    }

    /// Keeps every repository's packs few and its history quick to read. Asked for now and then by the daemon.
    pub async fn maintain(&self) -> Result<(), EngineError> {
        let upkeep = self.0.upkeep.clone();
        tokio::task::spawn_blocking(move || upkeep.round()).await.map_err(|_| EngineError::Unknown)
    }

    /// How many packs each repository has that was looked at since the start.
    pub fn packs(&self) -> Vec<(RepoName, usize)> {
        self.0.upkeep.packs()
    }

    /// Publishes everything. The journal's clean end is written when the last clone of the state is dropped.
    pub fn close(&self) {
        self.0.close();
    }

    async fn repo(&self, name: &RepoName) -> Result<Arc<Repo>, EngineError> {
        let slot = self.0.repos.lock().get(name).cloned();
        if let Some(repo) = slot.and_then(|slot| slot.try_lock().and_then(|repo| repo.clone())) {
            return Ok(repo);
        }
        let (state, name) = (self.clone(), name.clone());
        let failed = |what: String| LoadError {
            what,
            repo: String::new(),
            cause: "loading it was cut off".to_owned(),
        };
        let key = name.key();
        match tokio::task::spawn_blocking(move || state.load(name)).await {
            Ok(loaded) => loaded,
            Err(_) => Err(failed(key).into()),
        }
    }

    fn load(&self, name: RepoName) -> Result<Arc<Repo>, EngineError> {
        if !self.exists(&name) {
            return Err(EngineError::NoRepo(name));
        }
        let slot = self.0.repos.lock().entry(name.clone()).or_default().clone();
        let mut held = slot.lock();
        if let Some(repo) = held.as_ref() {
            return Ok(repo.clone());
        }
        // It may have been removed while this waited for its slot.
        if !self.exists(&name) {
            return Err(EngineError::NoRepo(name));
        }
        let objects = Objects::among(self.0.folder.repo(&name), self.0.handles.clone());
        let (projections, now) = ((self.0.kinds)(&name), self.0.clock.now());
        let repo = Arc::new(Repo::load(name, objects, projections, now, self.0.journal.durable())?);
        *held = Some(repo.clone());
        Ok(repo)
    }
}

/// Makes the folders of a data folder. Their names are made durable at each start: the one before may have been killed
/// before it did.
fn prepare(folder: &DataFolder, disk: &dyn Disk) -> io::Result<()> {
    for path in [folder.journal(), folder.repos().join("projects")] {
        disk::make_folders(disk, &path)?;
    }
    [folder.path(), &folder.repos()].into_iter().try_for_each(|path| disk.sync_folder(path))
}

fn not_made(name: &RepoName, error: &io::Error) -> EngineError {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return EngineError::Full(format!("there is no room for the repository {name}"));
    }
    let cause = format!("it could not be made: {error}");
    LoadError { what: "a new repository".to_owned(), repo: name.key(), cause }.into()
}

type Tried<T, E> = Result<(Done<T>, Option<oneshot::Receiver<()>>), E>;

/// The publishers end before the folder is given up, so that nobody else has it while they write.
impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

impl Engine {
    fn close_unused(&self, name: &RepoName, since: Time) {
        let Some(slot) = self.repos.lock().get(name).cloned() else { return };
        // A slot that is locked is loading, so it is not idle.
        let Some(mut held) = slot.try_lock() else { return };
        if !held.as_ref().is_some_and(|repo| repo.close_if_idle(since)) {
            return;
        }
        *held = None;
        // Whoever has the slot is about to load into it: without it in the map there would be two of one repository.
        let mut repos = self.repos.lock();
        if Arc::strong_count(&slot) == SLOT_UNUSED {
            repos.remove(name);
        }
    }

    fn close(&self) {
        self.upkeep.stop();
        self.agenda.close();
        for publisher in self.publishers.lock().drain(..) {
            // A publisher that panicked has said so already; the journal still holds what it did not publish.
            let _ = publisher.join();
        }
        if let Some(folding) = self.folding.lock().take() {
            // The packs are as they were if the thread panicked.
            let _ = folding.join();
        }
        self.upkeep.join();
    }

    /// Who makes a change durable that was just appended. Alone it is quickest on its own thread; among others that would keep one
    /// of the threads that make changes waiting for the disk.
    fn flusher(&self) -> Flusher {
        let is_alone = self.in_flight.available_permits() + 1 >= IN_FLIGHT_MAX;
        if is_alone { Flusher::Caller } else { Flusher::Thread }
    }

    /// Waits until a record is reached, or the engine has stopped and it never will be.
    async fn reached(&self, progress: &Progress, lsn: Lsn) -> Result<(), EngineError> {
        if progress.has_reached(lsn) {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = progress.wait_for(lsn) => Ok(()),
            () = self.halt.wait() => Err(EngineError::Unknown),
        }
    }

    /// Decides and commits; `None` if the repository was closed meanwhile and must be opened again.
    fn try_change<T, E, D>(&self, repo: &Arc<Repo>, decide: &mut Option<D>) -> Option<Tried<T, E>>
    where
        E: From<EngineError>,
        D: FnOnce(&mut View<'_>) -> Result<Decision<T>, E>,
    {
        let mut inner = repo.lock()?;
        if inner.leaving {
            return Some(Err(EngineError::NoRepo(repo.name.clone()).into()));
        }
        let decide = decide.take().expect("a decision is taken once, from a repository that is open");
        let decision = match decide(&mut repo.view(&mut inner)) {
            Ok(decision) => decision,
            Err(refusal) => return Some(Err(refusal)),
        };
        let steps = decision.steps;
        if steps.is_empty() {
            let (commit, lsn) = (repo.view(&mut inner).tip(), inner.last());
            return Some(Ok((Done { answer: decision.answer, commit, lsn }, None)));
        }
        let (durable, wait) = oneshot::channel();
        let now = self.clock.now();
        let sink =
            Sink { journal: &*self.journal, unpublished: &self.unpublished, signer: self.signer.as_deref() };
        let tell = |commits: &[Oid]| self.on_durable(repo, &steps, commits, now, durable);
        let appended = repo.commit(&mut inner, &steps, now, &sink, tell);
        drop(inner);
        Some(appended.map_err(|error| EngineError::from(error).into()).map(
            |Appended { lsn, commit, publish_at }| {
                if let Some(due) = publish_at {
                    self.agenda.add(repo.clone(), due);
                }
                (Done { answer: decision.answer, commit, lsn }, Some(wait))
            },
        ))
    }

    /// What happens when the commits are durable: readers, listeners and the caller learn of them.
    fn on_durable(
        &self,
        repo: &Arc<Repo>,
        steps: &[Step],
        commits: &[Oid],
        time: Time,
        caller: oneshot::Sender<()>,
    ) -> OnDurable {
        let event =
            |(step, commit): (&Step, &Oid)| Event::of(step, repo.name.project().cloned(), *commit, time);
        let happened: Vec<Event> = steps.iter().zip(commits).map(event).collect();
        let (repo, events) = (repo.clone(), self.events.clone());
        Box::new(move |lsn| {
            repo.durable.reach(lsn);
            happened.into_iter().for_each(|event| events.tell(event));
            // A caller that went away is no error: its change stands.
            let _ = caller.send(());
        })
    }

    fn try_read<T>(repo: &Arc<Repo>, ask: &mut Option<impl FnOnce(&mut View<'_>) -> T>) -> Option<(T, Lsn)> {
        let mut inner = repo.lock()?;
        let ask = ask.take().expect("a question is asked once, of a repository that is open");
        let answer = ask(&mut repo.view(&mut inner));
        Some((answer, inner.last()))
    }

    #[expect(
        clippy::type_complexity,
        reason = "an answer with a commit and its tree, which the caller takes apart at once"
    )]
    fn try_read_and_branch<T>(
        repo: &Arc<Repo>,
        ask: &mut Option<impl FnOnce(&mut View<'_>) -> T>,
    ) -> Option<(T, Result<(Oid, Arc<super::tree::Tree>), LoadError>, Lsn)> {
        let mut inner = repo.lock()?;
        let ask = ask.take().expect("a question is asked once, of a repository that is open");
        let answer = ask(&mut repo.view(&mut inner));
        let at = repo.branch_at(&mut inner, super::layout::STATE_REF);
        Some((answer, at, inner.last()))
    }

    #[expect(
        clippy::type_complexity,
        reason = "a commit and its tree, which both callers take apart at once"
    )]
    fn try_branch(
        repo: &Arc<Repo>,
        branch: &str,
    ) -> Option<(Result<(Oid, Arc<super::tree::Tree>), LoadError>, Lsn)> {
        let mut inner = repo.lock()?;
        let at = repo.branch_at(&mut inner, branch);
        Some((at, inner.last()))
    }
}

#[cfg(test)]
mod tests;
