//! Serves clones and fetches: `git upload-pack` as a child of each request, whose output streams to the client.
//!
//! Only the branch `state`, its ended epochs and the branches of logs are shown; whatever else a repository holds, such as what was pushed aside,
//! is hidden. A child ends with its request, and at the latest after [`TIME_MAX`].

use std::collections::HashMap;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::io::ReaderStream;

use super::child::{GIT_ENVIRONMENT, GIT_SETTINGS, file_of};

/// Clients that are served at once; a server of two cores packs for few at a time.
const AT_ONCE: usize = 16;
/// How long a client waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(10);
/// How long one fetch may take: the clone of a large state over a slow line.
pub const TIME_MAX: Duration = Duration::from_secs(1800);
/// What a client may send to say what it has and wants, inflated. It is 50 bytes a commit.
pub const WANTS_BYTES_MAX: u64 = 16 << 20;
/// What is read of the output at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What of a repository is shown, and how much a child may use for packing.
const SETTINGS: [&str; 10] = [
    "transfer.hideRefs=refs/",
    "transfer.hideRefs=!refs/heads/state",
    "transfer.hideRefs=!refs/heads/logs/",
    "transfer.hideRefs=!refs/archive/",
    "uploadpack.allowFilter=true",
    "uploadpack.keepAlive=5",
    "pack.threads=1",
    "pack.windowMemory=64m",
    "core.packedGitLimit=128m",
    "lsrefs.unborn=ignore",
];
/// What is shown of a code repository: its branches and tags.
const CODE_SETTINGS: [&str; 8] = [
    "transfer.hideRefs=refs/",
    "transfer.hideRefs=!refs/heads/",
    "transfer.hideRefs=!refs/tags/",
    "uploadpack.allowFilter=true",
    "uploadpack.keepAlive=5",
    "pack.threads=1",
    "pack.windowMemory=64m",
    "core.packedGitLimit=128m",
];

/// What kind of repository is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A state repository: `state`, `logs/*`, and what came before the epoch of `state`.
    State,
    /// A project's code: branches and tags.
    Code,
}

/// Why a client is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Too many are.
    #[error("{AT_ONCE} clients are being served; try again in a moment")]
    Busy,
    /// It sends more than any fetch needs.
    #[error("what the client has and wants is more than {WANTS_BYTES_MAX} bytes")]
    TooLarge,
    /// What it sends is not what its headers say.
    #[error("the body is no gzip, although Content-Encoding says so")]
    NotGzip,
    /// The program does not start, or a temporary file cannot be made.
    #[error("git upload-pack does not run: {0}")]
    Start(#[from] io::Error),
}

/// The children that serve. A clone is the same.
#[derive(Clone)]
pub struct Serving(Arc<Inner>);

struct Inner {
    turns: Arc<Semaphore>,
    running: Mutex<HashMap<u64, (Pid, Instant)>>,
    next: AtomicU64,
}

impl Default for Serving {
    fn default() -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self(Arc::new(Inner { turns, running: Mutex::default(), next: AtomicU64::new(0) }))
    }
}

