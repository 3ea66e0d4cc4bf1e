//! Other issuers of tokens (OpenID Connect: Clerk, Firebase, Keycloak and the like): their signing keys are fetched from the
//! configured address, kept, and fetched again when they change. A token counts only with the configured audience.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::accounts::{Identity, NewUser};
use super::principal::{Credential, Person, Principal};
use super::rights::Role;
use super::token::Token;
use super::types::External;
use crate::clock::{Clock, Time};
use crate::id::UserName;

/// How long fetched keys are believed without asking again.
const KEYS_PERIOD: Duration = Duration::from_secs(600);
/// A token with an unknown key makes the keys be fetched again, but not more often than this.
const FETCH_AGAIN: Duration = Duration::from_secs(30);
/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// A set of keys is a few KiB.
const KEYS_BYTES_MAX: usize = 1 << 20;
/// Signatures that only the issuer can make; a shared secret is none.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// An issuer, as the operator configures it: an entry of the file that `--issuers` names.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Issuer {
    /// What its tokens say in `iss`.
    pub issuer: String,
    /// Where its keys are: https, or http on loopback.
    pub jwks_url: String,
    /// What its tokens must say in `aud`.
    pub audience: String,
    /// The claim that names a new account, if it can be a name; the account is named by a hash otherwise.
    #[serde(default = "preferred_username")]
    pub name_claim: String,
    /// The claim whose value chooses the role, by `roles`.
    pub role_claim: Option<String>,
    /// Which value is which role.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
    /// Whether somebody without an account gets one, as a viewer or what the claim says.
    #[serde(default)]
    pub provision: bool,
}

fn preferred_username() -> String {
    "preferred_username".to_owned()
}

/// The issuers that are believed. A clone is the same.
#[derive(Clone)]
pub struct Issuers {
    all: Arc<Vec<Trusted>>,
    http: reqwest::Client,
    clock: Clock,
}

struct Trusted {
    issuer: Issuer,
    keys: tokio::sync::Mutex<Fetched>,
}

#[derive(Default)]
struct Fetched {
    keys: Option<Arc<JwkSet>>,
    at: Option<Time>,
}

/// What a token of another issuer says, once it is believed.
struct Vouched {
    who: External,
    until: Time,
    claims: Map<String, Value>,
}

impl Issuers {
    /// Believes these.
    pub fn new(issuers: Vec<Issuer>, clock: Clock) -> anyhow::Result<Self> {
        for issuer in &issuers {
            check_address(&issuer.jwks_url)?;
        }
        // The one provider of TLS; it being there already is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(FETCH_TIMEOUT)
            .build()
            .context("prepare the client that fetches issuers' keys")?;
        let trusted = |issuer| Trusted { issuer, keys: tokio::sync::Mutex::default() };
        Ok(Self { all: Arc::new(issuers.into_iter().map(trusted).collect()), http, clock })
    }

    /// Reads the operator's file: a YAML list.
    pub fn read(file: Option<&Path>, clock: Clock) -> anyhow::Result<Self> {
        let Some(file) = file else { return Self::new(Vec::new(), clock) };
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let issuers =
            serde_yaml::from_str(&text).with_context(|| format!("understand {}", file.display()))?;
        Self::new(issuers, clock)
    }

