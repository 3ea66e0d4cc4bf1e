//! Takes pushes: spools what is sent, lets `git receive-pack` unpack and check it in a scratch repository, and answers its hook.
//!
//! A client that stalls holds a temporary file and nothing else, because the child starts when all is there. What is pushed
//! reaches the state only through the writer, as commits that were judged ([`super::judge`]) by the state as it is then.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::child::{Cause, Halt, Program, ProgramError};
use super::hook::{self, Answer, Question};
use super::pushed::{Line, Reader, not_forward};
use super::refusal::Refusal;
use super::scratch::{self, Scratch};
use super::seen::{self, Seen, Wants};
use super::take::{self, Anew, NotTaken, Taken};
use crate::app::App;
use crate::http::auth::Pass;
use crate::id::ProjectId;
use crate::identity::Principal;
use crate::state::layout::{RepoName, STATE_REF};
use crate::state::moment::Moment;
use crate::state::oid::Oid;
use crate::state::store::{Done, EngineError};

/// What a push may send, and what that may be inflated to: the commits of one are bounded far below it.
const SENT_BYTES_MAX: u64 = 16 << 20;
/// Pushes that may send at once.
const SENDING_MAX: usize = 16;
/// Pushes that are unpacked at once: each may take [`OWN_KIB_MAX`].
const UNPACKING_MAX: usize = 3;
/// How long a push waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(30);
/// How long unpacking and judging may take.
const UNPACKING_TIME_MAX: Duration = Duration::from_secs(60);
/// Memory that git may have of its own to unpack, and what it may map in all: the packs of a large state are among it.
const OWN_KIB_MAX: u32 = 32 << 10;
const MAPPED_KIB_MAX: u32 = 1 << 20;

/// How git unpacks a push: whole, checked, and with little memory.
const SETTINGS: [&str; 19] = [
    "core.hooksPath=hooks",
    "core.alternateRefsCommand=true",
    "core.bigFileThreshold=1m",
    "core.deltaBaseCacheLimit=4m",
    "core.packedGitWindowSize=1m",
    "core.packedGitLimit=32m",
    "core.fsync=none",
    "core.logAllRefUpdates=false",
    "pack.threads=1",
    "gc.auto=0",
    "receive.autogc=false",
    "receive.fsckObjects=true",
    "receive.unpackLimit=1",
    "receive.maxInputSize=16m",
    "receive.denyDeletes=true",
    "receive.denyNonFastForwards=true",
    "receive.denyCurrentBranch=ignore",
    "receive.advertisePushOptions=false",
    "transfer.advertiseSID=false",
];

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// While nothing comes.
    pub silence: Duration,
    /// Until all has come.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_secs(30), whole: Duration::from_secs(600) }
    }
}

