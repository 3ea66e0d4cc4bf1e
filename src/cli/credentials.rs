//! Which server is meant and what it is shown: `$XDG_CONFIG_HOME/mrx/credentials.yaml`, of mode 0600.
//!
//! The file keeps a token for each server, and a token is only ever sent to the server it is kept for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use super::error::{CliError, CliResult};
use crate::mask::SecretText;

/// The variable that holds a token, for scripts.
pub const TOKEN_VARIABLE: &str = "MRX_TOKEN";
/// Where `mrx serve` listens if nobody says.
const SERVER_DEFAULT: &str = "http://127.0.0.1:8421";
/// A larger file is none of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The server that is meant if none is named: the one that was signed in to last.
    #[serde(default)]
    server: Option<String>,
    /// What each server is shown.
    #[serde(default)]
    servers: BTreeMap<String, Entry>,
}

/// What a server is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Who it says we are.
    pub name: String,
    /// What kind of credential it is.
    pub kind: Kind,
    /// It.
    #[serde(serialize_with = "revealed")]
    pub token: SecretText,
}

/// A kind of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A session, which `mrx logout` ends.
    Session,
    /// A key, which is only forgotten.
    Key,
}

/// The file is the one place that a token is written to.
fn revealed<S: Serializer>(token: &SecretText, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(token.reveal())
}

impl Credentials {
    /// What the file says; nothing if there is none.
    pub fn read(path: &Path) -> CliResult<Self> {
        let about = || format!("read {}", path.display());
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            opened => opened.map_err(|error| CliError::local(about(), error))?,
        };
        let facts = file.metadata().map_err(|error| CliError::local(about(), error))?;
        if facts.permissions().mode() & 0o077 != 0 {
            eprintln!("mrx: warning: others can read {}; chmod 600 it, and sign in again", path.display());
        }
        if facts.len() > FILE_BYTES_MAX {
            return Err(CliError::local(about(), "it is too large to be a file of credentials"));
        }
        let text = std::io::read_to_string(file).map_err(|error| CliError::local(about(), error))?;
        // What is wrong is told by its line alone: the line may hold a token.
        serde_yaml::from_str(&text).map_err(|error| {
            let place = error.location().map_or(String::new(), |place| format!(" at line {}", place.line()));
            CliError::local(
                about(),
                format!("it is not as mrx login writes it{place}; remove it and sign in again"),
            )
        })
    }

    /// Replaces the file, whole or not at all.
    pub fn write(&self, path: &Path) -> CliResult<()> {
        let failed = |error: std::io::Error| CliError::local(format!("write {}", path.display()), error);
        let folder = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let text = serde_yaml::to_string(self)
            .map_err(|_| failed(std::io::Error::other("it cannot be written as YAML")))?;
        // A temporary file is of mode 0600 from the start.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// The server that is meant: the one that is named, else the file's, else the one on this machine.
    pub fn server(&self, named: Option<&str>) -> String {
        // An empty variable is one that is not set.
        named
            .filter(|named| !named.is_empty())
            .or(self.server.as_deref())
            .unwrap_or(SERVER_DEFAULT)
            .to_owned()
    }

    /// What a server is shown: the environment's token, else the file's for this very server.
    pub fn token(&self, server: &str, of_environment: Option<SecretText>) -> Option<SecretText> {
        of_environment.or_else(|| self.servers.get(server).map(|entry| entry.token.clone()))
    }

    /// What the file keeps for a server.
    pub fn entry(&self, server: &str) -> Option<&Entry> {
        self.servers.get(server)
    }

    /// Keeps a credential; its server is the one that is meant from now on.
    pub fn keep(&mut self, server: &str, entry: Entry) {
        self.server = Some(server.to_owned());
        self.servers.insert(server.to_owned(), entry);
    }

    /// Forgets a server's credential.
    pub fn forget(&mut self, server: &str) -> Option<Entry> {
        if self.server.as_deref() == Some(server) {
            self.server = None;
        }
        self.servers.remove(server)
    }
}

/// Where the file is: `$XDG_CONFIG_HOME/mrx/credentials.yaml`, or below `~/.config`.
pub fn path() -> CliResult<PathBuf> {
    path_from(std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"))
        .ok_or_else(|| CliError::Failed("cannot find the credentials: HOME is not set".to_owned()))
}

/// A relative path in `XDG_CONFIG_HOME` is to be ignored (XDG Base Directory Specification).
fn path_from(config: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let config = config.map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = config
        .or_else(|| home.filter(|home| !home.is_empty()).map(|home| PathBuf::from(home).join(".config")))?;
    Some(folder.join("mrx").join("credentials.yaml"))
}

/// The token of the environment, if there is one.
pub fn token_of_environment() -> Option<SecretText> {
    std::env::var(TOKEN_VARIABLE)
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .map(SecretText::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(token: &str) -> Entry {
        Entry { name: "anna".to_owned(), kind: Kind::Session, token: token.to_owned().into() }
    }

    fn shown(token: Option<SecretText>) -> Option<String> {
        token.map(|token| token.reveal().to_owned())
    }

    #[test]
    fn a_token_goes_to_its_own_server_alone() {
        let mut file = Credentials::default();
        file.keep("https://a.example.org", entry("of-a"));
        assert_eq!(file.server(None), "https://a.example.org");
        assert_eq!(file.server(Some("")), "https://a.example.org");
        assert_eq!(file.server(Some("https://b.example.org")), "https://b.example.org");
        assert_eq!(shown(file.token("https://a.example.org", None)).as_deref(), Some("of-a"));
        assert_eq!(shown(file.token("https://b.example.org", None)), None);
    }

    #[test]
    fn the_environments_token_goes_before_the_files() {
        let mut file = Credentials::default();
        file.keep("https://a.example.org", entry("of-a"));
        let token = file.token("https://a.example.org", Some("of-env".to_owned().into()));
        assert_eq!(shown(token).as_deref(), Some("of-env"));
    }

    #[test]
    fn what_is_kept_is_read_again_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mrx").join("credentials.yaml");
        let mut file = Credentials::default();
        file.keep("https://a.example.org", entry("of-a"));
        file.write(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let mut read = Credentials::read(&path).unwrap();
        assert_eq!(read.server(None), "https://a.example.org");
        assert!(read.forget("https://a.example.org").is_some());
        assert_eq!(read.server(None), SERVER_DEFAULT);
    }

    #[test]
    fn a_broken_file_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.yaml");
        std::fs::write(&path, "servers: canary-token\n").unwrap();
        let error = Credentials::read(&path).unwrap_err().to_string();
        assert!(error.contains("sign in again") && !error.contains("canary"), "{error}");
    }

    #[test]
    fn the_file_is_below_the_configured_folder_if_that_is_absolute() {
        let path = |config: &str, home: &str| path_from(Some(config.into()), Some(home.into())).unwrap();
        assert_eq!(path("/c", "/h"), Path::new("/c/mrx/credentials.yaml"));
        assert_eq!(path("c", "/h"), Path::new("/h/.config/mrx/credentials.yaml"));
        assert_eq!(path_from(None, None), None);
    }
}
