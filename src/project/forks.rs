//! Makes forks: a second project whose state starts at a commit of another.
//!
//! The objects are the same files under a second name (hard links), so a fork costs as many links as its source has packs,
//! whatever is in them. Nothing that becomes of the source's own names, a fold, a repack or its removal, touches the fork's.
//! It is in the registry only when its first commit is durable, so nothing that the source had wakes up in it.

use std::sync::Arc;
use std::time::Duration;

use super::fork::{Inherited, Resting, first_edits, run_edits};
use super::projects::{ProjectError, Projects, registry_change};
use super::types::{ForgeEntry, ForkOf, Project, ProjectFile};
use crate::clock::Time;
use crate::id::{IdMaker, JobId, ProjectId, random_u64};
use crate::identity::Member;
use crate::job::Job;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::{Done, EngineError};

/// The most open jobs of a fork that runs: each is written anew, in one commit.
pub const RUN_JOBS_MAX: usize = 1_000;
/// Files read of one folder.
const FILES_READ_MAX: usize = 1_000;
/// How often it is tried to close the fork's repository after its first commit, which is still being published.
const CLOSE_TRIES_MAX: u32 = 500;
/// How often it is tried to find a fork at rest for a moment that is to run, or to rest.
const RUN_TRIES_MAX: u32 = 10;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// A fork to be made.
#[derive(Clone, Debug)]
pub struct NewFork {
    /// Its name; one is made from the source's if absent.
    pub id: Option<ProjectId>,
    /// Where it starts, and whether its jobs are handed out.
    pub of: ForkOf,
    /// Who owns it; nobody but admins if absent.
    pub owner: Option<Member>,
}

impl Projects {
    /// Makes a fork and registers it.
    pub async fn fork(&self, new: NewFork, actor: Actor) -> Result<Done<Arc<Project>>, ProjectError> {
        let _alone = self.making.lock().await;
        let source = self.get(&new.of.project)?;
        if let Some(since) = source.trashed_at {
            return Err(ProjectError::Trashed { id: source.project_id.clone(), since });
        }
        let id = match new.id {
            Some(id) => id,
            None => named_after(&source.project_id)?,
        };
        if self.registry.find(&id).is_some() {
            return Err(ProjectError::Exists(id));
        }
        let now = self.clock.now();
        self.registry.begin_fork(&id);
        let started = self.start_fork(&id, &new.of, &actor, now).await;
        self.registry.end_fork(&id);
        started?;
        let project = Arc::new(entry(&source, id.clone(), new.of, new.owner, now));
        let decide = |_: &mut View<'_>| -> Result<_, ProjectError> {
            if self.registry.find(&id).is_some() {
                return Err(ProjectError::Exists(id.clone()));
            }
            let of = project
                .fork_of
                .as_ref()
                .map_or_else(String::new, |of| format!("{} at {}", of.project, of.commit));
            let what = format!("forked from {of}");
            Ok(Decision::commit(registry_change(project.clone(), &what, "project.forked", actor), project))
        };
        let done = self.state.change(&RepoName::Platform, decide).await?;
        if done.answer.is_worked_on() {
            // Its jobs are in the queue once its repository is read.
            self.state.read(&RepoName::Project(done.answer.project_id.clone()), |_| ()).await?;
        }
        Ok(done)
    }

    /// The repository with its first commit, closed again: it was opened without what a project wakes in memory.
    async fn start_fork(
        &self,
        id: &ProjectId,
        of: &ForkOf,
        actor: &Actor,
        now: Time,
    ) -> Result<(), ProjectError> {
        let (source, repo) = (RepoName::Project(of.project.clone()), RepoName::Project(id.clone()));
        let run = of.run;
        let inherited = self.state.read_at(&source, of.commit, move |at| inherited(at, run)).await?;
        // What an attempt left that was cut off is nobody's: the name is in no registry.
        if self.state.exists(&repo) {
            self.state.remove(&repo).await?;
        }
        self.state.fork(&source, of.commit, &repo).await?;
        let edits = first_edits(id, of, inherited, &IdMaker::new(), now);
        let change = Change {
            branch: STATE_REF.into(),
            subject: format!("project {id}: forked from {} at {}", of.project, of.commit),
            event: "project.forked",
            actor: actor.clone(),
            request: None,
            edits,
        };
        let decide = |_: &mut View<'_>| -> Result<_, EngineError> { Ok(Decision::commit(change, ())) };
        let done = self.state.change(&repo, decide).await?;
        self.state.published(&repo, done.lsn).await?;
        for _ in 0..CLOSE_TRIES_MAX {
            self.state.let_go(&repo);
            if !self.state.glance(&repo).is_open {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(ProjectError::ForkBusy(id.clone()))
    }
}

impl Projects {
    /// Has a fork's jobs handed out, or not any more, in the fork's own state. The registry comes behind it: what is cut off between
    /// the two is made good when the same is asked for again.
    pub(super) async fn set_run(&self, id: &ProjectId, run: bool, actor: &Actor) -> Result<(), ProjectError> {
        let repo = RepoName::Project(id.clone());
        for _ in 0..RUN_TRIES_MAX {
            let tip = self.state.read(&repo, |view| view.tip()).await?;
            let own = id.clone();
            let known = self.state.read_at(&repo, tip, move |at| resting(at, &own, run)).await?;
            let count = known.inherited.len();
            let edits = run_edits(id, run, known, &IdMaker::new(), self.clock.now());
            if edits.is_empty() {
                return Ok(());
            }
            let change = run_change(id, run, count, actor.clone(), edits);
            let decide = |view: &mut View<'_>| -> Result<_, EngineError> {
                let is_same = view.tip() == tip;
                Ok(if is_same { Decision::commit(change, true) } else { Decision::nothing(false) })
            };
            if self.state.change(&repo, decide).await?.answer {
                return Ok(());
            }
        }
        Err(ProjectError::ForkChanges(id.clone()))
    }
}

