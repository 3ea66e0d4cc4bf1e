//! Reads what was pushed, as hostile until all of it is read: the commits from the branch's tip on, and what each does to files.
//!
//! Says what stands in the commits, within bounds and in git's own form, and nothing about what the files mean.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use super::join::{self, Branch, Stand};
use super::refusal::Refusal;
use super::times::Times;
use crate::clock::Time;
use crate::state::edit::Edit;
use crate::state::oid::Oid;
use crate::state::yaml::FILE_BYTES_MAX;

/// Commits in one push; a repair or a claim is one.
const COMMITS_MAX: usize = 200;
/// Files that a push may change, counted in each of its commits.
const FILES_MAX: usize = 1000;
/// Bytes of files that a push may bring, so that it fits into a record of the journal.
const FILES_BYTES_MAX: usize = 8 << 20;
/// Folders that are looked into for them: each file is in at most eight. Folders without files would never end otherwise.
const FOLDERS_MAX: usize = 8 * FILES_MAX;
/// A file with more brackets than this may be nested so deep that reading it takes the square of its length.
pub const BRACKETS_MAX: usize = 512;
/// So many bytes such a file has at most.
pub const BRACKETED_BYTES_MAX: usize = 64 << 10;
/// A commit's text, and in it the first line and the names, which events hold in memory.
const COMMIT_BYTES_MAX: usize = 16 << 10;
const SUBJECT_BYTES_MAX: usize = 1000;
const NAME_BYTES_MAX: usize = 256;
/// A folder's bytes: far above the widest that the state has.
const FOLDER_BYTES_MAX: usize = 1 << 20;
/// Folders in folders; the deepest file of the state is at eight.
const DEPTH_MAX: usize = 12;
/// The mode of a file and of a folder: the only ones there are.
const FILE: i32 = 0o100_644;
const FOLDER: i32 = 0o040_000;
/// The daemon's address ends so, and that of whoever it writes commits for.
const OWN_DOMAIN: &str = "mrx.invalid";

/// A commit that was pushed.
#[derive(Debug)]
pub struct PushedCommit {
    /// Its id.
    pub commit: Oid,
    /// The commit object.
    pub text: Bytes,
    /// Its first line.
    pub subject: String,
    /// Its author's name.
    pub author: String,
    /// When it says that it was made.
    pub times: Times,
    /// What it does to files, by path.
    pub files: BTreeMap<String, FileChange>,
}

/// What a commit does to a file.
#[derive(Debug)]
pub struct FileChange {
    /// What it held before.
    pub old: Option<Oid>,
    /// What it holds since.
    pub new: Option<Bytes>,
}

impl PushedCommit {
    /// What it does to files, as edits.
    pub fn edits(&self) -> Vec<Edit> {
        let edit = |(path, change): (&String, &FileChange)| match &change.new {
            Some(bytes) => Edit::write(path.as_str(), bytes.clone()),
            None => Edit::remove(path.as_str()),
        };
        self.files.iter().map(edit).collect()
    }

    /// The tree that it says it has.
    pub fn tree(&self) -> Option<Oid> {
        let hex = self.text.strip_prefix(b"tree ")?.get(..40)?;
        std::str::from_utf8(hex).ok()?.parse().ok()
    }
}

/// What was pushed: commits, oldest first, on one that the branch has.
#[derive(Debug)]
pub struct Line {
    /// The commit that they were made on.
    pub base: Oid,
    /// When that one was committed.
    pub base_time: Time,
    /// The commits; none if the branch has all of them.
    pub commits: Vec<PushedCommit>,
}

/// The pushed objects: those in quarantine, and behind them the repository's.
pub struct Reader {
    repo: git2::Repository,
    /// The repository without what is pushed: whatever is in it was found good before.
    known: git2::Repository,
    /// The ends of the epochs before the one of the branch.
    ended: Vec<Oid>,
    folders: usize,
    files: usize,
    bytes: usize,
}

