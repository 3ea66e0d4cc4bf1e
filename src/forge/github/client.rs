//! Calls of GitHub's API: credentials, limits, retries, and what is known already.
//!
//! octocrab signs, connects and sends. It follows no redirect, and every path is relative to the configured address, so no
//! other host ever gets the credential. Which call comes next after a limit or a failure is decided in [`super::limit`].

use std::collections::HashMap;
use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use octocrab::Octocrab;
use octocrab::models::AppId;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::GitHubError;
use super::limit::{self, Next, Seen, TRIES_MAX};
use super::shape::{Minted, Refusal};
use crate::clock::{Clock, Time};
use crate::forge::secret::Secret;

/// How long one try may take, with its answer's body.
const TRY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// An answer is at most this large; a page of 100 repositories has some 600 KiB.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How many answers are kept to ask whether they still hold: a page each, so 200,000 repositories.
const KEPT_MAX: usize = 2000;
/// A token of an installation is renewed so long before it ends.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// How long a listing waits for a limit to end: GitHub's budgets last an hour.
pub(super) const PATIENCE: Duration = Duration::from_secs(70 * 60);
/// How long a person waits.
pub(super) const PATIENCE_OF_PEOPLE: Duration = Duration::from_secs(10);

/// What proves who calls.
#[derive(Clone)]
pub enum Credential {
    /// A personal access token, classic or fine-grained.
    Token(Secret),
    /// A GitHub App, by its number and private key.
    App {
        /// Its number.
        id: u64,
        /// Its private key, as PEM.
        key: Secret,
    },
}

/// As whom a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum As {
    /// The token's owner.
    Person,
    /// The App itself.
    App,
    /// The App in one account.
    Installation(u64),
}

/// An answer, or the earlier one that GitHub says still holds.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// Whether `Link` names a next page.
    pub(super) has_next: bool,
    /// Whether this is the answer of before.
    pub(super) is_known: bool,
}

#[derive(Clone)]
struct Kept {
    etag: String,
    body: Bytes,
    has_next: bool,
}

/// How a call is made.
pub(super) struct Client {
    crab: Octocrab,
    token: Option<Secret>,
    clock: Clock,
    chance: fn() -> f64,
    minted: Mutex<HashMap<u64, (Secret, Time)>>,
    kept: Mutex<HashMap<(As, String), Kept>>,
    /// Until when nothing may be asked.
    quiet_until: Mutex<Option<Time>>,
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) caller: As,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    pub(super) patience: Duration,
}

impl<'a> Call<'a> {
    /// A `GET` by somebody who can wait.
    pub(super) fn get(caller: As, path: &'a str) -> Self {
        Self { caller, method: Method::GET, path, body: None, patience: PATIENCE }
    }
}

impl Client {
    pub(super) fn new(
        api: &str,
        credential: Credential,
        clock: Clock,
        chance: fn() -> f64,
    ) -> Result<Self, GitHubError> {
        let unusable = |error: &dyn std::fmt::Display| GitHubError::Unusable(error.to_string());
        let builder = Octocrab::builder()
            .base_uri(api)
            .map_err(|error| unusable(&error))?
            .set_connect_timeout(Some(CONNECT_TIMEOUT))
            .set_read_timeout(Some(TRY_TIMEOUT));
        let (builder, token) = match credential {
            Credential::Token(token) => (builder, Some(token)),
            Credential::App { id, key } => {
                let key = jsonwebtoken::EncodingKey::from_rsa_pem(key.reveal().as_bytes())
                    .map_err(|_| GitHubError::Unusable("the App's key is no RSA key in PEM".to_owned()))?;
                (builder.app(AppId(id), key), None)
            }
        };
        Ok(Self {
            crab: builder.build().map_err(|error| unusable(&error))?,
            token,
            clock,
            chance,
            minted: Mutex::default(),
            kept: Mutex::default(),
            quiet_until: Mutex::default(),
        })
    }

    /// Whether the credential is an App's.
    pub(super) fn is_app(&self) -> bool {
        self.token.is_none()
    }

