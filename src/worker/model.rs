//! A model behind an OpenAI-compatible server: how it is reached, and its answer as it comes.
//!
//! Nothing is followed elsewhere, the key is in one header and in no message, and whatever the server says is bounded.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::backoff::{Backoff, Pace};
use crate::mask::SecretText;

/// Where `llmMode: openai` goes if the secret names no address.
const OPENAI: &str = "https://api.openai.com/v1";
/// Tokens that a model reads, with its answer, if the secret does not say: what small local models have.
const CONTEXT_TOKENS: u64 = 32_768;
/// Tokens of an answer if the secret does not say.
const ANSWER_TOKENS: u64 = 4_096;
/// Bytes of an answer; the daemon takes no more.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Bytes of one line of the stream; a chunk has a few words.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a refusal that are read, and characters of it that are told.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
const REFUSAL_CHARS_MAX: usize = 500;
/// A server that cannot be connected to within this is away.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A server that says nothing for so long, before or within an answer, is taken for dead. Large models think long.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// So often a busy or absent server is asked before the first word.
const TRIES_MAX: u32 = 6;

/// What the secret `llm` says, checked. `Debug` does not show the key.
#[derive(Clone, Debug)]
pub struct ModelAccess {
    base: Url,
    /// The model's name.
    pub model: String,
    key: Option<SecretText>,
    /// Tokens that it reads, with its answer.
    pub context_tokens: u64,
    /// Tokens of an answer.
    pub answer_tokens: u64,
}

/// Why the secret `llm` gives no model. Nothing of the secret is repeated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAccess {
    #[error(
        "the secret llm is not as it must be{0}: write baseUrl, model, apiKey, and if you like maxContextTokens and maxAnswerTokens, as YAML or JSON"
    )]
    Form(String),
    #[error("the secret llm has no baseUrl, which a chat with llmMode custom needs")]
    NoAddress,
    #[error(
        "the baseUrl in the secret llm is no http:// or https:// address without user, query and fragment"
    )]
    Address,
    #[error("the secret llm has maxAnswerTokens of at least maxContextTokens, so nothing could be asked")]
    Tokens,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AccessFile {
    base_url: Option<String>,
    model: String,
    api_key: Option<SecretText>,
    max_context_tokens: Option<u64>,
    max_answer_tokens: Option<u64>,
}

impl ModelAccess {
    /// The model that the secret names; `openai` says whether OpenAI's own address is meant if it names none.
    pub fn parse(secret: &SecretText, openai: bool) -> Result<Self, BadAccess> {
        // The library's words may quote the value, so only the place is told.
        let file: AccessFile = serde_yaml::from_str(secret.reveal()).map_err(|error| {
            let place = error.location().map(|at| format!(" at line {} column {}", at.line(), at.column()));
            BadAccess::Form(place.unwrap_or_default())
        })?;
        let address =
            file.base_url.or_else(|| openai.then(|| OPENAI.to_owned())).ok_or(BadAccess::NoAddress)?;
        let context_tokens = file.max_context_tokens.unwrap_or(CONTEXT_TOKENS);
        let answer_tokens = file.max_answer_tokens.unwrap_or(ANSWER_TOKENS.min(context_tokens / 2));
        if answer_tokens >= context_tokens || answer_tokens == 0 {
            return Err(BadAccess::Tokens);
        }
        Ok(Self {
            base: base(&address)?,
            model: file.model,
            key: file.api_key,
            context_tokens,
            answer_tokens,
        })
    }
}

fn base(text: &str) -> Result<Url, BadAccess> {
    let url = Url::parse(text).map_err(|_| BadAccess::Address)?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let good =
        matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.password().is_none();
    if good { Ok(url) } else { Err(BadAccess::Address) }
}

/// One turn of what the model is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Turn {
    pub role: &'static str,
    pub content: String,
}

