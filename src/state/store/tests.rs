//! Stories of the engine as a whole: its end, and the opening and closing of repositories.

use super::*;
use crate::clock::Time;
use crate::state::disk::{DiskFile, RealDisk};
use crate::state::edit::{Actor, Edit};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

/// The machine's disk, which can lose its journal, and which stands still while it is copied.
#[derive(Clone, Default)]
struct Losing(Arc<AtomicBool>, Arc<RwLock<()>>);

struct LosingFile(Arc<dyn DiskFile>, Losing);

impl Disk for Losing {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(LosingFile(RealDisk.open(path)?, self.clone())))
    }
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn DiskFile>> {
        let _moves = self.1.read();
        Ok(Arc::new(LosingFile(RealDisk.create_new(path, mode)?, self.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _moves = self.1.read();
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let _moves = self.1.read();
        RealDisk.remove(path)
    }
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let _moves = self.1.read();
        RealDisk.make_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_folder(path)
    }
}

impl DiskFile for LosingFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _moves = self.1.1.read();
        self.0.write_all_at(bytes, offset)
    }
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.1.0.load(Ordering::SeqCst) { Err(io::ErrorKind::Other.into()) } else { self.0.sync_data() }
    }
}

fn options(folder: &Path, disk: &Losing, clock: &Clock) -> Options {
    Options {
        folder: DataFolder::new(folder),
        disk: Arc::new(disk.clone()),
        clock: clock.clone(),
        journal_segment_bytes: 1 << 20,
        epochs: Limits::default(),
        kinds: Arc::new(|_| Projections::default()),
        signer: None,
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

/// Far longer than an answer takes on any machine.
const HANGS_AFTER: std::time::Duration = std::time::Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn when_the_journal_fails_whoever_waits_is_told_that_nobody_knows() {
    let (folder, disk, clock) = (tempfile::tempdir().unwrap(), Losing::default(), Clock::system());
    let (state, _) = State::open(options(folder.path(), &disk, &clock)).unwrap();
    let first = state.create(&RepoName::Platform, change("a")).await.unwrap();
    disk.0.store(true, Ordering::SeqCst);
    let unheard = put(&state, "b").await.unwrap_err();
    assert!(matches!(unheard, EngineError::Unknown), "{unheard}");
    let read = state.read(&RepoName::Platform, |view| view.tip()).await;
    assert!(matches!(read, Err(EngineError::Unknown)), "what was read would not survive");
    let both = state.read_with_snapshot(&RepoName::Platform, |view| view.tip());
    let both = tokio::time::timeout(HANGS_AFTER, both).await.expect("it does not wait for what never comes");
    assert!(matches!(both, Err(EngineError::Unknown)));
    let past = state.snapshot_at(&RepoName::Platform, STATE_REF, first);
    let past = tokio::time::timeout(HANGS_AFTER, past).await.expect("nor does a look at the past");
    assert!(matches!(past, Err(EngineError::Unknown)));
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

/// A copy of a data folder, as a kill at this moment would leave it: nothing is written or named meanwhile.
fn copy_of(from: &Path, disk: &Losing) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                std::fs::create_dir(&to).unwrap();
                copy(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), &to).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let _still = disk.1.write();
    copy(from, folder.path());
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_repository_is_not_brought_back_from_the_journal() {
    let (folder, disk, clock) = (tempfile::tempdir().unwrap(), Losing::default(), Clock::system());
    let name = RepoName::Project("mrx-a".parse().unwrap());
    let (state, _) = State::open(options(folder.path(), &disk, &clock)).unwrap();
    state.create(&RepoName::Platform, change("a")).await.unwrap();
    state.create(&name, change("a")).await.unwrap();
    state.remove(&name).await.unwrap();
    state.remove(&name).await.expect("one that is gone is gone");
    let late = state.change(&name, |_: &mut View<'_>| Ok(Decision::commit(change("b"), ()))).await;
    assert!(matches!(late, Err::<Done<()>, _>(EngineError::NoRepo(_))));
    assert!(state.remove(&RepoName::Platform).await.is_err(), "the platform's stays");
    let (killed, unmarked) = (copy_of(folder.path(), &disk), copy_of(folder.path(), &disk));
    state.close();

    let (state, _) = State::open(options(killed.path(), &disk, &clock)).unwrap();
    assert!(!state.exists(&name) && state.exists(&RepoName::Platform));
    let again = state.create(&name, change("b")).await.unwrap();
    let killed_again = copy_of(killed.path(), &disk);
    state.close();
    let (state, _) = State::open(options(killed_again.path(), &disk, &clock)).unwrap();
    assert_eq!(state.read(&name, |view| view.tip()).await.unwrap(), again, "a new one of the name is whole");
    state.close();

    // The journal does hold it: without the mark it would be there again.
    std::fs::remove_file(DataFolder::new(unmarked.path()).removed().join("mrx-a")).unwrap();
    let (state, _) = State::open(options(unmarked.path(), &disk, &clock)).unwrap();
    assert!(state.exists(&name));
    state.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_in_use_is_removed_between_two_changes_and_is_not_made_again_by_them() {
    let (folder, disk, clock) = (tempfile::tempdir().unwrap(), Losing::default(), Clock::system());
    let name = RepoName::Project("mrx-a".parse().unwrap());
    let (state, _) = State::open(options(folder.path(), &disk, &clock)).unwrap();
    state.create(&RepoName::Platform, change("a")).await.unwrap();
    state.create(&name, change("a")).await.unwrap();
    // Writes until there is no repository any more; tells how often it did.
    let write = async |writer: usize| {
        for number in 0.. {
            let file = format!("{writer}-{number}");
            let decide = |_: &mut View<'_>| Ok(Decision::commit(change(&file), ()));
            match state.change::<(), EngineError>(&name, decide).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(EngineError::NoRepo(_)) => return number,
                Err(error) => panic!("{error}"),
            }
        }
        0
    };
    let remove = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        state.remove(&name).await
    };
    let (one, two, three, removed) = tokio::join!(write(1), write(2), write(3), remove);
    removed.unwrap();
    assert!(one > 0 && two > 0 && three > 0);
    assert!(!state.exists(&name) && put(&state, "b").await.is_ok(), "the others go on");
    let killed = copy_of(folder.path(), &disk);
    state.close();
    let (state, _) = State::open(options(killed.path(), &disk, &clock)).unwrap();
    assert!(!state.exists(&name));
    state.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_make_one_repository_at_the_same_time_get_one_with_one_first_commit() {
    let (folder, disk, clock) = (tempfile::tempdir().unwrap(), Losing::default(), Clock::system());
    let (state, _) = State::open(options(folder.path(), &disk, &clock)).unwrap();
    for number in 0..20 {
        let name = RepoName::Project(format!("mrx-p{number}").parse().unwrap());
        let (one, other) = tokio::join!(state.create(&name, change("a")), state.create(&name, change("b")));
        assert_eq!(one.unwrap(), other.unwrap());
    }
}
