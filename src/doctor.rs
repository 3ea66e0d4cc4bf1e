//! Checks a data folder and the machine, and says what to do about what is wrong. It changes nothing, so it may run beside
//! a daemon; what a daemon is writing at the moment is left out.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::git::child::{Program, ProgramError};
use crate::job::lease::Leases;
use crate::job::needs::Unsettled;
use crate::job::open::{JobMemory, OpenJobs};
use crate::job::queue::Queue;
use crate::project::types::ProjectFile;
use crate::state::disk::{Disk, DiskFile};
use crate::state::edit::{Edit, Projection};
use crate::state::epoch::chain::{self, Missing};
use crate::state::journal::file::inspect;
use crate::state::layout::{
    self, ARCHIVE_REF_PREFIX, DataFolder, OPEN_JOBS, PROJECT_FILE, REJECTED_REF_PREFIX, RepoName, STATE_REF,
};
use crate::state::objects::Objects;
use crate::state::oid::Oid;
use crate::state::packs;
use crate::state::refs;
use crate::state::yaml;

/// The oldest git that serves clones and pushes as we need it, and the oldest that can set unneeded objects aside.
const GIT_MIN: (u32, u32) = (2, 30);
const GIT_GOOD: (u32, u32) = (2, 37);
/// Free room below which the journal may not get its next segments, and below which it is time to look for some.
const FREE_BYTES_MIN: u64 = 256 << 20;
const FREE_BYTES_GOOD: u64 = 2 << 30;
/// A repository should never have more packs.
const PACKS_MAX: usize = 50;
/// How long the check of one repository may take.
const FSCK_TIME_LIMIT: Duration = Duration::from_secs(3600);
/// A check fails if a pack is folded away meanwhile; then it is made again, this often.
const FSCK_TRIES: usize = 4;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// MrX works, and somebody should look.
    Warn,
    /// Something does not work.
    Fail,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What was found, and what to do.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        // What files and programs say is data: it must not steer the terminal.
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        write!(f, "{word}  {}", self.text.chars().map(shown).collect::<String>())
    }
}

fn ok(text: impl Into<String>) -> Finding {
    Finding { level: Level::Ok, text: text.into() }
}

fn warn(text: impl Into<String>) -> Finding {
    Finding { level: Level::Warn, text: text.into() }
}

fn fail(text: impl Into<String>) -> Finding {
    Finding { level: Level::Fail, text: text.into() }
}

/// Checks everything. It blocks.
pub fn examine(folder: &DataFolder) -> Vec<Finding> {
    let mut found = vec![git(), bubblewrap()];
    let path = folder.path();
    if !path.is_dir() {
        let path = path.display();
        found.push(fail(format!(
            "there is no folder {path}: run `mrx serve --data {path}` once, or give another --data"
        )));
        return found;
    }
    let (is_free, lock) = lock(folder);
    found.extend([lock, room(path)]);
    found.extend(keys(folder));
    found.push(if is_free { journal(folder) } else { ok("journal: not read, the daemon is writing it") });
    for name in folder.repositories() {
        found.extend(repository(folder, &name));
    }
    found
}

fn git() -> Finding {
    let text = match Program::other("git", Path::new("/")).args(["version"]).run() {
        Ok(output) => String::from_utf8_lossy(&output).trim().to_owned(),
        Err(error) => {
            return fail(format!(
                "git does not run ({error}): install git {}.{} or newer",
                GIT_GOOD.0, GIT_GOOD.1
            ));
        }
    };
    match git_version(&text) {
        Some(version) if version >= GIT_GOOD => ok(text),
        Some(version) if version >= GIT_MIN => warn(format!(
            "{text}: repositories are not repacked by git before {}.{}; install a newer one",
            GIT_GOOD.0, GIT_GOOD.1
        )),
        _ => fail(format!(
            "{text}: MrX needs git {}.{}, better {}.{}",
            GIT_MIN.0, GIT_MIN.1, GIT_GOOD.0, GIT_GOOD.1
        )),
    }
}

fn git_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn bubblewrap() -> Finding {
    let sandbox = ["--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", "true"];
    match Program::other("bwrap", Path::new("/")).args(sandbox).run() {
        Ok(_) => ok("bubblewrap makes sandboxes"),
        Err(error) => warn(format!(
            "bubblewrap does not work ({}): an agent on this machine cannot run builds; install bubblewrap, and allow user namespaces",
            error.cause
        )),
    }
}

/// Who has the folder; the first value is whether nobody has.
fn lock(folder: &DataFolder) -> (bool, Finding) {
    let path = folder.lock();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return (true, ok("no daemon has used the folder yet"));
        }
        Err(error) => return (false, fail(format!("{} cannot be read: {error}", path.display()))),
    };
    match file.try_lock_shared() {
        Ok(()) => (true, ok("no daemon is running on the folder")),
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            (false, ok(format!("a daemon is running on the folder: {}", holder.trim().replace('\n', ", "))))
        }
        Err(TryLockError::Error(error)) => {
            (false, fail(format!("{} cannot be locked: {error}", path.display())))
        }
    }
}

