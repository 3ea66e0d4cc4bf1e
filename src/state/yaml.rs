//! Files of state as YAML: written from types, and read back strictly and within bounds.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No file of state is larger: a deeply nested one costs seconds to refuse, and no entity needs more.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A file of state that is not what its path says it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} is not a valid {kind} file: {cause}")]
pub struct BadFile {
    /// The file.
    pub path: String,
    /// What it should hold.
    pub kind: &'static str,
    /// What is wrong with it, with line and column where they are known.
    pub cause: String,
}

/// The file of a value.
pub fn write<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    serde_yaml::to_writer(&mut out, value).expect("a type of state has string keys and no cycles");
    out
}

/// The value of a file: at most 1 MiB of UTF-8, no unknown or double fields.
pub fn read<T: DeserializeOwned>(path: &str, kind: &'static str, bytes: &[u8]) -> Result<T, BadFile> {
    let bad = |cause: String| BadFile { path: path.to_owned(), kind, cause };
    if bytes.len() > FILE_BYTES_MAX {
        return Err(bad(format!("it has {} bytes, more than {FILE_BYTES_MAX}", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
    serde_yaml::from_str(text).map_err(|error| bad(error.to_string()))
}
