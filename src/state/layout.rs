//! Every path and ref of the state, and nowhere else: the data folder, the repositories, the files in their branches.

pub mod place;

use std::path::{Path, PathBuf};

use crate::clock::Time;
use crate::id::{
    AgentId, ArtifactId, ChatId, InviteId, JobId, KeyId, ProjectId, ScheduleName, SecretName, SessionId,
    UserName, WebhookId,
};

/// The branch that holds everything but logs.
pub const STATE_REF: &str = "refs/heads/state";
/// What the refs of log branches begin with; a day follows.
pub const LOGS_REF_PREFIX: &str = "refs/heads/logs/";
/// Where a ref that somebody moved behind the daemon's back is kept.
pub const REJECTED_REF_PREFIX: &str = "refs/rejected/";
/// What the refs begin with that keep the epochs before the one of the branch.
pub const ARCHIVE_REF_PREFIX: &str = "refs/archive/";
/// What a backup of a repository of state holds.
pub const KEPT_REFS: [&str; 4] = [STATE_REF, LOGS_REF_PREFIX, REJECTED_REF_PREFIX, ARCHIVE_REF_PREFIX];

/// The folder of open jobs.
pub const OPEN_JOBS: &str = "jobs/open";
/// The folder of finished jobs, with a folder for each day below it.
pub const DONE_JOBS: &str = "jobs/done";
/// The folder of chats, a folder each.
pub const CHATS: &str = "chats";
/// What every model is told first about the project.
pub const PROMPT: &str = "chats/prompt.yaml";
/// The file about a chat, in its folder.
pub const CHAT_FILE: &str = "chat.yaml";
/// The folder of schedules.
pub const SCHEDULES: &str = "schedules";
/// The folder of artifact entries.
pub const ARTIFACTS: &str = "artifacts";
/// The folder of secrets, in a project's repository and in the platform's.
pub const SECRETS: &str = "secrets";
/// The folder of webhooks, in a project's repository.
pub const WEBHOOKS: &str = "webhooks";
/// The file of whom secrets are encrypted to, in the platform's repository.
pub const RECIPIENTS: &str = "recipients.yaml";
/// The folder of agents, in the platform's repository.
pub const AGENTS: &str = "agents";
/// The folder of registered projects, in the platform's repository.
pub const PROJECTS: &str = "projects";
/// The folder of accounts, in the platform's repository.
pub const USERS: &str = "users";
/// The folder of sessions, in the platform's repository.
pub const SESSIONS: &str = "sessions";
/// The folder of API keys' entries, in the platform's repository.
pub const KEYS: &str = "keys";
/// The folder of invitations, in the platform's repository.
pub const INVITES: &str = "invites";
/// The folder of failed log-ins, in the platform's repository.
pub const THROTTLES: &str = "throttles";
/// The folder of claim secrets' hashes, in the platform's repository.
pub const CLAIM_SECRETS: &str = "claim-secrets";
/// The folder of what is left of removed projects, in the platform's repository.
pub const REMOVED_PROJECTS: &str = "removed";
/// The file about a project, in its own repository.
pub const PROJECT_FILE: &str = "project.yaml";
/// What the forge has told of a project's code, in the project's repository.
pub const CODE_FILE: &str = "code.yaml";

/// How far the project's remote has been brought in, in the project's repository.
pub const REMOTE_FILE: &str = "remote.yaml";
/// The folder of what remotes brought and could not be merged, in the project's repository.
pub const CONFLICTS: &str = "conflicts";

/// A repository of state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RepoName {
    /// Agents and the registry of projects.
    Platform,
    /// One project's state.
    Project(ProjectId),
}

impl RepoName {
    /// How the journal names it: `platform` or `projects/mrx-weather`.
    pub fn key(&self) -> String {
        match self {
            RepoName::Platform => "platform".to_owned(),
            RepoName::Project(id) => format!("projects/{id}"),
        }
    }

