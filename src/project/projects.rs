//! Every change of projects: what the forge shows becomes commits of the registry and state repositories.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::edit::ProjectEdit;
use super::forks::RUN_JOBS_MAX;
use super::listing::{self, Step};
use super::members::MEMBERS_MAX;
use super::registry::Registry;
use super::types::{Project, ProjectFile, ProjectState};
use crate::clock::{Clock, Time};
use crate::forge::{Code, ForgeKind};
use crate::id::ProjectId;
use crate::identity::Member;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::store::{Done, EngineError, State};
use crate::state::template;
use crate::state::yaml::BadFile;

/// Why a project was not found or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is no such project.
    #[error("there is no project {0}; its repository must be one of the forge's, with the configured prefix")]
    Unknown(ProjectId),
    /// It has as many members as it may.
    #[error("a project has at most {MEMBERS_MAX} members")]
    TooManyMembers,
    /// There is one of this name already.
    #[error("there is a project {0} already")]
    Exists(ProjectId),
    /// It is in the trash.
    #[error("the project {id} is in the trash since {since}; POST /projects/{id}/restore brings it back")]
    Trashed {
        /// The project.
        id: ProjectId,
        /// Since when.
        since: Time,
    },
    /// A fork that runs would have too many jobs.
    #[error(
        "the state has {jobs} open jobs, and a fork that runs begins with at most {RUN_JOBS_MAX}; fork it without run, or another commit"
    )]
    ForkTooLarge {
        /// How many.
        jobs: usize,
    },
    /// The fork's repository could not be closed after its first commit.
    #[error("the fork {0} was not registered, because its repository is in use; ask again")]
    ForkBusy(ProjectId),
    /// The fork changes whenever it is looked at, and so was neither started nor laid to rest.
    #[error("the state of the fork {0} changes all the time; ask again")]
    ForkChanges(ProjectId),
    /// Only forks rest.
    #[error("the project {0} is no fork, and its jobs are always handed out; run is for forks")]
    NoFork(ProjectId),
    /// It is not in the trash.
    #[error("the project {0} is not in the trash")]
    NotTrashed(ProjectId),
    /// The caller knows another version of the project than there is.
    #[error("the project has changed: its version is {found}")]
    Changed {
        /// The version now.
        found: String,
    },
    /// The file in the project's state is none.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The projects. A clone is the same.
#[derive(Clone)]
pub struct Projects {
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) registry: Registry,
    /// Held while a project is made or removed, so that no removal meets a new project of the same name.
    pub(super) making: Arc<tokio::sync::Mutex<()>>,
}

impl Projects {
    /// Over this state; `registry` is filled by its projection.
    pub fn new(state: State, clock: Clock, registry: Registry) -> Self {
        Self { state, clock, registry, making: Arc::default() }
    }

    /// The projects in memory.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The project with this name.
    pub fn get(&self, id: &ProjectId) -> Result<Arc<Project>, ProjectError> {
        self.registry.find(id).ok_or_else(|| ProjectError::Unknown(id.clone()))
    }

    /// Makes the platform's repository, unless it is there.
    pub async fn create_platform(&self) -> Result<(), EngineError> {
        let first = change("platform: created", "platform.created", template::platform_edits());
        self.state.create(&RepoName::Platform, first).await.map(|_| ())
    }

    /// Takes in what the forge shows: new projects and changed ones. If the listing is whole, what `is_gone` is marked as
    /// missing; nothing is concluded from a listing that is not.
    pub async fn sync(
        &self,
        kind: ForgeKind,
        found: &[Code],
        is_gone: &BTreeSet<ProjectId>,
    ) -> Result<(), ProjectError> {
        let (known, removed) = (self.registry.all(), self.registry.removed());
        for (id, code) in listing::assign(kind, &known, &removed, found) {
            self.take_in(kind, &id, code).await?;
        }
        for id in is_gone {
            self.commit_step(id, Actor::daemon(), |known, now| listing::miss(known?, now)).await?;
        }
        Ok(())
    }