    /// Until when nothing may be asked, if that is in the future.
    pub(super) fn quiet_until(&self) -> Option<Time> {
        (*self.quiet_until.lock()).filter(|until| *until > self.clock.now())
    }

    /// Asks for what has this path, and reads it; GitHub sends it again only if it has changed.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        caller: As,
        path: &str,
    ) -> Result<(T, Reply), GitHubError> {
        let reply = self.ask(&Call::get(caller, path)).await?;
        Ok((reply.read(path)?, reply))
    }

    /// Makes a call, and again while that helps. An answer that is no success becomes an error.
    pub(super) async fn ask(&self, call: &Call<'_>) -> Result<Reply, GitHubError> {
        let reply = self.send(call).await?;
        match reply.status {
            status if status.is_success() => Ok(reply),
            StatusCode::UNAUTHORIZED => Err(GitHubError::Unauthorized),
            status => Err(GitHubError::Refused {
                what: format!("{} {}", call.method, call.path),
                status: status.as_u16(),
                message: Refusal::read(&reply.body).text(),
            }),
        }
    }

    /// The same, with every answer as it is.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Reply, GitHubError> {
        let kept = self.kept.lock().get(&(call.caller, call.path.to_owned())).cloned();
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            self.wait_while_quiet(call.patience).await?;
            let tried = self.try_once(call, kept.as_ref()).await?;
            let (seen, answer) = match &tried {
                Ok((headers, status, body)) => (seen(*status, headers, body), None),
                Err(cause) => (Seen::default(), Some(cause.clone())),
            };
            if let Some(until) = limit::used_up(&seen) {
                self.be_quiet(until);
            }
            if let (Some(401), As::Installation(id), false) = (seen.status, call.caller, renewed) {
                // The token was revoked before its time; one new one is worth a try.
                renewed = self.minted.lock().remove(&id).is_some();
                continue;
            }
            match limit::next(&seen, attempt, self.clock.now(), (self.chance)()) {
                Next::WaitAll(until) if attempt < TRIES_MAX => self.be_quiet(until),
                Next::WaitAll(until) => {
                    self.be_quiet(until);
                    return Err(GitHubError::Limited(until));
                }
                Next::Retry(at) => self.clock.sleep_until(at).await,
                Next::GiveUp => return Err(GitHubError::Unreachable(answer.unwrap_or_default())),
                Next::Use => {
                    let Ok((headers, status, body)) = tried else {
                        return Err(GitHubError::Unreachable(answer.unwrap_or_default()));
                    };
                    return Ok(self.reply(call, kept, &headers, status, body));
                }
            }
            attempt += 1;
        }
    }

    fn be_quiet(&self, until: Time) {
        let mut quiet = self.quiet_until.lock();
        *quiet = Some(quiet.map_or(until, |known| known.max(until)));
    }

    async fn wait_while_quiet(&self, patience: Duration) -> Result<(), GitHubError> {
        let Some(until) = self.quiet_until() else { return Ok(()) };
        if until.since(self.clock.now()) > patience {
            return Err(GitHubError::Limited(until));
        }
        tracing::warn!(%until, "GitHub asks to wait");
        self.clock.sleep_until(until).await;
        Ok(())
    }

    /// One try: an answer, or why there was none. The error is that no credential could be had.
    async fn try_once(
        &self,
        call: &Call<'_>,
        kept: Option<&Kept>,
    ) -> Result<Result<(HeaderMap, StatusCode, Bytes), String>, GitHubError> {
        let crab = match call.caller {
            As::App => self.crab.clone(),
            As::Person => self.with_token(self.token.as_ref().ok_or(GitHubError::Unauthorized)?)?,
            As::Installation(id) => self.with_token(&Box::pin(self.token_of(id, call.patience)).await?)?,
        };
        let mut builder = axum::http::Request::builder()
            .method(call.method.clone())
            .uri(call.path)
            .header(header::ACCEPT, "application/vnd.github+json");
        if let Some(kept) = kept.filter(|_| call.method == Method::GET) {
            builder = builder.header(header::IF_NONE_MATCH, &kept.etag);
        }
        let request = crab.build_request(builder, call.body);
        let request = request.map_err(|error| GitHubError::Unusable(error.to_string()))?;
        let sending = async {
            let (parts, body) = crab.execute(request).await.map_err(|error| chain(&error))?.into_parts();
            let body =
                Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| chain(&*error))?;
            Ok((parts.headers, parts.status, body.to_bytes()))
        };
        let timed = tokio::time::timeout(TRY_TIMEOUT, sending).await;
        Ok(timed.unwrap_or_else(|_| Err(format!("no answer within {} s", TRY_TIMEOUT.as_secs()))))
    }

    fn with_token(&self, token: &Secret) -> Result<Octocrab, GitHubError> {
        let crab = self.crab.user_access_token(token.reveal().to_owned());
        crab.map_err(|error| GitHubError::Unusable(error.to_string()))
    }

    /// The installation's token, a new one if the last one ends soon.
    async fn token_of(&self, installation: u64, patience: Duration) -> Result<Secret, GitHubError> {
        let soon = self.clock.now().after(RENEW_BEFORE);
        let known = self.minted.lock().get(&installation).filter(|(_, end)| *end > soon).cloned();
        if let Some((token, _)) = known {
            return Ok(token);
        }
        let path = format!("/app/installations/{installation}/access_tokens");
        let call = Call { caller: As::App, method: Method::POST, path: &path, body: None, patience };
        let minted: Minted = self.ask(&call).await?.read(&path)?;
        let strange = |_| GitHubError::Strange(format!("POST {path}: expires_at is no time"));
        let (token, end) = (Secret::from(minted.token), minted.expires_at.parse().map_err(strange)?);
        self.minted.lock().insert(installation, (token.clone(), end));
        Ok(token)
    }

    fn reply(
        &self,
        call: &Call<'_>,
        kept: Option<Kept>,
        headers: &HeaderMap,
        status: StatusCode,
        body: Bytes,
    ) -> Reply {
        let link = headers.get(header::LINK).map(|value| has_next(value.to_str().unwrap_or_default()));
        if let (StatusCode::NOT_MODIFIED, Some(kept)) = (status, kept) {
            let has_next = link.unwrap_or(kept.has_next);
            return Reply { status: StatusCode::OK, body: kept.body, has_next, is_known: true };
        }
        let has_next = link.unwrap_or(false);
        let etag = headers.get(header::ETAG).and_then(|value| value.to_str().ok());
        if let (true, Some(etag)) = (status == StatusCode::OK && call.method == Method::GET, etag) {
            let mut pages = self.kept.lock();
            if pages.len() >= KEPT_MAX {
                pages.clear();
            }
            let kept = Kept { etag: etag.to_owned(), body: body.clone(), has_next };
            pages.insert((call.caller, call.path.to_owned()), kept);
        }
        Reply { status, body, has_next, is_known: false }
    }
}

