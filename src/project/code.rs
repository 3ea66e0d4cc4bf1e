//! What the forge tells of a project's code becomes a commit of the project's state: a push, a workflow's run.

use std::sync::Arc;

use super::projects::{ProjectError, Projects, change};
use super::types::{CodeFile, WorkflowRun};
use crate::forge::webhook::Run;
use crate::id::ProjectId;
use crate::state::edit::{Actor, Change, Edit, Entity};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::store::EngineError;
use crate::state::yaml;

/// How much of a commit's name a subject shows.
const COMMIT_SHOWN: usize = 10;

impl Projects {
    /// Records that a branch stands at a commit, if it is the default branch.
    pub async fn pushed(
        &self,
        id: &ProjectId,
        branch: &str,
        commit: &str,
        delivery: &str,
    ) -> Result<(), ProjectError> {
        if self.get(id)?.default_branch != branch {
            return Ok(());
        }
        let subject = format!("code: {branch} is at {}", &commit[..COMMIT_SHOWN.min(commit.len())]);
        let next = |known: &CodeFile| CodeFile {
            head: Some(commit.to_owned()),
            branch: Some(branch.to_owned()),
            ..known.clone()
        };
        self.record(id, &subject, "code.pushed", delivery, next).await
    }

    /// Records how far a workflow's run is, unless something later is known of it: deliveries overtake each other.
    pub async fn workflow_ran(&self, id: &ProjectId, run: Run, delivery: &str) -> Result<(), ProjectError> {
        self.get(id)?;
        let outcome = run.conclusion.as_ref().unwrap_or(&run.status);
        let subject = format!("workflow {} {}: {outcome}", run.name, run.id);
        let run = WorkflowRun {
            run_id: run.id,
            name: run.name,
            status: run.status,
            conclusion: run.conclusion,
            branch: run.branch,
            commit: run.commit,
            updated_at: run.updated_at,
        };
        let next = |known: &CodeFile| match &known.workflow_run {
            Some(last) if last.run_id == run.run_id && last.updated_at > run.updated_at => known.clone(),
            _ => CodeFile { workflow_run: Some(run.clone()), ..known.clone() },
        };
        self.record(id, &subject, "workflow.run", delivery, next).await
    }

    async fn record(
        &self,
        id: &ProjectId,
        subject: &str,
        event: &'static str,
        delivery: &str,
        next: impl Fn(&CodeFile) -> CodeFile,
    ) -> Result<(), ProjectError> {
        let actor = Actor { kind: "forge", name: "github".into() };
        let decide = |view: &mut View<'_>| -> Result<Decision<()>, ProjectError> {
            // Remembered in the commits, so a repeat after a restart has no effect either.
            if view.request(&actor.name, delivery).is_some() {
                return Ok(Decision::nothing(()));
            }
            let bytes = view.file(STATE_REF, layout::CODE_FILE).map_err(EngineError::from)?;
            let known: CodeFile = match bytes {
                Some(bytes) => yaml::read(layout::CODE_FILE, CodeFile::KIND, &bytes)?,
                None => CodeFile::default(),
            };
            let next = next(&known);
            if next == known {
                return Ok(Decision::nothing(()));
            }
            let edits = vec![Edit::put(layout::CODE_FILE, Arc::new(next))];
            let request = Some(delivery.to_owned());
            Ok(Decision::commit(Change { actor, request, ..change(subject, event, edits) }, ()))
        };
        self.state.change(&RepoName::Project(id.clone()), decide).await?;
        Ok(())
    }
}
