//! The folders an agent works in: one for the agent, locked; one for each job, fresh, and removed when there is nothing more
//! to tell of the job.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::daemon_client::ClaimedJob;
use super::record::Record;
use super::sandbox;

/// Held by the agent that uses the folder.
const LOCK_NAME: &str = "agent.lock";
/// Where a job's code or a program's work is, in its folder.
pub const CODE_NAME: &str = "code";
/// The beginning of a job's folder, as of its id; nothing else in the work folder is ever removed.
const JOB_PREFIX: &str = "job-";

/// An agent's own folder.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    /// Locked while it is open.
    _lock: File,
}

/// One job's folder, which is removed with this value unless it holds what is still to be told.
#[derive(Debug)]
pub struct JobFolder {
    path: PathBuf,
    is_kept: AtomicBool,
}

impl WorkFolder {
    /// Opens or makes it, and removes what jobs of an earlier run left there and nobody can bring to an end.
    ///
    /// # Errors
    /// It cannot be made or locked; another agent may be using it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let path = path.canonicalize()?;
        let lock = File::create(path.join(LOCK_NAME))?;
        lock.try_lock().map_err(|error| anyhow::anyhow!("another agent may be using it: {error}"))?;
        let work = Self { path, _lock: lock };
        for entry in fs::read_dir(&work.path)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(JOB_PREFIX)
                && Record::load(&entry.path()).is_none()
            {
                remove(&entry.path());
            }
        }
        Ok(work)
    }

    /// The jobs whose end is still to be told, oldest first.
    pub fn left(&self) -> Vec<(JobFolder, Record)> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(JOB_PREFIX))
            .map(|entry| entry.path())
            .collect();
        // An id begins with the time at which the job was made.
        paths.sort();
        let left = paths.into_iter().filter_map(|path| Some((Record::load(&path)?, path)));
        left.map(|(record, path)| (JobFolder { path, is_kept: AtomicBool::new(true) }, record)).collect()
    }

    /// A new folder for a job, with the files that its sandbox shows as `/etc`.
    pub fn job(&self, job: &ClaimedJob) -> io::Result<JobFolder> {
        let path = self.path.join(format!("{}-{}", job.job_id, job.attempt));
        remove(&path);
        DirBuilder::new().mode(0o700).create(&path)?;
        let folder = JobFolder { path, is_kept: AtomicBool::new(false) };
        DirBuilder::new().mode(0o755).create(folder.etc())?;
        sandbox::write_etc(&folder.etc())?;
        Ok(folder)
    }
}

impl JobFolder {
    /// Writes down how far the job is; from now on the folder outlives this value.
    pub fn record(&self, record: &Record) -> io::Result<()> {
        record.save(&self.path)?;
        self.is_kept.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// There is nothing more to tell: the folder goes with this value.
    pub fn let_go(&self) {
        self.is_kept.store(false, Ordering::Relaxed);
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a program finds at its stdin.
    pub fn input(&self) -> PathBuf {
        self.path.join("input.json")
    }

    /// Where the code is cloned to; the only part that a step sees and may write.
    pub fn code(&self) -> PathBuf {
        self.path.join(CODE_NAME)
    }

    /// The sandbox's `/etc`.
    pub fn etc(&self) -> PathBuf {
        self.path.join("etc")
    }

    /// The diff of a patch job, outside of the code.
    pub fn diff(&self) -> PathBuf {
        self.path.join("diff")
    }

    /// The spool of the log.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }
}

impl Drop for JobFolder {
    fn drop(&mut self) {
        if !self.is_kept.load(Ordering::Relaxed) {
            remove(&self.path);
        }
    }
}

/// Removes a folder with all that is in it, also where a build made folders that even their owner may not change.
fn remove(path: &Path) {
    let removed = fs::remove_dir_all(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => {
            make_writable(path);
            fs::remove_dir_all(path)
        }
    });
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "a job's folder could not be removed");
    }
}

/// Makes every folder below writable, following no link. A list, not recursion: a build chooses the depth.
fn make_writable(path: &Path) {
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        // Best effort: what still cannot be removed is reported by the caller.
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o700));
        let inside = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(
            inside
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_folder_serves_one_agent_and_is_cleared_of_old_jobs_only() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("work");
        fs::create_dir_all(path.join("job-old/code/shut")).unwrap();
        fs::write(path.join("notes"), "mine").unwrap();
        fs::set_permissions(path.join("job-old/code/shut"), fs::Permissions::from_mode(0o000)).unwrap();
        let first = WorkFolder::open(&path).unwrap();
        assert!(!path.join("job-old").exists() && path.join("notes").exists());
        assert!(WorkFolder::open(&path).unwrap_err().to_string().contains("another agent"));
        drop(first);
        WorkFolder::open(&path).unwrap();
    }
}
