//! A credential from a file: read once, never shown.

use std::fmt;
use std::path::{Path, PathBuf};

/// A file of a credential is at most this large; an App's key has some 2 KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A token or key. It does not show when it is printed.
#[derive(Clone)]
pub struct Secret(String);

/// A credential's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the credential in {}: {cause}", path.display())]
pub struct SecretError {
    path: PathBuf,
    cause: String,
}

impl Secret {
    /// Reads the file; blanks around the text do not count.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |cause: String| SecretError { path: path.to_owned(), cause };
        let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(failed(format!(
                "it has {size} bytes, and a credential has at most {FILE_BYTES_MAX}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        match text.trim() {
            "" => Err(failed("it is empty".to_owned())),
            text => Ok(Self(text.to_owned())),
        }
    }

    /// The text, for the one who sends or checks it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_its_files_text_and_does_not_show_when_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "ghp_canary\n").unwrap();
        let secret = Secret::read(&path).unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}")), ("ghp_canary", "[secret]".to_owned()));
    }

    #[test]
    fn an_empty_or_absent_file_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(Secret::read(&path).unwrap_err().to_string().contains("token"));
        std::fs::write(&path, " \n").unwrap();
        assert!(Secret::read(&path).unwrap_err().to_string().contains("it is empty"));
    }
}
