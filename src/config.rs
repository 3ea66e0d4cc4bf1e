//! Every setting of the command line: its unit, default, bound, and why.

mod backup;
mod github;
mod remote;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use backup::{BackupArgs, RestoreArgs};
pub use github::GitHubArgs;
pub use remote::RemoteArgs;

use crate::cli::args::ClientCommand;
use crate::clock::Time;
use crate::forge::Forge;
use crate::forge::local::LocalForge;
use crate::http::cors::Origin;
use crate::id::{AgentId, Label, SecretName};
use crate::identity::accounts::{Policy, Registration};
use crate::state::epoch::Limits;
use crate::state::layout::DataFolder;
use crate::state::sign::{Signer, SignerError};
use crate::worker::{ProgramOptions, SandboxChoice};

/// A daemon that keeps a team's projects, jobs, logs and artifacts as commits in git.
#[derive(Debug, Parser)]
#[command(name = "mrx", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the daemon.
    Serve(ServeArgs),
    /// Makes accounts and agents of the daemon whose data folder is on this machine.
    Admin(AdminArgs),
    /// Runs an agent: claims build jobs from a daemon and runs them.
    Agent(AgentArgs),
    /// Starts a daemon and an agent, builds two small projects, and shows what happened.
    Demo(DemoArgs),
    /// Shows what has happened to a project, newest first, as its state's git log says.
    Log(LogArgs),
    /// Checks a data folder and this machine, and says what to do about what is wrong.
    Doctor(DoctorArgs),
    /// Saves the whole platform in a folder as git bundles, each time only what is new.
    Backup(BackupArgs),
    /// Makes a data folder of a backup, of clones made with `git clone --mirror`, or of a bundle.
    Restore(RestoreArgs),
    /// Measures how fast this machine and disk are.
    Bench(BenchArgs),
    /// What git runs when somebody pushes; the daemon that started git answers.
    #[command(hide = true)]
    Hook(HookArgs),
    /// What the program does as a client of a server.
    #[command(flatten)]
    Client(ClientCommand),
}

/// `mrx hook`.
#[derive(Clone, Debug, Args)]
pub struct HookArgs {
    /// Which hook.
    #[arg(value_parser = ["pre-receive"])]
    pub name: String,
}

/// `mrx serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The data folder: journal, repositories, artifacts, keys.
    #[arg(long, default_value = "mrx-data", env = "MRX_DATA")]
    pub data: PathBuf,
    /// The address to listen on. Put a TLS proxy before any address but loopback.
    #[arg(long, default_value = "127.0.0.1:8421", env = "MRX_LISTEN")]
    pub listen: SocketAddr,
    /// The folder of bare repositories whose `mrx-*.git` are the projects; DATA/forge if absent.
    #[arg(long, env = "MRX_FORGE")]
    pub forge: Option<PathBuf>,
    /// GitHub, instead of a folder.
    #[command(flatten)]
    pub github: GitHubArgs,
    /// How long logs are kept, in days: 1 to 3650. A day's logs are dropped together, and their room is freed.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub keep_logs_days: u16,
    /// The size of a journal segment in MiB: 2 to 1024. Larger ones are recycled less often; one holds the largest
    /// change, an append of 1 MiB to a log.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..=1024))]
    pub journal_segment_mib: u16,
    /// After so many commits the history of a state goes on in a new epoch, and what was before is kept under refs/archive/: 2 or
    /// more, 0 for never. Longer histories take git longer to walk.
    #[arg(long, default_value_t = 1_000_000, value_parser = epoch_commits)]
    pub epoch_commits: u64,
    /// After so many days likewise: up to 36500, 0 for never.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(0..=36_500))]
    pub epoch_days: u16,
    /// Who may make an account for themselves: nobody, who brings an invitation, or everybody (as a viewer).
    #[arg(long, value_enum, default_value_t, env = "MRX_REGISTRATION")]
    pub registration: Registration,
    /// How long a session lasts, in hours: 1 to 8760.
    #[arg(long, default_value_t = 7 * 24, value_parser = clap::value_parser!(u16).range(1..=8760))]
    pub session_hours: u16,
    /// A YAML file of other issuers of tokens (OpenID Connect) that are believed; docs/identity.md has its shape.
    #[arg(long, env = "MRX_ISSUERS")]
    pub issuers: Option<PathBuf>,
    /// Sends cookies over TLS alone: set it where a TLS proxy stands before the daemon.
    #[arg(long, env = "MRX_SECURE_COOKIES")]
    pub secure_cookies: bool,
    /// An ssh key (Ed25519, without a passphrase, mode 0600) that signs the daemon's commits; `GET /allowed-signers` is what git
    /// verifies them with.
    #[arg(long, env = "MRX_SIGN_WITH")]
    pub sign_with: Option<PathBuf>,
    /// The address of a proxy before the daemon that is believed when it says, by `X-Forwarded-For`, for whom it calls: so limits
    /// are by caller and not by proxy. May be given several times; nobody is believed if absent.
    #[arg(long, env = "MRX_TRUSTED_PROXY", value_delimiter = ',')]
    pub trusted_proxy: Vec<IpAddr>,
    /// An origin whose pages may use the API from a browser, with the session's cookie: `https://dash.example.org`. May be
    /// given several times; no other origin may if absent.
    #[arg(long, env = "MRX_DASHBOARD_ORIGIN", value_delimiter = ',')]
    pub dashboard_origin: Vec<Origin>,
    /// Lets outbound webhooks call addresses that are not of the public internet, and by http: for tests, and where every
    /// manager of a project may reach what the daemon reaches.
    #[arg(long, env = "MRX_ALLOW_PRIVATE_WEBHOOKS")]
    pub allow_private_webhooks: bool,
    /// Remotes of projects' states.
    #[command(flatten)]
    pub remotes: RemoteArgs,
    /// Lets everybody call as often as they like, for measuring.
    #[arg(long)]
    pub no_rate_limits: bool,
}

