//! Publishing: what is journalled becomes packs and refs that plain git reads.
//!
//! It runs on threads of its own, so neither a writer nor the journal waits for it. A pack is durable before the ref
//! that needs it moves, and the ref is durable before the journal may use the records' room again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::disk::{self, Disk};
use super::halt::Halt;
use super::journal::{Journal, Lsn};
use super::layout::REJECTED_REF_PREFIX;
use super::maintain::Upkeep;
use super::oid::Oid;
use super::refs::{self, MoveError};
use super::repo::{RefMove, Repo, Sealed};
use crate::clock::Clock;

/// Under load a repository is published this often, so that plain git is at most 100 ms behind.
pub(super) const PUBLISH_INTERVAL: Duration = Duration::from_millis(50);
/// How long a publisher sleeps between looks at a batch that is being synced.
const DURABLE_PAUSE: Duration = Duration::from_micros(100);
/// How long a repository with many packs is left alone before it is asked again whether its fold is done.
const CROWDED_PAUSE: Duration = Duration::from_millis(5);
/// How long a disk without room is left alone before publishing is tried again.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// The repositories that wait to be published, by when they are due.
#[derive(Default)]
pub(super) struct Agenda {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    closing: Condvar,
}

#[derive(Default)]
struct Waiting {
    due: BTreeMap<(Instant, u64), Arc<Repo>>,
    next: u64,
    closed: bool,
}

impl Agenda {
    /// Asks for a repository to be published at `due`.
    pub(super) fn add(&self, repo: Arc<Repo>, due: Instant) {
        let mut waiting = self.waiting.lock();
        waiting.next += 1;
        let key = (due, waiting.next);
        waiting.due.insert(key, repo);
        drop(waiting);
        self.changed.notify_one();
    }

    /// The next repository, when it is due; `None` once closed and empty.
    fn take(&self) -> Option<Arc<Repo>> {
        let mut waiting = self.waiting.lock();
        loop {
            let first = waiting.due.first_key_value().map(|(key, _)| *key);
            match first {
                Some(key) if waiting.closed || key.0 <= Instant::now() => return waiting.due.remove(&key),
                Some((due, _)) => {
                    self.changed.wait_until(&mut waiting, due);
                }
                None if waiting.closed => return None,
                None => self.changed.wait(&mut waiting),
            }
        }
    }

    /// Lets the publishers end once everything is published.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.changed.notify_all();
        self.closing.notify_all();
    }

    /// Waits before another try; tells whether there is time for one.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut waiting = self.waiting.lock();
        while !waiting.closed {
            if self.closing.wait_until(&mut waiting, until).timed_out() {
                return true;
            }
        }
        false
    }
}

/// Where each draft begins: what lies before all of them stands in the repositories.
#[derive(Default)]
pub(super) struct Unpublished(Mutex<Begun>);

#[derive(Default)]
struct Begun {
    drafts: BTreeSet<Beginning>,
    next: u64,
}

/// A record number not above that of a draft's first record, and which draft it is: a repository's next draft can
/// begin before its last one is durable, and so at the same record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Beginning(Lsn, u64);

impl Unpublished {
    /// Notes, before its first record is appended, that a draft begins.
    pub(super) fn begin(&self, journal: &dyn Journal) -> Beginning {
        let mut begun = self.0.lock();
        begun.next += 1;
        let beginning = Beginning(Lsn(journal.durable().0 + 1), begun.next);
        begun.drafts.insert(beginning);
        beginning
    }

    /// Notes that it is published, and tells the journal what it no longer needs.
    pub(super) fn end(&self, journal: &dyn Journal, beginning: Beginning) {
        let mut begun = self.0.lock();
        begun.drafts.remove(&beginning);
        let needed = begun.drafts.first().map_or(Lsn(journal.durable().0 + 1), |Beginning(lsn, _)| *lsn);
        journal.release_before(needed);
    }
}

/// What a publisher works with.
pub(super) struct Publisher {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) agenda: Arc<Agenda>,
    pub(super) unpublished: Arc<Unpublished>,
    pub(super) clock: Clock,
    pub(super) upkeep: Arc<Upkeep>,
    /// Where a failure is told: what is on the disk is not known any more.
    pub(super) halt: Arc<Halt>,
}

/// Why a pack or a ref was not published.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    #[error(transparent)]
    Pack(#[from] PackNotWritten),
    #[error(transparent)]
    Ref(#[from] MoveError),
}

/// A pack or its index was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub(super) struct PackNotWritten {
    pub(super) path: PathBuf,
    pub(super) source: std::io::Error,
}

impl PublishError {
    fn is_full(&self) -> bool {
        let source = match self {
            PublishError::Pack(PackNotWritten { source, .. })
            | PublishError::Ref(MoveError::Disk { source, .. }) => source,
            PublishError::Ref(MoveError::Moved { .. }) => return false,
        };
        matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    }
}

impl Publisher {
    /// Publishes what is due until the agenda is closed.
    pub(super) fn run(&self) {
        while let Some(repo) = self.agenda.take() {
            if self.upkeep.is_crowded(&repo.name) {
                self.agenda.add(repo, Instant::now() + CROWDED_PAUSE);
                continue;
            }
            if let Some(sealed) = repo.seal() {
                self.publish(&repo, sealed);
            }
        }
    }

