//! What a backup holds: `manifest.json` in its folder, with a checksum of itself. Decides what the next bundle holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Time;
use crate::id::ProjectId;
use crate::state::layout::RepoName;
use crate::state::oid::Oid;

/// The file's name in the folder of a backup.
pub const MANIFEST: &str = "manifest.json";
/// What this program writes and reads.
const FORMAT: u32 = 1;
/// After so many bundles of one repository the next one holds everything, and the others go: a restore reads them one by one.
const BUNDLES_MAX: usize = 100;

/// A repository in a backup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Kept {
    /// A repository of state: `platform`, `projects/mrx-weather`.
    State(RepoName),
    /// A project's code, where the data folder has it: `code/mrx-weather`.
    Code(ProjectId),
}

/// The text names no repository.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} names no repository of a backup: platform, projects/NAME or code/NAME")]
pub struct BadKept(String);

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kept::State(name) => name.fmt(f),
            Kept::Code(project) => write!(f, "code/{project}"),
        }
    }
}

impl FromStr for Kept {
    type Err = BadKept;
    fn from_str(text: &str) -> Result<Self, BadKept> {
        let code = text.strip_prefix("code/").map(|id| id.parse().ok().map(Kept::Code));
        let kept = code.unwrap_or_else(|| RepoName::from_key(text).map(Kept::State));
        kept.ok_or_else(|| BadKept(text.to_owned()))
    }
}

impl TryFrom<String> for Kept {
    type Error = BadKept;
    fn try_from(text: String) -> Result<Self, BadKept> {
        text.parse()
    }
}

impl From<Kept> for String {
    fn from(kept: Kept) -> Self {
        kept.to_string()
    }
}

/// Where refs stand, by their names.
pub type Tips = BTreeMap<String, Oid>;

/// All of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// When it was last written to.
    pub saved_at: Option<Time>,
    /// Its repositories.
    pub repositories: BTreeMap<Kept, Saved>,
}

/// What is kept of one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Saved {
    /// Where its refs stood; its bundles together hold all behind them.
    pub tips: Tips,
    /// Its bundles, in the order in which they are read back.
    pub bundles: Vec<Bundle>,
    /// The default branch of a repository of code: `refs/heads/main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
}

/// A bundle: the file `<repository>/<number>.bundle`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// Its number, which is its file's name.
    pub number: u32,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

impl Bundle {
    /// Its file, in the folder of a backup.
    pub fn path(&self, folder: &Path, kept: &Kept) -> PathBuf {
        folder.join(kept.to_string()).join(format!("{:06}.bundle", self.number))
    }
}

/// The file: the manifest, and the SHA-256 of its compact JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checked {
    backup: Manifest,
    sha256: String,
}

/// Why a manifest is not believed.
#[derive(Debug, thiserror::Error)]
pub enum BadManifest {
    /// It is damaged, or was changed by hand.
    #[error("its checksum is not that of its content: take another copy of the backup")]
    Damaged,
    /// It is no manifest.
    #[error("it is no manifest of a backup: {0}")]
    NotOne(#[from] serde_json::Error),
    /// A newer program wrote it.
    #[error("it has format {0}, and this mrx reads format {FORMAT}: use a newer mrx")]
    Format(u32),
}

impl Manifest {
    /// One without repositories.
    pub fn new() -> Self {
        Self { format: FORMAT, ..Self::default() }
    }

    /// The file's text.
    pub fn to_file(&self) -> String {
        let checked = Checked { sha256: self.sum(), backup: self.clone() };
        serde_json::to_string_pretty(&checked).expect("a manifest has string keys") + "\n"
    }

    /// Reads a file's text back.
    pub fn read(text: &str) -> Result<Self, BadManifest> {
        let Checked { backup, sha256 } = serde_json::from_str(text)?;
        match backup.format {
            FORMAT if backup.sum() == sha256 => Ok(backup),
            FORMAT => Err(BadManifest::Damaged),
            format => Err(BadManifest::Format(format)),
        }
    }

