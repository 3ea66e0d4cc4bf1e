//! One repository's writer: decides one change at a time, encodes it as a commit, and hands it to the journal.
//!
//! Everything a decision needs is behind one lock, so decisions are serial without locks in the subjects. The lock is
//! held for microseconds: no fsync, no publishing and no waiting happens under it. What a change writes is visible to the
//! next decision at once and to a reader's answer only when it is durable: readers wait for the last record they saw.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::commit::CommitText;
use super::edit::{Change, Edit, Projection, Projections};
use super::journal::{Journal, JournalError, Lsn, OnDurable, Record};
use super::layout::{RepoName, STATE_REF};
use super::objects::Objects;
use super::oid::{Kind, Oid};
use super::pack::{Draft, OidMap, Pack};
use super::publish::{Beginning, PUBLISH_INTERVAL, Unpublished};
use super::requests::Requests;
use super::tree::{self, EditError, Entry, LoadError, Tree, TreeSource};
use crate::clock::Time;

/// Once so many bytes of folders were loaded, those that the last pack did not use are dropped.
const LOADED_BYTES_MAX: usize = 64 << 20;

/// A repository in memory.
pub struct Repo {
    pub(super) name: RepoName,
    pub(super) key: Arc<str>,
    pub(super) objects: Objects,
    inner: Mutex<Inner>,
    pub(super) durable: Progress,
    pub(super) published: Progress,
}

/// A record number that only grows, and whoever waits for it.
#[derive(Default)]
pub(super) struct Progress {
    reached: AtomicU64,
    moved: Notify,
}

impl Progress {
    pub(super) fn reach(&self, lsn: Lsn) {
        self.reached.fetch_max(lsn.0, Ordering::AcqRel);
        self.moved.notify_waiters();
    }

    pub(super) fn has_reached(&self, lsn: Lsn) -> bool {
        self.reached.load(Ordering::Acquire) >= lsn.0
    }

    pub(super) async fn wait_for(&self, lsn: Lsn) {
        while !self.has_reached(lsn) {
            let moved = self.moved.notified();
            if self.has_reached(lsn) {
                return;
            }
            moved.await;
        }
    }
}

pub(super) struct Inner {
    branches: HashMap<Box<str>, Branch>,
    projections: Projections,
    requests: Requests,
    draft: Draft,
    spare: Option<Draft>,
    /// Bytes of folders loaded since unused ones were last dropped.
    loaded_bytes: usize,
    /// Ascends with each pack, and when a delta must not reach back; see [`tree::write`].
    pack_number: u64,
    moves: Vec<RefMove>,
    /// File contents that no published pack holds yet: of the draft, and of the pack being published.
    fresh_blobs: OidMap<Bytes>,
    sealed_blobs: OidMap<Bytes>,
    /// Where the draft begins in the journal.
    first: Beginning,
    last: Lsn,
    publishing: bool,
    next_publish: Instant,
    closed: bool,
    /// It is to be removed: changes find no repository any more.
    pub(super) leaving: bool,
    pub(super) used: Time,
}

struct Branch {
    tip: Oid,
    tree: Arc<Tree>,
}

/// A ref, where it stood before the pack and where it stands after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefMove {
    pub(super) ref_name: Box<str>,
    pub(super) old: Oid,
    pub(super) new: Oid,
}

/// A full draft on its way to be published.
pub(super) struct Sealed {
    pub(super) draft: Draft,
    pub(super) moves: Vec<RefMove>,
    pub(super) first: Beginning,
    pub(super) last: Lsn,
    pack_number: u64,
}

/// What a decision sees: the newest state, of which the last moments may not be durable yet.
pub struct View<'a> {
    inner: &'a mut Inner,
    objects: &'a Objects,
    name: &'a RepoName,
}

/// What a decision says: the change, if any, and the answer once it is durable.
pub struct Decision<T> {
    /// What to commit; `None` if all is already as asked.
    pub change: Option<Change>,
    /// What to answer.
    pub answer: T,
}

impl<T> Decision<T> {
    /// Commit this, then answer that.
    pub fn commit(change: Change, answer: T) -> Self {
        Self { change: Some(change), answer }
    }

