//! Merges a file of state that two sides have changed, field by field and never as text. Pure.
//!
//! A map is merged by its keys; a text, a number or a list is taken whole. Where both sides changed the same thing in two ways
//! ours stands, and the other way is told. `updatedAt` is the later of two.

use serde_json::{Map, Value};

use crate::clock::Time;
use crate::state::yaml;

/// The field that says when something last changed: two sides that changed two other fields both changed it.
const UPDATED_AT: &str = "updatedAt";

/// A file of both sides, and of the commit they come from; absent where it is not there.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// As it was.
    pub base: Option<&'a [u8]>,
    /// As the state has it.
    pub ours: Option<&'a [u8]>,
    /// As the remote has it.
    pub theirs: Option<&'a [u8]>,
}

/// What the file becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// What it holds from now on, nothing if it goes; absent if it stays as ours.
    pub file: Option<Option<Vec<u8>>>,
    /// What both sides changed in two ways.
    pub clashes: Vec<Clash>,
}

/// A field, or the whole file, that both sides changed in two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The field; the whole file if absent.
    pub field: Option<String>,
    /// The three values.
    pub base: Option<String>,
    /// Ours.
    pub ours: Option<String>,
    /// Theirs.
    pub theirs: Option<String>,
}

/// Merges one file.
pub fn file(sides: Sides<'_>) -> Merged {
    let Sides { base, ours, theirs } = sides;
    if theirs == ours || theirs == base {
        return Merged { file: None, clashes: Vec::new() };
    }
    if ours == base {
        return Merged { file: Some(theirs.map(<[u8]>::to_vec)), clashes: Vec::new() };
    }
    let maps = (map(base), map(ours), map(theirs));
    let (Some(base_map), Some(ours_map), Some(theirs_map)) = maps else {
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let clash = Clash { field: None, base: text(base), ours: text(ours), theirs: text(theirs) };
        return Merged { file: None, clashes: vec![clash] };
    };
    let mut clashes = Vec::new();
    let merged = merge_maps("", &base_map, &ours_map, &theirs_map, &mut clashes);
    let file = (merged != ours_map).then(|| Some(yaml::write(&Value::Object(merged))));
    Merged { file, clashes }
}

fn map(bytes: Option<&[u8]>) -> Option<Map<String, Value>> {
    match yaml::read::<Value>("", "map", bytes?) {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    }
}

fn merge_maps(
    above: &str,
    base: &Map<String, Value>,
    ours: &Map<String, Value>,
    theirs: &Map<String, Value>,
    clashes: &mut Vec<Clash>,
) -> Map<String, Value> {
    let mut names: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut merged = Map::new();
    for name in names {
        let field = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let values = (base.get(name), ours.get(name), theirs.get(name));
        if let Some(value) = merge_values(field, values, clashes) {
            merged.insert(name.clone(), value);
        }
    }
    merged
}

type Three<'a> = (Option<&'a Value>, Option<&'a Value>, Option<&'a Value>);

