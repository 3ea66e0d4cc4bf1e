//! Decides what a remote's own changes make of the state: merged with ours, judged like a push of somebody who may write, and
//! what is left over kept in a file. Reads no clock and no network.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::changes::{Changed, Theirs};
use super::chats::{self, Wrote};
use super::merge::{self, Clash, Sides};
use super::reading;
use super::types::{Conflict, ConflictFile, RemoteFile};
use crate::clock::Time;
use crate::entity::{Facts, Name};
use crate::git::judge::{By, Judge};
use crate::git::pushed::{FileChange, PushedCommit};
use crate::git::times::Times;
use crate::id::ChatId;
use crate::identity::Right;
use crate::project::Project;
use crate::state::edit::{Actor, Change, Edit, Step};
use crate::state::layout::place::Place;
use crate::state::layout::{self, CONFLICTS, REMOTE_FILE, STATE_REF};
use crate::state::repo::{Decision, View};
use crate::state::store::EngineError;

/// How much of a value a conflict file quotes; all of it is in the remote's history.
const QUOTE_BYTES_MAX: usize = 16 << 10;
/// How many conflicts have their values quoted, so that the file stays within its bound.
const QUOTED_MAX: usize = 20;

/// What a decision goes by.
pub struct BringIn<'a> {
    /// Whose state.
    pub project: &'a Project,
    /// The time.
    pub now: Time,
    /// Whether outbound webhooks may call every address.
    pub allow_private_webhooks: bool,
    /// The remote, as the author of what it brings: its host.
    pub actor: &'a Actor,
    /// Its branch.
    pub branch: &'a str,
    /// What it changed.
    pub theirs: &'a Theirs,
}

/// What was made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BroughtIn {
    /// Files of the remote that were taken up.
    pub files: usize,
    /// What could not be merged.
    pub conflicts: usize,
}

/// What was written in each chat, as it was read before.
type Written = BTreeMap<ChatId, Result<Option<Wrote>, String>>;

/// Files by what they are files of; what each holds from now on.
type Wanted = BTreeMap<Name, BTreeMap<String, FileChange>>;

