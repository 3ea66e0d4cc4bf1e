//! What is known of a repository's packs, and what is due for them. Decides only, and touches no file. What is due by the daemon's
//! clock is asked with a time; how long a replaced pack was kept and a failed fold was put off is the machine's own.

use std::collections::HashSet;
use std::sync::Weak;
use std::time::{Duration, Instant};

use crate::clock::Time;
use crate::state::fold::{self, FOLDED_BYTES_MAX, FOLDED_BYTES_MAX_BUSY};
use crate::state::packs::PackFile;
use crate::state::repo::Repo;

/// A repository with more packs than this is folded, or with this many more than the last fold left.
pub const FOLD_ABOVE: usize = 24;
const FOLD_AGAIN_AFTER: usize = 16;
/// With so many packs and a fold under way, publishing waits for it: there are never more than 50.
const CROWDED: usize = 40;
/// With so many packs less a fold takes no more rest.
const HURRIED_BEFORE: usize = 10;
/// With more than this replaced ones are removed at once, and a fold is asked for however many the last one left.
const MANY: usize = 36;
/// A repository with more packs than this is folded before a repack freezes them.
const FROZEN_MAX: usize = 6;
/// How long a replaced pack is kept for those who read the folder before, unless there are many packs. Git looks again when
/// a pack is gone, but for `git fsck`, which then says that a pack cannot be read; `mrx doctor` runs it again.
pub const REPLACED_KEPT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// A repository is busy if something was published so recently.
const BUSY: Duration = Duration::from_secs(2);
/// A repository is idle if nothing was published for so long.
pub const IDLE_AFTER: Duration = Duration::from_secs(30);
/// An idle repository is repacked if it has so many objects that no repack has seen, and an eighth of all it has.
const LOOSE_OBJECTS: u64 = 2_000;
/// A repository that changed is repacked this often, idle or not.
const REPACK_EVERY: Duration = Duration::from_secs(24 * 3600);
/// After so many published objects (about 5 a commit) the commit-graph is written, idle or not; while changes pour in, after
/// so many more: its writing takes a core and the disk from them.
const GRAPH_OBJECTS: u64 = 500_000;
const GRAPH_OBJECTS_BUSY: u64 = 2_500_000;
/// After so many it is written when the repository is idle.
const GRAPH_OBJECTS_IDLE: u64 = 2_500;

/// What is known about a repository's packs.
#[derive(Default)]
pub struct Known {
    pub repo: Weak<Repo>,
    /// Packs in the folder: as last counted, and those published since.
    pub packs: usize,
    /// Packs that could be folded again after the last fold.
    left: usize,
    fold_above: usize,
    pub is_queued: bool,
    pub is_folding: bool,
    pub fold_not_before: Option<Instant>,
    /// Packs of which every object stands elsewhere too, and since when.
    replaced: Vec<(String, Instant)>,
    /// Packs that a repack has listed.
    pub frozen: HashSet<String>,
    /// Objects that no repack has seen, of all.
    pub loose: u64,
    pub objects: u64,
    pub ungraphed: u64,
    pub has_garbage: bool,
    /// Objects published since the start.
    pub published: u64,
    changed_at: Option<Time>,
    pub repacked_at: Option<Time>,
    pub not_before: Option<Time>,
}

/// What a round does with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Repack,
    Graph,
}

impl Known {
    /// A pack with so many objects was published.
    pub fn publish(&mut self, objects: u64, now: Time) {
        self.packs += 1;
        for count in [&mut self.loose, &mut self.objects, &mut self.ungraphed, &mut self.published] {
            *count += objects;
        }
        self.changed_at = Some(now);
    }

    /// What a round should do.
    pub fn due(&self, now: Time) -> Option<Due> {
        if self.not_before.is_some_and(|time| now < time) {
            return None;
        }
        let is_idle = self.changed_at.is_none_or(|time| now.since(time) >= IDLE_AFTER);
        let is_old = self.repacked_at.is_none_or(|time| now.since(time) >= REPACK_EVERY);
        let is_large = self.loose > LOOSE_OBJECTS && self.loose * 8 > self.objects;
        let graph_above = match () {
            () if is_idle => GRAPH_OBJECTS_IDLE,
            () if self.is_busy(now) => GRAPH_OBJECTS_BUSY,
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

    fn is_busy(&self, now: Time) -> bool {
        self.changed_at.is_some_and(|time| now.since(time) < BUSY)
    }

    /// Whether there are so many packs that some should be folded.
    pub fn wants_fold(&self) -> bool {
        let may = self.fold_not_before.is_none_or(|time| time <= Instant::now());
        may && self.packs > self.fold_above.max(FOLD_ABOVE)
    }

    /// Whether publishing should wait for a fold that is on its way.
    pub fn is_crowded(&self) -> bool {
        self.packs >= CROWDED && (self.is_queued || self.is_folding)
    }

    /// Whether a fold that is under way has time: it will be some more packs until publishing waits for it.
    pub fn has_time(&self) -> bool {
        self.packs + HURRIED_BEFORE < CROWDED
    }

    /// The packs that may be folded now.
    pub fn foldable(&self, packs: Vec<PackFile>) -> Vec<PackFile> {
        let is_replaced = |name: &str| self.replaced.iter().any(|(other, _)| other == name);
        let free = |pack: &PackFile| {
            !pack.is_kept && !pack.is_cruft && !is_replaced(&pack.name) && !self.frozen.contains(&pack.name)
        };
        packs.into_iter().filter(free).collect()
    }

    /// Which of the packs that may be folded should be: while changes pour in as few bytes as leave few packs, so that it is
    /// soon done. A repack that is due has few packs before it.
    pub fn choose<'a>(&self, foldable: &'a [PackFile], now: Time) -> &'a [PackFile] {
        let above = if self.due(now).is_some() { FROZEN_MAX } else { FOLD_ABOVE };
        if foldable.len() <= above {
            return &[];
        }
        if self.is_busy(now) {
            let chosen = fold::choose(foldable, FOLDED_BYTES_MAX_BUSY);
            if foldable.len() - chosen.len() < FOLD_ABOVE {
                return chosen;
            }
        }
        fold::choose(foldable, FOLDED_BYTES_MAX)
    }