    /// Reads [`RepoName::key`] back.
    pub fn from_key(key: &str) -> Option<Self> {
        match key.strip_prefix("projects/") {
            Some(id) => id.parse().ok().map(RepoName::Project),
            None => (key == "platform").then_some(RepoName::Platform),
        }
    }

    /// The project, if it is one's.
    pub fn project(&self) -> Option<&ProjectId> {
        match self {
            RepoName::Platform => None,
            RepoName::Project(id) => Some(id),
        }
    }
}

impl std::fmt::Display for RepoName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.key())
    }
}

/// The data folder: `--data`.
#[derive(Clone, Debug)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// The folder at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Locked by the one daemon that owns the folder; holds its process id and address.
    pub fn lock(&self) -> PathBuf {
        self.0.join("mrx.lock")
    }

    /// Where the daemon of the folder listens, as a URL.
    pub fn address(&self) -> PathBuf {
        self.0.join("mrx.address")
    }

    /// Tokens and keys: mode 0700, never in git.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The write-ahead journal's segments.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// Artifact bytes, by their SHA-256.
    pub fn artifacts(&self) -> PathBuf {
        self.0.join("artifacts")
    }

    /// How far each outbound webhook is, and its last deliveries.
    pub fn webhooks(&self) -> PathBuf {
        self.0.join("webhooks")
    }

    /// The local forge: code repositories, if no other folder is configured.
    pub fn forge(&self) -> PathBuf {
        self.0.join("forge")
    }

    /// The scratch repositories of pushes under way.
    pub fn pushes(&self) -> PathBuf {
        self.0.join("pushes")
    }

    /// A scratch repository for the traffic with a project's remote.
    pub fn remote(&self, project: &ProjectId) -> PathBuf {
        self.0.join("remotes").join(format!("{project}.git"))
    }

    /// The folder of all state repositories.
    pub fn repos(&self) -> PathBuf {
        self.0.join("repos")
    }

    /// Repositories on their way out, and up to which record of the journal each is gone.
    pub fn removed(&self) -> PathBuf {
        self.repos().join("removed")
    }

    /// A bare repository.
    pub fn repo(&self, name: &RepoName) -> PathBuf {
        self.repos().join(format!("{}.git", name.key()))
    }

    /// The repositories on the disk, the platform's first.
    pub fn repositories(&self) -> Vec<RepoName> {
        let entries = std::fs::read_dir(self.repos().join("projects")).into_iter().flatten().flatten();
        let mut names: Vec<RepoName> = entries
            .filter_map(|entry| {
                entry.file_name().to_str()?.strip_suffix(".git")?.parse().ok().map(RepoName::Project)
            })
            .chain([RepoName::Platform])
            .filter(|name| self.repo(name).is_dir())
            .collect();
        names.sort();
        names
    }
}

/// The ref of the log branch of a day, as `2026-11-20`.
pub fn logs_ref(day: &str) -> String {
    format!("{LOGS_REF_PREFIX}{day}")
}

/// `refs/archive/2026-11-21-3`: the last commit of the third epoch, which ended on this day.
pub fn archive_ref(ended: Time, number: u32) -> String {
    format!("{ARCHIVE_REF_PREFIX}{}-{number}", ended.day())
}

/// The number of the epoch whose last commit a ref keeps.
pub fn archive_number(ref_name: &str) -> Option<u32> {
    let (day, number) = ref_name.strip_prefix(ARCHIVE_REF_PREFIX)?.rsplit_once('-')?;
    if day.len() == "2026-11-21".len() { number.parse().ok() } else { None }
}

/// `jobs/open/7/q/3/job-….yaml`.
pub fn open_job(id: &JobId) -> String {
    fanned_file(OPEN_JOBS, id.as_str())
}

/// `jobs/done/2026-11-20/7/q/3/job-….yaml`.
pub fn done_job(id: &JobId, ended: Time) -> String {
    done_job_on(id, &ended.day())
}