fn room(path: &Path) -> Finding {
    let free = match rustix::fs::statvfs(path) {
        Ok(told) => told.f_bavail.saturating_mul(told.f_frsize),
        Err(error) => return warn(format!("the free room of the disk is not known: {error}")),
    };
    let text = format!("{} MiB are free on the disk", free >> 20);
    match free {
        free if free < FREE_BYTES_MIN => fail(format!("{text}: make room, or changes will be refused")),
        free if free < FREE_BYTES_GOOD => warn(format!("{text}: make room soon")),
        _ => ok(text),
    }
}

fn keys(folder: &DataFolder) -> Vec<Finding> {
    let keys = folder.keys();
    let Ok(entries) = fs::read_dir(&keys) else {
        return vec![ok("no keys yet; they are made when the daemon starts")];
    };
    let files = entries.flatten().map(|entry| (entry.path(), 0o600));
    let open: Vec<_> = [(keys.clone(), 0o700)]
        .into_iter()
        .chain(files)
        .filter_map(|(path, mode)| too_open(path, mode))
        .collect();
    if open.is_empty() { vec![ok("keys are readable by their owner only")] } else { open }
}

fn too_open(path: PathBuf, mode: u32) -> Option<Finding> {
    let found = fs::metadata(&path).map(|metadata| metadata.permissions().mode() & 0o777).unwrap_or(0);
    let text = || {
        format!(
            "{} has mode {found:04o}: others may have read it; run `chmod {mode:o}` on it, and make new tokens",
            path.display()
        )
    };
    (found & !mode & 0o077 != 0).then(|| fail(text()))
}

