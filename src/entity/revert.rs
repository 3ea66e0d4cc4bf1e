//! Puts one thing back to what it was at a commit, as a new commit. What its kind makes of it is decided by [`mod@super::repair`].

use super::files::{Files, files_of};
use super::{Facts, Name, Refusal, repair};
use crate::app::App;
use crate::artifact::store::{InUse, StoreError};
use crate::artifact::types::Artifact;
use crate::chat::rules::check_whole;
use crate::chat::types::{Chat, Segment};
use crate::clock::Time;
use crate::id::ProjectId;
use crate::job::{JobError, new};
use crate::project::ProjectError;
use crate::schedule::schedules::SCHEDULES_MAX;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::history::{Content, FileChange};
use crate::state::layout::{self, RepoName, STATE_REF};
use crate::state::oid::Oid;
use crate::state::repo::{Decision, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::{Done, EngineError};
use crate::state::tree::LoadError;
use crate::state::yaml;

/// Why a thing was not put back.
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    /// It was not there then.
    #[error("{name} was not there at {commit}; to remove it, DELETE it")]
    NotThere {
        /// What.
        name: Name,
        /// When.
        commit: Oid,
    },
    /// Its kind does not allow it.
    #[error("{name} is not put back: {why}")]
    Refused {
        /// What.
        name: Name,
        /// Why.
        why: String,
    },
    /// The project is not there, or in the trash.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The project takes no jobs.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The store of artifacts was not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine did not make the change.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<LoadError> for RevertError {
    fn from(error: LoadError) -> Self {
        EngineError::from(error).into()
    }
}

/// What is to be put back.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Of which project.
    pub project: ProjectId,
    /// What.
    pub name: Name,
    /// To what it was at this commit of the project's state.
    pub to: Oid,
}

/// Puts it back; tells what changed, which is nothing if all was as it had been.
pub async fn revert(app: &App, wanted: &Wanted, actor: Actor) -> Result<Done<Vec<FileChange>>, RevertError> {
    let (then, _in_use) = then(app, wanted).await?;
    let now = app.clock.now();
    let decide = |view: &mut View<'_>| -> Result<_, RevertError> {
        let (edits, changes) = decided(app, wanted, &then, view, now)?;
        if changes.is_empty() {
            return Ok(Decision::nothing(changes));
        }
        let (name, to) = (&wanted.name, wanted.to);
        let change = Change {
            branch: STATE_REF.into(),
            subject: format!("{name}: put back to {to} by {}", actor.name),
            event: event(name),
            actor,
            request: None,
            edits,
        };
        Ok(Decision::commit(change, changes))
    };
    let done = app.state.change(&RepoName::Project(wanted.project.clone()), decide).await?;
    app.jobs.settle_some().await;
    Ok(done)
}

/// Tells what [`revert`] would change now.
pub async fn preview(app: &App, wanted: &Wanted) -> Result<Vec<FileChange>, RevertError> {
    let (then, _in_use) = then(app, wanted).await?;
    let now = app.clock.now();
    let decide = |view: &mut View<'_>| decided(app, wanted, &then, view, now).map(|(_, changes)| changes);
    app.state.read(&RepoName::Project(wanted.project.clone()), decide).await?
}

/// The files of the thing at that commit; an artifact's bytes stay while the second lives.
async fn then(app: &App, wanted: &Wanted) -> Result<(Files, Option<InUse>), RevertError> {
    let Wanted { project, name, to } = wanted.clone();
    let read = move |snapshot: &Snapshot| -> Result<Files, RevertError> {
        let mut from = snapshot;
        Ok(files_of(&name, &mut from)?)
    };
    let files = app.state.read_at(&RepoName::Project(project), to, read).await?;
    if files.is_empty() {
        return Err(RevertError::NotThere { name: wanted.name.clone(), commit: to });
    }
    let in_use = if let Name::Artifact(_) = wanted.name { held(app, wanted, &files).await? } else { None };
    Ok((files, in_use))
}

/// An entry whose bytes are gone would promise what is not there.
async fn held(app: &App, wanted: &Wanted, then: &Files) -> Result<Option<InUse>, RevertError> {
    let read =
        then.iter().next().and_then(|(path, file)| yaml::read::<Artifact>(path, "artifact", file).ok());
    let Some(entry) = read.filter(|entry| entry.drive_path.is_none()) else { return Ok(None) };
    match app.artifacts.store().hold(&entry.sha256).await? {
        Some(in_use) => Ok(Some(in_use)),
        None => {
            let why = format!(
                "its bytes, {} with SHA-256 {}, are gone; upload the file again",
                entry.name, entry.sha256
            );
            Err(RevertError::Refused { name: wanted.name.clone(), why })
        }
    }
}

