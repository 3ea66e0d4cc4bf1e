//! Makes a data folder of a backup, of clones (`git clone --mirror`), or of single bundles.
//!
//! It is made beside its place and gets its name when git has checked every object, so it is there whole or not at all.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::GIT_TIME_LIMIT;
use super::files::{self, Which};
use super::manifest::{Bundle, Kept, Manifest, Saved, Tips};
use super::save::{read_manifest, read_tips, sum};
use crate::artifact::store::is_sha256;
use crate::git::child::Program;
use crate::id::ProjectId;
use crate::project::types::ProjectFile;
use crate::remote::relation::archive_here;
use crate::remote::types::BRANCH_DEFAULT;
use crate::secret::keys::IDENTITY;
use crate::state::create;
use crate::state::disk::RealDisk;
use crate::state::layout::{
    ARTIFACTS, DataFolder, KEPT_REFS, PROJECT_FILE, PROJECTS, RepoName, SECRETS, STATE_REF, stem,
};
use crate::state::oid::Oid;
use crate::state::yaml;

/// What a file of git bundles begins with (gitformat-bundle).
const BUNDLE_BEGINS: &[u8] = b"# v";
/// A folder with more clones than this is not looked through.
const CLONES_MAX: usize = 20_000;

/// What was restored, and what could not be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The repositories, as in `projects/mrx-weather`.
    pub repositories: Vec<String>,
    /// Files of artifacts.
    pub artifacts: usize,
    /// Files of keys.
    pub keys: usize,
    /// What is missing and what to do about it, a sentence each.
    pub missing: Vec<String>,
}

/// Where one repository comes from.
enum Origin {
    /// Bundles of a backup, which are read in order.
    Backup(Kept, Saved),
    /// A clone or a bundle of a repository of state; which one, its content says.
    Clone(PathBuf),
}

/// Makes the folder `data` of what is in `from`; `keys` is a folder of keys from elsewhere.
///
/// # Errors
/// There is no new folder.
pub fn restore(from: &Path, data: &Path, keys: Option<&Path>) -> anyhow::Result<Report> {
    if data.is_dir()
        && fs::read_dir(data).with_context(|| format!("list {}", data.display()))?.next().is_some()
    {
        bail!("{} is not empty: give another folder with --data, or move that one away", data.display());
    }
    let from = from.canonicalize().with_context(|| format!("find {}", from.display()))?;
    let origins = origins(&from)?;
    let beside = Beside::make(data)?;
    let folder = DataFolder::new(beside.0.as_path());
    files::make_folder(&folder.repos().join("projects")).context("make the folder of repositories")?;
    let mut report = Report::default();
    for origin in origins {
        let made = match origin {
            Origin::Backup(kept, saved) => from_backup(&from, &folder, kept, &saved),
            Origin::Clone(path) => from_clone(&path, &folder),
        };
        report.repositories.push(made?.to_string());
    }
    report.repositories.sort();
    report.artifacts = files::copy(&from.join("artifacts"), &folder.artifacts(), Which::New)?;
    files::copy(&from.join("webhooks"), &folder.webhooks(), Which::All)?;
    for keys in [Some(from.join("keys").as_path()), keys].into_iter().flatten() {
        report.keys += files::copy(keys, &folder.keys(), Which::All)?;
    }
    report.missing = missing(&folder)?;
    beside.name(data)?;
    Ok(report)
}

/// A folder in the making; it goes if it does not get its name.
struct Beside(PathBuf);

impl Beside {
    fn make(data: &Path) -> anyhow::Result<Self> {
        let name = data.file_name().with_context(|| format!("{} names no folder", data.display()))?;
        let above = data.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        files::make_folder(above).with_context(|| format!("make the folder {}", above.display()))?;
        let above = above.canonicalize()?;
        let path = above.join(format!(".{}.restoring-{}", name.to_string_lossy(), std::process::id()));
        fs::create_dir(&path).with_context(|| format!("make the folder {}", path.display()))?;
        Ok(Self(path))
    }

    fn name(self, data: &Path) -> anyhow::Result<()> {
        File::open(&self.0)?.sync_all()?;
        // A folder is renamed over one that is empty.
        fs::rename(&self.0, data).with_context(|| format!("name the folder {}", data.display()))?;
        let above = self.0.parent().unwrap_or(Path::new("/"));
        File::open(above)?.sync_all().with_context(|| format!("fsync {}", above.display()))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // If it got its name it is not here any more.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn origins(from: &Path) -> anyhow::Result<Vec<Origin>> {
    if is_clone(from) {
        return Ok(vec![Origin::Clone(from.to_owned())]);
    }
    if let Some(Manifest { repositories, .. }) = read_manifest(from)? {
        return Ok(repositories.into_iter().map(|(kept, saved)| Origin::Backup(kept, saved)).collect());
    }
    let mut found = Vec::new();
    for folder in [from.to_owned(), from.join("projects"), from.join("repos"), from.join("repos/projects")] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(CLONES_MAX);
        found.extend(entries.map(|entry| entry.path()).filter(|path| is_clone(path)).map(Origin::Clone));
    }
    if found.is_empty() {
        let from = from.display();
        bail!(
            "{from} holds nothing to restore: it is no backup, no clone made with `git clone --mirror`, no folder of these, and no bundle"
        );
    }
    Ok(found)
}

