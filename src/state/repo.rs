//! One repository's writer: decides one change at a time, encodes it as a commit, and hands it to the journal.
//!
//! Everything a decision needs is behind one lock, so decisions are serial without locks in the subjects. The lock is
//! held for microseconds: no fsync, no publishing and no waiting happens under it. What a change writes is visible to the
//! next decision at once and to a reader's answer only when it is durable: readers wait for the last record they saw.

mod encode;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::edit::{Change, Cut, Edit, Projection, Projections, Step};
use super::journal::{Journal, JournalError, Lsn, OnDurable, Record};
use super::layout::{RepoName, STATE_REF};
use super::objects::Objects;
use super::oid::{Kind, Oid};
use super::pack::{Draft, OidMap, Pack};
use super::publish::{Beginning, PUBLISH_INTERVAL, Unpublished};
use super::requests::Requests;
use super::sign::Signer;
use super::tree::{self, EditError, Entry, LoadError, Tree, TreeSource};
use crate::clock::Time;
use encode::{Written, commit_text, load_paths, write_edits};

/// Once so many bytes of folders were loaded, those that the last pack did not use are dropped.
const LOADED_BYTES_MAX: usize = 64 << 20;

/// How often a change lets other tasks run before its thread waits for the writer.
const TURNS_GIVEN: u32 = 16;

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

/// What a decision says: what to commit, and the answer once it is durable.
pub struct Decision<T> {
    /// The commits, each on the one before and all on one branch: all of them, or none. None if all is already as asked.
    pub steps: Vec<Step>,
    /// What to answer.
    pub answer: T,
}

impl<T> Decision<T> {
    /// Commit this, then answer that.
    pub fn commit(change: Change, answer: T) -> Self {
        Self { steps: vec![Step::Own(change)], answer }
    }

    /// Everything is as it should be; answer that.
    pub fn nothing(answer: T) -> Self {
        Self { steps: Vec::new(), answer }
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The tree could not take the edits.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A commit from elsewhere does not hold what its edits make.
    #[error(
        "the commit {0} holds more or less than its files: an empty folder, an odd mode, or entries out of order"
    )]
    OtherTree(Oid),
    /// The journal did not take the record.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Where commits go.
pub(super) struct Sink<'a> {
    pub(super) journal: &'a dyn Journal,
    pub(super) unpublished: &'a Unpublished,
    pub(super) signer: Option<&'a Signer>,
}

/// Commits that are in the journal's hands.
pub(super) struct Appended {
    pub(super) lsn: Lsn,
    /// The last of them.
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

