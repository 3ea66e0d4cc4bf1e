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

/// What comes of the files of a chat that were changed there; `None` if nothing was said, so that each file is merged by itself.
pub fn brought_in(
    view: &mut View<'_>,
    id: &ChatId,
    changed: &[&Changed],
    facts: &Facts<'_>,
    actor: &Actor,
) -> Result<Option<Made>, String> {
    let path = layout::chat(id);
    let Some(file) = changed.iter().find(|changed| changed.path == path) else { return Ok(None) };
    if changed.iter().any(|changed| changed.theirs.is_none() || changed.oddity.is_some()) {
        return Ok(None);
    }
    let ours = view.file(STATE_REF, &path).map_err(|error| error.to_string())?;
    match (&file.base, ours) {
        (None, None) => {
            let files: BTreeMap<_, _> =
                changed.iter().map(|changed| (changed.path.clone(), changed.theirs.clone())).collect();
            let changes = push::by_person(view, &Asked { id, files: &files, facts }, actor, true)?;
            Ok(Some(Made { changes, clashes: Vec::new() }))
        }
        (Some(_), Some(ours)) => {
            let Some(said) = said(file, changed)? else { return Ok(None) };
            let (wanted, clashes) = wanted(file, &ours)?;
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
fn wanted(file: &Changed, ours: &[u8]) -> Result<(Chat, Vec<Clash>), String> {
    let (base, theirs) = (chat(file.base.as_deref(), &file.path)?, chat(file.theirs.as_deref(), &file.path)?);
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
    Ok((chat(Some(text.as_deref().unwrap_or(ours)), &file.path)?, merged.clashes))
}

fn chat(file: Option<&[u8]>, path: &str) -> Result<Chat, String> {
    yaml::read(path, "chat", file.unwrap_or_default()).map_err(|bad| bad.to_string())
}

fn segment(file: Option<&[u8]>, path: &str) -> Result<Option<Segment>, String> {
    file.map(|file| yaml::read(path, "chat segment", file)).transpose().map_err(|bad| bad.to_string())
}
