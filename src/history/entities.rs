//! What happened to each thing of the state, whatever files it has: the files of a difference, put together by what they are of.

use serde::Serialize;
use utoipa::ToSchema;

use super::diff::{self, FieldDiff, What};
use crate::entity::Name;
use crate::state::history::{Content, FileChange, Touched};

/// A thing that something happened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntityChange {
    /// `job`, `chat`, `prompt`, `schedule`, `artifact`, `webhook`, `secret`, `project`, `code`, or `file` for any other.
    kind: &'static str,
    /// Its id or name; null where there is one alone. Of a file, its path.
    id: Option<String>,
    /// What happened to it. A job whose file moved as it ended is changed.
    change: What,
}

/// The same, with the fields that differ.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntityDiff {
    #[serde(flatten)]
    entity: EntityChange,
    /// The fields that differ; of a chat, those of its own file and then its messages' by file. None where a file is no YAML
    /// object or too large to be shown.
    fields: Vec<FieldDiff>,
}

/// The things that files are of, in the order of their first file.
pub fn touched(files: &[Touched]) -> Vec<EntityChange> {
    let mut found: Vec<(EntityChange, bool, bool)> = Vec::new();
    for file in files {
        let (kind, id) = named(&file.path);
        match found.iter_mut().find(|(known, ..)| known.kind == kind && known.id == id) {
            Some((_, was_there, is_there)) if counts(&file.path) => {
                *was_there |= file.was_there;
                *is_there |= file.is_there;
            }
            Some(_) => {}
            None => {
                // Messages come and go with a chat that is there, whose own file may be as it was.
                let (was, is) =
                    if counts(&file.path) { (file.was_there, file.is_there) } else { (false, false) };
                found.push((EntityChange { kind, id, change: What::Changed }, was, is));
            }
        }
    }
    found.into_iter().map(|(entity, was, is)| EntityChange { change: what(was, is), ..entity }).collect()
}

/// The same for files whose content is known, with the fields.
pub fn diffs(changes: &[FileChange]) -> Vec<EntityDiff> {
    let files: Vec<Touched> = changes
        .iter()
        .map(|change| Touched {
            path: change.path.clone(),
            was_there: change.old.is_some(),
            is_there: change.new.is_some(),
        })
        .collect();
    touched(&files)
        .into_iter()
        .map(|entity| {
            let of_it =
                changes.iter().filter(|change| named(&change.path) == (entity.kind, entity.id.clone()));
            EntityDiff { fields: fields(of_it.collect()), entity }
        })
        .collect()
}

/// Whether a file's coming and going is its thing's: all but a chat's messages and a secret's ciphertext.
fn counts(path: &str) -> bool {
    use crate::state::layout::place::Place;
    !matches!(Place::of(path), Some(Place::ChatSegment(..) | Place::Ciphertext(_)))
}

fn what(was_there: bool, is_there: bool) -> What {
    match (was_there, is_there) {
        (false, true) => What::Added,
        (true, false) => What::Removed,
        _ => What::Changed,
    }
}

fn named(path: &str) -> (&'static str, Option<String>) {
    match Name::of_path(path) {
        Some(name) => (name.kind(), name.id()),
        None => ("file", Some(path.to_owned())),
    }
}

/// A file that went and one that came are one that moved.
fn fields(changes: Vec<&FileChange>) -> Vec<FieldDiff> {
    let (moved, rest): (Vec<&FileChange>, Vec<&FileChange>) =
        changes.into_iter().partition(|change| counts(&change.path));
    let old: Option<&Content> = moved.iter().find_map(|change| change.old.as_ref());
    let new: Option<&Content> = moved.iter().find_map(|change| change.new.as_ref());
    let mut fields = diff::fields_between(old, new);
    for change in rest {
        fields.extend(diff::fields_between(change.old.as_ref(), change.new.as_ref()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::layout;
    use serde_json::json;

    const ID: &str = "01jd000000000000000000007k";

    fn change(path: &str, old: Option<&'static str>, new: Option<&'static str>) -> FileChange {
        let content = |text: &'static str| Content::Bytes(text.into());
        FileChange { path: path.to_owned(), old: old.map(content), new: new.map(content) }
    }

    fn told(changes: &[FileChange]) -> serde_json::Value {
        serde_json::to_value(diffs(changes)).unwrap()
    }

    #[test]
    fn a_job_that_ended_is_one_that_changed_and_not_two_files() {
        let job = format!("job-{ID}").parse().unwrap();
        let open = layout::open_job(&job);
        let done = layout::done_job_on(&job, "2026-11-20");
        let told = told(&[
            change(&done, None, Some("state: failed\nattempt: 1\n")),
            change(&open, Some("state: running\nattempt: 1\n"), None),
        ]);
        assert_eq!(
            told,
            json!([{ "kind": "job", "id": format!("job-{ID}"), "change": "changed",
                "fields": [{ "field": "state", "from": "running", "to": "failed" }] }])
        );
    }

    #[test]
    fn messages_change_their_chat_and_its_own_file_makes_and_removes_it() {
        let chat = format!("chat-{ID}").parse().unwrap();
        let (meta, segment) = (layout::chat(&chat), layout::chat_segment(&chat, 1));
        let change_of = |changes: &[FileChange]| told(changes)[0]["change"].clone();
        assert_eq!(change_of(&[change(&segment, None, Some("messages: []\n"))]), "changed");
        let made = [change(&meta, None, Some("title: a\n")), change(&segment, None, Some("messages: []\n"))];
        assert_eq!(change_of(&made), "added");
        assert_eq!(told(&made).as_array().unwrap().len(), 1);
        assert_eq!(
            change_of(&[change(&meta, Some("title: a\n"), None), change(&segment, Some("{}"), None)]),
            "removed"
        );
    }

    #[test]
    fn a_file_that_is_of_nothing_is_told_by_its_path() {
        let told = told(&[
            change("README.md", None, Some("hello")),
            change("project.yaml", Some("a: 1\n"), Some("a: 2\n")),
        ]);
        assert_eq!(told[0], json!({ "kind": "file", "id": "README.md", "change": "added", "fields": [] }));
        assert_eq!((&told[1]["kind"], &told[1]["id"]), (&json!("project"), &json!(null)));
    }
}
