//! Maintenance: packs stay few, and history stays quick to read, without anybody waiting for it.
//!
//! One thread folds small packs ([`super::fold`]) as soon as a repository has many; the daemon's rounds repack one
//! repository at a time when it is idle ([`super::repack`]). Nothing here takes a repository's inner lock.
//!
//! - Only the folding thread removes packs, so two removals cannot cross.
//! - A repack freezes the packs it lists: folding leaves them alone until it is over, and goes on with newer ones. It
//!   begins only when no fold of that repository is under way and no replaced pack is left to remove.
//! - A replaced pack stays a moment longer: a reader who saw the folder before the new pack was there still finds it.
//! - What is known here is memory only. After a restart packs are counted again, and a replaced pack that was not removed
//!   is folded once more, which drops the doubles.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::disk::Disk;
use super::fold::{self, FoldError};
use super::layout::{DataFolder, RepoName};
use super::packs::{self, PackFile};
use super::repack::{self, Graph, RepackError};
use super::repo::Repo;
use crate::clock::{Clock, Time};
use crate::git::child::{Cause, Halt, ProgramError};

/// A repository with more packs than this is folded, or with this many more than the last fold left.
const FOLD_ABOVE: usize = 24;
const FOLD_AGAIN_AFTER: usize = 16;
/// With so many packs and a fold under way, publishing waits for it: there are never more than 50.
const CROWDED: usize = 40;
/// With more than this replaced ones are removed at once, and a fold is asked for however many the last one left.
const MANY: usize = 36;
/// A repository with more packs than this is folded before a repack freezes them.
const FROZEN_MAX: usize = 6;
/// How long a replaced pack is kept for those who read the folder before, unless there are many packs. Git looks again when
/// a pack is gone, but for `git fsck`, which then says that a pack cannot be read; `mrx doctor` runs it again.
const REPLACED_KEPT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// A repository is busy if something was published so recently.
const BUSY: Duration = Duration::from_secs(2);
/// A repository is idle if nothing was published for so long.
const IDLE_AFTER: Duration = Duration::from_secs(30);
/// An idle repository is repacked if it has so many objects that no repack has seen, and an eighth of all it has.
const LOOSE_OBJECTS: u64 = 2_000;
/// A repository that changed is repacked this often, idle or not.
const REPACK_EVERY: Duration = Duration::from_secs(24 * 3600);
/// What failed is not tried again before.
const RETRY_AFTER: Duration = Duration::from_secs(600);
/// After so many published objects (about 5 a commit) the commit-graph is written, idle or not; while changes pour in, after
/// so many more: its writing takes a core and the disk from them.
const GRAPH_OBJECTS: u64 = 500_000;
const GRAPH_OBJECTS_BUSY: u64 = 2_500_000;
/// After so many it is written when the repository is idle.
const GRAPH_OBJECTS_IDLE: u64 = 2_500;
/// How many repositories that nobody wrote to a round looks at for the first time.
const NEW_LOOKS_MAX: usize = 200;

/// What maintenance works with.
pub(super) struct Upkeep {
    pub(super) folder: DataFolder,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Clock,
    /// Ends the process: what is on the disk is not known any more.
    pub(super) on_failure: Arc<dyn Fn(&str) + Send + Sync>,
    state: Mutex<Plan>,
    changed: Condvar,
    /// Held while one repository is repacked or its graph written.
    tending: Mutex<()>,
    halt: Halt,
}

#[derive(Default)]
struct Plan {
    known: HashMap<RepoName, Known>,
    queue: VecDeque<RepoName>,
}

/// What is known about a repository's packs.
#[derive(Default)]
struct Known {
    repo: Weak<Repo>,
    /// Packs in the folder: as last counted, and those published since.
    packs: usize,
    /// Packs that could be folded again after the last fold.
    left: usize,
    fold_above: usize,
    is_queued: bool,
    is_folding: bool,
    fold_not_before: Option<Instant>,
    /// Packs of which every object stands elsewhere too, and since when.
    replaced: Vec<(String, Instant)>,
    /// Packs that a repack has listed.
    frozen: HashSet<String>,
    /// Objects that no repack has seen, of all.
    loose: u64,
    objects: u64,
    ungraphed: u64,
    has_garbage: bool,
    /// Objects published since the start.
    published: u64,
    changed_at: Option<Time>,
    repacked_at: Option<Time>,
    not_before: Option<Time>,
}

/// What a round does with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Repack,
    Graph,
}