    /// Everything is as it should be; answer that.
    pub fn nothing(answer: T) -> Self {
        Self { change: None, answer }
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The tree could not take the edits.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The journal did not take the record.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Where commits go.
pub(super) struct Sink<'a> {
    pub(super) journal: &'a dyn Journal,
    pub(super) unpublished: &'a Unpublished,
}

/// A change that is in the journal's hands.
pub(super) struct Appended {
    pub(super) lsn: Lsn,
    pub(super) commit: Oid,
    /// When to publish, if this change is the first since the last publishing.
    pub(super) publish_at: Option<Instant>,
}

impl Repo {
    /// Reads the state branch as it is published, and fills the projections from it.
    pub(super) fn load(
        name: RepoName,
        objects: Objects,
        projections: Projections,
        now: Time,
        durable: Lsn,
    ) -> Result<Self, LoadError> {
        let mut inner = Inner {
            branches: HashMap::new(),
            projections,
            requests: Requests::default(),
            draft: Draft::default(),
            spare: None,
            loaded_bytes: 0,
            pack_number: 1,
            moves: Vec::new(),
            fresh_blobs: OidMap::default(),
            sealed_blobs: OidMap::default(),
            first: Beginning::default(),
            last: Lsn(0),
            publishing: false,
            next_publish: Instant::now(),
            closed: false,
            leaving: false,
            used: now,
        };
        inner.branch(STATE_REF, &objects)?;
        inner.fill_projections(&objects)?;
        inner.requests = Requests::read_back(&objects, inner.branches[STATE_REF].tip, now)?;
        let key: Arc<str> = name.key().into();
        let repo = Self {
            name,
            key,
            objects,
            inner: Mutex::new(inner),
            durable: Progress::default(),
            published: Progress::default(),
        };
        repo.durable.reach(durable);
        repo.published.reach(durable);
        Ok(repo)
    }

    pub(super) fn lock(&self) -> Option<MutexGuard<'_, Inner>> {
        let inner = self.inner.lock();
        (!inner.closed).then_some(inner)
    }

    pub(super) fn view<'a>(&'a self, inner: &'a mut Inner) -> View<'a> {
        View { inner, objects: &self.objects, name: &self.name }
    }

    /// Encodes a change and appends it to the journal. On an error nothing has changed.
    pub(super) fn commit(
        &self,
        inner: &mut Inner,
        change: &Change,
        now: Time,
        to: &Sink<'_>,
        on_durable: impl FnOnce(Oid) -> OnDurable,
    ) -> Result<Appended, CommitError> {
        let pack_number = inner.pack_number;
        let begins_pack = inner.draft.is_empty();
        inner.branch(&change.branch, &self.objects).map_err(EditError::from)?;
        let Inner { branches, draft, fresh_blobs, first, loaded_bytes, .. } = &mut *inner;
        let branch = branches.get_mut(&change.branch).expect("the branch was just loaded");
        let before = load_paths(branch, change, &self.objects, pack_number, loaded_bytes)?;
        let (start, old) = (draft.len(), branch.tip);
        let first_object = draft.objects();
        let tree = write_edits(branch, change, draft, fresh_blobs, pack_number);
        let text = CommitText { tree, parent: old, change, now }.encode();
        let new = Oid::of(Kind::Commit, &text);
        draft.put(Kind::Commit, new, &text);
        if begins_pack {
            *first = to.unpublished.begin(to.journal);
        }
        let record = Record {
            repo: &self.key,
            ref_name: &change.branch,
            old,
            new,
            begins_pack,
            objects: (draft.objects() - first_object) as u32,
            entries: draft.entries_from(start),
        };
        let lsn = match to.journal.append(&record, on_durable(new)) {
            Ok(lsn) => lsn,
            Err(error) => {
                // Under a number of its own, so that no delta rests on what is thrown away, neither now nor later.
                branch.undo(change, before, pack_number + 1);
                draft.truncate(start, first_object);
                if begins_pack {
                    to.unpublished.end(to.journal, *first);
                }
                inner.pack_number += 2;
                return Err(error.into());
            }
        };
        branch.tip = new;
        inner.record_move(&change.branch, old, new);
        inner.last = lsn;
        inner.used = now;
        inner.take_in(change, new, now);
        let publish_at = (begins_pack && !inner.publishing).then_some(inner.next_publish);
        Ok(Appended { lsn, commit: new, publish_at })
    }