impl ServeArgs {
    /// The usual settings over this folder, at this address.
    pub fn usual(data: &std::path::Path, listen: SocketAddr) -> Self {
        #[derive(Parser)]
        struct Only {
            #[command(flatten)]
            args: ServeArgs,
        }
        let args = Only::parse_from(["mrx"]).args;
        Self { data: data.to_owned(), listen, ..args }
    }

    /// When an epoch ends.
    pub fn epochs(&self) -> Limits {
        Limits { commits: self.epoch_commits, days: u64::from(self.epoch_days) }
    }

    /// How long logs are kept.
    pub fn keep_logs(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep_logs_days) * 24 * 3600)
    }

    /// The key that signs commits, if one is configured.
    pub fn signer(&self) -> Result<Option<Arc<Signer>>, SignerError> {
        self.sign_with.as_deref().map(Signer::read).transpose().map(|signer| signer.map(Arc::new))
    }

    /// What the operator decides about accounts.
    pub fn policy(&self) -> Policy {
        let session_period = Duration::from_secs(u64::from(self.session_hours) * 3600);
        Policy { registration: self.registration, session_period }
    }

    /// Where projects come from: GitHub if a credential for it is configured, else the folder.
    pub fn forge(&self) -> anyhow::Result<Forge> {
        match self.github.open()? {
            Some(_) if self.forge.is_some() => {
                anyhow::bail!("--forge and a credential for GitHub are both set; leave one of them out")
            }
            Some(github) => Ok(Forge::GitHub(github)),
            None => {
                let folder = self.forge.clone().unwrap_or_else(|| DataFolder::new(&self.data).forge());
                Ok(Forge::Local(LocalForge::open(&folder)?))
            }
        }
    }

    /// The size of a journal segment in bytes.
    pub fn journal_segment_bytes(&self) -> u64 {
        u64::from(self.journal_segment_mib) << 20
    }
}

/// `mrx admin`.
#[derive(Clone, Debug, Args)]
pub struct AdminArgs {
    /// The data folder of the running daemon.
    #[arg(long, default_value = "mrx-data", env = "MRX_DATA", global = true)]
    pub data: PathBuf,
    /// What is done.
    #[command(subcommand)]
    pub what: AdminWhat,
}

/// What `mrx admin` does.
#[derive(Clone, Debug, Subcommand)]
pub enum AdminWhat {
    /// Accounts of people.
    #[command(subcommand)]
    User(AdminUser),
    /// Agents.
    #[command(subcommand)]
    Agent(AdminAgent),
    /// Epochs of histories.
    #[command(subcommand)]
    Epoch(AdminEpoch),
}

/// `mrx admin epoch`.
#[derive(Clone, Debug, Subcommand)]
pub enum AdminEpoch {
    /// Ends the epoch that a project's history is in, and begins the next; what was before is kept under refs/archive/.
    End {
        /// The project.
        #[arg(required_unless_present = "platform", conflicts_with = "platform")]
        project: Option<crate::id::ProjectId>,
        /// The platform's own history instead: the registry, agents and accounts.
        #[arg(long)]
        platform: bool,
    },
}

/// `mrx admin user`.
#[derive(Clone, Debug, Subcommand)]
pub enum AdminUser {
    /// Makes an account; asks for its password, or reads it from a file.
    Add {
        /// The name to log in with.
        name: crate::id::UserName,
        /// What it is on the platform.
        #[arg(long, default_value = "developer")]
        role: RoleChoice,
        /// A file whose first line is the password.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
}

/// `mrx admin agent`.
#[derive(Clone, Debug, Subcommand)]
pub enum AdminAgent {
    /// Registers an agent and writes its key to a file that only you can read.
    Add {
        /// Its name.
        name: AgentId,
        /// The file for its key; `NAME.key` if absent.
        #[arg(long)]
        key_file: Option<PathBuf>,
    },
}

/// A role, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleChoice {
    /// Reads the projects it is a member of.
    Viewer,
    /// Makes projects, and does what its memberships say.
    Developer,
    /// Does everything.
    Admin,
}

