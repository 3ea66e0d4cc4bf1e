//! Pages of a project's jobs: the open ones, newest first, then the ended ones by day, the newest day first.
//!
//! A cursor names a commit and the last job of a page. Every page behind the first is read from that commit, so jobs
//! that come or end meanwhile are neither left out nor shown twice.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::JobError;
use super::types::Job;
use crate::id::JobId;
use crate::state::layout;
use crate::state::oid::Oid;
use crate::state::snapshot::Snapshot;
use crate::state::yaml;

/// How many files one page reads to find what it wants; a page of a rare kind may be short and still have a next one.
const FILES_READ_MAX: usize = 5_000;

/// Behind which job a page begins, and in which commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The commit that all pages of the list are of.
    pub commit: Oid,
    /// The last job of the page before.
    pub place: Place,
}

/// Where a job's file was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among the open ones.
    Open(JobId),
    /// Among those that ended on a day.
    Done(String, JobId),
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Open(job) => write!(f, "{}.open.{job}", self.commit),
            Place::Done(day, job) => write!(f, "{}.{day}.{job}", self.commit),
        }
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;
    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (commit, place) = text.split_once('.').ok_or(BadCursor)?;
        let (folder, job) = place.split_once('.').ok_or(BadCursor)?;
        let commit = commit.parse().map_err(|_| BadCursor)?;
        let job = job.parse().map_err(|_| BadCursor)?;
        let is_day = folder.len() == 10 && folder.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        match folder {
            "open" => Ok(Cursor { commit, place: Place::Open(job) }),
            day if is_day => Ok(Cursor { commit, place: Place::Done(day.to_owned(), job) }),
            _ => Err(BadCursor),
        }
    }
}

/// A page in the making.
pub struct Page<'w> {
    limit: usize,
    snapshot: &'w Snapshot,
    wanted: &'w dyn Fn(&Job) -> bool,
    /// The jobs so far.
    pub jobs: Vec<Arc<Job>>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    read: usize,
}

impl<'w> Page<'w> {
    /// An empty one, of this snapshot.
    pub fn new(limit: usize, snapshot: &'w Snapshot, wanted: &'w dyn Fn(&Job) -> bool) -> Self {
        Self { limit, snapshot, wanted, jobs: Vec::new(), next: None, read: 0 }
    }

    /// Takes open jobs that memory has; tells whether there is room for more.
    pub fn take_open(&mut self, open: &[Arc<Job>]) -> bool {
        open.iter().all(|job| self.take(Some(job.clone()), || Place::Open(job.job_id.clone())))
    }

    /// Fills up with open jobs older than `before`, then with ended ones.
    pub fn fill_from_open(&mut self, before: Option<&JobId>) -> Result<(), JobError> {
        let has_room = self.fill_from(layout::OPEN_JOBS, before, Place::Open)?;
        if has_room { self.fill_with_done(None) } else { Ok(()) }
    }

    /// Fills up with ended jobs behind `after`.
    pub fn fill_with_done(&mut self, after: Option<(&str, &JobId)>) -> Result<(), JobError> {
        let days = self.snapshot.list(layout::DONE_JOBS)?;
        let is_behind = |day: &str| after.is_none_or(|(last, _)| day <= last);
        for day in days.iter().rev().map(|entry| entry.name.as_str()).filter(|day| is_behind(day)) {
            let before = after.filter(|(last, _)| *last == day).map(|(_, job)| job);
            let folder = format!("{}/{day}", layout::DONE_JOBS);
            if !self.fill_from(&folder, before, |job| Place::Done(day.to_owned(), job))? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes the jobs of a folder, newest first; tells whether there is room for more.
    fn fill_from(
        &mut self,
        folder: &str,
        before: Option<&JobId>,
        place: impl Fn(JobId) -> Place,
    ) -> Result<bool, JobError> {
        for (id, path, oid) in jobs_below(self.snapshot, folder, before)? {
            let job = read(&path, &self.snapshot.blob(oid)?);
            if !self.take(job, || place(id)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&mut self, job: Option<Arc<Job>>, place: impl FnOnce() -> Place) -> bool {
        self.jobs.extend(job.filter(|job| (self.wanted)(job)));
        self.read += 1;
        let is_full = self.jobs.len() == self.limit || self.read >= FILES_READ_MAX;
        if is_full {
            self.next = Some(Cursor { commit: self.snapshot.commit(), place: place() });
        }
        !is_full
    }
}

/// The job in a file. One that cannot be read is left out of lists and said so; asking for it by its id tells what is wrong.
fn read(path: &str, bytes: &[u8]) -> Option<Arc<Job>> {
    match yaml::read(path, "job", bytes) {
        Ok(job) => Some(Arc::new(job)),
        Err(bad) => {
            tracing::warn!(%bad, "a job file is left out of a list");
            None
        }
    }
}

/// The jobs below a folder, newest first, older than `before`: id, file, content.
fn jobs_below(
    snapshot: &Snapshot,
    folder: &str,
    before: Option<&JobId>,
) -> Result<Vec<(JobId, String, Oid)>, JobError> {
    let mut found = Vec::new();
    snapshot.walk(folder, &mut |path, oid| {
        if let Ok(id) = layout::stem(path).parse::<JobId>()
            && before.is_none_or(|before| id < *before)
        {
            found.push((id, path.to_owned(), oid));
        }
        Ok(())
    })?;
    found.sort_unstable_by(|a, b| b.0.cmp(&a.0));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::oid::Kind;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let job: JobId = "job-01jd000000000000000000007k".parse().unwrap();
        let commit = Oid::of(Kind::Commit, b"");
        for place in [Place::Open(job.clone()), Place::Done("2026-11-20".to_owned(), job)] {
            let cursor = Cursor { commit, place };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in [
            "",
            "open",
            "open.x",
            "../x.job-01jd000000000000000000007k",
            "open.job-01jd000000000000000000007k",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
    }
}
