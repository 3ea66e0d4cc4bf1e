//! What each caller has fetched of a branch lately, and so which of its commits a push of theirs may begin with.
//!
//! Git itself refuses to push where it does not have what the branch is said to stand at. A branch that moves faster than a
//! push takes would never be pushed to, so whoever pushes is told a commit that they have. It is memory alone: without it they are
//! told where the branch stands, and pull.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::path::Path;

use parking_lot::Mutex;

use crate::id::ProjectId;
use crate::state::oid::Oid;

/// Callers that are remembered, in all projects; who is forgotten pulls once more.
const CALLERS_MAX: usize = 4096;
/// Commits of each: as many clones may share a key.
const FETCHED_MAX: usize = 16;
/// How far behind the tip a commit may be that a push is told of. Walking so far takes some ten milliseconds.
const BEHIND_MAX: usize = 4096;
/// How much of a request is read for what it wants: that stands before what the client has.
const READ_BYTES_MAX: u64 = 64 << 10;

/// What a fetch asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The objects.
    pub objects: Vec<Oid>,
    /// Whether the clone lacks what is before: then it has the commits that it fetched and no others.
    pub is_shallow: bool,
}

impl Wants {
    /// Reads them from the body of a `git-upload-pack` request, of any version of the protocol.
    pub fn read(body: &[u8], is_gzip: bool) -> Self {
        let mut text = Vec::new();
        let is_read = if is_gzip {
            flate2::read::GzDecoder::new(body).take(READ_BYTES_MAX).read_to_end(&mut text)
        } else {
            body.take(READ_BYTES_MAX).read_to_end(&mut text)
        };
        let mut wants = Self::default();
        // What is broken git itself refuses; what was read until there counts.
        drop(is_read);
        for line in Lines(&text) {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            if let Some(rest) = line.strip_prefix(b"want ") {
                wants.objects.extend(oid(rest));
            }
            wants.is_shallow |= line.starts_with(b"shallow ") || line.starts_with(b"deepen");
        }
        wants
    }
}

/// Where a push of one ref says that it saw it: `old new ref`, in the first lines of what is sent.
pub fn old_of(sent: &[u8]) -> Option<Oid> {
    let command = Lines(sent).find(|line| !line.starts_with(b"shallow "))?;
    oid(command)
}

/// The length of the lines before a pack that are read for it.
pub const COMMANDS_BYTES_MAX: u64 = READ_BYTES_MAX;

fn oid(text: &[u8]) -> Option<Oid> {
    std::str::from_utf8(text.get(..40)?).ok()?.parse().ok()
}

/// The lines of git's protocol (`gitprotocol-common`, pkt-line), up to what is no line.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let length = std::str::from_utf8(self.0.get(..4)?).ok()?;
            match usize::from_str_radix(length, 16).ok()? {
                // Ends of parts: a request has several.
                0..4 => self.0 = &self.0[4..],
                length => {
                    let line = self.0.get(4..length)?;
                    self.0 = &self.0[length..];
                    return Some(line);
                }
            }
        }
    }
}

type Caller = (ProjectId, String);

/// What all callers have fetched, oldest first.
#[derive(Default)]
pub struct Seen(Mutex<HashMap<Caller, VecDeque<Oid>>>);

impl Seen {
    /// Notes commits of the branch that a caller has fetched.
    pub fn note(&self, project: &ProjectId, caller: String, fetched: &[Oid], is_shallow: bool) {
        let mut all = self.0.lock();
        let key = (project.clone(), caller);
        if all.len() >= CALLERS_MAX && !all.contains_key(&key) {
            let any = all.keys().next().cloned();
            any.and_then(|any| all.remove(&any));
        }
        let known = all.entry(key).or_default();
        if is_shallow {
            known.clear();
        }
        known.retain(|commit| !fetched.contains(commit));
        known.extend(fetched);
        let more = known.len().saturating_sub(FETCHED_MAX);
        known.drain(..more);
    }

    /// What a caller has fetched, oldest first.
    pub fn fetched(&self, project: &ProjectId, caller: &str) -> Vec<Oid> {
        let key = (project.clone(), caller.to_owned());
        self.0.lock().get(&key).map(|known| known.iter().copied().collect()).unwrap_or_default()
    }
}

/// Which of some commits are on the branch that ends at `tip`, and not far back: the furthest back first.
pub fn on_branch(repo: &Path, tip: Oid, wanted: &[Oid]) -> Result<Vec<Oid>, git2::Error> {
    let mut found = Vec::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let repo = git2::Repository::open_bare(repo)?;
    let mut at = tip.to_git();
    for _ in 0..BEHIND_MAX {
        if wanted.contains(&at.into()) {
            found.insert(0, at.into());
            if found.len() == wanted.len() {
                break;
            }
        }
        match repo.find_commit(at)?.parent_id(0) {
            Ok(parent) => at = parent,
            Err(_) => break,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        format!("{:04x}{text}", text.len() + 4)
    }

    #[test]
    fn what_is_wanted_is_read_from_each_version_of_the_protocol() {
        let (one, two) = (Oid([0x11; 20]), Oid([0x22; 20]));
        let old = line(&format!("want {one} multi_ack_detailed side-band-64k agent=git/2.39\n"))
            + &line(&format!("want {two}\n"))
            + "0000"
            + &line(&format!("have {two}\n"));
        let wants = Wants { objects: vec![one, two], is_shallow: false };
        assert_eq!(Wants::read(old.as_bytes(), false), wants);
        let new = line("command=fetch")
            + &line("agent=git/2.47")
            + "0001"
            + &line("deepen 1")
            + &line(&format!("want {one}\n"))
            + "0000";
        assert_eq!(Wants::read(new.as_bytes(), false), Wants { objects: vec![one], is_shallow: true });
        for bad in ["", "00", "zzzz", "00ffwant", "0009want x"] {
            assert_eq!(Wants::read(bad.as_bytes(), false), Wants::default(), "{bad}");
        }
        assert_eq!(Wants::read(b"no gzip", true), Wants::default());
    }

    #[test]
    fn a_push_says_first_where_it_saw_the_ref() {
        let (one, two) = (Oid([0x11; 20]), Oid([0x22; 20]));
        let command = line(&format!("{one} {two} refs/heads/state\0report-status-v2"));
        assert_eq!(old_of((command.clone() + "0000PACK").as_bytes()), Some(one));
        assert_eq!(old_of((line(&format!("shallow {two}")) + &command).as_bytes()), Some(one));
        assert_eq!((old_of(b"0000"), old_of(b"")), (None, None));
    }

    #[test]
    fn a_clone_that_lacks_its_past_is_told_what_it_fetched_since_alone() {
        let (seen, project) = (Seen::default(), "mrx-a".parse().unwrap());
        let oid = |number: u8| Oid([number; 20]);
        seen.note(&project, "agent a".into(), &[oid(1)], false);
        seen.note(&project, "agent a".into(), &[oid(2)], false);
        assert_eq!(seen.fetched(&project, "agent a"), [oid(1), oid(2)]);
        seen.note(&project, "agent a".into(), &[oid(3)], true);
        assert_eq!(seen.fetched(&project, "agent a"), [oid(3)]);
        assert!(seen.fetched(&project, "agent b").is_empty());
        for number in 0..100 {
            seen.note(&project, "agent a".into(), &[oid(number)], false);
        }
        let kept = seen.fetched(&project, "agent a");
        assert_eq!((kept.len(), kept.last()), (FETCHED_MAX, Some(&oid(99))));
    }
}
