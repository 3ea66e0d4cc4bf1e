//! The log of one job on disk: written by the build, read by the uploader, summed as it grows. Secrets are hidden before
//! anything is written, so offsets and the sum are those of what the daemon gets.
//!
//! It is kept whole until the job is reported, because the daemon may ask for any part of it again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::mask::{Matcher, Stream};

/// A log that no person reads to its end; more would only fill the agent's disk.
const LOG_BYTES_MAX: u64 = 1 << 30;
/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Why bytes did not enter the log.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The step must be stopped: its log is beyond the bound.
    #[error("the log is larger than {LOG_BYTES_MAX} bytes")]
    TooLarge,
    /// The disk failed or is full.
    #[error("the log cannot be written")]
    Disk(#[from] io::Error),
}

/// How long the log is, and whether it grows no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    pub bytes: u64,
    pub closed: bool,
}

/// What the whole log must be, for the last report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSum {
    pub size: u64,
    pub sha256: String,
}

#[derive(Debug)]
struct Tail {
    sum: Sha256,
    size: u64,
    last: u8,
    stream: Stream,
}

/// A job's log.
#[derive(Debug)]
pub struct Spool {
    file: File,
    tail: Mutex<Tail>,
    matcher: Arc<Matcher>,
    length: watch::Sender<Length>,
}

impl Spool {
    /// An empty log in a new file, in which these secrets are hidden.
    pub fn create(path: &Path, matcher: Arc<Matcher>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let tail = Tail { sum: Sha256::new(), size: 0, last: b'\n', stream: Stream::default() };
        Ok(Self { file, tail: Mutex::new(tail), matcher, length: watch::Sender::new(Length::default()) })
    }

    /// A log that an earlier life of the agent left, to be gone on with. What is in it has no secrets any more.
    pub fn reopen(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut tail = Tail { sum: Sha256::new(), size: 0, last: b'\n', stream: Stream::default() };
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = file.read(&mut buffer)?;
            let Some(last) = buffer[..count].last() else { break };
            tail.last = *last;
            tail.size += count as u64;
            tail.sum.update(&buffer[..count]);
        }
        let length = watch::Sender::new(Length { bytes: tail.size, closed: false });
        Ok(Self { file, tail: Mutex::new(tail), matcher: Arc::default(), length })
    }

    /// Makes all that was added durable, with what was held back: whoever adds more begins anew.
    pub fn sync(&self) -> io::Result<()> {
        let mut tail = self.tail.lock();
        let held = tail.stream.finish();
        self.append(&mut tail, &held).map_err(io::Error::other)?;
        drop(tail);
        self.file.sync_data()
    }

    /// Adds bytes. What may be the beginning of a secret is held back until more comes or the log is closed. On an error
    /// nothing was added.
    pub fn write(&self, bytes: &[u8]) -> Result<(), SpoolError> {
        let mut tail = self.tail.lock();
        tail.last = bytes.last().copied().unwrap_or(tail.last);
        let known = tail.stream.push(&self.matcher, bytes);
        self.append(&mut tail, &known)
    }

    fn append(&self, tail: &mut Tail, bytes: &[u8]) -> Result<(), SpoolError> {
        if tail.size + bytes.len() as u64 > LOG_BYTES_MAX {
            return Err(SpoolError::TooLarge);
        }
        self.file.write_all_at(bytes, tail.size)?;
        tail.sum.update(bytes);
        tail.size += bytes.len() as u64;
        self.length.send_modify(|length| length.bytes = tail.size);
        Ok(())
    }

    /// Adds a line of our own, on a line of its own.
    pub fn line(&self, text: &str) -> Result<(), SpoolError> {
        let line_is_open = self.tail.lock().last != b'\n';
        self.write(format!("{}{text}\n", if line_is_open { "\n" } else { "" }).as_bytes())
    }

    /// Says that the log grows no more.
    pub fn close(&self) {
        let mut tail = self.tail.lock();
        let held = tail.stream.finish();
        if let Err(error) = self.append(&mut tail, &held) {
            tracing::warn!(%error, "the last bytes of a log were not written");
        }
        drop(tail);
        self.length.send_modify(|length| length.closed = true);
    }

    /// Size and sum of all that was written.
    pub fn sum(&self) -> LogSum {
        let tail = self.tail.lock();
        let digest = tail.sum.clone().finalize();
        LogSum { size: tail.size, sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// At most `count_max` bytes from `first` on; fewer at the end.
    pub fn read(&self, first: u64, count_max: usize) -> io::Result<Bytes> {
        let there = self.tail.lock().size.saturating_sub(first);
        let mut bytes = vec![0; usize::try_from(there).unwrap_or(usize::MAX).min(count_max)];
        self.file.read_exact_at(&mut bytes, first)?;
        Ok(bytes.into())
    }

    /// How long the log is, and every change of that.
    pub fn length(&self) -> watch::Receiver<Length> {
        self.length.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::create(&folder.path().join("log"), Default::default()).unwrap();
        (folder, spool)
    }

    #[test]
    fn bytes_read_back_as_written_and_the_sum_is_that_of_the_whole() {
        let (_folder, spool) = spool();
        for piece in [&b"a\xff\x00"[..], b"", b"bc"] {
            spool.write(piece).unwrap();
        }
        assert_eq!(spool.read(1, 3).unwrap().as_ref(), b"\xff\x00b");
        assert_eq!(spool.read(5, 10).unwrap().as_ref(), b"");
        let whole: String = Sha256::digest(b"a\xff\x00bc").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(spool.sum(), LogSum { size: 5, sha256: whole });
    }

    #[test]
    fn a_secret_is_hidden_before_it_is_on_the_disk_also_where_two_writes_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let values = [crate::mask::SecretText::from("canary".to_owned())];
        let spool = Spool::create(&path, Arc::new(Matcher::new(values.iter()))).unwrap();
        spool.write(b"a can").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a ");
        spool.write(b"ary and can").unwrap();
        spool.line("== canary").unwrap();
        spool.write(b"ca").unwrap();
        spool.close();
        assert_eq!(std::fs::read(&path).unwrap(), b"a [masked] and can\n== [masked]\nca");
        assert_eq!(spool.sum().size, 33);
    }

    #[test]
    fn our_own_line_never_continues_a_line_of_the_step() {
        let (_folder, spool) = spool();
        spool.line("== a").unwrap();
        spool.write(b"no newline").unwrap();
        spool.line("== b").unwrap();
        assert_eq!(spool.read(0, 100).unwrap().as_ref(), b"== a\nno newline\n== b\n");
    }
}
