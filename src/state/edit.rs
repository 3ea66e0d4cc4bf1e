//! What happens to files: the one form in which changes, pushes and loading reach memory.
//!
//! An [`Edit`] says what a path holds now. A [`Projection`] is what a subject keeps in memory about one repository; it
//! changes only by applying edits, so memory cannot know what no file says.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::oid::Oid;
use super::yaml::{self, BadFile};

/// A value that is a file of state.
pub trait Entity: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the file holds, for errors: `job`.
    const KIND: &'static str;
}

/// An entity of any kind, with the way to its file's bytes.
trait AnyEntity: Send + Sync {
    fn to_file(&self) -> Vec<u8>;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T: Entity> AnyEntity for T {
    fn to_file(&self) -> Vec<u8> {
        yaml::write(self)
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// What one path holds from now on.
#[derive(Clone)]
pub struct Edit {
    path: Box<str>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Entity(Arc<dyn AnyEntity>),
    Bytes(Bytes),
    Gone,
}

impl Edit {
    /// The path holds this entity.
    pub fn put<T: Entity>(path: impl Into<Box<str>>, entity: Arc<T>) -> Self {
        Self { path: path.into(), content: Content::Entity(entity) }
    }

    /// The path holds these bytes.
    pub fn write(path: impl Into<Box<str>>, bytes: impl Into<Bytes>) -> Self {
        Self { path: path.into(), content: Content::Bytes(bytes.into()) }
    }

    /// The path holds nothing.
    pub fn remove(path: impl Into<Box<str>>) -> Self {
        Self { path: path.into(), content: Content::Gone }
    }

    /// The path, from the root of the branch.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the path holds nothing.
    pub fn is_gone(&self) -> bool {
        matches!(self.content, Content::Gone)
    }

    /// The file's bytes; `None` if the path holds nothing.
    pub fn bytes(&self) -> Option<Bytes> {
        match &self.content {
            Content::Entity(entity) => Some(entity.to_file().into()),
            Content::Bytes(bytes) => Some(bytes.clone()),
            Content::Gone => None,
        }
    }

    /// The entity at the path; `None` if it holds nothing. A change hands its value over as it is; a file is parsed.
    pub fn entity<T: Entity>(&self) -> Result<Option<Arc<T>>, BadFile> {
        match &self.content {
            Content::Gone => Ok(None),
            Content::Bytes(bytes) => {
                yaml::read(&self.path, T::KIND, bytes).map(|value| Some(Arc::new(value)))
            }
            Content::Entity(entity) => match entity.clone().into_any().downcast() {
                Ok(value) => Ok(Some(value)),
                Err(_) => {
                    yaml::read(&self.path, T::KIND, &entity.to_file()).map(|value| Some(Arc::new(value)))
                }
            },
        }
    }
}

/// What a subject keeps in memory about one repository.
pub trait Projection: Any + Send {
    /// The folders and files of the state branch that it lives from; they are read when the repository is opened.
    fn lives_from(&self) -> &'static [&'static str];
    /// Takes in that a path under [`Projection::lives_from`] has changed, or was found at loading.
    fn apply(&mut self, edit: &Edit);
    /// Whether it must stay in memory although nobody uses the repository.
    fn is_busy(&self) -> bool {
        false
    }
    /// Called before the repository leaves memory.
    fn unload(&mut self) {}
}

/// The projections of one repository, one of each type.
#[derive(Default)]
pub struct Projections(Vec<Box<dyn Projection>>);

impl Projections {
    /// Adds one.
    pub fn with(mut self, projection: impl Projection) -> Self {
        self.0.push(Box::new(projection));
        self
    }

    /// The projection of this type. Asking for one that the repository's kind does not have is a bug.
    pub fn get<P: Projection>(&self) -> &P {
        self.0
            .iter()
            .find_map(|projection| (projection.as_ref() as &dyn Any).downcast_ref())
            .expect("every subject registers its projection for the repositories it lives in")
    }

    /// Hands an edit to whoever lives from its path.
    pub fn apply(&mut self, edit: &Edit) {
        for projection in &mut self.0 {
            if projection.lives_from().iter().any(|root| is_under(edit.path(), root)) {
                projection.apply(edit);
            }
        }
    }

    /// All folders and files that some projection lives from.
    pub fn roots(&self) -> Vec<&'static str> {
        let mut roots: Vec<_> =
            self.0.iter().flat_map(|projection| projection.lives_from()).copied().collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }

    /// Whether any of them must stay in memory.
    pub fn are_busy(&self) -> bool {
        self.0.iter().any(|projection| projection.is_busy())
    }

    /// Tells all of them that the repository leaves memory.
    pub fn unload(&mut self) {
        self.0.iter_mut().for_each(|projection| projection.unload());
    }
}

fn is_under(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Who makes a change: the author of its commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `admin`, `agent` or `daemon`: what the name is a name of.
    pub kind: &'static str,
    /// The name.
    pub name: Arc<str>,
}

impl Actor {
    /// The daemon itself, acting by a rule: a lease that expired, a project that was found.
    pub fn daemon() -> Self {
        Self { kind: "daemon", name: "mrx".into() }
    }
}

/// One logical change: it becomes one commit, all or nothing.
pub struct Change {
    /// The ref of the branch.
    pub branch: Box<str>,
    /// The commit's first line: `job job-01jd…: pending -> claimed by colab-1`.
    pub subject: String,
    /// The stable name of what happened: `job.claimed`.
    pub event: &'static str,
    /// Who did it.
    pub actor: Actor,
    /// The idempotency key of the request, if it had one.
    pub request: Option<String>,
    /// What the paths hold from now on.
    pub edits: Vec<Edit>,
}

/// A commit that was made elsewhere and comes in as it is, or made anew on the tip: pushed, and found good.
///
/// Its files are what somebody asks for. What memory learns of, and what stands in the end, is said by the changes that
/// follow it in the same decision.
pub struct Foreign {
    /// The ref of the branch.
    pub branch: Box<str>,
    /// Its id, where it was made.
    pub commit: Oid,
    /// The commit object.
    pub text: Bytes,
    /// Whether it is made anew on the branch's tip, which is another commit than the one it was made on.
    pub is_replayed: bool,
    /// The commit's first line.
    pub subject: String,
    /// The author's name, as it says itself.
    pub author: String,
    /// What it does to the files of the commit before.
    pub edits: Vec<Edit>,
}

/// The first commit of a new epoch: it has no parent, and the files of the commit that it goes on from.
pub struct Cut {
    /// What it says; it changes no file.
    pub change: Change,
    /// The ref that keeps the commit it goes on from, as in `refs/archive/2026-11-21-1`.
    pub archive: Box<str>,
}

/// One commit of a decision.
pub enum Step {
    /// The daemon's.
    Own(Change),
    /// Somebody else's.
    Foreign(Foreign),
    /// The daemon's, without the history before it.
    Cut(Cut),
}

impl Step {
    /// The ref of the branch.
    pub fn branch(&self) -> &str {
        match self {
            Step::Own(change) | Step::Cut(Cut { change, .. }) => &change.branch,
            Step::Foreign(foreign) => &foreign.branch,
        }
    }

    /// What it does to files.
    pub fn edits(&self) -> &[Edit] {
        match self {
            Step::Own(change) | Step::Cut(Cut { change, .. }) => &change.edits,
            Step::Foreign(foreign) => &foreign.edits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_under_a_folder_but_not_under_the_beginning_of_a_name() {
        assert!(is_under("jobs/open/a", "jobs/open"));
        assert!(is_under("project.yaml", "project.yaml"));
        assert!(!is_under("jobs/opened", "jobs/open"));
    }
}
