//! What is read: memory at one moment, branches as they are or were, events behind a commit. An answer leaves when all
//! that it saw is durable.

use std::sync::Arc;

use super::{Engine, EngineError, State};
use crate::clock::Time;
use crate::state::commit::Event;
use crate::state::history;
use crate::state::layout::{RepoName, STATE_REF};
use crate::state::moment::{self, Moment};
use crate::state::objects::Objects;
use crate::state::oid::Oid;
use crate::state::refs;
use crate::state::repo::View;
use crate::state::snapshot::Snapshot;
use crate::state::tree::{LoadError, Tree, TreeSource};

/// What can be told of a repository without opening it.
pub struct Glance {
    /// Whether it is in memory.
    pub is_open: bool,
    /// Its newest commit that plain git shows.
    pub published: Option<Oid>,
}

impl State {
    /// Looks at a repository without opening it; reads one small file.
    pub fn glance(&self, name: &RepoName) -> Glance {
        let slot = self.0.repos.lock().get(name).cloned();
        // A slot that is held is being read into memory.
        let is_open = slot.is_some_and(|slot| slot.try_lock().is_none_or(|repo| repo.is_some()));
        let tip = refs::read(&self.0.folder.repo(name), STATE_REF).ok();
        Glance { is_open, published: tip.filter(|tip| *tip != Oid::ZERO) }
    }

