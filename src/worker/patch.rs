//! What a patch job does: applies a diff, given or made by the project's model, to a fresh checkout, commits it and pushes it to a branch of its own. Reports
//! nothing itself.
//!
//! A diff is hostile: its paths and modes are checked before git sees it, and what git made of it is checked again.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::backoff::Pace;
use super::build::BuildEnd;
use super::checkout::{self, CHECKOUT_MAX, CheckoutError, Source};
use super::daemon_client::{Claim, Code};
use super::folder::JobFolder;
use super::halt::{Alarm, Halt};
use super::instruction::{INSTRUCTION_BYTES_MAX, Instruction};
use super::job_client::{Failure, FailureCode};
use super::secrets::JobSecrets;
use super::spool::Spool;

/// Bytes of a diff.
const DIFF_BYTES_MAX: usize = 512 << 10;
/// Bytes of a commit's message.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Hunks of a file that a failure names.
const HUNKS_MAX: usize = 50;
/// Longer than git needs for a patch of this size and its push.
const GIT_MAX: Duration = Duration::from_secs(300);
/// The modes of plain files; others (links, submodules) are refused.
const MODES: [&str; 3] = ["100644", "100755", "000000"];

/// What a patch job works with.
pub struct Patch<'a> {
    pub claim: &'a Claim,
    pub folder: &'a JobFolder,
    pub spool: &'a Spool,
    pub secrets: &'a JobSecrets,
    pub alarm: Alarm,
    pub pace: Pace,
}

/// The payload of a patch job.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order {
    /// What to change, as a unified diff.
    diff: Option<String>,
    /// Or in words, which the project's model turns into a diff.
    instruction: Option<String>,
    branch: Option<String>,
    message: Option<String>,
    /// The branch, tag or commit to patch; the daemon has read it already.
    #[serde(rename = "ref")]
    _reference: Option<String>,
}

