//! Whoever calls, and what they may do.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::rights::{Right, Role};
use super::types::{ApiKey, Member, User};
use crate::agent::Agent;
use crate::clock::Time;
use crate::id::{JobId, LeaseId, ProjectId, SessionId, UserName};
use crate::state::edit::Actor;

/// Who calls, as the credential tells.
#[derive(Clone, Debug)]
pub enum Principal {
    /// Whoever can read the operator's token in the data folder: an admin.
    Operator,
    /// A person.
    Person(Arc<Person>),
    /// An agent, by its key or by the token of one lease.
    Agent(Arc<AgentCaller>),
}

/// A person that calls.
#[derive(Debug)]
pub struct Person {
    /// The account.
    pub user: Arc<User>,
    /// By what.
    pub by: Credential,
}

/// How a person shows who they are.
#[derive(Debug)]
pub enum Credential {
    /// A session's token as a bearer.
    Session(SessionId),
    /// A session's token as a cookie.
    Cookie(SessionId),
    /// An API key.
    Key(Arc<ApiKey>),
    /// A token of another issuer.
    External {
        /// When it ends.
        until: Time,
    },
}

/// An agent that calls.
#[derive(Debug)]
pub struct AgentCaller {
    /// The agent.
    pub agent: Arc<Agent>,
    /// The projects it may see; all if absent.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// The one job and lease that its token is good for; its key is good for all.
    pub only: Option<(JobId, LeaseId)>,
}

impl Principal {
    /// As the author of a change.
    pub fn actor(&self) -> Actor {
        match self {
            Principal::Operator => Actor { kind: "operator", name: "operator".into() },
            Principal::Person(person) => Actor { kind: "user", name: person.user.name.as_str().into() },
            Principal::Agent(caller) => Actor { kind: "agent", name: caller.agent.agent_id.as_str().into() },
        }
    }

    /// What a person is on the platform; an API key leaves at most what its permission allows, and nothing of the
    /// platform if it is for one project.
    pub fn role(&self) -> Option<Role> {
        match self {
            Principal::Operator => Some(Role::Admin),
            Principal::Agent(_) => None,
            Principal::Person(person) => Some(match &person.by {
                Credential::Key(key) if key.project_id.is_some() => Role::Viewer,
                Credential::Key(key) => person.user.role.min(key.permission.highest_role()),
                Credential::Session(_) | Credential::Cookie(_) | Credential::External { .. } => {
                    person.user.role
                }
            }),
        }
    }

    /// What the caller may do in a project with these members. An agent reads the projects that it works for.
    pub fn right_in(&self, project: &ProjectId, members: &[Member]) -> Option<Right> {
        match self {
            Principal::Operator => Some(Right::Admin),
            Principal::Agent(caller) => caller
                .projects
                .as_ref()
                .is_none_or(|allowed| allowed.contains(project))
                .then_some(Right::Read),
            Principal::Person(person) => person.right_in(project, members),
        }
    }

    /// The account's name, of a person.
    pub fn user(&self) -> Option<&UserName> {
        match self {
            Principal::Person(person) => Some(&person.user.name),
            Principal::Operator | Principal::Agent(_) => None,
        }
    }

    /// The session, of a person who has one.
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Principal::Person(person) => match &person.by {
                Credential::Session(session) | Credential::Cookie(session) => Some(session),
                Credential::Key(_) | Credential::External { .. } => None,
            },
            Principal::Operator | Principal::Agent(_) => None,
        }
    }
}

impl Person {
    fn right_in(&self, project: &ProjectId, members: &[Member]) -> Option<Right> {
        let own = match self.user.role {
            Role::Admin => Right::Admin,
            role => {
                let member = members.iter().find(|member| member.user == self.user.name)?;
                member.right.min(role.highest_right())
            }
        };
        match &self.by {
            Credential::Key(key) if key.project_id.as_ref().is_some_and(|only| only != project) => None,
            Credential::Key(key) => Some(own.min(key.permission)),
            Credential::Session(_) | Credential::Cookie(_) | Credential::External { .. } => Some(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::token::Token;

    fn user(role: Role) -> Arc<User> {
        let at = Time::from_millis(0);
        let name = "ada".parse().unwrap();
        Arc::new(User {
            name,
            role,
            email: None,
            password_hash: None,
            external: None,
            created_at: at,
            updated_at: at,
            disabled_at: None,
        })
    }

    fn by_key(role: Role, permission: Right, project: Option<&str>) -> Principal {
        let key = ApiKey {
            key_id: crate::id::IdMaker::new().key(Time::from_millis(0)),
            name: "ci".to_owned(),
            owner: "ada".parse().unwrap(),
            project_id: project.map(|name| name.parse().unwrap()),
            permission,
            hash: Token::of("x").hash(),
            created_at: Time::from_millis(0),
            expires_at: None,
            last_used_at: None,
        };
        Principal::Person(Arc::new(Person { user: user(role), by: Credential::Key(Arc::new(key)) }))
    }

    fn by_password(role: Role) -> Principal {
        let session = crate::id::IdMaker::new().session(Time::from_millis(0));
        Principal::Person(Arc::new(Person { user: user(role), by: Credential::Session(session) }))
    }

    fn right(caller: &Principal, right: Option<Right>) -> Option<Right> {
        let members: Vec<Member> =
            right.map(|right| Member { user: "ada".parse().unwrap(), right }).into_iter().collect();
        caller.right_in(&"mrx-a".parse().unwrap(), &members)
    }

    #[test]
    fn a_membership_gives_a_right_and_a_viewer_only_ever_reads() {
        assert_eq!(right(&by_password(Role::Developer), None), None);
        assert_eq!(right(&by_password(Role::Developer), Some(Right::Write)), Some(Right::Write));
        assert_eq!(right(&by_password(Role::Viewer), Some(Right::Admin)), Some(Right::Read));
        assert_eq!(right(&by_password(Role::Admin), None), Some(Right::Admin));
    }

    #[test]
    fn a_key_never_gives_more_than_its_permission_its_project_and_its_owner_have() {
        let key = |permission, project| by_key(Role::Developer, permission, project);
        assert_eq!(right(&key(Right::Read, None), Some(Right::Admin)), Some(Right::Read));
        assert_eq!(right(&key(Right::Admin, None), Some(Right::Write)), Some(Right::Write));
        assert_eq!(right(&key(Right::Admin, Some("mrx-b")), Some(Right::Write)), None);
        assert_eq!(key(Right::Write, Some("mrx-a")).role(), Some(Role::Viewer));
        assert_eq!(by_key(Role::Admin, Right::Write, None).role(), Some(Role::Developer));
        assert_eq!(by_key(Role::Viewer, Right::Admin, None).role(), Some(Role::Viewer));
    }
}
