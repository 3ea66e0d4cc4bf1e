//! Keeps every project's remote and state the same: looks at it, brings in what is new there, and pushes, one run at a time a project.
//!
//! A run begins when the state has moved, when somebody asks or a webhook hints, and now and then; never sooner after the
//! last one than a host bears. What is known of a remote is memory, and found anew after a start.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use reqwest::Url;
use tokio::sync::Notify;

use super::address::{self, BadAddress};
use super::bring_in::BringIn;
use super::changes;
use super::error::RemoteError;
use super::reading::{self, Reading};
use super::relation::{self, Heads, Next};
use super::transport::{self, Transport, TransportError};
use super::types::{Remote, RemoteProblem, RemoteStatus};
use crate::clock::{Clock, Time};
use crate::git::child::Halt;
use crate::id::ProjectId;
use crate::project::{Project, Registry};
use crate::secret::{Scope, Secrets};
use crate::state::edit::Actor;
use crate::state::epoch;
use crate::state::layout::RepoName;
use crate::state::objects::Objects;
use crate::state::oid::Oid;
use crate::state::store::{EngineError, State};
use crate::webhook::names::Names;
use crate::webhook::{send, target};

/// Runs under way at once; each is a git that mostly waits for the network.
const RUNS_MAX: usize = 4;
/// How often it is looked whether a state has moved.
const ROUND: Duration = Duration::from_secs(1);
/// How often a run tries again when the branch moved while it was at work.
pub(super) const TRIES: usize = 4;
/// How long whoever asked for a push waits for it.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// A remote that fails is tried this rarely at last.
const BACKOFF_MAX: Duration = Duration::from_secs(600);
/// The secret that a remote is asked with.
pub(super) const SECRET: &str = "github";

/// What the operator decides about remotes.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// Whether remotes may be anywhere, also by `http` and `file`.
    pub allow_local: bool,
    /// The hosts that get a project's secret `github`: `github.com`, or with a port.
    pub credential_hosts: Vec<String>,
    /// How long after a run the next one begins at the earliest.
    pub push_every: Duration,
    /// How often a remote is looked at that nobody hints of.
    pub poll_every: Duration,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            allow_local: false,
            credential_hosts: vec!["github.com".to_owned()],
            push_every: Duration::from_secs(10),
            poll_every: Duration::from_secs(300),
        }
    }
}

/// All remotes. A clone is the same.
#[derive(Clone)]
pub struct Remotes(Arc<Inner>);

struct Inner {
    state: State,
    clock: Clock,
    registry: Registry,
    secrets: Secrets,
    options: RemoteOptions,
    allow_private_webhooks: bool,
    known: Mutex<HashMap<ProjectId, Known>>,
    asked: Notify,
    ended: Notify,
}

/// What is known of one.
struct Known {
    remote: Remote,
    /// How many runs began, the newest that succeeded and that failed, by their number.
    begun: u64,
    succeeded: u64,
    failed: u64,
    is_running: bool,
    is_asked: bool,
    begun_at: Option<Time>,
    failures: u32,
    pushed: Option<(Oid, Time)>,
    remote_tip: Option<Oid>,
    merged_at: Option<Time>,
    problem: Option<RemoteProblem>,
}

impl Known {
    fn of(remote: &Remote) -> Self {
        Self {
            remote: remote.clone(),
            begun: 0,
            succeeded: 0,
            failed: 0,
            is_running: false,
            is_asked: false,
            begun_at: None,
            failures: 0,
            pushed: None,
            remote_tip: None,
            merged_at: None,
            problem: None,
        }
    }

    /// Whether a run is due. `tip` is where the state stands.
    fn is_due(&self, tip: Option<Oid>, now: Time, options: &RemoteOptions) -> bool {
        let Some(begun_at) = self.begun_at else { return !self.is_running };
        let waited = now.since(begun_at);
        let backoff = options.push_every * 2_u32.saturating_pow(self.failures.min(10));
        let pause =
            if self.is_asked { options.push_every } else { backoff.min(BACKOFF_MAX.max(options.push_every)) };
        let has_moved = tip.is_some() && tip != self.pushed.map(|(tip, _)| tip);
        !self.is_running && waited >= pause && (self.is_asked || has_moved || waited >= options.poll_every)
    }
}