impl Patch<'_> {
    /// Patches; the result is the job's result.
    pub async fn run(self) -> Result<Value, BuildEnd> {
        let order = self.order()?;
        let code = self.claim.code.as_ref();
        let code = code.ok_or_else(|| failed(FailureCode::CodeUnavailable, "the project has no code"))?;
        let branch = order.branch.unwrap_or_else(|| default_branch(&self.claim.job.job_id));
        let place = Source::try_from(&Code { url: code.url.clone(), reference: branch.clone() });
        place.map_err(|error| failed(FailureCode::PatchInvalid, &format!("branch: {error}")))?;
        let source = Source::try_from(code)
            .map_err(|error| failed(FailureCode::CodeUnavailable, &error.to_string()))?
            .with_secrets(self.secrets);
        let base = self.fetch(&source).await?;
        let (text, is_counted) = match (order.diff, &order.instruction) {
            (Some(diff), _) => (diff, true),
            (None, instruction) => {
                (self.asked(&source, instruction.as_deref().unwrap_or_default()).await?, false)
            }
        };
        std::fs::write(self.folder.diff(), &text)?;
        let diff = self.folder.diff().into_os_string();
        // A model writes the lines right and counts them wrong.
        let recount = if is_counted { "--no-recount" } else { "--recount" };
        let apply = ["--3way", "--index", "--whitespace=nowarn", recount, "--"].map(OsString::from);
        let applied = self.git(&source, "apply", [&apply[..], &[diff]].concat()).await;
        if let Err(CheckoutError::Git { said, .. }) = &applied {
            return Err(self.conflict(&source, said).await?);
        }
        applied.map_err(ended)?;
        self.check_modes(&source).await?;
        let message = order.message.unwrap_or_else(|| format!("Patch by {}", self.claim.job.job_id));
        self.run_git(
            &source,
            "commit",
            &["--quiet", "--no-verify", "--no-gpg-sign", &format!("--message={message}")],
        )
        .await?;
        let commit = self.run_git(&source, "rev-parse", &["--verify", "HEAD^{commit}"]).await?;
        let target = format!("HEAD:refs/heads/{branch}");
        self.run_git(&source, "push", &["--quiet", "--no-verify", "--", &code.url, &target]).await?;
        self.spool.line(&format!("== pushed {commit} to {branch}"))?;
        Ok(json!({ "base": base, "commit": commit, "branch": branch }))
    }

    /// The diff that the project's model makes of an instruction.
    async fn asked(&self, source: &Source, instruction: &str) -> Result<String, BuildEnd> {
        self.spool.line("== asking the project's model for a diff")?;
        let listed = self.run_git(source, "ls-files", &[]).await?;
        let files: Vec<&str> = listed.lines().collect();
        let root = self.folder.code();
        let asked = Instruction {
            text: instruction,
            root: &root,
            files: &files,
            secrets: self.secrets,
            pace: self.pace,
        };
        let diff = tokio::select! {
            diff = asked.diff() => diff?,
            halt = self.alarm.clone().rung() => return Err(BuildEnd::Halted(halt)),
        };
        let diff = diff.trim_end().to_owned() + "\n";
        check(&diff)
            .map_err(|text| failed(FailureCode::PatchInvalid, &format!("the model's diff: {text}")))?;
        self.spool.line(&format!("== the model's diff has {} lines", diff.lines().count()))?;
        Ok(diff)
    }

    fn order(&self) -> Result<Order, BuildEnd> {
        let invalid = |text: String| failed(FailureCode::PatchInvalid, &text);
        let order: Order = serde_json::from_value(self.claim.job.payload.clone()).map_err(|error| {
            invalid(format!(
                "the payload is diff or instruction, and if you like ref, branch and message: {error}"
            ))
        })?;
        if order.message.as_ref().is_some_and(|text| text.trim().is_empty() || text.len() > MESSAGE_BYTES_MAX)
        {
            return Err(invalid(format!("a message has 1 to {MESSAGE_BYTES_MAX} bytes")));
        }
        match (&order.diff, &order.instruction) {
            (Some(diff), None) => check(diff).map_err(invalid)?,
            (None, Some(text)) if (1..=INSTRUCTION_BYTES_MAX).contains(&text.trim().len()) => {}
            (None, Some(_)) => {
                return Err(invalid(format!("an instruction has 1 to {INSTRUCTION_BYTES_MAX} bytes")));
            }
            _ => return Err(invalid("the payload has a diff or an instruction, one of them".to_owned())),
        }
        Ok(order)
    }

    async fn fetch(&self, source: &Source) -> Result<String, BuildEnd> {
        let alarm = self.alarm.within(Instant::now(), CHECKOUT_MAX);
        let mut output = |bytes: &[u8]| self.spool.write(bytes).map_err(io::Error::other);
        let halt = std::pin::pin!(alarm.rung());
        let checked_out = checkout::checkout(source, &self.folder.code(), &mut output, halt).await;
        checked_out.map_err(|error| match error {
            CheckoutError::Git { .. } => failed(FailureCode::CodeUnavailable, &error.to_string()),
            other => ended(other),
        })
    }

    async fn run_git(
        &self,
        source: &Source,
        verb: &'static str,
        arguments: &[&str],
    ) -> Result<String, BuildEnd> {
        self.git(source, verb, arguments.iter().map(OsString::from).collect()).await.map_err(ended)
    }

    async fn git(
        &self,
        source: &Source,
        verb: &'static str,
        arguments: Vec<OsString>,
    ) -> Result<String, CheckoutError<Halt>> {
        let alarm = self.alarm.within(Instant::now(), GIT_MAX);
        let mut output = |bytes: &[u8]| self.spool.write(bytes).map_err(io::Error::other);
        let mut halt = std::pin::pin!(alarm.rung());
        checkout::git(source, &self.folder.code(), (verb, &arguments), &mut output, &mut halt).await
    }

    /// What git has in its index must be plain files, whatever the diff looked like.
    async fn check_modes(&self, source: &Source) -> Result<(), BuildEnd> {
        let raw = self.run_git(source, "diff-index", &["--cached", "--no-renames", "HEAD", "--"]).await?;
        let odd = raw
            .lines()
            .filter_map(|line| line.strip_prefix(':')?.split(' ').nth(1))
            .find(|mode| !MODES.contains(mode));
        match odd {
            Some(mode) => {
                Err(failed(FailureCode::PatchInvalid, &format!("the diff makes an entry of mode {mode}")))
            }
            None if raw.is_empty() => Err(failed(FailureCode::PatchInvalid, "the diff changes nothing")),
            None => Ok(()),
        }
    }

    /// Which files do not take the diff, and at which lines.
    async fn conflict(&self, source: &Source, said: &str) -> Result<BuildEnd, BuildEnd> {
        let unmerged = self.run_git(source, "diff", &["--name-only", "--diff-filter=U"]).await?;
        let mut files: Vec<(String, Vec<u64>)> = Vec::new();
        for path in unmerged.lines() {
            let text = std::fs::read_to_string(self.folder.code().join(path)).unwrap_or_default();
            let marks = text.lines().zip(1..).filter(|(line, _)| line.starts_with("<<<<<<< "));
            files.push((path.to_owned(), marks.map(|(_, number)| number).take(HUNKS_MAX).collect()));
        }
        for (path, line) in said.lines().filter_map(refused_hunk) {
            match files.iter_mut().find(|(known, _)| known == path) {
                Some((_, hunks)) if hunks.len() < HUNKS_MAX && !hunks.contains(&line) => hunks.push(line),
                Some(_) => {}
                None => files.push((path.to_owned(), vec![line])),
            }
        }
        let files: Vec<Value> =
            files.into_iter().map(|(path, hunks)| json!({ "path": path, "hunks": hunks })).collect();
        let message = format!("the diff does not apply: {said}");
        let failure = Failure {
            details: json!({ "files": files }),
            ..Failure::new(FailureCode::PatchConflict, message)
        };
        Ok(BuildEnd::Failed(failure))
    }
}

