//! Stories of upkeep: folds, repacks, and readers beside them.

use std::path::{Path, PathBuf};

use super::known::{FOLD_ABOVE, IDLE_AFTER, REPLACED_KEPT};
use super::*;
use crate::clock::Time;
use crate::git::child::Program;
use crate::state::create;
use crate::state::disk::{DiskFile, RealDisk};
use crate::state::edit::Projections;
use crate::state::journal::Lsn;
use crate::state::objects::Objects;
use crate::state::oid::{Kind, Oid};
use crate::state::pack::{Draft, Pack};
use crate::state::{publish, refs, threads};

/// A disk that does not wait for fsync: these tests write thousands of packs, and none cuts the power.
struct Unsynced;

struct UnsyncedFile(Arc<dyn DiskFile>);

impl Disk for Unsynced {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.open(path)
    }
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(UnsyncedFile(RealDisk.create_new(path, mode)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_folder(path)
    }
}

impl DiskFile for UnsyncedFile {
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
        Ok(())
    }
}

/// A repository whose packs are kept few, and a clock that the test moves.
struct World {
    _folder: tempfile::TempDir,
    upkeep: Arc<Upkeep>,
    repo: Arc<Repo>,
    folding: Option<std::thread::JoinHandle<()>>,
    tip: Oid,
    commits: u64,
    most_packs: usize,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::new(folder.path());
        let path = data.repo(&RepoName::Platform);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        create::repository(&Unsynced, &path).unwrap();
        let clock = Clock::by_hand(Time::from_millis(1_763_663_400_000));
        let objects = Objects::new(path);
        let loaded =
            Repo::load(RepoName::Platform, objects, Projections::default(), clock.now(), Lsn(0)).unwrap();
        let on_failure = Arc::new(|message: &str| panic!("{message}"));
        let upkeep = Arc::new(Upkeep::new(data, Arc::new(Unsynced), clock, on_failure));
        let body = upkeep.clone();
        let folding = Some(threads::start("fold", move || body.run()));
        let repo = Arc::new(loaded);
        Self { _folder: folder, upkeep, repo, folding, tip: Oid::ZERO, commits: 0, most_packs: 0 }
    }

    fn path(&self) -> PathBuf {
        self.upkeep.folder.repo(&RepoName::Platform)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Program::git(&self.path()).args(arguments).run();
        String::from_utf8(output.unwrap_or_else(|error| panic!("{error}"))).unwrap()
    }

    fn commit(&mut self) -> (Pack, Oid) {
        let mut draft = Draft::default();
        let mut put = |kind: Kind, content: Vec<u8>| {
            let oid = Oid::of(kind, &content);
            draft.put(kind, oid, &content);
            oid
        };
        self.commits += 1;
        let blob = put(Kind::Blob, format!("number: {}\n", self.commits).repeat(20).into_bytes());
        let tree = put(Kind::Tree, [b"100644 file\0".as_slice(), &blob.0].concat());
        let parent = if self.tip == Oid::ZERO { String::new() } else { format!("parent {}\n", self.tip) };
        let who = format!("MrX <daemon@mrx.invalid> {} +0000", 1_700_000_000 + self.commits);
        let text = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\ncommit {}\n", self.commits);
        let commit = put(Kind::Commit, text.into_bytes());
        (draft.finish(), commit)
    }

    /// Publishes a commit as the publisher does.
    fn publish(&mut self) {
        while self.upkeep.is_crowded(&self.repo.name) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (pack, commit) = self.commit();
        publish::write_pack(&Unsynced, &self.path(), &pack).unwrap();
        refs::swap(&Unsynced, &self.path(), "refs/heads/state", self.tip, commit).unwrap();
        self.tip = commit;
        self.upkeep.published(&self.repo, 3);
        self.most_packs = self.most_packs.max(self.packs().len());
    }

    fn packs(&self) -> Vec<PackFile> {
        packs::list(&self.path()).unwrap()
    }

    fn settle(&self) {
        let is_busy = |known: &Known| known.is_queued || known.is_folding;
        while self.upkeep.state.lock().known.values().any(is_busy) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Lets rounds pass until nothing is left to do.
    fn maintain(&self) {
        self.upkeep.clock.pass(IDLE_AFTER);
        for _ in 0..6 {
            self.upkeep.round();
            self.settle();
        }
    }

    fn is_whole(&self) {
        self.git(&["fsck", "--strict", "--full"]);
        assert_eq!(self.git(&["rev-list", "--count", "refs/heads/state"]).trim(), self.commits.to_string());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.upkeep.stop();
        self.folding.take().map(std::thread::JoinHandle::join);
    }
}

/// Runs git in a loop until told to stop; gives how often it ran, and the first failure.
fn read_in_a_loop(
    path: PathBuf,
    arguments: &'static [&'static str],
    stop: &Halt,
) -> std::thread::JoinHandle<u32> {
    let stop = stop.clone();
    let (tell, told) = std::sync::mpsc::channel();
    let thread = threads::start("reader", move || {
        let mut runs = 0;
        while !stop.load(Ordering::Acquire) {
            if let Err(error) = Program::git(&path).args(arguments).run() {
                panic!("{error}");
            }
            runs += 1;
        }
        tell.send(runs).unwrap();
    });
    threads_joined(thread, told)
}

