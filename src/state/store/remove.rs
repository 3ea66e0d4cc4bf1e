//! Removing a repository for good: its folder, what is in memory of it, and what the journal holds of it.
//!
//! The journal keeps released records until their room is used again, and a start would bring the repository back from
//! them. So a mark says, durably and before the folder goes, up to which record the journal's are not to be used.
//! A crash before the folder was renamed leaves the repository whole; one after it leaves a folder that the next start removes.

use std::io;
use std::time::Duration;

use super::{Engine, EngineError, SLOT_UNUSED, State};
use crate::state::layout::RepoName;
use crate::state::recover::removal;
use crate::state::tree::LoadError;

/// How often it is tried while the repository is being published, folded or used.
const TRIES_MAX: u32 = 500;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);

impl State {
    /// Removes a project's repository with all its history. Changes and reads under way end first; later ones find no
    /// repository. The platform's cannot be removed.
    pub async fn remove(&self, name: &RepoName) -> Result<(), EngineError> {
        if name.project().is_none() {
            return Err(failed(name, "it is the platform's"));
        }
        for _ in 0..TRIES_MAX {
            let last = match self.read(name, |view| view.last()).await {
                Ok(last) => last,
                Err(EngineError::NoRepo(_)) => return Ok(()),
                Err(error) => return Err(error),
            };
            self.published(name, last).await?;
            let (state, wanted) = (self.clone(), name.clone());
            let removing = tokio::task::spawn_blocking(move || state.0.remove(&wanted));
            if removing
                .await
                .map_err(|_| EngineError::Unknown)?
                .map_err(|error| failed(name, &error.to_string()))?
            {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.0.stay(name);
        Err(failed(name, "it is in use all the time; try again later"))
    }
}

fn failed(name: &RepoName, cause: &str) -> EngineError {
    let cause = format!("it could not be removed: {cause}");
    LoadError { what: "a repository".to_owned(), repo: name.key(), cause }.into()
}

impl Engine {
    /// Lets a repository be changed again that could not be removed.
    fn stay(&self, name: &RepoName) {
        let slot = self.repos.lock().get(name).cloned();
        let repo = slot.and_then(|slot| slot.lock().clone());
        if let Some(mut inner) = repo.as_ref().and_then(|repo| repo.lock()) {
            inner.leaving = false;
        }
    }

    /// Tries once; false if something of the repository is under way.
    fn remove(&self, name: &RepoName) -> io::Result<bool> {
        let slot = self.repos.lock().entry(name.clone()).or_default().clone();
        // Whoever wants to load the repository waits here, and then finds none.
        let mut held = slot.lock();
        if held.as_ref().is_some_and(|repo| !repo.close_for_good()) {
            return Ok(false);
        }
        *held = None;
        // Nobody can open it while the slot is held, so what maintenance knows of it can only shrink.
        if !self.upkeep.forget(name) {
            return Ok(false);
        }
        removal::mark(&self.folder, &*self.disk, name, self.journal.durable())?;
        let (path, aside) = (self.folder.repo(name), removal::aside(&self.folder, name));
        removal::clear(&aside)?;
        self.disk.rename(&path, &aside)?;
        path.parent().map_or(Ok(()), |parent| self.disk.sync_folder(parent))?;
        self.disk.sync_folder(&self.folder.removed())?;
        removal::clear(&aside)?;
        drop(held);
        let mut repos = self.repos.lock();
        if std::sync::Arc::strong_count(&slot) == SLOT_UNUSED {
            repos.remove(name);
        }
        Ok(true)
    }
}
