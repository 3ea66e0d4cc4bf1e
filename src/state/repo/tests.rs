//! Does a change that cannot be made leave a repository's writer as it was?

use super::*;
use crate::state::commit::CommitText;
use crate::state::edit::{Actor, Edit, Foreign};
use crate::state::journal::{Backlog, Flusher};
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
    fn flush(&self, _: Flusher) {}
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
    let to = Sink { journal: &journal, unpublished: &unpublished, signer: None };
    let commit = |file| {
        repo.commit(&mut repo.inner.lock(), &[Step::Own(change(file))], now, &to, |_| Box::new(|_| {}))
    };
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

fn repo_at(folder: &std::path::Path) -> Repo {
    git2::Repository::init_bare(folder).unwrap();
    let objects = Objects::new(folder.to_owned());
    Repo::load(RepoName::Platform, objects, Projections::default(), Time::from_millis(0), Lsn(0)).unwrap()
}

/// A commit as somebody makes it elsewhere: `a/b/<file>` on `parent`, whose tree is said to be `tree`.
fn foreign(file: u32, tree: Oid, parent: Oid) -> Step {
    let mut text = Vec::new();
    CommitText::write_place(tree, parent, &mut text);
    text.extend_from_slice(
        b"\nauthor Ada <ada@example.org> 0 +0000\ncommitter Ada <ada@example.org> 0 +0000\n\nby hand\n",
    );
    let edits = vec![Edit::write(format!("a/b/{file}"), format!("{file}"))];
    Step::Foreign(Foreign {
        branch: STATE_REF.into(),
        commit: Oid::of(Kind::Commit, &text),
        is_replayed: false,
        text: text.into(),
        subject: "by hand".to_owned(),
        author: "Ada".to_owned(),
        edits,
    })
}

/// The tree of `a/b/<file>` for each of these, as git makes it.
#[expect(clippy::disallowed_methods, reason = "what somebody else wrote, made beside the writer")]
fn tree_of(git: &git2::Repository, files: &[u32]) -> Oid {
    let mut builder = git.treebuilder(None).unwrap();
    for file in files {
        let blob = git.blob(file.to_string().as_bytes()).unwrap();
        builder.insert(file.to_string(), blob, 0o100_644).unwrap();
    }
    let mut folder = builder.write().unwrap();
    for name in ["b", "a"] {
        let mut builder = git.treebuilder(None).unwrap();
        builder.insert(name, folder, 0o040_000).unwrap();
        folder = builder.write().unwrap();
    }
    folder.into()
}

#[test]
fn commits_from_elsewhere_and_what_follows_them_are_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let repo = repo_at(folder.path());
    let other = tempfile::tempdir().unwrap();
    let git = git2::Repository::init_bare(other.path()).unwrap();
    let (journal, unpublished) = (Filling::default(), Unpublished::default());
    let to = Sink { journal: &journal, unpublished: &unpublished, signer: None };
    let first = foreign(1, tree_of(&git, &[1]), Oid::ZERO);
    let Step::Foreign(Foreign { commit, .. }) = &first else { unreachable!() };
    let second = foreign(2, tree_of(&git, &[1, 2]), *commit);
    let steps = [first, second, Step::Own(change(3))];
    let mut told = Vec::new();
    let tell = |commits: &[Oid]| -> OnDurable {
        told = commits.to_vec();
        Box::new(|_| {})
    };
    let done = repo.commit(&mut repo.inner.lock(), &steps, Time::from_millis(0), &to, tell).unwrap();
    assert_eq!((told.len(), told[2], journal.0.lock().1), (3, done.commit, 1));
    publish::write_pack(&RealDisk, folder.path(), &repo.seal().unwrap().draft.finish()).unwrap();
    let git = git2::Repository::open_bare(folder.path()).unwrap();
    let last = git.find_commit(done.commit.to_git()).unwrap();
    assert_eq!(last.tree_id(), tree_of(&git, &[1, 2, 3]).to_git());
    assert_eq!(last.parent(0).unwrap().parent(0).unwrap().id(), told[0].to_git());
}

#[test]
fn a_commit_from_elsewhere_that_holds_more_than_its_files_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let repo = repo_at(folder.path());
    let git = git2::Repository::open_bare(folder.path()).unwrap();
    let (journal, unpublished) = (Filling::default(), Unpublished::default());
    let to = Sink { journal: &journal, unpublished: &unpublished, signer: None };
    let commit = |steps: &[Step]| {
        repo.commit(&mut repo.inner.lock(), steps, Time::from_millis(0), &to, |_| Box::new(|_| {}))
    };
    let tip = commit(&[Step::Own(change(1))]).unwrap().commit;
    let good = foreign(2, tree_of(&git, &[1, 2]), tip);
    let Step::Foreign(Foreign { commit: second, .. }) = &good else { unreachable!() };
    let other = foreign(3, tree_of(&git, &[1, 2, 4]), *second);
    assert!(matches!(commit(&[good, other]), Err(CommitError::OtherTree(_))));
    let on_another_parent = foreign(2, tree_of(&git, &[1, 2]), Oid::ZERO);
    assert!(matches!(commit(&[on_another_parent]), Err(CommitError::OtherTree(_))));
    let last = commit(&[Step::Own(change(5))]).unwrap().commit;
    publish::write_pack(&RealDisk, folder.path(), &repo.seal().unwrap().draft.finish()).unwrap();
    let last = git.find_commit(last.to_git()).unwrap();
    assert_eq!((last.tree_id(), last.parent_id(0).unwrap()), (tree_of(&git, &[1, 5]).to_git(), tip.to_git()));
}

#[test]
fn who_waits_for_a_turn_lets_others_run_and_does_not_wait_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    git2::Repository::init_bare(folder.path()).unwrap();
    let objects = Objects::new(folder.path().to_owned());
    let now = Time::from_millis(0);
    let repo = Repo::load(RepoName::Platform, objects, Projections::default(), now, Lsn(0)).unwrap();
    let polls = || {
        let mut waiting = std::pin::pin!(repo.wait_for_turn());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        (1..).find(|_| waiting.as_mut().poll(&mut context).is_ready())
    };
    assert_eq!(polls(), Some(1), "nobody writes, so it goes on at once");
    let writer = repo.inner.lock();
    assert_eq!(polls(), Some(TURNS_GIVEN + 1), "it lets others run as often as it may, and goes on");
    drop(writer);
    assert_eq!(polls(), Some(1));
}