    async fn believe(&self, text: &str) -> Option<(&Issuer, Vouched)> {
        let header = jsonwebtoken::decode_header(text).ok()?;
        if self.all.is_empty() || !ALGORITHMS.contains(&header.alg) {
            return None;
        }
        let said = issuer_said(text)?;
        let trusted = self.all.iter().find(|trusted| trusted.issuer.issuer == said)?;
        let key = self.key(trusted, header.kid.as_deref()).await?;
        let mut rules = Validation::new(header.alg);
        rules.validate_exp = false;
        rules.set_issuer(&[&trusted.issuer.issuer]);
        rules.set_audience(&[&trusted.issuer.audience]);
        rules.required_spec_claims = ["exp", "iss", "aud", "sub"].map(str::to_owned).into();
        let claims = jsonwebtoken::decode::<Map<String, Value>>(text, &key, &rules).ok()?.claims;
        let now = self.clock.now().seconds();
        let end = claims.get("exp").and_then(Value::as_u64)?;
        let is_current = now < end
            && claims.get("nbf").is_none_or(|begin| begin.as_u64().is_some_and(|begin| begin <= now));
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty())?;
        let who = External { issuer: trusted.issuer.issuer.clone(), subject: subject.to_owned() };
        let until = Time::from_millis(end.saturating_mul(1000));
        is_current.then_some((&trusted.issuer, Vouched { who, until, claims }))
    }

    async fn key(&self, trusted: &Trusted, kid: Option<&str>) -> Option<DecodingKey> {
        let mut fetched = trusted.keys.lock().await;
        let now = self.clock.now();
        let age = fetched.at.map(|at| now.since(at));
        let find = |keys: &Option<Arc<JwkSet>>| {
            let keys = keys.as_ref()?;
            let key = match kid {
                Some(kid) => keys.find(kid),
                None if keys.keys.len() == 1 => keys.keys.first(),
                None => None,
            };
            key.and_then(|key| DecodingKey::from_jwk(key).ok())
        };
        let found = find(&fetched.keys).filter(|_| age.is_some_and(|age| age < KEYS_PERIOD));
        if found.is_some() || age.is_some_and(|age| age < FETCH_AGAIN) {
            return found.or_else(|| find(&fetched.keys));
        }
        fetched.at = Some(now);
        match self.fetch(&trusted.issuer.jwks_url).await {
            Ok(keys) => fetched.keys = Some(Arc::new(keys)),
            Err(error) => {
                tracing::warn!(
                    issuer = trusted.issuer.issuer,
                    error = format!("{error:#}"),
                    "an issuer's keys could not be fetched; the known ones stay"
                );
            }
        }
        find(&fetched.keys)
    }

    async fn fetch(&self, address: &str) -> anyhow::Result<JwkSet> {
        let mut answer =
            self.http.get(address).send().await.context("ask for the keys")?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.context("read the keys")? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > KEYS_BYTES_MAX {
                bail!("the keys have more than {KEYS_BYTES_MAX} bytes");
            }
        }
        serde_json::from_slice(&bytes).context("understand the keys")
    }
}

/// What a token says of its issuer, before anything of it is believed.
fn issuer_said(text: &str) -> Option<String> {
    use base64::Engine;
    let payload = text.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&bytes).ok()?;
    Some(claims.get("iss")?.as_str()?.to_owned())
}

fn check_address(address: &str) -> anyhow::Result<()> {
    let parsed = reqwest::Url::parse(address).with_context(|| format!("understand jwksUrl {address}"))?;
    let is_loopback = matches!(parsed.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if parsed.scheme() != "https" && !(parsed.scheme() == "http" && is_loopback) {
        bail!("jwksUrl {address} must be https; who answers there decides who may log in");
    }
    Ok(())
}

impl Identity {
    /// Whom a token of another issuer belongs to; an account is made if the issuer may do so.
    pub async fn caller_of_issuer(&self, text: &str) -> Option<Principal> {
        let (issuer, vouched) = self.issuers.believe(text).await?;
        let until = vouched.until;
        let user = match self.known.external(&vouched.who) {
            Some(user) => user,
            None if issuer.provision => {
                let made = self.provision(new_user(issuer, vouched)).await;
                made.map_err(|error| tracing::warn!(%error, "no account was made for an issuer's person"))
                    .ok()?
            }
            None => return None,
        };
        user.disabled_at
            .is_none()
            .then(|| Principal::Person(Arc::new(Person { user, by: Credential::External { until } })))
    }

    /// Whom a token that was believed before belongs to now. Its issuer is not asked again.
    pub fn vouched_again(&self, caller: &Principal) -> Option<Principal> {
        let Principal::Person(person) = caller else { return None };
        let Credential::External { until } = person.by else { return None };
        let user = self.known.external(person.user.external.as_ref()?)?;
        let stands = user.disabled_at.is_none() && self.clock.now() < until;
        stands.then(|| Principal::Person(Arc::new(Person { user, by: Credential::External { until } })))
    }
}

fn new_user(issuer: &Issuer, vouched: Vouched) -> NewUser {
    let text = |claim: &str| vouched.claims.get(claim).and_then(Value::as_str);
    let role = issuer.role_claim.as_deref().and_then(text).and_then(|value| issuer.roles.get(value)).copied();
    let named = text(&issuer.name_claim).and_then(|name| name.parse::<UserName>().ok());
    let hashed = || {
        let hash = Token::of(&format!("{}\n{}", vouched.who.issuer, vouched.who.subject)).hash().to_string();
        format!("x-{}", &hash[..24]).parse().expect("hexadecimal digits are a name")
    };
    let name = named.unwrap_or_else(hashed);
    let email = text("email").filter(|email| email.contains('@') && email.len() < 255).map(str::to_owned);
    NewUser { name, role: role.unwrap_or(Role::Viewer), email, password: None, external: Some(vouched.who) }
}