/// The same, by the day as text.
pub fn done_job_on(id: &JobId, day: &str) -> String {
    fanned_file(&format!("{DONE_JOBS}/{day}"), id.as_str())
}

/// `schedules/nightly.yaml`.
pub fn schedule(name: &ScheduleName) -> String {
    format!("{SCHEDULES}/{name}.yaml")
}

/// The schedule whose file this is.
pub fn schedule_name(path: &str) -> Option<ScheduleName> {
    path.strip_prefix(SCHEDULES)?.strip_prefix('/')?.strip_suffix(".yaml")?.parse().ok()
}

/// `artifacts/4/w/9/art-….yaml`.
pub fn artifact(id: &ArtifactId) -> String {
    fanned_file(ARTIFACTS, id.as_str())
}

/// `secrets/github.yaml`: all of a secret but its value.
pub fn secret(name: &SecretName) -> String {
    format!("{SECRETS}/{name}.yaml")
}

/// `secrets/github.age`: the value, encrypted.
pub fn secret_ciphertext(name: &SecretName) -> String {
    format!("{SECRETS}/{name}.age")
}

/// The secret whose file `secrets/….yaml` this is.
pub fn secret_name(path: &str) -> Option<SecretName> {
    path.strip_prefix(SECRETS)?.strip_prefix('/')?.strip_suffix(".yaml")?.parse().ok()
}

/// `security/token-reused/7/q/3/job-…-1.yaml`: an incident of this kind, in the platform's repository.
pub fn incident(kind: &str, id: &JobId, attempt: u32) -> String {
    format!("security/{kind}/{}-{attempt}.yaml", fanned(id.as_str()))
}

/// A chat's own folder: `chats/4/k/7/chat-…`.
pub fn chat_folder(id: &ChatId) -> String {
    format!("{CHATS}/{}", fanned(id.as_str()))
}

/// `chats/4/k/7/chat-…/chat.yaml`.
pub fn chat(id: &ChatId) -> String {
    format!("{}/{CHAT_FILE}", chat_folder(id))
}

/// The folder of a chat's messages: `chats/4/k/7/chat-…/messages`.
pub fn chat_messages(id: &ChatId) -> String {
    format!("{}/messages", chat_folder(id))
}

/// A segment, named by the number of its first message: `chats/4/k/7/chat-…/messages/000001.yaml`.
pub fn chat_segment(id: &ChatId, first: u64) -> String {
    format!("{}/{first:06}.yaml", chat_messages(id))
}

/// The number of the first message that the name of a segment says.
pub fn chat_segment_first(name: &str) -> Option<u64> {
    name.strip_suffix(".yaml")?.parse().ok()
}

/// `webhooks/hook-….yaml`.
pub fn webhook(id: &WebhookId) -> String {
    format!("{WEBHOOKS}/{id}.yaml")
}

/// `agents/builder-1.yaml`.
pub fn agent(id: &AgentId) -> String {
    format!("{AGENTS}/{id}.yaml")
}

/// `users/ada.yaml`.
pub fn user(name: &UserName) -> String {
    format!("{USERS}/{name}.yaml")
}

/// `sessions/7/q/3/session-….yaml`.
pub fn session(id: &SessionId) -> String {
    fanned_file(SESSIONS, id.as_str())
}

/// `keys/7/q/3/key-….yaml`.
pub fn key(id: &KeyId) -> String {
    fanned_file(KEYS, id.as_str())
}

/// `invites/invite-….yaml`.
pub fn invite(id: &InviteId) -> String {
    format!("{INVITES}/{id}.yaml")
}

/// `throttles/account-ada.yaml`.
pub fn throttle(name: &str) -> String {
    format!("{THROTTLES}/{name}.yaml")
}

/// `claim-secrets/7/f/a/….yaml`, by the hash.
pub fn claim_secret(hash: &str) -> String {
    fanned_file(CLAIM_SECRETS, hash)
}

