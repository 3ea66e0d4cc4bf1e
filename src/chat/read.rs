//! Pages: a project's chats, the newest change first, and a chat's messages, both ways.
//!
//! A list's cursor names the commit that all its pages are of. Messages are numbered and never change, so a number is
//! cursor enough, and only the segments of one page are read.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::chats::Chats;
use super::error::ChatError;
use super::types::{Chat, Message, Prompt, Segment};
use crate::clock::Time;
use crate::id::{ChatId, ProjectId};
use crate::state::layout::{self, RepoName};
use crate::state::oid::Oid;
use crate::state::snapshot::Snapshot;
use crate::state::store::EngineError;
use crate::state::yaml;

/// Chats whose files are kept parsed, by their content: a list reads only those that are new. Some 5 MiB.
const METAS_MAX: usize = 20_000;

/// Chats' files, parsed, by the id of their content. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Metas(Arc<Mutex<HashMap<Oid, Arc<Chat>>>>);

/// Behind which chat a page begins, and in which commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The commit that all pages of the list are of.
    pub commit: Oid,
    updated: Time,
    chat: ChatId,
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.commit, self.updated.millis(), self.chat)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;
    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let mut parts = text.splitn(3, '.');
        let mut next = || parts.next().ok_or(BadCursor);
        Ok(Self {
            commit: next()?.parse().map_err(|_| BadCursor)?,
            updated: Time::from_millis(next()?.parse().map_err(|_| BadCursor)?),
            chat: next()?.parse().map_err(|_| BadCursor)?,
        })
    }
}

/// Which messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The newest.
    End,
    /// Those behind this number.
    After(u64),
    /// Those before this number.
    Before(u64),
}

impl FromStr for Place {
    type Err = BadCursor;
    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (way, number) = text.split_once('-').ok_or(BadCursor)?;
        let number = number.parse().map_err(|_| BadCursor)?;
        match way {
            "after" => Ok(Self::After(number)),
            "before" => Ok(Self::Before(number)),
            _ => Err(BadCursor),
        }
    }
}

/// The numbers of a page's messages, both inclusive, of a chat that has so many.
fn span(place: Place, limit: u64, count: u64) -> (u64, u64) {
    match place {
        Place::End => (count.saturating_sub(limit) + 1, count),
        Place::After(number) => (number.saturating_add(1), number.saturating_add(limit).min(count)),
        Place::Before(number) => {
            let last = number.saturating_sub(1).min(count);
            (last.saturating_sub(limit) + 1, last)
        }
    }
}

impl Chats {
    /// The chat with this id; as it was at a commit, if one is named.
    pub async fn get(&self, project: &ProjectId, at: Option<Oid>, id: &ChatId) -> Result<Chat, ChatError> {
        let (snapshot, id) = (self.snapshot(project, at).await?, id.clone());
        blocking(move || chat(&snapshot, &id)).await
    }

    /// A page of chats, and where the next one begins.
    pub async fn page(
        &self,
        project: &ProjectId,
        at: Option<Oid>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<Arc<Chat>>, Option<Cursor>), ChatError> {
        let snapshot = self.snapshot(project, after.as_ref().map(|cursor| cursor.commit).or(at)).await?;
        let metas = self.metas.clone();
        blocking(move || page(&snapshot, &metas, after.as_ref(), limit)).await
    }

    /// A page of messages in order, and how many the chat has.
    pub async fn messages(
        &self,
        project: &ProjectId,
        at: Option<Oid>,
        id: &ChatId,
        place: Place,
        limit: usize,
    ) -> Result<(Vec<Message>, u64), ChatError> {
        let (snapshot, id) = (self.snapshot(project, at).await?, id.clone());
        blocking(move || {
            let chat = chat(&snapshot, &id)?;
            let (first, last) = span(place, limit as u64, chat.messages);
            Ok((messages(&snapshot, &id, first, last)?, chat.messages))
        })
        .await
    }

    /// What every model is told first about the project, if anything is set.
    pub async fn prompt(&self, project: &ProjectId, at: Option<Oid>) -> Result<Option<Prompt>, ChatError> {
        let snapshot = self.snapshot(project, at).await?;
        blocking(move || {
            let file = snapshot.file(layout::PROMPT)?;
            Ok(file.map(|file| yaml::read(layout::PROMPT, "prompt", &file)).transpose()?)
        })
        .await
    }

    async fn snapshot(&self, project: &ProjectId, at: Option<Oid>) -> Result<Snapshot, ChatError> {
        let repo = RepoName::Project(project.clone());
        self.state.snapshot_of(&repo, at).await?.ok_or(ChatError::CursorGone)
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ChatError> + Send + 'static,
) -> Result<T, ChatError> {
    tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)?
}

