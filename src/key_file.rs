//! Files of the daemon's own keys and tokens: made once, of mode 0600, and durable before anybody can use what they hold.
//!
//! What is derived from a key, or encrypted to it, would be lost with a key that a crash took back.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::mask::SecretText;

/// A key's file could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the key file {}: {source}", path.display())]
pub struct KeyFileError {
    path: PathBuf,
    source: io::Error,
}

impl KeyFileError {
    /// The file holds something, and not what it must.
    pub fn unusable(path: PathBuf, why: &'static str) -> Self {
        Self { path, source: io::Error::other(why) }
    }
}

/// The text in the file `name` of the folder of keys; if there is none yet, what `make` makes.
pub fn read_or_make(
    keys: &Path,
    name: &str,
    make: impl FnOnce() -> SecretText,
) -> Result<SecretText, KeyFileError> {
    let path = keys.join(name);
    let failed = |source| KeyFileError { path: path.clone(), source };
    make_folder(keys).map_err(failed)?;
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => Err(failed(io::Error::other("it is empty"))),
        Ok(text) => Ok(text.trim().to_owned().into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = make();
            keep(&path, &key).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes the file beside its name first, so that a crash leaves a whole one or none.
fn keep(path: &Path, key: &SecretText) -> io::Result<()> {
    let beside = path.with_extension("new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(key.reveal().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