impl Reader {
    /// Over a repository itself.
    pub fn of(repo: &Path) -> Result<Self, Refusal> {
        let unread =
            |error: git2::Error| Refusal::push(format!("the objects cannot be read: {}", error.message()));
        let open = || git2::Repository::open_bare(repo).map_err(unread);
        Ok(Self { repo: open()?, known: open()?, ended: Vec::new(), folders: 0, files: 0, bytes: 0 })
    }

    /// Over a scratch repository and its quarantine.
    pub fn open(scratch: &Path, quarantine: &Path) -> Result<Self, Refusal> {
        let unread = |error: git2::Error| {
            Refusal::push(format!("the pushed objects cannot be read: {}", error.message()))
        };
        let open = || git2::Repository::open_bare(scratch).map_err(unread);
        let (repo, known) = (open()?, open()?);
        let path = quarantine.to_str().ok_or_else(|| Refusal::push("the data folder's path is no UTF-8"))?;
        repo.odb().and_then(|odb| odb.add_disk_alternate(path)).map_err(unread)?;
        Ok(Self { repo, known, ended: Vec::new(), folders: 0, files: 0, bytes: 0 })
    }

    /// With the ends of the epochs before the one of the branch, so that whoever stands on one of them is told so.
    pub fn with_ended(self, ended: Vec<Oid>) -> Self {
        Self { ended, ..self }
    }

    /// The commits up to `new` that the branch, which stands at `tip`, does not have: a line without merges, as a rebase makes it.
    /// It must stand on the branch, and not before `seen`, which is where the pusher saw it.
    pub fn line(&mut self, tip: Oid, seen: Oid, new: Oid) -> Result<Line, Refusal> {
        let (mut line, why_no_further) = self.back_from(new, [tip, seen]);
        let branch = Branch { tip, seen, ended: &self.ended };
        let before =
            |commit: Oid| self.known.find_commit(commit.to_git()).ok()?.parent_id(0).ok().map(Oid::from);
        let base = match join::stand(&line, &branch, before) {
            Stand::OnBranch(base) => base,
            Stand::OnEnded(end) => return Err(of_ended_epoch(end)),
            Stand::Beside => return Err(why_no_further),
        };
        let base = line.drain(base..).next().unwrap_or(tip);
        let commits = line.into_iter().rev().map(|commit| self.read(commit)).collect::<Result<_, _>>()?;
        Ok(Line { base, base_time: self.committed(base)?, commits })
    }

    /// The commits from `new` back, newest first, up to one that is known to be the branch's, and one more than may be pushed; and why
    /// there are no more, if none of these is the branch's.
    fn back_from(&self, new: Oid, known: [Oid; 2]) -> (Vec<Oid>, Refusal) {
        let mut line = vec![new];
        let mut at = new;
        while line.len() <= COMMITS_MAX && !known.contains(&at) {
            at = match self.parent(at) {
                Ok(parent) => parent,
                Err(refusal) => return (line, refusal),
            };
            line.push(at);
        }
        if known.contains(&at) {
            return (line, not_forward());
        }
        let more = Refusal::push(format!("it has more than {COMMITS_MAX} commits"))
            .remedy("push fewer at a time, or squash them");
        (line, more)
    }

    /// The one commit before.
    fn parent(&self, commit: Oid) -> Result<Oid, Refusal> {
        match self.parents(commit)?[..] {
            [parent] => Ok(parent),
            [] => Err(not_forward()),
            _ => Err(Refusal::push(format!("{commit} is a merge"))
                .remedy("the branch is one line: git pull --rebase, then push")),
        }
    }

    fn parents(&self, commit: Oid) -> Result<Vec<Oid>, Refusal> {
        self.check_size(commit, git2::ObjectType::Commit, COMMIT_BYTES_MAX)?;
        let commit = self.repo.find_commit(commit.to_git()).map_err(|error| unread(commit, &error))?;
        Ok(commit.parent_ids().map(Oid::from).collect())
    }

