//! Has the project's model turn an instruction into a diff: what the model is shown of the code, and what its answer must be.
//!
//! The answer is data: the diff in it is checked like any other before git sees it.

use std::path::Path;

use super::backoff::Pace;
use super::build::BuildEnd;
use super::chat::model_failed;
use super::job_client::{Failure, FailureCode};
use super::model::{ModelAccess, Turn};
use super::secrets::JobSecrets;

/// The secret that says which model is asked.
const SECRET: &str = "llm";
/// Bytes of an instruction.
pub const INSTRUCTION_BYTES_MAX: usize = 32 << 10;
/// A file that is larger is named and not shown.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Files that are named: a model that is shown more reads none of them.
const FILES_MAX: usize = 2_000;
/// Bytes of a token, counted low.
const TOKEN_BYTES: u64 = 3;

const RULES: &str = "You change the code of a project as you are told. Answer with one unified diff in a ```diff block and nothing else. \
Paths begin with a/ and b/ and are relative to the root of the code; a new file is a diff from /dev/null. Each hunk has three lines of \
context that are exactly the file's. Change only what the instruction asks for.";

/// What is asked.
pub struct Instruction<'a> {
    /// What to change.
    pub text: &'a str,
    /// The checkout.
    pub root: &'a Path,
    /// Its files, as git lists them.
    pub files: &'a [&'a str],
    /// The job's secrets, one of which is the access to the model.
    pub secrets: &'a JobSecrets,
    /// How long to wait between tries.
    pub pace: Pace,
}

impl Instruction<'_> {
    /// The model's diff.
    pub async fn diff(&self) -> Result<String, BuildEnd> {
        let access = self.access()?;
        let room = access.context_tokens.saturating_sub(access.answer_tokens).saturating_mul(TOKEN_BYTES);
        let turns = [
            Turn { role: "system", content: RULES.to_owned() },
            Turn { role: "user", content: self.question(room) },
        ];
        let mut answer = String::new();
        access
            .ask(&turns, self.pace, |text| answer.push_str(text))
            .await
            .map_err(|error| model_failed(&error))?;
        diff_in(&answer).map(str::to_owned).ok_or_else(|| {
            failed(
                FailureCode::ModelFailed,
                "the model answered without a diff; say more exactly what to change",
            )
        })
    }

    fn access(&self) -> Result<ModelAccess, BuildEnd> {
        let secret = SECRET.parse().ok().and_then(|name| self.secrets.get(&name));
        let unset = format!(
            "the project has no secret {SECRET}; it says which model turns an instruction into a diff"
        );
        let secret = secret.ok_or_else(|| failed(FailureCode::ModelUnset, &unset))?;
        ModelAccess::parse(secret, true).map_err(|error| failed(FailureCode::ModelUnset, &error.to_string()))
    }

    /// The instruction, the names of the files, and as many of their texts as there is room for: first those that the
    /// instruction names, then the smallest.
    fn question(&self, room: u64) -> String {
        let mut text = format!("Instruction:\n{}\n\nFiles:\n", self.text);
        for file in self.files.iter().take(FILES_MAX) {
            text.push_str(file);
            text.push('\n');
        }
        let mut shown: Vec<(bool, u64, &str)> = self
            .files
            .iter()
            .filter_map(|file| Some((!is_named(self.text, file), self.size(file)?, *file)))
            .collect();
        shown.sort_unstable();
        for (_, size, file) in shown {
            let Ok(content) = std::fs::read_to_string(self.root.join(file)) else { continue };
            if text.len() as u64 + size + 100 > room {
                break;
            }
            text.push_str(&format!("\n=== {file}\n{content}"));
        }
        text
    }

    /// The size of a plain file that may be shown.
    fn size(&self, file: &str) -> Option<u64> {
        let metadata = std::fs::symlink_metadata(self.root.join(file)).ok()?;
        (metadata.is_file() && metadata.len() <= FILE_BYTES_MAX).then_some(metadata.len())
    }
}

fn is_named(text: &str, file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    text.contains(file) || text.contains(name)
}

/// The diff in an answer: the first fenced block that has one, or the answer itself.
fn diff_in(answer: &str) -> Option<&str> {
    let has_diff = |text: &str| text.lines().any(|line| line.starts_with("+++ "));
    let blocks = answer.split("\n```").flat_map(|part| part.split("```diff\n").skip(1));
    let fenced = blocks.map(|block| block.trim_start_matches('\n')).find(|block| has_diff(block));
    let bare = || {
        let start = answer.find("diff --git ").or_else(|| answer.find("--- "))?;
        Some(answer[start..].split("\n```").next().unwrap_or_default())
    };
    fenced.or_else(bare).filter(|diff| has_diff(diff))
}

fn failed(code: FailureCode, text: &str) -> BuildEnd {
    BuildEnd::Failed(Failure::new(code, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+two";

    #[test]
    fn a_diff_is_found_in_its_block_or_by_itself_and_prose_has_none() {
        assert_eq!(diff_in(&format!("Here you are:\n```diff\n{DIFF}\n```\nDone.")), Some(DIFF));
        assert_eq!(diff_in(&format!("```diff\n{DIFF}\n```")), Some(DIFF));
        assert_eq!(diff_in(DIFF), Some(DIFF));
        assert_eq!(diff_in(&format!("Sure.\n{DIFF}\n```")), Some(DIFF));
        assert_eq!(diff_in("I cannot do that --- sorry."), None);
        assert_eq!(diff_in(""), None);
    }

    #[test]
    fn files_that_the_instruction_names_are_shown_first_and_what_has_no_room_is_only_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, size) in [("big.txt", 900), ("small.txt", 10), ("other.txt", 20)] {
            std::fs::write(folder.path().join(name), "x".repeat(size)).unwrap();
        }
        let secrets = JobSecrets::default();
        let files = ["big.txt", "other.txt", "small.txt", "gone.txt"];
        let asked = Instruction {
            text: "Shorten big.txt",
            root: folder.path(),
            files: &files,
            secrets: &secrets,
            pace: Pace::default(),
        };
        let question = asked.question(1_200);
        let place = |text: &str| question.find(text);
        assert!(place("=== big.txt").unwrap() < place("=== small.txt").unwrap_or(usize::MAX));
        assert!(place("gone.txt\n").is_some() && place("=== gone.txt").is_none());
        assert!(asked.question(300).contains("other.txt\n") && !asked.question(300).contains("=== big.txt"));
    }
}
