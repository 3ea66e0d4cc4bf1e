//! What every test here uses: chance, copies of folders, and git's own opinion of a repository.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use mrx::id::random_u64;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Choices that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From `MRX_SEED`, or from the machine; printed, so that a failure can be had again.
    pub fn announced(test: &str) -> Self {
        let seed = std::env::var("MRX_SEED").ok().map_or_else(random_u64, |seed| seed.parse().unwrap());
        eprintln!("{test}: MRX_SEED={seed}");
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True once in `of` times.
    pub fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// Choices of its own, for a task.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// That many bytes of text, with a line end here and there.
    pub fn text(&mut self, bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| if at % 61 == 60 { b'\n' } else { b'a' + self.below(26) as u8 }).collect()
    }
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// Runs git and gives what it printed; a failure is told with all of it.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let done = git_command(folder).args(arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "git {arguments:?} in {}: {text}", folder.display());
    text.trim().to_owned()
}

/// Git in this folder, deaf to the settings of whoever runs the tests.
pub fn git_command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

/// Makes a folder of code repositories that are projects.
pub fn make_forge(forge: &Path, projects: &[&str]) {
    for project in projects {
        let repo = forge.join(format!("{project}.git"));
        fs::create_dir_all(&repo).unwrap();
        git(&repo, &["init", "--quiet", "--bare", "--initial-branch=main"]);
    }
}

/// Every state repository of a data folder.
pub fn repositories(data: &Path) -> Vec<PathBuf> {
    let projects = fs::read_dir(data.join("repos/projects")).into_iter().flatten();
    let all = projects.map(|entry| entry.unwrap().path()).chain([data.join("repos/platform.git")]);
    all.filter(|path| path.join("HEAD").is_file()).collect()
}

/// Copies a data folder's repositories and has git check each copy. A daemon may be at work on them.
pub fn repositories_are_clean(data: &Path, when: &str) {
    for repo in repositories(data) {
        is_clean(copy_at_one_moment(&repo).path(), &format!("{} {when}", repo.display()));
    }
}

/// A copy for which the same files were there before and after: a fold takes packs away while others are copied.
fn copy_at_one_moment(repo: &Path) -> TempDir {
    for _ in 0..100 {
        let (copy, before) = (tempfile::tempdir().unwrap(), files(repo));
        // Refs first: what they name is there already when the objects are copied.
        let copied = try_copy(&repo.join("refs"), &copy.path().join("refs"))
            .and_then(|()| try_copy(repo, copy.path()));
        if copied.is_ok() && before.is_ok() && before.ok() == files(repo).ok() {
            return copy;
        }
    }
    panic!("{} never stands still", repo.display());
}

/// The files in which objects are.
fn files(repo: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(repo.join("objects/pack"))?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Has git check a repository.
pub fn is_clean(repo: &Path, what: &str) {
    let done =
        git_command(repo).args(["fsck", "--strict", "--no-dangling", "--no-progress"]).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let complaint = text.lines().find(|line| !line.starts_with("notice:"));
    assert!(done.status.success() && complaint.is_none(), "git fsck --strict of {what}: {text}");
}

/// Copies a folder; what stands at the other place already is left.
pub fn copy_folder(from: &Path, to: &Path) {
    try_copy(from, to).unwrap();
}

fn try_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            try_copy(&entry.path(), &target)?;
        } else if !target.exists() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