/// The edits, and what they change, on the newest state.
fn decided(
    app: &App,
    wanted: &Wanted,
    then: &Files,
    view: &mut View<'_>,
    now: Time,
) -> Result<(Vec<Edit>, Vec<FileChange>), RevertError> {
    let Wanted { project, name, .. } = wanted;
    let entry = app.projects.get(project)?;
    if let Some(since) = entry.trashed_at {
        return Err(ProjectError::Trashed { id: project.clone(), since }.into());
    }
    if matches!(name, Name::Job(_)) {
        new::accepts(app.projects.registry(), project)?;
    }
    let known = files_of(name, view)?;
    if known == *then {
        return Ok((Vec::new(), Vec::new()));
    }
    if let (Name::Schedule(_), true) = (name, known.is_empty())
        && view.list(STATE_REF, layout::SCHEDULES)?.len() >= SCHEDULES_MAX
    {
        let why = format!("the project has {SCHEDULES_MAX} schedules, and has at most that many");
        return Err(RevertError::Refused { name: name.clone(), why });
    }
    let allow_private_webhooks = app.webhooks.allow_private();
    let facts = Facts { project, now, tip: view.tip(), allow_private_webhooks };
    let edits = edits(&facts, name, &known, then)
        .map_err(|refusal| RevertError::Refused { name: name.clone(), why: refusal.to_string() })?;
    let changes = changes(&known, &edits);
    Ok((edits, changes))
}

/// The edits that put a thing back whose files are `known` now.
fn edits(facts: &Facts<'_>, name: &Name, known: &Files, then: &Files) -> Result<Vec<Edit>, Refusal> {
    let mut edits = Vec::new();
    let is_job = matches!(name, Name::Job(_));
    for (path, new) in then {
        // A job has one file, wherever it stands.
        let old = if is_job { known.values().next() } else { known.get(path) };
        edits.extend(repair(facts, path, old.map(|bytes| &bytes[..]), Some(new))?);
    }
    for (path, old) in known.iter().filter(|(path, _)| !then.contains_key(*path)) {
        let is_edited = edits.iter().any(|edit: &Edit| edit.path() == path);
        match is_job {
            _ if is_edited => {}
            true => edits.push(Edit::remove(path.as_str())),
            false => edits.extend(repair(facts, path, Some(old), None)?),
        }
    }
    if let Name::Chat(_) = name {
        check_chat(then)?;
    }
    Ok(edits)
}

/// Files that are each as they must be can still be no chat together.
fn check_chat(files: &Files) -> Result<(), Refusal> {
    let (mut chat, mut segments) = (None, Vec::new());
    for (path, bytes) in files {
        match path.ends_with(layout::CHAT_FILE) {
            true => chat = Some((path, yaml::read::<Chat>(path, "chat", bytes)?)),
            false => segments.push(yaml::read::<Segment>(path, "chat segment", bytes)?),
        }
    }
    let Some((path, chat)) = chat else {
        let path = files.keys().next().cloned().unwrap_or_default();
        return Err(Refusal::Kept { path, why: "the chat's own file was not there then".to_owned() });
    };
    match check_whole(&chat, &segments) {
        Some(why) => Err(Refusal::Kept { path: path.clone(), why }),
        None => Ok(()),
    }
}

/// What the edits change, by path; an edit to what is there already is none.
fn changes(known: &Files, edits: &[Edit]) -> Vec<FileChange> {
    let change = |edit: &Edit| {
        let (old, new) = (known.get(edit.path()).cloned(), edit.bytes());
        let path = edit.path().to_owned();
        (old != new).then(|| FileChange { path, old: old.map(Content::Bytes), new: new.map(Content::Bytes) })
    };
    let mut changes: Vec<FileChange> = edits.iter().filter_map(change).collect();
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

fn event(name: &Name) -> &'static str {
    match name {
        Name::Job(_) => "job.reverted",
        Name::Chat(_) => "chat.reverted",
        Name::Prompt => "prompt.reverted",
        Name::Schedule(_) => "schedule.reverted",
        Name::Artifact(_) => "artifact.reverted",
        Name::Webhook(_) => "webhook.reverted",
        Name::Secret(_) => "secret.reverted",
        Name::Project => "project.reverted",
        Name::Code => "code.reverted",
    }
}
