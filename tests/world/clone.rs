//! Clones of the state, as people and agents have them: real git, over HTTP.

use std::path::{Path, PathBuf};

use mrx::clock::Clock;

use super::World;

/// What git said, whether it worked or not.
pub struct Said {
    pub ok: bool,
    pub text: String,
}

/// Runs git; the daemon answers meanwhile.
pub async fn git(folder: &Path, arguments: &[&str]) -> Said {
    git_of("git", folder, arguments).await
}

/// Runs this very git.
pub async fn git_of(program: &str, folder: &Path, arguments: &[&str]) -> Said {
    run(program, folder, arguments, &[]).await
}

#[expect(clippy::disallowed_methods, reason = "the story is told by git itself")]
async fn run(program: &str, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let output = tokio::process::Command::new(program)
        .args(["-c", "credential.helper="])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(environment.iter().copied())
        .output()
        .await
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Said { ok: output.status.success(), text }
}

/// The URL of a repository, with a key as the password.
pub fn url(world: &World, key: &str, repo: &str) -> String {
    format!("{}/git/{repo}", world.address().replace("http://", &format!("http://me:{key}@")))
}

/// Somebody's clone of a project's state, with files to change, on a machine whose clock is the story's.
pub struct Clone {
    _folder: tempfile::TempDir,
    path: PathBuf,
    clock: Clock,
}

impl Clone {
    /// A clone of the branch `state` of a project, by whoever has this key.
    pub async fn of(world: &World, project: &str, key: &str) -> Self {
        Self::with(world, project, key, &[]).await
    }

    /// The same, with options of `git clone`.
    pub async fn with(world: &World, project: &str, key: &str, options: &[&str]) -> Self {
        world.published(project).await;
        let folder = tempfile::tempdir().unwrap();
        let url = url(world, key, &format!("{project}.git"));
        let arguments = [&["clone", "-q", "-b", "state"], options, &[url.as_str(), "copy"]].concat();
        let said = git(folder.path(), &arguments).await;
        assert!(said.ok, "{}", said.text);
        let path = folder.path().join("copy");
        let clone = Self { _folder: folder, path, clock: world.clock.clone() };
        clone.git(&["config", "user.name", "Ada"]).await;
        clone.git(&["config", "user.email", "ada@example.org"]).await;
        clone
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs git in it, which must work.
    pub async fn git(&self, arguments: &[&str]) -> String {
        self.git_at(self.clock.now().seconds(), arguments).await
    }

    /// The same, where the machine's clock says that it is so late.
    pub async fn git_at(&self, seconds: u64, arguments: &[&str]) -> String {
        let time = format!("@{seconds} +0000");
        let times = [("GIT_AUTHOR_DATE", time.as_str()), ("GIT_COMMITTER_DATE", time.as_str())];
        let said = run("git", &self.path, arguments, &times).await;
        assert!(said.ok, "git {arguments:?}: {}", said.text);
        said.text
    }

    /// A file of it.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Writes a file.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Changes a file: each `from` becomes its `to`.
    pub fn edit(&self, path: &str, changes: &[(&str, &str)]) {
        let text = changes.iter().fold(self.read(path), |text, (from, to)| {
            assert!(text.contains(from), "{path} has no {from:?}: {text}");
            text.replace(from, to)
        });
        self.write(path, &text);
    }

    /// Commits all that was changed.
    pub async fn commit(&self, message: &str) {
        self.git(&["add", "-A"]).await;
        self.git(&["commit", "-q", "--allow-empty", "-m", message]).await;
    }

    /// Commits all that was changed, and pushes it.
    pub async fn push(&self, message: &str) -> Said {
        self.commit(message).await;
        git(&self.path, &["push", "origin", "HEAD:state"]).await
    }
}
