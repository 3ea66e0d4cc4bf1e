//! The text of a commit: written from a change, and read back as the event it records.

use serde::Serialize;
use utoipa::ToSchema;

use super::edit::{Change, Cut, Step};
use super::epoch;
use super::oid::Oid;
use crate::clock::Time;
use crate::id::ProjectId;

/// By what the daemon's commits are known as its own.
pub(super) const DAEMON_EMAIL: &str = "daemon@mrx.invalid";

/// A commit in the making.
pub(super) struct CommitText<'a> {
    pub(super) tree: Oid,
    pub(super) parent: Oid,
    pub(super) change: &'a Change,
    pub(super) now: Time,
    /// The ref that keeps `parent`, if the commit begins a new epoch and has itself no parent.
    pub(super) archive: Option<&'a str>,
}

impl CommitText<'_> {
    /// The commit object's bytes. The author is who acted, the committer is the daemon.
    pub(super) fn encode(&self) -> Vec<u8> {
        let change = self.change;
        let mut out = Vec::with_capacity(512);
        let parent = if self.archive.is_some() { Oid::ZERO } else { self.parent };
        Self::write_place(self.tree, parent, &mut out);
        let (name, kind, seconds) = (&change.actor.name, change.actor.kind, self.now.seconds().to_string());
        let body = self.archive.map(|archive| epoch::body(self.parent, archive));
        let lines: [&str; 17] = [
            "\nauthor ",
            name,
            " <",
            name,
            "@",
            kind,
            ".mrx.invalid> ",
            &seconds,
            " +0000\ncommitter MrX <daemon@mrx.invalid> ",
            &seconds,
            " +0000\n\n",
            &change.subject,
            body.as_deref().unwrap_or_default(),
            "\n\nMrx-Event: ",
            change.event,
            "\nMrx-Actor: ",
            kind,
        ];
        lines.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        if let Some(request) = &change.request {
            out.extend_from_slice(b"\nMrx-Request: ");
            out.extend_from_slice(request.as_bytes());
        }
        if let Some(archive) = self.archive {
            epoch::write_trailers(self.parent, archive, &mut out);
        }
        out.push(b'\n');
        out
    }

    /// A commit that was made elsewhere, made anew with another tree and parent: its author, date and message stay, the daemon commits
    /// it, and a signature goes, because it was over another text. `None` if it is no commit.
    pub(super) fn replayed(text: &[u8], tree: Oid, parent: Oid, now: Time) -> Option<Vec<u8>> {
        let head = text.windows(2).position(|pair| pair == b"\n\n")?;
        let (head, message) = (&text[..head], &text[head + 2..]);
        let author = head.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"author "))?;
        let committer = format!("\ncommitter MrX <{DAEMON_EMAIL}> {} +0000\n\n", now.seconds());
        let mut out = Vec::with_capacity(text.len() + 128);
        Self::write_place(tree, parent, &mut out);
        out.push(b'\n');
        out.extend_from_slice(author);
        out.extend_from_slice(committer.as_bytes());
        out.extend_from_slice(message);
        Some(out)
    }

    /// What every commit begins with: its tree, and the commit that it stands on.
    pub(super) fn write_place(tree: Oid, parent: Oid, out: &mut Vec<u8>) {
        out.extend_from_slice(b"tree ");
        out.extend_from_slice(&tree.hex());
        if parent != Oid::ZERO {
            out.extend_from_slice(b"\nparent ");
            out.extend_from_slice(&parent.hex());
        }
    }
}

/// What a commit on a state branch says has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The project, if it happened to one.
    pub project_id: Option<ProjectId>,
    /// The commit that records it.
    pub commit: Oid,
    /// What happened: `job.claimed`; `commit` for one that somebody made by hand.
    pub event: String,
    /// The commit's first line.
    pub subject: String,
    /// Who did it: `agent builder-1`.
    pub actor: String,
    /// When, to the second as git has it.
    pub time: Time,
    /// The idempotency key of the request, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl Event {
    /// What a step that was just made says has happened.
    pub(super) fn of(step: &Step, project_id: Option<ProjectId>, commit: Oid, time: Time) -> Self {
        match step {
            Step::Own(change) | Step::Cut(Cut { change, .. }) => Self {
                project_id,
                commit,
                event: change.event.to_owned(),
                subject: change.subject.clone(),
                actor: format!("{} {}", change.actor.kind, change.actor.name),
                time,
                request: change.request.clone(),
            },
            Step::Foreign(foreign) => Self {
                project_id,
                commit,
                event: BY_HAND.to_owned(),
                subject: foreign.subject.clone(),
                actor: author_by_hand(&foreign.author),
                time,
                request: None,
            },
        }
    }
}

/// The event of a commit that stands in a repository.
pub(super) fn read_event(project_id: Option<ProjectId>, commit: &git2::Commit<'_>) -> Event {
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    let author = commit.author();
    let trailer = |key: &str| trailer(&message, key).map(str::to_owned);
    Event {
        project_id,
        commit: commit.id().into(),
        event: trailer("Mrx-Event").unwrap_or_else(|| BY_HAND.to_owned()),
        subject: message.lines().next().unwrap_or_default().to_owned(),
        actor: trailer("Mrx-Actor")
            .unwrap_or_else(|| author_by_hand(&String::from_utf8_lossy(author.name_bytes()))),
        time: Time::from_millis(u64::try_from(commit.time().seconds()).unwrap_or(0).saturating_mul(1000)),
        request: trailer("Mrx-Request"),
    }
}

/// The event of a commit that somebody made by hand.
pub(super) const BY_HAND: &str = "commit";

/// The actor of such a commit: what it says itself, so it is told apart from whom the daemon knows.
pub(super) fn author_by_hand(name: &str) -> String {
    format!("git {name}")
}

/// The value of a trailer, from the last paragraph of a message.
pub(super) fn trailer<'a>(message: &'a str, key: &str) -> Option<&'a str> {
    let last = message.trim_end().rsplit("\n\n").next()?;
    last.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_made_anew_keeps_author_date_and_message_and_loses_its_signature() {
        let (tree, parent) = (Oid([1; 20]), Oid([2; 20]));
        let text = "tree 00\nparent 11\nauthor Ada <ada@example.org> 1700000000 +0100\ncommitter Ada <ada@example.org> 1700000001 +0100\n\
                    gpgsig -----BEGIN SSH SIGNATURE-----\n author Eve <eve@example.org> 1 +0000\n -----END SSH SIGNATURE-----\n\nPlan\n\nauthor of all\n";
        let made = CommitText::replayed(text.as_bytes(), tree, parent, Time::from_millis(1_800_000_000_000));
        let wanted = format!(
            "tree {tree}\nparent {parent}\nauthor Ada <ada@example.org> 1700000000 +0100\n\
             committer MrX <daemon@mrx.invalid> 1800000000 +0000\n\nPlan\n\nauthor of all\n"
        );
        assert_eq!(String::from_utf8(made.unwrap()).unwrap(), wanted);
        let none =
            CommitText::replayed(b"tree 00\n\nauthor Eve <e> 1 +0000\n", tree, parent, Time::from_millis(0));
        assert_eq!(none, None, "the message is no header");
    }
}
