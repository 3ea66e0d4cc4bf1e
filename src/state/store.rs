//! The state as a whole: opens the data folder, finds repositories, and takes changes and reads to them.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::commit::Event;
use super::create;
use super::disk::{self, Disk};
use super::edit::{Change, Projections};
use super::events::Events;
use super::halt::Halt;
use super::journal::file::{FileJournal, JournalOptions};
use super::journal::{Backlog, Journal, JournalError, Lsn, OnDurable};
use super::layout::{DataFolder, RepoName, STATE_REF};
use super::lock::{FolderLock, LockError};
use super::maintain::Upkeep;
use super::objects::Objects;
use super::oid::Oid;
use super::publish::{Agenda, Publisher, Unpublished};
use super::recover::{self, RecoverError, Recovered};
use super::repo::{Appended, CommitError, Decision, Progress, Repo, Sink, View};
use super::snapshot::Snapshot;
use super::threads;
use super::tree::{EditError, LoadError};
use crate::clock::Clock;

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
    /// The projections of each repository.
    pub kinds: Kinds,
    /// Called once, with a message for a person, when a write or fsync failed and nothing may be acknowledged any
    /// more. The daemon ends the process.
    pub on_failure: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Why the state was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A folder could not be made or read.
    #[error("cannot prepare {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The journal is damaged or cannot be read.
    #[error(transparent)]
    Journal(#[from] super::journal::file::OpenError),
    /// What is journalled could not be brought into its repository.
    #[error(transparent)]
    Recover(#[from] RecoverError),
}

/// Why the engine did not do what it was asked, whatever the subject. Nothing has changed, except after
/// [`EngineError::Unknown`].
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such repository.
    #[error("there is no repository {0}")]
    NoRepo(RepoName),
    /// The repository cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The edits clash with what stands there.
    #[error(transparent)]
    Edit(EditError),
    /// The disk is full; nothing is written until there is room.
    #[error("{0}")]
    Full(String),
    /// The engine has stopped, and the process ends. Whether the change is durable is found on restart.
    #[error("the engine stopped before the change was known to be durable")]
    Unknown,
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
    halt: Arc<Halt>,
    in_flight: Semaphore,
    publishers: Mutex<Vec<JoinHandle<()>>>,
    upkeep: Arc<Upkeep>,
    folding: Mutex<Option<JoinHandle<()>>>,
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
            halt,
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            publishers: Mutex::new(publishers),
            upkeep,
            folding: Mutex::new(Some(folding)),
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
            let Some(tried) = self.0.try_change(&repo, &mut decide) else { continue };
            let (done, durable) = tried?;
            match durable {
                Some(durable) => durable.await.map_err(|_| EngineError::Unknown)?,
                None => self.0.reached(&repo.durable, done.lsn).await?,
            }
            return Ok(done);
        }
    }

    /// Reads memory and files at one moment; the answer comes when all that it saw is durable.
    pub async fn read<T>(
        &self,
        name: &RepoName,
        ask: impl FnOnce(&mut View<'_>) -> T,
    ) -> Result<T, EngineError> {
        let mut ask = Some(ask);
        loop {
            let repo = self.repo(name).await?;
            let Some((answer, seen)) = Engine::try_read(&repo, &mut ask) else { continue };
            self.0.reached(&repo.durable, seen).await?;
            return Ok(answer);
        }
    }

    /// A branch as it is now, durable, to be read at leisure; `None` if there is no such branch.
    pub async fn snapshot(&self, name: &RepoName, branch: &str) -> Result<Option<Snapshot>, EngineError> {
        loop {
            let repo = self.repo(name).await?;
            let Some((at, seen)) = Engine::try_branch(&repo, branch) else { continue };
            self.0.reached(&repo.durable, seen).await?;
            let (commit, tree) = at?;
            return Ok((commit != Oid::ZERO).then(|| Snapshot::new(repo, commit, tree)));
        }
    }

    /// Reads memory, and takes the state branch as it is at that very moment; both are durable.
    pub async fn read_with_snapshot<T>(
        &self,
        name: &RepoName,
        ask: impl FnOnce(&mut View<'_>) -> T,
    ) -> Result<(T, Option<Snapshot>), EngineError> {
        let mut ask = Some(ask);
        loop {
            let repo = self.repo(name).await?;
            let Some((answer, at, seen)) = Engine::try_read_and_branch(&repo, &mut ask) else { continue };
            repo.durable.wait_for(seen).await;
            let (commit, tree) = at?;
            return Ok((answer, (commit != Oid::ZERO).then(|| Snapshot::new(repo, commit, tree))));
        }
    }

    /// A branch as it was at a commit; `None` if the repository has no such commit.
    pub async fn snapshot_at(
        &self,
        name: &RepoName,
        branch: &str,
        commit: Oid,
    ) -> Result<Option<Snapshot>, EngineError> {
        loop {
            let repo = self.repo(name).await?;
            let Some((at, seen)) = Engine::try_branch(&repo, branch) else { continue };
            let (tip, tree) = at?;
            if tip == commit {
                repo.durable.wait_for(seen).await;
                return Ok(Some(Snapshot::new(repo, commit, tree)));
            }
            // An older commit is read from the repository, where it is once everything up to now is published.
            repo.published.wait_for(seen).await;
            let read = move || -> Result<Option<Snapshot>, LoadError> {
                let Some(root) = repo.objects.find_tree_of(commit)? else { return Ok(None) };
                let tree = super::tree::Tree::new(root, super::tree::TreeSource::tree(&repo.objects, root)?);
                Ok(Some(Snapshot::new(repo, commit, Arc::new(tree))))
            };
            return Ok(tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)??);
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
            let disk = self.0.disk.clone();
            let made = tokio::task::spawn_blocking(move || create::repository(&*disk, &path)).await;
            made.map_err(|_| EngineError::Unknown)?.map_err(|error| not_made(name, &error))?;
        }
        let decide = |view: &mut View<'_>| -> Result<Decision<()>, EngineError> {
            let is_new = view.tip() == Oid::ZERO;
            Ok(Decision { change: is_new.then_some(first), answer: () })
        };
        Ok(self.change(name, decide).await?.commit)
    }

    /// Whether the repository is on the disk.
    pub fn exists(&self, name: &RepoName) -> bool {
        self.0.folder.repo(name).join("HEAD").is_file()
    }

    /// The events of a branch behind a commit, oldest first; `None` if the branch does not have the commit.
    pub async fn events_after(
        &self,
        name: &RepoName,
        branch: &str,
        after: Oid,
    ) -> Result<Option<Vec<Event>>, EngineError> {
        let repo = self.repo(name).await?;
        let Some(((at, seen), tip)) =
            Engine::try_branch(&repo, branch).map(|(at, seen)| ((at, seen), repo.name.clone()))
        else {
            return Ok(None);
        };
        self.0.reached(&repo.published, seen).await?;
        let (commit, _) = at?;
        let read = move || super::history::events_after(&repo.objects, &tip, commit, after);
        Ok(tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)??)
    }

    /// The refs of a repository that begin so, by name; as published.
    pub fn branches(&self, name: &RepoName, prefix: &str) -> Result<Vec<String>, EngineError> {
        if !self.exists(name) {
            return Err(EngineError::NoRepo(name.clone()));
        }
        let objects = Objects::new(self.0.folder.repo(name));
        Ok(objects.refs(prefix)?)
    }

    /// Removes a branch for good, unless it is being written; tells whether it did. Its room is freed by maintenance.
    pub async fn drop_branch(&self, name: &RepoName, branch: &str) -> Result<bool, EngineError> {
        let repo = self.repo(name).await?;
        if !repo.forget_branch(branch) {
            return Ok(false);
        }
        let failed = |error: super::refs::MoveError| LoadError {
            what: branch.to_owned(),
            repo: repo.objects.path().display().to_string(),
            cause: error.to_string(),
        };
        super::refs::remove(&*self.0.disk, repo.objects.path(), branch).map_err(failed)?;
        self.0.upkeep.dropped(name);
        Ok(true)
    }

    /// What has happened and happens.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The data folder.
    pub fn folder(&self) -> &DataFolder {
        &self.0.folder
    }

    /// What is journalled and not yet in its repository.
    pub fn backlog(&self) -> Backlog {
        self.0.journal.backlog()
    }

    /// How many repositories are in memory.
    pub fn open_repositories(&self) -> usize {
        self.0.repos.lock().len()
    }

    /// Closes repositories that nobody uses. Asked for now and then by the daemon.
    pub fn close_idle(&self) {
        let idle_since = self.0.clock.now().before(IDLE_AFTER);
        let slots: Vec<(RepoName, Slot)> =
            self.0.repos.lock().iter().map(|(name, slot)| (name.clone(), slot.clone())).collect();
        for (name, slot) in slots {
            // A slot that is locked is loading, so it is not idle.
            let Some(mut held) = slot.try_lock() else { continue };
            if !held.as_ref().is_some_and(|repo| repo.close_if_idle(idle_since)) {
                continue;
            }
            *held = None;
            // Whoever has the slot is about to load into it: without it in the map there would be two of one repository.
            let mut repos = self.0.repos.lock();
            if Arc::strong_count(&slot) == SLOT_UNUSED {
                repos.remove(&name);
            }
        }
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
        let objects = Objects::new(self.0.folder.repo(&name));
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

impl From<CommitError> for EngineError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Edit(EditError::Load(error)) => Self::Load(error),
            CommitError::Edit(error) => Self::Edit(error),
            CommitError::Journal(JournalError::Full(why) | JournalError::TooLarge(why)) => Self::Full(why),
            CommitError::Journal(JournalError::Stopped(_)) => Self::Unknown,
        }
    }
}