fn journal(folder: &DataFolder) -> Finding {
    if !folder.journal().is_dir() {
        return ok("no journal yet; it is made when the daemon starts");
    }
    let read = inspect(&ReadOnly, &folder.journal());
    let left = match read {
        Ok(left) => left,
        Err(error) => return fail(format!("journal: {}", chain(&error))),
    };
    let mut records = 0;
    for record in left.records() {
        match record {
            Ok(_) => records += 1,
            Err(error) => return fail(format!("journal: {}", chain(&error))),
        }
    }
    ok(format!(
        "journal: {records} records are to be published at the next start; it ended as {:?}",
        left.tail
    ))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn repository(folder: &DataFolder, name: &RepoName) -> Vec<Finding> {
    let repo = folder.repo(name);
    if !repo.join("HEAD").is_file() {
        return vec![warn(format!(
            "{name}: {} was never finished: it is made again when it is needed",
            repo.display()
        ))];
    }
    let mut found = vec![fsck(name, &repo), pack_count(name, &repo)];
    found.extend(rejected(name, &repo));
    found.extend(epochs(name, &repo));
    found.extend(name.project().and_then(|_| quarantined(name, &repo)));
    found
}

/// `git fsck`, again if packs were folded meanwhile.
fn fsck(name: &RepoName, repo: &Path) -> Finding {
    let check = || {
        Program::git(repo)
            .args(["fsck", "--strict", "--connectivity-only", "--no-dangling"])
            .time_limit(FSCK_TIME_LIMIT)
            .run()
    };
    let names = || packs::list(repo).map(|packs| packs.into_iter().map(|pack| pack.name).collect::<Vec<_>>());
    let mut failure: Option<ProgramError> = None;
    for _ in 0..FSCK_TRIES {
        let before = names();
        match check() {
            Ok(_) => return ok(format!("{name}: git finds every object")),
            Err(error) => failure = Some(error),
        }
        if before.is_ok_and(|before| names().is_ok_and(|after| before == after)) {
            break;
        }
    }
    let cause = failure.map_or_else(String::new, |error| error.cause.to_string());
    let repo = repo.display();
    fail(format!(
        "{name}: {cause}: stop the daemon, keep a copy of {repo}, and restore it from a backup or a clone"
    ))
}

fn pack_count(name: &RepoName, repo: &Path) -> Finding {
    match packs::list(repo) {
        Ok(packs) if packs.len() > PACKS_MAX => {
            let count = packs.len();
            warn(format!(
                "{name}: {count} packs, more than {PACKS_MAX}: see in the daemon's log why they are not folded"
            ))
        }
        Ok(packs) => ok(format!("{name}: {} packs", packs.len())),
        Err(error) => fail(format!("{name}: the packs cannot be listed: {error}")),
    }
}

/// What somebody moved onto our refs, and was put aside.
fn rejected(name: &RepoName, repo: &Path) -> Option<Finding> {
    match Objects::new(repo.to_owned()).refs(REJECTED_REF_PREFIX) {
        Ok(refs) if refs.is_empty() => None,
        Ok(refs) => {
            let (count, first) = (refs.len(), &refs[0]);
            Some(warn(format!(
                "{name}: {count} refs such as {first} hold commits that came past the daemon: look at them with `git log {first}`, \
                 push what is wanted, and remove each with `git update-ref -d`"
            )))
        }
        Err(error) => Some(fail(format!("{name}: {error}"))),
    }
}

/// How many epochs the history has, and whether each leads to the one before it.
fn epochs(name: &RepoName, repo: &Path) -> Option<Finding> {
    let objects = Objects::new(repo.to_owned());
    let tip = refs::read(repo, STATE_REF).ok().filter(|tip| *tip != Oid::ZERO)?;
    let chain = match chain::follow(&objects, tip) {
        Ok(chain) => chain,
        Err(error) => return Some(fail(format!("{name}: {error}"))),
    };
    let (number, now, kept) = (chain.number, chain.now, chain.kept.len());
    let Some(gap) = chain.gap else {
        let before = match kept {
            0 => String::new(),
            _ => format!(
                "; {kept} before it are kept under {ARCHIVE_REF_PREFIX}, each whole to its first commit"
            ),
        };
        return Some(ok(format!(
            "{name}: epoch {number} since {}, {} commits{before}",
            now.began, now.commits
        )));
    };
    let (ref_name, end) = (&gap.ref_name, gap.end);
    Some(match gap.why {
        Missing::Commits => warn(format!(
            "{name}: history begins with an epoch that goes on from {end}, which is not here: fetch {ref_name} from a backup or a mirror, \
             if the past is wanted"
        )),
        Missing::Ref => fail(format!(
            "{name}: nothing keeps {end}, from which an epoch goes on: run `git -C {} update-ref {ref_name} {end}`",
            repo.display()
        )),
        Missing::Elsewhere(other) => fail(format!(
            "{name}: {ref_name} is at {other}, and the epoch behind it goes on from {end}: look at both, and put it back with \
             `git -C {} update-ref {ref_name} {end}`",
            repo.display()
        )),
    })
}

/// Files of open jobs that are none.
fn quarantined(name: &RepoName, repo: &Path) -> Option<Finding> {
    let project = name.project()?;
    let mut jobs = OpenJobs::new(
        project.clone(),
        JobMemory {
            queue: Queue::default(),
            leases: Leases::new(Clock::system()),
            unsettled: Unsettled::default(),
        },
        is_fork(repo),
    );
    let read = |repo: &git2::Repository| {
        let tree = repo.find_reference(STATE_REF)?.peel_to_tree()?;
        let Ok(open) = tree.get_path(Path::new(OPEN_JOBS)) else { return Ok(()) };
        let mut failure = None;
        repo.find_tree(open.id())?.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
            if entry.kind() == Some(git2::ObjectType::Blob) {
                match repo.find_blob(entry.id()) {
                    Ok(blob) => {
                        let path =
                            format!("{OPEN_JOBS}/{folder}{}", String::from_utf8_lossy(entry.name_bytes()));
                        jobs.apply(&Edit::write(path, blob.content().to_vec()));
                    }
                    Err(error) => failure = Some(error),
                }
            }
            git2::TreeWalkResult::Ok
        })?;
        failure.map_or(Ok(()), Err)
    };
    if let Err(error) = Objects::new(repo.to_owned()).with(read) {
        return Some(fail(format!("{name}: the open jobs cannot be read: {}", error.message())));
    }
    let count = jobs.quarantined().count();
    let first = jobs.quarantined().next()?;
    let path = layout::stem(&first.path);
    Some(warn(format!(
        "{name}: {count} files of open jobs are not valid and are left out, such as {path}: {}; repair or remove them by a commit on `state`",
        first.cause
    )))
}

/// Whether the project's own file says that its state comes from another's, whose jobs are in it as its past.
fn is_fork(repo: &Path) -> bool {
    let read = |repo: &git2::Repository| {
        let tree = repo.find_reference(STATE_REF)?.peel_to_tree()?;
        Ok(repo.find_blob(tree.get_path(Path::new(PROJECT_FILE))?.id())?.content().to_vec())
    };
    let file = Objects::new(repo.to_owned()).with(read).ok();
    let file = file.and_then(|bytes| yaml::read::<ProjectFile>(PROJECT_FILE, "project", &bytes).ok());
    file.is_some_and(|file| file.fork_of.is_some())
}

/// A disk that cannot be written to: what the journal is looked at through.
struct ReadOnly;

impl ReadOnly {
    fn refuse<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "doctor changes nothing"))
    }
}

impl Disk for ReadOnly {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::open(path)?))
    }
    fn create_new(&self, _: &Path, _: u32) -> io::Result<Arc<dyn DiskFile>> {
        Self::refuse()
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Self::refuse()
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        Self::refuse()
    }
    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Self::refuse()
    }
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Self::refuse()
    }
}

#[cfg(test)]
mod tests;
