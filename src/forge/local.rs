//! The local forge: a folder of bare repositories, each `mrx-*.git` of which is a project.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::{Code, NewCode, PREFIX};
use crate::id::ProjectId;

/// A folder is looked at again this long after something changed in it: a repository is made in several steps.
const SETTLE: Duration = Duration::from_millis(200);
/// And at least this often, in case the kernel dropped a notice.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Of the file `description` so much is read: a line, as GitHub allows it (350 characters).
const DESCRIPTION_BYTES_MAX: u64 = 1400;

/// A folder of bare repositories.
#[derive(Clone, Debug)]
pub struct LocalForge {
    folder: PathBuf,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the forge's folder {}: {cause}", folder.display())]
pub struct LocalForgeError {
    folder: PathBuf,
    cause: String,
}

impl LocalForge {
    /// The forge in this folder, which is made if it is not there.
    pub fn open(folder: &Path) -> Result<Self, LocalForgeError> {
        let failed =
            |error: std::io::Error| LocalForgeError { folder: folder.to_owned(), cause: error.to_string() };
        std::fs::create_dir_all(folder).map_err(failed)?;
        Ok(Self { folder: folder.canonicalize().map_err(failed)? })
    }

    /// The projects there are now, by name. A repository that cannot be read is passed over and said so.
    pub fn list(&self) -> Result<Vec<Code>, LocalForgeError> {
        let entries = std::fs::read_dir(&self.folder).map_err(|error| self.error(&error.to_string()))?;
        let mut found: Vec<Code> = entries.filter_map(|entry| code_at(&entry.ok()?.path())).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Says `()` whenever the folder may have changed, and now and then anyway. Ends when nobody listens.
    pub async fn watch(&self, changed: mpsc::Sender<()>) -> Result<(), LocalForgeError> {
        let (notice, mut notices) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |_| {
            // A notice that waits already says the same.
            let _ = notice.try_send(());
        })
        .map_err(|error| self.error(&error.to_string()))?;
        watcher
            .watch(&self.folder, RecursiveMode::NonRecursive)
            .map_err(|error| self.error(&error.to_string()))?;
        loop {
            // Time out or notice: both mean to look.
            let _ = tokio::time::timeout(LOOK_AGAIN, notices.recv()).await;
            tokio::time::sleep(SETTLE).await;
            while notices.try_recv().is_ok() {}
            if changed.send(()).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Makes a repository, or shows the one of this name that is there.
    pub fn create(&self, new: &NewCode) -> Result<Code, LocalForgeError> {
        let path = self.folder.join(format!("{}.git", new.name));
        if !path.exists() {
            // Under another name first: who lists the folder meanwhile must not find half a repository.
            let beside = self.folder.join(format!(".{}.new", new.name));
            let mut options = git2::RepositoryInitOptions::new();
            options.bare(true).initial_head("main").external_template(false);
            if let Some(description) = &new.description {
                options.description(description);
            }
            git2::Repository::init_opts(&beside, &options).map_err(|error| self.error(error.message()))?;
            std::fs::rename(&beside, &path).map_err(|error| self.error(&error.to_string()))?;
        }
        code_at(&path).ok_or_else(|| self.error(&format!("{} is no bare repository", path.display())))
    }

    fn error(&self, cause: &str) -> LocalForgeError {
        LocalForgeError { folder: self.folder.clone(), cause: cause.to_owned() }
    }
}

/// The project in this folder, if its name says that it is one and it is a bare repository.
fn code_at(path: &Path) -> Option<Code> {
    let name = path.file_name()?.to_str()?.strip_suffix(".git")?;
    let project: ProjectId = name.parse().ok().filter(|_| name.starts_with(PREFIX))?;
    let repo = match git2::Repository::open_bare(path) {
        Ok(repo) => repo,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a folder named like a project is no bare repository and is passed over");
            return None;
        }
    };
    let head = repo.find_reference("HEAD").ok();
    let target = head.as_ref().and_then(|head| head.symbolic_target().ok().flatten());
    let default_branch =
        target.and_then(|name| name.strip_prefix("refs/heads/")).unwrap_or("main").to_owned();
    let description = description_in(path);
    Some(Code { description, ..Code::in_folder(project, path.to_str()?, default_branch) })
}

/// What git's own file `description` says, unless nobody has changed it (gitrepository-layout(5)).
fn description_in(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path.join("description")).ok()?;
    file.take(DESCRIPTION_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next()?.trim();
    (!line.is_empty() && !line.starts_with("Unnamed repository")).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bare_repository_with_the_prefix_is_a_project() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["mrx-b.git", "mrx-a.git", "other.git", "mrx-UPPER.git"] {
            git2::Repository::init_bare(folder.path().join(name)).unwrap();
        }
        std::fs::create_dir(folder.path().join("mrx-empty.git")).unwrap();
        let names: Vec<String> = LocalForge::open(folder.path())
            .and_then(|forge| forge.list())
            .unwrap()
            .iter()
            .map(|code| code.name.to_string())
            .collect();
        assert_eq!(names, ["mrx-a", "mrx-b"]);
    }

    #[test]
    fn what_a_repository_is_about_is_what_gits_own_file_says() {
        let folder = tempfile::tempdir().unwrap();
        let forge = LocalForge::open(folder.path()).unwrap();
        let about = |name: &str, description: Option<&str>| {
            let (name, description) = (name.parse().unwrap(), description.map(str::to_owned));
            forge.create(&NewCode { name, owner: None, private: true, description }).unwrap().description
        };
        assert_eq!(about("mrx-a", Some("Forecasts")).as_deref(), Some("Forecasts"));
        assert_eq!(about("mrx-a", Some("Other")).as_deref(), Some("Forecasts"), "it is there already");
        assert_eq!(about("mrx-b", None), None);
        let file = folder.path().join("mrx-b.git/description");
        std::fs::write(&file, "Unnamed repository; edit this file to name it.\n").unwrap();
        assert_eq!(about("mrx-b", None), None);
        std::fs::write(&file, "Tides\nand more\n").unwrap();
        assert_eq!(forge.list().unwrap()[1].description.as_deref(), Some("Tides"));
    }

    #[tokio::test]
    async fn a_new_repository_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let forge = LocalForge::open(folder.path()).unwrap();
        let (changed, mut changes) = mpsc::channel(1);
        let path = folder.path().join("mrx-new.git");
        tokio::select! {
            ended = forge.watch(changed) => panic!("the watch ended: {ended:?}"),
            noticed = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                git2::Repository::init_bare(&path).unwrap();
                tokio::time::timeout(Duration::from_secs(20), changes.recv()).await
            } => assert_eq!(noticed, Ok(Some(()))),
        }
        assert_eq!(forge.list().unwrap().len(), 1);
    }
}