    /// Lets other tasks run while somebody writes: a thread that waits for the lock would do nothing meanwhile. With 64 agents
    /// on two cores a quarter more claims a second are answered so.
    pub(super) async fn wait_for_turn(&self) {
        for _ in 0..TURNS_GIVEN {
            if !self.inner.is_locked() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn view<'a>(&'a self, inner: &'a mut Inner) -> View<'a> {
        View { inner, objects: &self.objects, name: &self.name }
    }

    /// Encodes commits and appends them to the journal as one record, so that all of them are durable or none. On an error
    /// nothing has changed.
    pub(super) fn commit(
        &self,
        inner: &mut Inner,
        steps: &[Step],
        now: Time,
        to: &Sink<'_>,
        on_durable: impl FnOnce(&[Oid]) -> OnDurable,
    ) -> Result<Appended, CommitError> {
        let ref_name = steps[0].branch();
        let begins_pack = inner.draft.is_empty();
        inner.branch(ref_name, &self.objects).map_err(EditError::from)?;
        let (start, first_object) = (inner.draft.len(), inner.draft.objects());
        let old = inner.branches[ref_name].tip;
        let mut written = Written::default();
        if let Err(error) = inner.encode(&self.objects, steps, now, to.signer, &mut written) {
            inner.take_back(steps, written, start, first_object);
            return Err(error);
        }
        let new = *written.commits.last().expect("there is a step, and each makes a commit");
        if begins_pack {
            inner.first = to.unpublished.begin(to.journal);
        }
        let record = Record {
            repo: &self.key,
            ref_name,
            old,
            new,
            begins_pack,
            objects: (inner.draft.objects() - first_object) as u32,
            entries: inner.draft.entries_from(start),
        };
        let lsn = match to.journal.append(&record, on_durable(&written.commits)) {
            Ok(lsn) => lsn,
            Err(error) => {
                if begins_pack {
                    to.unpublished.end(to.journal, inner.first);
                }
                inner.take_back(steps, written, start, first_object);
                return Err(error.into());
            }
        };
        inner.branches.get_mut(ref_name).expect("it was loaded above").tip = new;
        inner.record_move(ref_name, old, new);
        if let [Step::Cut(cut)] = steps {
            inner.record_archive(cut, old);
        }
        inner.last = lsn;
        inner.used = now;
        steps.iter().zip(&written.commits).for_each(|(step, commit)| inner.take_in(step, *commit, now));
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
        // The next pack will have about as many: a map that grows is moved a dozen times.
        let next_blobs = OidMap::with_capacity_and_hasher(inner.fresh_blobs.len(), Default::default());
        inner.sealed_blobs = std::mem::replace(&mut inner.fresh_blobs, next_blobs);
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

    /// The tip of the state branch, if git shows it: nothing is unpublished or on its way.
    pub(super) fn tip_at_rest(&self) -> Option<Oid> {
        let inner = self.lock()?;
        (inner.draft.is_empty() && !inner.publishing).then(|| inner.branches[STATE_REF].tip)
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

impl Branch {
    /// Puts back what each path held, so that memory is as if the edits had not been tried.
    fn undo(&mut self, edits: &[Edit], before: Vec<Option<Oid>>) {
        for (edit, held) in edits.iter().zip(before).rev() {
            match held {
                Some(blob) => tree::put(&mut self.tree, edit.path(), blob),
                None => tree::remove(&mut self.tree, edit.path()),
            }
        }
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

    /// Writes the objects of each step into the draft. On an error, `written` tells how far it came.
    fn encode(
        &mut self,
        objects: &Objects,
        steps: &[Step],
        now: Time,
        signer: Option<&Signer>,
        written: &mut Written,
    ) -> Result<(), CommitError> {
        let Self { branches, draft, fresh_blobs, loaded_bytes, pack_number, .. } = self;
        let branch = branches.get_mut(steps[0].branch()).expect("the caller has loaded it");
        let mut parent = branch.tip;
        for step in steps {
            let before = load_paths(branch, step.edits(), objects, *pack_number, loaded_bytes)?;
            let tree = match step {
                Step::Cut(_) => branch.tree.oid(),
                _ => write_edits(branch, step.edits(), draft, fresh_blobs, *pack_number),
            };
            written.before.push(before);
            let (commit, text) = commit_text(step, tree, parent, now, signer)?;
            draft.put(Kind::Commit, commit, &text);
            written.commits.push(commit);
            parent = commit;
        }
        Ok(())
    }

    /// Makes memory as if the steps had not been tried.
    fn take_back(&mut self, steps: &[Step], written: Written, start: usize, first_object: usize) {
        let branch = self.branches.get_mut(steps[0].branch()).expect("it was loaded for the steps");
        for (step, before) in steps.iter().zip(written.before).rev() {
            branch.undo(step.edits(), before);
        }
        // Under a number of its own, so that no delta rests on what is thrown away, neither now nor later.
        tree::write(&mut branch.tree, &mut Draft::default(), self.pack_number + 1);
        self.draft.truncate(start, first_object);
        self.pack_number += 2;
    }

    fn fill_projections(&mut self, objects: &Objects) -> Result<(), LoadError> {
        let Self { branches, projections, loaded_bytes, .. } = self;
        let branch = branches.get_mut(STATE_REF).expect("the caller has loaded it");
        for root in projections.roots() {
            let mut found = |path: &str, oid: Oid| {
                projections.apply(&Edit::write(path, objects.content(oid)?));
                Ok(())
            };
            tree::load_below(&mut branch.tree, root, objects, loaded_bytes, &mut found)?;
        }
        Ok(())
    }

    fn record_move(&mut self, ref_name: &str, old: Oid, new: Oid) {
        match self.moves.iter_mut().find(|moved| moved.ref_name.as_ref() == ref_name) {
            Some(moved) => moved.new = new,
            None => self.moves.push(RefMove { ref_name: ref_name.into(), old, new }),
        }
    }

    /// What an epoch leaves behind is kept before the branch goes on without it: a publisher moves the refs in their order.
    fn record_archive(&mut self, cut: &Cut, tip: Oid) {
        self.moves.insert(0, RefMove { ref_name: cut.archive.clone(), old: Oid::ZERO, new: tip });
    }

    /// Memory learns of a step, in the same form as at loading. Of a commit from elsewhere it learns by the changes behind it.
    fn take_in(&mut self, step: &Step, commit: Oid, now: Time) {
        let Step::Own(change) = step else { return };
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
mod tests;
