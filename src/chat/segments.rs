//! Decides where a message goes and what a message may hold. Reads no clock and no disk.

use super::error::ChatError;
use super::types::{Message, Part, Segment};
use crate::state::yaml;

/// Messages of a segment: a page of a chat reads few files, and an append writes little anew.
pub const SEGMENT_MESSAGES_MAX: usize = 32;
/// Bytes of a segment's file, for the same reasons.
pub const SEGMENT_BYTES_MAX: usize = 64 << 10;
/// Bytes of one message in its file: the largest has a segment of its own, with room for the segment's own lines.
pub const MESSAGE_BYTES_MAX: usize = SEGMENT_BYTES_MAX - 4096;
/// Bytes of text of one message, in all its parts.
pub const TEXT_BYTES_MAX: usize = 32 << 10;
/// Parts of one message.
pub const PARTS_MAX: usize = 64;
/// What the file of a segment without messages has more than the head of one with some.
const EMPTY_LIST: &str = " []";
/// Messages of one chat: its folder of segments stays narrow, and nobody reads more.
pub const CHAT_MESSAGES_MAX: u64 = 10_000;

/// Refuses parts that are no message.
pub fn check_parts(parts: &[Part]) -> Result<(), ChatError> {
    let bytes: usize = parts.iter().map(|part| part.text().len()).sum();
    if parts.is_empty() || parts.len() > PARTS_MAX {
        return Err(ChatError::Invalid(format!("a message has 1 to {PARTS_MAX} parts, not {}", parts.len())));
    }
    if parts.iter().any(|part| matches!(part, Part::Text { text } if text.trim().is_empty())) {
        return Err(ChatError::Invalid("a part of text holds more than blanks".to_owned()));
    }
    if bytes > TEXT_BYTES_MAX {
        return Err(ChatError::TooLarge { bytes, most: TEXT_BYTES_MAX });
    }
    Ok(())
}

/// Refuses a message whose file form is too large: text of signs that must be escaped grows.
pub fn check_size(message: &Message) -> Result<(), ChatError> {
    let bytes = yaml::write(message).len();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(ChatError::TooLarge { bytes, most: MESSAGE_BYTES_MAX });
    }
    Ok(())
}

/// A segment that is being filled, and how many bytes its file has, of which some are there without any message.
pub struct Filling {
    segment: Segment,
    bytes: usize,
    head: usize,
}

impl Filling {
    /// From what a segment holds already.
    pub fn of(segment: Segment) -> Self {
        let empty = Segment { chat_id: segment.chat_id.clone(), messages: Vec::new() };
        let head = yaml::write(&empty).len() - EMPTY_LIST.len();
        let bytes = if segment.messages.is_empty() { head } else { yaml::write(&segment).len() };
        Self { segment, bytes, head }
    }

    /// Adds a message; gives it back if there is no room. Only that message is written, because messages stand below one
    /// another in the file: so many take time by their own length alone.
    pub fn add(&mut self, message: Message) -> Result<(), Box<Message>> {
        let alone = Segment { chat_id: self.segment.chat_id.clone(), messages: vec![message] };
        let more = yaml::write(&alone).len() - self.head;
        let has_room =
            self.segment.messages.len() < SEGMENT_MESSAGES_MAX && self.bytes + more <= SEGMENT_BYTES_MAX;
        for message in alone.messages {
            if !has_room {
                return Err(Box::new(message));
            }
            self.segment.messages.push(message);
            self.bytes += more;
        }
        Ok(())
    }

    /// What it holds.
    pub fn into_segment(self) -> Segment {
        self.segment
    }
}

/// An answer cut into texts that each fit into a message; `fits` tells of one text whether it does.
pub fn pieces(mut text: &str, fits: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let mut size = floor(text, TEXT_BYTES_MAX);
        while !fits(&text[..size]) && size > 1 {
            size = floor(text, size / 2).max(text.chars().next().map_or(1, char::len_utf8));
        }
        let (piece, rest) = text.split_at(size);
        pieces.push(piece);
        text = rest;
    }
    pieces
}

/// The last border between characters at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::types::{Author, Role};
    use crate::clock::Time;
    use crate::id::IdMaker;

    fn message(number: u64, text: &str) -> Message {
        Message {
            number,
            role: Role::User,
            author: Author { kind: "user".into(), name: "ada".into() },
            parts: vec![Part::Text { text: text.to_owned() }],
            job_id: None,
            model: None,
            interrupted: false,
            continued: false,
            created_at: Time::from_millis(1_763_663_400_000),
        }
    }

    fn empty() -> Segment {
        let chat_id = IdMaker::new().chat(&"mrx-a".parse().unwrap(), Time::from_millis(1_763_663_400_000));
        Segment { chat_id, messages: Vec::new() }
    }

    #[test]
    fn the_largest_message_fits_into_a_segment_of_its_own() {
        let largest = message(1, &"a".repeat(TEXT_BYTES_MAX));
        assert!(check_parts(&largest.parts).is_ok() && check_size(&largest).is_ok());
        assert!(Filling::of(empty()).add(largest).is_ok());
        assert!(check_parts(&[Part::Text { text: "a".repeat(TEXT_BYTES_MAX + 1) }]).is_err());
        let escaped = message(1, &"\u{1}".repeat(TEXT_BYTES_MAX));
        assert!(check_size(&escaped).is_err(), "each byte is several in the file");
    }

    #[test]
    fn a_segment_is_full_by_count_or_by_bytes() {
        let small = message(1, "hello");
        let mut segment = Filling::of(empty());
        for _ in 0..SEGMENT_MESSAGES_MAX {
            assert!(segment.add(small.clone()).is_ok());
        }
        assert_eq!(segment.add(small.clone()), Err(Box::new(small)));
        let large = message(1, &"a".repeat(TEXT_BYTES_MAX));
        let mut segment = Filling::of(empty());
        assert!(segment.add(large.clone()).is_ok());
        assert_eq!(segment.add(large.clone()), Err(Box::new(large)));
    }

    #[test]
    fn a_segment_that_is_filled_knows_the_length_of_its_file() {
        let mut segment = Filling::of(empty());
        for text in ["hello", "two\nlines", "- a\n  b: \"c\"", "\u{1}", &"long ".repeat(900), "é\n\n"] {
            assert!(segment.add(message(1, text)).is_ok());
            assert_eq!(segment.bytes, yaml::write(&segment.segment).len());
        }
        let again = Filling::of(segment.segment.clone());
        assert_eq!((again.bytes, again.head), (segment.bytes, segment.head));
    }

    #[test]
    fn a_long_answer_is_cut_between_characters_into_messages_that_fit() {
        let text = "\u{e4}\u{1}€".repeat(30_000);
        let fits = |piece: &str| check_size(&message(1, piece)).is_ok();
        let cut = pieces(&text, fits);
        assert_eq!(cut.concat(), text);
        assert!(cut.iter().all(|piece| piece.len() <= TEXT_BYTES_MAX && fits(piece)), "{}", cut.len());
    }
}
