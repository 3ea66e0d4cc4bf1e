//! Settings of projects' remotes.

use std::time::Duration;

use clap::Args;

use crate::remote::RemoteOptions;

/// What the operator decides about remotes.
#[derive(Clone, Debug, Args)]
pub struct RemoteArgs {
    /// Lets projects' remotes be anywhere, also by http and as file: for tests, and where every manager of a project may reach
    /// what the daemon reaches.
    #[arg(long, env = "MRX_ALLOW_LOCAL_REMOTES")]
    pub allow_local_remotes: bool,
    /// A host that gets a project's secret `github` if its remote is there: `git.example.org`, or with a port. May be given several times.
    #[arg(long, env = "MRX_REMOTE_CREDENTIAL_HOST", value_delimiter = ',', default_value = "github.com")]
    pub remote_credential_host: Vec<String>,
    /// How often one remote is pushed to at most, in seconds: 10 to 3600. GitHub asks for at most 6 pushes a minute.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(10..=3600))]
    pub remote_push_seconds: u16,
    /// How often a remote is looked at that nobody hints of, in seconds: 60 to 65535.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(60..))]
    pub remote_poll_seconds: u16,
}

impl RemoteArgs {
    /// As the subject takes them.
    pub fn options(&self) -> RemoteOptions {
        RemoteOptions {
            allow_local: self.allow_local_remotes,
            credential_hosts: self.remote_credential_host.clone(),
            push_every: Duration::from_secs(self.remote_push_seconds.into()),
            poll_every: Duration::from_secs(self.remote_poll_seconds.into()),
        }
    }
}
