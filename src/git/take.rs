//! Takes over into the state what was committed elsewhere: as it is, followed by what the daemon makes of it.

use super::judge::{self, By, Judge};
use super::pushed::{FileChange, PushedCommit, not_forward};
use super::refusal::Refusal;
use crate::app::App;
use crate::entity::Facts;
use crate::id::ProjectId;
use crate::identity::Principal;
use crate::state::edit::{Edit, Foreign, Step};
use crate::state::layout::{RepoName, STATE_REF};
use crate::state::oid::Oid;
use crate::state::repo::{Decision, View};
use crate::state::store::{Done, EngineError};

/// Why commits are not taken over.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// They ask for what their author may not have, or are no commits of a state.
    #[error("{0}")]
    Refused(Refusal),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(EngineError),
}

impl From<EngineError> for NotTaken {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Takes over commits that stand on `tip`, in the rights of `by`; tells the first lines of the daemon's commits behind them.
pub async fn take(
    app: &App,
    by: &Principal,
    project: &ProjectId,
    tip: Oid,
    commits: Vec<PushedCommit>,
) -> Result<Done<Vec<String>>, NotTaken> {
    let commits = checked(app, project, tip, commits).await?;
    let name = RepoName::Project(project.clone());
    app.state.change(&name, |view| judged(app, by, project, tip, commits, view)).await
}

/// The commits, if each of their files is what its path says. Nobody waits for this: the writer has no part in it.
async fn checked(
    app: &App,
    project: &ProjectId,
    tip: Oid,
    commits: Vec<PushedCommit>,
) -> Result<Vec<PushedCommit>, NotTaken> {
    let (project, now, allow_private_webhooks) =
        (project.clone(), app.clock.now(), app.webhooks.allow_private());
    let check = move || {
        let facts = Facts { project: &project, now, tip, allow_private_webhooks };
        judge::check_files(&facts, &commits).map(|()| commits)
    };
    Ok(tokio::task::spawn_blocking(check).await.map_err(|_| EngineError::Unknown)??)
}

/// The commits as they were pushed, and behind them the daemon's, if the branch still stands where the pusher saw it.
fn judged(
    app: &App,
    by: &Principal,
    project: &ProjectId,
    tip: Oid,
    pushed: Vec<PushedCommit>,
    view: &mut View<'_>,
) -> Result<Decision<Vec<String>>, NotTaken> {
    if view.tip() != tip {
        return Err(not_forward().into());
    }
    let known = app.projects.registry().find(project).ok_or_else(|| Refusal::push("the project is gone"))?;
    let right = by
        .right_in(project, &known.members)
        .ok_or_else(|| Refusal::push("you may not read this project any more"))?;
    let now = app.clock.now();
    let facts = Facts { project, now, tip, allow_private_webhooks: app.webhooks.allow_private() };
    let by = match by {
        Principal::Agent(caller) => By::Agent { caller, lease: app.jobs.new_lease(now) },
        Principal::Operator | Principal::Person(_) => By::Other(by.actor()),
    };
    let judge = Judge { by, right, project: &known, facts };
    let changes = judge.judge(view, &pushed)?;
    let lines = changes.iter().map(|change| change.subject.clone()).collect();
    let own = changes.into_iter().map(Step::Own);
    Ok(Decision { steps: pushed.into_iter().map(foreign).chain(own).collect(), answer: lines })
}

/// As a step of the decision.
fn foreign(pushed: PushedCommit) -> Step {
    let edit = |(path, change): (String, FileChange)| match change.new {
        Some(bytes) => Edit::write(path, bytes),
        None => Edit::remove(path),
    };
    Step::Foreign(Foreign {
        branch: STATE_REF.into(),
        commit: pushed.commit,
        text: pushed.text,
        subject: pushed.subject,
        author: pushed.author,
        edits: pushed.files.into_iter().map(edit).collect(),
    })
}
