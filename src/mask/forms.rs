//! How a value can look in text: as it is, line by line, and in the encodings that programs print.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What is shorter stands in text by chance: hiding it would hide other text.
pub const CHARS_MIN: usize = 6;
/// A longer text is looked for in pieces, so that never more than a piece must be held back.
const PIECE_BYTES: usize = 512;
/// Where programs break lines of base64: MIME and `base64`, PEM.
const WRAPPED_COLUMNS: [usize; 2] = [76, 64];
/// The last line of wrapped base64 counts only if it is long enough not to stand there by chance.
const WRAPPED_CHARS_MIN: usize = 8;
/// The fewest characters of base64 that a shift of a text of 6 bytes leaves.
const BASE64_CHARS_MIN: usize = 6;

/// An encoding, the commonest first: if there is no room for all, the last ones are not looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// None.
    Raw,
    /// Standard and for URLs, at each of three shifts, and broken into lines.
    Base64,
    /// As JSON libraries write it.
    Json,
    /// As in addresses and forms.
    Percent,
    /// Two digits a byte.
    Hex,
}

/// All of them.
pub const ENCODINGS: [Encoding; 5] =
    [Encoding::Raw, Encoding::Base64, Encoding::Json, Encoding::Percent, Encoding::Hex];

/// Every form of a value in one encoding.
pub fn forms(value: &str, encoding: Encoding) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    for unit in units(value) {
        for piece in pieces(unit) {
            add(&mut found, piece, encoding);
        }
        if encoding == Encoding::Base64 {
            found.extend(wrapped(unit));
        }
    }
    found
}

/// The whole value, without white space around it too, and each line that is long enough.
fn units(value: &str) -> BTreeSet<&str> {
    let lines = value.lines().flat_map(|line| [line, line.trim()]);
    let all = [value, value.trim()].into_iter().chain(lines);
    all.filter(|unit| unit.chars().count() >= CHARS_MIN).collect()
}

/// The text in pieces of about the same length, none of them short.
fn pieces(text: &str) -> Vec<&str> {
    let count = text.len().div_ceil(PIECE_BYTES);
    let mut pieces = Vec::with_capacity(count);
    let mut rest = text;
    for left in (1..=count).rev() {
        let (piece, behind) = rest.split_at(rest.ceil_char_boundary(rest.len() / left));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

fn add(found: &mut BTreeSet<Vec<u8>>, text: &str, encoding: Encoding) {
    match encoding {
        Encoding::Raw => drop(found.insert(text.as_bytes().to_vec())),
        Encoding::Base64 => found.extend(base64(text.as_bytes())),
        Encoding::Json => found.extend(json(text)),
        Encoding::Percent => found.extend(percent(text)),
        Encoding::Hex => {
            let lower: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            found.insert(lower.to_ascii_uppercase().into_bytes());
            found.insert(lower.into_bytes());
        }
    }
}

/// Base64 of the text inside other bytes: one form for each place in a group of three, without the characters at the edges
/// that also tell of the bytes beside it.
fn base64(text: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (shift, not_ours) in [(0, 0), (1, 2), (2, 3)] {
        let shifted = [&[0; 2][..shift], text].concat();
        let shared_at_end = usize::from(shifted.len() % 3 != 0);
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            let core = &encoded.as_bytes()[not_ours..encoded.len() - shared_at_end];
            if core.len() >= BASE64_CHARS_MIN {
                found.push(core.to_vec());
            }
        }
    }
    found
}

/// The lines of base64 of the text alone, as programs break it.
fn wrapped(text: &str) -> Vec<Vec<u8>> {
    let encoded = STANDARD.encode(text);
    let broken = WRAPPED_COLUMNS.into_iter().filter(|columns| encoded.len() > *columns);
    let lines = broken.flat_map(|columns| encoded.as_bytes().chunks(columns));
    lines.filter(|line| line.len() >= WRAPPED_CHARS_MIN).map(<[u8]>::to_vec).collect()
}

/// As serde and others write it, as Rust shows it, with slashes escaped, with `<>&` escaped, and with all but ASCII escaped.
fn json(text: &str) -> Vec<Vec<u8>> {
    let quoted = serde_json::to_string(text).expect("text is JSON");
    let plain = quoted[1..quoted.len() - 1].to_owned();
    let shown = format!("{text:?}");
    let html = plain.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let all = [plain.clone(), shown[1..shown.len() - 1].to_owned(), html];
    let slashed = all.clone().map(|form| form.replace('/', "\\/"));
    let both = all.into_iter().chain(slashed);
    both.flat_map(|form| [ascii(&form, false), ascii(&form, true), form]).map(String::into_bytes).collect()
}

fn ascii(text: &str, upper: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
        }
    }
    out
}

