//! Signs the daemon's commits with an ssh key, as `git log --show-signature` verifies them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey};

use super::commit::DAEMON_EMAIL;

/// What git calls a signature of its own.
const NAMESPACE: &str = "git";

/// The key that signs.
pub struct Signer {
    key: PrivateKey,
    public: String,
}

/// Why a file is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// It cannot be read.
    #[error("cannot read the key {} to sign with: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// Others can read it.
    #[error("the key {} can be read by others (mode {mode:03o}); chmod 600 it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no key that the daemon signs with.
    #[error("{} is no key to sign with: {why}; make one with ssh-keygen -t ed25519 -N '' -f FILE", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Signer {
    /// Reads a private key of OpenSSH: Ed25519, without a passphrase, of mode 0600.
    pub fn read(path: &Path) -> Result<Self, SignerError> {
        let failed = |source| SignerError::Read { path: path.to_owned(), source };
        let unfit = |why: String| SignerError::Unfit { path: path.to_owned(), why };
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SignerError::Open { path: path.to_owned(), mode });
        }
        let text = fs::read(path).map_err(failed)?;
        let key = PrivateKey::from_openssh(text).map_err(|error| unfit(error.to_string()))?;
        if key.is_encrypted() {
            return Err(unfit("it has a passphrase, which nobody could type".to_owned()));
        }
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(unfit(format!("it is {}, and Ed25519 is asked for", key.algorithm())));
        }
        let public = key.public_key().to_openssh().map_err(|error| unfit(error.to_string()))?;
        key.sign(NAMESPACE, HashAlg::Sha512, b"").map_err(|error| unfit(error.to_string()))?;
        Ok(Self { key, public })
    }

    /// The line that git's `gpg.ssh.allowedSignersFile` needs to verify what this key signs.
    pub fn allowed_signers(&self) -> String {
        let mut words = self.public.split_whitespace();
        let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        format!("{DAEMON_EMAIL} namespaces=\"{NAMESPACE}\" {kind} {key}\n")
    }

    /// The commit object with its signature, as the header that git expects.
    pub(super) fn signed(&self, text: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(NAMESPACE, HashAlg::Sha512, text);
        let armored = signature.and_then(|signature| signature.to_pem(LineEnding::LF));
        let armored = armored.expect("this key has signed when it was read");
        let head = text.windows(2).position(|pair| pair == b"\n\n").map_or(text.len(), |at| at + 1);
        let mut out = Vec::with_capacity(text.len() + armored.len() + 16);
        out.extend_from_slice(&text[..head]);
        for (number, line) in armored.trim_end().lines().enumerate() {
            out.extend_from_slice(if number == 0 { b"gpgsig " } else { b" " });
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        out.extend_from_slice(&text[head..]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
        b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n";

    #[test]
    fn a_key_that_others_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(matches!(Signer::read(&path), Err(SignerError::Read { .. })));
        fs::write(&path, KEY).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Signer::read(&path), Err(SignerError::Open { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Signer::read(&path), Err(SignerError::Unfit { .. })));
    }
}
