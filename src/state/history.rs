//! History: what has happened to a path, what a commit changed, and how things stood. Read by plain git, which has the
//! commit-graph and its changed-path filters; nothing here is on a writer's way.

use super::commit::{self, Event};
use super::layout::RepoName;
use super::objects::Objects;
use super::oid::Oid;
use super::tree::LoadError;

/// How many commits a listener may be behind and still be told each; more means that it should read what is now.
const EVENTS_MAX: usize = 100_000;

/// The events of the commits of a branch behind `after`, oldest first; `None` if the branch does not have that commit.
pub(super) fn events_after(
    objects: &Objects, name: &RepoName, tip: Oid, after: Oid,
) -> Result<Option<Vec<Event>>, LoadError> {
    let read = |repo: &git2::Repository| {
        if !repo.odb()?.exists(after.to_git()) {
            return Ok(None);
        }
        let mut found = Vec::new();
        let mut next = Some(repo.find_commit(tip.to_git())?);
        while let Some(commit) = next {
            if commit.id() == after.to_git() {
                found.reverse();
                return Ok(Some(found));
            }
            if found.len() == EVENTS_MAX {
                break;
            }
            found.push(commit::read_event(name.project().cloned(), &commit));
            next = commit.parent(0).ok();
        }
        Ok(None)
    };
    objects.with(read).map_err(|error| objects.load_error(format!("the commits behind {after}"), &error))
}