impl BringIn<'_> {
    /// The commits: what the subjects decided, and one that says how far the remote is brought in.
    /// `wrote` is what was written in chats.
    pub fn decide(&self, wrote: Written, view: &mut View<'_>) -> Result<Decision<BroughtIn>, EngineError> {
        let mut conflicts = Vec::new();
        let mut edits = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        let (said, rest) = self.said(wrote, view, &mut changes, &mut conflicts);
        let wanted = self.merged(view, rest, &mut conflicts, &mut edits)?;
        let mut files_taken = said + edits.len();
        for (name, files) in wanted {
            let count = files.len();
            match self.judged(view, &name, files) {
                Ok(decided) if !overlap(&changes, &decided) => {
                    files_taken += count;
                    changes.extend(decided);
                }
                Ok(_) => {
                    conflicts.push(refused(&name, "another change of the remote touches the same files"))
                }
                Err(more) => conflicts.extend(more),
            }
        }
        let brought = BroughtIn { files: files_taken, conflicts: conflicts.len() };
        changes.push(self.record(view, conflicts, edits, brought));
        Ok(Decision { steps: changes.into_iter().map(Step::Own).collect(), answer: brought })
    }

    /// What was written in chats: tells how many files that is, and which others are left.
    fn said(
        &self,
        mut wrote: Written,
        view: &mut View<'_>,
        changes: &mut Vec<Change>,
        conflicts: &mut Vec<Conflict>,
    ) -> (usize, Vec<&Changed>) {
        let is_of_chat =
            |path: &str| matches!(Place::of(path), Some(Place::Chat(_) | Place::ChatSegment(..)));
        let mut rest: Vec<_> =
            self.theirs.changed.iter().filter(|changed| !is_of_chat(&changed.path)).collect();
        let mut files = 0;
        for (id, changed) in reading::by_chat(&self.theirs.changed) {
            let facts = self.facts(view);
            let wrote = wrote.remove(&id).unwrap_or(Ok(None));
            match chats::brought_in(view, &id, &changed, wrote, (&facts, self.actor)) {
                Ok(Some(made)) => {
                    files += changed.len();
                    changes.extend(made.changes);
                    let path = layout::chat(&id);
                    conflicts.extend(made.clashes.into_iter().map(|clash| clashed(&path, clash)));
                }
                Ok(None) => rest.extend(changed),
                Err(why) => conflicts.extend(changed.into_iter().map(|changed| {
                    let ours = view.file(STATE_REF, &changed.path).unwrap_or_default();
                    whole(changed, ours.as_deref(), &format!("chat {id}: {why}"))
                })),
            }
        }
        (files, rest)
    }

    fn facts(&self, view: &View<'_>) -> Facts<'_> {
        Facts {
            project: &self.project.project_id,
            now: self.now,
            tip: view.tip(),
            allow_private_webhooks: self.allow_private_webhooks,
        }
    }

    /// What each file becomes, by what it is a file of.
    fn merged(
        &self,
        view: &mut View<'_>,
        changed: Vec<&Changed>,
        conflicts: &mut Vec<Conflict>,
        edits: &mut Vec<Edit>,
    ) -> Result<Wanted, EngineError> {
        let mut wanted = Wanted::new();
        for changed in changed {
            let ours = view.file(STATE_REF, &changed.path)?;
            if changed.theirs == ours && changed.oddity.is_none() {
                continue;
            }
            if is_settled(changed) {
                edits.extend(ours.map(|_| Edit::remove(changed.path.as_str())));
                continue;
            }
            if changed.path == REMOTE_FILE {
                continue;
            }
            let Some(place) = Place::of(&changed.path).filter(|_| changed.oddity.is_none()) else {
                let why = changed.oddity.as_deref().unwrap_or("no file of a project's state has this path");
                conflicts.push(whole(changed, ours.as_deref(), why));
                continue;
            };
            let sides = Sides {
                base: changed.base.as_deref(),
                ours: ours.as_deref(),
                theirs: changed.theirs.as_deref(),
            };
            let merged = merge::file(sides);
            conflicts.extend(merged.clashes.into_iter().map(|clash| clashed(&changed.path, clash)));
            if let Some(file) = merged.file {
                let change = FileChange { old: None, new: file.map(Bytes::from) };
                wanted.entry(Name::of(&place)).or_default().insert(changed.path.clone(), change);
            }
        }
        Ok(wanted)
    }

    /// What the API's own decisions make of one thing's files; else what is to be kept of them.
    fn judged(
        &self,
        view: &mut View<'_>,
        name: &Name,
        files: BTreeMap<String, FileChange>,
    ) -> Result<Vec<Change>, Vec<Conflict>> {
        let facts = self.facts(view);
        // Who may merge there is for the host to say, so it counts as somebody who may write, and never as a manager.
        let by = By::Other(self.actor.clone());
        let judge = Judge { by, right: Right::Write, project: self.project, facts };
        let pushed = PushedCommit {
            commit: self.theirs.tip,
            text: Bytes::new(),
            subject: String::new(),
            author: self.actor.name.to_string(),
            times: Times { authored: self.now, committed: self.now },
            files,
        };
        judge.judge(view, std::slice::from_ref(&pushed)).map_err(|refusal| {
            let why = refusal.lines().join(" ");
            let theirs = |path: &&String| self.theirs.changed.iter().find(|changed| changed.path == **path);
            let kept = pushed.files.keys().filter_map(|path| theirs(&path)).map(|changed| {
                let ours = view.file(STATE_REF, &changed.path).unwrap_or_default();
                whole(changed, ours.as_deref(), &format!("{name}: {why}"))
            });
            kept.collect()
        })
    }

    fn record(
        &self,
        view: &View<'_>,
        mut conflicts: Vec<Conflict>,
        mut edits: Vec<Edit>,
        brought: BroughtIn,
    ) -> Change {
        let theirs = self.theirs.tip;
        let short = &theirs.to_string()[..10];
        edits.push(Edit::put(REMOTE_FILE, Arc::new(RemoteFile { merged: theirs, at: self.now })));
        let (event, what) = match brought.conflicts {
            0 => ("remote.merged", String::new()),
            count => ("remote.conflict", format!(", {count} conflicts")),
        };
        if !conflicts.is_empty() {
            for conflict in conflicts.iter_mut().skip(QUOTED_MAX) {
                (conflict.base, conflict.ours, conflict.theirs) = (None, None, None);
            }
            let branch = self.branch.to_owned();
            let file = ConflictFile { at: self.now, theirs, ours: view.tip(), branch, conflicts };
            edits.push(Edit::put(layout::conflict(self.now, &theirs.to_string()), Arc::new(file)));
        }
        Change {
            branch: STATE_REF.into(),
            subject: format!("remote {}: {} files merged from {short}{what}", self.branch, brought.files),
            event,
            actor: self.actor.clone(),
            request: None,
            edits,
        }
    }
}

/// Somebody has looked at a conflict and removed its file.
fn is_settled(changed: &Changed) -> bool {
    changed.theirs.is_none() && changed.path.strip_prefix(CONFLICTS).is_some_and(|rest| rest.starts_with('/'))
}

fn overlap(before: &[Change], more: &[Change]) -> bool {
    let paths: HashSet<&str> = before.iter().flat_map(|change| &change.edits).map(Edit::path).collect();
    more.iter().flat_map(|change| &change.edits).any(|edit| paths.contains(edit.path()))
}

fn refused(name: &Name, why: &str) -> Conflict {
    let path = name.to_string();
    Conflict { path, field: None, why: why.to_owned(), base: None, ours: None, theirs: None }
}

fn whole(changed: &Changed, ours: Option<&[u8]>, why: &str) -> Conflict {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| quoted(&String::from_utf8_lossy(bytes)));
    Conflict {
        path: changed.path.clone(),
        field: None,
        why: why.to_owned(),
        base: text(changed.base.as_deref()),
        ours: text(ours),
        theirs: text(changed.theirs.as_deref()),
    }
}

fn clashed(path: &str, clash: Clash) -> Conflict {
    let Clash { field, base, ours, theirs } = clash;
    let text = |value: Option<String>| value.map(|value| quoted(&value));
    let why = "both sides changed it".to_owned();
    Conflict { path: path.to_owned(), field, why, base: text(base), ours: text(ours), theirs: text(theirs) }
}

fn quoted(text: &str) -> String {
    if text.len() <= QUOTE_BYTES_MAX {
        return text.to_owned();
    }
    let mut end = QUOTE_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({} bytes; all of it is in the commit)", &text[..end], text.len())
}