impl Known {
    fn due(&self, now: Time) -> Option<Due> {
        if self.not_before.is_some_and(|time| now < time) {
            return None;
        }
        let is_idle = self.changed_at.is_none_or(|time| now.since(time) >= IDLE_AFTER);
        let is_old = self.repacked_at.is_none_or(|time| now.since(time) >= REPACK_EVERY);
        let is_large = self.loose > LOOSE_OBJECTS && self.loose * 8 > self.objects;
        let is_busy = self.changed_at.is_some_and(|time| now.since(time) < BUSY);
        let graph_above = match () {
            () if is_idle => GRAPH_OBJECTS_IDLE,
            () if is_busy => GRAPH_OBJECTS_BUSY,
            () => GRAPH_OBJECTS,
        };
        match () {
            () if is_idle && is_large => Some(Due::Repack),
            () if is_old && self.repacked_at.is_some() && (self.loose > 0 || self.has_garbage) => {
                Some(Due::Repack)
            }
            () if self.ungraphed > graph_above => Some(Due::Graph),
            () => None,
        }
    }

    fn is_replaced(&self, name: &str) -> bool {
        self.replaced.iter().any(|(other, _)| other == name)
    }

    /// The packs that may be folded now.
    fn foldable(&self, packs: Vec<PackFile>) -> Vec<PackFile> {
        let free = |pack: &PackFile| {
            !pack.is_kept
                && !pack.is_cruft
                && !self.is_replaced(&pack.name)
                && !self.frozen.contains(&pack.name)
        };
        packs.into_iter().filter(free).collect()
    }
}

impl Plan {
    fn ask(&mut self, name: &RepoName) -> bool {
        let Some(known) = self.known.get_mut(name).filter(|known| !known.is_queued) else { return false };
        known.is_queued = true;
        self.queue.push_back(name.clone());
        true
    }
}

