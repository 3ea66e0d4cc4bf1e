//! The two ends of a hook: `mrx hook pre-receive`, which git runs, and the daemon that waits for it.
//!
//! The hook hands over what git tells it and prints what the daemon answers; it decides nothing. The socket lies in the push's own
//! scratch repository, which only this user can enter, so the daemon knows for whom the hook asks.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::scratch::SOCKET;

/// What a hook may say: a line a ref, and a push of state has one.
const QUESTION_BYTES_MAX: u64 = 64 << 10;
/// How long the hook waits for its answer. The push as a whole is ended sooner.
const ANSWER_WAIT: Duration = Duration::from_secs(300);

/// What the hook tells the daemon.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Where git keeps the pushed objects until the hook agrees.
    pub quarantine: PathBuf,
    /// The refs that are to move.
    pub moves: Vec<Move>,
}

/// A ref that is to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// Where the pusher saw it.
    pub old: String,
    /// Where it is to be.
    pub new: String,
    /// Its full name.
    pub ref_name: String,
}

/// What the daemon answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Whether the push was taken.
    pub is_taken: bool,
    /// What to tell whoever pushes, line by line.
    pub lines: Vec<String>,
}

/// Runs as git's hook; tells whether the push was taken.
pub fn run() -> io::Result<bool> {
    let mut told = String::new();
    io::stdin().lock().take(QUESTION_BYTES_MAX).read_to_string(&mut told)?;
    // There is none if nothing but deletions is asked for.
    let quarantine = std::env::var_os("GIT_QUARANTINE_PATH").unwrap_or_default();
    let question = Question { quarantine: quarantine.into(), moves: moves_of(&told)? };
    let mut socket = std::os::unix::net::UnixStream::connect(SOCKET)?;
    socket.set_read_timeout(Some(ANSWER_WAIT))?;
    socket.write_all(&serde_json::to_vec(&question)?)?;
    socket.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let answer: Answer = serde_json::from_slice(&answer)?;
    let mut out = io::stderr().lock();
    for line in &answer.lines {
        writeln!(out, "mrx: {line}")?;
    }
    Ok(answer.is_taken)
}

/// `old new ref` a line, as githooks describes it.
fn moves_of(told: &str) -> io::Result<Vec<Move>> {
    let words = |line: &str| -> Option<Move> {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        Some(Move { old: words.next()?, new: words.next()?, ref_name: words.next()? })
    };
    let moves: Option<Vec<Move>> = told.lines().map(words).collect();
    moves.ok_or_else(|| {
        io::Error::other("git tells of the push in words that this version of MrX does not know")
    })
}

/// The daemon's end: reads the question.
pub async fn question(socket: &mut UnixStream) -> io::Result<Question> {
    let mut bytes = Vec::new();
    socket.take(QUESTION_BYTES_MAX * 4).read_to_end(&mut bytes).await?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// The daemon's end: answers.
pub async fn answer(socket: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    socket.write_all(&serde_json::to_vec(answer)?).await?;
    socket.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_reads_a_line_a_ref() {
        let moves = moves_of("a b refs/heads/state\nc d refs/heads/x y\n").unwrap();
        assert_eq!((moves.len(), moves[1].ref_name.as_str()), (2, "refs/heads/x y"));
        assert!(moves_of("a b\n").is_err());
    }
}
