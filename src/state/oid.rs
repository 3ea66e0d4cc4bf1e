//! The name of a git object: the SHA-1 of its kind, length and bytes. Knows nothing about where objects are kept.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};

/// What an object is, with the number git's pack format gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A change: tree, parents, who, when, why.
    Commit = 1,
    /// A folder.
    Tree = 2,
    /// A file's bytes.
    Blob = 3,
}

impl Kind {
    fn word(self) -> &'static [u8] {
        match self {
            Kind::Commit => b"commit ",
            Kind::Tree => b"tree ",
            Kind::Blob => b"blob ",
        }
    }
}

/// A git object id.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Oid(pub [u8; 20]);

/// By the bytes. The first eight decide as one number, but for a coincidence: the indexes of packs are sorted by it.
impl Ord for Oid {
    fn cmp(&self, other: &Self) -> Ordering {
        let head = |oid: &Self| oid.0.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        head(self).cmp(&head(other)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Oid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The text is not 40 hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a commit id: 40 of 0-9 and a-f")]
pub struct BadOid(String);

crate::schema::text_schema!(Oid, "A git object's id", "^[0-9a-f]{40}$");

impl Oid {
    /// No object: what a ref holds before it exists.
    pub const ZERO: Self = Self([0; 20]);

    /// The id of an object with this content.
    pub fn of(kind: Kind, content: &[u8]) -> Self {
        let mut digits = [0u8; 20];
        let mut hash = Sha1::new();
        hash.update(kind.word());
        hash.update(decimal(content.len(), &mut digits));
        hash.update([0]);
        hash.update(content);
        Self(hash.finalize().into())
    }

    /// The 40 hexadecimal digits.
    pub fn hex(self) -> [u8; 40] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 40];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        hex
    }

    /// The same id as libgit2 has it.
    pub fn to_git(self) -> git2::Oid {
        git2::Oid::from_bytes(&self.0).expect("an id has 20 bytes")
    }
}

impl From<git2::Oid> for Oid {
    fn from(oid: git2::Oid) -> Self {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(oid.as_bytes());
        Self(bytes)
    }
}

fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).expect("hexadecimal digits are text"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Oid {
    type Err = BadOid;
    fn from_str(text: &str) -> Result<Self, BadOid> {
        let bad = || BadOid(text.chars().take(64).collect());
        if text.len() != 40 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(bad());
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl serde::Serialize for Oid {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Oid {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_id_that_git_gives_it() {
        assert_eq!(Oid::of(Kind::Blob, b"").to_string(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(Oid::of(Kind::Tree, b"").to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
        assert_eq!(Oid::of(Kind::Blob, b"hello\n").to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn ids_are_ordered_as_their_bytes_are() {
        let mut ids = Vec::new();
        for place in [0, 7, 8, 19] {
            for byte in [1, 127, 128, 255] {
                let mut bytes = [1; 20];
                bytes[place] = byte;
                ids.push(Oid(bytes));
            }
        }
        for (one, other) in ids.iter().flat_map(|one| ids.iter().map(move |other| (one, other))) {
            assert_eq!(one.cmp(other), one.0.cmp(&other.0), "{one} {other}");
        }
    }

    #[test]
    fn an_id_reads_back_as_it_was_written_and_nothing_else_does() {
        let oid = Oid::of(Kind::Blob, b"x");
        assert_eq!(oid.to_string().parse(), Ok(oid));
        for bad in ["", "e69d", &"G".repeat(40), &"A".repeat(40), &"0".repeat(41)] {
            assert!(bad.parse::<Oid>().is_err(), "{bad}");
        }
    }
}
