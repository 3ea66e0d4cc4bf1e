//! The token of a session: a JWT (RFC 7519) signed with HS256 by this daemon's own key. It says who and until when; that
//! the session still stands is asked of its record.
//!
//! An agent that claimed with a one-time secret gets one too, for a single lease; its audience keeps the two apart.

use std::collections::HashSet;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::token::{DerivingKey, Token};
use crate::clock::Time;
use crate::id::{AgentId, JobId, LeaseId, SessionId, UserName};

/// Who signs: this daemon.
const ISSUER: &str = "mrx";
/// For whom a person's token is.
const AUDIENCE_PERSON: &str = "mrx";
/// For whom an agent's token is.
const AUDIENCE_AGENT: &str = "mrx-agent";

/// What a person's token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PersonClaims {
    iss: String,
    aud: String,
    /// Who.
    pub sub: UserName,
    /// The session.
    pub jti: SessionId,
    iat: u64,
    exp: u64,
}

/// What the token of one lease says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaseClaims {
    iss: String,
    aud: String,
    /// The agent.
    pub sub: AgentId,
    /// The job it holds.
    pub job: JobId,
    /// The lease it is good for.
    pub jti: LeaseId,
    iat: u64,
    exp: u64,
}

/// Signs and reads tokens.
#[derive(Clone)]
pub struct Signer {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Signer {
    /// With this key; the name of the key tells nothing of it.
    pub fn new(key: &DerivingKey) -> Self {
        Self {
            kid: key.derive("key id", "")[..16].to_owned(),
            encoding: EncodingKey::from_secret(key.bytes()),
            decoding: DecodingKey::from_secret(key.bytes()),
        }
    }

    /// The token of a person's session.
    pub fn person(&self, user: &UserName, session: &SessionId, now: Time, until: Time) -> Token {
        self.sign(&PersonClaims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE_PERSON.to_owned(),
            sub: user.clone(),
            jti: session.clone(),
            iat: now.seconds(),
            exp: until.seconds(),
        })
    }

    /// The token of an agent's lease.
    pub fn lease(&self, agent: &AgentId, job: &JobId, lease: &LeaseId, now: Time, until: Time) -> Token {
        self.sign(&LeaseClaims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE_AGENT.to_owned(),
            sub: agent.clone(),
            job: job.clone(),
            jti: lease.clone(),
            iat: now.seconds(),
            exp: until.seconds(),
        })
    }

    fn sign(&self, claims: &impl Serialize) -> Token {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::HS256) };
        let text = jsonwebtoken::encode(&header, claims, &self.encoding).expect("claims are plain JSON");
        Token::of(&text)
    }

    /// The claims of a person's token, if it is one of ours that has not ended.
    pub fn read_person(&self, text: &str, now: Time) -> Option<PersonClaims> {
        self.read(text, AUDIENCE_PERSON).filter(|claims: &PersonClaims| claims.exp > now.seconds())
    }

    /// The claims of an agent's token, if it is one of ours that has not ended.
    pub fn read_lease(&self, text: &str, now: Time) -> Option<LeaseClaims> {
        self.read(text, AUDIENCE_AGENT).filter(|claims: &LeaseClaims| claims.exp > now.seconds())
    }

    /// The end is compared with the daemon's own clock by the callers: the library would ask the machine's.
    fn read<T: DeserializeOwned>(&self, text: &str, audience: &str) -> Option<T> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[audience]);
        rules.required_spec_claims = HashSet::from(["exp", "iss", "aud", "sub"].map(str::to_owned));
        let read = jsonwebtoken::decode::<T>(text, &self.decoding, &rules).ok()?;
        (read.header.kid.as_deref() == Some(self.kid.as_str())).then_some(read.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IdMaker;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    fn now() -> Time {
        "2026-11-20T10:00:00.000Z".parse().unwrap()
    }

    fn signer() -> Signer {
        Signer::new(&DerivingKey::new(Token::of("0123456789abcdef0123456789abcdef")))
    }

    fn token(signer: &Signer) -> Token {
        let session = IdMaker::new().session(now());
        signer.person(
            &"ada".parse().unwrap(),
            &session,
            now(),
            now().after(std::time::Duration::from_secs(60)),
        )
    }

    #[test]
    fn a_token_is_read_back_until_it_ends() {
        let signer = signer();
        let token = token(&signer);
        let read = |at: Time| signer.read_person(token.reveal(), at);
        assert_eq!(read(now()).unwrap().sub.as_str(), "ada");
        assert!(read(now().after(std::time::Duration::from_secs(60))).is_none());
        assert!(signer.read_lease(token.reveal(), now()).is_none(), "for another audience");
    }

    /// A token like a good one but for one thing.
    fn forged(header: Value, claims: Value, key: &[u8]) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(key).unwrap();
        hmac::Mac::update(&mut mac, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::Mac::finalize(mac).into_bytes()))
    }

    #[test]
    fn a_token_that_differs_in_anything_is_none() {
        let signer = signer();
        let key = b"0123456789abcdef0123456789abcdef".as_slice();
        let good = token(&signer);
        let parts: Vec<&str> = good.reveal().split('.').collect();
        let decode =
            |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        let (header, claims) = (decode(parts[0]), decode(parts[1]));
        let reads = |text: &str| signer.read_person(text, now()).is_some();
        assert!(reads(&forged(header.clone(), claims.clone(), key)), "the forge makes good ones too");
        assert!(!reads(&forged(header.clone(), claims.clone(), b"another key of thirty-two bytes!")));
        for (name, value) in [
            ("alg", json!("none")),
            ("alg", json!("HS384")),
            ("alg", json!("RS256")),
            ("kid", json!("other")),
            ("kid", json!(null)),
        ] {
            let mut other = header.clone();
            other[name] = value.clone();
            assert!(!reads(&forged(other, claims.clone(), key)), "{name} {value}");
        }
        for (name, value) in [
            ("iss", json!("other")),
            ("aud", json!("other")),
            ("aud", json!("mrx-agent")),
            ("exp", json!(1)),
            ("exp", json!("9999999999")),
            ("exp", json!(-1)),
            ("exp", json!(1e300)),
            ("exp", json!(null)),
            ("sub", json!("../ada")),
            ("sub", json!(["ada"])),
            ("jti", json!("x")),
        ] {
            let mut other = claims.clone();
            other[name] = value.clone();
            assert!(!reads(&forged(header.clone(), other, key)), "{name} {value}");
            let mut without = claims.clone();
            without.as_object_mut().unwrap().remove(name);
            assert!(!reads(&forged(header.clone(), without, key)), "without {name}");
        }
        assert!(!reads(&format!("{}.{}.", parts[0], parts[1])), "no signature");
        assert!(!reads(""));
    }
}
