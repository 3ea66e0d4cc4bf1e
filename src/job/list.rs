//! Pages of a project's jobs: the open ones, newest first, then the ended ones by day, the newest day first.
//!
//! A cursor names the last job of a page by where its file was, so jobs that come or end later do not shift the rest.

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

/// Behind which job a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Behind this open one.
    Open(JobId),
    /// Behind this one, among those that ended on a day.
    Done(String, JobId),
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cursor::Open(job) => write!(f, "open.{job}"),
            Cursor::Done(day, job) => write!(f, "{day}.{job}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;
    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (place, job) = text.split_once('.').ok_or(BadCursor)?;
        let job = job.parse().map_err(|_| BadCursor)?;
        let is_day = place.len() == 10 && place.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        match place {
            "open" => Ok(Cursor::Open(job)),
            day if is_day => Ok(Cursor::Done(day.to_owned(), job)),
            _ => Err(BadCursor),
        }
    }
}

/// A page in the making.
pub struct Page<'w> {
    limit: usize,
    wanted: &'w dyn Fn(&Job) -> bool,
    /// The jobs so far.
    pub jobs: Vec<Arc<Job>>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    read: usize,
}

impl<'w> Page<'w> {
    /// An empty one.
    pub fn new(limit: usize, wanted: &'w dyn Fn(&Job) -> bool) -> Self {
        Self { limit, wanted, jobs: Vec::new(), next: None, read: 0 }
    }

    /// Takes a job if it is wanted; tells whether there is room for more.
    pub fn take(&mut self, job: &Arc<Job>, cursor: impl FnOnce() -> Cursor) -> bool {
        if (self.wanted)(job) {
            self.jobs.push(job.clone());
        }
        self.read += 1;
        let is_full = self.jobs.len() == self.limit || self.read >= FILES_READ_MAX;
        if is_full {
            self.next = Some(cursor());
        }
        !is_full
    }

    /// Fills up with ended jobs behind `after`.
    pub fn fill_with_done(&mut self, snapshot: &Snapshot, after: Option<(&str, &JobId)>) -> Result<(), JobError> {
        let days = snapshot.list(layout::DONE_JOBS)?;
        let is_behind = |day: &str| after.is_none_or(|(last, _)| day <= last);
        for day in days.iter().rev().map(|entry| entry.name.as_str()).filter(|day| is_behind(day)) {
            let before = after.filter(|(last, _)| *last == day).map(|(_, job)| job);
            for (id, oid) in jobs_of_day(snapshot, day, before)? {
                let path = layout::done_job_on(&id, day);
                let job = Arc::new(yaml::read(&path, "job", &snapshot.blob(oid)?)?);
                if !self.take(&job, || Cursor::Done(day.to_owned(), id)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The jobs that ended on a day, newest first, older than `before`.
fn jobs_of_day(snapshot: &Snapshot, day: &str, before: Option<&JobId>) -> Result<Vec<(JobId, Oid)>, JobError> {
    let mut found = Vec::new();
    snapshot.walk(&format!("{}/{day}", layout::DONE_JOBS), &mut |path, oid| {
        if let Ok(id) = layout::stem(path).parse::<JobId>() {
            if before.is_none_or(|before| id < *before) {
                found.push((id, oid));
            }
        }
        Ok(())
    })?;
    found.sort_unstable_by(|a, b| b.0.cmp(&a.0));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let job: JobId = "job-01jd000000000000000000007k".parse().unwrap();
        for cursor in [Cursor::Open(job.clone()), Cursor::Done("2026-11-20".to_owned(), job)] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in ["", "open", "open.x", "../x.job-01jd000000000000000000007k"] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
    }
}
