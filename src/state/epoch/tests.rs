//! Does a cut lose nothing, wherever the process is stopped, and is its past found over several epochs?

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::clock::{Clock, Time};
use crate::git::child::Program;
use crate::state::disk::{Disk, DiskFile, RealDisk};
use crate::state::edit::{Actor, Change, Edit, Projections};
use crate::state::history::Filter;
use crate::state::layout::{DataFolder, RepoName, STATE_REF};
use crate::state::moment::Moment;
use crate::state::repo::{Decision, View};
use crate::state::store::{EngineError, Options, State};

const NAME: RepoName = RepoName::Platform;

/// The machine's disk, on which a ref of this kind does not move while it is armed: with 1 the process ends there, with 2 it waits.
#[derive(Clone)]
struct Stopping(&'static str, Arc<AtomicU32>);

impl Disk for Stopping {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.open(path)
    }
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.create_new(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let is_it = to.to_string_lossy().contains(self.0);
        while is_it && self.1.load(Ordering::SeqCst) == 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        if is_it && self.1.load(Ordering::SeqCst) == 1 {
            return Err(io::Error::other("the process was killed here"));
        }
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

fn open(folder: &Path, disk: Arc<dyn Disk>, clock: &Clock, epochs: Limits) -> State {
    open_counted(folder, disk, clock, epochs).0
}

/// And how many records the journal held.
fn open_counted(folder: &Path, disk: Arc<dyn Disk>, clock: &Clock, epochs: Limits) -> (State, u64) {
    let options = Options {
        folder: DataFolder::new(folder),
        disk,
        clock: clock.clone(),
        journal_segment_bytes: 1 << 20,
        epochs,
        kinds: Arc::new(|_| Projections::default()),
        signer: None,
        on_failure: Arc::new(|_| {}),
    };
    let (state, recovered) = State::open(options).unwrap();
    (state, recovered.records)
}

fn change(file: &str, text: &str) -> Change {
    Change {
        branch: STATE_REF.into(),
        subject: format!("{file} is {text}"),
        event: "test.put",
        actor: Actor::daemon(),
        request: None,
        edits: vec![Edit::write(file, text.to_owned())],
    }
}

async fn put(state: &State, file: &str, text: &str) -> Oid {
    let change = change(file, text);
    let decide = |_: &mut View<'_>| -> Result<_, EngineError> { Ok(Decision::commit(change, ())) };
    state.change(&NAME, decide).await.unwrap().commit
}

async fn subjects(state: &State, about: Option<&str>) -> Vec<String> {
    let about = about.map(|about| about.parse().unwrap());
    let filter = Filter { about, after: None, limit: 100 };
    let log = state.log(&NAME, filter).await.unwrap();
    log.into_iter().map(|event| event.subject).collect()
}

fn fsck(folder: &Path) {
    let repo = DataFolder::new(folder).repo(&NAME);
    let said = Program::git(&repo).args(["fsck", "--strict", "--full", "--no-dangling"]).run().unwrap();
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

fn refs(folder: &Path) -> Vec<(String, Oid)> {
    let repo = git2::Repository::open_bare(DataFolder::new(folder).repo(&NAME)).unwrap();
    let all = repo.references().unwrap().map(|one| {
        let one = one.unwrap();
        (one.name().unwrap().to_owned(), Oid::from(one.target().unwrap()))
    });
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

#[test]
fn an_epoch_ends_by_its_commits_or_its_age_and_never_when_it_has_only_begun() {
    let day = Duration::from_secs(24 * 3600);
    let usual = Limits::default();
    for (limits, commits, age, is_over) in [
        (usual, 1_000_000, day, true),
        (usual, 999_999, day * 364, false),
        (usual, 2, day * 365, true),
        (usual, 1, day * 4000, false),
        (Limits { commits: 0, days: 1 }, u64::MAX, Duration::ZERO, false),
        (Limits { commits: 5, days: 0 }, 4, day * 4000, false),
        (Limits { commits: 1, days: 0 }, 1, day, false),
    ] {
        assert_eq!(limits.are_reached(commits, age), is_over, "{limits:?} {commits} {age:?}");
    }
    assert!(Limits { commits: 0, days: 0 }.are_none() && !usual.are_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_commit_of_an_epoch_has_no_parent_the_same_files_and_names_what_it_goes_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::by_hand("2026-11-21T10:00:00.000Z".parse().unwrap());
    let state = open(folder.path(), Arc::new(RealDisk), &clock, Limits::default());
    state.create(&NAME, change("a", "1")).await.unwrap();
    let last = put(&state, "b", "2").await;
    let kept = state.end_epoch(&NAME).await.unwrap().unwrap();
    assert_eq!(kept, "refs/archive/2026-11-21-1");
    assert_eq!(state.end_epoch(&NAME).await.unwrap(), None, "it has only begun");
    let objects = Objects::new(DataFolder::new(folder.path()).repo(&NAME));
    let read = |repo: &git2::Repository| {
        let root = repo.find_reference(STATE_REF)?.peel_to_commit()?;
        let old = repo.find_reference(&kept)?.peel_to_commit()?;
        assert_eq!((root.parent_count(), root.tree_id(), old.id()), (0, old.tree_id(), last.to_git()));
        Ok(root.message().unwrap().replace(&last.to_string(), "LAST").replace(&last.to_string()[..10], "LAS"))
    };
    assert_eq!(
        objects.with(read).unwrap(),
        "epoch 2: goes on from LAS\n\nHistory goes on here without the commits before, which are kept: the last of\nthem is LAST,\nand refs/archive/2026-11-21-1 leads to all. The files are as they were there.\n\nMrx-Event: epoch.begun\nMrx-Actor: daemon mrx\nMrx-Epoch: LAST\nMrx-Archive: refs/archive/2026-11-21-1\n"
    );
    let root = state.read(&NAME, |view| view.tip()).await.unwrap();
    let shown = state.show(&NAME, root).await.unwrap();
    assert_eq!((shown.event.event.as_str(), shown.changes.len()), (BEGUN, 0), "it changes nothing");
    fsck(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_epochs_of_one_day_are_one_past_near_and_far() {
    let folder = tempfile::tempdir().unwrap();
    let begin: Time = "2026-11-21T10:00:00.000Z".parse().unwrap();
    let clock = Clock::by_hand(begin);
    let state = open(folder.path(), Arc::new(RealDisk), &clock, Limits::default());
    let first = state.create(&NAME, change("a", "0")).await.unwrap();
    let (mut commits, mut told) = (vec![first], vec!["a is 0".to_owned()]);
    for epoch in 1..=3_u32 {
        for number in 0..400 {
            clock.pass(Duration::from_secs(1));
            let file = if number == 7 { "a" } else { "b" };
            let text = format!("{epoch}.{number}");
            commits.push(put(&state, file, &text).await);
            told.push(format!("{file} is {text}"));
        }
        state.end_epoch(&NAME).await.unwrap().unwrap();
        commits.push(state.read(&NAME, |view| view.tip()).await.unwrap());
        told.push(format!(
            "epoch {}: goes on from {}",
            epoch + 1,
            &commits[commits.len() - 2].to_string()[..10]
        ));
    }
    put(&state, "b", "end").await;
    told.push("b is end".to_owned());
    told.reverse();
    let all = state.log(&NAME, Filter { about: None, after: None, limit: 5_000 }).await.unwrap();
    let all: Vec<String> = all.into_iter().map(|event| event.subject).collect();
    assert_eq!(all, told);
    assert_eq!(subjects(&state, Some("a")).await, ["a is 3.7", "a is 2.7", "a is 1.7", "a is 0"]);
    // A page at a time, each of which begins behind a commit of whatever epoch.
    let (mut after, mut paged) = (None, Vec::new());
    loop {
        let page =
            state.log(&NAME, Filter { about: Some("a".parse().unwrap()), after, limit: 1 }).await.unwrap();
        let Some(event) = page.into_iter().next() else { break };
        after = Some(event.commit);
        paged.push(event.subject);
    }
    assert_eq!(paged, ["a is 3.7", "a is 2.7", "a is 1.7", "a is 0"]);
    // Of 1,204 commits the last thousand are walked here, and the others by git.
    for place in [0, 5, 150, 401, 402, 800, 1100, commits.len() - 1] {
        let at = state.commit_at(&NAME, Moment::Commit(commits[place])).await.unwrap();
        assert_eq!(at, Some(commits[place]), "{place}");
        let behind = state.events_after(&NAME, STATE_REF, commits[place]).await.unwrap().unwrap();
        let behind: Vec<&str> = behind.iter().rev().map(|event| event.subject.as_str()).collect();
        assert_eq!(behind, &told[..told.len() - 1 - place], "{place}");
    }
    for (second, commit) in [(0, first), (100, commits[100]), (399, commits[399]), (401, commits[402])] {
        let time = Moment::Time(begin.after(Duration::from_secs(second)));
        assert_eq!(state.commit_at(&NAME, time).await.unwrap(), Some(commit), "{second}");
    }
    let names: Vec<String> = refs(folder.path()).into_iter().map(|(name, _)| name).collect();
    let archives = [1, 2, 3].map(|number| format!("refs/archive/2026-11-21-{number}"));
    assert_eq!(names, [&archives[..], &[STATE_REF.to_owned()]].concat());
    fsck(folder.path());
}

/// Stops a cut at a ref, and tells that the next start ends where it would have, with nothing lost.
async fn stopped_at(place: &'static str, is_kept: bool) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let disk = Stopping(place, Arc::default());
    let state = open(folder.path(), Arc::new(disk.clone()), &clock, Limits::default());
    state.create(&NAME, change("a", "1")).await.unwrap();
    let last = put(&state, "a", "2").await;
    let lsn = state.read(&NAME, |view| view.last()).await.unwrap();
    state.published(&NAME, lsn).await.unwrap();
    disk.1.store(1, Ordering::SeqCst);
    let cut = state.end_epoch(&NAME).await;
    assert!(matches!(cut, Err(EngineError::Unknown)), "{cut:?}");
    let on_disk = refs(folder.path());
    assert_eq!(on_disk.iter().any(|(name, _)| name.starts_with(ARCHIVE_REF_PREFIX)), is_kept);
    assert!(on_disk.contains(&(STATE_REF.to_owned(), last)), "the branch has not moved: {on_disk:?}");
    fsck(folder.path());
    drop(state);
    for _ in 0..2 {
        let state = open(folder.path(), Arc::new(RealDisk), &clock, Limits::default());
        let told = subjects(&state, Some("a")).await;
        assert_eq!(told, ["a is 2", "a is 1"]);
        let now = refs(folder.path());
        assert_eq!(now.len(), 2, "nothing was put aside: {now:?}");
        assert_eq!(now[0].1, last);
        let repo = git2::Repository::open_bare(DataFolder::new(folder.path()).repo(&NAME)).unwrap();
        assert_eq!(repo.find_commit(now[1].1.to_git()).unwrap().parent_count(), 0);
        fsck(folder.path());
        state.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_before_the_archive_is_kept_has_the_new_epoch_when_it_starts() {
    stopped_at("refs/archive", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_between_archive_and_branch_has_the_new_epoch_when_it_starts() {
    stopped_at("refs/heads/state", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_amid_changes_that_are_published_together_is_found_when_the_process_starts() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let disk = Stopping("refs/heads/state", Arc::default());
    let state = open(folder.path(), Arc::new(disk.clone()), &clock, Limits::default());
    state.create(&NAME, change("a", "1")).await.unwrap();
    let lsn = state.read(&NAME, |view| view.last()).await.unwrap();
    state.published(&NAME, lsn).await.unwrap();
    // The branch waits at 2; what follows stands in one pack behind it.
    disk.1.store(2, Ordering::SeqCst);
    put(&state, "a", "2").await;
    put(&state, "a", "3").await;
    let archive = "refs/archive/2026-11-21-1";
    let decide = |view: &mut View<'_>| -> Result<Decision<()>, EngineError> {
        let mut change = change("a", "");
        change.edits.clear();
        change.subject = format!("epoch 2: goes on from {}", view.tip());
        let cut = crate::state::edit::Cut { change, archive: archive.into() };
        Ok(Decision { steps: vec![crate::state::edit::Step::Cut(cut)], answer: () })
    };
    state.change(&NAME, decide).await.unwrap();
    put(&state, "a", "4").await;
    disk.1.store(1, Ordering::SeqCst);
    state.close();
    drop(state);
    let state = open(folder.path(), Arc::new(RealDisk), &clock, Limits::default());
    assert_eq!(subjects(&state, Some("a")).await, ["a is 4", "a is 3", "a is 2", "a is 1"]);
    let names: Vec<String> = refs(folder.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [archive, STATE_REF]);
    fsck(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_from_before_a_cut_that_the_journal_still_holds_do_not_put_the_new_epoch_aside() {
    let folder = tempfile::tempdir().unwrap();
    // Another repository that is not published keeps the journal from letting go of what stands behind its first record.
    let disk = Stopping("mrx-slow.git/refs/heads/state", Arc::default());
    let clock = Clock::system();
    let state = open(folder.path(), Arc::new(disk.clone()), &clock, Limits::default());
    state.create(&NAME, change("a", "1")).await.unwrap();
    disk.1.store(2, Ordering::SeqCst);
    let slow = RepoName::Project("mrx-slow".parse().unwrap());
    state.create(&slow, change("a", "1")).await.unwrap();
    put(&state, "a", "2").await;
    state.end_epoch(&NAME).await.unwrap().unwrap();
    put(&state, "a", "3").await;
    let lsn = state.read(&NAME, |view| view.last()).await.unwrap();
    state.published(&NAME, lsn).await.unwrap();
    let before = refs(folder.path());
    disk.1.store(1, Ordering::SeqCst);
    state.close();
    drop(state);
    let (state, records) = open_counted(folder.path(), Arc::new(RealDisk), &clock, Limits::default());
    assert!(records >= 3, "{records}");
    assert_eq!(refs(folder.path()), before);
    assert_eq!(subjects(&state, Some("a")).await, ["a is 3", "a is 2", "a is 1"]);
    fsck(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_ends_an_epoch_when_it_is_long_and_when_it_is_old_and_keeps_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::by_hand("2026-11-21T10:00:00.000Z".parse().unwrap());
    let limits = Limits { commits: 5, days: 10 };
    let state = open(folder.path(), Arc::new(RealDisk), &clock, limits);
    state.create(&NAME, change("a", "1")).await.unwrap();
    let ends = || refs(folder.path()).len() - 1;
    for (number, ended) in [(2, 0), (3, 0), (4, 0), (5, 1), (6, 1), (7, 1), (8, 1), (9, 2)] {
        put(&state, "a", &number.to_string()).await;
        let lsn = state.read(&NAME, |view| view.last()).await.unwrap();
        state.published(&NAME, lsn).await.unwrap();
        state.end_due_epochs().await.unwrap();
        assert_eq!(ends(), ended, "{number}");
    }
    clock.pass(Duration::from_secs(11 * 24 * 3600));
    state.end_due_epochs().await.unwrap();
    assert_eq!(ends(), 2, "an epoch that has only begun does not end");
    put(&state, "a", "10").await;
    let lsn = state.read(&NAME, |view| view.last()).await.unwrap();
    state.published(&NAME, lsn).await.unwrap();
    state.end_due_epochs().await.unwrap();
    assert_eq!(ends(), 3);
    // A repack keeps what the archives lead to.
    clock.pass(Duration::from_secs(25 * 3600));
    for _ in 0..3 {
        state.maintain().await.unwrap();
    }
    let told: Vec<String> = (1..=10).rev().map(|number| format!("a is {number}")).collect();
    assert_eq!(subjects(&state, Some("a")).await, told);
    fsck(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_reaches_every_repository_that_nobody_wrote_to_since_the_start_and_leaves_none_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::by_hand("2026-11-21T10:00:00.000Z".parse().unwrap());
    let limits = Limits { commits: 0, days: 365 };
    let state = open(folder.path(), Arc::new(RealDisk), &clock, limits);
    let name = |number: usize| RepoName::Project(format!("mrx-{number}").parse().unwrap());
    for number in 0..45 {
        for text in ["1", "2"] {
            let made = state.create(&name(number), change("a", text)).await.unwrap();
            let decide = |_: &mut View<'_>| -> Result<_, EngineError> {
                Ok(Decision::commit(change("a", text), made))
            };
            state.change(&name(number), decide).await.unwrap();
        }
    }
    state.close();
    drop(state);
    clock.pass(Duration::from_secs(366 * 24 * 3600));
    let state = open(folder.path(), Arc::new(RealDisk), &clock, limits);
    let ended = || {
        let archive = |number: &usize| {
            let repo = DataFolder::new(folder.path()).repo(&name(*number));
            let repo = git2::Repository::open_bare(repo).unwrap();
            !archives(&repo).unwrap().is_empty()
        };
        (0..45).filter(archive).count()
    };
    for expected in [20, 40, 45, 45] {
        state.end_due_epochs().await.unwrap();
        assert_eq!((ended(), state.open_repositories()), (expected, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_whose_epoch_cannot_be_counted_keeps_no_other_from_ending_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::new(folder.path());
    let clock = Clock::by_hand("2026-11-21T10:00:00.000Z".parse().unwrap());
    let limits = Limits { commits: 2, days: 0 };
    let state = open(folder.path(), Arc::new(RealDisk), &clock, limits);
    let last = RepoName::Project("mrx-z".parse().unwrap());
    state.create(&last, change("a", "1")).await.unwrap();
    let decide = |_: &mut View<'_>| -> Result<_, EngineError> { Ok(Decision::commit(change("a", "2"), ())) };
    state.change(&last, decide).await.unwrap();
    state.close();
    drop(state);
    // More than a round counts, and all before the other by name.
    for number in 0..150 {
        let heads = data.repos().join(format!("projects/mrx-{number}.git/refs/heads"));
        std::fs::create_dir_all(&heads).unwrap();
        std::fs::write(heads.join("state"), format!("{}\n", "1".repeat(40))).unwrap();
    }
    let state = open(folder.path(), Arc::new(RealDisk), &clock, limits);
    let ended = || archives(&git2::Repository::open_bare(data.repo(&last)).unwrap()).unwrap().len();
    for expected in [0, 1] {
        state.end_due_epochs().await.unwrap();
        assert_eq!(ended(), expected);
    }
}

#[test]
fn a_long_epoch_is_counted_as_a_short_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let repo = git2::Repository::init_bare(folder.path()).unwrap();
    let tree = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
    let mut tip: Option<git2::Oid> = None;
    for number in 1..=600_i64 {
        let by = git2::Signature::new("mrx", "mrx@localhost", &git2::Time::new(number * 60, 0)).unwrap();
        let parent = tip.map(|tip| repo.find_commit(tip).unwrap());
        let text =
            repo.commit_create_buffer(&by, &by, "one", &tree, parent.iter().collect::<Vec<_>>().as_slice());
        tip = Some(repo.odb().unwrap().write(git2::ObjectType::Commit, &text.unwrap()).unwrap());
        if number == 200 || number == 600 {
            let tip = Oid::from(tip.unwrap());
            let counted = count::count(&Objects::new(folder.path().to_owned()), tip, None).unwrap();
            assert_eq!((counted.tip, counted.commits), (tip, u64::try_from(number).unwrap()));
            assert_eq!(counted.began, Time::from_millis(60_000));
        }
    }
}