/// `conflicts/2026-11-20-1795341600000-0123456789.yaml`: what of a remote's commit could not be merged at this time.
pub fn conflict(at: Time, theirs: &str) -> String {
    format!("{CONFLICTS}/{}-{:013}-{}.yaml", at.day(), at.millis(), &theirs[..10.min(theirs.len())])
}

/// `projects/mrx-weather.yaml`.
pub fn project(id: &ProjectId) -> String {
    format!("{PROJECTS}/{id}.yaml")
}

/// `removed/mrx-weather.yaml`.
pub fn removed(id: &ProjectId) -> String {
    format!("{REMOVED_PROJECTS}/{id}.yaml")
}

/// The folder of one attempt's log segments, on a log branch: `7/q/3/job-…/1`.
pub fn log_folder(job: &JobId, attempt: u32) -> String {
    format!("{}/{attempt}", fanned(job.as_str()))
}

/// The folder of segments that begins at this offset, in an attempt's folder: `7/q/3/job-…/1/000000000000`.
pub fn log_segments(attempt_folder: &str, first: u64) -> String {
    format!("{attempt_folder}/{first:012}")
}

/// A segment, named by the offset of its first byte: `7/q/3/job-…/1/000000000000/000000004096.log`.
pub fn log_segment(attempt_folder: &str, first: u64, offset: u64) -> String {
    format!("{attempt_folder}/{first:012}/{offset:012}.log")
}

/// The offset that the name of a segment or of a folder of segments says.
pub fn log_offset(name: &str) -> Option<u64> {
    name.strip_suffix(".log").unwrap_or(name).parse().ok()
}

/// The name of a file without folders and ending: the id or name of what it holds.
pub fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".yaml").unwrap_or(name)
}

/// An id below folders of its last three characters, so that no folder grows wide and a person finds it by its id.
///
/// A commit holds the folders on the changed path, so its size is the width of these: at 100,000 jobs, folders by two
/// characters cost 6 KiB a commit for the last one alone, and by three about 1 KiB for the last two.
fn fanned(id: &str) -> String {
    let mut path = String::with_capacity(id.len() + 6);
    push_fanned(&mut path, id);
    path
}

/// `folder/7/q/3/id.yaml`.
fn fanned_file(folder: &str, id: &str) -> String {
    let mut path = String::with_capacity(folder.len() + id.len() + 12);
    path.push_str(folder);
    path.push('/');
    push_fanned(&mut path, id);
    path.push_str(".yaml");
    path
}

fn push_fanned(path: &mut String, id: &str) {
    for character in id[id.len() - 3..].chars() {
        path.extend([character, '/']);
    }
    path.push_str(id);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_finds_a_jobs_file_by_the_end_of_its_id() {
        let id: JobId = "job-01jd000000000000000000007k".parse().unwrap();
        assert_eq!(open_job(&id), "jobs/open/0/7/k/job-01jd000000000000000000007k.yaml");
        assert_eq!(
            done_job(&id, Time::from_millis(0)),
            "jobs/done/1970-01-01/0/7/k/job-01jd000000000000000000007k.yaml"
        );
        let segment = log_segment(&log_folder(&id, 1), 0, 4096);
        assert_eq!(segment, "0/7/k/job-01jd000000000000000000007k/1/000000000000/000000004096.log");
        assert_eq!(log_offset("000000004096.log"), Some(4096));
        assert_eq!(stem(&open_job(&id)), id.as_str());
    }

    #[test]
    fn a_repository_is_named_in_the_journal_as_it_is_found_again() {
        for name in [RepoName::Platform, RepoName::Project("mrx-a".parse().unwrap())] {
            assert_eq!(RepoName::from_key(&name.key()), Some(name));
        }
        assert_eq!(RepoName::from_key("projects/../x"), None);
    }
}
