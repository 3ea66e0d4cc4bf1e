//! GitHub as a forge: every repository of the configured owners whose name has the prefix is a project.
//!
//! - `client` makes the calls   - `limit` decides when they may be made   - `shape` is what answers look like
//!
//! With a token, an owner is the token's own account, an organization, or another account (of which only public repositories
//! are shown). With an App, an owner is an account where the App is installed.

mod client;
mod limit;
pub(crate) mod shape;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::json;

use self::client::{As, Call, Client, PATIENCE_OF_PEOPLE, Reply};
use self::shape::{Account, Installation, InstallationPage, Refusal, Repository};
use super::{Code, ForgeError, Listing, NewCode};
use crate::clock::{Clock, Time};

pub use self::client::Credential;

/// Repositories on a page: the most that GitHub gives.
const PAGE: usize = 100;
/// Pages of one list: 100,000 repositories, the most that GitHub lets an owner have.
const PAGES_MAX: usize = 1000;

/// How GitHub is used.
pub struct GitHubOptions {
    /// The address of the API: `https://api.github.com`, or `https://HOST/api/v3`.
    pub api_url: String,
    /// The accounts and organizations; the token's own account or all installations if empty.
    pub owners: Vec<String>,
    /// What the names of projects' repositories begin with.
    pub prefix: String,
    /// The one installation of the App that is used; all that fit `owners` if absent.
    pub installation: Option<u64>,
    /// Token or App.
    pub credential: Credential,
    /// The time.
    pub clock: Clock,
    /// A number between 0 and 1 that spreads pauses.
    pub chance: fn() -> f64,
}

/// Why GitHub did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GitHubError {
    /// The settings cannot work.
    #[error("GitHub cannot be used as it is configured: {0}")]
    Unusable(String),
    /// The credential is refused.
    #[error(
        "GitHub refuses the credential: it has ended, was revoked or is wrong; put a new one into its file and restart"
    )]
    Unauthorized,
    /// GitHub says to wait.
    #[error("GitHub's rate limit is used up until {0}")]
    Limited(Time),
    /// There was no answer.
    #[error("GitHub did not answer: {0}")]
    Unreachable(String),
    /// GitHub says no.
    #[error("GitHub refused {what} with {status}: {message}")]
    Refused {
        /// The call.
        what: String,
        /// The status.
        status: u16,
        /// What GitHub says.
        message: String,
    },
    /// The answer is not what GitHub's description says.
    #[error("GitHub's answer is not understood: {0}")]
    Strange(String),
}

impl GitHubError {
    /// A stable word for what is wrong.
    pub fn code(&self) -> &'static str {
        match self {
            GitHubError::Unusable(_) => "misconfigured",
            GitHubError::Unauthorized => "credentialRefused",
            GitHubError::Limited(_) => "rateLimited",
            GitHubError::Unreachable(_) => "unreachable",
            GitHubError::Refused { .. } => "refused",
            GitHubError::Strange(_) => "notUnderstood",
        }
    }
}

/// GitHub. A clone is the same.
#[derive(Clone)]
pub struct GitHub(Arc<Inner>);

struct Inner {
    client: Client,
    owners: Vec<String>,
    prefix: String,
    installation: Option<u64>,
    host: String,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitHub({}, {:?}, credential [secret])", self.0.host, self.0.owners)
    }
}

impl GitHub {
    /// GitHub, used like this. Nothing is asked yet.
    pub fn new(options: GitHubOptions) -> Result<Self, GitHubError> {
        let host = host_of_pages(&options.api_url)?;
        let client = Client::new(&options.api_url, options.credential, options.clock, options.chance)?;
        let (owners, prefix, installation) = (options.owners, options.prefix, options.installation);
        if let Some(bad) = owners.iter().find(|owner| !is_owner(owner)) {
            return Err(GitHubError::Unusable(format!("{bad:?} is no account of GitHub")));
        }
        Ok(Self(Arc::new(Inner { client, owners, prefix, installation, host })))
    }

    /// What the names of projects' repositories begin with.
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// Until when GitHub must not be asked.
    pub fn waits_until(&self) -> Option<Time> {
        self.0.client.quiet_until()
    }

    /// Shows every repository with the prefix. What fails is told beside what was found.
    pub async fn list(&self) -> Listing {
        let mut found = BTreeMap::new();
        let failure = self.0.gather(&mut found).await.err().map(ForgeError::from);
        let mut listing = Listing { failure, ..Listing::default() };
        for repository in found.into_values().filter(|found| found.name.starts_with(&self.0.prefix)) {
            match repository.code(&self.0.host) {
                Ok(code) => listing.found.push(code),
                Err(name) => listing.passed_over.push(name),
            }
        }
        listing
    }

