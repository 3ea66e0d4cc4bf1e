//! Reading published objects: a few open handles a repository, because libgit2 serialises the readers of one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::oid::Oid;
use super::tree::{LoadError, TreeSource};

/// Handles kept for the next reader of a repository; more readers than that open their own.
const IDLE_HANDLES_MAX: usize = 2;
/// Handles kept over all repositories: each holds a few files open, and a process often has 1024.
const ALL_IDLE_HANDLES_MAX: usize = 128;

/// How many handles are kept over all repositories. A clone is the same count.
#[derive(Clone, Default)]
pub struct Handles(Arc<AtomicUsize>);

impl Handles {
    /// How many are kept now.
    pub fn kept(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn take_place(&self) -> bool {
        let one_more = |kept: usize| (kept < ALL_IDLE_HANDLES_MAX).then_some(kept + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn give_back(&self, places: usize) {
        self.0.fetch_sub(places, Ordering::Relaxed);
    }
}

/// Reads objects of one bare repository.
pub struct Objects {
    path: PathBuf,
    idle: Mutex<Idle>,
    handles: Handles,
}

/// Handles that wait for a reader, and how often they have been closed: a handle that is out meanwhile is not kept.
#[derive(Default)]
struct Idle {
    handles: Vec<git2::Repository>,
    closed: u64,
}

impl Objects {
    /// Of the repository at this path.
    pub fn new(path: PathBuf) -> Self {
        Self::among(path, Handles::default())
    }

    /// Of the repository at this path, which shares a bound on handles with others.
    pub fn among(path: PathBuf, handles: Handles) -> Self {
        Self { path, idle: Mutex::default(), handles }
    }

    /// The repository's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Calls `read` with a handle of the repository.
    pub fn with<T>(
        &self,
        read: impl FnOnce(&git2::Repository) -> Result<T, git2::Error>,
    ) -> Result<T, git2::Error> {
        let (handle, closed) = {
            let mut idle = self.idle.lock();
            let handle = idle.handles.pop();
            self.handles.give_back(usize::from(handle.is_some()));
            (handle, idle.closed)
        };
        let repo = match handle {
            Some(repo) => repo,
            None => git2::Repository::open_bare(&self.path)?,
        };
        let result = read(&repo);
        let mut idle = self.idle.lock();
        let is_wanted = idle.handles.len() < IDLE_HANDLES_MAX && idle.closed == closed;
        if is_wanted && self.handles.take_place() {
            idle.handles.push(repo);
        }
        result
    }

    /// The content of an object of any kind.
    pub fn content(&self, oid: Oid) -> Result<Vec<u8>, LoadError> {
        self.with(|repo| Ok(repo.odb()?.read(oid.to_git())?.data().to_vec()))
            .map_err(|error| self.load_error(format!("object {oid}"), &error))
    }

    /// The tree of a commit.
    pub fn tree_of(&self, commit: Oid) -> Result<Oid, LoadError> {
        self.with(|repo| Ok(repo.find_commit(commit.to_git())?.tree_id().into()))
            .map_err(|error| self.load_error(format!("commit {commit}"), &error))
    }

    /// The tree of a commit, if there is such a commit.
    pub fn find_tree_of(&self, commit: Oid) -> Result<Option<Oid>, LoadError> {
        let read = |repo: &git2::Repository| match repo.find_commit(commit.to_git()) {
            Ok(commit) => Ok(Some(commit.tree_id().into())),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) if error.class() == git2::ErrorClass::Invalid => Ok(None),
            Err(error) => Err(error),
        };
        self.with(read).map_err(|error| self.load_error(format!("commit {commit}"), &error))
    }

    /// The names of all refs that begin so.
    pub fn refs(&self, prefix: &str) -> Result<Vec<String>, LoadError> {
        let read = |repo: &git2::Repository| {
            let mut names = Vec::new();
            for reference in repo.references_glob(&format!("{prefix}*"))? {
                names.push(reference?.name()?.to_owned());
            }
            names.sort_unstable();
            Ok(names)
        };
        self.with(read).map_err(|error| self.load_error(format!("the refs under {prefix}"), &error))
    }

    /// Closes the handles nobody uses, and so the packs they hold open; those in use are closed after it.
    pub fn close_idle(&self) {
        let mut idle = self.idle.lock();
        idle.closed += 1;
        let handles = std::mem::take(&mut idle.handles);
        drop(idle);
        self.handles.give_back(handles.len());
        drop(handles);
    }

    /// How many handles wait for the next reader.
    pub fn idle_handles(&self) -> usize {
        self.idle.lock().handles.len()
    }

    pub(super) fn load_error(&self, what: String, error: &git2::Error) -> LoadError {
        LoadError { what, repo: self.path.display().to_string(), cause: error.message().to_owned() }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.close_idle();
    }
}

impl TreeSource for Objects {
    fn tree(&self, oid: Oid) -> Result<Vec<u8>, LoadError> {
        if oid == Oid::of(super::oid::Kind::Tree, b"") {
            return Ok(Vec::new());
        }
        self.content(oid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_repositories_are_read_few_handles_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        git2::Repository::init_bare(folder.path()).unwrap();
        let handles = Handles::default();
        let read = || {
            let objects = Objects::among(folder.path().to_owned(), handles.clone());
            objects.with(|repo| repo.is_empty()).unwrap();
            objects
        };
        let mut all: Vec<Objects> = (0..ALL_IDLE_HANDLES_MAX + 50).map(|_| read()).collect();
        assert_eq!(handles.kept(), ALL_IDLE_HANDLES_MAX);
        assert!(
            all.last().unwrap().with(|repo| repo.is_empty()).unwrap(),
            "one that keeps none can still read"
        );
        all.truncate(10);
        assert_eq!(handles.kept(), 10, "what is closed makes room");
    }
}
