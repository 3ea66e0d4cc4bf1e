//! Walks of the past by git, one epoch after another: which commits touched a path, newest first.

use super::HistoryError;
use crate::git::child::Program;
use crate::state::epoch::{self, Archive, From};
use crate::state::objects::Objects;
use crate::state::oid::Oid;

/// A commit, and in which epoch of the past it was found: 0 is that in which the walk began.
pub(super) type Place = (Oid, usize);

/// The past of a commit, with it. What is known of its epochs is learned when a walk first needs it.
pub(super) struct Past<'a> {
    objects: &'a Objects,
    from: Oid,
    is_tip: bool,
    ended: Option<Vec<Archive>>,
}

/// What is walked.
#[derive(Default)]
pub(super) struct Walk<'a> {
    /// Where it begins, if that is not where the past does.
    pub(super) from: Option<Place>,
    /// Only what is newer than this.
    pub(super) until: Option<Place>,
    /// At most so many.
    pub(super) limit: usize,
    /// Older commits than this second are not walked.
    pub(super) since: Option<u64>,
    /// Only what touched this; all if absent.
    pub(super) path: Option<&'a str>,
}

impl<'a> Past<'a> {
    /// Of a commit, which may just have been the branch's tip.
    pub(super) fn from(objects: &'a Objects, from: Oid, is_tip: bool) -> Self {
        Self { objects, from, is_tip, ended: None }
    }

    /// The commits of a walk, newest first, as git finds them.
    pub(super) fn walk(&mut self, walk: &Walk<'_>) -> Result<Vec<Place>, HistoryError> {
        let (mut from, mut epoch) = walk.from.unwrap_or((self.from, 0));
        let mut found: Vec<Place> = Vec::new();
        while found.len() < walk.limit {
            let until = walk.until.filter(|(_, place)| *place == epoch);
            let mut commits = self.walk_epoch(walk, from, until, walk.limit - found.len())?;
            if walk.path.is_some() && self.begins_epoch(commits.last())? {
                // Without a parent it seems to have made every file.
                commits.pop();
            }
            found.extend(commits.into_iter().map(|commit| (commit, epoch)));
            if found.len() >= walk.limit {
                break;
            }
            epoch += 1;
            match self.end_of(epoch, walk.since)? {
                Some(end) if until.is_none() => from = end,
                _ => break,
            }
        }
        Ok(found)
    }

    fn walk_epoch(
        &self,
        walk: &Walk<'_>,
        from: Oid,
        until: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Oid>, HistoryError> {
        let mut arguments = vec!["rev-list".to_owned(), format!("--max-count={limit}")];
        arguments.extend(walk.since.map(|seconds| format!("--max-age={seconds}")));
        arguments.push(from.to_string());
        arguments.extend(until.map(|(commit, _)| format!("^{commit}")));
        arguments.push("--".to_owned());
        arguments.extend(walk.path.map(str::to_owned));
        let output = Program::git(self.objects.path()).args(arguments).run()?;
        Ok(String::from_utf8_lossy(&output).lines().filter_map(|line| line.parse().ok()).collect())
    }

    fn begins_epoch(&self, commit: Option<&Oid>) -> Result<bool, HistoryError> {
        let Some(commit) = commit else { return Ok(false) };
        let read =
            |repo: &git2::Repository| Ok(epoch::goes_on_from(&repo.find_commit(commit.to_git())?).is_some());
        let failed = |error: git2::Error| self.objects.load_error(format!("commit {commit}"), &error);
        Ok(self.objects.with(read).map_err(failed)?)
    }

    /// The last commit of an epoch; `None` if there is none, or if it is older than `since`.
    fn end_of(&mut self, epoch: usize, since: Option<u64>) -> Result<Option<Oid>, HistoryError> {
        if self.ended.is_none() {
            let from = if self.is_tip { From::Tip(self.from) } else { From::Any(self.from) };
            self.ended = Some(epoch::ended_before(self.objects, from)?);
        }
        let ended = self.ended.as_deref().unwrap_or_default();
        let Some(archive) = ended.get(epoch - 1) else { return Ok(None) };
        let Some(since) = since else { return Ok(Some(archive.tip)) };
        let read = |repo: &git2::Repository| Ok(repo.find_commit(archive.tip.to_git())?.time().seconds());
        let failed = |error: git2::Error| self.objects.load_error(archive.ref_name.clone(), &error);
        let seconds = self.objects.with(read).map_err(failed)?;
        Ok((u64::try_from(seconds).unwrap_or(0) >= since).then_some(archive.tip))
    }
}
