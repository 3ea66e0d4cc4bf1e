//! Tokens: 256 random bits behind a word for their kind. What is stored is their SHA-256.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::random_token;
use crate::key_file::{self, KeyFileError};

/// What an API key of a person begins with.
pub const KEY_PREFIX: &str = "mrx_live_";
/// What an agent's key begins with.
pub const AGENT_PREFIX: &str = "mrx_agent_";
/// What an invitation begins with.
pub const INVITE_PREFIX: &str = "mrx_invite_";
/// What the token of the first admin's setup begins with.
pub const SETUP_PREFIX: &str = "mrx_setup_";
/// What a one-time claim secret begins with.
pub const CLAIM_PREFIX: &str = "mrx_claim_";

/// A token as its holder sends it. It does not show when it is printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// A new one of the kind that the prefix says.
    pub fn random(prefix: &str) -> Self {
        Self(format!("{prefix}{}", random_token()))
    }

    /// The token that a text is.
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, to send it or to show it once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The SHA-256 of a token, written as 64 hexadecimal digits. It may be seen: 256 random bits are not guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The bytes, to compare them in constant time.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The text is not the hash of a token.
#[derive(Debug, thiserror::Error)]
#[error("a token's hash is 64 hexadecimal digits in lower case")]
pub struct BadTokenHash;

impl FromStr for TokenHash {
    type Err = BadTokenHash;
    fn from_str(text: &str) -> Result<Self, BadTokenHash> {
        let mut bytes = [0u8; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(BadTokenHash);
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| BadTokenHash)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| BadTokenHash)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for TokenHash {
    type Error = BadTokenHash;
    fn try_from(text: String) -> Result<Self, BadTokenHash> {
        text.parse()
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

crate::schema::text_schema!(TokenHash, "The SHA-256 of a token", "^[0-9a-f]{64}$");

/// A key of the daemon's own, from which it derives what it can derive again and nobody else can.
#[derive(Clone)]
pub struct DerivingKey(Token);

impl DerivingKey {
    /// Over this token.
    pub fn new(token: Token) -> Self {
        Self(token)
    }

    /// The text derived for a purpose and a name: HMAC-SHA-256 over both, each behind its length, in 64 hexadecimal digits.
    pub fn derive(&self, purpose: &str, name: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.reveal().as_bytes())
            .expect("HMAC takes a key of any length");
        for part in [purpose, name] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The bytes, to sign with.
    pub fn bytes(&self) -> &[u8] {
        self.0.reveal().as_bytes()
    }
}

impl fmt::Debug for DerivingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The file of the operator's token in the folder of keys: whoever can read it runs the daemon.
pub const OPERATOR_TOKEN: &str = "admin.token";
/// The file of the key that signs sessions.
pub const SIGNING_KEY: &str = "session.key";

/// The token in a file of the folder of keys, which is made if it is not there.
pub fn read_or_make(keys: &Path, name: &str) -> Result<Token, KeyFileError> {
    let text = key_file::read_or_make(keys, name, || random_token().into())?;
    if text.reveal().len() < 32 {
        return Err(KeyFileError::unusable(
            keys.join(name),
            "it holds no token; remove it to have a new one made",
        ));
    }
    Ok(Token(text.reveal().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_file_is_made_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let first = read_or_make(&keys, OPERATOR_TOKEN).unwrap();
        assert_eq!(read_or_make(&keys, OPERATOR_TOKEN).unwrap(), first);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&keys), mode(&keys.join(OPERATOR_TOKEN))), (0o700, 0o600));
    }

    #[test]
    fn a_token_does_not_show_when_it_is_printed_and_its_hash_is_read_back() {
        let token = Token::random(KEY_PREFIX);
        assert_eq!(format!("{token:?}"), "[secret]");
        assert_eq!(token.hash().to_string().parse::<TokenHash>().unwrap(), token.hash());
        assert!("zz".repeat(32).parse::<TokenHash>().is_err());
    }

    #[test]
    fn what_is_derived_depends_on_where_one_part_ends_and_the_next_begins() {
        let key = DerivingKey::new(Token::of("key"));
        assert_ne!(key.derive("ab", "c"), key.derive("a", "bc"));
        assert_eq!(key.derive("ab", "c"), key.derive("ab", "c"));
    }
}
