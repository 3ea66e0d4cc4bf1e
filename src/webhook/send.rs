//! Makes one call of a webhook: the name is resolved once, every address of it is checked, and the call goes to those alone.

use std::net::SocketAddr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use sha2::Sha256;

use super::names::Names;
use super::place::Attempt;
use super::target;
use crate::clock::Time;
use crate::mask::SecretText;

/// How long a call may take, with resolving and the answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is kept for the log of deliveries.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// What is sent.
pub struct Message<'a> {
    /// Where.
    pub url: &'a str,
    /// `Mrx-Event`.
    pub event: &'a str,
    /// `Mrx-Delivery`.
    pub id: &'a str,
    /// The event as JSON.
    pub body: Vec<u8>,
    /// What it is signed with.
    pub secret: SecretText,
}

/// `t=<unix>,v1=<hex>`: the HMAC-SHA-256 of `t`, a dot and the body.
pub fn signature(secret: &SecretText, seconds: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes())
        .expect("an HMAC takes a key of any length");
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

/// Sends it.
pub async fn send(message: Message<'_>, names: &Names, allow_private: bool, now: Time) -> Attempt {
    let called = tokio::time::timeout(CALL_TIMEOUT, call(message, names, allow_private, now)).await;
    let called =
        called.unwrap_or_else(|_| Err(format!("no answer within {} seconds", CALL_TIMEOUT.as_secs())));
    match called {
        Ok((status, answer)) => {
            Attempt { at: now, status: Some(status), problem: None, answer: Some(answer) }
        }
        Err(problem) => Attempt { at: now, status: None, problem: Some(problem), answer: None },
    }
}

async fn call(
    message: Message<'_>,
    names: &Names,
    allow_private: bool,
    now: Time,
) -> Result<(u16, String), String> {
    let url = target::parse(message.url, allow_private).map_err(|error| error.to_string())?;
    let addresses = resolve(names, &url, allow_private).await?;
    let client = client(&url, &addresses)?;
    let signature = signature(&message.secret, now.seconds(), &message.body);
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .header("mrx-event", message.event)
        .header("mrx-delivery", message.id)
        .header("mrx-signature", signature)
        .body(message.body);
    let mut response = request.send().await.map_err(|error| in_words(&error))?;
    let status = response.status().as_u16();
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES_MAX {
        // An answer that breaks off has its status all the same.
        let Ok(Some(chunk)) = response.chunk().await else { break };
        answer.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - answer.len())]);
    }
    Ok((status, String::from_utf8_lossy(&answer).into_owned()))
}

/// The addresses of the host, all of them public.
pub async fn resolve(names: &Names, url: &Url, allow_private: bool) -> Result<Vec<SocketAddr>, String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses: Vec<SocketAddr> = match target::literal(host) {
        Some(ip) => vec![SocketAddr::new(ip, port)],
        None => names.lookup(host, port).await.map_err(|_| format!("the name {host} is not resolved"))?,
    };
    if addresses.is_empty() {
        return Err(format!("the name {host} has no address"));
    }
    // One inner address among others is no accident.
    match addresses.iter().find(|address| !allow_private && !target::is_public(address.ip())) {
        Some(_) => Err(format!("the name {host} leads to an address that is not of the public internet")),
        None => Ok(addresses.into_iter().take(ADDRESSES_MAX).collect()),
    }
}

/// A client for one call: to these addresses, with nothing of the environment and nobody's credentials.
fn client(url: &Url, addresses: &[SocketAddr]) -> Result<reqwest::Client, String> {
    // The one provider of TLS; it being there already is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("mrx/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(CALL_TIMEOUT)
        .resolve_to_addrs(url.host_str().unwrap_or_default(), addresses)
        .build()
        .map_err(|error| in_words(&error))
}

/// Without the address, which may hold a token.
fn in_words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let what = if error.is_connect() { "no connection" } else { "the call failed" };
    format!("{what}: {cause}").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_time_and_the_body() {
        // Computed with: printf '1763663400.{}' | openssl dgst -sha256 -hmac secret
        let signed = signature(&"secret".to_owned().into(), 1_763_663_400, b"{}");
        assert_eq!(
            signed,
            "t=1763663400,v1=e0f37bfe7e583bd8d2e1ad88173ea7cded7235870c3d29a910510b297b864caf"
        );
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_called() {
        let url = Url::parse("https://localhost:1/").unwrap();
        let refusal = resolve(&Names::default(), &url, false).await.unwrap_err();
        assert!(refusal.contains("public internet"), "{refusal}");
        assert!(resolve(&Names::default(), &url, true).await.is_ok());
    }
}
