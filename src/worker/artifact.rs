//! Finds the files that a recipe calls artifacts, and uploads them.
//!
//! What a build leaves behind is hostile: no link is followed, neither to a file nor on the way to one, and only regular
//! files are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::backoff::{Backoff, Pace};
use super::daemon_client::CallError;
use super::job_client::JobClient;
use super::recipe::ArtifactGlob;
use crate::id::ArtifactId;

/// A build with more results should pack them.
const ARTIFACTS_MAX: usize = 1000;
/// More files than a large checkout with its dependencies has.
const ENTRIES_MAX: usize = 1_000_000;
/// Git's own folder holds no results.
const GIT_FOLDER: &str = ".git";

/// Why the artifacts of a build are not those of its recipe.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The recipe promised a file that the build did not make.
    #[error("the artifact {0:?} matches no regular file")]
    Missing(String),
    /// There are too many, or one cannot be named to the daemon.
    #[error("{0}")]
    Unusable(String),
    #[error("the build's folders cannot be read")]
    Io(#[from] io::Error),
}

/// The files below `root` that any glob matches, as sorted paths from `root`. Each glob must match one.
pub fn find(root: &Path, globs: &[ArtifactGlob]) -> Result<Vec<String>, FindError> {
    let mut found = BTreeSet::new();
    let mut matched = vec![false; globs.len()];
    let mut folders = vec![PathBuf::new()];
    let mut entries = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            entries += 1;
            let (path, kind) = (folder.join(entry.file_name()), entry.file_type()?);
            if kind.is_dir() && path.as_os_str() != GIT_FOLDER {
                folders.push(path);
            } else if kind.is_file() {
                let hits = globs.iter().zip(&mut matched).filter(|(glob, _)| glob.matcher.is_match(&path));
                let count = hits.map(|(_, matched)| *matched = true).count();
                if count > 0 {
                    found.insert(named(path)?);
                }
            }
        }
        if entries > ENTRIES_MAX || found.len() > ARTIFACTS_MAX {
            let text = format!("at most {ARTIFACTS_MAX} artifacts among {ENTRIES_MAX} files are looked for");
            return Err(FindError::Unusable(text));
        }
    }
    match globs.iter().zip(matched).find(|(_, matched)| !matched) {
        Some((glob, _)) => Err(FindError::Missing(glob.text.clone())),
        None => Ok(found.into_iter().collect()),
    }
}

/// All regular files below `root`, as sorted paths from there.
pub fn find_all(root: &Path) -> Result<Vec<String>, FindError> {
    match find(root, &[ArtifactGlob::all()]) {
        Err(FindError::Missing(_)) => Ok(Vec::new()),
        found => found,
    }
}

/// A path as the text that the daemon gets.
fn named(path: PathBuf) -> Result<String, FindError> {
    let text = path.into_os_string().into_string();
    text.map_err(|path| FindError::Unusable(format!("the name of the artifact {path:?} is not UTF-8")))
}

/// Opens the regular file at `path` below `root`, following no link.
pub fn open_below(root: &Path, path: &str) -> io::Result<File> {
    let root = open(root, OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // Without waiting, so that a pipe in place of a file cannot hold the agent up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: OwnedFd = openat2(root, path, flags, Mode::empty(), resolve)?;
    let file = File::from(file);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(file)
}

/// The name of a file at the daemon: the last part of its path.
pub fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Checks that no two files share a name, so that each can be told from the others.
pub fn check_names_differ(paths: &[String]) -> Result<(), FindError> {
    let mut names = BTreeMap::new();
    for path in paths {
        if let Some(other) = names.insert(name(path), path) {
            return Err(FindError::Unusable(format!("the artifacts {other} and {path} have the same name")));
        }
    }
    Ok(())
}

/// Why an artifact was not uploaded.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the artifact {path} cannot be read")]
    File { path: String, source: io::Error },
    #[error(transparent)]
    Call(CallError),
}

/// Uploads the file at `path` below `root`, again and again while the daemon is away. Returns its id and size.
pub async fn upload(
    job: &JobClient,
    root: &Path,
    path: &str,
    pace: Pace,
) -> Result<(ArtifactId, u64), UploadError> {
    let unreadable = |source| UploadError::File { path: path.to_owned(), source };
    let mut backoff = Backoff::new(pace.retry_first, pace.job_retry_max);
    loop {
        let file = open_below(root, path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        match job.upload_artifact(name(path), file, size).await {
            Ok(id) => return Ok((id, size)),
            Err(CallError::Unreachable { what, retry_after }) => {
                tracing::warn!(what, path, "an artifact was not taken; trying again");
                tokio::time::sleep(backoff.next(retry_after)).await;
            }
            Err(error) => return Err(UploadError::Call(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::worker::recipe::Recipe;

    fn globs(patterns: &str) -> Vec<ArtifactGlob> {
        let text = format!("build: {{steps: [{{name: a, run: [b]}}], artifacts: [{patterns}]}}");
        Recipe::parse(text.as_bytes()).unwrap().artifacts
    }

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        root
    }

    #[test]
    fn globs_find_regular_files_sorted_and_each_once() {
        let root = tree(&["dist/b.tar.gz", "dist/a.tar.gz", "dist/deep/c.tar.gz", "x.log", ".git/x.log"]);
        let found = find(root.path(), &globs("dist/*.tar.gz, dist/a*, '**/*.log'")).unwrap();
        assert_eq!(found, ["dist/a.tar.gz", "dist/b.tar.gz", "x.log"]);
    }

    #[test]
    fn a_glob_without_a_match_is_missing() {
        let error = find(tree(&["a"]).path(), &globs("a, dist/*")).unwrap_err();
        assert_eq!(error.to_string(), r#"the artifact "dist/*" matches no regular file"#);
    }

    #[test]
    fn no_link_leads_out_of_the_clone() {
        let (root, outside) = (tree(&["dist/a"]), tree(&["secret"]));
        symlink(outside.path().join("secret"), root.path().join("dist/link")).unwrap();
        symlink(outside.path(), root.path().join("away")).unwrap();
        assert!(matches!(find(root.path(), &globs("dist/link")), Err(FindError::Missing(_))));
        assert!(matches!(find(root.path(), &globs("'**/secret'")), Err(FindError::Missing(_))));
        for path in ["dist/link", "away/secret", "../x", "/etc/passwd", "dist"] {
            assert!(open_below(root.path(), path).is_err(), "{path}");
        }
        assert!(open_below(root.path(), "dist/a").is_ok());
    }

    #[test]
    fn a_pipe_is_no_artifact_and_holds_nobody_up() {
        let root = tree(&["a"]);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(find(root.path(), &globs("pipe")).is_err());
        assert!(open_below(root.path(), "pipe").is_err());
    }

    #[test]
    fn two_artifacts_of_one_name_are_refused() {
        let paths = ["a/x".to_owned(), "b/x".to_owned()];
        assert!(check_names_differ(&paths).unwrap_err().to_string().contains("a/x and b/x"));
    }
}