type Tried<T, E> = Result<(Done<T>, Option<oneshot::Receiver<()>>), E>;

/// The publishers end before the folder is given up, so that nobody else has it while they write.
impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

impl Engine {
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
        let decide = decide.take().expect("a decision is taken once, from a repository that is open");
        let decision = match decide(&mut repo.view(&mut inner)) {
            Ok(decision) => decision,
            Err(refusal) => return Some(Err(refusal)),
        };
        let Some(change) = decision.change else {
            let (commit, lsn) = (repo.view(&mut inner).tip(), inner.last());
            return Some(Ok((Done { answer: decision.answer, commit, lsn }, None)));
        };
        let (durable, wait) = oneshot::channel();
        let now = self.clock.now();
        let sink = Sink { journal: &*self.journal, unpublished: &self.unpublished };
        let tell = |commit| self.on_durable(repo, &change, commit, now, durable);
        let appended = repo.commit(&mut inner, &change, now, &sink, tell);
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

    /// What the journal's thread does when the change is durable: readers, listeners and the caller learn of it.
    fn on_durable(
        &self,
        repo: &Arc<Repo>,
        change: &Change,
        commit: Oid,
        time: crate::clock::Time,
        caller: oneshot::Sender<()>,
    ) -> OnDurable {
        let event = Event {
            project_id: repo.name.project().cloned(),
            commit,
            event: change.event.to_owned(),
            subject: change.subject.clone(),
            actor: format!("{} {}", change.actor.kind, change.actor.name),
            time,
            request: change.request.clone(),
        };
        let (repo, events) = (repo.clone(), self.events.clone());
        Box::new(move |lsn| {
            repo.durable.reach(lsn);
            events.tell(event);
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
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::state::disk::{DiskFile, RealDisk};
    use crate::state::edit::{Actor, Edit};
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// The machine's disk, which can lose its journal.
    #[derive(Clone, Default)]
    struct Losing(Arc<AtomicBool>);

    struct LosingFile(Arc<dyn DiskFile>, Arc<AtomicBool>);

    impl Disk for Losing {
        fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
            Ok(Arc::new(LosingFile(RealDisk.open(path)?, self.0.clone())))
        }
        fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn DiskFile>> {
            Ok(Arc::new(LosingFile(RealDisk.create_new(path, mode)?, self.0.clone())))
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            RealDisk.rename(from, to)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            RealDisk.remove(path)
        }
        fn make_folder(&self, path: &Path) -> io::Result<()> {
            RealDisk.make_folder(path)
        }
        fn sync_folder(&self, path: &Path) -> io::Result<()> {
            RealDisk.sync_folder(path)
        }
    }

    impl DiskFile for LosingFile {
        fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            self.0.write_all_at(bytes, offset)
        }
        fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_exact_at(bytes, offset)
        }
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn sync_data(&self) -> io::Result<()> {
            if self.1.load(Ordering::SeqCst) { Err(io::ErrorKind::Other.into()) } else { self.0.sync_data() }
        }
    }

