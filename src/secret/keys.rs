//! The daemon's own keys, in the folder of keys: the age identity, and the key that secrets' tokens are derived with.
//!
//! Each is made at the first start, in a file that only the operator can read, and is durable before it is used: a
//! secret encrypted to a key that a crash took back could be read by nobody.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::open::Identity;
use crate::id::random_token;
use crate::mask::SecretText;

/// The file of the age identity in the folder of keys.
pub const IDENTITY: &str = "age.identity";
/// The file of the key of tokens in the folder of keys.
pub const TOKEN_KEY: &str = "secrets-token.key";

/// The keys.
pub struct Keys {
    /// What secrets are encrypted to, and decrypted with.
    pub identity: Identity,
    /// What tokens are derived with.
    pub token_key: SecretText,
}

/// A key's file could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the key file {}: {source}", path.display())]
pub struct KeyError {
    path: PathBuf,
    source: io::Error,
}

impl Keys {
    /// Reads the keys in `folder`, making what is not there.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError { path: folder.to_owned(), source };
        make_folder(folder).map_err(failed)?;
        let path = folder.join(IDENTITY);
        let text = read_or_make(&path, || Identity::generate().text())?;
        let identity = Identity::parse(&text).ok_or_else(|| KeyError {
            path,
            source: io::Error::other(
                "it holds no age identity; put it back from a backup: secrets cannot be read without it",
            ),
        })?;
        let token_key = read_or_make(&folder.join(TOKEN_KEY), || random_token().into())?;
        Ok(Self { identity, token_key })
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn read_or_make(path: &Path, make: impl FnOnce() -> SecretText) -> Result<SecretText, KeyError> {
    let failed = |source| KeyError { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(failed(io::Error::other("it is empty"))),
        Ok(text) => Ok(text.trim().to_owned().into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = make();
            keep(path, &key).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_made_once_and_only_their_owner_can_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let first = Keys::open(&keys).unwrap();
        let again = Keys::open(&keys).unwrap();
        assert_eq!(first.identity.public(), again.identity.public());
        assert_eq!(first.token_key.reveal(), again.token_key.reveal());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [mode(&keys), mode(&keys.join(IDENTITY)), mode(&keys.join(TOKEN_KEY))],
            [0o700, 0o600, 0o600]
        );
        assert_eq!(std::fs::read_dir(&keys).unwrap().count(), 2, "nothing is left beside them");
    }

    #[test]
    fn a_key_file_that_is_broken_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(IDENTITY), "nonsense\n").unwrap();
        assert!(Keys::open(folder.path()).is_err());
        assert_eq!(std::fs::read_to_string(folder.path().join(IDENTITY)).unwrap(), "nonsense\n");
    }
}
