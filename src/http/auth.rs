//! Who is calling: told by the credential alone, never by anything else in the request.
//!
//! Until people have accounts there are two tokens, made at the first start in files that only the operator can read.

use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::ApiError;
use crate::id::random_token;
use crate::state::edit::Actor;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, with or without a credential.
    Anyone,
    /// People and agents.
    Known,
    /// Agents.
    Agent,
    /// People, of any role.
    Person,
    /// People who develop: developers and admins of the platform.
    Developer,
    /// Admins of the platform.
    Admin,
    /// People who may read the project of the path, and the agents that work for it.
    Read,
    /// People who may write to the project of the path, and the agents that work for it, which bring their lease.
    Deliver,
    /// People who may write to the project of the path.
    Write,
    /// People who manage the project of the path.
    Manage,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The holder of the admin's token.
    Admin,
    /// The holder of the agents' token.
    Agent,
}

impl Principal {
    /// As the author of a change.
    pub fn actor(self) -> Actor {
        match self {
            Principal::Admin => Actor { kind: "user", name: "admin".into() },
            Principal::Agent => Actor { kind: "agent", name: "agent".into() },
        }
    }
}

impl Who {
    fn admits(self, caller: Option<Principal>) -> bool {
        match self {
            Who::Anyone => true,
            Who::Known | Who::Read | Who::Deliver => caller.is_some(),
            Who::Person | Who::Developer | Who::Admin | Who::Write | Who::Manage => {
                caller == Some(Principal::Admin)
            }
            Who::Agent => caller == Some(Principal::Agent),
        }
    }
}

/// A token as its holder sends it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The text, to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The tokens, as hashes.
#[derive(Clone)]
pub struct Tokens {
    admin: [u8; 32],
    agent: [u8; 32],
}

/// The tokens' files could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the token file {}: {source}", path.display())]
pub struct TokenError {
    path: PathBuf,
    source: io::Error,
}

/// The file of the admin's token in the folder of keys.
pub const ADMIN_TOKEN: &str = "admin.token";
/// The file of the agents' token in the folder of keys.
pub const AGENT_TOKEN: &str = "agent.token";

impl Tokens {
    /// Reads the tokens in `keys`, making what is not there.
    pub fn open(keys: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError { path: keys.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(keys).map_err(failed)?;
        let hash = |name: &str| read_or_make(&keys.join(name)).map(|token| sum(token.reveal()));
        Ok(Self { admin: hash(ADMIN_TOKEN)?, agent: hash(AGENT_TOKEN)? })
    }

    /// Whose token the headers carry.
    pub fn caller(&self, headers: &HeaderMap) -> Option<Principal> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let given = sum(token.trim());
        let is_admin = bool::from(given.ct_eq(&self.admin));
        let is_agent = bool::from(given.ct_eq(&self.agent));
        match (is_admin, is_agent) {
            (true, _) => Some(Principal::Admin),
            (false, true) => Some(Principal::Agent),
            (false, false) => None,
        }
    }
}

/// Reads a token file, or makes one of mode 0600 that is durable before anybody can use the token.
pub fn read_or_make(path: &Path) -> Result<Token, TokenError> {
    let failed = |source| TokenError { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(Token(text.trim().to_owned())),
        Ok(_) => return Err(failed(io::Error::other("it holds no token; remove it to have a new one made"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let token = random_token();
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    io::Write::write_all(&mut file, format!("{token}\n").as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(Token(token))
}

fn sum(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Lets a request pass if its caller may call the route.
pub async fn guard(State((who, tokens)): State<(Who, Tokens)>, mut request: Request, next: Next) -> Response {
    let caller = tokens.caller(request.headers());
    if !who.admits(caller) {
        return refusal(who, caller).into_response();
    }
    if let Some(principal) = caller {
        request.extensions_mut().insert(principal);
    }
    next.run(request).await
}

fn refusal(who: Who, caller: Option<Principal>) -> ApiError {
    if caller.is_none() {
        return ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "send a valid token as Authorization: Bearer <token>",
        )
        .with_header(header::WWW_AUTHENTICATE, "Bearer");
    }
    let allowed = if who == Who::Agent { "agents" } else { "the admin" };
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", format!("only {allowed} may do this"))
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().copied().ok_or_else(|| refusal(Who::Known, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn tokens_are_made_once_and_only_their_owner_can_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        Tokens::open(&keys).unwrap();
        let first = std::fs::read_to_string(keys.join(ADMIN_TOKEN)).unwrap();
        let tokens = Tokens::open(&keys).unwrap();
        assert_eq!(std::fs::read_to_string(keys.join(ADMIN_TOKEN)).unwrap(), first);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&keys), mode(&keys.join(ADMIN_TOKEN)), mode(&keys.join(AGENT_TOKEN))),
            (0o700, 0o600, 0o600)
        );
        let mut headers = HeaderMap::new();
        assert_eq!(tokens.caller(&headers), None);
        headers.insert(header::AUTHORIZATION, format!("Bearer {}", first.trim()).parse().unwrap());
        assert_eq!(tokens.caller(&headers), Some(Principal::Admin));
        headers.insert(header::AUTHORIZATION, format!("Basic {}", first.trim()).parse().unwrap());
        assert_eq!(tokens.caller(&headers), None);
    }

    #[test]
    fn a_token_does_not_show_when_it_is_printed() {
        assert_eq!(format!("{:?}", Token("abc".to_owned())), "[secret]");
    }
}
