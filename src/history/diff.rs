//! What a commit did to a file of state, in the words of the file: which fields were which, and are which since.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::state::history::{Content, FileChange};

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FileChangeKind)]
pub enum What {
    /// It was not there before.
    Added,
    /// It is another.
    Changed,
    /// It is gone.
    Removed,
}

/// A file that a commit changed.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileDiff {
    /// Where it is on the branch `state`.
    path: String,
    /// What happened to it.
    change: What,
    /// The fields that differ; none if it is no YAML object, or too large to be shown.
    fields: Vec<FieldDiff>,
    /// Its bytes before.
    size_before: Option<u64>,
    /// Its bytes since.
    size_after: Option<u64>,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldDiff {
    /// Its name, with a dot before each name inside it: `lease.id`.
    field: String,
    /// What it was; null if it was not there.
    from: Value,
    /// What it is; null if it is not there.
    to: Value,
}

/// What happened to a file, field by field.
pub fn of_file(change: &FileChange) -> FileDiff {
    let what = match (&change.old, &change.new) {
        (None, _) => What::Added,
        (_, None) => What::Removed,
        _ => What::Changed,
    };
    let fields = fields_between(change.old.as_ref(), change.new.as_ref());
    FileDiff {
        path: change.path.clone(),
        change: what,
        fields,
        size_before: change.old.as_ref().map(size),
        size_after: change.new.as_ref().map(size),
    }
}

/// The fields that differ between what a file held and what it holds; none if either is no YAML object.
pub fn fields_between(old: Option<&Content>, new: Option<&Content>) -> Vec<FieldDiff> {
    let mut fields = Vec::new();
    if let (Some(old), Some(new)) = (fields_of(old), fields_of(new)) {
        compare("", &old, &new, &mut fields);
    }
    fields
}

fn size(content: &Content) -> u64 {
    match content {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::Large(size) => *size,
    }
}

/// The fields of a file that is a YAML object; of one that is not there, none. `None` if it is something else.
fn fields_of(content: Option<&Content>) -> Option<Map<String, Value>> {
    match content {
        None => Some(Map::new()),
        Some(Content::Large(_)) => None,
        Some(Content::Bytes(bytes)) => serde_yaml::from_slice(bytes).ok(),
    }
}

fn compare(above: &str, old: &Map<String, Value>, new: &Map<String, Value>, fields: &mut Vec<FieldDiff>) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (from, to) = (old.get(name).unwrap_or(&Value::Null), new.get(name).unwrap_or(&Value::Null));
        let field = format!("{above}{name}");
        match (from, to) {
            _ if from == to => {}
            (Value::Object(from), Value::Object(to)) => compare(&format!("{field}."), from, to, fields),
            _ => fields.push(FieldDiff { field, from: from.clone(), to: to.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bytes(text: &'static str) -> Option<Content> {
        Some(Content::Bytes(text.into()))
    }

    fn diff(old: Option<Content>, new: Option<Content>) -> (What, Value) {
        let diff = of_file(&FileChange { path: "a.yaml".to_owned(), old, new });
        (
            diff.change,
            json!(
                diff.fields
                    .iter()
                    .map(|field| json!([field.field, field.from, field.to]))
                    .collect::<Vec<_>>()
            ),
        )
    }

    #[test]
    fn a_change_is_told_in_the_fields_that_differ_also_inside_others() {
        let (what, fields) = diff(
            bytes("state: pending\nname: a\nlease: {id: 1, x: 2}\n"),
            bytes("state: claimed\nname: a\nlease: {id: 3, x: 2}\nby: b\n"),
        );
        assert_eq!(what, What::Changed);
        assert_eq!(fields, json!([["by", null, "b"], ["lease.id", 1, 3], ["state", "pending", "claimed"]]));
        assert_eq!(diff(None, bytes("a: 1\n")), (What::Added, json!([["a", null, 1]])));
        assert_eq!(diff(bytes("a: 1\n"), None), (What::Removed, json!([["a", 1, null]])));
    }

    #[test]
    fn what_is_no_object_has_a_size_and_no_fields() {
        assert_eq!(diff(bytes("- 1\n"), bytes("- 2\n")).1, json!([]));
        assert_eq!(diff(bytes("a: [\n"), bytes("a: 1\n")).1, json!([]));
        assert_eq!(diff(Some(Content::Large(5_000_000)), bytes("a: 1\n")).1, json!([]));
    }
}
