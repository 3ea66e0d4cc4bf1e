//! Every change of projects: what the forge shows becomes commits of the registry and state repositories.

use std::sync::Arc;

use super::registry::Registry;
use super::types::{Project, ProjectFile, ProjectState};
use crate::clock::{Clock, Time};
use crate::forge::Code;
use crate::id::{ProjectId, UserName};
use crate::identity::Member;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::store::{Done, EngineError, State};
use crate::state::template;

/// Members of one project: its file stays small, and a team is smaller.
const MEMBERS_MAX: usize = 500;

/// Why a project was not found or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is no such project.
    #[error("there is no project {0}; its repository must be one of the forge's, with the configured prefix")]
    Unknown(ProjectId),
    /// It has as many members as it may.
    #[error("a project has at most {MEMBERS_MAX} members")]
    TooManyMembers,
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The projects. A clone is the same.
#[derive(Clone)]
pub struct Projects {
    state: State,
    clock: Clock,
    registry: Registry,
}

impl Projects {
    /// Over this state; `registry` is filled by its projection.
    pub fn new(state: State, clock: Clock, registry: Registry) -> Self {
        Self { state, clock, registry }
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

    /// Takes in what the forge shows: new projects, changed ones, and those it no longer has.
    pub async fn sync(&self, found: &[Code]) -> Result<(), ProjectError> {
        for code in found {
            self.take_in(code).await?;
        }
        for id in self.registry.names() {
            if !found.iter().any(|code| code.project == id) {
                self.mark(&id, ProjectState::Missing).await?;
            }
        }
        Ok(())
    }

    /// The state repository comes first, so a project in the registry always has one.
    async fn take_in(&self, code: &Code) -> Result<(), ProjectError> {
        let id = &code.project;
        if !self.state.exists(&RepoName::Project(id.clone())) || self.registry.find(id).is_none() {
            self.create_state(id).await?;
        }
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<Decision<()>, EngineError> {
            let known = self.registry.find(id);
            let project = project_of(code, known.as_deref(), now);
            let same = known.as_deref().is_some_and(|known| {
                (&known.repo, &known.default_branch, known.state)
                    == (&project.repo, &project.default_branch, project.state)
            });
            if same {
                return Ok(Decision::nothing(()));
            }
            let (what, event) =
                if known.is_some() { ("changed", "project.changed") } else { ("found", "project.found") };
            Ok(Decision::commit(registry_change(project, what, event), ()))
        };
        self.state.change(&RepoName::Platform, decide).await?;
        Ok(())
    }

    async fn create_state(&self, id: &ProjectId) -> Result<(), EngineError> {
        let file = ProjectFile { project_id: id.clone(), created_at: self.clock.now() };
        let mut edits = template::edits();
        edits.push(Edit::put(layout::PROJECT_FILE, Arc::new(file)));
        let first = change(&format!("project {id}: created"), "project.created", edits);
        self.state.create(&RepoName::Project(id.clone()), first).await.map(|_| ())
    }

    /// Gives somebody a right in the project; the first is its owner.
    pub async fn set_member(
        &self,
        id: &ProjectId,
        member: Member,
        actor: Actor,
    ) -> Result<Done<Arc<Project>>, ProjectError> {
        let what = format!("{} may {}", member.user, member.right);
        self.change_members(id, what, actor, |members| {
            match members.iter_mut().find(|known| known.user == member.user) {
                Some(known) => known.right = member.right,
                None => members.push(member),
            }
        })
        .await
    }

    /// Takes somebody's right in the project.
    pub async fn remove_member(
        &self,
        id: &ProjectId,
        user: &UserName,
        actor: Actor,
    ) -> Result<Done<Arc<Project>>, ProjectError> {
        let what = format!("{user} is no member any more");
        self.change_members(id, what, actor, |members| members.retain(|member| member.user != *user)).await
    }

    async fn change_members(
        &self,
        id: &ProjectId,
        what: String,
        actor: Actor,
        change: impl FnOnce(&mut Vec<Member>),
    ) -> Result<Done<Arc<Project>>, ProjectError> {
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<_, ProjectError> {
            let known = self.get(id)?;
            let mut project = (*known).clone();
            change(&mut project.members);
            if project.members == known.members {
                return Ok(Decision::nothing(known));
            }
            if project.members.len() > MEMBERS_MAX {
                return Err(ProjectError::TooManyMembers);
            }
            let project = Arc::new(Project { updated_at: now, ..project });
            let change =
                Change { actor, ..registry_change((*project).clone(), &what, "project.membersChanged") };
            Ok(Decision::commit(change, project))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    async fn mark(&self, id: &ProjectId, state: ProjectState) -> Result<(), ProjectError> {
        let now = self.clock.now();
        let decide = |_: &mut View<'_>| -> Result<Decision<()>, EngineError> {
            let Some(known) = self.registry.find(id).filter(|known| known.state != state) else {
                return Ok(Decision::nothing(()));
            };
            let project = Project { state, updated_at: now, ..(*known).clone() };
            Ok(Decision::commit(registry_change(project, "no longer on the forge", "project.missing"), ()))
        };
        self.state.change(&RepoName::Platform, decide).await?;
        Ok(())
    }
}

fn project_of(code: &Code, known: Option<&Project>, now: Time) -> Project {
    Project {
        project_id: code.project.clone(),
        repo: code.url.clone(),
        default_branch: code.default_branch.clone(),
        state: ProjectState::Active,
        members: known.map_or_else(Vec::new, |known| known.members.clone()),
        created_at: known.map_or(now, |known| known.created_at),
        updated_at: now,
    }
}

fn registry_change(project: Project, what: &str, event: &'static str) -> Change {
    let subject = format!("project {}: {what}", project.project_id);
    let path = layout::project(&project.project_id);
    change(&subject, event, vec![Edit::put(path, Arc::new(project))])
}

fn change(subject: &str, event: &'static str, edits: Vec<Edit>) -> Change {
    Change {
        branch: STATE_REF.into(),
        subject: subject.to_owned(),
        event,
        actor: Actor::daemon(),
        request: None,
        edits,
    }
}
