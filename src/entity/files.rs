//! The files of a thing, from wherever state is read: now by the writer, or at a commit.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Name;
use crate::id::{ChatId, JobId};
use crate::state::layout::{self, STATE_REF};
use crate::state::repo::View;
use crate::state::snapshot::Snapshot;
use crate::state::tree::{Entry, LoadError};

/// Files by path.
pub type Files = BTreeMap<String, Bytes>;

/// Where files of state are read.
pub trait Source {
    /// The bytes of a file; `None` if it is not there.
    fn file(&mut self, path: &str) -> Result<Option<Bytes>, LoadError>;
    /// The entries of a folder; none if it is not there.
    fn list(&mut self, path: &str) -> Result<Vec<Entry>, LoadError>;
}

impl Source for View<'_> {
    fn file(&mut self, path: &str) -> Result<Option<Bytes>, LoadError> {
        View::file(self, STATE_REF, path)
    }
    fn list(&mut self, path: &str) -> Result<Vec<Entry>, LoadError> {
        View::list(self, STATE_REF, path)
    }
}

impl Source for &Snapshot {
    fn file(&mut self, path: &str) -> Result<Option<Bytes>, LoadError> {
        Snapshot::file(self, path)
    }
    fn list(&mut self, path: &str) -> Result<Vec<Entry>, LoadError> {
        Snapshot::list(self, path)
    }
}

/// All files of a thing; none if it is not there.
pub fn files_of(name: &Name, from: &mut impl Source) -> Result<Files, LoadError> {
    let paths = match name {
        Name::Job(id) => job_paths(id, from)?,
        Name::Chat(id) => chat_paths(id, from)?,
        Name::Prompt => vec![layout::PROMPT.to_owned()],
        Name::Schedule(name) => vec![layout::schedule(name)],
        Name::Artifact(id) => vec![layout::artifact(id)],
        Name::Webhook(id) => vec![layout::webhook(id)],
        Name::Secret(name) => vec![layout::secret(name), layout::secret_ciphertext(name)],
        Name::Project => vec![layout::PROJECT_FILE.to_owned()],
        Name::Code => vec![layout::CODE_FILE.to_owned()],
    };
    let mut files = Files::new();
    for path in paths {
        if let Some(bytes) = from.file(&path)? {
            files.insert(path, bytes);
        }
    }
    Ok(files)
}

/// Where a job's file can be: among the open ones, or under a day from the one its id was made on.
fn job_paths(id: &JobId, from: &mut impl Source) -> Result<Vec<String>, LoadError> {
    let first = id.made_at().day();
    let days = from.list(layout::DONE_JOBS)?.into_iter().map(|entry| entry.name).filter(|day| *day >= first);
    let mut paths = vec![layout::open_job(id)];
    paths.extend(days.map(|day| layout::done_job_on(id, &day)));
    Ok(paths)
}

fn chat_paths(id: &ChatId, from: &mut impl Source) -> Result<Vec<String>, LoadError> {
    let segments = from.list(&layout::chat_messages(id))?;
    let firsts = segments.iter().filter_map(|entry| layout::chat_segment_first(&entry.name));
    let mut paths: Vec<String> = firsts.map(|first| layout::chat_segment(id, first)).collect();
    paths.push(layout::chat(id));
    Ok(paths)
}