    /// The projects of this forge that a whole listing lacks.
    pub fn lacking(&self, kind: ForgeKind, found: &[Code]) -> Vec<Arc<Project>> {
        let numbers: HashSet<u64> = found.iter().filter_map(|code| code.repository_id).collect();
        let names: HashSet<&ProjectId> = found.iter().map(|code| &code.name).collect();
        let is_found = |project: &Project| match project.forge.repository_id {
            Some(number) => numbers.contains(&number),
            None => names.contains(&project.project_id),
        };
        let mut lacking = self.registry.all();
        lacking.retain(|project| {
            // A fork's code is its source's, so the forge has nothing of its name.
            let is_own = project.forge.kind == kind && project.fork_of.is_none();
            is_own && project.state == ProjectState::Active && !is_found(project)
        });
        lacking
    }

    /// Makes a repository that was created since `begun` a project; also one that was removed before. Who made it is its owner,
    /// also if a look at the forge found it first.
    pub async fn register(
        &self,
        kind: ForgeKind,
        code: &Code,
        begun: Time,
        owner: Option<Member>,
        actor: Actor,
    ) -> Result<Done<Arc<Project>>, ProjectError> {
        let _alone = self.making.lock().await;
        if let Some(known) = self.found_since(begun, code) {
            return self.give(&known, owner, actor).await;
        }
        let removed: Vec<_> =
            self.registry.removed().into_iter().filter(|removed| !listing::is_of(removed, code)).collect();
        let assigned = listing::assign(kind, &self.registry.all(), &removed, std::slice::from_ref(code));
        let Some((id, _)) = assigned.into_iter().next() else {
            return Err(ProjectError::Exists(code.name.clone()));
        };
        if self.registry.find(&id).is_some() {
            return Err(ProjectError::Exists(id));
        }
        self.finish_removal(&id).await?;
        if !self.state.exists(&RepoName::Project(id.clone())) {
            self.create_state(&id).await?;
        }
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<_, ProjectError> {
            let step = listing::take_in(kind, &id, code, self.registry.find(&id).as_deref(), now);
            let Some(step) = step.filter(|step| step.event == "project.found") else {
                return Err(ProjectError::Exists(id.clone()));
            };
            let project = Arc::new(Project { members: owner.into_iter().collect(), ..step.project });
            let mut change =
                registry_change(project.clone(), &format!("made for {}", code.url), "project.found", actor);
            change.edits.extend(self.registry.find_removed(&id).map(|_| Edit::remove(layout::removed(&id))));
            Ok(Decision::commit(change, project))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// The project of this repository, if a look at the forge has found it since, and so it is nobody's yet.
    fn found_since(&self, begun: Time, code: &Code) -> Option<Arc<Project>> {
        let mut all = self.registry.all().into_iter();
        all.find(|known| known.repo == code.url && known.created_at >= begun && known.members.is_empty())
    }

    /// Makes somebody the owner of a project that has none.
    async fn give(
        &self,
        project: &Project,
        owner: Option<Member>,
        actor: Actor,
    ) -> Result<Done<Arc<Project>>, ProjectError> {
        let (id, now) = (project.project_id.clone(), self.clock.now());
        let decide = |_: &mut View<'_>| -> Result<_, ProjectError> {
            let known = self.registry.find(&id).ok_or_else(|| ProjectError::Unknown(id.clone()))?;
            let Some(owner) = owner.filter(|_| known.members.is_empty()) else {
                return Ok(Decision::nothing(known));
            };
            let next = Arc::new(Project { members: vec![owner], updated_at: now, ..Project::clone(&known) });
            let what = format!("made by {}", actor.name);
            Ok(Decision::commit(registry_change(next.clone(), &what, "project.membersChanged", actor), next))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Changes what people say of a project; `only_if` is the version that the caller knows.
    pub async fn edit(
        &self,
        id: &ProjectId,
        edit: &ProjectEdit,
        only_if: Option<&str>,
        actor: Actor,
    ) -> Result<Done<Arc<Project>>, ProjectError> {
        if let Some(run) = edit.run() {
            let known = self.editable(id, only_if)?;
            known.fork_of.as_ref().ok_or_else(|| ProjectError::NoFork(id.clone()))?;
            self.set_run(id, run, &actor).await?;
        }
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<_, ProjectError> {
            let known = self.editable(id, only_if)?;
            let mut next = edit.applied_to(&known);
            if next == *known {
                return Ok(Decision::nothing(known));
            }
            next.updated_at = now;
            let next = Arc::new(next);
            Ok(Decision::commit(registry_change(next.clone(), "edited", "project.edited", actor), next))
        };
        let done = self.state.change(&RepoName::Platform, decide).await?;
        if edit.run() == Some(true) {
            // Its jobs are in the queue once its repository is read.
            self.state.read(&RepoName::Project(id.clone()), |_| ()).await?;
        }
        Ok(done)
    }

    /// The project, if it may be edited by who knows this version of it.
    fn editable(&self, id: &ProjectId, only_if: Option<&str>) -> Result<Arc<Project>, ProjectError> {
        let known = self.get(id)?;
        if let Some(since) = known.trashed_at {
            return Err(ProjectError::Trashed { id: id.clone(), since });
        }
        check_version(&known, only_if)?;
        Ok(known)
    }

    /// The state repository comes first, so a project in the registry always has one.
    async fn take_in(&self, kind: ForgeKind, id: &ProjectId, code: &Code) -> Result<(), ProjectError> {
        let step = |known: Option<&Project>, now| listing::take_in(kind, id, code, known, now);
        if step(self.registry.find(id).as_deref(), self.clock.now()).is_none() {
            return Ok(());
        }
        if !self.state.exists(&RepoName::Project(id.clone())) || self.registry.find(id).is_none() {
            self.create_state(id).await?;
        }
        self.commit_step(id, Actor::daemon(), step).await
    }

    /// Decides on the entry as it is now, and commits what came of it.
    async fn commit_step(
        &self,
        id: &ProjectId,
        actor: Actor,
        step: impl Fn(Option<&Project>, Time) -> Option<Step>,
    ) -> Result<(), ProjectError> {
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<Decision<()>, EngineError> {
            let Some(step) = step(self.registry.find(id).as_deref(), now) else {
                return Ok(Decision::nothing(()));
            };
            let change = registry_change(Arc::new(step.project), &step.what, step.event, actor);
            Ok(Decision::commit(change, ()))
        };
        self.state.change(&RepoName::Platform, decide).await?;
        Ok(())
    }

    async fn create_state(&self, id: &ProjectId) -> Result<(), EngineError> {
        let file = ProjectFile { project_id: id.clone(), created_at: self.clock.now(), fork_of: None };
        let mut edits = template::edits();
        edits.push(Edit::put(layout::PROJECT_FILE, Arc::new(file)));
        let first = change(&format!("project {id}: created"), "project.created", edits);
        self.state.create(&RepoName::Project(id.clone()), first).await.map(|_| ())
    }
}

pub(super) fn check_version(known: &Project, only_if: Option<&str>) -> Result<(), ProjectError> {
    let found = known.version();
    match only_if {
        Some(wanted) if wanted != found => Err(ProjectError::Changed { found }),
        _ => Ok(()),
    }
}

pub(super) fn registry_change(
    project: Arc<Project>,
    what: &str,
    event: &'static str,
    actor: Actor,
) -> Change {
    let subject = format!("project {}: {what}", project.project_id);
    let path = layout::project(&project.project_id);
    Change { actor, ..change(&subject, event, vec![Edit::put(path, project)]) }
}

pub(super) fn change(subject: &str, event: &'static str, edits: Vec<Edit>) -> Change {
    Change {
        branch: STATE_REF.into(),
        subject: subject.to_owned(),
        event,
        actor: Actor::daemon(),
        request: None,
        edits,
    }
}