    fn sum(&self) -> String {
        let json = serde_json::to_vec(self).expect("a manifest has string keys");
        Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What is to be saved of a repository.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing has moved.
    Nothing,
    /// What is new.
    New {
        /// The refs that lead to it.
        refs: Vec<String>,
        /// What these commits lead to is saved already.
        since: Vec<Oid>,
    },
    /// Everything, and the bundles there are go.
    Whole,
}

/// Decides what to save of a repository whose refs stand at `tips`. `has` tells whether it still has a commit: one that was
/// itself brought back from an older copy may not.
pub fn next(saved: Option<&Saved>, tips: &Tips, has: impl Fn(Oid) -> bool) -> Next {
    let Some(saved) = saved else { return Next::Whole };
    if saved.tips == *tips {
        return Next::Nothing;
    }
    if saved.bundles.len() >= BUNDLES_MAX {
        return Next::Whole;
    }
    let moved = |(name, tip): &(&String, &Oid)| saved.tips.get(*name) != Some(*tip);
    let refs = tips.iter().filter(moved).map(|(name, _)| name.clone()).collect();
    let stays = |(name, tip): &(&String, &Oid)| tips.contains_key(*name) && has(**tip);
    let since = saved.tips.iter().filter(stays).map(|(_, tip)| *tip).collect();
    Next::New { refs, since }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::oid::Kind;

    fn tips(of: &[(&str, &str)]) -> Tips {
        of.iter().map(|(name, text)| ((*name).to_owned(), Oid::of(Kind::Blob, text.as_bytes()))).collect()
    }

    fn saved(of: &[(&str, &str)], bundles: u32) -> Saved {
        let bundle = |number| Bundle { number, bytes: 1, sha256: String::new() };
        Saved { tips: tips(of), bundles: (1..=bundles).map(bundle).collect(), head: None }
    }

    #[test]
    fn only_what_moved_is_saved_and_all_of_it_after_many_bundles() {
        let now = tips(&[("state", "b"), ("logs/2", "l"), ("logs/3", "m")]);
        assert_eq!(next(None, &now, |_| true), Next::Whole);
        let before = [("state", "a"), ("logs/1", "k"), ("logs/2", "l")];
        assert_eq!(next(Some(&saved(&before, 1)), &tips(&before), |_| true), Next::Nothing);
        let old = tips(&before);
        let refs = vec!["logs/3".to_owned(), "state".to_owned()];
        assert_eq!(
            next(Some(&saved(&before, 1)), &now, |_| true),
            Next::New { refs: refs.clone(), since: vec![old["logs/2"], old["state"]] },
            "a day of logs that was dropped is no ground to stand on"
        );
        let lacks = |tip| tip != old["state"];
        assert_eq!(
            next(Some(&saved(&before, 1)), &now, lacks),
            Next::New { refs, since: vec![old["logs/2"]] }
        );
        assert_eq!(next(Some(&saved(&before, 100)), &now, |_| true), Next::Whole);
    }

    #[test]
    fn a_manifest_that_was_changed_is_not_believed() {
        let mut manifest = Manifest::new();
        for name in ["platform", "projects/mrx-a", "code/mrx-a"] {
            manifest.repositories.insert(name.parse().unwrap(), saved(&[("refs/heads/state", "a")], 2));
        }
        let text = manifest.to_file();
        assert_eq!(Manifest::read(&text).unwrap(), manifest);
        let moved = text.replacen("\"bytes\": 1", "\"bytes\": 2", 1);
        assert!(matches!(Manifest::read(&moved), Err(BadManifest::Damaged)));
        assert!(matches!(Manifest::read("{}"), Err(BadManifest::NotOne(_))));
        let newer = Manifest { format: 2, ..manifest }.to_file();
        assert!(matches!(Manifest::read(&newer), Err(BadManifest::Format(2))));
        for bad in ["../x", "code/../x", "projects/", "x", ""] {
            assert!(bad.parse::<Kept>().is_err(), "{bad}");
        }
    }
}
