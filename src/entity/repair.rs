//! Decides what becomes of a file that somebody changes as a file, by a push or to undo: what its kind makes of it, or why it
//! stays as it is. Reads no clock and no disk.

use super::Name;
use super::kinds::{Kind, kind_of};
use crate::clock::Time;
use crate::id::ProjectId;
use crate::state::edit::Edit;
use crate::state::layout::place::Place;
use crate::state::oid::Oid;
use crate::state::yaml::BadFile;

/// What a decision about files goes by.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Whose state it is.
    pub project: &'a ProjectId,
    /// The time.
    pub now: Time,
    /// The newest commit of the state.
    pub tip: Oid,
    /// Whether outbound webhooks may call every address.
    pub allow_private_webhooks: bool,
}

/// Why a file is not what it would be, or must not become it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No file of a project's state has this path.
    #[error("{path}: no file of a project's state stands there")]
    NoPlace {
        /// The path.
        path: String,
    },
    /// The file cannot be read as what its path says, or breaks a rule of its kind.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// The file is not changed this way.
    #[error("{path}: {why}")]
    Kept {
        /// The path.
        path: String,
        /// Why, and what to do instead.
        why: String,
    },
}

impl Refusal {
    /// The file.
    pub fn path(&self) -> &str {
        match self {
            Self::NoPlace { path } | Self::Kept { path, .. } => path,
            Self::Bad(bad) => &bad.path,
        }
    }
}

/// Reads a file as what its path says it is, by the types and rules of today; tells what it is a file of.
pub fn check(facts: &Facts<'_>, path: &str, bytes: &[u8]) -> Result<Name, Refusal> {
    let (place, kind) = found(path)?;
    (kind.check)(facts, &place, bytes)?;
    Ok(Name::of(&place))
}

