//! Who may work in a project: given and taken as commits of the registry, where a push to the project's own state cannot reach.

use std::sync::Arc;

use super::projects::{ProjectError, Projects, registry_change};
use super::types::Project;
use crate::id::{ProjectId, UserName};
use crate::identity::Member;
use crate::state::edit::Actor;
use crate::state::layout::RepoName;
use crate::state::repo::{Decision, View};
use crate::state::store::Done;

/// Members of one project: its file stays small, and a team is smaller.
pub(super) const MEMBERS_MAX: usize = 500;

impl Projects {
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
            let change = registry_change(project.clone(), &what, "project.membersChanged", actor);
            Ok(Decision::commit(change, project))
        };
        self.state.change(&RepoName::Platform, decide).await
    }
}
