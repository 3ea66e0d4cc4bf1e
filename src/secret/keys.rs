//! The daemon's own keys, in the folder of keys: the age identity, and the key that secrets' tokens are derived with.
//!
//! Each is made at the first start.

use std::path::Path;

use super::open::Identity;
use crate::id::random_token;
use crate::key_file::{KeyFileError, read_or_make};
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

impl Keys {
    /// Reads the keys in `folder`, making what is not there.
    pub fn open(folder: &Path) -> Result<Self, KeyFileError> {
        let text = read_or_make(folder, IDENTITY, || Identity::generate().text())?;
        let identity = Identity::parse(&text).ok_or_else(|| {
            let why =
                "it holds no age identity; put it back from a backup: secrets cannot be read without it";
            KeyFileError::unusable(folder.join(IDENTITY), why)
        })?;
        let token_key = read_or_make(folder, TOKEN_KEY, || random_token().into())?;
        Ok(Self { identity, token_key })
    }
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