fn merge_values(field: String, (base, ours, theirs): Three<'_>, clashes: &mut Vec<Clash>) -> Option<Value> {
    if theirs == ours || theirs == base {
        return ours.cloned();
    }
    if ours == base {
        return theirs.cloned();
    }
    if let (Some(Value::Object(ours)), Some(Value::Object(theirs))) = (ours, theirs) {
        let none = Map::new();
        let base = base.and_then(Value::as_object).unwrap_or(&none);
        return Some(Value::Object(merge_maps(&field, base, ours, theirs, clashes)));
    }
    if field == UPDATED_AT
        && let (Some(our_time), Some(their_time)) = (time(ours), time(theirs))
    {
        return if our_time >= their_time { ours.cloned() } else { theirs.cloned() };
    }
    let text = |value: Option<&Value>| {
        value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    clashes.push(Clash { field: Some(field), base: text(base), ours: text(ours), theirs: text(theirs) });
    ours.cloned()
}

fn time(value: Option<&Value>) -> Option<Time> {
    value?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: &str = "title: Plans\nmode: custom\npayload:\n  ref: main\n  steps: [a, b]\nupdatedAt: 2026-11-20T10:00:00.000Z\n";

    fn merged(base: &str, ours: &str, theirs: &str) -> (Value, Vec<String>) {
        let sides = Sides {
            base: Some(base.as_bytes()),
            ours: Some(ours.as_bytes()),
            theirs: Some(theirs.as_bytes()),
        };
        let merged = file(sides);
        let text = merged.file.map_or_else(|| ours.as_bytes().to_vec(), Option::unwrap);
        let fields = merged.clashes.into_iter().map(|clash| clash.field.unwrap_or_default()).collect();
        (yaml::read("", "", &text).unwrap(), fields)
    }

    #[test]
    fn two_fields_changed_on_two_sides_are_both_changed() {
        let ours = BASE.replace("Plans", "Our plans").replace("10:00", "10:01");
        let theirs = BASE.replace("ref: main", "ref: next").replace("10:00", "10:02");
        let (value, clashes) = merged(BASE, &ours, &theirs);
        assert_eq!(
            (value["title"].as_str(), value["payload"]["ref"].as_str()),
            (Some("Our plans"), Some("next"))
        );
        assert_eq!(value["updatedAt"], "2026-11-20T10:02:00.000Z");
        assert!(clashes.is_empty(), "{clashes:?}");
    }

    #[test]
    fn one_field_changed_in_two_ways_is_ours_and_is_told() {
        let ours = BASE.replace("[a, b]", "[a]").replace("Plans", "Ours");
        let theirs = BASE.replace("[a, b]", "[a, b, c]").replace("mode: custom\n", "");
        let (value, clashes) = merged(BASE, &ours, &theirs);
        assert_eq!(value["payload"]["steps"], serde_json::json!(["a"]));
        assert_eq!(value["title"], "Ours");
        assert!(value.get("mode").is_none(), "what they removed and we left is removed");
        assert_eq!(clashes, ["payload.steps"]);
    }

    #[test]
    fn a_file_that_is_no_map_or_is_gone_on_one_side_is_taken_whole_or_is_ours() {
        let gone = Sides { base: Some(b"a"), ours: Some(b"a"), theirs: None };
        assert_eq!(file(gone).file, Some(None));
        let both = file(Sides { base: Some(b"a"), ours: Some(b"b"), theirs: None });
        assert_eq!((both.file, both.clashes.len()), (None, 1));
        let new = file(Sides { base: None, ours: None, theirs: Some(b"x: 1") });
        assert_eq!(new.file, Some(Some(b"x: 1".to_vec())));
        let hostile = file(Sides { base: Some(b"x: 1"), ours: Some(b"x: 2"), theirs: Some(b"\xff{[") });
        assert_eq!((hostile.file, hostile.clashes.len()), (None, 1));
    }

    proptest! {
        #[test]
        fn what_one_side_alone_changed_stands_and_merging_again_changes_nothing(
            base in prop::collection::btree_map("[a-d]", 0..3u8, 0..4),
            ours in prop::collection::btree_map("[a-d]", 0..3u8, 0..4),
            theirs in prop::collection::btree_map("[a-d]", 0..3u8, 0..4),
        ) {
            let text = |map: &std::collections::BTreeMap<String, u8>| yaml::write(map);
            let (b, o, t) = (text(&base), text(&ours), text(&theirs));
            let once = file(Sides { base: Some(&b), ours: Some(&o), theirs: Some(&t) });
            let result = once.file.clone().flatten().unwrap_or(o);
            let value: std::collections::BTreeMap<String, u8> = yaml::read("", "", &result).unwrap();
            for name in ["a", "b", "c", "d"] {
                let (b, o, t) = (base.get(name), ours.get(name), theirs.get(name));
                let wanted = if o == b { t } else { o };
                prop_assert_eq!(value.get(name), wanted);
            }
            let again = file(Sides { base: Some(&t), ours: Some(&result), theirs: Some(&t) });
            prop_assert_eq!(again.file, None);
        }
    }
}