/// Whether this is a bare repository or a file of a bundle.
fn is_clone(path: &Path) -> bool {
    if path.is_dir() {
        return path.join("HEAD").is_file() && path.join("objects").is_dir();
    }
    let mut begins = [0; BUNDLE_BEGINS.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begins));
    read.is_ok() && begins == BUNDLE_BEGINS
}

fn from_backup(from: &Path, folder: &DataFolder, kept: Kept, saved: &Saved) -> anyhow::Result<Kept> {
    let path = match &kept {
        Kept::State(name) => folder.repo(name),
        Kept::Code(project) => folder.forge().join(format!("{project}.git")),
    };
    let repo = Restored::make(path)?;
    for bundle in &saved.bundles {
        let file = bundle.path(from, &kept);
        check(bundle, &file)?;
        repo.fetch(&file)?;
    }
    repo.leave_only(&saved.tips).with_context(|| format!("restore {kept}"))?;
    if let (Kept::Code(_), Some(head)) = (&kept, &saved.head) {
        repo.git().args(["symbolic-ref", "HEAD", head]).run()?;
    }
    repo.check(matches!(kept, Kept::State(_)))?;
    Ok(kept)
}

fn check(bundle: &Bundle, file: &Path) -> anyhow::Result<()> {
    let (bytes, sha256) = sum(file)?;
    if (bytes, &sha256) != (bundle.bytes, &bundle.sha256) {
        bail!("{} is not as it was written: take another copy of the backup", file.display());
    }
    Ok(())
}

/// The state in a clone or bundle, under the name that its content has.
fn from_clone(path: &Path, folder: &DataFolder) -> anyhow::Result<Kept> {
    let repo = Restored::make(folder.repos().join("restoring.git"))?;
    repo.fetch(path)?;
    let mut tips = repo.tips()?;
    if !tips.contains_key(STATE_REF)
        && let Some(tip) = repo.state_of_remote()
    {
        tips.insert(STATE_REF.to_owned(), tip);
        let ends = tips.iter().filter_map(|(name, tip)| Some((archive_here(BRANCH_DEFAULT, name)?, *tip)));
        let ends: Vec<_> = ends.collect();
        tips.extend(ends);
        tips.retain(|name, _| archive_here(BRANCH_DEFAULT, name).is_none());
    }
    tips.retain(|name, _| {
        KEPT_REFS.iter().any(|kept| name == kept || (kept.ends_with('/') && name.starts_with(kept)))
    });
    repo.leave_only(&tips)?;
    repo.check(true).with_context(|| format!("look into {}", path.display()))?;
    let name = repo.name().with_context(|| format!("find out whose state {} is", path.display()))?;
    let place = folder.repo(&name);
    if place.exists() {
        bail!("{} is a second copy of {name}: leave one of them out", path.display());
    }
    fs::rename(&repo.0, &place).with_context(|| format!("name the repository {name}"))?;
    Ok(Kept::State(name))
}

/// A repository of state or code in the making.
struct Restored(PathBuf);

impl Restored {
    fn make(path: PathBuf) -> anyhow::Result<Self> {
        create::repository(&RealDisk, &path)
            .with_context(|| format!("make the repository {}", path.display()))?;
        Ok(Self(path))
    }

    fn git(&self) -> Program {
        Program::git(&self.0).time_limit(GIT_TIME_LIMIT)
    }

    /// Takes all of a bundle or clone; git indexes it and hashes each object.
    fn fetch(&self, from: &Path) -> anyhow::Result<()> {
        // It is a file that whoever restores has named, so git may read files here.
        let local =
            ["-c", "protocol.file.allow=always", "-c", "fetch.unpackLimit=1", "-c", "maintenance.auto=false"];
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--"];
        let fetched = self.git().args(local).args(fetch).args([from]).args(["+refs/*:refs/*"]).run();
        fetched.map(drop).with_context(|| format!("read {}", from.display()))
    }

    fn tips(&self) -> anyhow::Result<Tips> {
        read_tips(&self.git().args(["for-each-ref", "--format=%(objectname) %(refname)"]).run()?)
    }

    /// The state that was pushed to a remote's usual branch. Where that had changes of its own its tip leads to both, and the
    /// second parent is the state with all of them.
    fn state_of_remote(&self) -> Option<Oid> {
        let branch = format!("refs/heads/{BRANCH_DEFAULT}");
        let found = |revision: String| {
            let told =
                self.git().args(["rev-parse", "--quiet", "--verify", "--end-of-options", &revision]).run();
            String::from_utf8_lossy(&told.ok()?).trim().parse().ok()
        };
        found(format!("{branch}^2")).or_else(|| found(branch))
    }

