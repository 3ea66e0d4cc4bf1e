//! The server over HTTP, as everybody else calls it: one place that sends, bounds what comes back, and makes an error of a refusal.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use super::error::{CliError, CliResult};
use crate::id::random_u64;
use crate::mask::SecretText;

/// Longer than any answer in JSON: 200 jobs of 1 MiB.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// A server that cannot be connected to within this is away.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// An answer in JSON comes within this; the slowest waits 15 seconds for the forge.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// A transfer or a stream that brings nothing for so long is broken; a stream brings a line every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How often a call that may be repeated is sent again, where the connection broke or the server asked to wait.
const AGAIN_MAX: u32 = 3;
/// A longer wait than this is the caller's to decide.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The name of a request.
const REQUEST_ID: &str = "mrx-request-id";

/// A server, and what it is shown.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<SecretText>,
}

/// A call in the making.
#[derive(Debug)]
pub struct Call {
    method: Method,
    address: Url,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
    /// Whether sending it twice does no more than sending it once.
    is_repeatable: bool,
}

/// What a successful call brought.
#[derive(Debug)]
pub struct Answer {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if there is none.
    pub fn json(&self) -> CliResult<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| CliError::local("understand the server's answer", error))
    }
}

impl Call {
    /// Adds a part of the query.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.address.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Adds a part of the query, if it is there.
    pub fn query_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, &value.to_string()),
            None => self,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends this as the body.
    pub fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With a key the server does it once, however often it is sent.
    pub fn once(mut self, key: &str) -> Self {
        self.is_repeatable = true;
        self.header("Idempotency-Key", key)
    }
}

impl Client {
    /// A client for the server at this address. Redirects are not followed: they would take the token elsewhere.
    pub fn new(server: &str, token: Option<SecretText>) -> CliResult<Self> {
        // A provider that was installed before is as good; only the first call of a process installs one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = base_address(server)?;
        let is_local = is_loopback(&base);
        if base.scheme() == "http" && !is_local {
            eprintln!(
                "mrx: WARNING: {base} is not encrypted: everybody on the way can read the password, the token and all that is sent; use https"
            );
        }
        let builder = reqwest::Client::builder()
            .user_agent(concat!("mrx/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX);
        let builder = if is_local { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| CliError::local("prepare the client", error))?;
        if token.as_ref().is_some_and(|token| !token.reveal().bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(CliError::Failed(
                "the credential has characters that none has; sign in again".to_owned(),
            ));
        }
        Ok(Self { http, base, token })
    }

    /// The server's address, as credentials are kept for it.
    pub fn server(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// A call to begin; `path` is made of parsed names and fixed words.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let mut address = self.base.clone();
        address.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        let is_repeatable = method == Method::GET;
        Call { method, address, headers: Vec::new(), body: None, is_repeatable }
    }

    /// A call that reads.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// A call that makes or does something.
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// Sends it and reads the answer, which must be a success.
    pub async fn send(&self, call: Call) -> CliResult<Answer> {
        let mut tries = 0;
        loop {
            tries += 1;
            let sent = read_bounded(self.request(&call)?.timeout(ANSWER_MAX)).await;
            let may_repeat = call.is_repeatable && tries < AGAIN_MAX;
            match sent {
                Ok((status, headers, body)) if status.is_success() => {
                    tracing::debug!(%status, "answered");
                    return Ok(Answer { headers, body });
                }
                Ok((status, headers, body)) => match wait_of(status, &headers) {
                    Some(wait) if may_repeat && wait <= WAIT_MAX => tokio::time::sleep(wait).await,
                    _ => return Err(CliError::refused(status.as_u16(), &body, header(&headers, REQUEST_ID))),
                },
                // A connection that was refused is refused again; one that broke may hold.
                Err(error) if may_repeat && !error.is_connect() && !error.is_builder() => {}
                Err(error) => return Err(self.unreachable(error)),
            }
        }
    }

    /// Sends it once and leaves the body of a success to the caller: a file, a stream of events.
    pub async fn open(&self, call: &Call) -> CliResult<Response> {
        self.opened(self.request(call)?).await
    }

    /// Sends a file's bytes.
    pub async fn upload(&self, call: &Call, body: reqwest::Body) -> CliResult<Answer> {
        let response = self.opened(self.request(call)?.body(body)).await?;
        let headers = response.headers().clone();
        let body = response.bytes().await.map_err(|error| self.unreachable(error))?;
        Ok(Answer { headers, body })
    }

    async fn opened(&self, request: RequestBuilder) -> CliResult<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let id = header(response.headers(), REQUEST_ID).to_owned();
        let body = response.bytes().await.unwrap_or_default();
        Err(CliError::refused(status.as_u16(), &body, &id))
    }

    fn request(&self, call: &Call) -> CliResult<RequestBuilder> {
        let mut request = self.http.request(call.method.clone(), call.address.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        Ok(match &call.body {
            Some(body) => request.json(body),
            None => request,
        })
    }

    /// The network's failure, in one sentence and without the address, whose query may be long.
    pub fn unreachable(&self, error: reqwest::Error) -> CliError {
        let what = if error.is_timeout() {
            "it did not answer in time".to_owned()
        } else {
            chain(&error.without_url())
        };
        CliError::Unreachable { server: self.server(), what }
    }

    /// Whether there is anything to show the server.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }
}

/// A key for [`Call::once`] that no other call has.
pub fn fresh_key() -> String {
    format!("mrx-{:016x}{:016x}", random_u64(), random_u64())
}

/// How long a server that cannot answer now asks to wait.
fn wait_of(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let is_passing = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let seconds = header(headers, RETRY_AFTER.as_str()).trim().parse().ok();
    seconds.filter(|_| is_passing).map(Duration::from_secs)
}

/// A header's text; empty if it is not there.
pub fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn read_bounded(request: RequestBuilder) -> reqwest::Result<(StatusCode, HeaderMap, Bytes)> {
    let mut response = request.send().await?;
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), response.headers().clone(), body.freeze()))
}

