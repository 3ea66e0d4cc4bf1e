//! The program as a client of a server's API, for people and scripts.
//!
//! - [`args`] is what is typed   - [`credentials`] is which server is meant and what it is shown   - [`ask`] reads what nobody may see
//! - [`client`] calls the server   - [`events`] follows its streams, through broken connections
//! - [`show`] is tables, lines and JSON   - [`screen`] keeps what others wrote from steering the terminal   - [`error`] is exit codes
//! - [`session`], [`projects`], [`chats`], [`jobs`], [`log`], [`artifacts`], [`secrets`], [`people`], [`past`] are the commands   - [`manual`] is completions and man pages
//!
//! Invariant: nothing here touches a data folder; whatever it does, a program without it could do over HTTP.
//! Invariant: no secret is taken from the command line, and none is printed but a one-time claim secret that was asked for.

pub mod args;
pub mod artifacts;
pub mod ask;
pub mod chats;
pub mod client;
pub mod credentials;
pub mod error;
pub mod events;
pub mod jobs;
pub mod log;
pub mod manual;
pub mod past;
pub mod people;
pub mod projects;
pub mod screen;
pub mod secrets;
pub mod session;
pub mod show;

use args::{ClientCommand, Common};
use client::Client;
use credentials::Credentials;
use error::{CliError, CliResult};
use show::Output;

/// A command under way: the server, and where its output goes.
#[derive(Debug)]
pub struct Context {
    /// The server, with what it is shown.
    pub client: Client,
    /// Where output goes.
    pub output: Output,
}

impl Context {
    /// What a command needs that calls the server as somebody.
    pub fn signed_in(common: &Common) -> CliResult<Self> {
        let context = Self::new(common)?;
        if !context.client.has_token() {
            let server = context.client.server();
            return Err(CliError::NotSignedIn(format!(
                "you are not signed in to {server}: mrx login --server {server}, or set {}",
                credentials::TOKEN_VARIABLE
            )));
        }
        Ok(context)
    }

    fn new(common: &Common) -> CliResult<Self> {
        let kept = Credentials::read(&credentials::path()?)?;
        let server = client::normal(&kept.server(common.server.as_deref()))?;
        let token = kept.token(&server, credentials::token_of_environment());
        Ok(Self { client: Client::new(&server, token)?, output: Output::new(common.json) })
    }
}

/// Does what was asked; tells the exit code.
pub async fn run(command: ClientCommand) -> u8 {
    match done(command).await {
        Ok(()) => 0,
        Err(error) => {
            if !matches!(error, CliError::Closed) {
                eprintln!("mrx: {}", screen::one_line(&error.to_string()));
            }
            error.exit_code()
        }
    }
}

async fn done(command: ClientCommand) -> CliResult<()> {
    match command {
        ClientCommand::Login(args) => session::login(args).await,
        ClientCommand::Logout(common) => session::logout(&common).await,
        ClientCommand::Whoami(common) => session::whoami(&Context::signed_in(&common)?).await,
        ClientCommand::Projects(args) => {
            projects::run(&Context::signed_in(&args.common)?, args.what.unwrap_or_default()).await
        }
        ClientCommand::Chats(args) => {
            chats::list(&Context::signed_in(&args.common)?, args.project, args.part).await
        }
        ClientCommand::Chat(args) => chats::run(&Context::signed_in(&args.common)?, args.what).await,
        ClientCommand::Jobs(args) => jobs::run(&Context::signed_in(&args.common)?, args.what).await,
        ClientCommand::Artifacts(args) => artifacts::run(&Context::signed_in(&args.common)?, args.what).await,
        ClientCommand::Secrets(args) => secrets::run(&Context::signed_in(&args.common)?, args.what).await,
        ClientCommand::Agents(args) => {
            people::agents(&Context::signed_in(&args.common)?, args.what.unwrap_or_default()).await
        }
        ClientCommand::Keys(args) => {
            people::keys(&Context::signed_in(&args.common)?, args.what.unwrap_or_default()).await
        }
        ClientCommand::Users(args) => {
            people::users(&Context::signed_in(&args.common)?, args.what.unwrap_or_default()).await
        }
        ClientCommand::Events(args) => log::events(&Context::signed_in(&args.common)?, args).await,
        ClientCommand::History(args) => past::history(&Context::signed_in(&args.common)?, args).await,
        ClientCommand::Diff(args) => past::diff(&Context::signed_in(&args.common)?, args).await,
        ClientCommand::Revert(args) => past::revert(&Context::signed_in(&args.common)?, args).await,
        ClientCommand::Fork(args) => past::fork(&Context::signed_in(&args.common)?, args).await,
        ClientCommand::Completions { shell } => manual::completions(shell),
        ClientCommand::Man { dir } => manual::pages(dir.as_deref()),
    }
}