    fn committed(&self, commit: Oid) -> Result<Time, Refusal> {
        let found = self.repo.find_commit(commit.to_git()).map_err(|error| unread(commit, &error))?;
        Ok(Times::of(&found).committed)
    }

    fn read(&mut self, id: Oid) -> Result<PushedCommit, Refusal> {
        let text = self.content(id)?;
        let (subject, author, times, before, after) = {
            let commit = self.repo.find_commit(id.to_git()).map_err(|error| unread(id, &error))?;
            check_words(id, &commit)?;
            check_signatures(id, &commit)?;
            let parent = commit.parent(0).map_err(|error| unread(id, &error))?;
            let author = String::from_utf8_lossy(commit.author().name_bytes()).into_owned();
            let subject = commit.message().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
            (subject, author, Times::of(&commit), Oid::from(parent.tree_id()), Oid::from(commit.tree_id()))
        };
        let mut files = BTreeMap::new();
        self.compare(Some(before), Some(after), "", &mut files)?;
        Ok(PushedCommit { commit: id, text, subject, author, times, files })
    }

    /// What differs between two folders; each of them may be missing.
    fn compare(
        &mut self,
        old: Option<Oid>,
        new: Option<Oid>,
        path: &str,
        files: &mut BTreeMap<String, FileChange>,
    ) -> Result<(), Refusal> {
        if path.matches('/').count() > DEPTH_MAX {
            return Err(Refusal::file(path, "it is too deep for any file of the state"));
        }
        self.folders += 1;
        if self.folders > FOLDERS_MAX {
            return Err(Refusal::push(format!("it changes more than {FOLDERS_MAX} folders"))
                .remedy("push fewer files at a time"));
        }
        for Difference { name, before, after } in self.differences(old, new, path)? {
            let name = name_of(path, &name)?;
            let full = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            if let Some((mode, _)) = after
                && mode != FILE
                && mode != FOLDER
            {
                return Err(odd_mode(&full, mode));
            }
            let folder = |entry: Option<Held>| entry.filter(|(mode, _)| *mode == FOLDER).map(|(_, oid)| oid);
            let file = |entry: Option<Held>| entry.filter(|(mode, _)| *mode == FILE).map(|(_, oid)| oid);
            if folder(before).is_some() || folder(after).is_some() {
                self.compare(folder(before), folder(after), &full, files)?;
            }
            if file(before).is_some() || file(after).is_some() {
                let change = self.file(file(before), file(after), &full)?;
                files.insert(full, change);
            }
        }
        Ok(())
    }

    /// The entries that are not the same in two folders: each is, or has in it, at least one file.
    fn differences(
        &self,
        old: Option<Oid>,
        new: Option<Oid>,
        path: &str,
    ) -> Result<Vec<Difference>, Refusal> {
        let (old, mut new) = (self.folder(old, path)?, self.folder(new, path)?);
        let mut found = Vec::new();
        for (name, before) in old {
            let after = new.remove(&name);
            if after != Some(before) {
                found.push(Difference { name, before: Some(before), after });
            }
        }
        found.extend(new.into_iter().map(|(name, after)| Difference {
            name,
            before: None,
            after: Some(after),
        }));
        if found.len() > FILES_MAX {
            return Err(too_many_files());
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    fn file(&mut self, old: Option<Oid>, new: Option<Oid>, path: &str) -> Result<FileChange, Refusal> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(too_many_files());
        }
        let new = match new {
            Some(blob) => {
                let size = self
                    .size(blob, git2::ObjectType::Blob)
                    .ok_or_else(|| Refusal::file(path, "it is no file"))?;
                if size > FILE_BYTES_MAX {
                    let why =
                        format!("it has {size} bytes, and a file of state has at most {FILE_BYTES_MAX}");
                    return Err(Refusal::file(path, why));
                }
                self.bytes += size;
                if self.bytes > FILES_BYTES_MAX {
                    return Err(Refusal::push(format!("its files have more than {FILES_BYTES_MAX} bytes"))
                        .remedy("push fewer at a time"));
                }
                let bytes = self.content(blob)?;
                if is_slow_to_read(&bytes) && !self.is_known(blob) {
                    return Err(Refusal::file(path, format!(
                        "it has more than {BRACKETS_MAX} brackets and more than {BRACKETED_BYTES_MAX} bytes, and might take long to read"
                    ))
                    .remedy("say it over the HTTP API"));
                }
                Some(bytes)
            }
            None => None,
        };
        Ok(FileChange { old, new })
    }