/// What encoders keep besides letters and digits: RFC 3986; Python; JavaScript's two; forms; nothing at all.
const KEPT: [&str; 5] = ["-._~", "-._~/", "-._~!*'()", "-._~!*'();,/?:@&=+$#", "-._*"];

fn percent(text: &str) -> Vec<Vec<u8>> {
    let kept = KEPT.into_iter().map(|kept| encoded(text, |byte| is_plain(byte, kept)));
    let forms: Vec<String> = kept.chain([encoded(text, |_| false)]).collect();
    let with_plus = forms.iter().map(|form| form.replace("%20", "+"));
    let upper: BTreeSet<String> = forms.iter().cloned().chain(with_plus).collect();
    upper.into_iter().flat_map(|form| [lower_digits(&form), form]).map(String::into_bytes).collect()
}

fn is_plain(byte: u8, kept: &str) -> bool {
    byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte)
}

fn encoded(text: &str, is_kept: impl Fn(u8) -> bool) -> String {
    let one = |byte: u8| if is_kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// The same with the digits behind each `%` in lower case. No form has a `%` of its own.
fn lower_digits(form: &str) -> String {
    let mut left = 0;
    let lower = |c: char| {
        let is_digit = left > 0;
        left = if c == '%' { 2 } else { usize::saturating_sub(left, 1) };
        if is_digit { c.to_ascii_lowercase() } else { c }
    };
    form.chars().map(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: &str, encoding: Encoding) -> Vec<String> {
        forms(value, encoding).into_iter().map(|form| String::from_utf8(form).unwrap()).collect()
    }

    #[test]
    fn a_value_of_many_lines_is_looked_for_whole_and_by_its_longer_lines() {
        let found = texts("{\n  \"key\": 1\n}\nlast line\n", Encoding::Raw);
        assert!(found.contains(&"\"key\": 1".to_owned()) && found.contains(&"last line".to_owned()));
        assert!(!found.iter().any(|form| form == "{" || form == "}"), "{found:?}");
    }

    #[test]
    fn base64_is_found_wherever_the_value_stands_among_other_bytes() {
        let found = texts("secret?>value", Encoding::Base64);
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "x", "xy", "xyz"] {
                let text = format!("{before}secret?>value{after}");
                for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                    assert!(found.iter().any(|form| encoded.contains(form)), "{text}: {encoded}");
                }
            }
        }
    }

    #[test]
    fn addresses_forms_and_json_are_known() {
        let percent = texts("a b/c~é=ü", Encoding::Percent);
        for form in ["a%20b%2Fc~%C3%A9%3D%C3%BC", "a+b%2fc%7e%c3%a9%3d%c3%bc", "a%20b/c~%C3%A9=%C3%BC"] {
            assert!(percent.contains(&form.to_owned()), "{form} in {percent:?}");
        }
        let json = texts("a\"b\n<é/", Encoding::Json);
        for form in ["a\\\"b\\n<é/", "a\\\"b\\n\\u003c\\u00e9/", "a\\\"b\\n<\\u00E9\\/"] {
            assert!(json.contains(&form.to_owned()), "{form} in {json:?}");
        }
    }

    #[test]
    fn a_long_value_is_looked_for_in_pieces_that_are_not_short() {
        for length in [511, 512, 513, 1025, 65_536] {
            let found = forms(&"x".repeat(length), Encoding::Raw);
            assert!(found.iter().all(|form| (256..=513).contains(&form.len())), "{length}");
        }
    }
}