/// The edits by which the file at `path` becomes `new`, where the thing's file is `old` now; `None` is no file.
///
/// A kind may make of it something else than `new`: a job that was held waits again. `old` is the thing's present file,
/// wherever it stands; if the new one stands elsewhere, the old one goes.
pub fn repair(
    facts: &Facts<'_>,
    path: &str,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<Vec<Edit>, Refusal> {
    let (place, kind) = found(path)?;
    match (old, new) {
        (None, None) => Ok(Vec::new()),
        (Some(old), None) => (kind.remove)(facts, &place, old),
        (old, Some(new)) => (kind.put_back)(facts, &place, old, new),
    }
}

fn found(path: &str) -> Result<(Place, &'static Kind), Refusal> {
    let place = Place::of(path).ok_or_else(|| Refusal::NoPlace { path: path.to_owned() })?;
    let kind = kind_of(&place);
    Ok((place, kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Artifact;
    use crate::schedule::Schedule;
    use crate::state::layout;
    use crate::webhook::types::Webhook;

    const ID: &str = "01jd000000000000000000007k";

    fn facts(project: &ProjectId) -> Facts<'_> {
        let now = "2026-11-20T10:00:00.000Z".parse().unwrap();
        Facts { project, now, tip: Oid::ZERO, allow_private_webhooks: false }
    }

    fn schedule(cron: &str, last_run_at: &str) -> String {
        format!(
            "createdAt: 2026-11-01T00:00:00.000Z\ncron: {cron}\njobType: build\nlastRunAt: {last_run_at}\nname: nightly\n"
        )
    }

    fn webhook(url: &str, secret: &str, enabled: bool) -> String {
        format!(
            "after: {}\ncreatedAt: 2026-11-01T00:00:00.000Z\ncreatedBy: ada\nenabled: {enabled}\nevents: ['job.*']\n\
             sealedSecret: {secret}\nupdatedAt: 2026-11-01T00:00:00.000Z\nurl: {url}\nwebhookId: hook-{ID}\n",
            "1".repeat(40)
        )
    }

    fn why(path: &str, old: Option<&str>, new: Option<&str>) -> String {
        let project: ProjectId = "mrx-a".parse().unwrap();
        let done = repair(&facts(&project), path, old.map(str::as_bytes), new.map(str::as_bytes));
        done.map(|_| ()).unwrap_err().to_string()
    }

    fn repaired(path: &str, old: Option<&str>, new: Option<&str>) -> Vec<Edit> {
        let project: ProjectId = "mrx-a".parse().unwrap();
        repair(&facts(&project), path, old.map(str::as_bytes), new.map(str::as_bytes)).unwrap()
    }

    #[test]
    fn a_schedule_that_is_put_back_does_not_make_up_for_what_it_missed() {
        let (then, now) = (
            schedule("'0 3 * * *'", "2026-11-02T03:00:00.000Z"),
            schedule("'0 5 * * *'", "2026-11-19T05:00:00.000Z"),
        );
        let edits = repaired("schedules/nightly.yaml", Some(&now), Some(&then));
        let back: std::sync::Arc<Schedule> = edits[0].entity().unwrap().unwrap();
        assert_eq!(back.cron.to_string(), "0 3 * * *");
        assert_eq!(back.next_run_at, Some("2026-11-21T03:00:00.000Z".parse().unwrap()));
        assert_eq!(
            back.last_run_at,
            Some("2026-11-19T05:00:00.000Z".parse().unwrap()),
            "what has run has run"
        );
    }

    #[test]
    fn a_webhook_keeps_the_secret_it_has_now_and_goes_to_no_other_address() {
        let path = layout::webhook(&format!("hook-{ID}").parse().unwrap());
        let then = webhook("https://a.example/x", "old", true);
        let edits = repaired(&path, Some(&webhook("https://a.example/x", "new", false)), Some(&then));
        let back: std::sync::Arc<Webhook> = edits[0].entity().unwrap().unwrap();
        assert_eq!((back.sealed_secret.as_str(), back.enabled, back.after), ("new", true, Oid::ZERO));
        assert!(
            why(&path, Some(&webhook("https://b.example/x", "new", true)), Some(&then))
                .contains("another secret")
        );
        assert!(why(&path, None, Some(&then)).contains("its secret is gone"));
        assert!(
            why(&path, None, Some(&webhook("http://127.0.0.1/", "x", true)))
                .contains("is not a valid webhook file")
        );
    }

    #[test]
    fn secrets_and_the_daemons_own_files_stay_as_they_are() {
        let secret = "createdAt: 2026-11-01T00:00:00.000Z\ncreatedBy: ada\nkind: github\nname: github\nrecipients: []\nrotatedAt: null\n";
        assert!(why("secrets/github.yaml", None, Some(secret)).contains("never brought back"));
        assert!(
            why("secrets/github.age", None, Some("age-encryption.org/v1\n")).contains("never brought back")
        );
        assert!(why("secrets/github.yaml", Some(secret), None).contains("never brought back"));
        assert!(why("project.yaml", None, Some("projectId: mrx-a\n")).contains("the daemon alone"));
        assert!(why("code.yaml", None, Some("{}\n")).contains("sync"));
        assert_eq!(
            why("README.md", None, Some("hello")),
            "README.md: no file of a project's state stands there"
        );
    }

    #[test]
    fn a_file_of_the_past_must_be_one_of_today() {
        let path = layout::artifact(&format!("art-{ID}").parse().unwrap());
        let entry = |rest: &str| {
            format!(
                "artifactId: art-{ID}\nbuildNumber: null\ndrivePath: null\njobId: null\nname: a.bin\nsha256: {}\nsize: 3\nuploadedAt: 2026-11-01T00:00:00.000Z\n{rest}",
                "a".repeat(64)
            )
        };
        let edits = repaired(&path, None, Some(&entry("")));
        let back: std::sync::Arc<Artifact> = edits[0].entity().unwrap().unwrap();
        assert_eq!(back.name, "a.bin");
        assert!(why(&path, None, Some(&entry("color: red\n"))).contains("unknown field `color`"));
        assert!(why(&path, None, Some(&entry("").replace("a.bin", "a/b"))).contains("is no file name"));
        let elsewhere = layout::artifact(&"art-01jd000000000000000000007m".parse().unwrap());
        assert!(why(&elsewhere, None, Some(&entry(""))).contains("it says artifactId"));
        // What is broken now is no hindrance: putting back mends it.
        assert_eq!(repaired(&path, Some("{"), Some(&entry(""))).len(), 1);
        assert!(repaired(&path, Some("{"), None)[0].is_gone());
    }

    #[test]
    fn a_check_tells_what_the_file_is_of() {
        let project: ProjectId = "mrx-a".parse().unwrap();
        let name =
            check(&facts(&project), "schedules/nightly.yaml", schedule("'0 3 * * *'", "null").as_bytes());
        assert_eq!(name, Ok(Name::Schedule("nightly".parse().unwrap())));
        let bad = check(&facts(&project), "schedules/other.yaml", schedule("'0 3 * * *'", "null").as_bytes());
        assert_eq!(bad.unwrap_err().path(), "schedules/other.yaml");
    }
}
