//! Finds all forms of all values at once: the automaton of Aho and Corasick, whose state also tells how many of the last
//! bytes may be the beginning of a form. That is what a stream must hold back, and no more.

use serde_json::Value;

use super::forms::{ENCODINGS, forms};
use super::parts::parts;
use super::stream::Stream;
use super::text::SecretText;

/// At most this many nodes of 24 bytes. It is enough for the encodings of some hundred ordinary keys; the last encodings of
/// very many long values are left out, and that is said.
const NODES_MAX: usize = 4 << 20;
const NONE: u32 = 0;
/// What hides a byte, if no form has it: signs that a person takes for that, and at last one that no text has (SUB).
const COVERS: [u8; 7] = [b'*', b'#', b'~', b'|', b'^', b'_', 0x1a];

/// Where in the automaton a text is: 0 at its beginning.
pub type Place = u32;

/// All forms of some values.
#[derive(Clone, Default)]
pub struct Matcher {
    nodes: Vec<Node>,
    /// The children of the root by their byte.
    first: Vec<u32>,
    /// What hides a byte that must keep its place: one that is in no form, so that hiding a part of one breaks it.
    cover: u8,
}

#[derive(Clone, Copy, Default)]
struct Node {
    child: u32,
    sibling: u32,
    fail: u32,
    depth: u32,
    /// How long the longest form is that ends here; 0 if none does.
    longest: u32,
    byte: u8,
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[matcher of secrets]")
    }
}

