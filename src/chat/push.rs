//! Decides what a chat's files that were pushed ask for: another title or mode, its removal, its repair. Reads no clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::chats::{appended, chat_of, checked_title, find, removal};
use super::rules::check_whole;
use super::types::{Chat, Message, Segment};
use crate::clock::Time;
use crate::entity::{Facts, repair};
use crate::id::ChatId;
use crate::job::also::cancelled;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, STATE_REF};
use crate::state::repo::View;
use crate::state::yaml;

/// What is asked of one chat.
pub struct Asked<'a> {
    /// Which.
    pub id: &'a ChatId,
    /// Its files that were pushed, by path: what each holds, or nothing.
    pub files: &'a BTreeMap<String, Option<Bytes>>,
    /// What the decision goes by.
    pub facts: &'a Facts<'a>,
}

/// What a person's push asks of a chat. People who may write retitle and remove chats; whoever manages the project repairs them.
pub fn by_person(
    view: &mut View<'_>,
    asked: &Asked<'_>,
    actor: &Actor,
    manages: bool,
) -> Result<Vec<Change>, String> {
    let path = layout::chat(asked.id);
    let known = find(view, asked.id).ok();
    let change = match (&known, asked.files.get(&path)) {
        (Some(_), Some(None)) => {
            removal(view, asked.id, actor, asked.facts.now).map_err(|error| error.to_string())?
        }
        (Some(known), Some(Some(file))) if asked.files.len() == 1 && is_retitled(known, &path, file)? => {
            retitled(known, &path, file, actor, asked.facts.now)?
        }
        _ if manages => repaired(view, asked, actor)?,
        _ => {
            return Err("people who write to the project change title and llmMode, or remove a chat with all its files; \
                        messages are added with POST /projects/{id}/chats/{chatId}/messages, and all else is for whoever manages the project"
                .to_owned());
        }
    };
    Ok(vec![change])
}

/// Whether a file says nothing new but its title, its mode and its time.
fn is_retitled(known: &Chat, path: &str, file: &[u8]) -> Result<bool, String> {
    let wanted: Chat = yaml::read(path, "chat", file).map_err(|bad| bad.to_string())?;
    Ok(Chat { title: known.title.clone(), llm_mode: known.llm_mode, updated_at: known.updated_at, ..wanted }
        == *known)
}

fn retitled(known: &Chat, path: &str, file: &[u8], actor: &Actor, now: Time) -> Result<Change, String> {
    let wanted: Chat = yaml::read(path, "chat", file).map_err(|bad| bad.to_string())?;
    let title = checked_title(wanted.title).map_err(|error| error.to_string())?;
    let next = Arc::new(Chat { title, llm_mode: wanted.llm_mode, updated_at: now, ..known.clone() });
    let subject = format!("chat {}: changed by {}", known.chat_id, actor.name);
    Ok(change(subject, "chat.changed", actor, vec![Edit::put(path, next)]))
}

/// Messages that were written elsewhere, behind those that are here; with the title and the mode of `wanted`.
pub fn said_elsewhere(
    view: &mut View<'_>,
    wanted: &Chat,
    mut said: Vec<Message>,
    actor: &Actor,
    now: Time,
) -> Result<Change, String> {
    let id = &wanted.chat_id;
    let known = find(view, id).map_err(|error| error.to_string())?;
    let title = checked_title(wanted.title.clone()).map_err(|error| error.to_string())?;
    let chat = Chat { title, llm_mode: wanted.llm_mode, ..known.clone() };
    if (Chat { updated_at: chat.updated_at, ..wanted.clone() }) != chat {
        return Err("of a chat's file people change title and llmMode".to_owned());
    }
    said.sort_by_key(|message| message.created_at);
    (known.messages + 1..).zip(&mut said).for_each(|(number, message)| message.number = number);
    let count = said.len();
    let (chat, mut edits) = appended(view, &chat, said, now).map_err(|error| error.to_string())?;
    edits.push(Edit::put(layout::chat(id), Arc::new(chat)));
    let subject = format!("chat {id}: {count} messages of {}", actor.name);
    Ok(change(subject, "chat.message", actor, edits))
}

/// A chat whose files are as whoever manages the project wants them, if they fit together.
fn repaired(view: &mut View<'_>, asked: &Asked<'_>, actor: &Actor) -> Result<Change, String> {
    let mut edits = Vec::new();
    for (path, new) in asked.files {
        let old = view.file(STATE_REF, path).map_err(|error| error.to_string())?;
        let wanted = repair(asked.facts, path, old.as_deref(), new.as_deref())
            .map_err(|refusal| refusal.to_string())?;
        edits.extend(wanted);
    }
    let chat_path = layout::chat(asked.id);
    let after = |view: &mut View<'_>, path: &str| -> Result<Option<Bytes>, String> {
        match edits.iter().find(|edit| edit.path() == path) {
            Some(edit) => Ok(edit.bytes()),
            None => view.file(STATE_REF, path).map_err(|error| error.to_string()),
        }
    };
    let Some(chat) = after(view, &chat_path)? else {
        return Err("a chat has a chat.yaml beside its messages".to_owned());
    };
    let chat: Chat = yaml::read(&chat_path, "chat", &chat).map_err(|bad| bad.to_string())?;
    let folder = layout::chat_messages(asked.id);
    let listed = view.list(STATE_REF, &folder).map_err(|error| error.to_string())?;
    let listed = listed.into_iter().map(|entry| format!("{folder}/{}", entry.name));
    let pushed = asked.files.keys().filter(|path| **path != chat_path).cloned();
    let mut paths: Vec<String> = listed.chain(pushed).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut segments = Vec::new();
    for path in paths {
        if let Some(file) = after(view, &path)? {
            segments
                .push(yaml::read::<Segment>(&path, "chat segment", &file).map_err(|bad| bad.to_string())?);
        }
    }
    if let Some(why) = check_whole(&chat, &segments) {
        return Err(why);
    }
    edits.extend(
        cancelled(view, |job| chat_of(job).as_ref() == Some(asked.id), actor, asked.facts.now)
            .map_err(|error| error.to_string())?,
    );
    let subject = format!("chat {}: repaired by {}", asked.id, actor.name);
    Ok(change(subject, "chat.repaired", actor, edits))
}

fn change(subject: String, event: &'static str, actor: &Actor, edits: Vec<Edit>) -> Change {
    Change { branch: STATE_REF.into(), subject, event, actor: actor.clone(), request: None, edits }
}