fn run_change(id: &ProjectId, run: bool, jobs: usize, actor: Actor, edits: Vec<Edit>) -> Change {
    let (what, event) = match run {
        true => (format!("begins to run, with {jobs} jobs of its source"), "project.started"),
        false => ("rests".to_owned(), "project.rested"),
    };
    Change {
        branch: STATE_REF.into(),
        subject: format!("project {id}: {what}"),
        event,
        actor,
        request: None,
        edits,
    }
}

fn resting(at: &Snapshot, id: &ProjectId, run: bool) -> Result<Resting, ProjectError> {
    let file = at.entity::<ProjectFile>(layout::PROJECT_FILE).map_err(EngineError::from)?;
    let file = file.transpose()?.ok_or_else(|| ProjectError::NoFork(id.clone()))?;
    let is_inherited =
        |path: &str| layout::stem(path).parse::<JobId>().is_ok_and(|job| job.tag() != id.tag());
    let inherited = if run { open_jobs(at, is_inherited)? } else { Vec::new() };
    Ok(Resting { file, inherited })
}

/// `mrx-hello-fork-3f9a1c`: short names of long projects are cut.
fn named_after(source: &ProjectId) -> Result<ProjectId, ProjectError> {
    /// Room for `-fork-` and six digits in the 63 characters of a name.
    const KEPT_CHARS: usize = 51;
    let kept: String = source.as_str().chars().take(KEPT_CHARS).collect();
    let name = format!("{}-fork-{:06x}", kept.trim_end_matches('-'), random_u64() & 0xff_ffff);
    name.parse().map_err(|_| ProjectError::Unknown(source.clone()))
}

fn entry(source: &Project, id: ProjectId, of: ForkOf, owner: Option<Member>, now: Time) -> Project {
    Project {
        project_id: id,
        title: source.title.as_ref().map(|title| format!("{title} (fork)")),
        members: owner.into_iter().collect(),
        // The forge's number of the repository is the source's: a hint about it is not about the fork.
        forge: ForgeEntry { repository_id: None, ..source.forge.clone() },
        fork_of: Some(of),
        // A rehearsal must not be pushed to where the state is.
        remote: None,
        created_at: now,
        updated_at: now,
        ..source.clone()
    }
}

fn inherited(at: &Snapshot, run: bool) -> Result<Inherited, ProjectError> {
    let mut withheld = Vec::new();
    for folder in [layout::SECRETS, layout::WEBHOOKS] {
        at.walk(folder, &mut |path, _| {
            withheld.push(path.to_owned());
            Ok(())
        })
        .map_err(EngineError::from)?;
    }
    let schedules = at.entities(layout::SCHEDULES, FILES_READ_MAX).map_err(EngineError::from)?;
    let schedules = schedules.into_iter().flatten().collect();
    let jobs = if run { open_jobs(at, |_| true)? } else { Vec::new() };
    Ok(Inherited { withheld, schedules, jobs })
}

fn open_jobs(at: &Snapshot, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Job>, ProjectError> {
    let mut paths = Vec::new();
    at.walk(layout::OPEN_JOBS, &mut |path, _| {
        paths.extend(is_wanted(path).then(|| path.to_owned()));
        Ok(())
    })
    .map_err(EngineError::from)?;
    if paths.len() > RUN_JOBS_MAX {
        return Err(ProjectError::ForkTooLarge { jobs: paths.len() });
    }
    let mut jobs = Vec::new();
    for path in paths {
        // A file that is no job stays as it is, and is in quarantine there as here.
        jobs.extend(at.entity(&path).map_err(EngineError::from)?.and_then(Result::ok));
    }
    Ok(jobs)
}
