//! What a model's server can do to an agent, told with one that plays a script byte by byte.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::testing::hasty;
use super::*;

const KEY: &str = "canary-key-of-the-model";

/// A server that answers each connection with the next of these texts and then closes it.
struct Scripted {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

async fn scripted(answers: Vec<String>) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (heard, mut task) = (asked.clone(), JoinSet::new());
    task.spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = request(&mut stream).await;
            heard.lock().push(asked);
            for piece in answer.as_bytes().chunks(7) {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    Scripted { address, asked, _task: task }
}

/// Reads a request with the body that its length says.
async fn request(stream: &mut tokio::net::TcpStream) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().split("content-length: ").nth(1).unwrap_or("0").to_owned();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return text;
            }
        }
    }
}

fn stream(events: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{events}")
}

fn status(line: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {line}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn word(text: &str) -> String {
    format!("data: {}\r\n\r\n", json!({ "model": "tiny-1", "choices": [{ "delta": { "content": text } }] }))
}

const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

async fn ask(server: &Scripted) -> (String, Result<Finish, ModelError>) {
    let secret =
        format!("{{\"baseUrl\": \"{}\", \"model\": \"tiny\", \"apiKey\": \"{KEY}\"}}", server.address);
    let access = ModelAccess::parse(&secret.into(), false).unwrap();
    assert!(!format!("{access:?}").contains(KEY));
    let mut text = String::new();
    let turns = [Turn { role: "user", content: "hello".to_owned() }];
    let ended = access.ask(&turns, hasty(), |piece| text.push_str(piece)).await;
    (text, ended)
}

#[tokio::test]
async fn an_answer_is_heard_piece_by_piece_however_the_bytes_are_cut() {
    let server = scripted(vec![stream(&format!(": hello\n\n{}{}{END}", word("Grüße, "), word("€")))]).await;
    let (text, ended) = ask(&server).await;
    assert_eq!(text, "Grüße, €");
    let finish = ended.unwrap();
    assert_eq!((finish.model.as_deref(), finish.reason.as_deref()), (Some("tiny-1"), Some("stop")));
    let asked = server.asked.lock()[0].clone();
    assert!(asked.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("authorization: Bearer {KEY}")), "{asked}");
    assert!(asked.contains(r#""stream":true"#) && asked.contains(r#""content":"hello""#), "{asked}");
}

#[tokio::test]
async fn a_busy_server_is_asked_again_before_the_first_word() {
    let server = scripted(vec![
        status("429 Too Many Requests", "retry-after: 0\r\n", "{}"),
        status("503 Service Unavailable", "", ""),
        stream(""),
        String::new(),
        stream(&format!("{}{END}", word("Hi"))),
    ])
    .await;
    let (text, ended) = ask(&server).await;
    assert_eq!((text.as_str(), ended.unwrap().reason.as_deref()), ("Hi", Some("stop")));
    assert_eq!(server.asked.lock().len(), 5);
}

#[tokio::test]
async fn a_server_that_stays_busy_is_given_up_with_its_words() {
    let busy = status("429 Too Many Requests", "", r#"{"error": {"message": "quota is used up"}}"#);
    let (_, ended) = ask(&scripted(vec![busy; TRIES_MAX as usize]).await).await;
    assert_eq!(ended.unwrap_err(), ModelError::Busy("429 quota is used up".to_owned()));
}

#[tokio::test]
async fn a_refusal_is_told_at_once_in_the_servers_words_without_the_key() {
    let body = json!({ "error": { "message": format!("Incorrect API key: {KEY}\nsee docs") } }).to_string();
    let (_, ended) = ask(&scripted(vec![status("401 Unauthorized", "", &body)]).await).await;
    let reason = "Incorrect API key: [secret] see docs".to_owned();
    assert_eq!(ended.unwrap_err(), ModelError::Refused { status: 401, reason });
    let (_, ended) =
        ask(&scripted(vec![status("302 Found", "location: http://127.0.0.1:1/\r\n", "")]).await).await;
    assert!(matches!(ended.unwrap_err(), ModelError::Refused { status: 302, .. }), "no redirect is followed");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_asked_for_again() {
    let server = scripted(vec![stream(&word("Hel")), stream(&format!("{}{END}", word("Hello")))]).await;
    let (text, ended) = ask(&server).await;
    assert_eq!(text, "Hel");
    assert!(matches!(ended.unwrap_err(), ModelError::Cut { bytes: 3, .. }));
    assert_eq!(server.asked.lock().len(), 1);
    let error = format!("{}data: {{\"error\": {{\"message\": \"overloaded\"}}}}\n\n", word("Hel"));
    let (_, ended) = ask(&scripted(vec![stream(&error)]).await).await;
    assert_eq!(ended.unwrap_err(), ModelError::Cut { bytes: 3, cause: "overloaded".to_owned() });
}

#[tokio::test]
async fn an_endless_or_senseless_answer_is_ended() {
    let long = word(&"a".repeat(100_000)).repeat(3);
    assert_eq!(ask(&scripted(vec![stream(&long)]).await).await.1.unwrap_err(), ModelError::TooLong);
    let (_, ended) = ask(&scripted(vec![stream("data: {odd\n\n")]).await).await;
    assert!(matches!(ended.unwrap_err(), ModelError::Malformed(_)));
}

#[test]
fn the_secret_says_where_the_model_is_and_a_wrong_one_is_refused_without_being_shown() {
    let parse = |text: &str, openai| ModelAccess::parse(&text.to_owned().into(), openai);
    let access = parse("model: gpt\napiKey: abcdefgh\nmaxContextTokens: 1000", true).unwrap();
    assert_eq!((access.base.as_str(), access.answer_tokens), ("https://api.openai.com/v1", 500));
    assert_eq!(parse("model: gpt", false).unwrap_err(), BadAccess::NoAddress);
    for bad in ["ftp://x", "https://me:word@x", "https://x/?key=1", "x"] {
        let text = format!("{{model: a, baseUrl: \"{bad}\"}}");
        assert_eq!(parse(&text, true).unwrap_err(), BadAccess::Address, "{bad}");
    }
    let over = "{model: a, maxContextTokens: 10, maxAnswerTokens: 10}";
    assert_eq!(parse(over, true).unwrap_err(), BadAccess::Tokens);
    for bad in ["", "sk-canary", "{model: a, odd: canary}", "{model: [canary]}"] {
        let error = parse(bad, true).unwrap_err().to_string();
        assert!(error.starts_with("the secret llm is not") && !error.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn no_model_is_asked_at_an_address_of_the_machines_own_services() {
    for address in [
        "http://169.254.169.254/v1",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0/",
        "http://[fe80::1]/",
    ] {
        let secret = format!("{{model: a, baseUrl: \"{address}\"}}");
        let access = ModelAccess::parse(&secret.into(), false).unwrap();
        let ended = access.ask(&[], hasty(), |_| ()).await;
        assert!(matches!(ended, Err(ModelError::Malformed(_))), "{address}: {ended:?}");
    }
}