    /// A folder's entries: mode and object of each, by name.
    fn folder(&self, tree: Option<Oid>, path: &str) -> Result<BTreeMap<Vec<u8>, Held>, Refusal> {
        let Some(tree) = tree else { return Ok(BTreeMap::new()) };
        self.check_size(tree, git2::ObjectType::Tree, FOLDER_BYTES_MAX)?;
        let tree = self.repo.find_tree(tree.to_git()).map_err(|error| unread(tree, &error))?;
        let mut entries = BTreeMap::new();
        for entry in &tree {
            let value = (entry.filemode_raw(), entry.id().into());
            if entries.insert(entry.name_bytes().to_vec(), value).is_some() {
                return Err(Refusal::file(path, "two entries have one name"));
            }
        }
        Ok(entries)
    }

    fn is_known(&self, blob: Oid) -> bool {
        self.known.odb().is_ok_and(|odb| odb.exists(blob.to_git()))
    }

    fn size(&self, object: Oid, kind: git2::ObjectType) -> Option<usize> {
        let (size, found) = self.repo.odb().ok()?.read_header(object.to_git()).ok()?;
        (found == kind).then_some(size)
    }

    fn check_size(&self, object: Oid, kind: git2::ObjectType, most: usize) -> Result<(), Refusal> {
        match self.size(object, kind) {
            None => Err(Refusal::push(format!("{object} is no {kind}, or is not there"))),
            Some(size) if size > most => {
                Err(Refusal::push(format!("the {kind} {object} has {size} bytes, more than {most}")))
            }
            Some(_) => Ok(()),
        }
    }

    fn content(&self, object: Oid) -> Result<Bytes, Refusal> {
        let read = self
            .repo
            .odb()
            .and_then(|odb| odb.read(object.to_git()).map(|found| Bytes::copy_from_slice(found.data())));
        read.map_err(|error| unread(object, &error))
    }
}

/// An entry of a folder: its mode and its object.
type Held = (i32, Oid);

/// A name that two folders do not hold alike.
struct Difference {
    name: Vec<u8>,
    before: Option<Held>,
    after: Option<Held>,
}

fn too_many_files() -> Refusal {
    Refusal::push(format!("it changes more than {FILES_MAX} files")).remedy("push fewer at a time")
}

/// Whether the YAML of a file may be nested deep in much text: each bracket that is open makes each word dearer.
pub fn is_slow_to_read(bytes: &[u8]) -> bool {
    bytes.len() > BRACKETED_BYTES_MAX
        && bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > BRACKETS_MAX
}

/// What a commit says must be its author's own words: the daemon's signature and trailers are for the daemon.
fn check_words(id: Oid, commit: &git2::Commit<'_>) -> Result<(), Refusal> {
    let short = &id.to_string()[..10];
    let Ok(message) = commit.message() else {
        return Err(Refusal::push(format!("the message of {short} is no UTF-8")));
    };
    if message.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Refusal::push(format!("the message of {short} holds control characters"))
            .remedy("git commit --amend"));
    }
    if message.lines().any(|line| line.trim_start().to_ascii_lowercase().starts_with("mrx-")) {
        return Err(Refusal::push(format!(
            "the message of {short} has a line that begins with Mrx-, as only the daemon's do"
        ))
        .remedy("git commit --amend, and leave that line out"));
    }
    if message.lines().next().is_some_and(|line| line.len() > SUBJECT_BYTES_MAX) {
        return Err(Refusal::push(format!(
            "the first line of the message of {short} has more than {SUBJECT_BYTES_MAX} bytes"
        ))
        .remedy("git commit --amend, with a shorter first line"));
    }
    Ok(())
}

