//! Branches that somebody moved inside their repository, behind the daemon's back: taken over if they could have been pushed by
//! the operator, whose files they are; put aside under `refs/rejected/` otherwise.

use std::path::PathBuf;

use super::pushed::{Line, Reader};
use super::refusal::Refusal;
use super::take::{NotTaken, take};
use crate::app::App;
use crate::identity::Principal;
use crate::state::oid::Oid;
use crate::state::store::{EngineError, Stray};

/// Looks at every branch in memory once; tells how many had been moved.
pub async fn round(app: &App) -> Result<usize, EngineError> {
    let state = app.state.clone();
    let strays =
        tokio::task::spawn_blocking(move || state.strays()).await.map_err(|_| EngineError::Unknown)?;
    for stray in &strays {
        settle(app, stray).await?;
    }
    Ok(strays.len())
}

/// Puts the branch back first, so that whatever happens it is where it belongs and nothing of the other side is lost.
async fn settle(app: &App, stray: &Stray) -> Result<(), EngineError> {
    let (state, moved) = (app.state.clone(), stray.clone());
    let aside = tokio::task::spawn_blocking(move || state.put_stray_aside(&moved)).await;
    let kept = aside.map_err(|_| EngineError::Unknown)??;
    match take_over(app, stray).await {
        Ok(lines) => {
            tracing::warn!(repo = %stray.name, ?lines, "commits that were made inside the repository were taken over as a push");
            app.state.forget_kept(&stray.name, &kept)
        }
        Err(NotTaken::Refused(refusal)) => {
            tracing::error!(repo = %stray.name, kept_as = %kept, %refusal, "commits that were made inside the repository are not taken over");
            Ok(())
        }
        Err(NotTaken::Engine(error)) => Err(error),
    }
}

async fn take_over(app: &App, stray: &Stray) -> Result<Vec<String>, NotTaken> {
    let Some(project) = stray.name.project() else {
        return Err(Refusal::push("the platform's own state is changed over the HTTP API alone").into());
    };
    let (repo, tip, found) = (app.state.folder().repo(&stray.name), stray.tip, stray.found);
    let ended = app.state.ended_epochs(&stray.name, tip).await?;
    let read = tokio::task::spawn_blocking(move || read(repo, ended, tip, found)).await;
    let pushed = read.map_err(|_| EngineError::Unknown)??;
    Ok(take(app, || Some(Principal::Operator), project, pushed).await?.answer.lines)
}

fn read(repo: PathBuf, ended: Vec<Oid>, tip: Oid, found: Oid) -> Result<Line, Refusal> {
    Reader::of(&repo)?.with_ended(ended).line(tip, tip, found)
}
