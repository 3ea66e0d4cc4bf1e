//! What a benchmark prints: one object, the same fields for each.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The figures of one run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which benchmark.
    pub what: String,
    /// How many were under way at once.
    pub in_flight: usize,
    /// How many jobs there were.
    pub jobs: usize,
    /// How many operations were measured.
    pub operations: usize,
    /// How long they took together, in seconds.
    pub seconds: f64,
    /// Operations a second.
    pub per_second: f64,
    /// The median time of one, in milliseconds.
    pub p50_ms: f64,
    /// The time that 99 of 100 did not exceed, in milliseconds.
    pub p99_ms: f64,
    /// Bytes of packs and indexes a commit, before any repack.
    pub bytes_per_commit: f64,
    /// The same after `git repack -adf`.
    pub bytes_per_commit_repacked: f64,
    /// The process's resident memory at the end, in MiB.
    pub rss_mb: f64,
}

impl Report {
    /// Sums up the times of single operations.
    pub fn of(what: &str, in_flight: usize, jobs: usize, elapsed: Duration, mut each: Vec<Duration>) -> Self {
        each.sort_unstable();
        let at = |share: usize| each.get((each.len() * share / 100).min(each.len().saturating_sub(1)));
        let millis = |time: Option<&Duration>| time.map_or(0.0, |time| rounded(time.as_secs_f64() * 1e3));
        Self {
            what: what.to_owned(),
            in_flight,
            jobs,
            operations: each.len(),
            seconds: rounded(elapsed.as_secs_f64()),
            per_second: (each.len() as f64 / elapsed.as_secs_f64()).round(),
            p50_ms: millis(at(50)),
            p99_ms: millis(at(99)),
            bytes_per_commit: 0.0,
            bytes_per_commit_repacked: 0.0,
            rss_mb: rss_mb(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} operations in {:.2} s with {} in flight: {:.0}/s, p50 {:.3} ms, p99 {:.3} ms, {:.0} bytes a commit, {:.0} MiB resident",
            self.what,
            self.operations,
            self.seconds,
            self.in_flight,
            self.per_second,
            self.p50_ms,
            self.p99_ms,
            self.bytes_per_commit,
            self.rss_mb,
        )
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Resident memory of this process in MiB, as Linux tells it; 0 elsewhere.
pub fn rss_mb() -> f64 {
    rss_mb_of(std::process::id())
}

/// Resident memory of a process in MiB.
pub fn rss_mb_of(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0);
    rounded(kib / 1024.0)
}

/// Bytes of all files below a folder.
pub fn bytes_below(folder: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}
