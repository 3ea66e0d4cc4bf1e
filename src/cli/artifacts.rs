//! `mrx artifacts`: files go on where they were cut off, and are what they should be before they have their name.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use reqwest::header::CONTENT_RANGE;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::args::ArtifactsWhat;
use super::client::{Call, header};
use super::error::{CliError, CliResult};
use super::events::Patience;
use super::show::{Column, Kind, List};
use super::{Context, screen};
use crate::id::{ArtifactId, ProjectId};

const ARTIFACTS: List = List {
    field: "artifacts",
    columns: &[
        Column("ARTIFACT", "/artifactId", Kind::Text),
        Column("NAME", "/name", Kind::Text),
        Column("SIZE", "/size", Kind::Bytes),
        Column("UPLOADED", "/uploadedAt", Kind::Time),
        Column("JOB", "/jobId", Kind::Text),
    ],
};

/// How much of a file is read at once to sum it.
const PIECE: usize = 1 << 16;

/// What the API says of a file.
#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    size: u64,
    sha256: String,
}

/// Does what was asked.
pub async fn run(context: &Context, what: ArtifactsWhat) -> CliResult<()> {
    match what {
        ArtifactsWhat::List { project, part } => {
            let call = || context.client.get(&format!("projects/{project}/artifacts"));
            context.output.list(&context.client, ARTIFACTS, part.all, call).await
        }
        ArtifactsWhat::Get { project, artifact, output } => get(context, &project, &artifact, output).await,
        ArtifactsWhat::Put { project, file, name, build_number } => {
            let name = match name {
                Some(name) => name,
                None => file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            };
            let call = context.client.post(&format!("projects/{project}/artifacts"));
            let call = call.query("name", &name).query_if("buildNumber", build_number);
            put(context, call, &file).await
        }
    }
}

async fn get(
    context: &Context,
    project: &ProjectId,
    id: &ArtifactId,
    output: Option<PathBuf>,
) -> CliResult<()> {
    let path = format!("projects/{project}/artifacts/{id}");
    let answer = context.client.send(context.client.get(&path)).await?;
    let entry: Entry = serde_json::from_slice(&answer.body)
        .map_err(|error| CliError::local("understand the server's answer", error))?;
    let target = match output {
        Some(target) => target,
        None => own_name(&entry.name)?,
    };
    let mut part = PartFile::open(&target, &entry)?;
    let bar = bar(entry.size, &entry.name);
    let mut patience = Patience::default();
    while part.size < entry.size {
        bar.set_position(part.size);
        let before = part.size;
        let Err(failure) = fetch(context, &format!("{path}/content"), &mut part, &entry, &bar).await else {
            break;
        };
        if part.size > before {
            patience.restore();
        }
        patience.wait(failure).await?;
    }
    bar.finish_and_clear();
    part.finish(&target, &entry)?;
    let shown = screen::one_line(&target.display().to_string());
    context
        .output
        .done(&answer, &format!("{shown}: {} bytes, SHA-256 {} as it must be", entry.size, entry.sha256))
}

/// The name that others gave the file, if it can only be a new, visible file of this folder.
fn own_name(name: &str) -> CliResult<PathBuf> {
    let is_plain = !name.is_empty()
        && !name.starts_with('.')
        && !name.contains('/')
        && !name.chars().any(char::is_control);
    if !is_plain {
        let name = screen::one_line(name);
        return Err(CliError::Usage(format!(
            "the artifact is named {name:?}; say where to write it: --output FILE"
        )));
    }
    let path = PathBuf::from(name);
    match path.symlink_metadata() {
        Ok(_) => {
            Err(CliError::Usage(format!("{name} is there already; say where to write it: --output FILE")))
        }
        Err(_) => Ok(path),
    }
}

/// Fetches what is missing; an error is one of the connection, of the server or of the disk.
async fn fetch(
    context: &Context,
    path: &str,
    part: &mut PartFile,
    entry: &Entry,
    bar: &ProgressBar,
) -> CliResult<()> {
    let mut call = context.client.get(path);
    if part.size > 0 {
        call = call.header("Range", format!("bytes={}-", part.size));
    }
    let mut response = context.client.open(&call).await?;
    let begins = format!("bytes {}-", part.size);
    if part.size > 0 && !header(response.headers(), CONTENT_RANGE.as_str()).starts_with(&begins) {
        // A server that does not know ranges sends all of it.
        part.begin_again()?;
    }
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) if part.size + bytes.len() as u64 > entry.size => {
                return Err(CliError::Failed("the server sends more than the artifact has".to_owned()));
            }
            Ok(Some(bytes)) => part.take(&bytes)?,
            Ok(None) => return Ok(()),
            Err(error) => return Err(context.client.unreachable(error)),
        }
        bar.set_position(part.size);
    }
}

/// The file in the making, beside the one it becomes. Its name has the sum of what it becomes, so a later attempt goes on with it.
struct PartFile {
    path: PathBuf,
    file: File,
    size: u64,
    sum: Sha256,
}

