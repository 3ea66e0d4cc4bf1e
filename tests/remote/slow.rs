//! What a remote brings in that takes long to read, and claims beside it: nothing is read while the state is locked.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    chat, chat_file, chat_now, conflicts, good, is_the_same, message, replace, say, segment_file, sync,
    with_remote,
};
use crate::world::World;

/// The longest that a claim beside takes; read under the lock, a hostile file held it for 3.9 s and the messages for 2 s.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A job and its claim, again and again until `until` has ended; tells how long the slowest took, and what `until` gave.
async fn beside_claims<T>(world: &World, until: impl Future<Output = T>) -> (Duration, T) {
    let agent = world.agent("beside");
    let (mut slowest, mut until) = (Duration::ZERO, std::pin::pin!(until));
    loop {
        let begun = std::time::Instant::now();
        let claim = async {
            world.queue("build").await;
            let held = agent.claim_with(json!({ "types": ["build"] })).await;
            (begun.elapsed(), held.expect("there is a job"))
        };
        let mut claim = std::pin::pin!(claim);
        tokio::select! {
            ended = &mut until => return (slowest.max(claim.await.0), ended),
            (took, held) = &mut claim => {
                slowest = slowest.max(took);
                agent.say(&held, json!({ "state": "completed" })).await.expect(200);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_answered_at_once_while_a_file_of_a_remote_takes_long_to_read() {
    let (world, host) = with_remote().await;
    let both = chat(&world, "Plans").await;
    good(sync(&world).await);
    let copy = host.copy("ada").await;
    std::fs::create_dir_all(copy.join("schedules")).unwrap();
    let put = |name: &str, text: String| std::fs::write(copy.join("schedules").join(name), text).unwrap();
    put("deep.yaml", "[".repeat(700_000));
    let (list, aliases) = ("1,".repeat(20_000), "*a,".repeat(300));
    let head = "cron: \"0 3 * * *\"\njobType: build\ncreatedAt: 2026-01-01T00:00:00.000Z";
    put("wide.yaml", format!("name: wide\n{head}\npayload: {{ a: &a [{list}], b: [{aliases}] }}\n"));
    replace(&chat_file(&copy, &both), "title: Plans", "title: Their plans");
    let brought_in = async {
        host.merge(&copy, "Much to read").await;
        sync(&world).await
    };
    let (slowest, synced) = beside_claims(&world, brought_in).await;
    assert_eq!((synced.0, &synced.1["problem"]), (200, &Value::Null), "{}", synced.1);
    assert!(slowest < AT_ONCE, "a claim took {slowest:?}");
    assert_eq!(chat_now(&world, &both).await["title"], "Their plans", "the rest is brought in");
    let files = conflicts(&world).await;
    let told = |wanted: &str| files.iter().any(|(_, text)| text.contains(wanted));
    assert!(told("might take long to read") && told("more than 500000 values to read"), "{files:?}");
    good(sync(&world).await);
    is_the_same(&world, &host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_answered_at_once_while_many_messages_of_a_remote_come_in() {
    let (world, host) = with_remote().await;
    let both = chat(&world, "Plans").await;
    say(&world, &both, "First").await;
    good(sync(&world).await);
    let copy = host.copy("ada").await;
    let (last, text) = (8_000, "x".repeat(40));
    for first in std::iter::once(1).chain((33..last).step_by(32)) {
        let file = segment_file(&copy, &both, first);
        let known = std::fs::read_to_string(&file).unwrap_or_else(|_| format!("chatId: {both}\nmessages:\n"));
        let new = (first.max(2)..first + 32).map(|number| message(number, &text, 5));
        std::fs::write(&file, known + &new.collect::<String>()).unwrap();
    }
    replace(&chat_file(&copy, &both), "messages: 1", &format!("messages: {last}"));
    replace(&chat_file(&copy, &both), "lastSegment: 1", &format!("lastSegment: {}", last - 31));
    let brought_in = async {
        host.merge(&copy, "All of a book").await;
        sync(&world).await
    };
    let (slowest, synced) = beside_claims(&world, brought_in).await;
    assert_eq!((synced.0, &synced.1["problem"]), (200, &Value::Null), "{}", synced.1);
    eprintln!("{last} messages came in; the slowest claim beside took {slowest:?}");
    assert_eq!(chat_now(&world, &both).await["messages"], last);
    assert!(slowest < AT_ONCE, "a claim took {slowest:?}");
    good(sync(&world).await);
    is_the_same(&world, &host).await;
}