    fn publish(&self, repo: &Arc<Repo>, sealed: Sealed) {
        let (last, number, first) = (sealed.last, sealed.pack_number(), sealed.first);
        while self.journal.durable() < last {
            if self.halt.is_stopped() {
                return;
            }
            std::thread::sleep(DURABLE_PAUSE);
        }
        let (moves, objects) = (sealed.moves, sealed.draft.objects());
        let files = sealed.draft.finish();
        while let Err(error) = self.write(repo.objects.path(), &files, &moves) {
            if !error.is_full() {
                let path = repo.objects.path().display();
                return self.halt.stop(&format!("publishing to {path} failed: {error}"));
            }
            tracing::error!(repo = %repo.name, %error, "the disk is full: changes are journalled, and published when there is room");
            if !self.agenda.pause(FULL_PAUSE) {
                // The journal keeps the changes, and the next start publishes them.
                return;
            }
        }
        self.upkeep.published(repo, objects);
        let next = repo.unseal(last, number, files);
        self.unpublished.end(&*self.journal, first);
        if let Some(due) = next {
            self.agenda.add(repo.clone(), due);
        }
    }

    fn write(&self, path: &Path, files: &super::pack::Pack, moves: &[RefMove]) -> Result<(), PublishError> {
        write_pack(&*self.disk, path, files)?;
        let mut moves = moves.iter();
        moves
            .try_for_each(|moved| move_ref(&*self.disk, path, moved, &self.clock))
            .map_err(PublishError::from)
    }
}

/// Moves a ref; one that was moved behind the daemon's back is put aside first, so nothing of either side is lost.
pub(super) fn move_ref(
    disk: &dyn Disk,
    path: &Path,
    moved: &RefMove,
    clock: &Clock,
) -> Result<(), MoveError> {
    match refs::swap(disk, path, &moved.ref_name, moved.old, moved.new) {
        Err(MoveError::Moved { found, .. }) if found == moved.new => {
            refs::settle(disk, path, &moved.ref_name)
        }
        Err(MoveError::Moved { found, .. }) => put_aside(disk, path, moved, found, clock).map(drop),
        result => result,
    }
}

/// Keeps what somebody put on our ref under `refs/rejected/`, and puts our tip back; tells the name it is kept by.
pub(super) fn put_aside(
    disk: &dyn Disk,
    path: &Path,
    moved: &RefMove,
    found: Oid,
    clock: &Clock,
) -> Result<String, MoveError> {
    let aside = format!("{REJECTED_REF_PREFIX}{}-{}", clock.now().millis(), &found.to_string()[..8]);
    tracing::error!(repo = %path.display(), ref_name = %moved.ref_name, %found, kept_as = %aside,
        "a ref was moved behind the daemon's back: its commits are kept under another name, and the daemon's tip is restored");
    if found != Oid::ZERO {
        match refs::swap(disk, path, &aside, Oid::ZERO, found) {
            Err(MoveError::Moved { found: kept, .. }) if kept == found => {}
            result => result?,
        }
    }
    refs::swap(disk, path, &moved.ref_name, found, moved.new)?;
    Ok(aside)
}

/// Writes a pack and its index, both durable; the pack first, because an index without its pack is an error to git.
pub(super) fn write_pack(
    disk: &dyn Disk,
    repo: &Path,
    files: &super::pack::Pack,
) -> Result<(), PackNotWritten> {
    let folder = repo.join("objects/pack");
    for (ending, bytes) in [("pack", &files.pack), ("idx", &files.index)] {
        let path = folder.join(format!("pack-{}.{ending}", files.name));
        disk::write_beside(disk, &path, bytes, 0o444).map_err(|source| PackNotWritten { path, source })?;
    }
    disk.sync_folder(&folder).map_err(|source| PackNotWritten { path: folder, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::journal::{Backlog, Flusher, JournalError, OnDurable, Record};

    /// A journal that only remembers what it may forget.
    #[derive(Default)]
    struct Watermarks {
        durable: Mutex<u64>,
        released: Mutex<u64>,
    }

    impl Journal for Watermarks {
        fn append(&self, _: &Record<'_>, _: OnDurable) -> Result<Lsn, JournalError> {
            Err(JournalError::Stopped("it takes nothing".to_owned()))
        }
        fn flush(&self, _: Flusher) {}
        fn durable(&self) -> Lsn {
            Lsn(*self.durable.lock())
        }
        fn release_before(&self, lsn: Lsn) {
            *self.released.lock() = lsn.0;
        }
        fn backlog(&self) -> Backlog {
            Backlog::default()
        }
    }

    #[test]
    fn a_draft_that_begins_before_the_last_one_is_durable_keeps_its_records() {
        let (journal, unpublished) = (Watermarks::default(), Unpublished::default());
        let first = unpublished.begin(&journal);
        let second = unpublished.begin(&journal);
        *journal.durable.lock() = 2;
        unpublished.end(&journal, first);
        assert_eq!(*journal.released.lock(), 1, "the second draft is not published");
        unpublished.end(&journal, second);
        assert_eq!(*journal.released.lock(), 3);
    }
}