/// What a run came to.
struct Synced {
    pushed: Oid,
    remote_tip: Oid,
    has_merged: bool,
}

impl Remotes {
    /// Over this state.
    pub fn new(
        state: State,
        clock: Clock,
        registry: Registry,
        secrets: Secrets,
        options: RemoteOptions,
        allow_private_webhooks: bool,
    ) -> Self {
        Self(Arc::new(Inner {
            state,
            clock,
            registry,
            secrets,
            options,
            allow_private_webhooks,
            known: Mutex::default(),
            asked: Notify::new(),
            ended: Notify::new(),
        }))
    }

    /// Refuses what no project's remote may be.
    pub fn check(&self, remote: &Remote) -> Result<(), BadAddress> {
        address::parse(&remote.url, self.0.options.allow_local).map(drop)
    }

    /// Refuses to wait for the remote of a project that has none. One that nobody knows is for others to refuse.
    pub fn check_is_there(&self, id: &ProjectId) -> Result<(), RemoteError> {
        match self.0.registry.find(id) {
            Some(project) if project.remote.is_none() => Err(RemoteError::None(id.clone())),
            _ => Ok(()),
        }
    }

    /// The projects that have one.
    pub fn projects(&self) -> BTreeSet<ProjectId> {
        let with_one = self.0.registry.all().into_iter().filter(|project| project.remote.is_some());
        with_one.map(|project| project.project_id.clone()).collect()
    }

    /// How a project's remote is.
    pub fn status(&self, id: &ProjectId) -> Result<RemoteStatus, RemoteError> {
        let remote = self.remote(id)?;
        let tip = self.0.state.glance(&RepoName::Project(id.clone())).published;
        let mut all = self.0.known.lock();
        let known = entry(&mut all, id, &remote);
        Ok(RemoteStatus {
            url: remote.url,
            branch: remote.branch,
            pushed: known.pushed.map(|(tip, _)| tip),
            pushed_at: known.pushed.map(|(_, at)| at),
            remote_tip: known.remote_tip,
            merged_at: known.merged_at,
            is_behind: known.pushed.map(|(tip, _)| tip) != tip,
            problem: known.problem.clone(),
        })
    }

    /// How many remotes there are that something is wrong with.
    pub fn failing(&self) -> usize {
        self.0.known.lock().values().filter(|known| known.problem.is_some()).count()
    }

    /// Says that the branch of a repository on GitHub stands at a commit; one that was pushed from here is no news.
    pub fn hint(&self, full_name: &str, branch: &str, commit: &str) {
        let url = format!("https://github.com/{full_name}");
        let is_it = |remote: &Remote| {
            remote.branch == branch && remote.url.trim_end_matches(".git").eq_ignore_ascii_case(&url)
        };
        let mut all = self.0.known.lock();
        for known in all.values_mut().filter(|known| is_it(&known.remote)) {
            known.is_asked |= known.remote_tip.is_none_or(|tip| tip.to_string() != commit);
        }
        drop(all);
        self.0.asked.notify_one();
    }

    /// Asks for a run, and waits until one that began after this has ended: the remote has all that was published before.
    pub async fn ask(&self, id: &ProjectId) -> Result<(), RemoteError> {
        let remote = self.remote(id)?;
        let before = {
            let mut all = self.0.known.lock();
            let known = entry(&mut all, id, &remote);
            known.is_asked = true;
            known.begun
        };
        self.0.asked.notify_one();
        tokio::time::timeout(WAIT_MAX, self.ended(id, before)).await.unwrap_or(Err(RemoteError::Late))
    }