/// Names that can be shown, and not the daemon's; nor an encoding by which a reader would see other words than were checked.
fn check_signatures(id: Oid, commit: &git2::Commit<'_>) -> Result<(), Refusal> {
    let short = &id.to_string()[..10];
    if commit.header_field_bytes("encoding").is_ok() {
        return Err(Refusal::push(format!("{short} has an encoding of its own, and state is UTF-8"))
            .remedy("git -c i18n.commitEncoding=UTF-8 commit --amend"));
    }
    // As they stand there: parsed, they have lost what is odd at their ends.
    let header = std::str::from_utf8(commit.raw_header_bytes());
    if header.is_ok_and(|header| header.chars().any(|c| c.is_control() && c != '\n')) || header.is_err() {
        return Err(Refusal::push(format!("the header of {short} is no UTF-8, or holds control characters"))
            .remedy("git commit --amend --reset-author, with another user.name and user.email"));
    }
    for (who, signature) in [("author", commit.author()), ("committer", commit.committer())] {
        if signature.name_bytes().len().max(signature.email_bytes().len()) > NAME_BYTES_MAX {
            return Err(Refusal::push(format!(
                "the {who} of {short} has a name or an address of more than {NAME_BYTES_MAX} bytes"
            ))
            .remedy("git commit --amend --reset-author, with another user.name and user.email"));
        }
        let email = String::from_utf8_lossy(signature.email_bytes()).to_ascii_lowercase();
        let domain = email.rsplit('@').next().unwrap_or_default();
        if domain == OWN_DOMAIN || domain.ends_with(&format!(".{OWN_DOMAIN}")) {
            return Err(Refusal::push(format!("the {who} of {short} is {email}, as only the daemon's are"))
                .remedy("git commit --amend --reset-author, with a user.email of your own"));
        }
    }
    Ok(())
}

/// A name as the state has them: anything else is refused before it is looked at further.
fn name_of<'a>(folder: &str, name: &'a [u8]) -> Result<&'a str, Refusal> {
    let good = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(byte);
    let is_good = !name.is_empty() && name.len() <= 100 && name[0] != b'.' && name.iter().all(good);
    match std::str::from_utf8(name) {
        Ok(name) if is_good => Ok(name),
        _ => {
            let shown: String =
                String::from_utf8_lossy(name).chars().take(100).flat_map(char::escape_default).collect();
            let path = if folder.is_empty() { shown } else { format!("{folder}/{shown}") };
            Err(Refusal::file(&path, "no file of the state that may be pushed has this name")
                .remedy("names have a-z, 0-9, -, _ and . and do not begin with a dot; README.md and .mrx are the daemon's"))
        }
    }
}

fn odd_mode(path: &str, mode: i32) -> Refusal {
    let what = match mode {
        0o120_000 => "a symbolic link",
        0o160_000 => "a submodule",
        0o100_755 => "an executable file",
        _ => "neither a plain file nor a folder",
    };
    Refusal::file(
        path,
        format!("it is {what} (mode {mode:06o}), and the state has only files (100644) and folders"),
    )
}

fn unread(object: Oid, error: &git2::Error) -> Refusal {
    Refusal::push(format!("{object} cannot be read: {}", error.message()))
}

/// The push stands on the end of an epoch that is over.
fn of_ended_epoch(end: Oid) -> Refusal {
    Refusal::push("it stands on commits from before the branch began a new epoch")
        .remedy(format!("put yours onto the new one: git fetch, then git rebase --onto origin/state {end}"))
}

/// What is pushed does not stand on the branch's tip.
pub fn not_forward() -> Refusal {
    Refusal::push("it does not continue the branch as it is now (non-fast-forward)")
        .remedy("git pull --rebase, then push again")
}