    /// Whether there is no such repository any more under its name.
    pub async fn is_gone(&self, url: &str, repository_id: Option<u64>) -> Result<bool, GitHubError> {
        let Some(name) = url.strip_prefix(&self.0.host).and_then(|rest| rest.strip_prefix('/')) else {
            return Ok(true);
        };
        let owner = name.split('/').next().unwrap_or_default();
        let caller = match self.0.caller_for(owner).await {
            // The App is not installed there any more.
            Err(GitHubError::Refused { status: 404, .. }) => return Ok(true),
            caller => caller?,
        };
        let path = format!("/repos/{name}");
        let reply = self.0.client.send(&Call::get(caller, &path)).await?;
        match reply.status {
            StatusCode::OK => Ok(Some(reply.read::<Repository>(&path)?.id) != repository_id),
            // It has another name, which the list would have shown, or another owner.
            StatusCode::NOT_FOUND | StatusCode::MOVED_PERMANENTLY => Ok(true),
            _ => Err(refused(&path, &reply)),
        }
    }

    /// Makes a repository, with a first commit so that it can be cloned; one that is there already is shown.
    pub async fn create(&self, new: &NewCode) -> Result<Code, ForgeError> {
        let client = &self.0.client;
        if let Some(until) = client.quiet_until() {
            return Err(GitHubError::Limited(until).into());
        }
        let owner = match (&new.owner, self.0.owners.first()) {
            (Some(owner), Some(_))
                if !self.0.owners.iter().any(|known| known.eq_ignore_ascii_case(owner)) =>
            {
                return Err(ForgeError::Invalid(format!(
                    "owner must be one of {}",
                    self.0.owners.join(", ")
                )));
            }
            (Some(owner), _) | (None, Some(owner)) => owner.clone(),
            (None, None) if client.is_app() => {
                return Err(ForgeError::Invalid(
                    "name the owner: the App may be installed in many".to_owned(),
                ));
            }
            (None, None) => self.0.login().await?,
        };
        if !is_owner(&owner) {
            return Err(ForgeError::Invalid(format!("{owner:?} is no account of GitHub")));
        }
        let caller = self.0.caller_for(&owner).await?;
        let is_own = caller == As::Person && self.0.login().await?.eq_ignore_ascii_case(&owner);
        let path = if is_own { "/user/repos".to_owned() } else { format!("/orgs/{owner}/repos") };
        let body = json!({
            "name": new.name, "private": new.private, "auto_init": true,
            "description": new.description.as_deref().unwrap_or_default(),
        });
        let patience = PATIENCE_OF_PEOPLE;
        let call = Call { caller, method: Method::POST, path: &path, body: Some(&body), patience };
        let reply = client.send(&call).await?;
        let repository: Repository = match reply.status {
            StatusCode::CREATED => reply.read(&path)?,
            StatusCode::UNPROCESSABLE_ENTITY if Refusal::read(&reply.body).says_the_name_is_taken() => {
                let path = format!("/repos/{owner}/{}", new.name);
                let call = Call { patience, ..Call::get(caller, &path) };
                client.ask(&call).await?.read(&path)?
            }
            StatusCode::UNAUTHORIZED => return Err(GitHubError::Unauthorized.into()),
            _ => return Err(refused(&path, &reply).into()),
        };
        let strange = |name| GitHubError::Strange(format!("POST {path}: it made {name}"));
        Ok(repository.code(&self.0.host).map_err(strange)?)
    }
}