    /// Waits for the end of a run whose number is above `before`.
    async fn ended(&self, id: &ProjectId, before: u64) -> Result<(), RemoteError> {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            // From here on every end is heard.
            ended.as_mut().enable();
            match self.0.known.lock().get(id) {
                Some(known) if known.succeeded > before => return Ok(()),
                Some(known) if known.failed > before => {
                    let why = known.problem.as_ref().map(|problem| problem.message.clone());
                    return Err(RemoteError::Failed(why.unwrap_or_default()));
                }
                Some(_) => {}
                None => return Err(RemoteError::None(id.clone())),
            }
            ended.await;
        }
    }

    /// Does what is due, for as long as it is waited for.
    pub async fn run(&self) {
        let mut running = FuturesUnordered::new();
        loop {
            for project in self.begin_due(RUNS_MAX - running.len()) {
                running.push(self.work(project));
            }
            tokio::select! {
                Some(()) = running.next(), if !running.is_empty() => {}
                () = self.0.asked.notified() => {}
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    }

    /// Removes the scratch repository of a project: it has no remote any more, or what failed may lie in it.
    fn forget_scratch(&self, id: &ProjectId) {
        match std::fs::remove_dir_all(self.0.state.folder().remote(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(project = %id, %error, "the scratch repository of a remote stays");
            }
            _ => {}
        }
    }

    /// The projects whose run begins now.
    fn begin_due(&self, most: usize) -> Vec<Arc<Project>> {
        let now = self.0.clock.now();
        let mut projects = self.0.registry.all();
        projects.retain(|project| project.remote.is_some() && project.is_worked_on());
        let has_none = |id: &ProjectId, known: &mut Known| {
            !known.is_running && projects.iter().all(|one| one.project_id != *id)
        };
        let ended: Vec<ProjectId> = self.0.known.lock().extract_if(has_none).map(|(id, _)| id).collect();
        ended.iter().for_each(|id| self.forget_scratch(id));
        let mut begun = Vec::new();
        for project in projects {
            if begun.len() == most {
                break;
            }
            let Some(remote) = &project.remote else { continue };
            let tip = self.0.state.glance(&RepoName::Project(project.project_id.clone())).published;
            let mut all = self.0.known.lock();
            let known = entry(&mut all, &project.project_id, remote);
            if known.is_due(tip, now, &self.0.options) {
                (known.is_running, known.is_asked, known.begun_at) = (true, false, Some(now));
                known.begun += 1;
                begun.push(project.clone());
            }
        }
        begun
    }

    async fn work(&self, project: Arc<Project>) {
        let Some(remote) = project.remote.clone() else { return };
        let result = self.sync(&project, &remote).await;
        if matches!(result, Err(RemoteError::Unreachable(_) | RemoteError::Refused(_) | RemoteError::Disk(_)))
        {
            self.forget_scratch(&project.project_id);
        }
        let now = self.0.clock.now();
        if let Some(known) = self.0.known.lock().get_mut(&project.project_id) {
            known.is_running = false;
            match result {
                // A remote that was changed meanwhile has a run of its own before it.
                _ if known.remote != remote => known.begun_at = None,
                Ok(synced) => {
                    (known.succeeded, known.failures, known.problem) = (known.begun, 0, None);
                    known.pushed = Some((synced.pushed, now));
                    known.remote_tip = Some(synced.remote_tip);
                    known.merged_at = if synced.has_merged { Some(now) } else { known.merged_at };
                }
                Err(error) => {
                    (known.failed, known.failures) = (known.begun, known.failures.saturating_add(1));
                    let code = error.code();
                    let same = known.problem.as_ref().filter(|problem| problem.code == code);
                    let since = same.map_or(now, |problem| problem.since);
                    if same.is_none() {
                        tracing::warn!(project = %project.project_id, %error, "the remote does not have the state");
                    }
                    known.problem = Some(RemoteProblem { code, message: error.to_string(), since });
                }
            }
        }
        self.0.ended.notify_waiters();
    }

    async fn sync(&self, project: &Project, remote: &Remote) -> Result<Synced, RemoteError> {
        let (id, inner) = (&project.project_id, &self.0);
        let url = address::parse(&remote.url, inner.options.allow_local)?;
        let (name, ref_name) = (RepoName::Project(id.clone()), remote.ref_name());
        let folder = inner.state.folder();
        let (at, repo) = (folder.remote(id), folder.repo(&name));
        let scratch = at.clone();
        blocking(move || transport::scratch(&scratch, &repo)).await?.map_err(RemoteError::Disk)?;
        let guard = Guard::default();
        let transport = Arc::new(Transport {
            scratch: at,
            repo: folder.repo(&name),
            pinned: self.pinned(&url).await?,
            token: self.token(id, &url).await?,
            url,
            halt: guard.0.clone(),
        });
        let mut has_merged = false;
        for _ in 0..TRIES {
            let mut ours = self.published(&name).await?;
            let (speaker, branch) = (transport.clone(), ref_name.clone());
            let (looked, ends) = blocking(move || look(&speaker, &branch, ours)).await??;
            let mut over = None;
            let (commit, theirs) = match looked {
                Looked::Same(tip) if ends.is_empty() => {
                    return Ok(Synced { pushed: ours, remote_tip: tip, has_merged });
                }
                // What was before is kept there too, and the branch stands already.
                Looked::Same(tip) => (tip, None),
                Looked::Behind => (ours, None),
                Looked::Before(tip) => {
                    over = Some(tip);
                    (ours, None)
                }
                Looked::Own(reading) => {
                    let theirs = reading.theirs.tip;
                    if !reading.theirs.changed.is_empty() {
                        self.bring_in(project, remote, reading).await?;
                        has_merged = true;
                        ours = self.published(&name).await?;
                    }
                    (ours, Some(theirs))
                }
            };
            let (speaker, branch, now) = (transport.clone(), ref_name.clone(), inner.clock.now());
            let pushed = blocking(move || {
                speaker.keep(&ends)?;
                let commit = theirs.map_or(Ok(commit), |theirs| speaker.join(commit, theirs, now))?;
                match over {
                    Some(from) => speaker.push_over(from, commit, &branch, now),
                    None => speaker.push(commit, &branch).map(|()| commit),
                }
            });
            match pushed.await? {
                Ok(tip) => return Ok(Synced { pushed: ours, remote_tip: tip, has_merged }),
                Err(TransportError::Moved) => {}
                Err(error) => return Err(RemoteError::Refused(error)),
            }
        }
        Err(RemoteError::Restless)
    }

    async fn bring_in(
        &self,
        project: &Project,
        remote: &Remote,
        reading: Reading,
    ) -> Result<(), RemoteError> {
        let inner = &self.0;
        let url = address::parse(&remote.url, inner.options.allow_local)?;
        let actor = Actor { kind: "remote", name: url.host_str().unwrap_or("local").into() };
        let bring_in = BringIn {
            project,
            now: inner.clock.now(),
            allow_private_webhooks: inner.allow_private_webhooks,
            actor: &actor,
            branch: &remote.branch,
            theirs: &reading.theirs,
        };
        let name = RepoName::Project(project.project_id.clone());
        inner.state.change(&name, |view| bring_in.decide(reading.wrote, view)).await?;
        Ok(())
    }

    /// Where plain git shows the state, with all that was answered by now.
    async fn published(&self, name: &RepoName) -> Result<Oid, EngineError> {
        let (tip, last) = self.0.state.read(name, |view| (view.tip(), view.last())).await?;
        self.0.state.published(name, last).await?;
        Ok(tip)
    }

    /// A name is resolved once and checked, and git calls the address that was found.
    async fn pinned(&self, url: &Url) -> Result<Option<String>, RemoteError> {
        let Some(host) = url.host_str().filter(|host| target::literal(host).is_none()) else {
            return Ok(None);
        };
        let found =
            tokio::time::timeout(WAIT_MAX, send::resolve(&Names::default(), url, self.0.options.allow_local))
                .await;
        let found = found.unwrap_or_else(|_| Err(format!("the name {host} is not resolved in time")));
        let found = found.map_err(RemoteError::Unresolved)?;
        let port = url.port_or_known_default().unwrap_or(443);
        let all: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
        Ok(Some(format!("{host}:{port}:{}", all.join(","))))
    }

    async fn token(&self, id: &ProjectId, url: &Url) -> Result<Option<crate::mask::SecretText>, RemoteError> {
        if !address::gets_credential(url, &self.0.options.credential_hosts) {
            return Ok(None);
        }
        let name = SECRET.parse().expect("it is a name");
        let value = self.0.secrets.value(&Scope::Project(id.clone()), &name).await;
        value.map_err(|error| RemoteError::Credential(error.to_string()))
    }

    fn remote(&self, id: &ProjectId) -> Result<Remote, RemoteError> {
        let project = self.0.registry.find(id);
        project.and_then(|project| project.remote.clone()).ok_or_else(|| RemoteError::None(id.clone()))
    }
}

/// The entry of a project, anew if its remote is another one than it was.
fn entry<'a>(all: &'a mut HashMap<ProjectId, Known>, id: &ProjectId, remote: &Remote) -> &'a mut Known {
    let known = all.entry(id.clone()).or_insert_with(|| Known::of(remote));
    if known.remote != *remote {
        let (begun, is_running) = (known.begun, known.is_running);
        *known = Known { begun, is_running, ..Known::of(remote) };
    }
    known
}

