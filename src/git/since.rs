//! Decides whether a push that was made on an older commit fits onto the branch as it is now: whether what it touches is there
//! as it was. A thing is touched as a whole, so of two claims of one job, or two edits of one chat, the second does not fit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::pushed::Line;
use super::refusal::Refusal;
use super::take::NotTaken;
use crate::entity::Name;
use crate::entity::files::{Source, files_of};
use crate::id::ChatId;
use crate::state::edit::Edit;
use crate::state::layout::place::Place;
use crate::state::layout::{self, RepoName};
use crate::state::oid::Oid;
use crate::state::repo::{CommitError, View};
use crate::state::snapshot::Snapshot;
use crate::state::store::{EngineError, State};
use crate::state::tree::LoadError;

/// How long reading what a push touches may take; it is at most a thousand files.
const READING_TIME_MAX: Duration = Duration::from_secs(10);

/// What a push touches, as it was on the commit that it was made on.
pub struct Before {
    /// Why the commits cannot be made anew, if they cannot.
    odd: Option<Refusal>,
    things: Things,
}

type Things = Vec<(Name, Held)>;

/// What a thing's files are.
enum Held {
    /// A chat can be long: the objects in its folder say whether it is as it was.
    Chat(BTreeMap<String, Oid>),
    /// What each path of anything else holds.
    Files(BTreeMap<String, Option<Bytes>>),
}

impl Before {
    /// Reads it. Nobody waits for this: the writer has no part in it.
    pub async fn read(state: &State, name: &RepoName, pushed: &Line) -> Result<Self, NotTaken> {
        let mut touched: BTreeMap<Name, BTreeSet<String>> = BTreeMap::new();
        for path in pushed.commits.iter().flat_map(|commit| commit.files.keys()) {
            if let Some(place) = Place::of(path) {
                touched.entry(Name::of(&place)).or_default().insert(path.clone());
            }
        }
        let commits: Vec<(Oid, Option<Oid>, Vec<Edit>)> =
            pushed.commits.iter().map(|commit| (commit.commit, commit.tree(), commit.edits())).collect();
        let read = move |then: &Snapshot| {
            let odd = odd_tree(&commits, then)?;
            Ok(Before { odd, things: read(touched, then)? })
        };
        state.read_at(name, pushed.base, read).await
    }

    /// Refuses what somebody has touched since.
    pub fn is_untouched(&self, view: &mut View<'_>) -> Result<(), NotTaken> {
        for (name, held) in &self.things {
            let changed = match held {
                Held::Chat(then) => {
                    let Name::Chat(id) = name else { continue };
                    (chat(id, view).map_err(EngineError::from)? != *then).then(|| layout::chat_folder(id))
                }
                Held::Files(then) => changed(then, view).map_err(EngineError::from)?,
            };
            if let Some(path) = changed {
                return Err(touched_since(&path, name).into());
            }
        }
        Ok(())
    }

    /// Refuses what cannot be made anew.
    pub fn can_be_replayed(&self) -> Result<(), Refusal> {
        self.odd.clone().map_or(Ok(()), Err)
    }
}

/// A commit has the tree that its files make. Made anew it would lose whatever else is in it, and nobody would be told.
fn odd_tree(
    commits: &[(Oid, Option<Oid>, Vec<Edit>)],
    then: &Snapshot,
) -> Result<Option<Refusal>, EngineError> {
    let made = then.trees_after(commits.iter().map(|(_, _, edits)| edits.as_slice()));
    let made = made.map_err(CommitError::from)?;
    let odd = commits.iter().zip(made).find(|((_, said, _), made)| *said != Some(*made));
    Ok(odd.map(|((commit, ..), _)| Refusal::push(EngineError::OtherTree(*commit).to_string())))
}

fn read(touched: BTreeMap<Name, BTreeSet<String>>, mut then: &Snapshot) -> Result<Things, NotTaken> {
    let begun = Instant::now();
    let mut things = Vec::with_capacity(touched.len());
    for (name, paths) in touched {
        let held = match &name {
            Name::Chat(id) => Held::Chat(chat(id, &mut then).map_err(EngineError::from)?),
            _ => Held::Files(files(&name, paths, &mut then).map_err(EngineError::from)?),
        };
        things.push((name, held));
        if begun.elapsed() > READING_TIME_MAX {
            let why = format!("what it touches took more than {} s to read", READING_TIME_MAX.as_secs());
            return Err(Refusal::push(why).remedy("push fewer files at a time").into());
        }
    }
    Ok(things)
}

fn chat(id: &ChatId, from: &mut impl Source) -> Result<BTreeMap<String, Oid>, LoadError> {
    let entries = from.list(&layout::chat_folder(id))?;
    Ok(entries.into_iter().map(|entry| (entry.name, entry.oid)).collect())
}

/// The pushed paths, and wherever else the thing was; a job that was none may be open since.
fn files(
    name: &Name,
    paths: BTreeSet<String>,
    from: &mut impl Source,
) -> Result<BTreeMap<String, Option<Bytes>>, LoadError> {
    let mut files: BTreeMap<String, Option<Bytes>> = paths.into_iter().map(|path| (path, None)).collect();
    if let Name::Job(id) = name {
        files.insert(layout::open_job(id), None);
    }
    files.extend(files_of(name, from)?.into_iter().map(|(path, bytes)| (path, Some(bytes))));
    Ok(files)
}

/// The first path that holds something else now.
fn changed(
    then: &BTreeMap<String, Option<Bytes>>,
    now: &mut impl Source,
) -> Result<Option<String>, LoadError> {
    for (path, held) in then {
        if now.file(path)? != *held {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

fn touched_since(path: &str, name: &Name) -> Refusal {
    Refusal::file(path, format!("{name} is not as it was on the commit that this was made on (fetch first)"))
        .remedy("git pull --rebase, then push again")
}
