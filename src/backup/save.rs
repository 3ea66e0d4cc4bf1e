//! Writes a backup: a bundle for each repository in which something has moved, then the manifest.
//!
//! It reads the bare repositories themselves. They are whole at every moment, also under a running daemon: packs never
//! change, and a ref moves when all behind it is there. What a daemon that was killed left in its journal is brought in first.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::GIT_TIME_LIMIT;
use super::files::{self, Which};
use super::manifest::{Bundle, Kept, MANIFEST, Manifest, Next, Saved, Tips, next};
use crate::app::AppOptions;
use crate::clock::Clock;
use crate::git::child::Program;
use crate::state::disk::{RealDisk, write_beside};
use crate::state::edit::Projections;
use crate::state::layout::{DataFolder, KEPT_REFS};
use crate::state::lock::{FolderLock, LockError};
use crate::state::oid::Oid;
use crate::state::store::{OpenError, Options, State};

/// A pack that git has just listed may be folded away before it reads it; then it is asked again, this often.
const TRIES: usize = 4;
/// What is kept of a repository of code.
const CODE_REFS: [&str; 2] = ["refs/heads/", "refs/tags/"];
/// What is read of a file at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Held while a backup is written.
const LOCK: &str = "backup.lock";

/// What to save besides repositories.
#[derive(Clone, Copy, Debug, Default)]
pub struct Besides {
    /// The bytes of artifacts.
    pub artifacts: bool,
    /// The folder of keys.
    pub keys: bool,
}

/// What was saved.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Repositories in the backup.
    pub repositories: usize,
    /// Bundles that were written, and their bytes.
    pub bundles: usize,
    /// The bytes of these.
    pub bytes: u64,
    /// Files of artifacts that were copied.
    pub artifacts: usize,
    /// Files of keys that were copied.
    pub keys: usize,
}

/// Saves what is new since the last time.
///
/// # Errors
/// The backup is as it was, perhaps with a bundle that its manifest does not name.
pub fn save(data: &DataFolder, to: &Path, besides: Besides, clock: &Clock) -> anyhow::Result<Report> {
    if !data.repos().is_dir() {
        bail!("{} is no data folder of MrX: give it with --data", data.path().display());
    }
    files::make_folder(to).with_context(|| format!("make the folder {}", to.display()))?;
    let _lock = FolderLock::take(&to.join(LOCK)).map_err(|error| match error {
        LockError::Held { holder, .. } => {
            anyhow::anyhow!("{} is being written by another backup ({holder}): wait for it", to.display())
        }
        error => error.into(),
    })?;
    bring_in_journal(data)?;
    // Before the state, so that no webhook is farther than what it tells of.
    files::copy(&data.webhooks(), &to.join("webhooks"), Which::All)?;
    let mut manifest = read_manifest(to)?.unwrap_or_else(Manifest::new);
    let (mut report, mut replaced) = (Report::default(), Vec::new());
    let sources = sources(data)?;
    let names: BTreeSet<&Kept> = sources.iter().map(|(kept, _)| kept).collect();
    // A project that was removed for good leaves the backup too.
    manifest.repositories.retain(|kept, saved| {
        let stays = names.contains(kept);
        if !stays {
            replaced.extend(saved.bundles.iter().map(|bundle| bundle.path(to, kept)));
        }
        stays
    });
    for (kept, repo) in &sources {
        let source = Source { kept, repo, to };
        let saved = source.save(manifest.repositories.get(kept), &mut report, &mut replaced);
        if let Some(saved) = saved.with_context(|| format!("save {kept}"))? {
            manifest.repositories.insert(kept.clone(), saved);
        }
    }
    manifest.saved_at = Some(clock.now());
    write_beside(&RealDisk, &to.join(MANIFEST), manifest.to_file().as_bytes(), 0o600)
        .and_then(|()| File::open(to)?.sync_all())
        .context("write the manifest")?;
    for path in replaced {
        // One that stays only takes room: the manifest does not name it.
        let _ = fs::remove_file(path);
    }
    if besides.artifacts {
        report.artifacts = files::copy(&data.artifacts(), &to.join("artifacts"), Which::New)?;
    }
    if besides.keys {
        report.keys = files::copy(&data.keys(), &to.join("keys"), Which::All)?;
    }
    report.repositories = manifest.repositories.len();
    Ok(report)
}

