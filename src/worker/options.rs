//! What an operator chooses for an agent. Knows nothing of the command line; `main.rs` fills it.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;

use crate::clock::Time;
use crate::id::{AgentId, Label, SecretName};

/// The environment variable that may hold the token; an argument may not, since every user of a machine sees those.
pub const TOKEN_VARIABLE: &str = "MRX_AGENT_TOKEN";
/// Longer than any token of ours; a longer file is surely the wrong one.
const TOKEN_BYTES_MAX: usize = 1024;

/// How an agent works.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The daemon's address, `http://` or `https://`.
    pub daemon: String,
    /// What proves to the daemon that this is the agent.
    pub token: AgentToken,
    /// The name under which the agent was registered.
    pub name: AgentId,
    /// What the agent offers; a job is given only if each of its labels is here.
    pub labels: Vec<Label>,
    /// Where clones and logs are kept while a job runs. One agent a folder.
    pub work_dir: PathBuf,
    /// Whether steps are confined.
    pub sandbox: SandboxChoice,
    /// How long one claim may wait for a job, in seconds; more than 60 is 60.
    pub wait_seconds: u64,
    /// When this machine goes away: no job is taken that may last longer, and then the agent ends.
    pub available_until: Option<Time>,
    /// An HTTP proxy for calls to the daemon. The proxy variables of the environment are not looked at.
    pub proxy: Option<String>,
    /// What is run for each job, instead of what this agent itself knows to do.
    pub program: Option<ProgramOptions>,
}

/// A command that is run for each job of some types; `docs/programs.md` is its contract.
#[derive(Clone, Debug)]
pub struct ProgramOptions {
    /// The types of jobs; at least one.
    pub types: Vec<String>,
    /// The program and its arguments; at least the program.
    pub command: Vec<String>,
    /// The secrets that it finds in its environment.
    pub secrets: Vec<SecretName>,
    /// Whether it reaches the network from the sandbox.
    pub has_network: bool,
    /// What it may read in the sandbox besides the system's folders.
    pub readable: Vec<PathBuf>,
}

/// Whether steps run in bubblewrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SandboxChoice {
    /// Each step is confined; without a working bubblewrap the agent does not start.
    #[default]
    Bubblewrap,
    /// Steps run as the agent's own user and can read whatever it can, the token included.
    Off,
}

/// The text names no sandbox.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no sandbox: say bubblewrap or off")]
pub struct BadSandbox(String);

impl FromStr for SandboxChoice {
    type Err = BadSandbox;
    fn from_str(text: &str) -> Result<Self, BadSandbox> {
        match text {
            "bubblewrap" => Ok(Self::Bubblewrap),
            "off" => Ok(Self::Off),
            _ => Err(BadSandbox(text.to_owned())),
        }
    }
}

/// An agent's token. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentToken(String);

/// The text cannot be a token; the text itself is not repeated.
#[derive(Debug, thiserror::Error)]
#[error("a token is one word of visible ASCII characters, at most {TOKEN_BYTES_MAX}")]
pub struct BadToken;

impl FromStr for AgentToken {
    type Err = BadToken;
    fn from_str(text: &str) -> Result<Self, BadToken> {
        let well_formed =
            (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if well_formed { Ok(Self(text.to_owned())) } else { Err(BadToken) }
    }
}

impl fmt::Debug for AgentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl AgentToken {
    /// The token in `file`, which only its owner may read; without a file, the one in `MRX_AGENT_TOKEN`.
    pub fn find(file: Option<&Path>) -> anyhow::Result<Self> {
        match file {
            Some(path) => Self::from_file(path)
                .with_context(|| format!("read the agent's token from {}", path.display())),
            None => {
                let text = std::env::var(TOKEN_VARIABLE).with_context(|| {
                    format!("find the agent's token: give a token file or set {TOKEN_VARIABLE}")
                })?;
                text.parse().with_context(|| format!("read the agent's token from {TOKEN_VARIABLE}"))
            }
        }
    }

    fn from_file(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        anyhow::ensure!(mode & 0o077 == 0, "others may read it (mode {:o}); run chmod 600", mode & 0o777);
        let mut text = String::new();
        file.take(TOKEN_BYTES_MAX as u64 + 2).read_to_string(&mut text)?;
        Ok(text.trim_end().parse()?)
    }

    /// The token itself, for the one header that carries it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_file(mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "mrx-token\n").unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_token_is_read_from_a_file_that_only_its_owner_reads_and_is_never_shown() {
        let token = AgentToken::find(Some(token_file(0o600).path())).unwrap();
        assert_eq!((token.reveal(), format!("{token:?}").as_str()), ("mrx-token", "[secret]"));
    }

    #[test]
    fn a_token_file_that_others_may_read_is_refused_with_the_remedy() {
        let error = AgentToken::find(Some(token_file(0o644).path())).unwrap_err();
        assert!(format!("{error:#}").contains("chmod 600"), "{error:#}");
    }

    #[test]
    fn a_token_of_several_words_is_refused_without_repeating_it() {
        let error = "two words".parse::<AgentToken>().unwrap_err().to_string();
        assert!(!error.contains("two"), "{error}");
    }
}
