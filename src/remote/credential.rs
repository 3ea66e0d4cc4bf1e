//! Hands a credential to one git through a pipe with a name in a private folder: it is in no argument, address, environment or file.
//!
//! The bytes are in the kernel's buffer of the pipe until git's helper reads them, once, and are gone with the pipe.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use reqwest::Url;
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::mask::SecretText;

/// The user's name that goes with a token: GitHub takes any, and this one also for an App's.
const USER: &str = "x-access-token";
/// What fits into a pipe without a reader (pipe(7)); a token has some hundred bytes.
const PIPE_BYTES_MAX: usize = 4096;

/// A credential that waits in a pipe for the git that it is for.
pub struct Credential {
    _folder: tempfile::TempDir,
    _pipe: File,
    setting: String,
}

impl Credential {
    /// Puts a token into a pipe, for calls to the host of `url`.
    pub fn new(token: &SecretText, url: &Url) -> io::Result<Self> {
        let token = token.reveal().trim();
        if token.is_empty() || token.len() > PIPE_BYTES_MAX / 2 || token.chars().any(char::is_control) {
            return Err(io::Error::other("the secret `github` is no token: one line of at most 2048 bytes"));
        }
        // A temporary folder is its owner's alone.
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("credential");
        mkfifoat(CWD, &path, Mode::from_raw_mode(0o600))?;
        // Open at both ends, so that neither this nor a reader waits for the other.
        let mut pipe = OpenOptions::new().read(true).write(true).open(&path)?;
        pipe.write_all(format!("username={USER}\npassword={token}\n\n").as_bytes())?;
        Ok(Self { _folder: folder, _pipe: pipe, setting: setting(url, &path) })
    }

    /// The setting by which git asks this pipe, when the host of its address asks for a credential.
    pub fn setting(&self) -> &str {
        &self.setting
    }
}

/// The helper is a line of shell whose every command is the shell's own, so the token is in no argument of a program either.
fn setting(url: &Url, pipe: &Path) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let quoted = pipe.display().to_string().replace('\'', r"'\''");
    format!(
        "credential.{}://{host}{port}.helper=!f() {{ test \"$1\" = get || return 0; \
         while IFS= read -r line; do printf '%s\\n' \"$line\"; test -n \"$line\" || break; done < '{quoted}'; }}; f",
        url.scheme()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::child::Program;

    fn fill(credential: &Credential, asked: &str) -> Result<String, String> {
        let done = Program::git(Path::new("/"))
            .args(["-c", "credential.helper=", "-c", credential.setting(), "credential", "fill"])
            .input(asked.as_bytes().to_vec())
            .run();
        done.map(|out| String::from_utf8(out).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn git_gets_the_token_for_its_host_once_and_no_other_host_does() {
        let url = Url::parse("https://example.org:8443/a.git").unwrap();
        let credential = Credential::new(&"a token of the tests".to_owned().into(), &url).unwrap();
        assert!(!credential.setting().contains("a token"));
        let other = fill(&credential, "protocol=https\nhost=example.com\n\n");
        assert!(other.unwrap_err().contains("could not read Username"));
        let told = fill(&credential, "protocol=https\nhost=example.org:8443\n\n").unwrap();
        assert!(told.contains("password=a token of the tests\n"), "{told}");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let url = Url::parse("https://example.org/a.git").unwrap();
        for bad in ["a\nb", "  ", &"x".repeat(5000)] {
            assert!(Credential::new(&bad.to_owned().into(), &url).is_err());
        }
    }
}
