//! How a text stands in YAML: plain where every reader takes it for text, as a block of lines, or quoted.

use std::fmt::Write;

/// Words that YAML 1.1 or 1.2 readers take for something else than text, in lower case.
const RESERVED: [&str; 11] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"];

/// Writes a text as a value; `indent` is that of the line it stands on.
pub(super) fn write_value(out: &mut Vec<u8>, text: &str, indent: usize) {
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
    } else if is_block(text) {
        write_block(out, text, indent + 2);
    } else {
        write_quoted(out, text);
    }
}

/// Writes a text as a name.
pub(super) fn write_name(out: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_quoted(out, text);
    }
}

/// The bytes that a plain text may have.
const PLAIN: [bool; 256] = {
    let (mut plain, mut byte) = ([false; 256], 0);
    while byte < 128 {
        plain[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(
                byte as u8,
                b' ' | b'_'
                    | b'.'
                    | b'/'
                    | b':'
                    | b'+'
                    | b'@'
                    | b'%'
                    | b'-'
                    | b','
                    | b';'
                    | b'('
                    | b')'
                    | b'='
            );
        byte += 1;
    }
    plain
};

/// Whether the text means itself without quotes, to YAML 1.1 and 1.2 alike. Times stay plain, which people read best.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(first) = bytes.first() else { return false };
    let starts_well = first.is_ascii_alphanumeric() || matches!(first, b'/' | b'_');
    starts_well
        && bytes.iter().all(|byte| PLAIN[usize::from(*byte)])
        && !matches!(bytes.last(), Some(b' ' | b':'))
        && !bytes.windows(2).any(|pair| pair == b": ")
        && !(first.is_ascii_digit() && is_numeric(text))
        && !(text.len() <= 5 && RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word)))
}

/// Whether some reader may take a text that begins with a digit for a number: decimal, hexadecimal, with `_`, or in base 60.
fn is_numeric(text: &str) -> bool {
    text.parse::<f64>().is_ok()
        || text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b':' | b'.' | b',' | b'-'))
        || text.starts_with("0x")
        || text.starts_with("0o")
        || text.starts_with("0b")
}

/// Whether the text reads well as a block of lines: `|`.
fn is_block(text: &str) -> bool {
    let starts_well = text.chars().next().is_some_and(|first| !first.is_whitespace());
    let is_shown = |c: char| {
        c == '\n'
            || c == '\t'
            || (!c.is_control() && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}'))
    };
    text.contains('\n') && starts_well && !text.ends_with("\n\n") && text.chars().all(is_shown)
}

fn write_block(out: &mut Vec<u8>, text: &str, indent: usize) {
    let (lines, chomp) = match text.strip_suffix('\n') {
        Some(lines) => (lines, "|"),
        None => (text, "|-"),
    };
    out.extend_from_slice(chomp.as_bytes());
    for line in lines.split('\n') {
        out.push(b'\n');
        if !line.is_empty() {
            out.resize(out.len() + indent, b' ');
            out.extend_from_slice(line.as_bytes());
        }
    }
}

/// Double quotes, with the escapes that YAML shares with JSON, and `\x` for what else would not show.
fn write_quoted(out: &mut Vec<u8>, text: &str) {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') => {
                write!(quoted, "\\u{:04x}", u32::from(c)).expect("writing to a String does not fail");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    out.extend_from_slice(quoted.as_bytes());
}