impl Reply {
    pub(super) fn read<T: DeserializeOwned>(&self, what: &str) -> Result<T, GitHubError> {
        serde_json::from_slice(&self.body).map_err(|error| GitHubError::Strange(format!("{what}: {error}")))
    }
}

fn seen(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Seen {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    Seen {
        status: Some(status.as_u16()),
        retry_after: number("retry-after"),
        remaining: number("x-ratelimit-remaining"),
        reset: number("x-ratelimit-reset"),
        speaks_of_limit: status.is_client_error() && Refusal::read(body).speaks_of_limit(),
    }
}

/// Whether a `Link` header (RFC 8288) names a next page. Its address is not used: the number is counted here.
fn has_next(link: &str) -> bool {
    link.split(',').any(|part| part.split(';').skip(1).any(|word| word.trim() == "rel=\"next\""))
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    super::shape::shortened(&text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_header_tells_whether_there_is_a_next_page() {
        let middle = r#"<https://api.github.com/organizations/1/repos?page=1>; rel="prev", <https://api.github.com/organizations/1/repos?page=3>; rel="next""#;
        assert!(has_next(middle));
        assert!(!has_next(r#"<https://api.github.com/organizations/1/repos?page=1>; rel="first""#));
        assert!(!has_next(""));
    }
}