    /// Reads memory and files at one moment; the answer comes when all that it saw is durable.
    pub async fn read<T>(
        &self,
        name: &RepoName,
        ask: impl FnOnce(&mut View<'_>) -> T,
    ) -> Result<T, EngineError> {
        let mut ask = Some(ask);
        loop {
            let repo = self.repo(name).await?;
            let Some((answer, seen)) = Engine::try_read(&repo, &mut ask) else { continue };
            self.0.reached(&repo.durable, seen).await?;
            return Ok(answer);
        }
    }

    /// A branch as it is now, durable, to be read at leisure; `None` if there is no such branch.
    pub async fn snapshot(&self, name: &RepoName, branch: &str) -> Result<Option<Snapshot>, EngineError> {
        loop {
            let repo = self.repo(name).await?;
            let Some((at, seen)) = Engine::try_branch(&repo, branch) else { continue };
            self.0.reached(&repo.durable, seen).await?;
            let (commit, tree) = at?;
            return Ok((commit != Oid::ZERO).then(|| Snapshot::new(repo, commit, tree)));
        }
    }

    /// Reads memory, and takes the state branch as it is at that very moment; both are durable.
    pub async fn read_with_snapshot<T>(
        &self,
        name: &RepoName,
        ask: impl FnOnce(&mut View<'_>) -> T,
    ) -> Result<(T, Option<Snapshot>), EngineError> {
        let mut ask = Some(ask);
        loop {
            let repo = self.repo(name).await?;
            let Some((answer, at, seen)) = Engine::try_read_and_branch(&repo, &mut ask) else { continue };
            self.0.reached(&repo.durable, seen).await?;
            let (commit, tree) = at?;
            return Ok((answer, (commit != Oid::ZERO).then(|| Snapshot::new(repo, commit, tree))));
        }
    }

    /// A branch as it was at a commit; `None` if the repository has no such commit.
    pub async fn snapshot_at(
        &self,
        name: &RepoName,
        branch: &str,
        commit: Oid,
    ) -> Result<Option<Snapshot>, EngineError> {
        loop {
            let repo = self.repo(name).await?;
            let Some((at, seen)) = Engine::try_branch(&repo, branch) else { continue };
            let (tip, tree) = at?;
            if tip == commit {
                self.0.reached(&repo.durable, seen).await?;
                return Ok(Some(Snapshot::new(repo, commit, tree)));
            }
            // An older commit is read from the repository, where it is once everything up to now is published.
            self.0.reached(&repo.published, seen).await?;
            let read = move || -> Result<Option<Snapshot>, LoadError> {
                let Some(root) = repo.objects.find_tree_of(commit)? else { return Ok(None) };
                let tree = Tree::new(root, repo.objects.tree(root)?);
                Ok(Some(Snapshot::new(repo, commit, Arc::new(tree))))
            };
            return Ok(tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)??);
        }
    }

    /// The state branch as it is now, or as it was at a commit.
    pub async fn snapshot_of(
        &self,
        name: &RepoName,
        at: Option<Oid>,
    ) -> Result<Option<Snapshot>, EngineError> {
        match at {
            None => self.snapshot(name, STATE_REF).await,
            Some(commit) => self.snapshot_at(name, STATE_REF, commit).await,
        }
    }

    /// The commit of the state branch at a moment; `None` if the branch does not have it, or had not begun.
    pub async fn commit_at(&self, name: &RepoName, moment: Moment) -> Result<Option<Oid>, EngineError> {
        loop {
            let repo = self.repo(name).await?;
            let Some((at, seen)) = Engine::try_branch(&repo, STATE_REF) else { continue };
            let (tip, _) = at?;
            if moment == Moment::Commit(tip) {
                return Ok(Some(tip));
            }
            self.0.reached(&repo.published, seen).await?;
            let find = move || moment::find(&repo.objects, tip, moment);
            return Ok(tokio::task::spawn_blocking(find).await.map_err(|_| EngineError::Unknown)??);
        }
    }

    /// When a commit of a repository was made, to the second.
    pub async fn time_of(&self, name: &RepoName, commit: Oid) -> Result<Time, EngineError> {
        let last = self.read(name, |view| view.last()).await?;
        self.published(name, last).await?;
        let repo = self.repo(name).await?;
        let read = move || {
            let objects = &repo.objects;
            let found = objects.with(|repo| Ok(repo.find_commit(commit.to_git())?.time().seconds()));
            found.map_err(|error| objects.load_error(format!("commit {commit}"), &error))
        };
        let seconds = tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)??;
        Ok(Time::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
    }

    /// Reads the state branch as it was at a commit, at leisure.
    pub async fn read_at<T: Send + 'static, E: From<EngineError> + Send + 'static>(
        &self,
        name: &RepoName,
        commit: Oid,
        ask: impl FnOnce(&Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let Some(snapshot) = self.snapshot_at(name, STATE_REF, commit).await? else {
            let cause = "there is no such commit any more".to_owned();
            let error = LoadError { what: format!("commit {commit}"), repo: name.key(), cause };
            return Err(EngineError::from(error).into());
        };
        tokio::task::spawn_blocking(move || ask(&snapshot)).await.map_err(|_| EngineError::Unknown)?
    }

    /// The events of a branch behind a commit, oldest first; `None` if the branch does not have the commit.
    pub async fn events_after(
        &self,
        name: &RepoName,
        branch: &str,
        after: Oid,
    ) -> Result<Option<Vec<Event>>, EngineError> {
        loop {
            let repo = self.repo(name).await?;
            // One that was closed a moment ago is opened again: that it was idle does not make its events forgotten.
            let Some((at, seen)) = Engine::try_branch(&repo, branch) else { continue };
            self.0.reached(&repo.published, seen).await?;
            let (tip, _) = at?;
            let read = move || history::events_after(&repo.objects, &repo.name, tip, after);
            return Ok(tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)??);
        }
    }

    /// The refs of a repository that begin so, by name; as published.
    pub async fn branches(&self, name: &RepoName, prefix: &'static str) -> Result<Vec<String>, EngineError> {
        if !self.exists(name) {
            return Err(EngineError::NoRepo(name.clone()));
        }
        let objects = Objects::new(self.0.folder.repo(name));
        Ok(tokio::task::spawn_blocking(move || objects.refs(prefix))
            .await
            .map_err(|_| EngineError::Unknown)??)
    }

    /// Removes a branch for good, unless it is being written; tells whether it did. Its room is freed by maintenance.
    pub async fn drop_branch(&self, name: &RepoName, branch: &str) -> Result<bool, EngineError> {
        let repo = self.repo(name).await?;
        if !repo.forget_branch(branch) {
            return Ok(false);
        }
        let failed = |error: refs::MoveError| LoadError {
            what: branch.to_owned(),
            repo: repo.objects.path().display().to_string(),
            cause: error.to_string(),
        };
        refs::remove(&*self.0.disk, repo.objects.path(), branch).map_err(failed)?;
        self.0.upkeep.dropped(name);
        Ok(true)
    }
}
