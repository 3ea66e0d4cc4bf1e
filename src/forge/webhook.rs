//! What a delivery of GitHub means, once its signature is right. A delivery is a hint: what it says of repositories is not
//! believed, the forge is asked.

use std::collections::{HashSet, VecDeque};

use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use serde_json::Value;
use sha2::Sha256;

use super::github::shape::{is_branch, shortened};
use super::secret::Secret;
use crate::clock::Time;

/// How many deliveries are remembered, so that a repeated one has no effect; GitHub repeats only recent ones.
const DELIVERIES_MAX: usize = 10_000;
/// What is kept of a workflow's name.
const NAME_CHARS_MAX: usize = 100;

/// Whether `X-Hub-Signature-256` is the HMAC-SHA-256 of the body under the secret; compared in constant time.
pub fn is_signed(secret: &Secret, body: &[u8], signature: &str) -> bool {
    let Some(sum) = signature.strip_prefix("sha256=").and_then(bytes_of_hex) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else { return false };
    mac.update(body);
    mac.verify_slice(&sum).is_ok()
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != 32 {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// The deliveries that were taken lately.
#[derive(Default)]
pub struct Deliveries(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Deliveries {
    /// Notes a delivery; false if it was taken before.
    pub fn take(&self, id: &str) -> bool {
        let mut taken = self.0.lock();
        if !taken.known.insert(id.to_owned()) {
            return false;
        }
        taken.order.push_back(id.to_owned());
        if taken.order.len() > DELIVERIES_MAX {
            let oldest = taken.order.pop_front().expect("there are more than a few");
            taken.known.remove(&oldest);
        }
        true
    }

    /// Forgets a delivery that had no effect, so that GitHub may bring it again.
    pub fn give_back(&self, id: &str) {
        let mut taken = self.0.lock();
        taken.known.remove(id);
        taken.order.retain(|known| known != id);
    }
}

/// What a delivery says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The set of repositories may have changed: ask the forge.
    Look,
    /// A branch of a repository stands at another commit.
    Pushed {
        /// The repository's number.
        repository: u64,
        /// The branch.
        branch: String,
        /// Where it stands now.
        commit: String,
    },
    /// A workflow has come further.
    Workflow {
        /// The repository's number.
        repository: u64,
        /// The run.
        run: Run,
    },
    /// Nothing of interest.
    Nothing,
}

/// A run of a workflow, as GitHub tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: u64,
    /// The workflow's name.
    pub name: String,
    /// `queued`, `in_progress`, `completed`.
    pub status: String,
    /// `success`, `failure` and others, once it has ended.
    pub conclusion: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The commit it runs for.
    pub commit: String,
    /// When GitHub last changed it.
    pub updated_at: Time,
}

/// Decides what a delivery of this event means. What lacks a field that it must have means nothing.
pub fn hint(event: &str, payload: &Value) -> Hint {
    match event {
        "repository" | "installation" | "installation_repositories" => Hint::Look,
        "push" => pushed(payload).unwrap_or(Hint::Nothing),
        "workflow_run" => workflow(payload).unwrap_or(Hint::Nothing),
        _ => Hint::Nothing,
    }
}

/// Which branch of which repository, by its full name, a push has moved, and to which commit: what remotes go by.
pub fn moved_branch(event: &str, payload: &Value) -> Option<(String, String, String)> {
    let Hint::Pushed { branch, commit, .. } = hint(event, payload) else { return None };
    Some((payload.pointer("/repository/full_name")?.as_str()?.to_owned(), branch, commit))
}

fn pushed(payload: &Value) -> Option<Hint> {
    let branch =
        payload.get("ref")?.as_str()?.strip_prefix("refs/heads/").filter(|branch| is_branch(branch))?;
    let commit = commit_of(payload.get("after")?)?;
    // A branch that is gone stands at the commit of zeros.
    let is_gone = commit.bytes().all(|digit| digit == b'0');
    let repository = payload.pointer("/repository/id")?.as_u64()?;
    Some(if is_gone { Hint::Nothing } else { Hint::Pushed { repository, branch: branch.to_owned(), commit } })
}

fn workflow(payload: &Value) -> Option<Hint> {
    let run = payload.get("workflow_run")?;
    let text = |name: &str| run.get(name).and_then(Value::as_str).map(|text| shortened(text, NAME_CHARS_MAX));
    let run = Run {
        id: run.get("id")?.as_u64()?,
        name: text("name").unwrap_or_default(),
        status: text("status")?,
        conclusion: text("conclusion"),
        branch: text("head_branch"),
        commit: commit_of(run.get("head_sha")?)?,
        updated_at: text("updated_at")?.parse().ok()?,
    };
    Some(Hint::Workflow { repository: payload.pointer("/repository/id")?.as_u64()?, run })
}

fn commit_of(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let is_hex = text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_hex.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_signature_is_that_of_githubs_own_example() {
        // From GitHub's page "Validating webhook deliveries".
        let secret = Secret::from("It's a Secret to Everybody".to_owned());
        let right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(&secret, b"Hello, World!", right));
        assert!(!is_signed(&secret, b"Hello, World?", right));
        for wrong in ["", "sha256=", &right[7..], &right[..70], "sha1=757107ea", "sha256=é"] {
            assert!(!is_signed(&secret, b"Hello, World!", wrong), "{wrong}");
        }
    }

    #[test]
    fn a_delivery_counts_once_and_the_oldest_is_forgotten() {
        let deliveries = Deliveries::default();
        assert!(deliveries.take("first") && !deliveries.take("first"));
        (0..DELIVERIES_MAX).for_each(|n| assert!(deliveries.take(&n.to_string())));
        assert!(deliveries.take("first"), "it is long ago");
        deliveries.give_back("first");
        assert!(deliveries.take("first"));
    }

    #[test]
    fn a_push_is_of_a_branch_and_a_commit() {
        let commit = "a".repeat(40);
        let push = |reference: &str, after: &str| {
            hint("push", &json!({ "ref": reference, "after": after, "repository": { "id": 7 } }))
        };
        let expected = Hint::Pushed { repository: 7, branch: "main".to_owned(), commit: commit.clone() };
        assert_eq!(push("refs/heads/main", &commit), expected);
        for (reference, after) in [
            ("refs/tags/v1", commit.as_str()),
            ("refs/heads/main", "0000000000000000000000000000000000000000"),
            ("refs/heads/main", "HEAD"),
            ("refs/heads/../x", &commit),
        ] {
            assert_eq!(push(reference, after), Hint::Nothing, "{reference} {after}");
        }
    }

    #[test]
    fn a_push_names_the_repository_that_a_remote_may_be() {
        let commit = "a".repeat(40);
        let push = |name: Value| {
            let payload = json!({ "ref": "refs/heads/mrx/state", "after": commit, "repository": { "id": 7, "full_name": name } });
            moved_branch("push", &payload)
        };
        assert_eq!(
            push(json!("acme/state")),
            Some(("acme/state".to_owned(), "mrx/state".to_owned(), commit.clone()))
        );
        assert_eq!(push(json!(7)), None);
        assert_eq!(moved_branch("ping", &json!({})), None);
    }

    #[test]
    fn what_changes_the_set_of_repositories_is_looked_into_and_the_rest_is_nothing() {
        assert_eq!(hint("repository", &json!({ "action": "renamed" })), Hint::Look);
        assert_eq!(hint("ping", &json!({ "zen": "" })), Hint::Nothing);
        assert_eq!(hint("workflow_run", &json!([])), Hint::Nothing);
    }
}
