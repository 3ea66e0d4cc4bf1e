//! Answers in the making, in memory alone: what an agent has sent of an answer so far, for whoever watches the chat.
//!
//! Nothing here is state. A restart forgets it, the agent is told so (`answerGap`, 0 bytes) and sends it again.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::error::ChatError;
use crate::id::JobId;

/// Bytes of one answer.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Answers that are held at once, which is 16 MiB at most; the one that was longest silent goes first, and its agent
/// sends it again if it goes on.
const ANSWERS_MAX: usize = 64;

/// The answers in the making. A clone is the same.
#[derive(Clone)]
pub struct Live(Arc<Held>);

struct Held {
    answers: Mutex<Answers>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Answers {
    by_job: HashMap<JobId, Partial>,
    moment: u64,
}

struct Partial {
    attempt: u32,
    text: String,
    touched: u64,
}

impl Default for Live {
    fn default() -> Self {
        Self(Arc::new(Held { answers: Mutex::default(), changed: watch::Sender::new(0) }))
    }
}

impl Live {
    /// Takes in text from byte `offset` on; what is here already is passed over. Tells how many bytes there are then.
    pub fn put(&self, job: &JobId, attempt: u32, offset: usize, text: &str) -> Result<usize, ChatError> {
        let size = self.0.answers.lock().put(job, attempt, offset, text)?;
        self.0.changed.send_modify(|count| *count += 1);
        Ok(size)
    }

    /// The text of an attempt from byte `from` on.
    pub fn read(&self, job: &JobId, attempt: u32, from: usize) -> Option<String> {
        let answers = self.0.answers.lock();
        let partial = answers.by_job.get(job).filter(|partial| partial.attempt == attempt)?;
        partial.text.get(from..).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The job has ended: what there was of its answer is in the chat, or nowhere.
    pub fn forget(&self, job: &JobId) {
        self.0.answers.lock().by_job.remove(job);
    }

    /// Changes whenever text arrives.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }
}

impl Answers {
    fn put(&mut self, job: &JobId, attempt: u32, offset: usize, text: &str) -> Result<usize, ChatError> {
        self.moment += 1;
        let touched = self.moment;
        if self.by_job.get(job).is_none_or(|partial| partial.attempt != attempt) {
            if offset != 0 {
                return Err(ChatError::AnswerGap { size: 0 });
            }
            self.make_room(job);
            self.by_job.insert(job.clone(), Partial { attempt, text: String::new(), touched });
        }
        let partial = self.by_job.get_mut(job).expect("it was put there");
        partial.touched = touched;
        let size = partial.text.len();
        let known = size.checked_sub(offset).ok_or(ChatError::AnswerGap { size })?;
        let Some(new) = text.get(known.min(text.len())..) else { return Err(ChatError::AnswerGap { size }) };
        if size + new.len() > ANSWER_BYTES_MAX {
            return Err(ChatError::AnswerTooLarge(ANSWER_BYTES_MAX));
        }
        partial.text.push_str(new);
        Ok(partial.text.len())
    }

    fn make_room(&mut self, job: &JobId) {
        if self.by_job.len() < ANSWERS_MAX || self.by_job.contains_key(job) {
            return;
        }
        let oldest =
            self.by_job.iter().min_by_key(|(_, partial)| partial.touched).map(|(job, _)| job.clone());
        oldest.into_iter().for_each(|oldest| drop(self.by_job.remove(&oldest)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::id::IdMaker;

    fn job() -> JobId {
        IdMaker::new().job(&"mrx-a".parse().unwrap(), Time::from_millis(1_763_663_400_000))
    }

    #[test]
    fn text_that_is_sent_again_is_there_once_and_a_gap_is_refused_with_the_place_to_go_on() {
        let (live, job) = (Live::default(), job());
        assert_eq!(live.put(&job, 1, 0, "Hello").unwrap(), 5);
        assert_eq!(live.put(&job, 1, 0, "Hello").unwrap(), 5);
        assert_eq!(live.put(&job, 1, 3, "lo, you").unwrap(), 10);
        assert!(matches!(live.put(&job, 1, 11, "x"), Err(ChatError::AnswerGap { size: 10 })));
        assert_eq!(live.read(&job, 1, 5).as_deref(), Some(", you"));
        assert_eq!(live.read(&job, 1, 10), None);
    }

    #[test]
    fn another_attempt_begins_anew_and_an_ended_one_is_forgotten() {
        let (live, job) = (Live::default(), job());
        live.put(&job, 1, 0, "old").unwrap();
        assert!(matches!(live.put(&job, 2, 3, "x"), Err(ChatError::AnswerGap { size: 0 })));
        live.put(&job, 2, 0, "new").unwrap();
        assert_eq!((live.read(&job, 1, 0), live.read(&job, 2, 0).as_deref()), (None, Some("new")));
        live.forget(&job);
        assert_eq!(live.read(&job, 2, 0), None);
    }

    #[test]
    fn an_answer_and_the_number_of_answers_are_bounded() {
        let (live, first) = (Live::default(), job());
        live.put(&first, 1, 0, &"a".repeat(ANSWER_BYTES_MAX)).unwrap();
        assert!(matches!(live.put(&first, 1, ANSWER_BYTES_MAX, "a"), Err(ChatError::AnswerTooLarge(_))));
        for _ in 0..ANSWERS_MAX {
            live.put(&job(), 1, 0, "b").unwrap();
        }
        assert_eq!(live.read(&first, 1, 0), None, "the one that was longest silent went");
    }
}
