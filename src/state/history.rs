//! History: what has happened to a path, what a commit changed, and how things stood. Which commits touched a path is
//! asked of git, which has the commit-graph and its filters of changed paths; the rest is read by libgit2. Nothing here
//! is on a writer's way.
//!
//! The filters serve a single exact path only, so a job's life is found in its open file's history, and what happened to its
//! done file in the stretches of history in which the job was done: every change between the two is a commit of both.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;

use super::commit::{self, Event};
use super::epoch::{self, From};
use super::layout::{self, DataFolder, RepoName, STATE_REF};
use super::objects::Objects;
use super::oid::Oid;
use super::store::{EngineError, State};
use super::tree::{Entry, LoadError};
use crate::git::child::{Program, ProgramError};
use crate::id::{ArtifactId, ChatId, JobId, WebhookId};
use walk::{Past, Place, Walk};

/// How many commits a listener may be behind and still be told each; more means that it should read what is now.
const EVENTS_MAX: usize = 100_000;
/// A listener that is no further behind is answered without asking git.
const EVENTS_NEAR: usize = 1_000;
/// The most commits of one answer.
pub const LOG_MAX: usize = 10_000;
/// A commit may be dated this much before an id of its content was made: the clock may have been set back.
const CLOCK_SLOP: Duration = Duration::from_secs(24 * 3600);
/// The most files of a commit that are shown, and the largest of which the content is.
const SHOWN_FILES_MAX: usize = 300;
const SHOWN_BYTES_MAX: usize = 256 << 10;
/// The most bytes of all of them: an answer stays one that a page can show.
const SHOWN_BYTES_IN_ALL_MAX: usize = 4 << 20;
/// The longest path.
const PATH_BYTES_MAX: usize = 512;

/// What history is asked about: a path of the state branch, or the id of a job, chat, artifact or webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A job, wherever its file was.
    Job(JobId),
    /// A file or a folder.
    Path(Box<str>),
}

/// The text is neither an id nor a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither the id of a job, chat, artifact or webhook nor a path such as jobs/open: no leading '/', '-' or ':', no '..', no control characters"
)]
pub struct BadPath(String);

impl FromStr for About {
    type Err = BadPath;
    fn from_str(text: &str) -> Result<Self, BadPath> {
        if let Ok(job) = text.parse() {
            return Ok(Self::Job(job));
        }
        if let Ok(artifact) = text.parse::<ArtifactId>() {
            return Ok(Self::Path(layout::artifact(&artifact).into()));
        }
        if let Ok(chat) = text.parse::<ChatId>() {
            return Ok(Self::Path(layout::chat_folder(&chat).into()));
        }
        if let Ok(hook) = text.parse::<WebhookId>() {
            return Ok(Self::Path(layout::webhook(&hook).into()));
        }
        let path = text.strip_suffix('/').unwrap_or(text);
        let is_odd = |part: &str| matches!(part, "" | "." | "..");
        let is_path = path.len() <= PATH_BYTES_MAX
            && !path.starts_with(['-', ':'])
            && !path.contains(|c: char| c.is_control() || c == '\\')
            && !path.split('/').any(is_odd);
        if is_path { Ok(Self::Path(path.into())) } else { Err(BadPath(text.chars().take(80).collect())) }
    }
}

/// Which commits a log is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those that touched this; all if absent.
    pub about: Option<About>,
    /// Only those older than this commit, which was the last of an earlier answer.
    pub after: Option<Oid>,
    /// How many, at most [`LOG_MAX`].
    pub limit: usize,
}

/// What a commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What happened.
    pub event: Event,
    /// The files it changed, by path.
    pub changes: Vec<FileChange>,
    /// Whether there are more files than are shown.
    pub is_cut: bool,
}

/// A file before and after a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// The path.
    pub path: String,
    /// What it held; `None` if it was not there.
    pub old: Option<Content>,
    /// What it holds since; `None` if it is gone.
    pub new: Option<Content>,
}

/// A file that a commit changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The path.
    pub path: String,
    /// Whether it was there before.
    pub was_there: bool,
    /// Whether it is there since.
    pub is_there: bool,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Its bytes.
    Bytes(Bytes),
    /// Its length; it is too large to be shown.
    Large(u64),
}