impl Upkeep {
    pub(super) fn new(
        folder: DataFolder,
        disk: Arc<dyn Disk>,
        clock: Clock,
        on_failure: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Self {
        let (state, halt) = (Mutex::default(), Arc::new(AtomicBool::new(false)));
        Self {
            folder,
            disk,
            clock,
            on_failure,
            state,
            changed: Condvar::new(),
            tending: Mutex::new(()),
            halt,
        }
    }

    /// Notes that a pack with so many objects was published; asks for a fold if there are many.
    pub(super) fn published(&self, repo: &Arc<Repo>, objects: usize) {
        let mut plan = self.state.lock();
        let known = plan.known.entry(repo.name.clone()).or_default();
        known.repo = Arc::downgrade(repo);
        known.packs += 1;
        known.loose += objects as u64;
        known.objects += objects as u64;
        known.ungraphed += objects as u64;
        known.published += objects as u64;
        known.changed_at = Some(self.clock.now());
        let is_much = known.packs > known.fold_above.max(FOLD_ABOVE);
        if is_much && known.fold_not_before.is_none_or(|time| time <= Instant::now()) && plan.ask(&repo.name)
        {
            self.changed.notify_all();
        }
    }

    /// Notes that a branch was dropped, so the next daily repack has something to free.
    pub(super) fn dropped(&self, name: &RepoName) {
        self.state.lock().known.entry(name.clone()).or_default().has_garbage = true;
    }

    /// How many objects were published to each repository since the start. A commit is one or more of them.
    pub(super) fn published_since_start(&self) -> Vec<(RepoName, u64)> {
        let plan = self.state.lock();
        let written = plan.known.iter().filter(|(_, known)| known.published > 0);
        written.map(|(name, known)| (name.clone(), known.published)).collect()
    }

    /// Ends programs when the state is closed.
    pub(super) fn halt(&self) -> &Halt {
        &self.halt
    }

    /// Forgets a repository that is to be removed; false while its packs are being folded or repacked.
    pub(super) fn forget(&self, name: &RepoName) -> bool {
        let Some(_tending) = self.tending.try_lock() else { return false };
        let mut plan = self.state.lock();
        if plan.known.get(name).is_some_and(|known| known.is_folding) {
            return false;
        }
        plan.known.remove(name);
        plan.queue.retain(|queued| queued != name);
        true
    }

    /// Whether publishing should wait for a fold that is on its way.
    pub(super) fn is_crowded(&self, name: &RepoName) -> bool {
        let plan = self.state.lock();
        let crowded = |known: &Known| known.packs >= CROWDED && (known.is_queued || known.is_folding);
        !self.is_stopping() && plan.known.get(name).is_some_and(crowded)
    }

    /// Ends programs under way; publishing waits for no fold any more.
    pub(super) fn stop(&self) {
        self.halt.store(true, Ordering::Release);
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Waits until a round that is under way has ended.
    pub(super) fn join(&self) {
        drop(self.tending.lock());
    }

    fn is_stopping(&self) -> bool {
        self.halt.load(Ordering::Acquire)
    }

    /// Folds what is asked for until the state is closed: the body of the folding thread.
    pub(super) fn run(&self) {
        while let Some(name) = self.take() {
            let folded = self.fold(&name);
            let mut plan = self.state.lock();
            let Some(known) = plan.known.get_mut(&name) else { continue };
            known.is_folding = false;
            let Err(error) = folded else { continue };
            known.fold_not_before = Some(Instant::now() + RETRY_AFTER);
            drop(plan);
            if let FoldError::Unsynced { .. } = error {
                (self.on_failure)(&format!("folding packs of {name} failed: {error}"));
            }
            tracing::error!(repo = %name, %error, "packs were not folded; they stay as they were");
        }
    }

    fn take(&self) -> Option<RepoName> {
        let mut plan = self.state.lock();
        loop {
            if self.is_stopping() {
                return None;
            }
            if let Some(name) = plan.queue.pop_front() {
                if let Some(known) = plan.known.get_mut(&name) {
                    (known.is_queued, known.is_folding) = (false, true);
                }
                return Some(name);
            }
            self.changed.wait(&mut plan);
        }
    }

    /// Removes what was replaced, then folds if there are too many packs.
    fn fold(&self, name: &RepoName) -> Result<(), FoldError> {
        let repo = self.folder.repo(name);
        let failed =
            |source: io::Error| FoldError::Disk { what: "maintain", path: packs::folder(&repo), source };
        self.remove_replaced(name).map_err(failed)?;
        let foldable = self.foldable(name).map_err(failed)?;
        let is_repack_wanted =
            self.state.lock().known.get(name).is_some_and(|known| known.due(self.clock.now()).is_some());
        let chosen = match foldable.len() {
            count if count > FOLD_ABOVE || is_repack_wanted && count > FROZEN_MAX => {
                self.choose(name, &foldable)
            }
            _ => &[],
        };
        let chosen = fold::within_objects(&repo, chosen).map_err(failed)?;
        let is_folded = chosen.len() >= 2;
        if is_folded {
            let folded = fold::merge(&*self.disk, &repo, chosen)?;
            let replaced = chosen.iter().map(|pack| pack.name.clone()).filter(|name| *name != folded);
            self.note_replaced(name, replaced.collect());
            tracing::debug!(repo = %name, packs = chosen.len(), folded, "packs were folded");
        }
        self.count(name, is_folded).map_err(failed)
    }

    /// Which packs to fold: while changes pour in as few bytes as leave few packs, so that it is soon done.
    fn choose<'a>(&self, name: &RepoName, foldable: &'a [PackFile]) -> &'a [PackFile] {
        let now = self.clock.now();
        let changed_at = self.state.lock().known.get(name).and_then(|known| known.changed_at);
        if changed_at.is_some_and(|changed| now.since(changed) < BUSY) {
            let chosen = fold::choose(foldable, fold::FOLDED_BYTES_MAX_BUSY);
            if foldable.len() - chosen.len() < FOLD_ABOVE {
                return chosen;
            }
        }
        fold::choose(foldable, fold::FOLDED_BYTES_MAX)
    }

    fn foldable(&self, name: &RepoName) -> io::Result<Vec<PackFile>> {
        let packs = packs::list(&self.folder.repo(name))?;
        Ok(self.state.lock().known.get(name).map_or_else(Vec::new, |known| known.foldable(packs)))
    }

    fn note_replaced(&self, name: &RepoName, packs: Vec<String>) {
        let now = Instant::now();
        if let Some(known) = self.state.lock().known.get_mut(name) {
            known.replaced.extend(packs.into_iter().map(|pack| (pack, now)));
        }
    }

