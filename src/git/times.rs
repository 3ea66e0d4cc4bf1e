//! Decides whether the times that pushed commits say may stand in history. Searches by time believe them, so on a branch they
//! never go back, and none is later than now; nobody's clock is exact, so a little of both is made good instead of refused.

use std::time::Duration;

use super::pushed::PushedCommit;
use super::refusal::Refusal;
use crate::clock::Time;

/// How far a pusher's clock may be from the daemon's. Within it the commits are made anew, at the daemon's time; beyond it that
/// clock is wrong, and whoever pushes is told so.
const SKEW_MAX: Duration = Duration::from_secs(300);

/// What a commit says of when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// What its author wrote.
    pub authored: Time,
    /// When it was committed: the time by which it is found.
    pub committed: Time,
}

impl Times {
    /// As they stand in a commit; in which zone makes no difference.
    pub fn of(commit: &git2::Commit<'_>) -> Self {
        let time = |seconds: i64| Time::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
        Self { authored: time(commit.author().when().seconds()), committed: time(commit.time().seconds()) }
    }
}

/// Whether commits, oldest first, may stand as they are on one that was committed at `base`. If not, and they are not refused, they
/// are to be made anew.
pub fn may_stand(base: Time, commits: &[PushedCommit], now: Time) -> Result<bool, Refusal> {
    let latest = now.after(SKEW_MAX);
    // A branch that is ahead of the daemon's clock is nothing that a pusher could follow.
    let (mut before, mut may_stand) = (base.min(now), true);
    for commit in commits {
        let Times { authored, committed } = commit.times;
        if authored.max(committed) > latest {
            return Err(too_late(commit, now));
        }
        if committed.after(SKEW_MAX) < before {
            return Err(too_early(commit, before));
        }
        // Git has seconds, and the daemon's clock is somewhere within one.
        may_stand &= committed.seconds() >= before.seconds() && committed.seconds() <= now.seconds();
        before = committed.min(now);
    }
    Ok(may_stand)
}

fn too_late(commit: &PushedCommit, now: Time) -> Refusal {
    let Times { authored, committed } = commit.times;
    let (who, said) = if committed >= authored { ("committed", committed) } else { ("authored", authored) };
    Refusal::push(format!(
        "the commit {} says that it was {who} at {said}, and it is {now}: more than {} s ahead",
        short(commit),
        SKEW_MAX.as_secs()
    ))
    .remedy("see that your clock is right, then git rebase --ignore-date origin/state, and push again")
}

fn too_early(commit: &PushedCommit, before: Time) -> Refusal {
    Refusal::push(format!(
        "the commit {} says that it was committed at {}, more than {} s before the commit that it stands on ({before})",
        short(commit),
        commit.times.committed,
        SKEW_MAX.as_secs()
    ))
    .remedy("see that your clock is right, then git rebase --force-rebase origin/state, and push again")
}

fn short(commit: &PushedCommit) -> String {
    commit.commit.to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::oid::Oid;

    const NOW: u64 = 1_795_168_800;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn commits(times: &[(u64, u64)]) -> Vec<PushedCommit> {
        let commit = |(authored, committed): &(u64, u64)| PushedCommit {
            commit: Oid([7; 20]),
            text: bytes::Bytes::new(),
            subject: String::new(),
            author: String::new(),
            times: Times { authored: at(*authored), committed: at(*committed) },
            files: Default::default(),
        };
        times.iter().map(commit).collect()
    }

    fn decided(base: u64, times: &[(u64, u64)]) -> Result<bool, String> {
        let now = Time::from_millis(NOW * 1000 + 400);
        may_stand(at(base), &commits(times), now).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn times_that_go_on_from_the_branch_and_not_past_now_stand() {
        assert_eq!(decided(NOW, &[(NOW, NOW), (NOW, NOW)]), Ok(true));
        assert_eq!(decided(NOW - 9000, &[(0, NOW - 9000), (NOW - 100, NOW - 60), (5, NOW)]), Ok(true));
    }

    #[test]
    fn a_clock_that_is_a_little_off_makes_commits_anew_and_refuses_nothing() {
        for times in [[(NOW, NOW - 1)], [(NOW, NOW - 300)], [(NOW, NOW + 1)], [(NOW + 300, NOW + 300)]] {
            assert_eq!(decided(NOW, &times), Ok(false), "{times:?}");
        }
        assert_eq!(decided(NOW - 9000, &[(NOW, NOW - 60), (NOW, NOW - 61)]), Ok(false));
        // The branch itself is ahead: its daemon's clock was put back.
        assert_eq!(decided(NOW + 9000, &[(NOW, NOW)]), Ok(true));
    }

    #[test]
    fn a_clock_that_is_wrong_is_refused_with_the_commit_and_what_to_do() {
        let refused = |base, times: &[(u64, u64)]| decided(base, times).unwrap_err();
        let early = refused(NOW, &[(NOW, NOW), (NOW, NOW - 301)]);
        assert!(
            early.contains("the commit 0707070707 says that it was committed at 2026-11-20T09:54:59"),
            "{early}"
        );
        assert!(early.contains("--force-rebase"), "{early}");
        assert!(refused(NOW, &[(NOW, 0)]).contains("1970-01-01"));
        for times in [[(NOW, NOW + 301)], [(NOW + 301, NOW)], [(NOW, 1 << 34)], [(u64::MAX / 1000, NOW)]] {
            let late = refused(NOW, &times);
            assert!(late.contains("ahead") && late.contains("--ignore-date"), "{late}");
        }
        assert!(refused(NOW, &[(NOW + 301, NOW)]).contains("it was authored at"));
    }
}
