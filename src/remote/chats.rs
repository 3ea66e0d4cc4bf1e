//! Decides what becomes of a chat that people wrote in on a remote: one that is new there comes in whole, and what was said there
//! comes behind what was said here. Reads no clock.
//!
//! A message's number is what it is called by, in addresses, cursors and jobs. So ours keep theirs, and what comes from the remote
//! gets the next ones, in the order in which it was written.

use std::collections::BTreeMap;

use super::changes::Changed;
use super::merge::{self, Clash, Sides};
use crate::chat::push::{self, Asked};
use crate::chat::rules::check_segment;
use crate::chat::types::{Chat, Message, Segment};
use crate::entity::Facts;
use crate::id::ChatId;
use crate::state::edit::{Actor, Change};
use crate::state::layout::place::Place;
use crate::state::layout::{self, STATE_REF};
use crate::state::repo::View;
use crate::state::yaml;

/// What is made of a chat.
pub struct Made {
    /// The daemon's commits.
    pub changes: Vec<Change>,
    /// Fields of its file that both sides changed.
    pub clashes: Vec<Clash>,
}

/// What was written there in a chat that was here before.
#[derive(Clone, Debug)]
pub struct Wrote {
    base: Chat,
    theirs: Chat,
    said: Vec<Message>,
}

/// What was appended to a chat, as its changed files say; `None` if nothing was. It takes the time of reading them, and no state.
pub fn wrote(id: &ChatId, changed: &[&Changed]) -> Result<Option<Wrote>, String> {
    let Some(file) = file_of(id, changed).filter(|file| file.base.is_some()) else { return Ok(None) };
    let Some(said) = said(file, changed)? else { return Ok(None) };
    let (base, theirs) = (chat(file.base.as_deref(), &file.path)?, chat(file.theirs.as_deref(), &file.path)?);
    Ok(Some(Wrote { base, theirs, said }))
}

/// The chat's own file, if all that was changed of the chat is there and readable.
fn file_of<'a>(id: &ChatId, changed: &[&'a Changed]) -> Option<&'a Changed> {
    let path = layout::chat(id);
    let is_odd = |changed: &&Changed| changed.theirs.is_none() || changed.oddity.is_some();
    if changed.iter().any(is_odd) {
        return None;
    }
    changed.iter().find(|changed| changed.path == path).copied()
}

/// What comes of the files of a chat that were changed there; `None` if nothing was said, so that each file is merged by itself.
pub fn brought_in(
    view: &mut View<'_>,
    id: &ChatId,
    changed: &[&Changed],
    wrote: Result<Option<Wrote>, String>,
    by: (&Facts<'_>, &Actor),
) -> Result<Option<Made>, String> {
    let Some(file) = file_of(id, changed) else { return Ok(None) };
    let (facts, actor) = by;
    let ours = view.file(STATE_REF, &file.path).map_err(|error| error.to_string())?;
    match (&file.base, ours) {
        (None, None) => {
            let files: BTreeMap<_, _> =
                changed.iter().map(|changed| (changed.path.clone(), changed.theirs.clone())).collect();
            let changes = push::by_person(view, &Asked { id, files: &files, facts }, actor, true)?;
            Ok(Some(Made { changes, clashes: Vec::new() }))
        }
        (Some(_), Some(ours)) => {
            let Some(Wrote { base, theirs, said }) = wrote? else { return Ok(None) };
            let (wanted, clashes) = wanted(base, theirs, &ours, &file.path)?;
            let change = push::said_elsewhere(view, &wanted, said, actor, facts.now)?;
            Ok(Some(Made { changes: vec![change], clashes }))
        }
        _ => Ok(None),
    }
}

/// The messages that were appended, if nothing else was changed in the segments; `None` if no segment was.
fn said(file: &Changed, changed: &[&Changed]) -> Result<Option<Vec<Message>>, String> {
    let mut said: BTreeMap<u64, Vec<Message>> = BTreeMap::new();
    for changed in changed.iter().filter(|changed| changed.path != file.path) {
        let Some(place @ Place::ChatSegment(_, first)) = Place::of(&changed.path) else { return Ok(None) };
        let Some(theirs) = segment(changed.theirs.as_deref(), &changed.path)? else { return Ok(None) };
        if let Some(wrong) = check_segment(&theirs, &place) {
            return Err(format!("{}: {wrong}", changed.path));
        }
        let before =
            segment(changed.base.as_deref(), &changed.path)?.map_or(Vec::new(), |base| base.messages);
        if !theirs.messages.starts_with(&before) {
            return Err(format!("{}: what was said is not said otherwise afterwards", changed.path));
        }
        said.insert(first, theirs.messages[before.len()..].to_vec());
    }
    let said: Vec<Message> = said.into_values().flatten().collect();
    let (base, theirs) = (chat(file.base.as_deref(), &file.path)?, chat(file.theirs.as_deref(), &file.path)?);
    let follow = (base.messages + 1..).zip(&said).all(|(number, message)| message.number == number);
    if !follow || theirs.messages != base.messages + said.len() as u64 {
        return Err(format!(
            "its chat.yaml says {} messages, of which {} are new, and {} came, which do not follow the {} that were there",
            theirs.messages,
            theirs.messages.saturating_sub(base.messages),
            said.len(),
            base.messages
        ));
    }
    Ok((!said.is_empty()).then_some(said))
}

/// The chat's file with what they changed in it besides counting.
fn wanted(base: Chat, theirs: Chat, ours: &[u8], path: &str) -> Result<(Chat, Vec<Clash>), String> {
    let theirs = Chat {
        messages: base.messages,
        last_segment: base.last_segment,
        last_job: base.last_job.clone(),
        updated_at: base.updated_at,
        ..theirs
    };
    let (base, theirs) = (yaml::write(&base), yaml::write(&theirs));
    let merged = merge::file(Sides { base: Some(&base), ours: Some(ours), theirs: Some(&theirs) });
    let text = merged.file.flatten();
    Ok((chat(Some(text.as_deref().unwrap_or(ours)), path)?, merged.clashes))
}

fn chat(file: Option<&[u8]>, path: &str) -> Result<Chat, String> {
    yaml::read(path, "chat", file.unwrap_or_default()).map_err(|bad| bad.to_string())
}

fn segment(file: Option<&[u8]>, path: &str) -> Result<Option<Segment>, String> {
    file.map(|file| yaml::read(path, "chat segment", file)).transpose().map_err(|bad| bad.to_string())
}