/// What came with an answer besides its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finish {
    /// The model as the server calls it.
    pub model: Option<String>,
    /// Why it ended: `stop`, `length`.
    pub reason: Option<String>,
    /// The tokens it counted.
    pub usage: Option<Value>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The server said no; asking again would not help.
    #[error("the model's server refused ({status}): {reason}")]
    Refused { status: u16, reason: String },
    /// It stayed busy or away for all tries.
    #[error("the model's server could not answer after {TRIES_MAX} tries: {0}")]
    Busy(String),
    /// The answer broke off.
    #[error("the model's answer broke off after {bytes} bytes: {cause}")]
    Cut { bytes: usize, cause: String },
    /// It said something that is no answer.
    #[error("the model's server does not answer as an OpenAI-compatible server does: {0}")]
    Malformed(String),
    /// The answer is longer than one may be.
    #[error("the model's answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

/// Whether another try may help.
enum Fault {
    Passing { what: String, retry_after: Option<Duration> },
    Final(ModelError),
}

impl ModelAccess {
    /// Asks, and gives each piece of the answer's text to `hear` as it comes. A busy or absent server is asked again, but
    /// never after the first word.
    pub async fn ask(
        &self,
        turns: &[Turn],
        pace: Pace,
        mut hear: impl FnMut(&str) + Send,
    ) -> Result<Finish, ModelError> {
        let mut backoff = Backoff::new(pace.retry_first, pace.claim_retry_max);
        let mut tries = 1;
        loop {
            match self.try_once(turns, &mut hear).await {
                Ok(finish) => return Ok(finish),
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Passing { what, .. }) if tries >= TRIES_MAX => return Err(ModelError::Busy(what)),
                Err(Fault::Passing { what, retry_after }) => {
                    tracing::warn!(what, tries, "the model's server did not answer; trying again");
                    tokio::time::sleep(backoff.next(retry_after)).await;
                    tries += 1;
                }
            }
        }
    }

    async fn try_once(&self, turns: &[Turn], hear: &mut (impl FnMut(&str) + Send)) -> Result<Finish, Fault> {
        let passing = |what: String| Fault::Passing { what: self.masked(&what), retry_after: None };
        let http = self.client().await?;
        let body = json!({
            "model": self.model, "messages": turns, "stream": true, "max_tokens": self.answer_tokens,
        });
        let mut address = self.base.clone();
        address.set_path(&format!("{}/chat/completions", self.base.path().trim_end_matches('/')));
        let mut request = http.post(address).json(&body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.reveal());
        }
        let response = request.send().await.map_err(|error| passing(chain(&error.without_url())))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        self.listen(response, hear).await
    }

    /// A client for the address as it resolves now: that is checked and kept, and no redirect or proxy leads elsewhere.
    async fn client(&self) -> Result<reqwest::Client, Fault> {
        let passing = |what: String| Fault::Passing { what, retry_after: None };
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port_or_known_default().unwrap_or(443);
        let bare = host.trim_matches(['[', ']']);
        let found =
            tokio::net::lookup_host((bare, port)).await.map_err(|error| passing(error.to_string()))?;
        let addresses: Vec<SocketAddr> = found.collect();
        if addresses.iter().any(|address| is_refused(address.ip())) {
            let text = format!("{host} is an address that no model is asked at");
            return Err(Fault::Final(ModelError::Malformed(text)));
        }
        // A provider that was installed before is as good; only the first call of a process installs one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX)
            .resolve_to_addrs(host, &addresses)
            .build()
            .map_err(|error| Fault::Final(ModelError::Malformed(error.to_string())))
    }

    async fn refusal(&self, mut response: Response) -> Fault {
        let status = response.status();
        let seconds =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_BYTES_MAX - body.len())]);
            if body.len() == REFUSAL_BYTES_MAX {
                break;
            }
        }
        let reason = self.masked(&reason(&body));
        match status.as_u16() {
            429 | 500..=599 => Fault::Passing {
                what: format!("{} {reason}", status.as_u16()),
                retry_after: seconds.map(Duration::from_secs),
            },
            status => Fault::Final(ModelError::Refused { status, reason }),
        }
    }

    async fn listen(
        &self,
        response: Response,
        hear: &mut (impl FnMut(&str) + Send),
    ) -> Result<Finish, Fault> {
        let mut stream = response.bytes_stream();
        let mut reader = Reader::default();
        let mut cause = "the connection was closed".to_owned();
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(bytes) => reader.take(&bytes, hear).map_err(|error| self.told(error))?,
                Err(error) => {
                    cause = chain(&error.without_url());
                    break;
                }
            }
            if reader.done {
                break;
            }
        }
        match (reader.done || reader.finish.reason.is_some(), reader.heard) {
            (true, _) => Ok(reader.finish),
            (false, 0) => Err(Fault::Passing { what: self.masked(&cause), retry_after: None }),
            (false, bytes) => Err(Fault::Final(ModelError::Cut { bytes, cause: self.masked(&cause) })),
        }
    }

    fn told(&self, error: ModelError) -> Fault {
        Fault::Final(match error {
            ModelError::Cut { bytes, cause } => ModelError::Cut { bytes, cause: self.masked(&cause) },
            ModelError::Refused { status, reason } => {
                ModelError::Refused { status, reason: self.masked(&reason) }
            }
            other => other,
        })
    }

    /// What a server says, without the key, which some repeat.
    fn masked(&self, text: &str) -> String {
        match &self.key {
            Some(key) if !key.is_empty() => text.replace(key.reveal(), "[secret]"),
            _ => text.to_owned(),
        }
    }
}