/// The manifest in a backup's folder, if there is one.
pub fn read_manifest(folder: &Path) -> anyhow::Result<Option<Manifest>> {
    let path = folder.join(MANIFEST);
    match fs::read_to_string(&path) {
        Ok(text) => Manifest::read(&text).map(Some).with_context(|| format!("read {}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// If no daemon has the folder, does what its next start would do first: publishes what the journal holds.
fn bring_in_journal(data: &DataFolder) -> anyhow::Result<()> {
    let usual = AppOptions::new(data.clone());
    let opened = State::open(Options {
        folder: usual.folder,
        disk: usual.disk,
        clock: usual.clock,
        journal_segment_bytes: usual.journal_segment_bytes,
        epochs: usual.epochs,
        kinds: Arc::new(|_| Projections::default()),
        signer: None,
        on_failure: usual.on_failure,
    });
    match opened {
        Ok((state, _)) => {
            state.close();
            Ok(())
        }
        // A daemon publishes by itself within 100 ms.
        Err(OpenError::Lock(LockError::Held { .. })) => Ok(()),
        Err(error) => Err(error).context("bring in what the journal holds"),
    }
}

/// Every repository: of the platform first, because it names the projects, then of projects, then of code.
fn sources(data: &DataFolder) -> anyhow::Result<Vec<(Kept, PathBuf)>> {
    let mut sources: Vec<(Kept, PathBuf)> =
        data.repositories().into_iter().map(|name| (Kept::State(name.clone()), data.repo(&name))).collect();
    if data.forge().is_dir() {
        for entry in fs::read_dir(data.forge()).context("list the code")? {
            let path = entry.context("list the code")?.path();
            let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".git")?.parse().ok());
            sources.extend(name.map(|name| (Kept::Code(name), path)));
        }
    }
    sources.retain(|(_, repo)| repo.join("HEAD").is_file());
    Ok(sources)
}

/// A repository to be saved.
struct Source<'a> {
    kept: &'a Kept,
    repo: &'a Path,
    to: &'a Path,
}

impl Source<'_> {
    /// Saves what is new; `None` if nothing is.
    fn save(
        &self,
        before: Option<&Saved>,
        report: &mut Report,
        replaced: &mut Vec<PathBuf>,
    ) -> anyhow::Result<Option<Saved>> {
        let tips = self.tips()?;
        if tips.is_empty() {
            return Ok(None);
        }
        let has = |oid: Oid| self.git().args(["cat-file", "-e", &format!("{oid}^{{commit}}")]).run().is_ok();
        let (refs, since) = match next(before, &tips, has) {
            Next::Nothing => return Ok(None),
            Next::New { refs, since } => (refs, since),
            Next::Whole => (tips.keys().cloned().collect(), Vec::new()),
        };
        let moved: Tips = refs.into_iter().filter_map(|name| tips.get_key_value(&name)).map(cloned).collect();
        let bundles = before.map_or_else(Vec::new, |saved| saved.bundles.clone());
        let mut saved = Saved { tips, bundles, head: self.head() };
        let number = saved.bundles.iter().map(|bundle| bundle.number).max().unwrap_or(0) + 1;
        if since.is_empty() {
            replaced.extend(saved.bundles.drain(..).map(|bundle| bundle.path(self.to, self.kept)));
        }
        if let Some(bundle) = self.write(number, &moved, &since)? {
            report.bundles += 1;
            report.bytes += bundle.bytes;
            saved.bundles.push(bundle);
        }
        Ok(Some(saved))
    }

    fn git(&self) -> Program {
        Program::git(self.repo).time_limit(GIT_TIME_LIMIT)
    }

    /// Of code the branch that a clone checks out; a repository of state has always the same.
    fn head(&self) -> Option<String> {
        let Kept::Code(_) = self.kept else { return None };
        let head = self.git().args(["symbolic-ref", "--quiet", "HEAD"]).run().ok()?;
        Some(String::from_utf8(head).ok()?.trim().to_owned())
    }

    fn tips(&self) -> anyhow::Result<Tips> {
        let kept: &[&str] = if matches!(self.kept, Kept::State(_)) { &KEPT_REFS } else { &CODE_REFS };
        let format = "--format=%(objectname) %(refname)";
        // git takes a prefix without its slash.
        let prefixes = kept.iter().map(|prefix| prefix.trim_end_matches('/'));
        let listed = self.git().args(["for-each-ref", format, "--"]).args(prefixes).run()?;
        read_tips(&listed)
    }

    /// Writes a bundle; `None` if the commits in `since` lead to all that the refs lead to.
    fn write(&self, number: u32, tips: &Tips, since: &[Oid]) -> anyhow::Result<Option<Bundle>> {
        let known = since.iter().map(|oid| format!("^{oid}\n"));
        let wanted = tips.values().map(|oid| format!("{oid}\n")).chain(known).collect::<String>();
        let is_new =
            || self.git().args(["rev-list", "--max-count=1", "--stdin"]).input(wanted.clone().into_bytes());
        if tips.is_empty() || again(|| is_new().run())?.is_empty() {
            return Ok(None);
        }
        let folder = self.to.join(self.kept.to_string());
        files::make_folder(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let (path, beside) = (folder.join(format!("{number:06}.bundle")), folder.join("unfinished.bundle"));
        let begins = self.header(tips, since)?;
        again(|| self.bundle(&beside, &begins, &wanted))?;
        let (bytes, sha256) = sum(&beside)?;
        File::open(&beside)?.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(&folder)?.sync_all()?;
        Ok(Some(Bundle { number, bytes, sha256 }))
    }

    /// What a bundle begins with (gitformat-bundle): the commits that whoever reads it has, then where its refs stand.
    fn header(&self, tips: &Tips, since: &[Oid]) -> anyhow::Result<String> {
        let since = since.iter().map(|oid| format!("{oid}\n")).collect::<String>();
        // Of a tag this gives the commit: nothing else may be said there.
        let commits =
            || self.git().args(["rev-list", "--no-walk", "--stdin"]).input(since.clone().into_bytes());
        let commits = if since.is_empty() { Vec::new() } else { again(|| commits().run())? };
        let commits = String::from_utf8(commits).context("git lists no commits")?;
        let known = commits.lines().map(|commit| format!("-{commit} \n"));
        let stand = tips.iter().map(|(name, oid)| format!("{oid} {name}\n"));
        Ok(format!("# v2 git bundle\n{}\n", known.chain(stand).collect::<String>()))
    }

    /// Has git write a pack behind the header. This is `git bundle create`, which passes over `--stdin` before git 2.31, and
    /// arguments have no room for all the refs there can be.
    fn bundle(&self, path: &Path, begins: &str, wanted: &str) -> anyhow::Result<Vec<u8>> {
        let mut file = File::create(path)?;
        file.write_all(begins.as_bytes())?;
        let pack = ["pack-objects", "--revs", "--thin", "--delta-base-offset", "--stdout", "--quiet"];
        Ok(self.git().args(pack).input(wanted.as_bytes().to_vec()).output_file(file).run()?)
    }
}

fn cloned((name, tip): (&String, &Oid)) -> (String, Oid) {
    (name.clone(), *tip)
}

fn again<E: Into<anyhow::Error>>(run: impl Fn() -> Result<Vec<u8>, E>) -> anyhow::Result<Vec<u8>> {
    for _ in 1..TRIES {
        if let Ok(output) = run() {
            return Ok(output);
        }
    }
    run().map_err(Into::into)
}

pub(super) fn read_tips(listed: &[u8]) -> anyhow::Result<Tips> {
    let text = std::str::from_utf8(listed).context("the name of a ref is not UTF-8")?;
    let line = |line: &str| {
        let (oid, name) = line.split_once(' ').context("git listed no ref")?;
        Ok((name.to_owned(), oid.parse()?))
    };
    text.lines().map(line).collect()
}

/// The length and the SHA-256 of a file.
pub fn sum(path: &Path) -> anyhow::Result<(u64, String)> {
    let (mut hash, mut length, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    let failed = || format!("read {}", path.display());
    let mut file = File::open(path).with_context(failed)?;
    loop {
        let read = file.read(&mut chunk).with_context(failed)?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
        length += read as u64;
    }
    Ok((length, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}
