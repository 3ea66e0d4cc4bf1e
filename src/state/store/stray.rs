//! A branch that somebody moved inside its repository, behind the daemon's back: it is found, undone, and what was put there is kept.

use super::{Engine, EngineError, State};
use crate::state::layout::{REJECTED_REF_PREFIX, RepoName, STATE_REF};
use crate::state::oid::Oid;
use crate::state::publish;
use crate::state::refs;
use crate::state::repo::RefMove;
use crate::state::tree::LoadError;

/// A state branch that is not where the daemon left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Whose.
    pub name: RepoName,
    /// Where it belongs.
    pub tip: Oid,
    /// Where it was put.
    pub found: Oid,
}

impl State {
    /// The branches that are not where they belong, of the repositories in memory. It reads a small file of each.
    pub fn strays(&self) -> Vec<Stray> {
        let names: Vec<RepoName> = self.0.repos.lock().keys().cloned().collect();
        names.into_iter().filter_map(|name| self.0.stray(name)).collect()
    }

    /// Puts a branch back where it belongs, and keeps what was put there under `refs/rejected/`; tells the name.
    pub fn put_stray_aside(&self, stray: &Stray) -> Result<String, EngineError> {
        let path = self.0.folder.repo(&stray.name);
        let moved = RefMove { ref_name: STATE_REF.into(), old: stray.tip, new: stray.tip };
        publish::put_aside(&*self.0.disk, &path, &moved, stray.found, &self.0.clock)
            .map_err(|error| failed(&stray.name, error.to_string()))
    }

    /// Forgets what was kept, because it was taken over after all.
    pub fn forget_kept(&self, name: &RepoName, kept: &str) -> Result<(), EngineError> {
        debug_assert!(kept.starts_with(REJECTED_REF_PREFIX));
        refs::remove(&*self.0.disk, &self.0.folder.repo(name), kept)
            .map_err(|error| failed(name, error.to_string()))
    }
}

impl Engine {
    fn stray(&self, name: RepoName) -> Option<Stray> {
        let repo =
            self.repos.lock().get(&name).and_then(|slot| slot.try_lock().and_then(|repo| repo.clone()))?;
        let tip = repo.tip_at_rest()?;
        let found = refs::read(&self.folder.repo(&name), STATE_REF).ok()?;
        // Between the two looks it may have been published: then it is the daemon who moved it.
        (found != tip && repo.tip_at_rest() == Some(tip)).then_some(Stray { name, tip, found })
    }
}

fn failed(name: &RepoName, cause: String) -> EngineError {
    LoadError { what: STATE_REF.to_owned(), repo: name.key(), cause }.into()
}
