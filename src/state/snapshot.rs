//! A branch at one commit, for readers that take their time: nothing they do holds up a writer.

use std::sync::Arc;

use bytes::Bytes;

use super::edit::Entity;
use super::objects::Objects;
use super::oid::Oid;
use super::repo::Repo;
use super::tree::{self, Entry, LoadError, Tree};
use super::yaml::{self, BadFile};

/// A consistent view of one branch. Reading may touch the disk, so do it where blocking is allowed.
pub struct Snapshot {
    repo: Arc<Repo>,
    commit: Oid,
    tree: Arc<Tree>,
}

impl Snapshot {
    pub(super) fn new(repo: Arc<Repo>, commit: Oid, tree: Arc<Tree>) -> Self {
        Self { repo, commit, tree }
    }

    /// The commit it is of.
    pub fn commit(&self) -> Oid {
        self.commit
    }

    /// The bytes of a file; `None` if it is not there.
    pub fn file(&self, path: &str) -> Result<Option<Bytes>, LoadError> {
        match tree::lookup(&self.tree, path, self.objects())? {
            Some(entry) if !entry.is_folder => self.blob(entry.oid).map(Some),
            _ => Ok(None),
        }
    }

    /// The value of a file; `None` if it is not there.
    pub fn entity<T: Entity>(&self, path: &str) -> Result<Option<Result<T, BadFile>>, LoadError> {
        Ok(self.file(path)?.map(|bytes| yaml::read(path, T::KIND, &bytes)))
    }

    /// The values of the YAML files that stand in a folder itself, by name, at most `most`.
    pub fn entities<T: Entity>(
        &self,
        folder: &str,
        most: usize,
    ) -> Result<Vec<Result<T, BadFile>>, LoadError> {
        let files = self.list(folder)?.into_iter().filter(|entry| !entry.is_folder);
        let files = files.filter(|entry| entry.name.ends_with(".yaml")).take(most);
        files
            .map(|entry| Ok(yaml::read(&format!("{folder}/{}", entry.name), T::KIND, &self.blob(entry.oid)?)))
            .collect()
    }

    /// The entries of a folder; none if it is not there.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, LoadError> {
        tree::list(&self.tree, path, self.objects())
    }

    /// Every file below a folder, by its full path.
    pub fn walk(
        &self,
        path: &str,
        each: &mut dyn FnMut(&str, Oid) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        tree::walk(&self.tree, path, self.objects(), each)
    }

    /// The content of a blob that this snapshot names.
    pub fn blob(&self, oid: Oid) -> Result<Bytes, LoadError> {
        self.repo.blob(oid)
    }

    fn objects(&self) -> &Objects {
        &self.repo.objects
    }
}