    fn options(folder: &Path, disk: &Losing, clock: &Clock) -> Options {
        Options {
            folder: DataFolder::new(folder),
            disk: Arc::new(disk.clone()),
            clock: clock.clone(),
            journal_segment_bytes: 1 << 20,
            kinds: Arc::new(|_| Projections::default()),
            on_failure: Arc::new(|_| {}),
        }
    }

    fn change(file: &str) -> Change {
        Change {
            branch: STATE_REF.into(),
            subject: format!("file {file}"),
            event: "test.put",
            actor: Actor::daemon(),
            request: None,
            edits: vec![Edit::write(file, "text")],
        }
    }

    async fn put(state: &State, file: &str) -> Result<Done<()>, EngineError> {
        state.change(&RepoName::Platform, |_: &mut View<'_>| Ok(Decision::commit(change(file), ()))).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn when_the_journal_fails_whoever_waits_is_told_that_nobody_knows() {
        let (folder, disk, clock) = (tempfile::tempdir().unwrap(), Losing::default(), Clock::system());
        let (state, _) = State::open(options(folder.path(), &disk, &clock)).unwrap();
        state.create(&RepoName::Platform, change("a")).await.unwrap();
        disk.0.store(true, Ordering::SeqCst);
        let unheard = put(&state, "b").await.unwrap_err();
        assert!(matches!(unheard, EngineError::Unknown), "{unheard}");
        let read = state.read(&RepoName::Platform, |view| view.tip()).await;
        assert!(matches!(read, Err(EngineError::Unknown)), "what was read would not survive");
        let published = state.published(&RepoName::Platform, Lsn(u64::MAX)).await;
        assert!(matches!(published, Err(EngineError::Unknown)));
        state.close();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_state_that_is_dropped_gives_its_folder_up_with_everything_published() {
        let (folder, disk, clock) = (tempfile::tempdir().unwrap(), Losing::default(), Clock::system());
        let (state, _) = State::open(options(folder.path(), &disk, &clock)).unwrap();
        state.create(&RepoName::Platform, change("a")).await.unwrap();
        let tip = put(&state, "b").await.unwrap().commit;
        drop(state);
        let repo = DataFolder::new(folder.path()).repo(&RepoName::Platform);
        assert_eq!(crate::state::refs::read(&repo, STATE_REF).unwrap(), tip);
        assert!(State::open(options(folder.path(), &disk, &clock)).is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_repository_that_somebody_is_about_to_open_keeps_its_place_when_it_is_closed() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), Losing::default());
        let clock = Clock::by_hand(Time::from_millis(1_000_000));
        let (state, _) = State::open(options(folder.path(), &disk, &clock)).unwrap();
        state.create(&RepoName::Platform, change("a")).await.unwrap();
        let last = put(&state, "b").await.unwrap().lsn;
        state.published(&RepoName::Platform, last).await.unwrap();
        clock.pass(IDLE_AFTER * 2);

        let opening = state.0.repos.lock()[&RepoName::Platform].clone();
        state.close_idle();
        assert!(opening.lock().is_none(), "it is closed");
        assert!(
            Arc::ptr_eq(&opening, &state.0.repos.lock()[&RepoName::Platform]),
            "there are two places for one"
        );

        drop(opening);
        put(&state, "c").await.unwrap();
        state.published(&RepoName::Platform, Lsn(last.0 + 1)).await.unwrap();
        clock.pass(IDLE_AFTER * 2);
        state.close_idle();
        assert_eq!(state.open_repositories(), 0);
    }
}