impl Inner {
    /// Every repository of every owner, by its number. One owner's failure leaves the others'.
    async fn gather(&self, found: &mut BTreeMap<u64, Repository>) -> Result<(), GitHubError> {
        let mut failure = None;
        for (caller, path) in self.lists().await? {
            if let Err(error) = self.pages(caller, &path, found).await {
                failure = failure.or(Some(error));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// The lists to read, and as whom.
    async fn lists(&self) -> Result<Vec<(As, String)>, GitHubError> {
        let order = "sort=created&direction=asc";
        if self.client.is_app() {
            let list = |id| (As::Installation(id), "/installation/repositories?".to_owned());
            return Ok(self.installations().await?.into_iter().map(|(id, _)| list(id)).collect());
        }
        let own = || (As::Person, format!("/user/repos?affiliation=owner&{order}"));
        let login = self.login().await?;
        let of = |owner: &String| match owner.eq_ignore_ascii_case(&login) {
            true => own(),
            false => (As::Person, format!("/orgs/{owner}/repos?type=all&{order}")),
        };
        Ok(if self.owners.is_empty() { vec![own()] } else { self.owners.iter().map(of).collect() })
    }

    async fn pages(
        &self,
        caller: As,
        path: &str,
        found: &mut BTreeMap<u64, Repository>,
    ) -> Result<(), GitHubError> {
        let mut path = path.to_owned();
        let mut page = 1;
        while page <= PAGES_MAX {
            let wanted =
                format!("{path}{}per_page={PAGE}&page={page}", if path.ends_with('?') { "" } else { "&" });
            let reply = match self.client.ask(&Call::get(caller, &wanted)).await {
                // No organization of this name: it is another person's account.
                Err(GitHubError::Refused { status: 404, .. }) if page == 1 && path.starts_with("/orgs/") => {
                    path = path.replacen("/orgs/", "/users/", 1).replacen("type=all", "type=owner", 1);
                    continue;
                }
                reply => reply?,
            };
            let repositories = match caller {
                As::Installation(_) => reply.read::<InstallationPage>(&wanted)?.repositories,
                _ => reply.read::<Vec<Repository>>(&wanted)?,
            };
            // A page that has not changed may have got a successor; one that is full is worth the look.
            let has_next = reply.has_next || (reply.is_known && repositories.len() >= PAGE);
            found.extend(
                repositories
                    .into_iter()
                    .filter(|found| self.is_wanted(&found.owner.login))
                    .map(|found| (found.id, found)),
            );
            if !has_next {
                return Ok(());
            }
            page += 1;
        }
        Err(GitHubError::Strange(format!("{path}: more than {PAGES_MAX} pages")))
    }

    /// The App's installations in the wanted accounts, with the account's name.
    async fn installations(&self) -> Result<Vec<(u64, String)>, GitHubError> {
        let mut found = Vec::new();
        for page in 1..=PAGES_MAX {
            let path = format!("/app/installations?per_page={PAGE}&page={page}");
            let (installations, reply): (Vec<Installation>, Reply) = self.client.get(As::App, &path).await?;
            let is_full = installations.len() >= PAGE;
            found.extend(installations.into_iter().filter(|found| found.suspended_at.is_none()).filter_map(
                |found| {
                    let login = found.account.map(|account| account.login).unwrap_or_default();
                    let is_it = self.installation.is_none_or(|id| id == found.id) && self.is_wanted(&login);
                    is_it.then_some((found.id, login))
                },
            ));
            if !(reply.has_next || reply.is_known && is_full) {
                break;
            }
        }
        Ok(found)
    }

    fn is_wanted(&self, login: &str) -> bool {
        self.owners.is_empty() || self.owners.iter().any(|owner| owner.eq_ignore_ascii_case(login))
    }

    /// Who the token's owner is.
    async fn login(&self) -> Result<String, GitHubError> {
        let (account, _): (Account, _) = self.client.get(As::Person, "/user").await?;
        Ok(account.login)
    }

    /// As whom an account's repositories are asked for.
    async fn caller_for(&self, owner: &str) -> Result<As, GitHubError> {
        if !self.client.is_app() {
            return Ok(As::Person);
        }
        let installations = self.installations().await?;
        let found = installations.into_iter().find(|(_, login)| login.eq_ignore_ascii_case(owner));
        found.map(|(id, _)| As::Installation(id)).ok_or_else(|| GitHubError::Refused {
            what: format!("to act for {owner}"),
            status: 404,
            message: "the App is not installed there".to_owned(),
        })
    }
}

fn refused(what: &str, reply: &Reply) -> GitHubError {
    match reply.status {
        StatusCode::UNAUTHORIZED => GitHubError::Unauthorized,
        status => GitHubError::Refused {
            what: what.to_owned(),
            status: status.as_u16(),
            message: Refusal::read(&reply.body).text(),
        },
    }
}

fn is_owner(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// `github.com` for `https://api.github.com`; the server's own name for GitHub Enterprise Server. Plain HTTP is for a
/// server on this machine only: the credential goes with every call.
fn host_of_pages(api: &str) -> Result<String, GitHubError> {
    let unusable = |why: &str| GitHubError::Unusable(format!("{api:?} {why}"));
    let url = reqwest::Url::parse(api).map_err(|error| unusable(&format!("is no address: {error}")))?;
    let host = url.host_str().ok_or_else(|| unusable("names no host"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(unusable("must have neither a password nor a query in it"));
    }
    let is_here = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
    if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
        return Err(unusable("must begin with https://"));
    }
    Ok(match (host, url.port()) {
        ("api.github.com", None) => "github.com".to_owned(),
        (host, None) => host.to_owned(),
        (host, Some(port)) => format!("{host}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_must_be_https_but_on_this_machine() {
        for (api, host) in [
            ("https://api.github.com", "github.com"),
            ("https://git.example.org/api/v3", "git.example.org"),
            ("http://127.0.0.1:4000", "127.0.0.1:4000"),
        ] {
            assert_eq!(host_of_pages(api).unwrap(), host);
        }
        for bad in
            ["http://api.github.com", "https://me:word@github.com", "ftp://127.0.0.1", "github.com", ""]
        {
            assert!(host_of_pages(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_owner_is_an_accounts_name_and_never_a_path() {
        assert!(is_owner("acme-2") && is_owner("anna_acme"));
        for bad in ["", "a/b", "..", "-x", "a?b", "a#b", "ä"] {
            assert!(!is_owner(bad), "{bad}");
        }
    }
}
