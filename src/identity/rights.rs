//! Which role on the platform and which right in a project is more than which.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a person is on the platform; a later one may do all that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads the projects it is a member of, and never more, whatever its membership says.
    Viewer,
    /// Makes projects, and does in projects what its memberships say.
    Developer,
    /// Does everything, in every project.
    Admin,
}

/// What a member may do in a project; a later one includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Sees everything but secrets.
    Read,
    /// Starts and stops jobs, writes in chats.
    Write,
    /// Changes settings, members and secrets.
    Admin,
}

impl Role {
    /// The most that a membership gives somebody of this role.
    pub fn highest_right(self) -> Right {
        match self {
            Role::Viewer => Right::Read,
            Role::Developer | Role::Admin => Right::Admin,
        }
    }
}

impl Right {
    /// The most that a key with this permission leaves of its owner's role.
    pub fn highest_role(self) -> Role {
        match self {
            Right::Read => Role::Viewer,
            Right::Write => Role::Developer,
            Right::Admin => Role::Admin,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Viewer => "viewer",
            Role::Developer => "developer",
            Role::Admin => "admin",
        })
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Right::Read => "read",
            Right::Write => "write",
            Right::Admin => "admin",
        })
    }
}