impl Matcher {
    /// Of these values, and of those inside them.
    pub fn new<'a>(values: impl Iterator<Item = &'a SecretText> + Clone) -> Self {
        let all: Vec<SecretText> = values.clone().cloned().chain(values.flat_map(parts)).collect();
        let mut matcher = Self { nodes: vec![Node::default()], first: vec![NONE; 256], cover: b'*' };
        for encoding in ENCODINGS {
            for form in all.iter().flat_map(|value| forms(value.reveal(), encoding)) {
                if matcher.nodes.len() + form.len() > NODES_MAX {
                    tracing::warn!(
                        ?encoding,
                        "there are too many long secrets: not all of their encodings are hidden in logs"
                    );
                    break;
                }
                matcher.add(&form);
            }
        }
        matcher.link();
        let is_free = |cover: &u8| !matcher.nodes[1..].iter().any(|node| node.byte == *cover);
        matcher.cover = COVERS.into_iter().find(is_free).unwrap_or(COVERS[0]);
        matcher
    }

    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() <= 1
    }

    /// What hides a byte that must keep its place.
    pub fn cover(&self) -> u8 {
        self.cover
    }

    /// How many bytes the longest form has at most.
    pub fn form_bytes_max(&self) -> usize {
        self.nodes.iter().map(|node| node.depth as usize).max().unwrap_or_default()
    }

    fn add(&mut self, form: &[u8]) {
        let mut at = 0;
        for byte in form {
            at = match self.child(at, *byte) {
                NONE => self.grow(at, *byte),
                child => child,
            };
        }
        let node = &mut self.nodes[at as usize];
        node.longest = node.depth;
    }

    fn grow(&mut self, parent: u32, byte: u8) -> u32 {
        let new = u32::try_from(self.nodes.len()).expect("there are at most NODES_MAX nodes");
        let Node { child, depth, .. } = self.nodes[parent as usize];
        self.nodes.push(Node { sibling: child, depth: depth + 1, byte, ..Node::default() });
        self.nodes[parent as usize].child = new;
        if parent == 0 {
            self.first[usize::from(byte)] = new;
        }
        new
    }

    fn child(&self, at: u32, byte: u8) -> u32 {
        if at == 0 {
            return self.first[usize::from(byte)];
        }
        let mut child = self.nodes[at as usize].child;
        while child != NONE && self.nodes[child as usize].byte != byte {
            child = self.nodes[child as usize].sibling;
        }
        child
    }

    /// For each node, nearer ones first: where the longest ending of its text is that is a beginning too.
    fn link(&mut self) {
        let mut order: Vec<u32> = (1..self.nodes.len()).map(|at| at as u32).collect();
        order.sort_by_key(|at| self.nodes[*at as usize].depth);
        let mut parents = vec![0; self.nodes.len()];
        for at in 0..self.nodes.len() {
            let mut child = self.nodes[at].child;
            while child != NONE {
                parents[child as usize] = at as u32;
                child = self.nodes[child as usize].sibling;
            }
        }
        for at in order {
            let (parent, byte) = (parents[at as usize], self.nodes[at as usize].byte);
            let fail = if parent == 0 { 0 } else { self.step(self.nodes[parent as usize].fail, byte) };
            let longest = self.nodes[fail as usize].longest;
            let node = &mut self.nodes[at as usize];
            node.fail = fail;
            node.longest = node.longest.max(longest);
        }
    }

    /// Where a text is after one more byte.
    pub fn step(&self, mut at: Place, byte: u8) -> Place {
        loop {
            match self.child(at, byte) {
                NONE if at == 0 => return 0,
                NONE => at = self.nodes[at as usize].fail,
                child => return child,
            }
        }
    }

    /// How many of the last bytes may be the beginning of a form.
    pub fn undecided(&self, at: Place) -> usize {
        self.nodes[at as usize].depth as usize
    }

    /// How many of the last bytes are a form; 0 if they are none.
    pub fn found(&self, at: Place) -> usize {
        self.nodes[at as usize].longest as usize
    }

    /// The text with every form hidden; `None` if it has none.
    pub fn text(&self, text: &str) -> Option<String> {
        let mut stream = Stream::default();
        let mut hidden = stream.push(self, text.as_bytes());
        hidden.extend(stream.finish());
        stream.has_hidden().then(|| String::from_utf8_lossy(&hidden).into_owned())
    }

    /// Hides every form in texts, names and numbers of a value; tells whether there was one.
    pub fn json(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => self.text(text).map(|hidden| *text = hidden).is_some(),
            Value::Number(number) => {
                let hidden = self.text(&number.to_string());
                hidden.map(|hidden| *value = Value::String(hidden)).is_some()
            }
            Value::Array(items) => items.iter_mut().fold(false, |any, item| self.json(item) | any),
            Value::Object(map) => {
                let mut any = false;
                for (name, mut item) in std::mem::take(map) {
                    let hidden = self.text(&name);
                    any |= hidden.is_some() | self.json(&mut item);
                    map.insert(hidden.unwrap_or(name), item);
                }
                any
            }
            Value::Null | Value::Bool(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matcher(values: &[&str]) -> Matcher {
        let values: Vec<SecretText> = values.iter().map(|value| (*value).to_owned().into()).collect();
        Matcher::new(values.iter())
    }

    #[test]
    fn every_form_in_a_text_is_hidden_also_where_two_overlap() {
        let matcher = matcher(&["abcdef", "defghi"]);
        for (text, hidden) in [
            ("x abcdef y", "x [masked] y"),
            ("abcdefghi", "[masked]"),
            ("616263646566 YWJjZGVm", "[masked] [masked]"),
            ("ababcdef", "ab[masked]"),
        ] {
            assert_eq!(matcher.text(text).as_deref(), Some(hidden), "{text}");
        }
        assert_eq!(matcher.text("abcde defgh"), None);
        assert_eq!(Matcher::new([].iter()).text("abc"), None);
    }

    #[test]
    fn texts_names_and_numbers_of_a_result_are_hidden() {
        let matcher = matcher(&["abcdef", "12345678"]);
        let mut value = json!({ "a": ["x abcdef"], "abcdef": { "n": 12345678, "m": 1234, "ok": true } });
        assert!(matcher.json(&mut value));
        let hidden = json!({ "a": ["x [masked]"], "[masked]": { "n": "[masked]", "m": 1234, "ok": true } });
        assert_eq!(value, hidden);
        assert!(!matcher.json(&mut value));
    }
}
