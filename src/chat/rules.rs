//! Decides whether a file of a chat is one. Reads no clock and no disk.

use super::chats::{PROMPT_BYTES_MAX, checked_title};
use super::segments::{CHAT_MESSAGES_MAX, SEGMENT_MESSAGES_MAX, check_parts, check_size};
use super::types::{Chat, Message, Prompt, Role, Segment};
use crate::state::layout::place::Place;

/// Says what is wrong with a chat's own file, if something is.
pub fn check_chat(chat: &Chat, place: &Place) -> Option<String> {
    match checked_title(chat.title.clone()) {
        _ if *place != Place::Chat(chat.chat_id.clone()) => Some(format!("it says chatId: {}", chat.chat_id)),
        Err(why) => Some(why.to_string()),
        _ if chat.messages > CHAT_MESSAGES_MAX => {
            Some(format!("it says messages: {}, and a chat has at most {CHAT_MESSAGES_MAX}", chat.messages))
        }
        _ if chat.last_segment > chat.messages || (chat.last_segment == 0) != (chat.messages == 0) => {
            Some(format!("it says lastSegment: {} of {} messages", chat.last_segment, chat.messages))
        }
        Ok(_) => None,
    }
}

/// Says what is wrong with a segment, if something is.
pub fn check_segment(segment: &Segment, place: &Place) -> Option<String> {
    let Place::ChatSegment(chat, first) = place else { return Some("it is no segment".to_owned()) };
    let count = segment.messages.len();
    if segment.chat_id != *chat {
        return Some(format!("it says chatId: {}", segment.chat_id));
    }
    if count == 0 || count > SEGMENT_MESSAGES_MAX {
        return Some(format!("it has {count} messages; a segment has 1 to {SEGMENT_MESSAGES_MAX}"));
    }
    (*first..).zip(&segment.messages).find_map(|(number, message)| wrong_message(number, message))
}

fn wrong_message(number: u64, message: &Message) -> Option<String> {
    if message.number != number {
        return Some(format!("it has message {} where number {number} belongs", message.number));
    }
    // An interrupted answer may be empty, and one may be longer than a person's message.
    let parts = if message.role == Role::User { check_parts(&message.parts) } else { Ok(()) };
    let bad = parts.and_then(|()| check_size(message)).err();
    bad.map(|why| format!("message {number}: {why}"))
}

/// Says what is wrong with a prompt, if something is.
pub fn check_prompt(prompt: &Prompt) -> Option<String> {
    let bytes = prompt.text.len();
    (bytes > PROMPT_BYTES_MAX)
        .then(|| format!("it has {bytes} bytes of text, and at most {PROMPT_BYTES_MAX} are kept"))
}

/// Says what is wrong with a chat and all its segments together, if something is: each message is there, once.
pub fn check_whole(chat: &Chat, segments: &[Segment]) -> Option<String> {
    let mut next = 1;
    let mut last_segment = 0;
    for segment in segments {
        let first = segment.messages.first().map_or(0, |message| message.number);
        if first != next {
            return Some(format!("its messages go on with {first} where {next} belongs"));
        }
        (last_segment, next) = (first, first + segment.messages.len() as u64);
    }
    let wrong = next != chat.messages + 1 || last_segment != chat.last_segment;
    wrong.then(|| {
        format!(
            "it says {} messages, the last from {} on, and has {} from {last_segment} on",
            chat.messages,
            chat.last_segment,
            next - 1
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::types::{Author, LlmMode, Part};
    use crate::clock::Time;
    use crate::id::ChatId;

    fn id() -> ChatId {
        "chat-01jd000000000000000000007k".parse().unwrap()
    }

    fn chat(messages: u64, last_segment: u64) -> Chat {
        let time = Time::from_millis(0);
        Chat {
            chat_id: id(),
            title: "A plan".to_owned(),
            llm_mode: LlmMode::Custom,
            messages,
            last_segment,
            last_job: None,
            created_at: time,
            updated_at: time,
        }
    }

    fn segment(numbers: std::ops::RangeInclusive<u64>) -> Segment {
        let message = |number| Message {
            number,
            role: Role::User,
            author: Author { kind: "user".to_owned(), name: "ada".to_owned() },
            parts: vec![Part::Text { text: "hello".to_owned() }],
            job_id: None,
            model: None,
            interrupted: false,
            continued: false,
            created_at: Time::from_millis(0),
        };
        Segment { chat_id: id(), messages: numbers.map(message).collect() }
    }

    #[test]
    fn a_segment_holds_its_messages_in_order_from_the_one_it_is_named_by() {
        assert_eq!(check_segment(&segment(3..=5), &Place::ChatSegment(id(), 3)), None);
        let wrong =
            |segment: &Segment, first| check_segment(segment, &Place::ChatSegment(id(), first)).unwrap();
        assert_eq!(wrong(&segment(3..=5), 2), "it has message 3 where number 2 belongs");
        assert_eq!(
            wrong(&Segment { messages: Vec::new(), ..segment(1..=1) }, 1),
            "it has 0 messages; a segment has 1 to 32"
        );
        assert!(check_segment(&segment(1..=33), &Place::ChatSegment(id(), 1)).is_some());
    }

    #[test]
    fn a_chats_file_and_its_segments_speak_of_the_same_messages() {
        assert_eq!(check_whole(&chat(0, 0), &[]), None);
        assert_eq!(check_whole(&chat(5, 3), &[segment(1..=2), segment(3..=5)]), None);
        for (chat, segments) in [
            (chat(5, 3), vec![segment(1..=2)]),
            (chat(2, 1), vec![segment(1..=2), segment(3..=5)]),
            (chat(5, 3), vec![segment(3..=5)]),
            (chat(5, 1), vec![segment(1..=2), segment(3..=5)]),
        ] {
            assert!(check_whole(&chat, &segments).is_some(), "{chat:?}");
        }
        assert_eq!(check_chat(&chat(5, 3), &Place::Chat(id())), None);
        assert!(check_chat(&chat(5, 6), &Place::Chat(id())).is_some());
        assert!(check_chat(&Chat { title: "a\nb".to_owned(), ..chat(0, 0) }, &Place::Chat(id())).is_some());
    }
}