/// `mrx agent`.
#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    /// The daemon's address.
    #[arg(long, default_value = "http://127.0.0.1:8421", env = "MRX_DAEMON")]
    pub daemon: String,
    /// The file with the agent's key, which `mrx admin agent add` makes; MRX_AGENT_TOKEN is read if absent.
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// The agent's name.
    #[arg(long, default_value = "builder-1")]
    pub name: AgentId,
    /// What the agent offers, separated by commas: linux,gpu.
    #[arg(long, value_delimiter = ',')]
    pub labels: Vec<Label>,
    /// Where jobs are worked on.
    #[arg(long, default_value = "mrx-work")]
    pub work_dir: PathBuf,
    /// How steps are kept from the rest of the machine.
    #[arg(long, default_value = "bubblewrap", value_name = "bubblewrap|off")]
    pub sandbox: SandboxChoice,
    /// How long one claim waits for a job, in seconds, at most 60.
    #[arg(long, default_value_t = 30)]
    pub wait_seconds: u64,
    /// When this machine goes away, as 2026-11-20T18:30:00Z: no job is taken that may last longer.
    #[arg(long)]
    pub available_until: Option<Time>,
    /// An HTTP proxy for calls to the daemon.
    #[arg(long)]
    pub proxy: Option<String>,
    /// A type of jobs that the command behind `--` is run for; may be given again.
    #[arg(long = "type", requires = "command", value_parser = ["build", "chat", "patch"])]
    pub types: Vec<String>,
    /// A secret of the job's project that the command finds in its environment, as MRX_SECRET_NAME; may be given again.
    #[arg(long = "secret", requires = "command")]
    pub secrets: Vec<SecretName>,
    /// Lets the command reach the network from its sandbox.
    #[arg(long, requires = "command")]
    pub network: bool,
    /// A file or folder that the command may read in its sandbox, besides the system's; may be given again.
    #[arg(long, requires = "command", value_name = "PATH")]
    pub readable: Vec<PathBuf>,
    /// A command that is run for each job, instead of what this agent knows to do; docs/programs.md says how.
    #[arg(last = true, requires = "types")]
    pub command: Vec<String>,
}

impl AgentArgs {
    /// The command that is run for each job, if there is one.
    ///
    /// # Errors
    /// Something that it may read is not there.
    pub fn program(&self) -> anyhow::Result<Option<ProgramOptions>> {
        if self.command.is_empty() {
            return Ok(None);
        }
        let there = |path: &PathBuf| {
            path.canonicalize().with_context(|| format!("find {}, which --readable names", path.display()))
        };
        Ok(Some(ProgramOptions {
            types: self.types.clone(),
            command: self.command.clone(),
            secrets: self.secrets.clone(),
            has_network: self.network,
            readable: self.readable.iter().map(there).collect::<anyhow::Result<_>>()?,
        }))
    }
}

/// `mrx demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Ends when both builds have finished.
    #[arg(long)]
    pub once: bool,
    /// The data folder; a temporary one if absent.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// The address to listen on; a free port of loopback if absent.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// `mrx log`.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// The project; the platform itself if absent.
    pub project: Option<crate::id::ProjectId>,
    /// Only what touched this path or id: `job-01jd…`.
    pub path_or_id: Option<String>,
    /// The data folder.
    #[arg(long, default_value = "mrx-data", env = "MRX_DATA")]
    pub data: PathBuf,
    /// How many commits, at most 10,000.
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

/// `mrx doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// The data folder.
    #[arg(long, default_value = "mrx-data", env = "MRX_DATA")]
    pub data: PathBuf,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchWhat {
    /// The engine alone: claims as durable commits.
    Commits,
    /// Claims over HTTP, by agents on their own connections.
    Claims,
    /// Reads of jobs over HTTP.
    Reads,
    /// The cost of a job's whole life among many finished jobs.
    Finished,
    /// The start of a daemon over many finished and open jobs.
    Start,
    /// From a request that makes a job to its event at a listener.
    Listener,
    /// From a request that makes a job to its claim by an agent that waits.
    Claimer,
    /// From a durable change to plain git showing it, when little happens.
    GitIdle,
    /// The same, while 64 claimers make as many changes as they can.
    GitLoad,
    /// The hourly look for artifacts that are kept no longer, over `--jobs` projects; the slowest is the first after a start.
    Retention,
}

impl BenchWhat {
    /// Whether a daemon of its own is measured, by clients over HTTP.
    pub fn is_over_http(self) -> bool {
        matches!(self, Self::Claims | Self::Reads | Self::Listener | Self::Claimer)
    }
}

/// `mrx bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// What to measure.
    pub what: BenchWhat,
    /// How many operations are under way at once: 1 to 4096.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub in_flight: u16,
    /// How many jobs there are.
    #[arg(long, default_value_t = 100_000)]
    pub jobs: usize,
    /// How long to measure at most, in seconds.
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// The folder to measure in; a temporary one in the present folder if absent.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// With `commits`: has git repack the repository afterwards, and tells the bytes a commit then.
    #[arg(long)]
    pub repack: bool,
    /// Prints one JSON object instead of a line for people.
    #[arg(long)]
    pub json: bool,
}

/// An epoch has a first commit and others.
fn epoch_commits(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(1) | Err(_) => Err("2 or more, or 0 for never".to_owned()),
        Ok(commits) => Ok(commits),
    }
}