/// Why a push was not even judged.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Too many are under way.
    #[error("too many pushes are under way; try again in a moment")]
    Busy,
    /// It sends more than a push may.
    #[error("a push sends at most {SENT_BYTES_MAX} bytes; push fewer commits at a time")]
    TooLarge,
    /// It stopped sending.
    #[error("nothing came for {} s, or it took longer than {} s in all", .0.silence.as_secs_f32(), .0.whole.as_secs_f32())]
    Stalled(Patience),
    /// What it sends is no gzip, or ends early.
    #[error("what was sent cannot be read: {0}")]
    Unreadable(String),
    /// Git makes nothing of it.
    #[error("git receive-pack did not take it: {0}")]
    Git(String),
    /// A temporary file or the scratch repository cannot be made.
    #[error("a push cannot be received: {0}")]
    Disk(#[from] io::Error),
    /// The state cannot be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Takes pushes. A clone is the same.
#[derive(Clone)]
pub struct Receiving(Arc<Inner>);

struct Inner {
    sending: Arc<Semaphore>,
    unpacking: Arc<Semaphore>,
    /// Where scratch repositories are made.
    folder: PathBuf,
    /// What a hook runs.
    program: PathBuf,
    patience: Patience,
    seen: Seen,
}

/// A scratch repository, and where branches stand for it.
struct Stage {
    scratch: Scratch,
    /// The newest commit of the state that plain git shows.
    tip: Oid,
    /// Where the pusher saw the branch: what it is in the scratch repository.
    seen: Oid,
}

impl Receiving {
    /// With scratch repositories below `folder`, whose leftovers are removed; hooks run `program`.
    pub fn new(folder: PathBuf, program: PathBuf, patience: Patience) -> io::Result<Self> {
        scratch::prepare(&folder)?;
        Ok(Self(Arc::new(Inner {
            sending: Arc::new(Semaphore::new(SENDING_MAX)),
            unpacking: Arc::new(Semaphore::new(UNPACKING_MAX)),
            folder,
            program,
            patience,
            seen: Seen::default(),
        })))
    }

    /// Notes what somebody fetches, so that a push of theirs is told of a commit that they have.
    pub async fn fetched(&self, app: &App, by: &Principal, project: &ProjectId, body: &Bytes, is_gzip: bool) {
        let (repo, body) = (app.state.folder().repo(&RepoName::Project(project.clone())), body.clone());
        let tip = app.state.glance(&RepoName::Project(project.clone())).published;
        let found = tokio::task::spawn_blocking(move || {
            let wants = Wants::read(&body, is_gzip);
            let found = tip.map(|tip| seen::on_branch(&repo, tip, &wants.objects));
            (found.and_then(Result::ok).unwrap_or_default(), wants.is_shallow)
        });
        // Without it whoever pushes is told where the branch stands, and pulls.
        if let Ok((found, is_shallow)) = found.await
            && !found.is_empty()
        {
            self.0.seen.note(project, caller(by), &found, is_shallow);
        }
    }

    /// What a push begins with: the branch, and what git can do. The answer to `GET …/info/refs?service=git-receive-pack`.
    ///
    /// The branch is said to stand at the oldest commit that the caller has fetched lately, because git sends nothing where it
    /// does not have what the branch stands at; the others are said to be there, so that it does not send them.
    pub async fn advertise(
        &self,
        app: &App,
        by: &Principal,
        project: &ProjectId,
    ) -> Result<Vec<u8>, ReceiveError> {
        let _turn = turn(&self.0.unpacking).await?;
        let tip = self.published(app, project).await?;
        let (repo, fetched) = (
            app.state.folder().repo(&RepoName::Project(project.clone())),
            self.0.seen.fetched(project, &caller(by)),
        );
        let found = tokio::task::spawn_blocking(move || seen::on_branch(&repo, tip, &fetched)).await;
        let fetched = found.map_err(io::Error::other)?.unwrap_or_default();
        let oldest = fetched.first().copied().unwrap_or(tip);
        let stage = self.stage(app, project, oldest, oldest).await?;
        let told = run(receive_pack(stage.scratch.path(), &["--advertise-refs"]), Guard::default()).await?;
        let there = fetched.iter().skip(1).chain([&tip]).copied().filter(|commit| *commit != stage.seen);
        Ok(also_there(told, there))
    }

    /// Takes a push: the answer to `POST …/git-receive-pack`. Sending and unpacking may take minutes, so who pushes is asked again
    /// when it is taken.
    pub async fn receive(
        &self,
        app: &App,
        pass: &Pass,
        project: &ProjectId,
        sent: Body,
        is_gzip: bool,
    ) -> Result<Vec<u8>, ReceiveError> {
        let sending = turn(&self.0.sending).await?;
        let input = self.spool(sent, is_gzip).await?;
        let _turn = turn(&self.0.unpacking).await?;
        drop(sending);
        let stage = self.stage_of(app, project, &input).await?;
        let listener = stage.scratch.listen()?;
        let program = receive_pack(stage.scratch.path(), &[]).input_file(input);
        let unpacked = run(program, Guard::default());
        tokio::pin!(unpacked);
        loop {
            tokio::select! {
                done = &mut unpacked => return done,
                asked = next(&listener) => self.answer(app, pass, project, &stage, asked?).await,
            }
        }
    }

    /// What is sent, in a file without a name beside the scratch repositories: the system's folder for such files may be memory.
    async fn spool(&self, sent: Body, is_gzip: bool) -> Result<File, ReceiveError> {
        let Patience { silence, whole } = self.0.patience;
        let mut file = tempfile::tempfile_in(&self.0.folder)?;
        let mut chunks = sent.into_data_stream();
        let end = tokio::time::Instant::now() + whole;
        let mut size = 0;
        loop {
            let until = end.min(tokio::time::Instant::now() + silence);
            let chunk = tokio::time::timeout_at(until, chunks.next()).await;
            let Some(chunk) = chunk.map_err(|_| ReceiveError::Stalled(self.0.patience))? else { break };
            let chunk = chunk.map_err(|error| ReceiveError::Unreadable(error.to_string()))?;
            size += chunk.len() as u64;
            if size > SENT_BYTES_MAX {
                return Err(ReceiveError::TooLarge);
            }
            // A chunk is at most some 64 KiB and goes to the page cache.
            file.write_all(&chunk)?;
        }
        file.rewind()?;
        if !is_gzip {
            return Ok(file);
        }
        let whole = tempfile::tempfile_in(&self.0.folder)?;
        let inflated = tokio::task::spawn_blocking(move || inflated(&file, whole)).await;
        inflated.map_err(io::Error::other)?
    }

    /// The newest commit, once plain git shows it.
    async fn published(&self, app: &App, project: &ProjectId) -> Result<Oid, ReceiveError> {
        let name = RepoName::Project(project.clone());
        let (tip, last) = app.state.read(&name, |view| (view.tip(), view.last())).await?;
        app.state.published(&name, last).await?;
        Ok(tip)
    }

    /// A scratch repository for what is sent, whose branch stands where the pusher saw it, if it has ever stood there.
    async fn stage_of(&self, app: &App, project: &ProjectId, sent: &File) -> Result<Stage, ReceiveError> {
        let tip = self.published(app, project).await?;
        let mut first = Vec::new();
        let mut input = sent;
        input.take(seen::COMMANDS_BYTES_MAX).read_to_end(&mut first)?;
        input.rewind()?;
        let name = RepoName::Project(project.clone());
        let seen = match seen::old_of(&first) {
            Some(old) if old != Oid::ZERO => app.state.commit_at(&name, Moment::Commit(old)).await?,
            _ => None,
        };
        self.stage(app, project, tip, seen.unwrap_or(tip)).await
    }

    async fn stage(
        &self,
        app: &App,
        project: &ProjectId,
        tip: Oid,
        seen: Oid,
    ) -> Result<Stage, ReceiveError> {
        let (inner, repo) = (self.0.clone(), app.state.folder().repo(&RepoName::Project(project.clone())));
        let made = tokio::task::spawn_blocking(move || {
            Scratch::new(&inner.folder, &repo, tip, seen, &inner.program)
        });
        Ok(Stage { scratch: made.await.map_err(io::Error::other)??, tip, seen })
    }

    async fn answer(
        &self,
        app: &App,
        pass: &Pass,
        project: &ProjectId,
        stage: &Stage,
        mut socket: UnixStream,
    ) {
        let question = match hook::question(&mut socket).await {
            Ok(question) => question,
            Err(error) => return tracing::warn!(%error, "a hook asked nothing"),
        };
        let answer = match self.decide(app, pass, project, stage, &question).await {
            Ok(lines) => Answer { is_taken: true, lines },
            Err(NotTaken::Refused(refusal)) => Answer { is_taken: false, lines: refusal.lines() },
            Err(NotTaken::Engine(error)) => {
                tracing::error!(%project, %error, "a push was not taken");
                Answer { is_taken: false, lines: Refusal::push(error.to_string()).lines() }
            }
        };
        if let Err(error) = hook::answer(&mut socket, &answer).await {
            tracing::warn!(%error, "a hook went away before its answer; what was taken stands");
        }
    }

    /// Takes a push over into the state, or says why not.
    async fn decide(
        &self,
        app: &App,
        pass: &Pass,
        project: &ProjectId,
        stage: &Stage,
        question: &Question,
    ) -> Result<Vec<String>, NotTaken> {
        let (tip, seen) = (stage.tip, stage.seen);
        let new = wanted_tip(question, seen)?;
        let ended = app.state.ended_epochs(&RepoName::Project(project.clone()), tip).await?;
        let (path, quarantine) = (stage.scratch.path().to_owned(), question.quarantine.clone());
        let read = move || -> Result<Line, Refusal> {
            check_quarantine(&path, &quarantine)?;
            Reader::open(&path, &quarantine)?.with_ended(ended).line(tip, seen, new)
        };
        let pushed = tokio::task::spawn_blocking(read).await.map_err(|_| EngineError::Unknown)??;
        if pushed.commits.is_empty() {
            return Ok(vec!["the branch has all of this already; nothing was changed".to_owned()]);
        }
        let name = RepoName::Project(project.clone());
        let done = take::take(app, || pass.again(app), project, pushed).await?;
        app.state.published(&name, done.lsn).await?;
        Ok(told(&done))
    }
}

/// Ends the child when whoever waits for it goes away.
#[derive(Default)]
struct Guard(Halt);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ReceiveError> {
    let turn = tokio::time::timeout(TURN_WAIT, turns.clone().acquire_owned()).await;
    turn.map_err(|_| ReceiveError::Busy)?.map_err(|_| ReceiveError::Busy)
}

async fn next(listener: &UnixListener) -> io::Result<UnixStream> {
    listener.accept().await.map(|(socket, _)| socket)
}

fn receive_pack(scratch: &Path, options: &[&str]) -> Program {
    Program::git_within(scratch, OWN_KIB_MAX, MAPPED_KIB_MAX)
        .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
        .args(["receive-pack", "--stateless-rpc"])
        .args(options)
        .args(["."])
        .time_limit(UNPACKING_TIME_MAX)
}

async fn run(program: Program, guard: Guard) -> Result<Vec<u8>, ReceiveError> {
    let program = program.ended_by(&guard.0);
    let done = tokio::task::spawn_blocking(move || program.run()).await.map_err(io::Error::other)?;
    drop(guard);
    done.map_err(|ProgramError { cause, .. }| match cause {
        Cause::Start(error) => ReceiveError::Disk(error),
        cause => ReceiveError::Git(cause.to_string()),
    })
}

fn inflated(sent: &File, mut file: File) -> Result<File, ReceiveError> {
    let mut reader = flate2::read::GzDecoder::new(sent).take(SENT_BYTES_MAX + 1);
    let size =
        io::copy(&mut reader, &mut file).map_err(|error| ReceiveError::Unreadable(error.to_string()))?;
    if size > SENT_BYTES_MAX {
        return Err(ReceiveError::TooLarge);
    }
    file.rewind()?;
    Ok(file)
}

/// Where the branch is to be, if the push is of the one branch and from where it was seen.
fn wanted_tip(question: &Question, seen: Oid) -> Result<Oid, Refusal> {
    let [wanted] = &question.moves[..] else {
        return Err(Refusal::push("it moves more than one ref").remedy("git push origin state"));
    };
    if wanted.ref_name != STATE_REF {
        let name: String = wanted.ref_name.chars().take(100).flat_map(char::escape_default).collect();
        return Err(Refusal::push(format!("{name} is not written to by pushes"))
            .remedy("only the branch state is: git push origin HEAD:state"));
    }
    match wanted.new.parse::<Oid>() {
        Ok(Oid::ZERO) => Err(Refusal::push("the branch state is not deleted")),
        Ok(new) if wanted.old.parse() == Ok(seen) => Ok(new),
        Ok(_) => Err(not_forward()),
        Err(_) => Err(Refusal::push("git names no commit")),
    }
}

/// The pushed objects are where this push's git puts them, and nowhere else.
fn check_quarantine(scratch: &Path, quarantine: &Path) -> Result<(), Refusal> {
    let inside = || -> io::Result<bool> {
        let (objects, quarantine) = (scratch.join("objects").canonicalize()?, quarantine.canonicalize()?);
        Ok(quarantine.parent() == Some(objects.as_path()))
    };
    if matches!(inside(), Ok(true)) {
        Ok(())
    } else {
        Err(Refusal::push("the pushed objects are not where they belong"))
    }
}

/// Adds commits to what a push begins with that need not be sent: `.have`, as git itself says it of borrowed objects.
fn also_there(mut told: Vec<u8>, commits: impl Iterator<Item = Oid>) -> Vec<u8> {
    if told.ends_with(b"0000") {
        told.truncate(told.len() - 4);
        commits.for_each(|commit| told.extend_from_slice(format!("0033{commit} .have\n").as_bytes()));
        told.extend_from_slice(b"0000");
    }
    told
}

/// By what somebody's fetches are remembered.
fn caller(by: &Principal) -> String {
    let actor = by.actor();
    format!("{} {}", actor.kind, actor.name)
}

/// What whoever pushed is told: what came of it, and that the branch has gone on.
fn told(done: &Done<Taken>) -> Vec<String> {
    let mut lines = done.answer.lines.clone();
    let count = lines.len();
    let follow = if count == 1 {
        "1 commit of the daemon follows".to_owned()
    } else {
        format!("{count} commits of the daemon follow")
    };
    let up_to = &done.commit.to_string()[..10];
    let (taken, pull) = match done.answer.made_anew {
        None => ("taken", "git pull"),
        Some(Anew::OnNewer) => ("taken, made anew on what came meanwhile", "git pull --rebase"),
        Some(Anew::ForTimes) => {
            ("taken, made anew at the time here, because your clock is a little off", "git pull --rebase")
        }
    };
    lines.push(format!("{taken}; {follow} yours, up to {up_to}: {pull}"));
    lines
}
