//! A branch at one commit, for readers that take their time: nothing they do holds up a writer.

use std::sync::Arc;

use bytes::Bytes;

use super::edit::{Edit, Entity};
use super::objects::Objects;
use super::oid::{Kind, Oid};
use super::pack::Draft;
use super::repo::Repo;
use super::tree::{self, EditError, Entry, LoadError, Tree};
use super::yaml::{self, BadFile};

/// The number of a pack that is never made, for trees that are hashed and thrown away.
const NO_PACK: u64 = u64::MAX;

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

    /// Which tree edits make of this one, one lot after another; nothing is written.
    pub fn trees_after<'a>(&self, lots: impl Iterator<Item = &'a [Edit]>) -> Result<Vec<Oid>, EditError> {
        let (mut tree, mut draft) = (self.tree.clone(), Draft::default());
        let mut made = Vec::new();
        for edits in lots {
            for edit in edits {
                tree::load(&mut tree, edit.path(), self.objects(), NO_PACK, &mut 0)?;
                match edit.bytes() {
                    Some(bytes) => tree::put(&mut tree, edit.path(), Oid::of(Kind::Blob, &bytes)),
                    None => tree::remove(&mut tree, edit.path()),
                }
            }
            made.push(tree::write(&mut tree, &mut draft, NO_PACK));
        }
        Ok(made)
    }

    fn objects(&self) -> &Objects {
        &self.repo.objects
    }
}
