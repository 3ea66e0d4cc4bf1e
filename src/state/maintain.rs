//! Maintenance: packs stay few, and history stays quick to read, without anybody waiting for it.
//!
//! One thread folds small packs ([`super::fold`]) as soon as a repository has many; the daemon's rounds repack one
//! repository at a time when it is idle ([`super::repack`]). Nothing here takes a repository's inner lock.
//!
//! - Only the folding thread removes packs, so two removals cannot cross.
//! - A repack freezes the packs it lists: folding leaves them alone until it is over, and goes on with newer ones. It
//!   begins only when no fold of that repository is under way and no replaced pack is left to remove.
//! - A replaced pack stays a moment longer: a reader who saw the folder before the new pack was there still finds it.
//! - What is known of each repository ([`known`], which also says what is due) is memory only. After a restart packs are counted again, and a replaced pack that was not removed
//!   is folded once more, which drops the doubles.

mod known;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::disk::Disk;
use super::fold::{self, FoldError};
use super::layout::{DataFolder, RepoName};
use super::packs::{self, PackFile};
use super::repack::{self, Graph, RepackError};
use super::repo::Repo;
use crate::clock::Clock;
use crate::git::child::{Cause, Halt, ProgramError};
use known::{Due, Known};

/// What failed is not tried again before.
const RETRY_AFTER: Duration = Duration::from_secs(600);
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
        known.publish(objects as u64, self.clock.now());
        if known.wants_fold() && plan.ask(&repo.name) {
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
        !self.is_stopping() && plan.known.get(name).is_some_and(Known::is_crowded)
    }

    /// Whether a fold may rest: publishing will not wait for it soon.
    fn has_time(&self, name: &RepoName) -> bool {
        let plan = self.state.lock();
        !self.is_stopping() && plan.known.get(name).is_some_and(Known::has_time)
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
        let found = packs::list(&repo).map_err(failed)?;
        let chosen: Vec<PackFile> = {
            let plan = self.state.lock();
            let Some(known) = plan.known.get(name) else { return Ok(()) };
            known.choose(&known.foldable(found), self.clock.now()).to_vec()
        };
        let chosen = fold::within_objects(&repo, &chosen).map_err(failed)?;
        let is_folded = chosen.len() >= 2;
        if is_folded {
            let folded = fold::merge(&*self.disk, &repo, chosen, &|| self.has_time(name))?;
            let replaced = chosen.iter().map(|pack| pack.name.clone()).filter(|name| *name != folded);
            if let Some(known) = self.state.lock().known.get_mut(name) {
                known.replace(replaced);
            }
            tracing::debug!(repo = %name, packs = chosen.len(), folded, "packs were folded");
        }
        self.count(name, is_folded).map_err(failed)
    }

    /// Removes the packs that were replaced a while ago; all of them if the repository is crowded.
    fn remove_replaced(&self, name: &RepoName) -> io::Result<()> {
        let repo = self.folder.repo(name);
        let now = self.clock.now();
        let going = self.state.lock().known.get(name).map_or_else(Vec::new, |known| known.going(now));
        if going.is_empty() {
            return Ok(());
        }
        packs::remove_multi_index(&*self.disk, &repo)?;
        going.iter().try_for_each(|pack| packs::remove(&*self.disk, &repo, pack))?;
        let mut plan = self.state.lock();
        let Some(known) = plan.known.get_mut(name) else { return Ok(()) };
        known.removed(&going);
        let open = known.repo.upgrade();
        drop(plan);
        // Readers' handles hold the removed files, and so their room on the disk.
        open.iter().for_each(|repo| repo.objects.close_idle());
        Ok(())
    }

    /// Counts the packs of a repository again, after a fold or a removal.
    fn count(&self, name: &RepoName, is_folded: bool) -> io::Result<()> {
        let found = packs::list(&self.folder.repo(name))?;
        if let Some(known) = self.state.lock().known.get_mut(name) {
            known.counted(found, is_folded);
        }
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
        let in_use = |known: &Known| known.has_replaced() || known.repo.upgrade().is_some();
        let names: Vec<RepoName> = {
            let plan = self.state.lock();
            plan.known.iter().filter(|(_, known)| in_use(known)).map(|(name, _)| name.clone()).collect()
        };
        for name in names {
            let Ok(found) = packs::list(&self.folder.repo(&name)) else { continue };
            let mut plan = self.state.lock();
            let Some(known) = plan.known.get_mut(&name) else { continue };
            known.packs = found.len();
            if known.has_replaced() || known.wants_fold() {
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
            known.replace(replaced.iter().flatten().cloned());
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
        if !known.can_freeze(small.len(), chosen.len() > 1) {
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