    /// Removes refs that are not in `tips`, and makes sure that the others stand where these say.
    fn leave_only(&self, tips: &Tips) -> anyhow::Result<()> {
        let found = self.tips()?;
        let gone =
            found.keys().filter(|name| !tips.contains_key(*name)).map(|name| format!("delete {name}\n"));
        let moved = tips.iter().filter(|(name, tip)| found.get(*name) != Some(tip));
        let moved = moved.map(|(name, tip)| format!("update {name} {tip}\n"));
        let changes: String = gone.chain(moved).collect();
        self.git().args(["update-ref", "--stdin"]).input(changes.into_bytes()).run()?;
        Ok(())
    }

    /// Has git look at every object that a ref leads to.
    fn check(&self, is_state: bool) -> anyhow::Result<()> {
        if is_state && self.git().args(["rev-parse", "--quiet", "--verify", STATE_REF]).run().is_err() {
            bail!("it has no branch `state`, so it is no repository of MrX's state");
        }
        let strict: &[&str] = if is_state { &["--strict"] } else { &[] };
        self.git().args(["fsck", "--full", "--no-dangling", "--no-progress"]).args(strict).run().map(drop)?;
        Ok(())
    }

    /// Whose state it is: a project's says so in its own file.
    fn name(&self) -> anyhow::Result<RepoName> {
        let file = format!("{STATE_REF}:{PROJECT_FILE}");
        let Ok(bytes) = self.git().args(["cat-file", "blob", &file]).run() else {
            let has = |folder: &str| {
                self.git().args(["cat-file", "-e", &format!("{STATE_REF}:{folder}")]).run().is_ok()
            };
            let is_platform = has(".mrx/version") && !has("jobs");
            return if is_platform { Ok(RepoName::Platform) } else { bail!("it has no {PROJECT_FILE}") };
        };
        let file: ProjectFile = yaml::read(PROJECT_FILE, "project", &bytes)?;
        Ok(RepoName::Project(file.project_id))
    }
}

/// What the new folder lacks, and what to do.
fn missing(folder: &DataFolder) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    let repositories = folder.repositories();
    if !repositories.contains(&RepoName::Platform) {
        said.push("There is no state of the platform: accounts, agents and the list of projects begin anew, and a project is known again when its code is found or `POST /projects` names it.".to_owned());
    }
    let registered = listed(folder, &RepoName::Platform, PROJECTS);
    let lost: Vec<_> = (registered.iter().filter_map(|path| stem(path).parse::<ProjectId>().ok()))
        .filter(|project| !repositories.contains(&RepoName::Project(project.clone())))
        .map(|project| project.to_string())
        .collect();
    if !lost.is_empty() {
        said.push(format!("The state of these projects was not in it: {}.", lost.join(", ")));
    }
    if !folder.keys().join(IDENTITY).is_file() {
        said.push("There are no keys: the daemon makes new ones, so people log in again, and the operator has a new token; keys of agents and of the API stay good.".to_owned());
        let secrets: Vec<_> = (repositories.iter())
            .flat_map(|name| listed(folder, name, SECRETS).into_iter().map(move |path| (name, path)))
            .filter(|(_, path)| path.ends_with(".yaml"))
            .map(|(name, path)| format!("{name} {}", stem(&path)))
            .collect();
        if !secrets.is_empty() {
            said.push(format!("The daemon cannot open these secrets, which are encrypted to the lost key: {}. Give a copy of the old keys with --keys, or have a configured recipient decrypt them, and store them anew.", secrets.join(", ")));
        }
    }
    said.extend(damaged(folder)?);
    let entries: usize = repositories.iter().map(|name| listed(folder, name, ARTIFACTS).len()).sum();
    if entries > 0 && !folder.artifacts().is_dir() {
        said.push(format!("There are {entries} entries of artifacts, and the bytes of none: a backup has them if it is made with --artifacts. Run an `index-rebuild` job, which flags what is missing."));
    }
    Ok(said)
}

/// The files in a folder of a state branch.
fn listed(folder: &DataFolder, name: &RepoName, path: &str) -> Vec<String> {
    let git = Program::git(&folder.repo(name)).time_limit(GIT_TIME_LIMIT);
    let listed = git.args(["ls-tree", "-r", "--name-only", STATE_REF, "--", path]).run();
    // What is only counted for a hint may be missing from it.
    let listed = listed.map(|output| String::from_utf8_lossy(&output).into_owned()).unwrap_or_default();
    listed.lines().map(str::to_owned).collect()
}

/// Takes away copies of artifacts that are not what their names say.
fn damaged(folder: &DataFolder) -> anyhow::Result<Option<String>> {
    let mut damaged = Vec::new();
    for entry in fs::read_dir(folder.artifacts()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_sha256(&name) && sum(&entry.path())?.1 != name {
            fs::remove_file(entry.path())?;
            damaged.push(name);
        }
    }
    Ok((!damaged.is_empty())
        .then(|| format!("These artifacts were damaged in the backup: {}.", damaged.join(", "))))
}
