//! The daemon over HTTP: one place that sends, bounds what comes back, and tells which failures may pass.
//!
//! Knows the shapes of `docs/agents.md`; what to do about an answer is its caller's.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::{Deserialize, Serialize};

use super::options::{AgentOptions, AgentToken};
use crate::clock::Time;
use crate::id::{AgentId, JobId, Label, LeaseId, ProjectId};
use crate::mask::SecretText;

/// Longer than any answer of the protocol. Most have a few KiB; the longest is that with a job's secrets: 64 of 64 KiB,
/// each byte of which can be six in JSON.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// A daemon that cannot be connected to within this is away.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How much longer than its `wait` a claim may take.
const CLAIM_MARGIN: Duration = Duration::from_secs(15);

/// Why a call brought no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The network or the daemon failed for now; the same call may be sent again.
    #[error("the daemon cannot be reached: {what}")]
    Unreachable { what: String, retry_after: Option<Duration> },
    /// The token is not accepted; nothing else will be either.
    #[error("the daemon does not accept this agent's token ({status}): {message}")]
    Barred { status: u16, message: String },
    /// The job belongs to this agent no more; stop it and say nothing.
    #[error("the job is no longer this agent's")]
    Stale,
    /// The daemon understood and said no; the same call would get the same answer.
    #[error("the daemon refused the call ({status} {code}): {message}")]
    Refused { status: u16, code: String, message: String },
}

/// What the daemon answered, whatever its status, read to the end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Answer {
    /// The body as JSON of a known shape; fields that are new to us are passed over.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| CallError::Refused {
            status: self.status.as_u16(),
            code: "answerNotUnderstood".to_owned(),
            message: error.to_string(),
        })
    }

    /// The stable code of an error answer; empty if it is not one of ours.
    pub fn code(&self) -> String {
        self.error().code
    }

    /// This answer as a refusal.
    pub fn refused(&self) -> CallError {
        let error = self.error();
        CallError::Refused { status: self.status.as_u16(), code: error.code, message: error.message }
    }

    /// The `<size>` of `Range: 0-<size>`: how many bytes of the log the daemon has.
    pub fn stored_size(&self) -> Option<u64> {
        self.header("range")?.strip_prefix("0-")?.parse().ok()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn error(&self) -> ErrorBody {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn may_pass(&self) -> bool {
        self.status.is_server_error() || matches!(self.status.as_u16(), 408 | 425 | 429)
    }

    fn unreachable(&self) -> CallError {
        let seconds =
            self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        CallError::Unreachable {
            what: format!("{} {}", self.status, self.error().message),
            retry_after: seconds.map(Duration::from_secs),
        }
    }
}

/// What an agent asks for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRequest {
    pub agent_id: AgentId,
    pub labels: Vec<Label>,
    pub types: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_until: Option<Time>,
    pub wait: u64,
}

/// A job that is this agent's, as long as it renews the lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claim {
    pub job: ClaimedJob,
    pub lease: Lease,
    /// Where the project's source is, if it has any.
    #[serde(default)]
    pub code: Option<Code>,
    /// What the values of the project's secrets are fetched with, if it has any.
    #[serde(default, rename = "secretsToken", skip_serializing)]
    pub secrets_token: Option<SecretText>,
}

/// What the agent needs to know of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedJob {
    pub job_id: JobId,
    pub project_id: ProjectId,
    #[serde(rename = "type")]
    pub kind: String,
    pub attempt: u64,
    pub timeout_seconds: u64,
    /// What to do, as its type needs it.
    #[serde(default)]
    pub payload: serde_json::Value,
    /// The rest of it, for programs that want to know.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// The lease of a claim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lease {
    pub id: LeaseId,
    pub seconds: u64,
}

/// Where the source is: an address or path for git, and a branch, tag or commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Code {
    pub url: String,
    #[serde(rename = "ref")]
    pub reference: String,
}

/// The daemon, as seen by one agent.
#[derive(Debug)]
pub struct DaemonClient {
    http: reqwest::Client,
    base: Url,
    token: AgentToken,
}

impl DaemonClient {
    /// A client for the daemon at `options.daemon`. Redirects are not followed: they would take the token elsewhere.
    pub fn new(options: &AgentOptions) -> anyhow::Result<Self> {
        // A provider that was installed before is as good; only the first call of a process installs one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = base_address(&options.daemon)?;
        let builder = reqwest::Client::builder()
            .user_agent(concat!("mrx-agent/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_MAX);
        let builder = match &options.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy)?),
            None => builder.no_proxy(),
        };
        Ok(Self { http: builder.build()?, base, token: options.token.clone() })
    }

    /// `POST /jobs/claim`: a job, or none if none came while waiting. The same `key` gets the same job again.
    pub async fn claim(&self, key: &str, wanted: &ClaimRequest) -> Result<Option<Claim>, CallError> {
        let request = self.request(Method::POST, "jobs/claim").header("Idempotency-Key", key).json(wanted);
        let answer = self.send(request, Duration::from_secs(wanted.wait) + CLAIM_MARGIN).await?;
        match answer.status.as_u16() {
            200 => answer.json().map(Some),
            204 => Ok(None),
            status @ (401 | 403) => Err(CallError::Barred { status, message: answer.error().message }),
            _ => Err(answer.refused()),
        }
    }

    /// A call to begin; `path` is made of parsed ids and fixed words.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.address(path)).bearer_auth(self.token.reveal())
    }

    /// As [`Self::request`], with a query, whose values may be any text.
    pub(super) fn request_with(&self, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let mut address = self.address(path);
        address.query_pairs_mut().extend_pairs(query);
        self.http.request(method, address).bearer_auth(self.token.reveal())
    }

    /// Sends, within `limit`. A failure that may pass is an error; every other answer is the caller's to judge.
    pub(super) async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<Answer, CallError> {
        let answer = read_bounded(request.timeout(limit)).await.map_err(|error| CallError::Unreachable {
            what: chain(&error.without_url()),
            retry_after: None,
        })?;
        if answer.may_pass() { Err(answer.unreachable()) } else { Ok(answer) }
    }

    fn address(&self, path: &str) -> Url {
        let mut address = self.base.clone();
        address.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        address
    }
}

/// Reads the answer, keeping no more of a body than any of the protocol can have.
async fn read_bounded(request: RequestBuilder) -> reqwest::Result<Answer> {
    let mut response = request.send().await?;
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), headers: response.headers().clone(), body: body.freeze() })
}

fn base_address(text: &str) -> anyhow::Result<Url> {
    let base = Url::parse(text).map_err(|error| anyhow::anyhow!("{text:?} is no address: {error}"))?;
    let plain = base.query().is_none() && base.fragment().is_none() && base.username().is_empty();
    anyhow::ensure!(
        matches!(base.scheme(), "http" | "https") && base.has_host() && plain && base.password().is_none(),
        "the daemon's address is http:// or https:// and a host, such as http://127.0.0.1:8080; a token goes in its file"
    );
    let local = base.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
    if base.scheme() == "http" && !local {
        tracing::warn!(daemon = %base, "the token travels unencrypted; use https for a daemon on another machine");
    }
    Ok(base)
}

/// An error with its causes, since `reqwest` says the useful part last.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_address_is_http_with_a_host_and_no_credentials() {
        for good in ["http://127.0.0.1:8080", "https://mrx.example.org/api/"] {
            assert!(base_address(good).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:8080", "ftp://x", "https://me:word@x", "http://x/?token=1", "file:///etc"]
        {
            assert!(base_address(bad).is_err(), "{bad}");
        }
    }
}