    /// Whether a repack can list all packs now, of which these small ones could be folded further.
    pub fn can_freeze(&self, small: usize, is_foldable: bool) -> bool {
        let must_fold = small > FROZEN_MAX && is_foldable;
        !self.is_folding && !self.is_queued && self.replaced.is_empty() && !must_fold
    }

    /// Every object of these packs stands elsewhere too.
    pub fn replace(&mut self, packs: impl IntoIterator<Item = String>) {
        let now = Instant::now();
        self.replaced.extend(packs.into_iter().map(|pack| (pack, now)));
    }

    /// Whether there are replaced packs to remove, now or soon.
    pub fn has_replaced(&self) -> bool {
        !self.replaced.is_empty()
    }

    /// The replaced packs that go now: those that were kept long enough; all of them if there are many packs, or a repack waits.
    pub fn going(&self, now: Time) -> Vec<String> {
        let all = self.packs > MANY || self.due(now).is_some();
        let is_due = |since: &Instant| all || since.elapsed() >= REPLACED_KEPT;
        let going = self.replaced.iter().filter(|(_, since)| is_due(since));
        going.map(|(pack, _)| pack.clone()).collect()
    }

    /// These replaced packs were removed.
    pub fn removed(&mut self, gone: &[String]) {
        self.replaced.retain(|(pack, _)| !gone.contains(pack));
        self.packs = self.packs.saturating_sub(gone.len());
    }

    /// These packs were found after a fold, or after a removal alone: how many more there may be before the next fold. A removal
    /// leaves what it found, and does not put the next fold off.
    pub fn counted(&mut self, found: Vec<PackFile>, is_folded: bool) {
        self.packs = found.len();
        let free = self.foldable(found).len();
        self.left = if is_folded { free } else { self.left.min(free) };
        let more = self.left.max(FOLD_ABOVE - FOLD_AGAIN_AFTER) + FOLD_AGAIN_AFTER;
        self.fold_above = (more + self.packs - free).min(MANY).max(self.packs + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs(count: usize) -> Vec<PackFile> {
        let pack = |number| PackFile {
            name: format!("pack-{number}"),
            bytes: 1000,
            modified: std::time::SystemTime::UNIX_EPOCH,
            is_kept: false,
            is_cruft: false,
            is_gits: false,
        };
        (0..count).map(pack).collect()
    }

    /// As a repository with these packs is found after a fold.
    fn folded_to(count: usize) -> Known {
        let mut known = Known::default();
        known.counted(packs(count), true);
        known
    }

    fn publish_until_a_fold_is_wanted(known: &mut Known) -> usize {
        (1..)
            .find(|_| {
                known.publish(5, Time::from_millis(0));
                known.wants_fold()
            })
            .unwrap_or_default()
    }

    #[test]
    fn a_fold_is_wanted_with_many_packs_and_again_with_as_many_more_than_it_left() {
        assert_eq!(publish_until_a_fold_is_wanted(&mut Known::default()), FOLD_ABOVE + 1);
        assert_eq!(publish_until_a_fold_is_wanted(&mut folded_to(1)), FOLD_ABOVE);
        assert_eq!(publish_until_a_fold_is_wanted(&mut folded_to(15)), FOLD_AGAIN_AFTER + 1);
        assert_eq!(
            publish_until_a_fold_is_wanted(&mut folded_to(30)),
            MANY + 1 - 30,
            "before publishing has to wait"
        );
    }

    #[test]
    fn a_removal_does_not_put_the_next_fold_off() {
        let mut known = folded_to(10);
        (0..14).for_each(|_| known.publish(5, Time::from_millis(0)));
        known.counted(packs(24), false);
        assert_eq!(publish_until_a_fold_is_wanted(&mut known), 3);
    }

    #[test]
    fn publishing_waits_for_a_fold_that_is_on_its_way_alone() {
        let mut known = Known { packs: CROWDED, ..Known::default() };
        assert!(!known.is_crowded());
        known.is_folding = true;
        assert!(known.is_crowded());
        known.removed(&["pack-1".to_owned()]);
        assert!(!known.is_crowded());
    }

    #[test]
    fn a_fold_rests_only_while_publishing_will_not_wait_for_it_soon() {
        let mut known = Known { packs: CROWDED - HURRIED_BEFORE - 1, is_folding: true, ..Known::default() };
        assert!(known.has_time());
        known.publish(5, Time::from_millis(0));
        assert!(!known.has_time());
        (0..HURRIED_BEFORE).for_each(|_| known.publish(5, Time::from_millis(0)));
        assert!(known.is_crowded());
    }

    #[test]
    fn what_a_repack_has_listed_and_what_was_replaced_is_not_folded() {
        let mut known = Known { frozen: HashSet::from(["pack-0".to_owned()]), ..Known::default() };
        known.replace(["pack-1".to_owned()]);
        let free: Vec<String> = known.foldable(packs(4)).into_iter().map(|pack| pack.name).collect();
        assert_eq!(free, ["pack-2", "pack-3"]);
        assert!(!known.can_freeze(0, false), "a repack waits until what was replaced is removed");
        known.removed(&["pack-1".to_owned()]);
        assert!(known.can_freeze(0, false));
    }
}