    /// Removes the packs that were replaced a while ago; all of them if the repository is crowded.
    fn remove_replaced(&self, name: &RepoName) -> io::Result<()> {
        let repo = self.folder.repo(name);
        let is_due = |known: &Known, since: &Instant| {
            known.packs > MANY || since.elapsed() >= REPLACED_KEPT || known.due(self.clock.now()).is_some()
        };
        let going: Vec<String> = {
            let plan = self.state.lock();
            let Some(known) = plan.known.get(name) else { return Ok(()) };
            known
                .replaced
                .iter()
                .filter(|(_, since)| is_due(known, since))
                .map(|(pack, _)| pack.clone())
                .collect()
        };
        if going.is_empty() {
            return Ok(());
        }
        packs::remove_multi_index(&*self.disk, &repo)?;
        going.iter().try_for_each(|pack| packs::remove(&*self.disk, &repo, pack))?;
        let mut plan = self.state.lock();
        let Some(known) = plan.known.get_mut(name) else { return Ok(()) };
        known.replaced.retain(|(pack, _)| !going.contains(pack));
        known.packs = known.packs.saturating_sub(going.len());
        let open = known.repo.upgrade();
        drop(plan);
        // Readers' handles hold the removed files, and so their room on the disk.
        open.iter().for_each(|repo| repo.objects.close_idle());
        Ok(())
    }

    /// Counts the packs of a repository again, after a fold or a removal.
    fn count(&self, name: &RepoName, is_folded: bool) -> io::Result<()> {
        let found = packs::list(&self.folder.repo(name))?;
        let mut plan = self.state.lock();
        let Some(known) = plan.known.get_mut(name) else { return Ok(()) };
        known.packs = found.len();
        let free = known.foldable(found).len();
        // A removal leaves what it found, and does not put the next fold off.
        known.left = if is_folded { free } else { known.left.min(free) };
        let more = known.left.max(FOLD_ABOVE - FOLD_AGAIN_AFTER) + FOLD_AGAIN_AFTER;
        known.fold_above = (more + known.packs - free).min(MANY).max(known.packs + 1);
        Ok(())
    }
}

/// The rounds.
impl Upkeep {
    /// Looks at every repository, and tends to the one that needs it most. Returns at once if another round is on.
    pub(super) fn round(&self) {
        let Some(_tending) = self.tending.try_lock() else { return };
        self.look_at_new_ones();
        self.ask_where_needed();
        let Some((name, due)) = self.most_urgent() else { return };
        let repo = self.folder.repo(&name);
        let done = match due {
            Due::Repack => self.repack(&name),
            Due::Graph => {
                repack::write_graph(&repo, Graph::More, &self.halt).map_err(RepackError::from).map(|()| true)
            }
        };
        self.note(&name, due, done);
    }

    /// Asks for folds and removals that no publishing asks for: packs also come by pushes, and replaced ones grow old.
    fn ask_where_needed(&self) {
        let in_use = |known: &Known| !known.replaced.is_empty() || known.repo.upgrade().is_some();
        let names: Vec<RepoName> = {
            let plan = self.state.lock();
            plan.known.iter().filter(|(_, known)| in_use(known)).map(|(name, _)| name.clone()).collect()
        };
        for name in names {
            let Ok(found) = packs::list(&self.folder.repo(&name)) else { continue };
            let mut plan = self.state.lock();
            let Some(known) = plan.known.get_mut(&name) else { continue };
            known.packs = found.len();
            let may_fold = known.fold_not_before.is_none_or(|time| time <= Instant::now());
            if !known.replaced.is_empty() || may_fold && known.packs > known.fold_above.max(FOLD_ABOVE) {
                plan.ask(&name);
            }
        }
        self.changed.notify_all();
    }

