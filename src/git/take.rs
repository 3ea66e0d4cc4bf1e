//! Takes over into the state what was committed elsewhere: as it is, followed by what the daemon makes of it.

use std::sync::Arc;

use super::judge::{self, By, Judge};
use super::pushed::{Line, PushedCommit};
use super::refusal::Refusal;
use super::since::Before;
use super::times;
use crate::app::App;
use crate::entity::Facts;
use crate::id::ProjectId;
use crate::identity::Principal;
use crate::project::Project;
use crate::state::edit::{Foreign, Step};
use crate::state::layout::{RepoName, STATE_REF};
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

/// What came of commits that were taken over.
#[derive(Debug)]
pub struct Taken {
    /// The first lines of the daemon's commits behind them.
    pub lines: Vec<String>,
    /// Why they were made anew, if they were.
    pub made_anew: Option<Anew>,
}

/// Why pushed commits are not taken as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// The branch has gone on from the commit that they were made on.
    OnNewer,
    /// Their times do not fit between that commit's and now.
    ForTimes,
}

/// Takes over commits in the rights of `who`: as they are where the branch still stands where they do, made anew where it has gone on
/// and nobody has touched what they touch. `who` is asked by the writer, when it decides: whoever was shut out before that is refused.
pub async fn take(
    app: &App,
    who: impl FnOnce() -> Option<Principal>,
    project: &ProjectId,
    pushed: Line,
) -> Result<Done<Taken>, NotTaken> {
    let pushed = checked(app, project, pushed).await?;
    let may_stand = times::may_stand(pushed.base_time, &pushed.commits, app.clock.now())?;
    let name = RepoName::Project(project.clone());
    let before = Before::read(&app.state, &name, &pushed).await?;
    let judged = |view: &mut View<'_>| {
        let (by, known) = (who().ok_or_else(shut_out)?, in_use(app, project)?);
        judged(app, &by, &known, &before, Pushed { line: pushed, may_stand }, view)
    };
    app.state.change(&name, judged).await
}

/// What is to be taken over, and whether its times may stand in history.
struct Pushed {
    line: Line,
    may_stand: bool,
}

fn shut_out() -> Refusal {
    Refusal::push("the credential is not good any more: it was revoked or has ended since the push began")
        .remedy("push again with one that is")
}

fn in_use(app: &App, project: &ProjectId) -> Result<Arc<Project>, Refusal> {
    let known = app.projects.registry().find(project).ok_or_else(|| Refusal::push("the project is gone"))?;
    match known.trashed_at {
        None => Ok(known),
        Some(_) => Err(Refusal::push("the project is in the trash")
            .remedy(format!("POST /projects/{project}/restore brings it back"))),
    }
}

/// The commits, if each of their files is what its path says. Nobody waits for this: the writer has no part in it.
async fn checked(app: &App, project: &ProjectId, pushed: Line) -> Result<Line, NotTaken> {
    let (project, now, allow_private_webhooks) =
        (project.clone(), app.clock.now(), app.webhooks.allow_private());
    let check = move || {
        let facts = Facts { project: &project, now, tip: pushed.base, allow_private_webhooks };
        judge::check_files(&facts, &pushed.commits).map(|()| pushed)
    };
    Ok(tokio::task::spawn_blocking(check).await.map_err(|_| EngineError::Unknown)??)
}

/// The commits, and behind them the daemon's. What they ask for is judged by the state as it is now.
fn judged(
    app: &App,
    by: &Principal,
    known: &Project,
    before: &Before,
    Pushed { line: pushed, may_stand }: Pushed,
    view: &mut View<'_>,
) -> Result<Decision<Taken>, NotTaken> {
    let project = &known.project_id;
    let right = by
        .right_in(project, &known.members)
        .ok_or_else(|| Refusal::push("you may not read this project any more"))?;
    let tip = view.tip();
    let made_anew = match (tip == pushed.base, may_stand) {
        (false, _) => Some(Anew::OnNewer),
        (true, false) => Some(Anew::ForTimes),
        (true, true) => None,
    };
    if made_anew.is_some() {
        before.is_untouched(view)?;
    }
    let now = app.clock.now();
    let facts = Facts { project, now, tip, allow_private_webhooks: app.webhooks.allow_private() };
    let by = match by {
        Principal::Agent(caller) => By::Agent { caller, lease: app.jobs.new_lease(now) },
        Principal::Operator | Principal::Person(_) => By::Other(by.actor()),
    };
    let judge = Judge { by, right, project: known, facts };
    let changes = judge.judge(view, &pushed.commits)?;
    if made_anew.is_some() {
        before.can_be_replayed()?;
    }
    let lines = changes.iter().map(|change| change.subject.clone()).collect();
    let own = changes.into_iter().map(Step::Own);
    let steps =
        pushed.commits.into_iter().map(|commit| foreign(commit, made_anew.is_some())).chain(own).collect();
    Ok(Decision { steps, answer: Taken { lines, made_anew } })
}

/// As a step of the decision.
fn foreign(pushed: PushedCommit, is_replayed: bool) -> Step {
    let edits = pushed.edits();
    Step::Foreign(Foreign {
        branch: STATE_REF.into(),
        commit: pushed.commit,
        text: pushed.text,
        is_replayed,
        subject: pushed.subject,
        author: pushed.author,
        edits,
    })
}
