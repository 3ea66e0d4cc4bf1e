//! The state as plain git shows it, and changes behind the daemon's back.

use std::path::Path;

use mrx::state::layout::{RepoName, STATE_REF};

use super::World;

impl World {
    /// What has happened to a job, oldest first, as the state branch says.
    pub async fn history(&self, project: &str, job: &str) -> Vec<String> {
        let about = format!("job {job}: ");
        self.log_of(project)
            .await
            .iter()
            .filter_map(|line| line.split_once(&about).map(|(_, what)| what.to_owned()))
            .collect()
    }

    /// `author: subject` of every commit of a project's state branch, oldest first, once plain git has them all.
    pub async fn log_of(&self, project: &str) -> Vec<String> {
        self.published(project).await;
        git_log(&self.repository(project), STATE_REF)
    }

    /// Waits until plain git shows all that was answered.
    pub async fn published(&self, project: &str) {
        let name = repo_name(project);
        let last = self.app().state.read(&name, |view| view.last()).await.unwrap();
        self.app().state.published(&name, last).await.unwrap();
    }

    /// The newest commit of a project's state.
    pub async fn tip(&self, project: &str) -> String {
        self.app().state.read(&repo_name(project), |view| view.tip()).await.unwrap().to_string()
    }

    /// A bare repository of the daemon: `platform` or a project's.
    pub fn repository(&self, project: &str) -> git2::Repository {
        git2::Repository::open_bare(self.data().repo(&repo_name(project))).unwrap()
    }

    /// Whether a project has a repository of state.
    pub fn repository_is_there(&self, project: &str) -> bool {
        self.data().repo(&repo_name(project)).exists()
    }

    /// Copies a project's repository into a folder, while the daemon is down.
    pub fn copy_repository(&self, project: &str, to: &Path) {
        copy(&self.data().repo(&repo_name(project)), to);
    }

    /// Puts it back.
    pub fn put_repository(&self, project: &str, from: &Path) {
        copy(from, &self.data().repo(&repo_name(project)));
    }

    /// The branches of a project's repository.
    pub fn branches(&self, project: &str) -> Vec<String> {
        let repo = self.repository(project);
        let mut names: Vec<String> = repo
            .references()
            .unwrap()
            .flatten()
            .map(|reference| reference.name().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// Commits files into a project's state while the daemon is down, as a person with git would.
    pub fn commit_by_hand(&self, project: &str, files: &[(&str, &[u8])]) {
        let repo = self.repository(project);
        let mut builder = git2::build::TreeUpdateBuilder::new();
        for (path, bytes) in files {
            let blob = repo.odb().unwrap().write(git2::ObjectType::Blob, bytes).unwrap();
            builder.upsert(*path, blob, git2::FileMode::Blob);
        }
        commit_by_hand(&repo, builder);
    }

    /// A file of a project's state, as plain git shows it.
    pub fn file_of(&self, project: &str, path: &str) -> String {
        let repo = self.repository(project);
        let tree = repo.find_reference(STATE_REF).unwrap().peel_to_tree().unwrap();
        let blob = tree.get_path(Path::new(path)).unwrap().id();
        String::from_utf8(repo.find_blob(blob).unwrap().content().to_vec()).unwrap()
    }

    /// Removes a file of a project's state in the same way.
    pub fn remove_by_hand(&self, project: &str, path: &str) {
        let mut builder = git2::build::TreeUpdateBuilder::new();
        builder.remove(path);
        commit_by_hand(&self.repository(project), builder);
    }

    /// Writes a commit into a project's repository that no branch has; tells its id.
    pub fn commit_beside(&self, project: &str) -> String {
        let repo = self.repository(project);
        let tip = repo.find_reference(STATE_REF).unwrap().peel_to_commit().unwrap();
        let person = git2::Signature::now("anna", "anna@example.org").unwrap();
        let text =
            repo.commit_create_buffer(&person, &person, "beside", &tip.tree().unwrap(), &[&tip]).unwrap();
        repo.odb().unwrap().write(git2::ObjectType::Commit, &text).unwrap().to_string()
    }

    /// Adds so many commits to a project's state while the daemon is down, each with its number as the subject; tells their ids.
    pub fn many_commits_by_hand(&self, project: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
        let repo = self.repository(project);
        let mut reference = repo.find_reference(STATE_REF).unwrap();
        let mut parent = reference.peel_to_commit().unwrap();
        let tree = parent.tree().unwrap();
        let when = git2::Time::new(parent.time().seconds(), 0);
        let person = git2::Signature::new("anna", "anna@example.org", &when).unwrap();
        let mut made = Vec::new();
        for number in numbers {
            let text = format!("{number}\n\nMrx-Event: test.counted\nMrx-Actor: user anna\n");
            let text = repo.commit_create_buffer(&person, &person, &text, &tree, &[&parent]).unwrap();
            let id = repo.odb().unwrap().write(git2::ObjectType::Commit, &text).unwrap();
            parent = repo.find_commit(id).unwrap();
            made.push(id.to_string());
        }
        reference.set_target(parent.id(), "many").unwrap();
        made
    }

    /// A file of a project's state, as plain git shows it.
    pub async fn file(&self, project: &str, path: &str) -> Option<String> {
        self.published(project).await;
        let repo = self.repository(project);
        let tree = repo.find_reference(STATE_REF).unwrap().peel_to_tree().unwrap();
        let entry = tree.get_path(Path::new(path)).ok()?;
        let blob = repo.find_blob(entry.id()).unwrap();
        Some(String::from_utf8(blob.content().to_vec()).unwrap())
    }
}

fn commit_by_hand(repo: &git2::Repository, mut builder: git2::build::TreeUpdateBuilder) {
    let parent = repo.find_reference(STATE_REF).unwrap().peel_to_commit().unwrap();
    let tree = repo.find_tree(builder.create_updated(repo, &parent.tree().unwrap()).unwrap()).unwrap();
    let person = git2::Signature::now("anna", "anna@example.org").unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a person commits with plain git while the daemon is down"
    )]
    repo.commit(Some(STATE_REF), &person, &person, "by hand", &tree, &[&parent]).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

fn repo_name(project: &str) -> RepoName {
    if project == "platform" { RepoName::Platform } else { RepoName::Project(project.parse().unwrap()) }
}

/// `author: subject` of every commit of a branch, oldest first.
fn git_log(repo: &git2::Repository, reference: &str) -> Vec<String> {
    let mut walk = repo.revwalk().unwrap();
    walk.push_ref(reference).unwrap();
    walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE).unwrap();
    let line = |id: Result<git2::Oid, git2::Error>| {
        let commit = repo.find_commit(id.unwrap()).unwrap();
        let author = commit.author().name().unwrap().to_owned();
        format!("{author}: {}", commit.summary().unwrap().unwrap_or_default())
    };
    walk.map(line).collect()
}

/// The text with ids replaced by what they are ids of, so that a story reads the same every time.
pub fn fingerprint(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = ["job-01", "art-01", "lease-01"].iter().filter_map(|kind| rest.find(kind)).min() {
        let kind = rest[at..].split_once('-').unwrap().0;
        out.push_str(&rest[..at]);
        out.push_str(kind);
        out.push_str("-…");
        rest = &rest[at + kind.len() + 27..];
    }
    out + rest
}
