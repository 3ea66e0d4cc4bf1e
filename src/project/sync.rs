//! Keeps the projects as the forge has them: asks it at the start, now and then, and on a hint.
//!
//! One look at a time. A look that fails in any part marks nothing as missing; what it found is taken in all the same, and
//! [`Syncer::status`] says since when no look was whole, and why.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, mpsc};
use utoipa::ToSchema;

use super::projects::{ProjectError, Projects};
use crate::clock::{Clock, Time};
use crate::forge::github::GitHubError;
use crate::forge::local::LocalForge;
use crate::forge::{Forge, ForgeError, ForgeKind, Listing};
use crate::id::random_u64;

/// How many repositories that a listing lacks are asked for one by one in a look; the others wait for the next.
const ASKED_FOR_MAX: usize = 100;
/// Hints come in flurries, which one look answers.
const SETTLE: Duration = Duration::from_millis(200);
/// How long the daemon waits before it looks at a folder again that it could not watch.
const WATCH_RETRY: Duration = Duration::from_secs(5);

/// How well the daemon knows its forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForgeStatus {
    /// Which forge.
    kind: ForgeKind,
    /// When everything on it was last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_whole_sync: Option<Time>,
    /// Why the last look was not whole: `credentialRefused`, `rateLimited`, `unreachable`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<&'static str>,
    /// Until when the forge has asked not to be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_until: Option<Time>,
}

/// Why a look was not whole.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The forge.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// Our own state.
    #[error(transparent)]
    Project(#[from] ProjectError),
}

/// Looks at the forge. A clone is the same.
#[derive(Clone)]
pub struct Syncer(Arc<Inner>);

struct Inner {
    forge: Forge,
    projects: Projects,
    clock: Clock,
    poll: Duration,
    hinted: Notify,
    looking: tokio::sync::Mutex<()>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    last_whole: Option<Time>,
    problem: Option<&'static str>,
    passed_over: Vec<String>,
}

impl Syncer {
    /// Over this forge, which is polled this often if it cannot be watched.
    pub fn new(forge: Forge, projects: Projects, clock: Clock, poll: Duration) -> Self {
        let (hinted, looking, seen) = (Notify::new(), tokio::sync::Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { forge, projects, clock, poll, hinted, looking, seen }))
    }

    /// The forge.
    pub fn forge(&self) -> &Forge {
        &self.0.forge
    }

    /// How well it is known.
    pub fn status(&self) -> ForgeStatus {
        let seen = self.0.seen.lock();
        ForgeStatus {
            kind: self.0.forge.kind(),
            last_whole_sync: seen.last_whole,
            problem: seen.problem,
            waiting_until: self.0.forge.waits_until(),
        }
    }

    /// Says that something may have changed; [`Syncer::follow`] looks soon.
    pub fn hint(&self) {
        self.0.hinted.notify_one();
    }

    /// Looks now, once whoever looks already is done.
    pub async fn sync(&self) -> Result<(), SyncError> {
        let _alone = self.0.looking.lock().await;
        let begun = self.0.clock.now();
        let looked = self.look().await;
        let mut seen = self.0.seen.lock();
        match &looked {
            Ok(()) => (seen.last_whole, seen.problem) = (Some(begun), None),
            Err(SyncError::Forge(error)) => seen.problem = Some(error.code()),
            Err(SyncError::Project(_)) => seen.problem = Some("stateRefused"),
        }
        looked
    }

    /// Looks, and logs what prevented it.
    pub async fn try_sync(&self) {
        if let Err(error) = self.sync().await {
            tracing::error!(%error, "the forge was not seen whole; no project is taken for missing");
        }
    }

    async fn look(&self) -> Result<(), SyncError> {
        let (forge, projects) = (&self.0.forge, &self.0.projects);
        let Listing { found, passed_over, failure } = forge.list().await;
        self.tell_passed_over(passed_over);
        let (gone, failure) = match failure {
            Some(failure) => (BTreeSet::new(), Some(failure)),
            None => {
                let mut gone = BTreeSet::new();
                let asked = self.ask_for(projects.lacking(forge.kind(), &found), &mut gone).await;
                (gone, asked.err())
            }
        };
        projects.sync(forge.kind(), &found, &gone).await?;
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    async fn ask_for(
        &self,
        lacking: Vec<Arc<super::types::Project>>,
        gone: &mut BTreeSet<crate::id::ProjectId>,
    ) -> Result<(), ForgeError> {
        let most = if self.0.forge.kind() == ForgeKind::Local { usize::MAX } else { ASKED_FOR_MAX };
        let mut failure = None;
        for project in lacking.into_iter().take(most) {
            match self.0.forge.is_gone(&project.repo, project.forge.repository_id).await {
                Ok(true) => {
                    gone.insert(project.project_id.clone());
                }
                Ok(false) => {}
                // It says nothing of the others.
                Err(error @ ForgeError::GitHub(GitHubError::Refused { .. })) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn tell_passed_over(&self, names: Vec<String>) {
        let mut seen = self.0.seen.lock();
        if seen.passed_over != names {
            for name in &names {
                tracing::warn!(
                    repo = name,
                    "a repository has the prefix, but its name is no project's (a-z, 0-9, -, at most 63): passed over"
                );
            }
            seen.passed_over = names;
        }
    }

    /// Looks whenever something may have changed, for ever.
    pub async fn follow(&self) {
        match &self.0.forge {
            Forge::Local(folder) => self.watch(folder).await,
            Forge::GitHub(_) => self.poll().await,
        }
    }

    async fn poll(&self) {
        loop {
            // Between nine and eleven tenths, so that many daemons do not ask at once.
            let spread = 0.9 + 0.2 * chance();
            let next = self.0.clock.now().after(self.0.poll.mul_f64(spread));
            tokio::select! {
                () = self.0.clock.sleep_until(next) => {}
                () = self.0.hinted.notified() => tokio::time::sleep(SETTLE).await,
            }
            self.try_sync().await;
        }
    }

    async fn watch(&self, folder: &LocalForge) {
        loop {
            let (changed, mut changes) = mpsc::channel(1);
            let take_in = async {
                loop {
                    tokio::select! {
                        change = changes.recv() => if change.is_none() { return },
                        () = self.0.hinted.notified() => {}
                    }
                    self.try_sync().await;
                }
            };
            let (watched, ()) = tokio::join!(folder.watch(changed), take_in);
            if let Err(error) = watched {
                tracing::error!(%error, "the forge's folder cannot be watched");
            }
            tokio::time::sleep(WATCH_RETRY).await;
        }
    }
}

/// A number between 0 and 1, by chance.
pub fn chance() -> f64 {
    (random_u64() >> 11) as f64 / (1u64 << 53) as f64
}
