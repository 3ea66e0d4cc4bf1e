//! Hides values in text that comes in parts: a form is found also where parts meet.

use super::matcher::{Matcher, Place};

/// What stands where a value stood.
pub const MASKED: &str = "[masked]";

/// A text on its way, of which the last bytes may still be held back.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    at: Place,
    held: Vec<u8>,
    /// What of `held` is hidden, as ranges in order.
    hidden: Vec<(usize, usize)>,
    /// Whether the last byte that left was hidden, so what follows it is the same `[masked]`.
    in_hidden: bool,
    has_hidden: bool,
}

impl Stream {
    /// Takes in a part; gives what is known by now.
    pub fn push(&mut self, matcher: &Matcher, part: &[u8]) -> Vec<u8> {
        if matcher.is_empty() {
            return part.to_vec();
        }
        for byte in part {
            self.held.push(*byte);
            self.at = matcher.step(self.at, *byte);
            let found = matcher.found(self.at);
            if found > 0 {
                self.has_hidden = true;
                hide(&mut self.hidden, self.held.len() - found, self.held.len());
            }
        }
        self.give(self.held.len() - matcher.undecided(self.at))
    }

    /// The text is over: gives what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        self.at = 0;
        self.give(self.held.len())
    }

    /// Whether anything was hidden up to now.
    pub fn has_hidden(&self) -> bool {
        self.has_hidden
    }

    fn give(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count);
        let mut from = 0;
        for (start, end) in self.hidden.iter().copied().take_while(|(start, _)| *start < count) {
            if start > from {
                self.in_hidden = false;
            }
            out.extend_from_slice(&self.held[from..start]);
            if !self.in_hidden {
                out.extend_from_slice(MASKED.as_bytes());
            }
            self.in_hidden = true;
            from = end.min(count);
        }
        if count > from {
            out.extend_from_slice(&self.held[from..count]);
            self.in_hidden = false;
        }
        self.held.drain(..count);
        self.hidden.retain_mut(|(start, end)| {
            (*start, *end) = (start.saturating_sub(count), end.saturating_sub(count));
            *end > 0
        });
        out
    }
}

/// Adds a range that ends where the text ends, joined with those that it touches.
fn hide(ranges: &mut Vec<(usize, usize)>, mut start: usize, end: usize) {
    while let Some((before, _)) = ranges.pop_if(|(_, last)| *last >= start) {
        start = start.min(before);
    }
    ranges.push((start, end));
}

/// Hides values in a part of a text whose bytes must keep their places: each is replaced by `*`, or by another sign if a value has that. What came before this
/// part, of which `at` tells, cannot be changed any more. Tells where the text is then, and whether anything was hidden.
pub fn hide_in_place(matcher: &Matcher, at: Place, part: &mut [u8]) -> (Place, bool) {
    let (at, ranges) = forms_in(matcher, at, part);
    cover(matcher, &ranges, part);
    (at, !ranges.is_empty())
}

/// What is known of a part whose bytes keep their places.
pub struct Settled {
    /// So many of its first bytes can be given away; the rest may be the beginning of a form, and is as it was.
    pub count: usize,
    /// Where the text is behind them.
    pub place: Place,
    /// Whether there was a form in the part.
    pub found: bool,
}

/// The same for a text that goes on: only what is settled is hidden, and what may be the beginning of a form is told apart. Put the rest
/// before the next part.
pub fn settle_in_place(matcher: &Matcher, at: Place, part: &mut [u8]) -> Settled {
    let (end, ranges) = forms_in(matcher, at, part);
    let undecided = part.len().saturating_sub(matcher.undecided(end));
    // What is in a form already is hidden as a whole.
    let inside = ranges.iter().find(|(start, end)| (*start..*end).contains(&undecided));
    let count = inside.map_or(undecided, |(_, end)| *end);
    let place = if count == part.len() { end } else { passed(matcher, at, &part[..count]) };
    let settled: Vec<(usize, usize)> = ranges.iter().copied().filter(|(_, end)| *end <= count).collect();
    cover(matcher, &settled, part);
    Settled { count, place, found: !ranges.is_empty() }
}

/// Where the text is behind these bytes.
pub fn passed(matcher: &Matcher, at: Place, bytes: &[u8]) -> Place {
    bytes.iter().fold(at, |at, byte| matcher.step(at, *byte))
}

/// Where the forms are in a part, as ranges in order; and where the text is behind it.
fn forms_in(matcher: &Matcher, mut at: Place, part: &[u8]) -> (Place, Vec<(usize, usize)>) {
    let mut ranges = Vec::new();
    if matcher.is_empty() {
        return (at, ranges);
    }
    for (place, byte) in part.iter().enumerate() {
        at = matcher.step(at, *byte);
        let found = matcher.found(at);
        if found > 0 {
            hide(&mut ranges, (place + 1).saturating_sub(found), place + 1);
        }
    }
    (at, ranges)
}