    /// Takes the draft away to be published; `None` if it is empty or another one is on its way.
    pub(super) fn seal(&self) -> Option<Sealed> {
        let mut inner = self.inner.lock();
        if inner.draft.is_empty() || inner.publishing {
            return None;
        }
        inner.publishing = true;
        inner.next_publish = Instant::now() + PUBLISH_INTERVAL;
        let pack_number = inner.pack_number;
        inner.pack_number += 1;
        inner.sealed_blobs = std::mem::take(&mut inner.fresh_blobs);
        let next = inner.spare.take().unwrap_or_default();
        Some(Sealed {
            draft: std::mem::replace(&mut inner.draft, next),
            moves: std::mem::take(&mut inner.moves),
            first: inner.first,
            last: inner.last,
            pack_number,
        })
    }

    /// Says that a sealed draft now stands in the repository; tells when the next one is due, if there is one.
    /// Under load the memory of the published pack serves the next draft but one; a quiet repository holds none.
    pub(super) fn unseal(&self, last: Lsn, pack_number: u64, published: Pack) -> Option<Instant> {
        let spare = published.into_draft();
        let mut inner = self.inner.lock();
        inner.publishing = false;
        let stands_in_git = std::mem::take(&mut inner.sealed_blobs);
        inner.drop_unused_folders(pack_number);
        let next = (!inner.draft.is_empty()).then_some(inner.next_publish);
        let unneeded = if next.is_some() { inner.spare.replace(spare) } else { Some(spare) };
        drop(inner);
        drop((stands_in_git, unneeded));
        self.published.reach(last);
        next
    }

    /// Takes the repository out of use if nobody used it since `idle_since` and nothing of it is unpublished.
    pub(super) fn close_if_idle(&self, idle_since: Time) -> bool {
        let Some(mut inner) = self.lock() else { return true };
        let idle = inner.used < idle_since && inner.draft.is_empty() && !inner.publishing;
        if idle {
            self.objects.close_idle();
        }
        if idle && !inner.projections.are_busy() {
            inner.projections.unload();
            inner.closed = true;
        }
        inner.closed
    }

    /// Takes the repository out of use for good; false while something of it is unpublished. From now on it takes no changes.
    pub(super) fn close_for_good(&self) -> bool {
        let Some(mut inner) = self.lock() else { return true };
        inner.leaving = true;
        let is_published = inner.draft.is_empty() && !inner.publishing;
        if is_published {
            self.objects.close_idle();
            inner.projections.unload();
            inner.closed = true;
        }
        is_published
    }

    /// The branch as it is now, for readers that take their time.
    pub(super) fn branch_at(&self, inner: &mut Inner, ref_name: &str) -> Result<(Oid, Arc<Tree>), LoadError> {
        let branch = inner.branch(ref_name, &self.objects)?;
        Ok((branch.tip, branch.tree.clone()))
    }

    /// A file's bytes, published or not.
    pub(super) fn blob(&self, oid: Oid) -> Result<Bytes, LoadError> {
        let fresh = self.inner.lock().fresh(oid);
        fresh.map_or_else(|| self.objects.content(oid).map(Bytes::from), Ok)
    }

    /// Whether a branch has changes that are not published.
    pub(super) fn forget_branch(&self, ref_name: &str) -> bool {
        let mut inner = self.inner.lock();
        let moving = inner.publishing || inner.moves.iter().any(|moved| moved.ref_name.as_ref() == ref_name);
        if !moving {
            inner.branches.remove(ref_name);
        }
        !moving
    }
}

impl Sealed {
    pub(super) fn pack_number(&self) -> u64 {
        self.pack_number
    }
}

/// Loads every folder on the changed paths, so that the writing cannot fail; tells what each path held.
fn load_paths(
    branch: &mut Branch,
    change: &Change,
    source: &dyn TreeSource,
    pack_number: u64,
    loaded: &mut usize,
) -> Result<Vec<Option<Oid>>, EditError> {
    let load = |edit: &Edit| tree::load(&mut branch.tree, edit.path(), source, pack_number, loaded);
    change.edits.iter().map(load).collect()
}

