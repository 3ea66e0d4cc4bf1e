//! Reads the files that a remote changed, before anything of the state is locked for them. What would take long to read, now or when
//! the state is changed, is set aside and becomes a conflict: it is not read any more. Knows nothing of the state.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::changes::{Changed, Theirs};
use super::chats::{self, Wrote};
use crate::git::pushed::{BRACKETED_BYTES_MAX, BRACKETS_MAX, is_slow_to_read};
use crate::id::ChatId;
use crate::state::layout::place::Place;

/// Values in all files of one merge, each as often as an alias says it: a chat of 10,000 messages has 200,000.
const VALUES_MAX: usize = 500_000;
/// How long files are read; what has not been read by then is set aside.
const READING_TIME_MAX: Duration = Duration::from_secs(10);

/// What the remote's branch has of its own, read.
#[derive(Debug)]
pub struct Reading {
    /// What it changed; what was set aside has an oddity.
    pub theirs: Theirs,
    /// What was written in each chat, or why that cannot be.
    pub wrote: BTreeMap<ChatId, Result<Option<Wrote>, String>>,
}

/// Reads it.
pub fn read(mut theirs: Theirs) -> Reading {
    let (mut left, begun) = (VALUES_MAX, Instant::now());
    for changed in &mut theirs.changed {
        if changed.oddity.is_none() && is_read(&changed.path) {
            changed.oddity = match begun.elapsed() > READING_TIME_MAX {
                true => Some(format!(
                    "the files before it took more than {} s to read: change fewer at a time",
                    READING_TIME_MAX.as_secs()
                )),
                false => oddity(changed, &mut left),
            };
        }
    }
    let wrote = by_chat(&theirs.changed).into_iter().map(|(id, changed)| {
        let wrote = chats::wrote(&id, &changed);
        (id, wrote)
    });
    let wrote = wrote.collect();
    Reading { theirs, wrote }
}

/// The files of chats, by chat.
pub fn by_chat(changed: &[Changed]) -> BTreeMap<ChatId, Vec<&Changed>> {
    let mut chats: BTreeMap<ChatId, Vec<&Changed>> = BTreeMap::new();
    for changed in changed {
        if let Some(Place::Chat(id) | Place::ChatSegment(id, _)) = Place::of(&changed.path) {
            chats.entry(id).or_default().push(changed);
        }
    }
    chats
}

/// Whether somebody will read it as YAML.
fn is_read(path: &str) -> bool {
    Place::of(path).is_some_and(|place| !matches!(place, Place::Ciphertext(_)))
}

/// Why one of a file's sides is not to be read. `left` is how many values may still be.
fn oddity(changed: &Changed, left: &mut usize) -> Option<String> {
    // What was there before may have been theirs, too.
    let sides = [("", &changed.theirs), ("before, ", &changed.base)];
    sides.into_iter().find_map(|(when, side)| {
        let why = why_not(side.as_deref()?, left)?;
        Some(format!("{when}{why}"))
    })
}

fn why_not(bytes: &[u8], left: &mut usize) -> Option<String> {
    if is_slow_to_read(bytes) {
        return Some(format!(
            "it has more than {BRACKETS_MAX} brackets and more than {BRACKETED_BYTES_MAX} bytes, and might take long to read"
        ));
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let before = *left;
    let counted = Count(left).deserialize(serde_yaml::Deserializer::from_str(text));
    match counted {
        Err(_) if *left == 0 => {
            *left = before;
            Some(format!(
                "with it there are more than {VALUES_MAX} values to read, each as often as an alias says it: change fewer at a time"
            ))
        }
        Err(error) => Some(format!("it is no YAML of a state: {error}")),
        Ok(()) => None,
    }
}

/// Counts down for each value; an error when there are none left.
struct Count<'a>(&'a mut usize);

impl Count<'_> {
    fn one<E: Error>(&mut self) -> Result<(), E> {
        *self.0 = self.0.checked_sub(1).ok_or_else(|| E::custom("there are too many values"))?;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(mut self, from: D) -> Result<(), D::Error> {
        self.one()?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map, a list, a text, a number, true, false or nothing")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Count(self.0))?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Count(self.0))?.is_some() {
            map.next_value_seed(Count(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::oid::Oid;

    fn set_aside(files: &[(&str, &str)]) -> Vec<Option<String>> {
        let changed = |(path, theirs): &(&str, &str)| Changed {
            path: (*path).to_owned(),
            base: None,
            theirs: Some(theirs.as_bytes().to_vec().into()),
            oddity: None,
        };
        let changed = files.iter().map(changed).collect();
        let reading = read(Theirs { tip: Oid::ZERO, is_joined: false, changed });
        reading.theirs.changed.into_iter().map(|changed| changed.oddity).collect()
    }

    #[test]
    fn files_that_would_take_long_to_read_are_set_aside_and_others_are_not() {
        let deep = "[".repeat(600_000);
        let wide = format!("a: &a [{}]\nb: [{}]\n", "1,".repeat(10_000), "*a,".repeat(1000));
        let many = "- 1\n".repeat(VALUES_MAX / 2);
        let files = [
            ("schedules/a.yaml", deep.as_str()),
            ("schedules/b.yaml", &wide),
            ("schedules/c.yaml", &many),
            ("schedules/d.yaml", &many),
            ("schedules/e.yaml", "name: e\nlist: [1, 1.5, true, null, {a: b}]\n"),
            ("schedules/f.yaml", "a: ["),
            ("secrets/x.age", &deep),
        ];
        let why: Vec<String> = set_aside(&files).into_iter().map(Option::unwrap_or_default).collect();
        for (why, wanted) in why.iter().zip([
            "take long",
            "more than 500000 values",
            "",
            "more than 500000 values",
            "",
            "it is no YAML",
            "",
        ]) {
            assert!(why.contains(wanted) && why.is_empty() == wanted.is_empty(), "{why:?} for {wanted:?}");
        }
    }
}
