//! Passwords: argon2id with the parameters of RFC 9106's second choice, scaled to the machine by OWASP's minimum.
//!
//! A check takes tens of milliseconds and 19 MiB by design, so only few run at once and none on a thread that serves.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use serde::Deserialize;
use tokio::sync::Semaphore;

/// Characters of a password at least (NIST SP 800-63B asks for 8; people reuse those).
pub const CHARACTERS_MIN: usize = 12;
/// Bytes of a password at most: a longer one only costs time.
pub const BYTES_MAX: usize = 1024;
/// Passwords that are hashed at once: the machine has other work.
const AT_ONCE: usize = 2;

/// A password as a person typed it. It does not show when it is printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// The password that a text is.
    pub fn of(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it may be chosen; if not, why.
    pub fn check(&self) -> Result<(), WeakPassword> {
        if self.0.chars().count() < CHARACTERS_MIN || self.0.len() > BYTES_MAX {
            return Err(WeakPassword);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// The password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has at least {CHARACTERS_MIN} characters and at most {BYTES_MAX} bytes")]
pub struct WeakPassword;

/// Hashes and checks passwords, few at a time. A clone is the same.
#[derive(Clone)]
pub struct Hasher(Arc<Semaphore>);

impl Default for Hasher {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Somebody's hash, so that an unknown name takes as long to refuse as a wrong password.
static NOBODYS: LazyLock<String> = LazyLock::new(|| hash_now("nobody has this password"));

impl Hasher {
    /// The hash to store, as PHC text (`$argon2id$…`).
    pub async fn hash(&self, password: Password) -> String {
        self.run(move || hash_now(&password.0)).await
    }

    /// Whether the password is the one of the hash; takes as long if there is none.
    pub async fn verify(&self, password: Password, hash: Option<String>) -> bool {
        self.run(move || {
            let known = hash.is_some();
            let text = hash.unwrap_or_else(|| NOBODYS.clone());
            let fits = PasswordHash::new(&text)
                .is_ok_and(|hash| argon2().verify_password(password.0.as_bytes(), &hash).is_ok());
            known && fits
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let _turn = self.0.acquire().await.expect("the semaphore is never closed");
        tokio::task::spawn_blocking(work).await.expect("hashing does not panic")
    }
}

/// 19 MiB, two passes, one lane: OWASP's recommendation for argon2id.
fn argon2() -> Argon2<'static> {
    Argon2::default()
}

fn hash_now(password: &str) -> String {
    argon2().hash_password(password.as_bytes()).expect("the parameters are valid").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_hash_and_no_other() {
        let hasher = Hasher::default();
        let hash = hasher.hash(Password::of("correct horse battery")).await;
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify(Password::of("correct horse battery"), Some(hash.clone())).await);
        assert!(!hasher.verify(Password::of("correct horse batterz"), Some(hash)).await);
        assert!(!hasher.verify(Password::of("nobody has this password"), None).await);
    }

    #[test]
    fn a_short_or_endless_password_may_not_be_chosen() {
        assert!(Password::of("elevenchars").check().is_err());
        assert!(Password::of("twelve chars").check().is_ok());
        assert!(Password::of("é".repeat(12)).check().is_ok());
        assert!(Password::of("x".repeat(BYTES_MAX + 1)).check().is_err());
    }
}