/// Ends git when whoever waits for it goes away.
#[derive(Default)]
struct Guard(Halt);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How the remote's branch stands to the state.
enum Looked {
    Same(Oid),
    Behind,
    /// It is behind, in an epoch that is over.
    Before(Oid),
    Own(Reading),
}

/// How the remote's branch stands, and the ends of epochs that it does not keep yet.
fn look(transport: &Transport, ref_name: &str, ours: Oid) -> Result<(Looked, Heads), RemoteError> {
    let (heads, kept) = transport.refs().map_err(RemoteError::Unreachable)?;
    let ended = epoch::ended_before(&Objects::new(transport.repo.clone()), epoch::From::Tip(ours));
    let ended = ended.map_err(EngineError::from)?;
    let ends: Vec<Oid> = ended.iter().map(|archive| archive.tip).collect();
    let named =
        ended.iter().map(|archive| (relation::archive_there(ref_name, &archive.ref_name), archive.tip));
    let missing: Heads = named.filter(|(name, tip)| kept.get(name) != Some(tip)).collect();
    let is_past = |tip: Oid| changes::is_past(&transport.repo, tip, ours);
    let looked = match relation::next(&heads, ref_name, ours, is_past) {
        Next::Empty => return Err(RemoteError::Empty),
        Next::Nothing => Looked::Same(ours),
        Next::Push => match heads.get(ref_name) {
            Some(tip) if !changes::is_forward(&transport.repo, *tip, ours) => Looked::Before(*tip),
            _ => Looked::Behind,
        },
        Next::Join(tip) => {
            transport.fetch(ref_name).map_err(RemoteError::Unreachable)?;
            let theirs = changes::read(&transport.scratch, ours, &ends, tip)?;
            if theirs.is_joined { Looked::Same(tip) } else { Looked::Own(reading::read(theirs)) }
        }
    };
    Ok((looked, missing))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::oid::Kind;

    #[test]
    fn a_run_is_due_when_the_state_moved_or_somebody_asks_and_never_sooner_than_a_host_bears() {
        let options = RemoteOptions::default();
        let at = |seconds: u64| Time::from_millis(1_800_000_000_000 + seconds * 1000);
        let tip = |text: &str| Some(Oid::of(Kind::Blob, text.as_bytes()));
        let mut known = Known::of(&Remote { url: String::new(), branch: String::new() });
        assert!(known.is_due(tip("a"), at(0), &options), "nothing is known yet");
        (known.begun_at, known.pushed) = (Some(at(0)), Some((tip("a").unwrap(), at(0))));
        assert!(!known.is_due(tip("a"), at(299), &options));
        assert!(known.is_due(tip("a"), at(300), &options), "the poll");
        assert!(!known.is_due(tip("b"), at(9), &options));
        assert!(known.is_due(tip("b"), at(10), &options));
        known.failures = 3;
        assert!(!known.is_due(tip("b"), at(79), &options));
        assert!(known.is_due(tip("b"), at(80), &options));
        known.is_asked = true;
        assert!(!known.is_due(tip("a"), at(9), &options) && known.is_due(tip("a"), at(10), &options));
        known.is_running = true;
        assert!(!known.is_due(tip("b"), at(1000), &options));
    }
}