fn cover(matcher: &Matcher, ranges: &[(usize, usize)], part: &mut [u8]) {
    for (start, end) in ranges {
        part[*start..*end].fill(matcher.cover());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::SecretText;
    use crate::mask::forms::{ENCODINGS, Encoding, forms};
    use proptest::prelude::*;

    fn matcher(values: &[String]) -> Matcher {
        let values: Vec<SecretText> = values.iter().cloned().map(SecretText::from).collect();
        Matcher::new(values.iter())
    }

    /// The text in parts that end at these places.
    fn in_parts<'a>(text: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        ends.sort_unstable();
        ends.push(text.len());
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(&ends).map(|(start, end)| &text[start..*end]).collect()
    }

    fn contains(text: &[u8], form: &[u8]) -> bool {
        memchr::memmem::find(text, form).is_some()
    }

    fn survivors(text: &[u8], values: &[String]) -> Vec<String> {
        let all = values.iter().flat_map(|value| ENCODINGS.into_iter().flat_map(|e| forms(value, e)));
        all.filter(|form| contains(text, form))
            .map(|form| String::from_utf8_lossy(&form).into_owned())
            .collect()
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{6,40}",
            "[a-c]{6,9}",
            "\\PC{6,20}",
            "[a-z]{0,9}\n[a-z{}]{6,12}\n?",
            "[A-Za-z0-9+/=]{600,700}"
        ]
    }

    #[test]
    fn only_what_may_be_the_beginning_of_a_value_is_held_back() {
        let matcher = matcher(&["abcdef".to_owned()]);
        let mut stream = Stream::default();
        assert_eq!(stream.push(&matcher, b"x abc"), b"x ");
        assert_eq!(stream.push(&matcher, b"x ab"), b"abcx ");
        assert_eq!(stream.push(&matcher, b"cdef!"), b"[masked]!");
        assert_eq!(stream.push(&matcher, b"abc"), b"");
        assert_eq!(stream.finish(), b"abc");
    }

    #[test]
    fn in_place_bytes_keep_their_places_and_the_rest_of_a_split_value_is_hidden() {
        let matcher = matcher(&["abcdef".to_owned()]);
        let mut first = *b"1 abcdef abc";
        let (at, hidden) = hide_in_place(&matcher, 0, &mut first);
        assert_eq!((&first, hidden), (b"1 ****** abc", true));
        let mut second = *b"def abc";
        assert!(hide_in_place(&matcher, at, &mut second).1);
        assert_eq!(&second, b"*** abc");
    }

    #[test]
    fn in_place_what_may_be_the_beginning_of_a_value_is_told_apart_but_not_what_is_in_one() {
        let matcher = matcher(&["abcdef".to_owned(), "xyzxyz".to_owned()]);
        for (text, expected, count) in [
            ("1 abcdef abc", "1 ****** abc", 9),
            ("abcdex", "abcdex", 5),
            ("abcdeg", "abcdeg", 6),
            ("xyzxyz", "******", 6),
            ("xyzxyzxy", "******xy", 6),
        ] {
            let mut part = text.as_bytes().to_vec();
            let settled = settle_in_place(&matcher, 0, &mut part);
            assert_eq!(
                (String::from_utf8(part).unwrap().as_str(), settled.count),
                (expected, count),
                "{text}"
            );
        }
    }

    #[test]
    fn in_place_a_value_is_not_hidden_by_its_own_signs() {
        let matcher = matcher(&["******".to_owned(), "abcdef*".to_owned()]);
        let mut text = *b"****** abcdef";
        let (at, _) = hide_in_place(&matcher, 0, &mut text);
        assert_eq!(&text, b"###### abcdef");
        let mut rest = *b"*";
        hide_in_place(&matcher, at, &mut rest);
        assert_eq!(&rest, b"#");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
        #[test]
        fn no_form_of_a_value_survives_however_the_text_is_cut(
            values in prop::collection::vec(value(), 1..4),
            parts in prop::collection::vec(("[ -~]{0,12}", any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..12),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let all: Vec<Vec<u8>> = values.iter()
                .flat_map(|value| ENCODINGS.into_iter().flat_map(|e: Encoding| forms(value, e))).collect();
            prop_assume!(!all.is_empty());
            let mut text = Vec::new();
            for (plain, form, _) in &parts {
                text.extend_from_slice(plain.as_bytes());
                text.extend_from_slice(form.get::<Vec<u8>>(&all));
            }
            let matcher = matcher(&values);
            let (mut stream, mut hidden) = (Stream::default(), Vec::new());
            for part in in_parts(&text, &cuts) {
                hidden.extend(stream.push(&matcher, part));
            }
            hidden.extend(stream.finish());
            prop_assert_eq!(survivors(&hidden, &values), Vec::<String>::new());

            let (mut at, mut kept) = (0, Vec::new());
            for part in in_parts(&text, &cuts) {
                let mut part = part.to_vec();
                at = hide_in_place(&matcher, at, &mut part).0;
                kept.extend(part);
            }
            prop_assert_eq!(kept.len(), text.len());
            let whole = survivors(&kept, &values);
            prop_assert_eq!(whole, Vec::<String>::new());

            // What is held back makes it as if the text had come at once.
            let (mut at, mut given, mut held) = (0, Vec::new(), Vec::new());
            for part in in_parts(&text, &cuts) {
                held.extend_from_slice(part);
                let Settled { count, place, .. } = settle_in_place(&matcher, at, &mut held);
                prop_assert!(held.len() - count < matcher.form_bytes_max());
                at = place;
                given.extend(held.drain(..count));
            }
            hide_in_place(&matcher, at, &mut held);
            given.extend(held);
            let mut at_once = text.clone();
            hide_in_place(&matcher, 0, &mut at_once);
            prop_assert_eq!(given, at_once);
        }

        #[test]
        fn text_without_a_value_passes_unchanged(
            text in "[g-z \n]{0,200}", cuts in prop::collection::vec(any::<usize>(), 0..9),
        ) {
            let matcher = matcher(&["ABCDEF-0123".to_owned(), "GHIJKL%".to_owned()]);
            let (mut stream, mut out) = (Stream::default(), Vec::new());
            for part in in_parts(text.as_bytes(), &cuts) {
                out.extend(stream.push(&matcher, part));
            }
            out.extend(stream.finish());
            prop_assert_eq!(out, text.into_bytes());
            prop_assert!(!stream.has_hidden());
        }
    }
}
