//! The client's commands, as they are typed.
//!
//! No option takes a secret: a command line is seen by every process of the machine, and kept in the shell's history.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

mod past;

pub use past::{DiffArgs, ForkArgs, HistoryArgs, RevertArgs};

use crate::clock::Time;
use crate::config::RoleChoice;
use crate::id::{AgentId, ArtifactId, ChatId, JobId, KeyId, Label, ProjectId, SecretName, UserName};
use crate::job::types::RequestKey;
use crate::secret::types::Scope;

/// What the program does as a client of a server.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Signs in to a server, and keeps the session's token in a file that only you can read.
    Login(LoginArgs),
    /// Ends the session, and forgets its token.
    Logout(Common),
    /// Shows who you are to the server.
    Whoami(Common),
    /// Lists, makes and manages projects.
    Projects(AskedOrList<ProjectsWhat>),
    /// Lists a project's chats, the last changed first.
    Chats(ChatsArgs),
    /// Begins chats, writes in them and shows them.
    Chat(Asked<ChatWhat>),
    /// Queues jobs, shows and follows them.
    Jobs(Asked<JobsWhat>),
    /// Fetches and stores files that builds made.
    Artifacts(Asked<ArtifactsWhat>),
    /// Stores secrets; no command shows a value.
    Secrets(Asked<SecretsWhat>),
    /// Registers and manages agents.
    Agents(AskedOrList<AgentsWhat>),
    /// Makes and revokes API keys of your account.
    Keys(AskedOrList<KeysWhat>),
    /// Makes and manages accounts.
    Users(AskedOrList<UsersWhat>),
    /// Shows what happens, as it happens, until it is stopped.
    Events(EventsArgs),
    /// Lists what happened to a project's state, newest first.
    History(HistoryArgs),
    /// Shows, field by field, what differs between two moments, or what one commit changed.
    Diff(DiffArgs),
    /// Puts one thing back to what it was, as a new commit.
    Revert(RevertArgs),
    /// Makes a second project whose state starts at a commit of the first.
    Fork(ForkArgs),
    /// Prints the completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Prints the manual's first page, or writes all its pages.
    Man {
        /// The folder to write a page for each command to.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

/// What every call of a server takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The server's address; the one that was signed in to last if absent.
    #[arg(long, env = "MRX_SERVER", value_name = "URL", global = true)]
    pub server: Option<String>,
    /// Prints the API's JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// One of several things to do.
#[derive(Debug, Args)]
pub struct Asked<T: Subcommand> {
    /// The server.
    #[command(flatten)]
    pub common: Common,
    /// Which.
    #[command(subcommand)]
    pub what: T,
}

/// One of several things to do; the list if nothing is said.
#[derive(Debug, Args)]
pub struct AskedOrList<T: Subcommand> {
    /// The server.
    #[command(flatten)]
    pub common: Common,
    /// Which.
    #[command(subcommand)]
    pub what: Option<T>,
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Part {
    /// Every page, not only the first.
    #[arg(long)]
    pub all: bool,
}

/// `mrx login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The server.
    #[command(flatten)]
    pub common: Common,
    /// Your account's name; asked for if absent.
    #[arg(long)]
    pub name: Option<String>,
    /// A file whose first line is the password; asked for if absent.
    #[arg(long, conflicts_with = "key_file")]
    pub password_file: Option<PathBuf>,
    /// A file whose first line is an API key, or the operator's token: it is kept instead of a session.
    #[arg(long, conflicts_with = "name")]
    pub key_file: Option<PathBuf>,
}

/// `mrx projects`.
#[derive(Debug, Subcommand)]
pub enum ProjectsWhat {
    /// Lists the projects that you may read.
    List {
        /// Which part.
        #[command(flatten)]
        part: Part,
        /// Those in the trash instead.
        #[arg(long)]
        trashed: bool,
    },
    /// Shows a project.
    Show {
        /// Which.
        project: ProjectId,
    },
    /// Makes a project, with its repository on the forge.
    Create {
        /// Its name, which is its repository's: mrx-weather.
        name: ProjectId,
        /// The account or organization that has the repository; the first configured one if absent.
        #[arg(long)]
        owner: Option<String>,
        /// Lets everybody see the repository.
        #[arg(long)]
        public: bool,
        /// What it is about, in one line.
        #[arg(long)]
        description: Option<String>,
    },
    /// Has the server look at the forge now.
    Sync {
        /// Which.
        project: ProjectId,
    },
    /// Lists who may work in a project.
    Members {
        /// Which.
        project: ProjectId,
    },
    /// Changes who may work in a project.
    #[command(subcommand)]
    Member(MemberWhat),
    /// Puts a project into the trash, for 30 days.
    Delete {
        /// Which.
        project: ProjectId,
    },
    /// Brings a project back from the trash.
    Restore {
        /// Which.
        project: ProjectId,
    },
}

/// `mrx projects member`.
#[derive(Debug, Subcommand)]
pub enum MemberWhat {
    /// Gives a person a right in the project.
    Set {
        /// Which project.
        project: ProjectId,
        /// Who.
        user: UserName,
        /// What the person may do.
        #[arg(value_parser = RIGHTS)]
        right: String,
    },
    /// Takes a person's right.
    Rm {
        /// Which project.
        project: ProjectId,
        /// Who.
        user: UserName,
    },
}

/// The words of rights, of types and of states, which a test compares with the API's.
pub const RIGHTS: [&str; 3] = ["read", "write", "admin"];
/// See [`RIGHTS`].
pub const JOB_TYPES: [&str; 4] = ["chat", "patch", "build", "index-rebuild"];
/// See [`RIGHTS`].
pub const JOB_STATES: [&str; 6] = ["pending", "claimed", "running", "completed", "failed", "cancelled"];

/// `mrx chats`.
#[derive(Debug, Args)]
pub struct ChatsArgs {
    /// The server.
    #[command(flatten)]
    pub common: Common,
    /// Which project.
    pub project: ProjectId,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// `mrx chat`.
#[derive(Debug, Subcommand)]
pub enum ChatWhat {
    /// Begins a chat; prints its id.
    New {
        /// Which project.
        project: ProjectId,
        /// The first message, which is answered at once; `-` reads it from the standard input.
        text: Option<String>,
        /// What it is about; taken from the message if absent.
        #[arg(long)]
        title: Option<String>,
        /// Prints the answer as it comes; the exit code is 5 if there is none.
        #[arg(long, short, requires = "text")]
        follow: bool,
    },
    /// Writes a message, which an agent answers.
    Send {
        /// Which project.
        project: ProjectId,
        /// Which chat.
        chat: ChatId,
        /// What to say; read from the standard input if it is absent or `-`.
        text: Option<String>,
        /// Prints the answer as it comes; the exit code is 5 if there is none.
        #[arg(long, short)]
        follow: bool,
    },
    /// Shows the newest messages.
    Show {
        /// Which project.
        project: ProjectId,
        /// Which chat.
        chat: ChatId,
        /// Which part.
        #[command(flatten)]
        part: Part,
    },
    /// Removes a chat, and cancels the job that answers it.
    Rm {
        /// Which project.
        project: ProjectId,
        /// Which chat.
        chat: ChatId,
    },
}

/// `mrx jobs`.
#[derive(Debug, Subcommand)]
pub enum JobsWhat {
    /// Queues a job; prints its id.
    Create(CreateJob),
    /// Lists a project's jobs: open ones first, then the newest.
    List {
        /// Which project.
        project: ProjectId,
        /// Only those in this state.
        #[arg(long, value_parser = JOB_STATES)]
        state: Option<String>,
        /// Only those of this type.
        #[arg(long = "type", value_parser = JOB_TYPES)]
        kind: Option<String>,
        /// Only those with this label.
        #[arg(long)]
        label: Option<Label>,
        /// Only those that this agent has, or had last.
        #[arg(long)]
        agent: Option<AgentId>,
        /// Which part.
        #[command(flatten)]
        part: Part,
    },
    /// Shows a job.
    Show {
        /// Which.
        job: JobId,
    },
    /// Prints a job's log, byte by byte; on a terminal only colours of its control sequences are let through.
    Logs {
        /// Which.
        job: JobId,
        /// Goes on until the job ends; the exit code is 5 if it did not complete.
        #[arg(long, short)]
        follow: bool,
        /// Which attempt; the present one if absent.
        #[arg(long)]
        attempt: Option<u32>,
    },
    /// Ends a job that waits, or asks its agent to stop.
    Cancel {
        /// Which.
        job: JobId,
    },
    /// Queues an ended job again.
    Retry {
        /// Which.
        job: JobId,
    },
}

/// `mrx jobs create`.
#[derive(Debug, Args)]
pub struct CreateJob {
    /// Whose job it is.
    pub project: ProjectId,
    /// What kind of work it is.
    #[arg(long = "type", value_parser = JOB_TYPES)]
    pub kind: String,
    /// The branch, tag or commit to work on; the project's default branch if absent.
    #[arg(long = "ref", value_name = "REF")]
    pub reference: Option<String>,
    /// What to do, as JSON or @FILE with it.
    #[arg(long, value_name = "JSON|@FILE")]
    pub payload: Option<String>,
    /// Jobs of higher priority are claimed first: -128 to 127.
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i8>,
    /// What an agent must offer to get it; may be given several times.
    #[arg(long)]
    pub label: Vec<Label>,
    /// How long it may run, in seconds.
    #[arg(long)]
    pub timeout_seconds: Option<u32>,
    /// Makes the job once, however often the command is given with this key within a day.
    #[arg(long, value_name = "KEY", value_parser = parsed_key)]
    pub idempotency_key: Option<RequestKey>,
    /// Prints the log as it comes; the exit code is 5 if the job does not complete.
    #[arg(long, short)]
    pub follow: bool,
}

fn parsed_key(text: &str) -> Result<RequestKey, String> {
    text.parse().map_err(|error: crate::job::types::BadRequestKey| error.to_string())
}

/// `mrx artifacts`.
#[derive(Debug, Subcommand)]
pub enum ArtifactsWhat {
    /// Lists a project's artifacts, the newest first.
    List {
        /// Which project.
        project: ProjectId,
        /// Which part.
        #[command(flatten)]
        part: Part,
    },
    /// Fetches a file, goes on where it was cut off, and checks its SHA-256.
    Get {
        /// Which project.
        project: ProjectId,
        /// Its id.
        artifact: ArtifactId,
        /// The file to write; one of the artifact's name if absent, which must not be there yet.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Stores a file.
    Put {
        /// Which project.
        project: ProjectId,
        /// Which file.
        file: PathBuf,
        /// What it is called there; as it is here if absent.
        #[arg(long)]
        name: Option<String>,
        /// The number of the build.
        #[arg(long)]
        build_number: Option<String>,
    },
}

/// `mrx secrets`.
#[derive(Debug, Subcommand)]
pub enum SecretsWhat {
    /// Lists names, times and who stored them; never values.
    List {
        /// A project; `platform` for the defaults of all projects.
        #[arg(value_name = "PROJECT|platform", value_parser = parsed_scope)]
        scope: Scope,
    },
    /// Stores a value, which is asked for, or read from a file.
    Set {
        /// A project; `platform` for the default of all projects.
        #[arg(value_name = "PROJECT|platform", value_parser = parsed_scope)]
        scope: Scope,
        /// Its name.
        name: SecretName,
        /// The file with the value; `-` is the standard input. The end of a single line is no part of it.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Removes a secret; its ciphertext stays in git's history.
    Rm {
        /// A project; `platform` for the default of all projects.
        #[arg(value_name = "PROJECT|platform", value_parser = parsed_scope)]
        scope: Scope,
        /// Its name.
        name: SecretName,
    },
}

fn parsed_scope(text: &str) -> Result<Scope, String> {
    text.parse().map_err(|error: crate::id::BadName| error.to_string())
}

/// `mrx agents`.
#[derive(Debug, Default, Subcommand)]
pub enum AgentsWhat {
    /// Lists all agents.
    #[default]
    List,
    /// Registers an agent, and writes its key to a file that only you can read.
    Add {
        /// Its name.
        name: AgentId,
        /// The file for its key, which must not be there yet; NAME.key if absent.
        #[arg(long)]
        key_file: Option<PathBuf>,
        /// A label that it may offer; any if none is given.
        #[arg(long)]
        label: Vec<Label>,
        /// A project that it works for; all if none is given.
        #[arg(long)]
        project: Vec<ProjectId>,
    },
    /// Gives an agent no new jobs; it ends what it has, and what it may do stays as it is.
    Drain {
        /// Which.
        name: AgentId,
        /// Gives it jobs again.
        #[arg(long)]
        undo: bool,
    },
    /// Keeps an agent from calling.
    Disable {
        /// Which.
        name: AgentId,
    },
    /// Lets it call again.
    Enable {
        /// Which.
        name: AgentId,
    },
    /// Gives an agent another key; the one before is refused at once.
    Rotate {
        /// Which.
        name: AgentId,
        /// The file for its key, which must not be there yet; NAME.key if absent.
        #[arg(long)]
        key_file: Option<PathBuf>,
    },
    /// Prints a secret with which an agent without a key claims once, such as a notebook.
    ClaimSecret {
        /// Which.
        name: AgentId,
        /// How long it is good, in seconds: 60 to 300.
        #[arg(long)]
        ttl_seconds: Option<u64>,
    },
}

/// `mrx keys`.
#[derive(Debug, Subcommand)]
pub enum KeysWhat {
    /// Lists your API keys; never the keys themselves.
    List {
        /// Whose keys; an admin may ask for anybody's.
        #[arg(long)]
        owner: Option<UserName>,
    },
    /// Makes an API key, and writes it to a file that only you can read.
    Create {
        /// What you call it.
        name: String,
        /// The most it may do.
        #[arg(long, value_parser = RIGHTS)]
        permission: String,
        /// The one project it is for; all of yours if absent.
        #[arg(long)]
        project: Option<ProjectId>,
        /// When it ends, as 2026-11-20T18:30:00Z; never if absent.
        #[arg(long)]
        expires_at: Option<Time>,
        /// The file for the key, which must not be there yet; mrx.key if absent.
        #[arg(long, default_value = "mrx.key")]
        key_file: PathBuf,
    },
    /// Makes a key worth nothing.
    Revoke {
        /// Which.
        key: KeyId,
    },
}

/// `mrx users`.
#[derive(Debug, Default, Subcommand)]
pub enum UsersWhat {
    /// Lists all accounts.
    #[default]
    List,
    /// Makes an account; asks for its password, or reads it from a file.
    Add {
        /// The name to log in with.
        name: UserName,
        /// What it is on the platform.
        #[arg(long, default_value = "developer")]
        role: RoleChoice,
        /// A file whose first line is the password.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
    /// Changes what an account is on the platform.
    Role {
        /// Whose.
        name: UserName,
        /// The role from now on.
        role: RoleChoice,
    },
    /// Keeps an account from calling; its sessions end.
    Disable {
        /// Whose.
        name: UserName,
    },
    /// Lets it call again.
    Enable {
        /// Whose.
        name: UserName,
    },
}

/// `mrx events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// The server.
    #[command(flatten)]
    pub common: Common,
    /// Only those of one project.
    #[arg(long)]
    pub project: Option<ProjectId>,
    /// Those behind this commit; from now on if absent.
    #[arg(long, value_name = "COMMIT")]
    pub after: Option<String>,
    /// Also those of logs, of which there are many.
    #[arg(long)]
    pub logs: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobState, JobType};

    #[test]
    fn the_words_that_are_typed_are_the_apis() {
        let words = |kinds: &[JobType]| kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>();
        assert_eq!(
            JOB_TYPES[..],
            words(&[JobType::Chat, JobType::Patch, JobType::Build, JobType::IndexRebuild])
        );
        for word in JOB_STATES {
            let state: JobState = serde_json::from_value(word.into()).unwrap();
            assert_eq!(state.word(), word);
        }
        for word in RIGHTS {
            assert!(serde_json::from_value::<crate::identity::Right>(word.into()).is_ok(), "{word}");
        }
    }
}