/// Why history was not read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The repository has no such commit.
    #[error("{repo} has no commit {commit}")]
    NoCommit {
        /// The repository.
        repo: String,
        /// The commit asked for.
        commit: Oid,
    },
    /// An object cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Git did not answer.
    #[error(transparent)]
    Git(#[from] ProgramError),
    /// The engine did not.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The past of a repository's state branch. Reading blocks, so do it where blocking is allowed.
pub struct History {
    name: RepoName,
    objects: Objects,
}

impl History {
    /// The past of a repository in this data folder, as it is published; no daemon is needed.
    pub fn open(folder: &DataFolder, name: &RepoName) -> Self {
        Self { name: name.clone(), objects: Objects::new(folder.repo(name)) }
    }

    /// The commits that a filter lets through, newest first.
    pub fn log(&self, filter: &Filter) -> Result<Vec<Event>, HistoryError> {
        let limit = filter.limit.min(LOG_MAX);
        let Some(from) = self.begin(filter.after)? else { return Ok(Vec::new()) };
        let mut past = Past::from(&self.objects, from, filter.after.is_none());
        let commits = match &filter.about {
            None => past.walk(&Walk { limit, ..Walk::default() })?,
            Some(About::Path(path)) => past.walk(&Walk { limit, path: Some(path), ..Walk::default() })?,
            Some(About::Job(job)) => self.walk_job(&mut past, job, limit)?,
        };
        commits.into_iter().take(limit).map(|(commit, _)| self.event(commit)).collect()
    }

    /// What a commit changed.
    pub fn show(&self, commit: Oid) -> Result<Shown, HistoryError> {
        let event = self.event(commit)?;
        let read = |repo: &git2::Repository| {
            let commit = repo.find_commit(commit.to_git())?;
            let old = epoch::tree_before(&commit)?;
            changes(repo, old.as_ref(), &commit.tree()?)
        };
        let (changes, is_cut) = self.objects.with(read).map_err(|error| self.failed(commit, &error))?;
        Ok(Shown { event, changes, is_cut })
    }

    /// What differs between two commits, and whether more does than is told.
    pub fn diff(&self, from: Oid, to: Oid) -> Result<(Vec<FileChange>, bool), HistoryError> {
        let read = |repo: &git2::Repository| {
            let tree = |commit: Oid| repo.find_commit(commit.to_git())?.tree();
            changes(repo, Some(&tree(from)?), &tree(to)?)
        };
        self.objects.with(read).map_err(|error| self.failed(from, &error))
    }

    /// The paths that a commit changed, at most `most`, and how many there are. Their content is not read.
    pub fn touched(&self, commit: Oid, most: usize) -> Result<(Vec<Touched>, usize), HistoryError> {
        let read = |repo: &git2::Repository| {
            let commit = repo.find_commit(commit.to_git())?;
            let old = epoch::tree_before(&commit)?;
            let files = compare::files(repo, old.as_ref(), Some(&commit.tree()?))?;
            let count = files.len();
            let touched = files.into_iter().take(most).map(|delta| Touched {
                path: delta.path,
                was_there: delta.old.is_some(),
                is_there: delta.new.is_some(),
            });
            Ok((touched.collect(), count))
        };
        self.objects.with(read).map_err(|error| self.failed(commit, &error))
    }

    /// A file as it was at a commit; `None` if it was not there.
    pub fn file(&self, commit: Oid, path: &str) -> Result<Option<Bytes>, HistoryError> {
        let read = |repo: &git2::Repository| {
            let Some(entry) = entry(repo, commit, path)?.filter(|entry| !entry.is_folder) else {
                return Ok(None);
            };
            Ok(Some(repo.find_blob(entry.oid.to_git())?.content().to_vec().into()))
        };
        self.objects.with(read).map_err(|error| self.failed(commit, &error))
    }

    /// The entries of a folder as it was at a commit, by name; none if it was not there. `""` is the root.
    pub fn list(&self, commit: Oid, path: &str) -> Result<Vec<Entry>, HistoryError> {
        let read = |repo: &git2::Repository| {
            let tree = if path.is_empty() {
                repo.find_commit(commit.to_git())?.tree()?
            } else {
                let Some(entry) = entry(repo, commit, path)?.filter(|entry| entry.is_folder) else {
                    return Ok(Vec::new());
                };
                repo.find_tree(entry.oid.to_git())?
            };
            Ok(tree.iter().map(|entry| read_entry(&entry)).collect())
        };
        self.objects.with(read).map_err(|error| self.failed(commit, &error))
    }

    /// Where a log begins: the tip, or the parent of the commit it goes on behind.
    fn begin(&self, after: Option<Oid>) -> Result<Option<Oid>, HistoryError> {
        let found = self.objects.with(|repo| match after {
            Some(after) => {
                let after = repo.find_commit(after.to_git())?;
                Ok(epoch::before(repo, &after)?.map(|before| before.id()))
            }
            None => match repo.refname_to_id(STATE_REF) {
                Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
                tip => tip.map(Some),
            },
        });
        let found = found.map_err(|error| self.failed(after.unwrap_or(Oid::ZERO), &error))?;
        Ok(found.map(Oid::from))
    }

    /// A job's commits: those of its open file, and between them those of its done file while it was done.
    fn walk_job(&self, past: &mut Past<'_>, job: &JobId, limit: usize) -> Result<Vec<Place>, HistoryError> {
        let (path, since) = (layout::open_job(job), Some(job.made_at().before(CLOCK_SLOP).seconds()));
        let moves = past.walk(&Walk { limit, since, path: Some(&path), ..Walk::default() })?;
        let mut found: Vec<Place> = Vec::with_capacity(moves.len());
        let mut newer = None;
        for place in moves {
            if found.len() >= limit {
                break;
            }
            if let Some(done) = self.done_path(job, place.0)? {
                let stretch = Walk { from: newer, until: Some(place), limit, since, path: Some(&done) };
                found.extend(past.walk(&stretch)?.into_iter().filter(|commit| Some(*commit) != newer));
            }
            found.push(place);
            newer = Some(place);
        }
        Ok(found)
    }

    /// Where a commit put the file of a job that has ended: below the day of the commit, or the day before at midnight.
    fn done_path(&self, job: &JobId, commit: Oid) -> Result<Option<String>, HistoryError> {
        let read = |repo: &git2::Repository| {
            let seconds = u64::try_from(repo.find_commit(commit.to_git())?.time().seconds()).unwrap_or(0);
            let time = crate::clock::Time::from_millis(seconds.saturating_mul(1000));
            for time in [time, time.before(CLOCK_SLOP)] {
                let path = layout::done_job(job, time);
                if entry(repo, commit, &path)?.is_some() {
                    return Ok(Some(path));
                }
            }
            Ok(None)
        };
        self.objects.with(read).map_err(|error| self.failed(commit, &error))
    }

    fn event(&self, commit: Oid) -> Result<Event, HistoryError> {
        let project = self.name.project().cloned();
        let read =
            |repo: &git2::Repository| Ok(commit::read_event(project, &repo.find_commit(commit.to_git())?));
        self.objects.with(read).map_err(|error| self.failed(commit, &error))
    }

    fn failed(&self, commit: Oid, error: &git2::Error) -> HistoryError {
        match error.code() {
            git2::ErrorCode::NotFound => HistoryError::NoCommit { repo: self.name.key(), commit },
            _ => self.objects.load_error(format!("commit {commit}"), error).into(),
        }
    }
}

/// What differs between two trees, at most as many files and bytes as are shown, and whether there is more.
fn changes(
    repo: &git2::Repository,
    old: Option<&git2::Tree<'_>>,
    new: &git2::Tree<'_>,
) -> Result<(Vec<FileChange>, bool), git2::Error> {
    let files = compare::files(repo, old, Some(new))?;
    let mut is_cut = files.len() > SHOWN_FILES_MAX;
    let mut changes = Vec::new();
    let mut room = SHOWN_BYTES_IN_ALL_MAX;
    for delta in files.into_iter().take(SHOWN_FILES_MAX) {
        let most = room.min(SHOWN_BYTES_MAX);
        let shown = |oid: Option<git2::Oid>| oid.map(|oid| content(repo, oid, most)).transpose();
        let (old, new) = (shown(delta.old)?, shown(delta.new)?);
        for content in [&old, &new].into_iter().flatten() {
            match content {
                Content::Bytes(bytes) => room = room.saturating_sub(bytes.len()),
                Content::Large(_) => is_cut |= room < SHOWN_BYTES_MAX,
            }
        }
        changes.push(FileChange { path: delta.path, old, new });
    }
    Ok((changes, is_cut))
}

fn content(repo: &git2::Repository, oid: git2::Oid, most: usize) -> Result<Content, git2::Error> {
    let (length, _) = repo.odb()?.read_header(oid)?;
    if length > most {
        return Ok(Content::Large(length as u64));
    }
    Ok(Content::Bytes(repo.find_blob(oid)?.content().to_vec().into()))
}

fn entry(repo: &git2::Repository, commit: Oid, path: &str) -> Result<Option<Entry>, git2::Error> {
    match repo.find_commit(commit.to_git())?.tree()?.get_path(std::path::Path::new(path)) {
        Ok(entry) => Ok(Some(read_entry(&entry))),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_entry(entry: &git2::TreeEntry<'_>) -> Entry {
    Entry {
        name: String::from_utf8_lossy(entry.name_bytes()).into_owned(),
        is_folder: entry.kind() == Some(git2::ObjectType::Tree),
        oid: entry.id().into(),
    }
}

/// A repository at one commit. Reading blocks.
pub struct AtCommit {
    history: History,
    commit: Oid,
}

impl AtCommit {
    /// The commit.
    pub fn commit(&self) -> Oid {
        self.commit
    }

    /// A file's bytes; `None` if it was not there.
    pub fn file(&self, path: &str) -> Result<Option<Bytes>, HistoryError> {
        self.history.file(self.commit, path)
    }

    /// The entries of a folder, by name; none if it was not there.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, HistoryError> {
        self.history.list(self.commit, path)
    }
}

impl State {
    /// The past of a repository, with everything in it that was acknowledged before this was called.
    pub async fn history(&self, name: &RepoName) -> Result<History, EngineError> {
        let last = self.read(name, |view| view.last()).await?;
        self.published(name, last).await?;
        Ok(History::open(self.folder(), name))
    }

    /// The commits of a repository that a filter lets through, newest first.
    pub async fn log(&self, name: &RepoName, filter: Filter) -> Result<Vec<Event>, HistoryError> {
        let history = self.history(name).await?;
        blocking(move || history.log(&filter)).await
    }

    /// What a commit of a repository changed.
    pub async fn show(&self, name: &RepoName, commit: Oid) -> Result<Shown, HistoryError> {
        let history = self.history(name).await?;
        blocking(move || history.show(commit)).await
    }

    /// A repository as it was at a commit, to be read at leisure.
    pub async fn at(&self, name: &RepoName, commit: Oid) -> Result<AtCommit, HistoryError> {
        let history = self.history(name).await?;
        blocking(move || history.event(commit).map(|_| AtCommit { history, commit })).await
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, HistoryError> {
    tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)?
}

/// The events of the commits of a branch behind `after`, oldest first; `None` if the branch does not have that commit, or
/// if it is too far back.
pub(super) fn events_after(
    objects: &Objects,
    name: &RepoName,
    tip: Oid,
    after: Oid,
) -> Result<Option<Vec<Event>>, LoadError> {
    let failed = |error: &git2::Error| objects.load_error(format!("the commits behind {after}"), error);
    let Some(age) = objects.with(|repo| age_of(repo, after)).map_err(|error| failed(&error))? else {
        return Ok(None);
    };
    let near = objects.with(|repo| near_ones(repo, tip, after)).map_err(|error| failed(&error))?;
    let behind = match near {
        Some(behind) => behind,
        None => match far_ones(objects, tip, after, age)? {
            Some(behind) => behind,
            None => return Ok(None),
        },
    };
    let read = |repo: &git2::Repository| {
        let event =
            |oid: &git2::Oid| Ok(commit::read_event(name.project().cloned(), &repo.find_commit(*oid)?));
        behind.iter().rev().map(event).collect()
    };
    objects.with(read).map(Some).map_err(|error| failed(&error))
}

/// When a commit was made; `None` if there is no such commit.
fn age_of(repo: &git2::Repository, commit: Oid) -> Result<Option<u64>, git2::Error> {
    match repo.find_commit(commit.to_git()) {
        Ok(commit) => Ok(Some(u64::try_from(commit.time().seconds()).unwrap_or(0))),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The commits from `tip` down to `after`, without it; `None` if it is not near.
fn near_ones(repo: &git2::Repository, tip: Oid, after: Oid) -> Result<Option<Vec<git2::Oid>>, git2::Error> {
    let (mut found, mut next) = (Vec::new(), tip.to_git());
    while found.len() <= EVENTS_NEAR {
        if next == after.to_git() {
            return Ok(Some(found));
        }
        found.push(next);
        match epoch::before(repo, &repo.find_commit(next)?)? {
            Some(before) => next = before.id(),
            None => break,
        }
    }
    Ok(None)
}

/// The same for one that is far: git has the commit-graph, and walks no further than commits as old as `after`.
fn far_ones(objects: &Objects, tip: Oid, after: Oid, age: u64) -> Result<Option<Vec<git2::Oid>>, LoadError> {
    let age = age.saturating_sub(CLOCK_SLOP.as_secs());
    let ended = epoch::ended_before(objects, From::Tip(tip))?;
    let mut found: Vec<git2::Oid> = Vec::new();
    for end in std::iter::once(tip).chain(ended.iter().map(|archive| archive.tip)) {
        let arguments = [
            "rev-list".to_owned(),
            "--first-parent".to_owned(),
            format!("--max-count={}", EVENTS_MAX + 1 - found.len()),
            format!("--max-age={age}"),
        ];
        let walk =
            Program::git(objects.path()).args(arguments).args([end.to_string(), "--".to_owned()]).run();
        let output = walk.map_err(|error| LoadError {
            what: format!("the commits behind {after}"),
            repo: objects.path().display().to_string(),
            cause: error.cause.to_string(),
        })?;
        for commit in String::from_utf8_lossy(&output).lines().filter_map(|line| line.parse::<Oid>().ok()) {
            if commit == after {
                return Ok(Some(found));
            }
            found.push(commit.to_git());
        }
        if found.len() > EVENTS_MAX {
            break;
        }
    }
    Ok(None)
}

mod compare;
mod walk;

#[cfg(test)]
mod tests;