/// `error: patch failed: src/a.rs:12`.
fn refused_hunk(line: &str) -> Option<(&str, u64)> {
    let (path, line) = line.strip_prefix("error: patch failed: ")?.rsplit_once(':')?;
    Some((path, line.parse().ok()?))
}

fn default_branch(job: &crate::id::JobId) -> String {
    let id = job.as_str();
    format!("mrx/patch-{}", &id[id.len() - 8..])
}

/// Refuses a diff that reaches outside of plain files of the code. Every line outside of hunks is looked at as a header,
/// and so is every line inside that looks like one: a harmless diff hardly has one.
fn check(diff: &str) -> Result<(), String> {
    if diff.trim().is_empty() || diff.len() > DIFF_BYTES_MAX {
        return Err(format!("a diff has 1 to {DIFF_BYTES_MAX} bytes, and this has {}", diff.len()));
    }
    for line in diff.lines() {
        if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
            return Err("the diff changes binary files; upload them as artifacts".to_owned());
        }
        let mode = ["new file mode ", "new mode ", "old mode ", "deleted file mode "];
        if let Some(mode) = mode.iter().find_map(|start| line.strip_prefix(start))
            && !MODES.contains(&mode.trim())
        {
            return Err(format!("the diff has an entry of mode {mode}; only plain files are patched"));
        }
        if line.starts_with("index ") && (line.ends_with(" 120000") || line.ends_with(" 160000")) {
            return Err("the diff changes a symbolic link or a submodule".to_owned());
        }
        let path = ["--- ", "+++ ", "rename from ", "rename to ", "copy from ", "copy to "];
        if let Some(path) = path.iter().find_map(|start| line.strip_prefix(start))
            && !is_path(path.split('\t').next().unwrap_or(path))
        {
            return Err(format!(
                "the diff names a path that is not patched: {:?}",
                path.chars().take(80).collect::<String>()
            ));
        }
    }
    Ok(())
}

/// Whether a path stays within the code and away from git's own files.
fn is_path(path: &str) -> bool {
    let part_is_good = |part: &str| {
        let lower = part.to_ascii_lowercase();
        !matches!(part, "" | "." | "..")
            && lower != ".git"
            && lower != ".gitmodules"
            && !lower.starts_with("git~")
    };
    path == "/dev/null"
        || (!path.starts_with(['/', '"'])
            && !path.contains(|c: char| c == '\\' || c.is_control())
            && path.split('/').all(part_is_good))
}

fn failed(code: FailureCode, text: &str) -> BuildEnd {
    BuildEnd::Failed(Failure::new(code, text))
}

fn ended(error: CheckoutError<Halt>) -> BuildEnd {
    match error {
        CheckoutError::Git { .. } => failed(FailureCode::PatchRefused, &error.to_string()),
        CheckoutError::Io(error) => error.into(),
        CheckoutError::Halted(Halt::BuildTimedOut) => {
            failed(FailureCode::BuildTimedOut, "the patch took too long")
        }
        CheckoutError::Halted(halt) => BuildEnd::Halted(halt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_that_reaches_outside_of_plain_files_is_refused() {
        let diff = |path: &str| format!("--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n");
        assert_eq!(check(&diff("src/a.rs")), Ok(()));
        assert_eq!(check("--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+b\n"), Ok(()));
        for bad in ["../x", ".git/config", "a/.GIT/hooks/x", ".gitmodules", "a//b", "git~1/x", "a\\b"] {
            assert!(check(&diff(bad)).is_err(), "{bad}");
        }
        for bad in [
            "",
            "--- /etc/passwd\n+++ /etc/passwd\n",
            "--- \"a/x\"\n",
            "rename to ../x\n",
            "new file mode 120000\n",
            "new file mode 160000\n",
            "index 1..2 120000\n",
            "GIT binary patch\nliteral 0\n",
            &"a".repeat(DIFF_BYTES_MAX + 1),
        ] {
            assert!(check(bad).is_err(), "{bad:.60}");
        }
    }

    #[test]
    fn git_tells_the_hunk_that_it_refused() {
        assert_eq!(refused_hunk("error: patch failed: src/a.rs:12"), Some(("src/a.rs", 12)));
        assert_eq!(refused_hunk("error: src/a.rs: patch does not apply"), None);
    }
}
