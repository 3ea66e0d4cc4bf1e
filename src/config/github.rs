//! How GitHub is used. Credentials are files named here, never values.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::clock::Clock;
use crate::forge::PREFIX;
use crate::forge::github::{Credential, GitHub, GitHubOptions};
use crate::forge::secret::Secret;
use crate::project::sync::chance;

/// The settings of `mrx serve` for GitHub.
#[derive(Clone, Debug, Args)]
pub struct GitHubArgs {
    /// The file of a personal access token; GitHub is the forge then.
    #[arg(long, env = "MRX_GITHUB_TOKEN_FILE", conflicts_with = "github_app_id")]
    pub github_token_file: Option<PathBuf>,
    /// The number of a GitHub App; GitHub is the forge then.
    #[arg(long, env = "MRX_GITHUB_APP_ID", requires = "github_app_key_file")]
    pub github_app_id: Option<u64>,
    /// The file of the App's private key, in PEM.
    #[arg(long, env = "MRX_GITHUB_APP_KEY_FILE", requires = "github_app_id")]
    pub github_app_key_file: Option<PathBuf>,
    /// The one installation of the App to use; all in the owners' accounts if absent.
    #[arg(long, env = "MRX_GITHUB_INSTALLATION_ID")]
    pub github_installation_id: Option<u64>,
    /// The accounts and organizations whose repositories are projects, separated by commas; the token's own account,
    /// or all of the App's, if absent.
    #[arg(long, env = "MRX_GITHUB_OWNERS", value_delimiter = ',')]
    pub github_owners: Vec<String>,
    /// What the names of projects' repositories begin with.
    #[arg(long, env = "MRX_GITHUB_PREFIX", default_value = PREFIX)]
    pub github_prefix: String,
    /// The address of the API: of GitHub Enterprise Server it is https://HOST/api/v3.
    #[arg(long, env = "MRX_GITHUB_API_URL", default_value = "https://api.github.com")]
    pub github_api_url: String,
    /// The file of the secret that GitHub signs webhooks with; POST /webhooks/github answers 503 if absent.
    #[arg(long, env = "MRX_GITHUB_WEBHOOK_SECRET_FILE")]
    pub github_webhook_secret_file: Option<PathBuf>,
    /// How often GitHub is asked for its repositories, in seconds: 30 to 86,400. Webhooks make it quicker.
    #[arg(long, env = "MRX_GITHUB_POLL_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(30..=86_400))]
    pub github_poll_seconds: u32,
}

impl Default for GitHubArgs {
    /// Those of a daemon that does not use GitHub.
    fn default() -> Self {
        Self {
            github_token_file: None,
            github_app_id: None,
            github_app_key_file: None,
            github_installation_id: None,
            github_owners: Vec::new(),
            github_prefix: PREFIX.to_owned(),
            github_api_url: "https://api.github.com".to_owned(),
            github_webhook_secret_file: None,
            github_poll_seconds: 300,
        }
    }
}

impl GitHubArgs {
    /// How often GitHub is asked.
    pub fn poll(&self) -> Duration {
        Duration::from_secs(u64::from(self.github_poll_seconds))
    }

    /// What webhooks are signed with.
    pub fn webhook_secret(&self) -> anyhow::Result<Option<Secret>> {
        let path = self.github_webhook_secret_file.as_deref();
        Ok(path.map(Secret::read).transpose()?)
    }

    /// GitHub, if a credential is configured.
    pub fn open(&self) -> anyhow::Result<Option<GitHub>> {
        let credential = match (&self.github_token_file, self.github_app_id, &self.github_app_key_file) {
            (Some(token), _, _) => Credential::Token(Secret::read(token)?),
            (None, Some(id), Some(key)) => Credential::App { id, key: Secret::read(key)? },
            _ => return Ok(None),
        };
        let options = GitHubOptions {
            api_url: self.github_api_url.clone(),
            owners: self.github_owners.iter().filter(|owner| !owner.is_empty()).cloned().collect(),
            prefix: self.github_prefix.clone(),
            installation: self.github_installation_id,
            credential,
            clock: Clock::system(),
            chance,
        };
        Ok(Some(GitHub::new(options).context("use GitHub")?))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Cli, Command, ServeArgs};
    use clap::Parser;

    fn serve(args: &[&str]) -> Result<ServeArgs, clap::Error> {
        match Cli::try_parse_from(["mrx", "serve"].iter().chain(args))?.command {
            Command::Serve(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_app_needs_its_key_and_excludes_a_token() {
        assert!(serve(&["--github-app-id", "1"]).is_err());
        assert!(serve(&["--github-app-id", "1", "--github-app-key-file", "k"]).is_ok());
        let both = ["--github-app-id", "1", "--github-app-key-file", "k", "--github-token-file", "t"];
        assert!(serve(&both).is_err());
        assert!(serve(&["--github-poll-seconds", "5"]).is_err(), "no hammering");
    }

    #[tokio::test]
    async fn a_daemon_has_one_forge_and_its_credential_does_not_show() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "ghp_canary").unwrap();
        let token = token.to_str().unwrap();
        let args = serve(&["--github-token-file", token, "--github-owners", "acme,anna"]).unwrap();
        let forge = args.forge().unwrap();
        assert!(!format!("{forge:?} {args:?}").contains("ghp_canary"));
        let both = serve(&["--github-token-file", token, "--forge", "/nowhere"]).unwrap();
        assert!(both.forge().unwrap_err().to_string().contains("leave one of them out"));
        let absent = serve(&["--github-token-file", "/nowhere/token"]).unwrap();
        assert!(absent.forge().unwrap_err().to_string().contains("/nowhere/token"));
    }
}
