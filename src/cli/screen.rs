//! What may reach a terminal: text that others wrote is data, and must not steer the screen that shows it.
//!
//! A program that writes a log can send any bytes. Colours are kept; everything else that moves a cursor, sets a title, asks
//! the terminal a question or hides text is left out.

/// A control sequence that is longer than this is none; what follows is text again.
const SEQUENCE_CHARS_MAX: usize = 4096;

/// Where in a control sequence the reader is.
#[derive(Debug, Default, Clone, PartialEq)]
enum Place {
    #[default]
    Text,
    /// Behind ESC.
    Escape,
    /// In `ESC [ …`, with its parameters so far.
    Control(String),
    /// In a string for the terminal (`ESC ] …`), which BEL or `ESC \` ends; so many characters long.
    String(usize),
}

/// Makes what arrives in pieces fit for a terminal.
#[derive(Debug, Default)]
pub struct Screen {
    place: Place,
    /// The beginning of a character whose rest has not come.
    rest: Vec<u8>,
    is_after_return: bool,
}

impl Screen {
    /// What of these bytes may be shown.
    pub fn show(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let whole = whole_characters(&self.rest);
        let rest = self.rest.split_off(whole);
        let text = String::from_utf8_lossy(&std::mem::replace(&mut self.rest, rest)).into_owned();
        let mut shown = String::with_capacity(text.len());
        text.chars().for_each(|character| self.take(character, &mut shown));
        shown
    }

    fn take(&mut self, character: char, shown: &mut String) {
        // A line's end also ends what was begun and never finished.
        let place = if character == '\n' { Place::Text } else { std::mem::take(&mut self.place) };
        self.place = match (place, character) {
            (_, '\u{18}' | '\u{1a}') => Place::Text,
            (Place::String(_), '\u{7}') => Place::Text,
            (_, '\u{1b}') => Place::Escape,
            (Place::Text, _) => {
                self.take_text(character, shown);
                Place::Text
            }
            (Place::Escape, '[') => Place::Control(String::new()),
            (Place::Escape, ']' | 'P' | 'X' | '^' | '_') => Place::String(0),
            (Place::Escape, ' '..='/') => Place::Escape,
            (Place::Escape, _) => Place::Text,
            (Place::Control(parameters), '@'..='~') => {
                if character == 'm' && is_colour(&parameters) {
                    shown.push_str("\u{1b}[");
                    shown.push_str(&parameters);
                    shown.push('m');
                }
                Place::Text
            }
            (Place::Control(parameters), _) if parameters.len() >= SEQUENCE_CHARS_MAX => Place::Text,
            (Place::Control(mut parameters), _) => {
                parameters.push(character);
                Place::Control(parameters)
            }
            (Place::String(length), _) if length >= SEQUENCE_CHARS_MAX => Place::Text,
            (Place::String(length), _) => Place::String(length + 1),
        };
        self.is_after_return = character == '\r';
    }

    /// A return to the line's start would let later text cover earlier, so it becomes a line of its own.
    fn take_text(&mut self, character: char, shown: &mut String) {
        match character {
            '\r' => shown.push('\n'),
            '\n' if self.is_after_return => {}
            '\n' | '\t' => shown.push(character),
            _ if is_steering(character) => {}
            _ => shown.push(character),
        }
    }
}

/// How many of these bytes are whole characters, or can never become one.
fn whole_characters(bytes: &[u8]) -> usize {
    let start = bytes.len().saturating_sub(3);
    for at in (start..bytes.len()).rev() {
        let needs = match bytes[at] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return bytes.len(),
        };
        return if at + needs > bytes.len() { at } else { bytes.len() };
    }
    bytes.len()
}

/// Colours and weights: digits between semicolons and colons.
fn is_colour(parameters: &str) -> bool {
    parameters.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':'))
}

/// Control characters, and those that turn the direction of text, so that it reads as another.
fn is_steering(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text of others as a part of one line.
pub fn one_line(text: &str) -> String {
    let spaced = text.chars().map(|character| if character.is_whitespace() { ' ' } else { character });
    spaced.filter(|character| !is_steering(*character)).collect()
}

/// JSON whose text cannot steer a terminal: what JSON lets stand as it is and a terminal may obey is written as an escape,
/// which means the same.
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => shown.push(character),
            _ if is_steering(character) => shown.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[&[u8]]) -> String {
        let mut screen = Screen::default();
        pieces.iter().map(|piece| screen.show(piece)).collect()
    }

    #[test]
    fn colours_stay_and_what_steers_the_terminal_goes() {
        assert_eq!(shown(&[b"\x1b[1;31mred\x1b[0m"]), "\u{1b}[1;31mred\u{1b}[0m");
        assert_eq!(shown(&[b"\x1b[38:2::1:2:3mx"]), "\u{1b}[38:2::1:2:3mx");
        for (steering, left) in [
            (&b"a\x1b[2Jb"[..], "ab"),
            (b"a\x1b[10;10Hb", "ab"),
            (b"a\x1b[?1049hb", "ab"),
            (b"a\x1b[>4mb", "ab"),
            (b"a\x1b]0;title\x07b", "ab"),
            (b"a\x1b]52;c;cGFzdGU=\x1b\\b", "ab"),
            (b"a\x1bPq#0\x1b\\b", "ab"),
            (b"a\x1b(0b", "ab"),
            (b"a\x1bcb", "ab"),
            (b"a\x08\x07\x0bb", "ab"),
            ("a\u{9b}2Jb".as_bytes(), "a2Jb"),
            ("a\u{202e}b".as_bytes(), "ab"),
        ] {
            assert_eq!(shown(&[steering]), left, "{steering:?}");
        }
    }

    #[test]
    fn a_sequence_or_a_character_may_come_in_pieces() {
        assert_eq!(shown(&[b"a\x1b", b"[2", b"Jb\x1b[3", b"2mc"]), "ab\u{1b}[32mc");
        assert_eq!(shown(&[b"gr\xc3", b"\xbc\xc3\x9fe \xf0\x9f", b"\x8e", b"\x89"]), "grüße 🎉");
        assert_eq!(shown(&[b"\xff\xfeok"]), "\u{fffd}\u{fffd}ok");
    }

    #[test]
    fn an_unfinished_sequence_ends_with_its_line() {
        assert_eq!(shown(&[b"a\x1b]0;never\nb"]), "a\nb");
        assert_eq!(shown(&[b"a\x1b[31\nb"]), "a\nb");
        let endless = [&b"\x1b]"[..], &[b'x'; SEQUENCE_CHARS_MAX + 2], b"back"].concat();
        assert!(shown(&[&endless]).ends_with("back"));
    }

    #[test]
    fn a_return_does_not_cover_what_was_there() {
        assert_eq!(shown(&[b"10%\r20%\r\nend\r", b"\n"]), "10%\n20%\nend\n");
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(one_line("a\tb\nc\u{1b}[2J"), "a b c[2J");
    }

    #[test]
    fn json_means_the_same_and_steers_nothing() {
        let text = "{\"a\": \"x\u{9b}31m\u{202e}\"}\n";
        let safe = json(text);
        assert!(safe.chars().all(|c| c == '\n' || !is_steering(c)), "{safe:?}");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&safe), parse(text));
    }
}
