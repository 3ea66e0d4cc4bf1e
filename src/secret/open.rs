//! Encrypts values with age and decrypts them: the only file that does.
//!
//! A ciphertext is armored, so it is text in git and can be read by `age --decrypt` as it stands.

use std::io::{Read, Write};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use bytes::Bytes;

use super::recipients::RecipientKey;
use super::types::SecretName;
use crate::mask::SecretText;

/// A ciphertext is a value of at most 64 KiB, a third more for its armor, and a few hundred bytes for each recipient.
const CIPHERTEXT_BYTES_MAX: usize = 512 << 10;

/// Why a ciphertext gave no value. None of the texts says anything of the value.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not encrypted to the daemon's key, or not whole.
    #[error("the secret {name} cannot be decrypted with the daemon's key: {cause}; store it anew")]
    NotDecrypted {
        /// Which.
        name: SecretName,
        /// What age said.
        cause: String,
    },
    /// The value is no text.
    #[error("the secret {0} is not UTF-8 text; store it anew")]
    NotText(SecretName),
}

/// The age key of the daemon.
pub struct Identity(age::x25519::Identity);

impl Identity {
    /// A new key.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// Reads the text of a key; `None` if it is none.
    pub fn parse(text: &SecretText) -> Option<Self> {
        text.reveal().lines().find(|line| line.starts_with("AGE-"))?.trim().parse().ok().map(Self)
    }

    /// The key as text, to keep it.
    pub fn text(&self) -> SecretText {
        use age::secrecy::ExposeSecret;
        self.0.to_string().expose_secret().to_owned().into()
    }

    /// Its public half, to encrypt to.
    pub fn public(&self) -> RecipientKey {
        self.0.to_public().to_string().parse().expect("age's own keys are keys")
    }

    /// The value of a ciphertext.
    pub fn open(&self, name: &SecretName, ciphertext: &[u8]) -> Result<SecretText, OpenError> {
        let failed = |cause: String| OpenError::NotDecrypted { name: name.clone(), cause };
        if ciphertext.len() > CIPHERTEXT_BYTES_MAX {
            return Err(failed(format!("it has more than {CIPHERTEXT_BYTES_MAX} bytes")));
        }
        #[expect(clippy::disallowed_methods, reason = "this is the one place that decrypts")]
        let read = age::Decryptor::new(ArmoredReader::new(ciphertext))
            .and_then(|decryptor| decryptor.decrypt(std::iter::once(&self.0 as &dyn age::Identity)));
        let mut value = Vec::new();
        read.map_err(|error| failed(error.to_string()))?
            .read_to_end(&mut value)
            .map_err(|error| failed(error.to_string()))?;
        String::from_utf8(value).map(SecretText::from).map_err(|_| OpenError::NotText(name.clone()))
    }
}

/// The value, armored, for these and nobody else.
pub fn seal(value: &SecretText, recipients: &[RecipientKey]) -> Result<Bytes, SealError> {
    let recipients: Vec<_> = recipients.iter().map(RecipientKey::to_age).collect();
    let all = recipients.iter().map(|recipient| &**recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(all).map_err(|error| SealError(error.to_string()))?;
    let written = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).and_then(|armor| {
        let mut writer = encryptor.wrap_output(armor)?;
        writer.write_all(value.reveal().as_bytes())?;
        writer.finish()?.finish()
    });
    written.map(Bytes::from).map_err(|error| SealError(error.to_string()))
}

/// age did not encrypt.
#[derive(Debug, thiserror::Error)]
#[error("the secret was not encrypted: {0}")]
pub struct SealError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_a_recipient_reads_a_value_and_nobody_else() {
        let (daemon, anna, other) = (Identity::generate(), Identity::generate(), Identity::generate());
        let name: SecretName = "llm".parse().unwrap();
        let sealed = seal(&"the value".to_owned().into(), &[daemon.public(), anna.public()]).unwrap();
        assert!(sealed.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
        for identity in [&daemon, &anna] {
            assert_eq!(identity.open(&name, &sealed).unwrap().reveal(), "the value");
        }
        let refusal = other.open(&name, &sealed).unwrap_err().to_string();
        assert!(refusal.contains("the secret llm"), "{refusal}");
        assert!(daemon.open(&name, &sealed[..sealed.len() / 2]).is_err());
        let again = Identity::parse(&daemon.text()).unwrap();
        assert_eq!(again.open(&name, &sealed).unwrap().reveal(), "the value");
    }
}