/// Addresses of this machine's own services that answer whoever asks (cloud metadata), and those that are no host's.
fn is_refused(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || (v6.segments()[0] & 0xffc0) == 0xfe80,
    }
}

/// The sentence in a refusal: `{"error": {"message": …}}`, or its beginning.
fn reason(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = message_of(&value["error"]).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(REFUSAL_CHARS_MAX).collect::<String>().trim().to_owned()
}

fn message_of(error: &Value) -> Option<String> {
    error["message"].as_str().or_else(|| error.as_str()).map(str::to_owned)
}

/// Reads server-sent events line by line.
#[derive(Default)]
struct Reader {
    line: Vec<u8>,
    finish: Finish,
    heard: usize,
    done: bool,
}

impl Reader {
    fn take(&mut self, bytes: &[u8], hear: &mut impl FnMut(&str)) -> Result<(), ModelError> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > LINE_BYTES_MAX {
                return Err(ModelError::Malformed(format!("a line of more than {LINE_BYTES_MAX} bytes")));
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take_line(line.trim_ascii(), hear)?;
            }
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], hear: &mut impl FnMut(&str)) -> Result<(), ModelError> {
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { return Ok(()) };
        if data == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let chunk: Value = serde_json::from_slice(data)
            .map_err(|error| ModelError::Malformed(format!("a chunk is no JSON: {error}")))?;
        if let Some(message) = message_of(&chunk["error"]) {
            let status =
                chunk["error"]["code"].as_u64().or_else(|| chunk["error"]["code"].as_str()?.parse().ok());
            let reason: String = message.chars().take(REFUSAL_CHARS_MAX).collect();
            return Err(match self.heard {
                0 => ModelError::Refused { status: status.unwrap_or(200) as u16, reason },
                bytes => ModelError::Cut { bytes, cause: reason },
            });
        }
        let choice = &chunk["choices"][0];
        if let Some(text) = choice["delta"]["content"].as_str().filter(|text| !text.is_empty()) {
            self.heard += text.len();
            if self.heard > ANSWER_BYTES_MAX {
                return Err(ModelError::TooLong);
            }
            hear(text);
        }
        let word = |value: &Value| value.as_str().map(|text| text.chars().take(200).collect());
        self.finish.reason = word(&choice["finish_reason"]).or(self.finish.reason.take());
        self.finish.model = word(&chunk["model"]).or(self.finish.model.take());
        if chunk["usage"].is_object() {
            self.finish.usage = Some(chunk["usage"].clone());
        }
        Ok(())
    }
}

/// An error with its causes, since `reqwest` says the useful part last.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
#[path = "model/tests.rs"]
mod tests;