/// The address without what cannot belong to it.
fn base_address(text: &str) -> CliResult<Url> {
    let wanted = || {
        CliError::Usage(format!(
            "{text:?} is no server's address: it is http:// or https:// and a host, such as https://mrx.example.org, without a password in it"
        ))
    };
    let base = Url::parse(text).map_err(|_| wanted())?;
    let is_plain = base.query().is_none()
        && base.fragment().is_none()
        && base.username().is_empty()
        && base.password().is_none();
    if matches!(base.scheme(), "http" | "https") && base.has_host() && is_plain {
        Ok(base)
    } else {
        Err(wanted())
    }
}

/// Whether it is this machine.
fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The address of a server as credentials are kept for it: `HTTPS://Host/` and `https://host` are one.
pub fn normal(server: &str) -> CliResult<String> {
    Ok(base_address(server)?.as_str().trim_end_matches('/').to_owned())
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
    fn a_servers_address_has_a_host_and_no_credentials() {
        for good in ["http://127.0.0.1:8421", "https://mrx.example.org/api/"] {
            assert!(base_address(good).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:8421", "ftp://x", "https://me:word@x", "http://x/?token=1", "file:///etc"]
        {
            assert!(base_address(bad).is_err(), "{bad}");
        }
        assert_eq!(normal("HTTPS://MrX.example.org/").unwrap(), "https://mrx.example.org");
    }

    #[test]
    fn only_this_machine_is_reached_unencrypted_without_a_warning() {
        let local = |text: &str| is_loopback(&Url::parse(text).unwrap());
        assert!(local("http://localhost:1") && local("http://127.0.0.7") && local("http://[::1]:80"));
        assert!(!local("http://10.0.0.1") && !local("http://localhost.example.org"));
    }

    #[test]
    fn a_wait_is_the_servers_to_ask_for() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())]);
        assert_eq!(wait_of(StatusCode::SERVICE_UNAVAILABLE, &headers), Some(Duration::from_secs(7)));
        assert_eq!(wait_of(StatusCode::BAD_REQUEST, &headers), None);
        assert_eq!(wait_of(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new()), None);
    }
}