impl Serving {
    /// What the repository has: the answer to `GET …/info/refs?service=git-upload-pack`.
    pub async fn advertise(
        &self,
        repo: &Path,
        shown: Shown,
        protocol: Option<&str>,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + use<>, ServeError> {
        self.start(repo, shown, protocol, &["--advertise-refs"], Stdio::null()).await
    }

    /// A pack of what the client wants: the answer to `POST …/git-upload-pack`. `wants` is the body, inflated here if it is `gzip`ped.
    pub async fn upload_pack(
        &self,
        repo: &Path,
        shown: Shown,
        protocol: Option<&str>,
        wants: Bytes,
        is_gzip: bool,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + use<>, ServeError> {
        let input = tokio::task::spawn_blocking(move || input_of(&wants, is_gzip)).await;
        let input = input.map_err(io::Error::other)??;
        self.start(repo, shown, protocol, &[], Stdio::from(input)).await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "its environment is that of git/child.rs, and its output streams"
    )]
    async fn start(
        &self,
        repo: &Path,
        shown: Shown,
        protocol: Option<&str>,
        options: &[&str],
        input: Stdio,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + use<>, ServeError> {
        let turn = tokio::time::timeout(TURN_WAIT, self.0.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| ServeError::Busy)?.expect("the semaphore is never closed");
        let path = std::env::var_os("PATH");
        let mut command = std::process::Command::new(file_of("git".as_ref(), path.as_deref()));
        let settings: &[&str] = if shown == Shown::State { &SETTINGS } else { &CODE_SETTINGS };
        command.arg0("git").args(GIT_SETTINGS.iter().chain(settings).flat_map(|setting| ["-c", setting]));
        command.args(["upload-pack", "--stateless-rpc", "--strict", "--timeout=120"]).args(options).arg(".");
        command.current_dir(repo).env_clear().envs(GIT_ENVIRONMENT.iter().copied()).process_group(0);
        command.envs(path.map(|path| ("PATH", path)));
        // Only what is a version is passed on; anything else would be the client's text in our environment.
        if let Some(version @ ("version=1" | "version=2")) = protocol {
            command.env("GIT_PROTOCOL", version);
        }
        let mut child = tokio::process::Command::from(command)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("there is no output"))?;
        let running = self.register(child, turn)?;
        Ok(stream(output, running))
    }

    fn register(&self, child: Child, turn: OwnedSemaphorePermit) -> io::Result<Running> {
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| io::Error::other("it ended at once"))?;
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.running.lock().insert(number, (pid, Instant::now()));
        Ok(Running { serving: self.clone(), number, pid, child, _turn: turn })
    }

    /// Ends children whose client neither reads nor goes away.
    pub fn end_overdue(&self) {
        for (pid, begun) in self.0.running.lock().values() {
            if begun.elapsed() > TIME_MAX {
                // It may have ended this moment.
                let _ = kill_process_group(*pid, Signal::KILL);
            }
        }
    }

    /// How many clients are being served.
    pub fn count(&self) -> usize {
        self.0.running.lock().len()
    }
}

/// A child at work; it and all that it started end when this is dropped.
struct Running {
    serving: Serving,
    number: u64,
    pid: Pid,
    child: Child,
    _turn: OwnedSemaphorePermit,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.0.running.lock().remove(&self.number);
        // While the child is not waited for its number is its own; one that has ended needs no signal.
        if self.child.id().is_some() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

fn stream(output: ChildStdout, running: Running) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let chunks = ReaderStream::with_capacity(output, CHUNK_BYTES);
    futures_util::stream::unfold((chunks, running), |(mut chunks, mut running)| async move {
        match futures_util::StreamExt::next(&mut chunks).await {
            Some(chunk) => Some((chunk, (chunks, running))),
            None => {
                if let Ok(status) = running.child.wait().await
                    && !status.success()
                {
                    tracing::debug!(%status, "a fetch ended early");
                }
                None
            }
        }
    })
}

/// The body as a file that the child reads, inflated under a cap.
fn input_of(wants: &[u8], is_gzip: bool) -> Result<std::fs::File, ServeError> {
    let mut file = tempfile::tempfile()?;
    if is_gzip {
        let mut inflated = flate2::read::GzDecoder::new(wants).take(WANTS_BYTES_MAX + 1);
        let size = io::copy(&mut inflated, &mut file).map_err(|_| ServeError::NotGzip)?;
        if size > WANTS_BYTES_MAX {
            return Err(ServeError::TooLarge);
        }
    } else {
        file.write_all(wants)?;
    }
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_body_is_inflated_up_to_its_bound_and_no_further() {
        let mut text = String::new();
        input_of(&gzip(b"0000"), true).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "0000");
        let bomb = gzip(&vec![b'0'; usize::try_from(WANTS_BYTES_MAX).unwrap() + 1]);
        assert!(bomb.len() < 1 << 20);
        assert!(matches!(input_of(&bomb, true), Err(ServeError::TooLarge)));
        assert!(matches!(input_of(b"no gzip", true), Err(ServeError::NotGzip)));
    }
}