fn write_edits(
    branch: &mut Branch,
    change: &Change,
    draft: &mut Draft,
    fresh_blobs: &mut OidMap<Bytes>,
    pack_number: u64,
) -> Oid {
    for edit in &change.edits {
        let Some(bytes) = edit.bytes() else {
            tree::remove(&mut branch.tree, edit.path());
            continue;
        };
        let blob = Oid::of(Kind::Blob, &bytes);
        draft.put(Kind::Blob, blob, &bytes);
        fresh_blobs.insert(blob, bytes);
        tree::put(&mut branch.tree, edit.path(), blob);
    }
    tree::write(&mut branch.tree, draft, pack_number)
}

impl Branch {
    /// Puts back what each path held, so that memory is as if the change had not been tried.
    fn undo(&mut self, change: &Change, before: Vec<Option<Oid>>, pack_number: u64) {
        for (edit, held) in change.edits.iter().zip(before).rev() {
            match held {
                Some(blob) => tree::put(&mut self.tree, edit.path(), blob),
                None => tree::remove(&mut self.tree, edit.path()),
            }
        }
        tree::write(&mut self.tree, &mut Draft::default(), pack_number);
    }
}

impl Inner {
    /// The branch, read from the repository when it is first needed.
    fn branch(&mut self, ref_name: &str, objects: &Objects) -> Result<&mut Branch, LoadError> {
        if !self.branches.contains_key(ref_name) {
            let tip = objects
                .with(|repo| match repo.refname_to_id(ref_name) {
                    Ok(oid) => Ok(oid.into()),
                    Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(Oid::ZERO),
                    Err(error) => Err(error),
                })
                .map_err(|error| objects.load_error(ref_name.to_owned(), &error))?;
            let tree = if tip == Oid::ZERO {
                Tree::default()
            } else {
                let root = objects.tree_of(tip)?;
                Tree::new(root, objects.tree(root)?)
            };
            self.branches.insert(ref_name.into(), Branch { tip, tree: Arc::new(tree) });
        }
        Ok(self.branches.get_mut(ref_name).expect("it is there or was just put there"))
    }

    fn fill_projections(&mut self, objects: &Objects) -> Result<(), LoadError> {
        let tree = self.branches[STATE_REF].tree.clone();
        for root in self.projections.roots() {
            let mut found = |path: &str, oid: Oid| {
                self.projections.apply(&Edit::write(path, objects.content(oid)?));
                Ok(())
            };
            match tree::lookup(&tree, root, objects)? {
                Some(entry) if !entry.is_folder => found(root, entry.oid)?,
                Some(_) => tree::walk(&tree, root, objects, &mut found)?,
                None => {}
            }
        }
        Ok(())
    }

    fn record_move(&mut self, ref_name: &str, old: Oid, new: Oid) {
        match self.moves.iter_mut().find(|moved| moved.ref_name.as_ref() == ref_name) {
            Some(moved) => moved.new = new,
            None => self.moves.push(RefMove { ref_name: ref_name.into(), old, new }),
        }
    }

    /// Memory learns of the change, in the same form as from a push or at loading.
    fn take_in(&mut self, change: &Change, commit: Oid, now: Time) {
        if change.branch.as_ref() == STATE_REF {
            change.edits.iter().for_each(|edit| self.projections.apply(edit));
        }
        if let Some(request) = &change.request {
            self.requests.remember(&change.actor.name, request, commit, &change.subject, now);
        }
    }

    fn fresh(&self, oid: Oid) -> Option<Bytes> {
        self.fresh_blobs.get(&oid).or_else(|| self.sealed_blobs.get(&oid)).cloned()
    }

    fn drop_unused_folders(&mut self, pack_number: u64) {
        if self.loaded_bytes > LOADED_BYTES_MAX {
            self.loaded_bytes = 0;
            self.branches.values_mut().for_each(|branch| tree::forget_unused(&mut branch.tree, pack_number));
        }
    }

    pub(super) fn last(&self) -> Lsn {
        self.last
    }
}

