//! Speaks with a remote by git as a child: what branches it has, their commits, and pushes. All of it in a scratch repository that
//! borrows the state's objects, so nothing from the network reaches the project's own.
//!
//! It blocks. Git follows no redirect, speaks no other protocol than the address's, calls the checked address alone, and is ended
//! after its time or with the daemon.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use super::credential::Credential;
use super::relation::Heads;
use crate::clock::Time;
use crate::git::child::{Halt, Program, ProgramError};
use crate::mask::SecretText;
use crate::state::create;
use crate::state::disk::RealDisk;
use crate::state::oid::Oid;

/// How long a remote may take to list its branches, and to take or give commits.
const LIST_TIME_MAX: Duration = Duration::from_secs(30);
const MOVE_TIME_MAX: Duration = Duration::from_secs(120);
/// Memory that git may have of its own, and what it may map in all: the packs of a large state are among it.
const OWN_KIB_MAX: u32 = 256 << 10;
const MAPPED_KIB_MAX: u32 = 3 << 20;
/// How much of git's complaint is told.
const COMPLAINT_CHARS_MAX: usize = 500;
/// Where the scratch repository keeps the tip of the remote's branch.
const THEIRS: &str = "refs/remote/tip";

/// What every call is set to.
const SETTINGS: [&str; 10] = [
    "protocol.allow=never",
    "credential.helper=",
    "http.followRedirects=false",
    "http.lowSpeedLimit=100",
    "http.lowSpeedTime=30",
    "fetch.fsckObjects=true",
    "fetch.unpackLimit=1",
    "pack.threads=1",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// How a remote is spoken with.
pub struct Transport {
    /// The scratch repository.
    pub scratch: PathBuf,
    /// The state's own, which is only read.
    pub repo: PathBuf,
    /// The remote.
    pub url: Url,
    /// The address that its name was found to have, as curl takes it: `host:port:address`.
    pub pinned: Option<String>,
    /// What it is asked with, if its host gets it.
    pub token: Option<SecretText>,
    /// Ends git.
    pub halt: Halt,
}

/// Why git did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The branch has moved since it was looked at.
    #[error("the branch was moved meanwhile")]
    Moved,
    /// Git says why, without the credential.
    #[error("{0}")]
    Git(String),
    /// The scratch repository or the pipe of the credential cannot be made.
    #[error("{0}")]
    Disk(#[from] io::Error),
}

/// Makes the scratch repository of a project, if it is not there.
pub fn scratch(at: &Path, repo: &Path) -> io::Result<()> {
    if !at.join("HEAD").is_file() {
        create::repository(&RealDisk, at)?;
    }
    let objects = fs::canonicalize(repo.join("objects"))?;
    fs::write(at.join("objects/info/alternates"), format!("{}\n", objects.display()))
}

impl Transport {
    /// The branches that the remote has, and the ends of epochs.
    pub fn refs(&self) -> Result<(Heads, Heads), TransportError> {
        let wanted = ["refs/heads/*", "refs/archive/*"];
        let list = [&["ls-remote", "--quiet", "--refs", "--", self.url.as_str()][..], &wanted].concat();
        let listed = self.run(&list, LIST_TIME_MAX)?;
        let line = |line: &str| {
            let (oid, name) = line.split_once('\t')?;
            Some((name.to_owned(), oid.parse().ok()?))
        };
        let refs = String::from_utf8_lossy(&listed).lines().filter_map(line).collect::<Heads>();
        Ok(refs.into_iter().partition(|(name, _)| name.starts_with("refs/heads/")))
    }

    /// Takes the commits of a branch into the scratch repository; git checks each object.
    pub fn fetch(&self, ref_name: &str) -> Result<(), TransportError> {
        let what = format!("+{ref_name}:{THEIRS}");
        let options =
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--"];
        self.run(&[&options[..], &[self.url.as_str(), &what]].concat(), MOVE_TIME_MAX).map(drop)
    }

    /// Moves the remote's branch forward to a commit.
    pub fn push(&self, commit: Oid, ref_name: &str) -> Result<(), TransportError> {
        self.push_all(&[], &[format!("{commit}:{ref_name}")])
    }

    /// Moves the remote's branch from `from`, and from nowhere else, to a commit that does not lead to it, in a new epoch. Where a
    /// branch is only moved forward it gets a commit that leads to both. Tells where the branch stands.
    pub fn push_over(
        &self,
        from: Oid,
        commit: Oid,
        ref_name: &str,
        now: Time,
    ) -> Result<Oid, TransportError> {
        let lease = format!("--force-with-lease={ref_name}:{from}");
        match self.push_all(&[&lease], &[format!("{commit}:{ref_name}")]) {
            Ok(()) => Ok(commit),
            Err(TransportError::Git(_)) => {
                let both = self.join(commit, from, now)?;
                self.push(both, ref_name).map(|()| both)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the refs that keep the ends of epochs.
    pub fn keep(&self, ends: &Heads) -> Result<(), TransportError> {
        let what: Vec<String> = ends.iter().map(|(name, tip)| format!("{tip}:{name}")).collect();
        if what.is_empty() { Ok(()) } else { self.push_all(&[], &what) }
    }

    fn push_all(&self, options: &[&str], what: &[String]) -> Result<(), TransportError> {
        let mut arguments = vec!["push", "--no-verify", "--no-signed"];
        arguments.extend(options);
        arguments.extend(["--", self.url.as_str()]);
        arguments.extend(what.iter().map(String::as_str));
        self.run(&arguments, MOVE_TIME_MAX).map(drop)
    }

    /// A commit that leads to the state and to the remote's branch, with the state's files: the branch can move forward to it.
    pub fn join(&self, ours: Oid, theirs: Oid, now: Time) -> Result<Oid, TransportError> {
        let read = |error: git2::Error| TransportError::Git(error.message().to_owned());
        let repo = git2::Repository::open_bare(&self.scratch).map_err(read)?;
        let tree = repo.find_commit(ours.to_git()).map_err(read)?.tree_id();
        let seconds = now.seconds();
        let by = format!("MrX <daemon@mrx.invalid> {seconds} +0000");
        let text = format!(
            "tree {tree}\nparent {theirs}\nparent {ours}\nauthor {by}\ncommitter {by}\n\nstate at {ours}\n\n\
             What this branch had of its own is in it, or in conflicts/.\n"
        );
        let git = Program::git(&self.scratch).args(["hash-object", "-t", "commit", "-w", "--stdin"]);
        let written = git.input(text.into_bytes()).run().map_err(|error| self.told(&error))?;
        let oid = String::from_utf8_lossy(&written);
        oid.trim().parse().map_err(|_| TransportError::Git("git wrote no commit".to_owned()))
    }

    fn run(&self, arguments: &[&str], time: Duration) -> Result<Vec<u8>, TransportError> {
        let credential = self.token.as_ref().map(|token| Credential::new(token, &self.url)).transpose()?;
        let mut settings: Vec<String> = SETTINGS.iter().map(|setting| (*setting).to_owned()).collect();
        settings.push(format!("protocol.{}.allow=always", self.url.scheme()));
        settings.extend(self.pinned.iter().map(|pinned| format!("http.curloptResolve={pinned}")));
        settings.extend(credential.iter().map(|credential| credential.setting().to_owned()));
        let program = Program::git_within(&self.scratch, OWN_KIB_MAX, MAPPED_KIB_MAX)
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .args(arguments)
            .time_limit(time)
            .ended_by(&self.halt);
        program.run().map_err(|error| self.told(&error))
    }

    /// What git said, without what it was asked with: that is data of the remote, and is told in one short line.
    fn told(&self, error: &ProgramError) -> TransportError {
        let mut said = error.cause.to_string();
        if let Some(token) = &self.token {
            said = said.replace(token.reveal().trim(), "[secret]");
        }
        if ["[rejected]", "cannot lock ref", "failed to update ref"].iter().any(|sign| said.contains(sign)) {
            return TransportError::Moved;
        }
        let line: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        TransportError::Git(line.trim().chars().take(COMPLAINT_CHARS_MAX).collect())
    }
}
