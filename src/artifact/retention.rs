//! Which artifacts a project keeps no longer. Decides only.

use std::collections::HashSet;
use std::time::Duration;

use super::types::Artifact;
use crate::clock::Time;
use crate::id::ArtifactId;
use crate::project::types::Retention;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The entries that no rule keeps: neither of the last builds nor young enough. Without any rule all are kept.
pub fn expired(entries: &[Artifact], rules: &Retention, now: Time) -> Vec<ArtifactId> {
    if rules.keeps_all() {
        return Vec::new();
    }
    let mut newest_first: Vec<&Artifact> = entries.iter().collect();
    newest_first.sort_by(|a, b| b.artifact_id.cmp(&a.artifact_id));
    let mut last_builds = HashSet::new();
    let mut expired = Vec::new();
    for entry in newest_first {
        let build = build_of(entry);
        let has_room = rules.keep_builds.is_some_and(|most| last_builds.len() < most as usize);
        if has_room {
            last_builds.insert(build);
        }
        let is_young = rules.keep_days.is_some_and(|days| now.since(entry.uploaded_at) < DAY * days);
        if !last_builds.contains(build) && !is_young {
            expired.push(entry.artifact_id.clone());
        }
    }
    expired
}

/// When age alone may let go of one of these entries; `None` if only newer builds can.
pub fn next_look(entries: &[Artifact], rules: &Retention, now: Time) -> Option<Time> {
    let days = rules.keep_days?;
    entries.iter().map(|entry| entry.uploaded_at.after(DAY * days)).filter(|end| *end > now).min()
}

/// What an artifact is of: its job, else its build's number; one that has neither is a build by itself.
fn build_of(entry: &Artifact) -> &str {
    let job = entry.job_id.as_ref().map(|job| job.as_str());
    job.or(entry.build_number.as_deref()).unwrap_or(entry.artifact_id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_763_663_400_000;

    /// `(build number, age in days)`, the oldest first; the name is its place.
    fn entries(of: &[(&str, u64)]) -> Vec<Artifact> {
        let entry = |(at, (build, days)): (usize, &(&str, u64))| Artifact {
            artifact_id: format!("art-01jd00000000000000000000{at:02}").parse().unwrap(),
            name: at.to_string(),
            drive_path: None,
            sha256: String::new(),
            size: Some(1),
            build_number: (!build.is_empty()).then(|| (*build).to_owned()),
            job_id: None,
            uploaded_at: Time::from_millis(NOW).before(DAY * u32::try_from(*days).unwrap()),
        };
        of.iter().enumerate().map(entry).collect()
    }

    fn gone(of: &[(&str, u64)], keep_builds: Option<u32>, keep_days: Option<u32>) -> Vec<usize> {
        let rules = Retention { keep_builds, keep_days };
        let mut gone: Vec<usize> = expired(&entries(of), &rules, Time::from_millis(NOW))
            .iter()
            .map(|id| id.as_str()[28..].parse().unwrap())
            .collect();
        gone.sort_unstable();
        gone
    }

    #[test]
    fn what_either_rule_keeps_is_kept() {
        let builds = [("1", 30), ("1", 20), ("2", 10), ("", 5), ("3", 1)];
        for (keep_builds, keep_days, expected) in [
            (None, None, vec![]),
            (Some(1), None, vec![0, 1, 2, 3]),
            (Some(2), None, vec![0, 1, 2]),
            (Some(3), None, vec![0, 1]),
            (Some(4), None, vec![]),
            (None, Some(1), vec![0, 1, 2, 3, 4]),
            (None, Some(2), vec![0, 1, 2, 3]),
            (None, Some(30), vec![0]),
            (None, Some(31), vec![]),
            (Some(1), Some(6), vec![0, 1, 2]),
            (Some(3), Some(25), vec![0]),
        ] {
            assert_eq!(gone(&builds, keep_builds, keep_days), expected, "{keep_builds:?} {keep_days:?}");
        }
    }

    #[test]
    fn the_next_look_is_when_the_oldest_young_entry_comes_of_age() {
        let now = Time::from_millis(NOW);
        let next = |of: &[(&str, u64)], keep_days| {
            let rules = Retention { keep_builds: Some(1), keep_days };
            next_look(&entries(of), &rules, now).map(|at| at.since(now).as_secs() / DAY.as_secs())
        };
        let builds = [("1", 30), ("2", 20), ("3", 10)];
        assert_eq!(next(&builds, None), None, "only a newer build lets one go");
        assert_eq!((next(&builds, Some(25)), next(&builds, Some(20))), (Some(5), Some(10)));
        assert_eq!((next(&builds, Some(5)), next(&[], Some(5))), (None, None));
    }

    #[test]
    fn a_builds_artifacts_stay_together_also_when_others_came_between() {
        let builds = [("1", 9), ("2", 8), ("1", 7)];
        assert_eq!(gone(&builds, Some(1), None), [1]);
    }
}
