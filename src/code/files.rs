//! The files of the project's code at a commit, page by page, read from the forge's own repository.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use git2::{ObjectType, Repository, TreeWalkMode, TreeWalkResult};
use serde::Serialize;
use utoipa::ToSchema;

use super::language;
use crate::state::oid::Oid;

/// Files that one look goes through; larger code is refused, not shown in part.
const FILES_MAX: usize = 200_000;
/// Longer than any name of a branch or tag that git hosts give.
const REF_BYTES_MAX: usize = 200;

/// A file of the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CodeFile {
    /// Its path from the root; what is no UTF-8 is shown as U+FFFD.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Told by its name; null if that does not say.
    pub language: Option<String>,
    /// Git's id of its content.
    pub blob_id: Oid,
}

/// Why the code's files are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The project's code is on another machine.
    #[error("the code is at {0}, and only code of the local forge is listed here")]
    Elsewhere(String),
    /// There is no such branch, tag or commit.
    #[error("the code has no branch, tag or commit {0:?}")]
    NoRef(String),
    /// The cursor is none of this list.
    #[error("the cursor is none that this list gave; begin without one")]
    CursorGone,
    /// There are more files than are listed.
    #[error("the code has more than {FILES_MAX} files")]
    TooMany,
    /// The repository cannot be read.
    #[error("the code's repository cannot be read: {0}")]
    Unreadable(#[from] git2::Error),
    /// The look was ended with the daemon.
    #[error("the daemon is stopping")]
    Stopped,
}

/// How many files come before a page, and of which commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    commit: Oid,
    before: usize,
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.commit, self.before)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;
    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (commit, before) = text.split_once('.').ok_or(BadCursor)?;
        let (commit, before) =
            (commit.parse().map_err(|_| BadCursor)?, before.parse().map_err(|_| BadCursor)?);
        Ok(Self { commit, before })
    }
}

/// A page of files.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// The commit that they are of.
    pub commit: Oid,
    /// They, by path as git orders it.
    pub files: Vec<CodeFile>,
    /// Where the next page begins.
    pub next: Option<Cursor>,
    /// How many files there are in all.
    pub count: usize,
}

/// A page of the code at `address`, at the branch, tag or commit `reference`, or at the cursor's commit. It reads the disk.
pub fn page(address: &str, reference: &str, after: Option<Cursor>, limit: usize) -> Result<Page, CodeError> {
    if !address.starts_with('/') {
        return Err(CodeError::Elsewhere(address.to_owned()));
    }
    let repo = Repository::open_bare(Path::new(address))?;
    let commit = match after {
        Some(cursor) => repo.find_commit(cursor.commit.to_git()).map_err(|_| CodeError::CursorGone)?,
        None => find(&repo, reference)?,
    };
    let begin = after.map_or(0, |cursor| cursor.before);
    let (files, count) = files(&repo, &commit.tree()?, begin, limit)?;
    let (commit, end) = (Oid::from(commit.id()), begin + files.len());
    Ok(Page { commit, next: (end < count).then_some(Cursor { commit, before: end }), files, count })
}

/// A name is looked for as a branch, as a tag and as a whole commit id; it is never an expression.
fn find<'r>(repo: &'r Repository, name: &str) -> Result<git2::Commit<'r>, CodeError> {
    let unknown = || CodeError::NoRef(name.chars().take(80).collect());
    if name.len() > REF_BYTES_MAX {
        return Err(unknown());
    }
    let places = [format!("refs/heads/{name}"), format!("refs/tags/{name}")];
    for place in places.iter().filter(|place| git2::Reference::is_valid_name(place)) {
        if let Ok(reference) = repo.find_reference(place) {
            return reference.peel_to_commit().map_err(|_| unknown());
        }
    }
    let id: Oid = name.parse().map_err(|_| unknown())?;
    repo.find_commit(id.to_git()).map_err(|_| unknown())
}

fn files(
    repo: &Repository,
    tree: &git2::Tree<'_>,
    begin: usize,
    limit: usize,
) -> Result<(Vec<CodeFile>, usize), CodeError> {
    let (mut found, mut count) = (Vec::new(), 0);
    let walked = tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        if entry.kind() != Some(ObjectType::Blob) {
            return TreeWalkResult::Ok;
        }
        if (begin..begin.saturating_add(limit)).contains(&count) {
            found.push((format!("{folder}{}", String::from_utf8_lossy(entry.name_bytes())), entry.id()));
        }
        count += 1;
        if count > FILES_MAX { TreeWalkResult::Abort } else { TreeWalkResult::Ok }
    });
    if count > FILES_MAX {
        return Err(CodeError::TooMany);
    }
    walked?;
    let odb = repo.odb()?;
    let files = found.into_iter().map(|(path, id)| {
        let (size, _) = odb.read_header(id)?;
        let language = language::of(&path).map(str::to_owned);
        Ok(CodeFile { path, size: size as u64, language, blob_id: id.into() })
    });
    Ok((files.collect::<Result<_, git2::Error>>()?, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let cursor = Cursor { commit: Oid([7; 20]), before: 12 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "x.1", "0.0", "HEAD.1"] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
    }
}
