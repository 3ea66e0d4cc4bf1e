//! Finds where a line of commits stands on the branch. However much is pushed and whatever it stands on, this is one walk back from
//! the branch's end, and a bounded one: what stands beside the branch would otherwise be looked for in all of history, once a commit.

use std::collections::HashMap;

use crate::state::oid::Oid;

/// How far behind the tip a push may stand. Whoever pushes is told of a commit at most 4,096 back; the rest is what others write while
/// the push is under way. Walking so far takes some half a second, and no writer waits for it.
const BEHIND_MAX: usize = 65_536;
/// How far behind the ends of the epochs before, all in all: it is only to say what is to be done.
const ENDED_BEHIND_MAX: usize = 16_384;

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// On this commit of the branch, by its place in the line; it is where the pusher saw the branch, or later.
    OnBranch(usize),
    /// On this commit of an epoch that has ended.
    OnEnded(Oid),
    /// Neither, or too far back.
    Beside,
}

/// The end of a branch, where the pusher saw it, and the ends of the epochs before.
pub struct Branch<'a> {
    /// Its newest commit.
    pub tip: Oid,
    /// Where the pusher saw it.
    pub seen: Oid,
    /// The last commit of each epoch before, newest first.
    pub ended: &'a [Oid],
}

/// Where the line, newest commit first, stands. `before` tells the commit before one that the repository has; nothing if it is the first.
pub fn stand(line: &[Oid], branch: &Branch<'_>, before: impl Fn(Oid) -> Option<Oid>) -> Stand {
    let back = |from: Oid| std::iter::successors(Some(from), |commit| before(*commit));
    let places: HashMap<Oid, usize> = line.iter().enumerate().map(|(at, commit)| (*commit, at)).collect();
    let mut base = None;
    for commit in back(branch.tip).take(BEHIND_MAX) {
        base = base.or_else(|| places.get(&commit).copied());
        match base {
            Some(base) if commit == branch.seen => return Stand::OnBranch(base),
            // What stands on the branch before that is not looked for.
            None if commit == branch.seen => break,
            _ => {}
        }
    }
    if base.is_some() {
        return Stand::Beside;
    }
    let each = ENDED_BEHIND_MAX / branch.ended.len().max(1);
    let mut ended = branch.ended.iter().flat_map(|end| back(*end).take(each));
    ended.find(|commit| places.contains_key(commit)).map_or(Stand::Beside, Stand::OnEnded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// The commit of this number in a history of this name; its number counts from the first.
    fn commit(history: u8, number: u32) -> Oid {
        let mut oid = [history; 20];
        oid[..4].copy_from_slice(&number.to_be_bytes());
        Oid(oid)
    }

    fn number(commit: Oid) -> u32 {
        u32::from_be_bytes([commit.0[0], commit.0[1], commit.0[2], commit.0[3]])
    }

    /// Numbers of one history, newest first.
    fn commits(history: u8, numbers: std::ops::RangeInclusive<u32>) -> Vec<Oid> {
        numbers.rev().map(|number| commit(history, number)).collect()
    }

    const BRANCH: u8 = 1;
    const ENDED: u8 = 2;
    const BESIDE: u8 = 3;

    /// Where a line stands on the branch whose newest commit is `tip`, and how many commits were looked at.
    fn stands(line: &[Oid], tip: u32, seen: Oid) -> (Stand, usize) {
        let looks = Cell::new(0);
        let before = |at: Oid| {
            looks.set(looks.get() + 1);
            number(at).checked_sub(1).map(|before| commit(at.0[19], before))
        };
        let ended = [commit(ENDED, 900), commit(ENDED, 500)];
        let branch = Branch { tip: commit(BRANCH, tip), seen, ended: &ended };
        (stand(line, &branch, before), looks.get())
    }

    #[test]
    fn a_line_stands_on_the_newest_commit_that_it_shares_with_the_branch() {
        let line = [commits(BESIDE, 7..=9), commits(BRANCH, 20..=30)].concat();
        let on = |seen: u32| stands(&line, 39, commit(BRANCH, seen)).0;
        assert_eq!((on(30), on(10)), (Stand::OnBranch(3), Stand::OnBranch(3)));
        assert_eq!(on(31), Stand::Beside, "the pusher saw a later commit");
        let tip = commit(BRANCH, 39);
        assert_eq!(stands(&commits(BRANCH, 39..=39), 39, tip).0, Stand::OnBranch(0));
        assert_eq!(stands(&commits(ENDED, 400..=600), 39, tip).0, Stand::OnEnded(commit(ENDED, 600)));
        assert_eq!(
            stands(&commits(ENDED, 600..=600), 39, commit(ENDED, 600)).0,
            Stand::OnEnded(commit(ENDED, 600))
        );
    }

    #[test]
    fn what_stands_beside_the_branch_is_looked_for_in_one_bounded_walk_however_many_commits_it_has() {
        let line = commits(BESIDE, 0..=200);
        let (stand, looks) = stands(&line, 39, commit(BRANCH, 39));
        assert_eq!(stand, Stand::Beside);
        assert!(
            looks < 1500,
            "where the pusher saw the branch is its end, so only the ended epochs are looked at: {looks}"
        );
        let (stand, looks) = stands(&line, 5_000_000, commit(BRANCH, 3));
        assert_eq!(stand, Stand::Beside);
        assert!(looks <= BEHIND_MAX + ENDED_BEHIND_MAX, "{looks}");
        let (stand, _) = stands(&commits(BRANCH, 3..=3), 5_000_000, commit(BRANCH, 3));
        assert_eq!(stand, Stand::Beside, "what is too far back is as if it were not there");
    }
}