#[expect(clippy::disallowed_methods, reason = "a test's thread that hands a number over")]
fn threads_joined(
    thread: std::thread::JoinHandle<()>,
    told: std::sync::mpsc::Receiver<u32>,
) -> std::thread::JoinHandle<u32> {
    std::thread::spawn(move || {
        thread.join().unwrap();
        told.recv().unwrap()
    })
}

#[test]
fn packs_stay_few_while_one_is_published_after_the_other_and_readers_never_fail() {
    let mut world = World::new();
    world.publish();
    let stop = Halt::default();
    let readers = [
        read_in_a_loop(world.path(), &["log", "--stat", "--oneline", "-n", "300", "refs/heads/state"], &stop),
        read_in_a_loop(world.path(), &["rev-list", "--objects", "--all"], &stop),
    ];
    while world.commits < 2500 {
        world.publish();
    }
    stop.store(true, Ordering::Release);
    for reader in readers {
        assert!(reader.join().unwrap() > 3);
    }
    assert!(world.most_packs <= 50, "{} packs at the most", world.most_packs);
    world.settle();
    world.is_whole();
}

#[test]
fn packs_stay_below_fifty_during_five_thousand_changes() {
    let mut world = World::new();
    while world.commits < 5000 {
        world.publish();
    }
    assert!(world.most_packs <= 50, "{} packs at the most", world.most_packs);
    world.settle();
    world.is_whole();
}

#[test]
fn the_removal_of_replaced_packs_does_not_put_the_next_fold_off() {
    let mut world = World::new();
    let mut most = 0;
    while world.commits < 150 {
        world.publish();
        world.settle();
        let plan = world.upkeep.state.lock();
        most = most.max(plan.known[&world.repo.name].foldable(world.packs()).len());
    }
    assert!(most <= FOLD_ABOVE + 1, "{most} packs waited to be folded");
}

#[test]
fn an_idle_repository_is_repacked_and_a_busy_one_is_not() {
    let mut world = World::new();
    while world.commits < 1000 {
        world.publish();
    }
    world.upkeep.round();
    world.settle();
    assert!(world.packs().iter().all(|pack| !pack.is_gits), "it changed a moment ago");
    let bytes = |world: &World| world.packs().iter().map(|pack| pack.bytes).sum::<u64>();
    world.settle();
    world.maintain();
    std::thread::sleep(REPLACED_KEPT);
    world.maintain();
    let left = world.packs();
    assert_eq!(left.iter().filter(|pack| pack.is_gits).count(), left.len(), "{left:?}");
    assert!(bytes(&world) < 1_000_000, "{}", bytes(&world));
    assert!(world.path().join("objects/info/commit-graphs/commit-graph-chain").is_file());
    world.git(&["commit-graph", "verify"]);
    world.is_whole();
}

#[test]
fn what_is_published_but_not_yet_on_a_ref_survives_a_repack() {
    let mut world = World::new();
    while world.commits < 800 {
        world.publish();
    }
    let (pack, commit) = world.commit();
    publish::write_pack(&Unsynced, &world.path(), &pack).unwrap();
    world.upkeep.published(&world.repo, 3);
    world.maintain();
    std::thread::sleep(REPLACED_KEPT);
    world.maintain();
    let left = world.packs();
    assert!(
        left.len() == 2 && left.iter().all(|pack| pack.is_gits),
        "what a ref needs, and the rest: {left:?}"
    );
    refs::swap(&Unsynced, &world.path(), "refs/heads/state", world.tip, commit).unwrap();
    world.is_whole();
    world.git(&["cat-file", "-p", &format!("{commit}:file")]);
}

#[test]
fn changes_and_folds_go_on_during_a_repack_and_nothing_is_lost() {
    let mut world = World::new();
    let is_repacking =
        |world: &World| world.upkeep.state.lock().known.values().any(|known| !known.frozen.is_empty());
    for round in 1..=3 {
        (0..900).for_each(|_| world.publish());
        world.settle();
        world.upkeep.clock.pass(IDLE_AFTER);
        let (upkeep, done) = (world.upkeep.clone(), Halt::default());
        let ended = done.clone();
        let repacking = threads::start("repack", move || {
            for _ in 0..10 {
                upkeep.round();
                std::thread::sleep(Duration::from_millis(20));
            }
            ended.store(true, Ordering::Release);
        });
        let before = world.commits;
        while !done.load(Ordering::Acquire) {
            if is_repacking(&world) {
                world.publish();
            } else {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        repacking.join().unwrap();
        assert!(world.commits > before + 20, "{} changes during the repack", world.commits - before);
        assert!(world.most_packs <= 50, "{} packs at the most in round {round}", world.most_packs);
        world.settle();
        assert!(world.packs().iter().any(|pack| pack.is_gits), "it was repacked meanwhile");
        world.is_whole();
    }
}
