//! Runs `index-rebuild` jobs: every artifact's bytes are read and summed again, and the code's files are counted.
//!
//! The daemon does it itself, as the agent `daemon`, by the same calls of [`Jobs`](crate::job::Jobs) as any agent: the
//! bytes are here, so nothing travels, and claim, lease, cancel and end are the usual ones.

use std::future::ready;

use futures_util::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::files;
use crate::app::App;
use crate::artifact::store::StoreError;
use crate::artifact::{Artifact, ArtifactError};
use crate::id::{AgentId, LeaseId};
use crate::job::claim::Claim;
use crate::job::jobs::Told;
use crate::job::lifecycle::{Outcome, Report};
use crate::job::queue::Offer;
use crate::job::{Failure, Job, JobError, JobType};
use crate::state::object::Object;

/// The name under which the daemon claims these jobs.
const AGENT: &str = "daemon";
/// Artifacts of one page.
const PAGE: usize = 200;
/// Flagged artifacts that a result names; all are counted.
const NAMED_MAX: usize = 1_000;

/// What became of reading.
enum Ended {
    Done(Object),
    Cancelled,
}

/// Runs one waiting job of this type, if there is one; tells whether there was.
pub async fn run_one(app: &App) -> Result<bool, JobError> {
    let agent: AgentId = AGENT.parse().map_err(|_| JobError::Invalid(format!("{AGENT} is no name")))?;
    let types = Some([JobType::IndexRebuild].into());
    let offer = Offer { types, ..Offer::default() };
    let claim = Claim { agent, offer, request: None };
    let Some(done) = app.jobs.claim(claim, ready(())).await? else { return Ok(false) };
    let job = done.answer;
    let Some(lease) = job.lease.as_ref().map(|lease| lease.id.clone()) else { return Ok(false) };
    let running = Told { report: Report { running: true, ..Report::default() }, ..Told::default() };
    app.jobs.tell(&job.job_id, &lease, running).await?;
    let told = match read_anew(app, &job, &lease).await {
        Ok(Ended::Done(result)) => Told {
            report: Report { result: Some(result), ..Report::default() },
            outcome: Some(Outcome::Completed),
            ..Told::default()
        },
        Ok(Ended::Cancelled) => Told { outcome: Some(Outcome::Cancelled), ..Told::default() },
        Err(error) => Told { outcome: Some(Outcome::Failed(failure(&error))), ..Told::default() },
    };
    app.jobs.tell(&job.job_id, &lease, told).await?;
    Ok(true)
}

fn failure(error: &ArtifactError) -> Failure {
    let message = format!("the artifacts could not be read: {error}");
    Failure { code: "indexFailed".to_owned(), message, details: Object::default() }
}

async fn read_anew(app: &App, job: &Job, lease: &LeaseId) -> Result<Ended, ArtifactError> {
    let (mut checked, mut missing, mut corrupt) = (0u64, Vec::new(), Vec::new());
    let mut before = None;
    loop {
        let page = app.artifacts.page(&job.project_id, None, before.clone(), PAGE).await?;
        for artifact in &page {
            if app.jobs.get(&job.job_id).await?.cancel_requested {
                return Ok(Ended::Cancelled);
            }
            checked += 1;
            match sum_again(app, job, lease, artifact).await? {
                None => missing.push(artifact.artifact_id.to_string()),
                Some(sum) if sum != artifact.sha256 => corrupt.push(artifact.artifact_id.to_string()),
                Some(_) => {}
            }
        }
        before = page.last().map(|artifact| artifact.artifact_id.clone());
        if page.len() < PAGE {
            break;
        }
    }
    let counts = json!({ "checked": checked, "missing": missing.len(), "corrupt": corrupt.len() });
    for flagged in [&mut missing, &mut corrupt] {
        flagged.truncate(NAMED_MAX);
    }
    let files = code_files(app, job).await;
    let pairs =
        [("artifacts", counts), ("missing", json!(missing)), ("corrupt", json!(corrupt)), ("files", files)];
    Ok(Ended::Done(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

/// The sum of what the store has now; `None` if it has nothing. Each piece renews the lease: large files take long.
async fn sum_again(
    app: &App,
    job: &Job,
    lease: &LeaseId,
    artifact: &Artifact,
) -> Result<Option<String>, ArtifactError> {
    let mut bytes = match app.artifacts.store().get(&artifact.sha256, None).await {
        Ok(bytes) => bytes,
        Err(StoreError::Store(object_store::Error::NotFound { .. })) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut sum = Sha256::new();
    while let Some(piece) = bytes.next().await {
        sum.update(&piece.map_err(StoreError::from)?);
        app.jobs.leases().renew(&job.job_id, lease);
    }
    Ok(Some(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// The commit and the number of files of the default branch, or why there are none: that is no fault of the artifacts.
async fn code_files(app: &App, job: &Job) -> Value {
    let Some(project) = app.projects.registry().find(&job.project_id) else { return Value::Null };
    let read = move || files::page(&project.repo, &project.default_branch, None, 1);
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(page)) => json!({ "commit": page.commit, "count": page.count }),
        Ok(Err(error)) => json!({ "unavailable": error.to_string() }),
        Err(error) => json!({ "unavailable": error.to_string() }),
    }
}