impl View<'_> {
    /// A subject's projection of this repository.
    pub fn get<P: Projection>(&self) -> &P {
        self.inner.projections.get()
    }

    /// The repository's name.
    pub fn name(&self) -> &RepoName {
        self.name
    }

    /// The newest commit of the state branch.
    pub fn tip(&self) -> Oid {
        self.inner.branches[STATE_REF].tip
    }

    /// The newest record of the repository, to wait for with `State::published`.
    pub fn last(&self) -> Lsn {
        self.inner.last
    }

    /// What this actor's request with this idempotency key led to, if it is remembered.
    pub fn request(&self, actor: &str, key: &str) -> Option<&str> {
        self.inner.requests.find(actor, key)
    }

    /// The bytes of a file on a branch.
    pub fn file(&mut self, branch: &str, path: &str) -> Result<Option<Bytes>, LoadError> {
        let tree = &self.inner.branch(branch, self.objects)?.tree;
        let Some(entry) = tree::lookup(tree, path, self.objects)? else { return Ok(None) };
        let fresh = self.inner.fresh(entry.oid);
        fresh.map_or_else(|| self.objects.content(entry.oid).map(Bytes::from), Ok).map(Some)
    }

    /// The entries of a folder on a branch; none if it is not there.
    pub fn list(&mut self, branch: &str, path: &str) -> Result<Vec<Entry>, LoadError> {
        let tree = &self.inner.branch(branch, self.objects)?.tree;
        tree::list(tree, path, self.objects)
    }

    /// The newest commit of any branch; [`Oid::ZERO`] if there is no such branch.
    pub fn tip_of(&mut self, branch: &str) -> Result<Oid, LoadError> {
        Ok(self.inner.branch(branch, self.objects)?.tip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::edit::{Actor, Edit};
    use crate::state::journal::Backlog;
    use crate::state::{disk::RealDisk, publish};

    /// A journal that takes everything but while it is full.
    #[derive(Default)]
    struct Filling(Mutex<(bool, u64)>);

    impl Journal for Filling {
        fn append(&self, _: &Record<'_>, _: OnDurable) -> Result<Lsn, JournalError> {
            let (full, last) = &mut *self.0.lock();
            if *full {
                return Err(JournalError::Full("no room".to_owned()));
            }
            *last += 1;
            Ok(Lsn(*last))
        }
        fn durable(&self) -> Lsn {
            Lsn(self.0.lock().1)
        }
        fn release_before(&self, _: Lsn) {}
        fn backlog(&self) -> Backlog {
            Backlog::default()
        }
    }

    fn change(file: u32) -> Change {
        Change {
            branch: STATE_REF.into(),
            subject: format!("file {file}"),
            event: "test.put",
            actor: Actor::daemon(),
            request: None,
            edits: vec![Edit::write(format!("a/b/{file}"), format!("{file}"))],
        }
    }

    #[test]
    fn a_change_that_the_journal_has_no_room_for_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let git = git2::Repository::init_bare(folder.path()).unwrap();
        let objects = Objects::new(folder.path().to_owned());
        let now = Time::from_millis(0);
        let repo = Repo::load(RepoName::Platform, objects, Projections::default(), now, Lsn(0)).unwrap();
        let (journal, unpublished) = (Filling::default(), Unpublished::default());
        let to = Sink { journal: &journal, unpublished: &unpublished };
        let commit =
            |file| repo.commit(&mut repo.inner.lock(), &change(file), now, &to, |_| Box::new(|_| {}));
        let mut tip = Oid::ZERO;
        for file in 0..40 {
            journal.0.lock().0 = true;
            assert!(commit(1000 + file).is_err());
            journal.0.lock().0 = false;
            tip = commit(file).unwrap().commit;
        }
        publish::write_pack(&RealDisk, folder.path(), &repo.seal().unwrap().draft.finish()).unwrap();
        let tree = git.find_commit(tip.to_git()).unwrap().tree().unwrap();
        let files = tree.get_path(std::path::Path::new("a/b")).unwrap().to_object(&git).unwrap();
        let files: Vec<String> =
            files.as_tree().unwrap().iter().map(|entry| entry.name().unwrap().to_owned()).collect();
        let mut expected: Vec<String> = (0..40).map(|file| file.to_string()).collect();
        expected.sort();
        assert_eq!(files, expected);
    }
}