impl PartFile {
    fn open(target: &Path, entry: &Entry) -> CliResult<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let short: String = entry.sha256.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        let path = target.with_file_name(format!(".{name}.{short}.part"));
        let failed = |error: std::io::Error| CliError::local(format!("write {}", path.display()), error);
        // A link that somebody put there is not followed.
        let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).custom_flags(nofollow);
        let file = options.open(&path).map_err(failed)?;
        let mut part = Self { path: path.clone(), file, size: 0, sum: Sha256::new() };
        part.sum_up().map_err(failed)?;
        if part.size > entry.size {
            part.begin_again()?;
        }
        Ok(part)
    }

    /// What an earlier attempt left is part of the sum.
    fn sum_up(&mut self) -> std::io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            match self.file.read(&mut piece)? {
                0 => return Ok(()),
                read => {
                    self.sum.update(&piece[..read]);
                    self.size += read as u64;
                }
            }
        }
    }

    fn begin_again(&mut self) -> CliResult<()> {
        let begun = self.file.set_len(0).and_then(|()| self.file.rewind());
        (self.size, self.sum) = (0, Sha256::new());
        begun.map_err(|error| CliError::local(format!("write {}", self.path.display()), error))
    }

    fn take(&mut self, bytes: &[u8]) -> CliResult<()> {
        self.file
            .write_all(bytes)
            .map_err(|error| CliError::local(format!("write {}", self.path.display()), error))?;
        self.sum.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its name, if it is what it must be.
    fn finish(self, target: &Path, entry: &Entry) -> CliResult<()> {
        let sum = hex(&self.sum.finalize());
        if sum != entry.sha256 || self.size != entry.size {
            // It can never become right, so nobody is to go on with it.
            let _ = std::fs::remove_file(&self.path);
            let must = screen::one_line(&entry.sha256);
            return Err(CliError::Failed(format!(
                "what came is not the artifact: {} bytes with SHA-256 {sum}, and it must be {} with {must}; nothing was kept, try again",
                self.size, entry.size
            )));
        }
        let named = self.file.sync_all().and_then(|()| std::fs::rename(&self.path, target));
        named.map_err(|error| CliError::local(format!("write {}", target.display()), error))
    }
}

async fn put(context: &Context, call: Call, path: &Path) -> CliResult<()> {
    let failed = |error: std::io::Error| CliError::local(format!("read {}", path.display()), error);
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let size = file.metadata().await.map_err(failed)?.len();
    let bar = bar(size, &path.display().to_string());
    let sum = Arc::new(Mutex::new(Sha256::new()));
    let (sent, summed) = (bar.clone(), sum.clone());
    let pieces = tokio_util::io::ReaderStream::new(file).inspect(move |piece| {
        if let Ok(piece) = piece {
            summed.lock().update(piece);
            sent.inc(piece.len() as u64);
        }
    });
    let call = call.header("Content-Type", "application/octet-stream");
    let answer = context.client.upload(&call, reqwest::Body::wrap_stream(pieces)).await?;
    bar.finish_and_clear();
    let stored: Entry = serde_json::from_slice(&answer.body)
        .map_err(|error| CliError::local("understand the server's answer", error))?;
    let sum = hex(&sum.lock().clone().finalize());
    if stored.sha256 != sum {
        return Err(CliError::Failed(format!(
            "the server stored SHA-256 {}, and {sum} was sent; do not use it",
            screen::one_line(&stored.sha256)
        )));
    }
    let id = answer.json()?["artifactId"].as_str().map(screen::one_line).unwrap_or_default();
    context.output.done(&answer, &format!("{id}: {} bytes, SHA-256 {sum}", stored.size))
}

/// A bar on the standard error, if that is a terminal.
fn bar(size: u64, name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(size).with_message(screen::one_line(name));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: &[u8]) -> Entry {
        Entry { name: "a.bin".to_owned(), size: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
    }

    #[test]
    fn a_name_that_others_gave_can_only_be_a_new_visible_file_here() {
        for bad in ["", ".", "..", ".bashrc", "../x", "/etc/passwd", "a/b", "a\nb", "Cargo.toml"] {
            assert_eq!(own_name(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
        assert_eq!(own_name("hello-1.0.tar.gz").unwrap(), Path::new("hello-1.0.tar.gz"));
    }

    #[test]
    fn a_file_goes_on_where_an_earlier_attempt_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (target, entry) = (folder.path().join("a.bin"), entry(b"hello world"));
        PartFile::open(&target, &entry).unwrap().take(b"hello ").unwrap();
        let mut part = PartFile::open(&target, &entry).unwrap();
        assert_eq!(part.size, 6);
        part.take(b"world").unwrap();
        part.finish(&target, &entry).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"hello world");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_not_the_artifact_gets_no_name_and_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let (target, entry) = (folder.path().join("a.bin"), entry(b"hello"));
        std::fs::write(&target, "before").unwrap();
        let mut part = PartFile::open(&target, &entry).unwrap();
        part.take(b"jello").unwrap();
        assert!(part.finish(&target, &entry).unwrap_err().to_string().contains("is not the artifact"));
        assert_eq!(std::fs::read(&target).unwrap(), b"before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_the_files_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, entry) = (folder.path().join("a.bin"), entry(b"hello"));
        let part = PartFile::open(&target, &entry).unwrap().path;
        std::fs::remove_file(&part).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &part).unwrap();
        assert!(PartFile::open(&target, &entry).is_err());
        assert!(!folder.path().join("elsewhere").exists());
    }
}
