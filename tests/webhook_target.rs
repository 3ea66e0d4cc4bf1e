//! Where webhooks do not go: each way inside is tried with real calls, to listeners that must hear nothing.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use mrx::webhook::names::Names;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::webhook_out::{Receiver, hook, hook_path, hooks};
use crate::world::World;

/// Names that lead where a story says, one list of addresses after the other; the last one stays.
#[derive(Clone)]
struct Told {
    lists: Arc<Mutex<Vec<Vec<IpAddr>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Told {
    fn new(lists: &[&[&str]]) -> Self {
        let told = Self { lists: Arc::default(), asked: Arc::default() };
        told.set(lists);
        told
    }

    fn set(&self, lists: &[&[&str]]) {
        let read = |list: &&[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect();
        *self.lists.lock() = lists.iter().rev().map(read).collect();
        self.asked.lock().clear();
    }

    fn names(&self) -> Names {
        let told = self.clone();
        Names::told_by(move |name| {
            told.asked.lock().push(name.to_owned());
            let mut lists = told.lists.lock();
            let list = lists.last().cloned().unwrap_or_default();
            if lists.len() > 1 {
                lists.pop();
            }
            list
        })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

/// A listener that must never be called, on all addresses of this machine.
struct Inside(TcpListener);

impl Inside {
    fn new() -> Self {
        let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn heard_nothing(&self) {
        let heard = self.0.accept().map(|(_, from)| from);
        assert!(heard.is_err(), "somebody came: {heard:?}");
    }
}

/// Pings; tells what the one attempt was.
async fn ping(world: &World, made: &Value) -> Value {
    let ping = world.admin().post(&format!("{}/ping", hook_path(made))).await.expect(200);
    assert_eq!(ping["attempts"].as_array().unwrap().len(), 1);
    ping["attempts"][0].clone()
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to_whatever_stands_beside_it() {
    let (inside, told) = (Inside::new(), Told::new(&[]));
    let world = World::with_webhooks(false, told.names()).await;
    let url = format!("https://hook.example.org:{}/", inside.port());
    let made = hook(&world, &url, &["job.created"]).await;
    let lists: [&[&str]; 10] = [
        &["127.0.0.1"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["::127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["0.0.0.0"],
        &["::"],
        &["10.0.0.1", "169.254.169.254"],
        &["192.0.1.1", "192.0.1.2", "127.0.0.1"],
        &[
            "192.0.1.1",
            "192.0.1.1",
            "192.0.1.1",
            "192.0.1.1",
            "192.0.1.1",
            "192.0.1.1",
            "192.0.1.1",
            "192.0.1.1",
            "::1",
        ],
    ];
    for list in lists {
        // Who asks a second time is told of a public address.
        told.set(&[list, &["192.0.1.1"]]);
        let attempt = ping(&world, &made).await;
        let problem = attempt["problem"].as_str().unwrap_or_default();
        assert!(problem.contains("not of the public internet"), "{list:?}: {attempt}");
        assert_eq!((told.asked().len(), attempt["status"].is_null()), (1, true), "{list:?}");
    }
    told.set(&[&[]]);
    assert_eq!(ping(&world, &made).await["problem"], "the name hook.example.org has no address");
    inside.heard_nothing();
}

#[tokio::test]
async fn an_address_inside_is_refused_when_it_is_written_and_again_when_it_is_called() {
    let receiver = Receiver::start().await;
    let mut world = World::with_webhooks(true, Names::default()).await;
    let made = hook(&world, &receiver.url, &["job.created"]).await;
    let outside = hook(&world, "https://hook.example.org/", &["job.created"]).await;
    assert_eq!(ping(&world, &made).await["status"], 200);
    world.reopen_with_private_webhooks(false).await;
    let inside = Inside::new();
    for host in
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.0.0.1."]
    {
        let url = json!({ "url": format!("https://{host}:{}/", inside.port()), "events": ["*"] });
        assert_eq!(world.admin().post(&hooks()).json(&url).await.refused(422), "webhookTarget", "{host}");
        let moved = json!({ "url": url["url"] });
        let moved = world.admin().patch(&hook_path(&outside)).json(&moved).await;
        assert_eq!(moved.refused(422), "webhookTarget", "{host}");
    }
    // The one that was allowed once is not called any more, neither when asked nor by an event.
    let attempt = ping(&world, &made).await;
    assert!(attempt["status"].is_null() && attempt["problem"].is_string(), "{attempt}");
    world.queue("build").await;
    world.published(crate::world::HELLO).await;
    world.reopen_with_private_webhooks(false).await;
    inside.heard_nothing();
    assert_eq!(receiver.after(1).await.len(), 1, "the ping of before, and no more");
}

#[tokio::test]
async fn a_call_goes_to_the_address_that_was_checked_though_the_name_leads_elsewhere_by_then() {
    let (receiver, told) = (Receiver::start().await, Told::new(&[]));
    let world = World::with_webhooks(true, told.names()).await;
    let port = receiver.url.rsplit(':').next().unwrap().to_owned();
    for (host, asked) in [
        ("hook.example.org", "hook.example.org"),
        ("HOOK.Example.org.", "hook.example.org."),
        ("hÖÖk.example.org", "xn--hk-fkaa.example.org"),
    ] {
        let made = hook(&world, &format!("http://{host}:{port}"), &["job.created"]).await;
        // Nobody listens at the second address.
        told.set(&[&["127.0.0.1"], &["127.0.0.99"]]);
        assert_eq!(ping(&world, &made).await["status"], 200, "{host}");
        assert_eq!(told.asked(), [asked], "the name is asked for once");
    }
}

#[tokio::test]
async fn a_redirect_is_the_answer_and_is_not_followed() {
    let (receiver, inside) = (Receiver::start().await, Inside::new());
    let world = World::with_webhooks(true, Names::default()).await;
    let made = hook(&world, &receiver.url, &["job.created"]).await;
    receiver.leads_to(&format!("http://127.0.0.1:{}/", inside.port()));
    for status in [301, 302, 303, 307, 308] {
        receiver.answer_with(&[status]);
        assert_eq!(ping(&world, &made).await["status"], status);
    }
    inside.heard_nothing();
}