fn chat(snapshot: &Snapshot, id: &ChatId) -> Result<Chat, ChatError> {
    let path = layout::chat(id);
    let file = snapshot.file(&path)?.ok_or_else(|| ChatError::Unknown(id.clone()))?;
    Ok(yaml::read(&path, "chat", &file)?)
}

/// The names of all chats are read, and the files of those that were not read before.
fn page(
    snapshot: &Snapshot,
    metas: &Metas,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<(Vec<Arc<Chat>>, Option<Cursor>), ChatError> {
    let mut files = Vec::new();
    snapshot.walk(layout::CHATS, &mut |path, oid| {
        if path.ends_with(layout::CHAT_FILE) {
            files.push((path.to_owned(), oid));
        }
        Ok(())
    })?;
    let mut chats = Vec::with_capacity(files.len());
    for (path, oid) in files {
        chats.extend(metas.read(snapshot, &path, oid)?);
    }
    let order = |chat: &Chat| (std::cmp::Reverse(chat.updated_at), std::cmp::Reverse(chat.chat_id.clone()));
    chats.sort_by_cached_key(|chat| order(chat));
    let behind = |chat: &Arc<Chat>| {
        after.is_none_or(|last| {
            order(chat) > (std::cmp::Reverse(last.updated), std::cmp::Reverse(last.chat.clone()))
        })
    };
    let mut rest = chats.into_iter().filter(behind);
    let found: Vec<Arc<Chat>> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let next = found.last().filter(|_| more).map(|last| Cursor {
        commit: snapshot.commit(),
        updated: last.updated_at,
        chat: last.chat_id.clone(),
    });
    Ok((found, next))
}

impl Metas {
    /// The chat of a file; one that cannot be read is left out of lists and said so.
    fn read(&self, snapshot: &Snapshot, path: &str, oid: Oid) -> Result<Option<Arc<Chat>>, ChatError> {
        if let Some(known) = self.0.lock().get(&oid) {
            return Ok(Some(known.clone()));
        }
        let bytes = snapshot.blob(oid)?;
        match yaml::read::<Chat>(path, "chat", &bytes) {
            Ok(chat) => {
                let chat = Arc::new(chat);
                let mut known = self.0.lock();
                if known.len() >= METAS_MAX {
                    known.clear();
                }
                known.insert(oid, chat.clone());
                Ok(Some(chat))
            }
            Err(bad) => {
                tracing::warn!(%bad, "a chat's file is left out of a list");
                Ok(None)
            }
        }
    }
}

fn messages(snapshot: &Snapshot, id: &ChatId, first: u64, last: u64) -> Result<Vec<Message>, ChatError> {
    let mut found = Vec::new();
    if first > last {
        return Ok(found);
    }
    let names = snapshot.list(&layout::chat_messages(id))?;
    let mut firsts: Vec<u64> =
        names.iter().filter_map(|entry| layout::chat_segment_first(&entry.name)).collect();
    firsts.sort_unstable();
    let begin = firsts.partition_point(|number| *number <= first).saturating_sub(1);
    for number in firsts.into_iter().skip(begin).take_while(|number| *number <= last) {
        let path = layout::chat_segment(id, number);
        let Some(file) = snapshot.file(&path)? else { continue };
        let segment: Segment = yaml::read(&path, "chat segment", &file)?;
        found.extend(segment.messages.into_iter().filter(|message| (first..=last).contains(&message.number)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::oid::Kind;

    #[test]
    fn a_page_of_messages_goes_both_ways_and_ends_at_the_ends() {
        for (place, wanted) in [
            (Place::End, (91, 100)),
            (Place::After(0), (1, 10)),
            (Place::After(95), (96, 100)),
            (Place::Before(91), (81, 90)),
            (Place::Before(5), (1, 4)),
            (Place::Before(u64::MAX), (91, 100)),
        ] {
            assert_eq!(span(place, 10, 100), wanted, "{place:?}");
        }
        for nothing in [Place::After(100), Place::After(u64::MAX), Place::Before(1), Place::Before(0)] {
            let (first, last) = span(nothing, 10, 100);
            assert!(first > last, "{nothing:?}");
        }
        let (first, last) = span(Place::End, 10, 0);
        assert!(first > last);
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let chat = "chat-01jd000000000000000000007k".parse().unwrap();
        let cursor = Cursor { commit: Oid::of(Kind::Commit, b""), updated: Time::from_millis(7), chat };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "a.b.c", "..", "1.2.chat-01jd000000000000000000007k"] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
        assert_eq!("before-12".parse(), Ok(Place::Before(12)));
        assert_eq!("12".parse::<Place>(), Err(BadCursor));
    }
}