    /// Learns of repositories that nobody has written to since the start.
    fn look_at_new_ones(&self) {
        let is_known = |name: &RepoName| {
            self.state.lock().known.get(name).is_some_and(|known| known.repacked_at.is_some())
        };
        let projects =
            std::fs::read_dir(self.folder.repos().join("projects")).into_iter().flatten().flatten();
        let projects = projects.filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_suffix(".git").and_then(|id| id.parse().ok()).map(RepoName::Project)
        });
        let new = projects.chain([RepoName::Platform]).filter(|name| !is_known(name)).take(NEW_LOOKS_MAX);
        for name in new {
            if let Err(error) = self.look(&name) {
                tracing::warn!(repo = %name, %error, "a repository's packs cannot be counted");
            }
        }
    }

    fn look(&self, name: &RepoName) -> io::Result<()> {
        let repo = self.folder.repo(name);
        if !packs::folder(&repo).is_dir() {
            return Ok(());
        }
        let (found, mut objects, mut loose) = (packs::list(&repo)?, 0, 0);
        for pack in &found {
            // A pack that is folded away meanwhile counts for nothing.
            let count = packs::count_objects(&repo, &pack.name).unwrap_or(0);
            objects += count;
            loose += if pack.is_gits { 0 } else { count };
        }
        let has_graph = repo.join("objects/info/commit-graphs").is_dir();
        let mut plan = self.state.lock();
        let known = plan.known.entry(name.clone()).or_default();
        (known.packs, known.objects, known.loose) = (found.len(), objects, loose);
        known.ungraphed = if has_graph { known.ungraphed.max(loose) } else { objects };
        known.repacked_at = Some(self.clock.now());
        Ok(())
    }

    fn most_urgent(&self) -> Option<(RepoName, Due)> {
        let (plan, now) = (self.state.lock(), self.clock.now());
        let due = plan.known.iter().filter_map(|(name, known)| Some((name, known.due(now)?, known.loose)));
        due.max_by_key(|(_, due, loose)| (*due == Due::Graph, *loose))
            .map(|(name, due, _)| (name.clone(), due))
    }

    /// Repacks a repository; false if folding must come first, and is asked for.
    fn repack(&self, name: &RepoName) -> Result<bool, RepackError> {
        let repo = self.folder.repo(name);
        let Some(listed) = self.freeze(name)? else { return Ok(false) };
        let replaced = repack::repack(&*self.disk, &repo, &listed, &self.halt);
        let mut plan = self.state.lock();
        if let Some(known) = plan.known.get_mut(name) {
            known.frozen.clear();
            let (now, replaced) = (Instant::now(), replaced.as_ref().into_iter().flatten());
            known.replaced.extend(replaced.map(|pack| (pack.clone(), now)));
        }
        plan.ask(name);
        drop(plan);
        self.changed.notify_all();
        replaced.map(|_| true)
    }

    /// Lists the packs that a repack will replace, and keeps folding off them; `None` if they must be folded first.
    fn freeze(&self, name: &RepoName) -> Result<Option<Vec<PackFile>>, RepackError> {
        let repo = self.folder.repo(name);
        let failed = |source| RepackError::Read { path: packs::folder(&repo), source };
        let mut plan = self.state.lock();
        let Some(known) = plan.known.get_mut(name) else { return Ok(None) };
        // The list is read under the lock, which is short, so that no fold can begin between it and the freezing.
        let mut listed = packs::list(&repo).map_err(failed)?;
        listed.retain(|pack| !pack.is_kept);
        let small = known.foldable(listed.clone());
        let chosen =
            fold::within_objects(&repo, fold::choose(&small, fold::FOLDED_BYTES_MAX)).map_err(failed)?;
        let must_fold = small.len() > FROZEN_MAX && chosen.len() > 1;
        if known.is_folding || known.is_queued || !known.replaced.is_empty() || must_fold {
            plan.ask(name);
            drop(plan);
            self.changed.notify_all();
            return Ok(None);
        }
        known.frozen = listed.iter().map(|pack| pack.name.clone()).collect();
        (known.loose, known.ungraphed, known.has_garbage) = (0, 0, false);
        Ok(Some(listed))
    }

    fn note(&self, name: &RepoName, due: Due, done: Result<bool, RepackError>) {
        let mut plan = self.state.lock();
        let Some(known) = plan.known.get_mut(name) else { return };
        let now = self.clock.now();
        match done {
            Ok(false) => {}
            Ok(true) => {
                known.ungraphed = if due == Due::Graph { 0 } else { known.ungraphed };
                known.repacked_at = if due == Due::Repack { Some(now) } else { known.repacked_at };
            }
            Err(RepackError::Git(ProgramError { cause: Cause::Halted, .. })) => {}
            Err(error) => {
                known.not_before = Some(now.after(RETRY_AFTER));
                known.loose = known.objects;
                drop(plan);
                if let RepackError::Unsynced { .. } = error {
                    (self.on_failure)(&format!("repacking {name} failed: {error}"));
                }
                tracing::error!(repo = %name, %error, "maintenance failed; the repository stays as it was");
            }
        }
    }

    /// How many packs each repository has in its folder, for `/metrics`.
    pub(super) fn packs(&self) -> Vec<(RepoName, usize)> {
        self.state.lock().known.iter().map(|(name, known)| (name.clone(), known.packs)).collect()
    }
}

#[cfg(test)]
mod tests;
