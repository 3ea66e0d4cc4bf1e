//! Outbound webhooks: events reach a receiver signed, in order, at least once, and nothing of the secret is anywhere else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use hmac::{Hmac, KeyInit, Mac};
use mrx::http::server;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::world::{HELLO, SOON, World, seconds};

/// Somebody who receives: notes what comes, and answers with the statuses that it was told, then with 200.
#[derive(Default)]
struct Inbox {
    received: Mutex<Vec<Received>>,
    statuses: Mutex<VecDeque<u16>>,
    leads_to: Mutex<String>,
    arrived: Notify,
}

#[derive(Clone)]
pub struct Received {
    headers: HeaderMap,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn event(&self) -> &str {
        self.header("mrx-event")
    }
}

/// Where somebody receives.
pub struct Receiver {
    inbox: Arc<Inbox>,
    pub url: String,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        let inbox = Arc::new(Inbox::default());
        let router = Router::new().fallback(take).with_state(inbox.clone());
        let listener = server::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(listener, router, stopped));
        Self { inbox, url, _stop: stop, _tasks: tasks }
    }

    pub fn answer_with(&self, statuses: &[u16]) {
        self.inbox.statuses.lock().extend(statuses);
    }

    /// Its answers carry this as `Location`.
    pub fn leads_to(&self, location: &str) {
        *self.inbox.leads_to.lock() = location.to_owned();
    }

    /// Everything received, as soon as it is so many.
    pub async fn after(&self, count: usize) -> Vec<Received> {
        let enough = async {
            loop {
                let arrived = self.inbox.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                let received = self.inbox.received.lock().clone();
                if received.len() >= count {
                    return received;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(SOON, enough).await.expect("the events come soon")
    }
}

async fn take(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let body = String::from_utf8(body.to_vec()).unwrap();
    inbox.received.lock().push(Received { headers, body });
    let status = inbox.statuses.lock().pop_front().unwrap_or(200);
    inbox.arrived.notify_waiters();
    let location = [("location", inbox.leads_to.lock().clone())];
    (StatusCode::from_u16(status).unwrap(), location, "x".repeat(10_000))
}

pub fn hooks() -> String {
    format!("/projects/{HELLO}/webhooks")
}

pub fn hook_path(hook: &Value) -> String {
    format!("{}/{}", hooks(), hook["webhookId"].as_str().unwrap())
}

pub async fn hook(world: &World, url: &str, events: &[&str]) -> Value {
    world.admin().post(&hooks()).json(&json!({ "url": url, "events": events })).await.expect(201)
}

async fn deliveries(world: &World, hook: &Value) -> Vec<Value> {
    let list = world.admin().get(&format!("{}/deliveries", hook_path(hook))).await.expect(200);
    list["deliveries"].as_array().unwrap().clone()
}

/// The deliveries, as soon as the newest is so.
async fn until(world: &World, hook: &Value, is_so: impl Fn(&Value) -> bool) -> Vec<Value> {
    for _ in 0..1000 {
        let found = deliveries(world, hook).await;
        if found.first().is_some_and(&is_so) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", deliveries(world, hook).await);
}

fn attempts(delivery: &Value) -> usize {
    delivery["attempts"].as_array().unwrap().len()
}

fn signed(secret: &str, time: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn events_that_were_asked_for_arrive_signed_and_in_order() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.queue("build").await;
    let made = hook(&world, &receiver.url, &["job.*"]).await;
    let secret = made["secret"].as_str().unwrap();
    let job = world.queue("build").await;
    world.admin().post(&format!("/jobs/{job}/cancel")).await.expect(200);
    let received = receiver.after(2).await;
    let events: Vec<&str> = received.iter().map(Received::event).collect();
    assert_eq!(events, ["job.created", "job.cancelled"], "nothing from before the webhook");
    for one in &received {
        let body: Value = serde_json::from_str(&one.body).unwrap();
        assert_eq!((&body["event"], &body["projectId"]), (&json!(one.event()), &json!(HELLO)));
        let (time, sum) = one.header("mrx-signature").split_once(",v1=").unwrap();
        let time = time.strip_prefix("t=").unwrap();
        assert_eq!(time, world.clock.now().seconds().to_string());
        assert_eq!(sum, signed(secret, time, &one.body));
        assert!(one.header("mrx-delivery").ends_with(body["commit"].as_str().unwrap()));
        assert!(one.headers.get("authorization").is_none() && one.headers.get("cookie").is_none());
    }
    let log = until(&world, &made, |newest| newest["state"] == "delivered").await;
    assert_eq!((log[0]["number"].as_u64(), log[0]["attempts"][0]["status"].as_u64()), (Some(2), Some(200)));
    assert_eq!(log[0]["attempts"][0]["answer"].as_str().unwrap().len(), 4096, "the beginning of the answer");
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again_and_holds_back_those_behind_it() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    receiver.answer_with(&[500, 302]);
    let made = hook(&world, &receiver.url, &["job.created"]).await;
    world.queue("build").await;
    until(&world, &made, |newest| attempts(newest) == 1 && newest["state"] == "waiting").await;
    world.queue("build").await;
    world.clock.pass(seconds(12));
    until(&world, &made, |newest| attempts(newest) == 2 && newest["number"] == 1).await;
    world.clock.pass(seconds(48));
    let received = receiver.after(4).await;
    let ids: Vec<&str> = received.iter().map(|one| one.header("mrx-delivery")).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    let log = until(&world, &made, |newest| newest["state"] == "delivered").await;
    let statuses: Vec<u64> =
        log[1]["attempts"].as_array().unwrap().iter().map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [500, 302, 200], "a redirect is no success and is not followed");
}

#[tokio::test]
async fn what_was_not_delivered_when_the_daemon_ended_is_delivered_after_its_start() {
    let mut world = World::start().await;
    let receiver = Receiver::start().await;
    receiver.answer_with(&[200, 503]);
    let made = hook(&world, &receiver.url, &["job.created"]).await;
    world.queue("build").await;
    until(&world, &made, |newest| newest["state"] == "delivered").await;
    world.queue("build").await;
    until(&world, &made, |newest| attempts(newest) == 1 && newest["state"] == "waiting").await;
    world.queue("build").await;
    world.restart().await;
    let received = receiver.after(4).await;
    let ids: Vec<&str> = received.iter().map(|one| one.header("mrx-delivery")).collect();
    assert!(ids[1] == ids[2] && ids[0] != ids[1] && ids[2] != ids[3], "{ids:?}");
    until(&world, &made, |newest| newest["number"] == 3 && newest["state"] == "delivered").await;
}

#[tokio::test]
async fn a_webhook_that_fails_for_three_days_is_disabled_and_can_be_enabled_again() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    receiver.answer_with(&[500; 2]);
    let made = hook(&world, &receiver.url, &["job.created"]).await;
    world.queue("build").await;
    until(&world, &made, |newest| attempts(newest) == 1 && newest["state"] == "waiting").await;
    world.clock.pass(seconds(3 * 24 * 3600));
    let mut shown = json!(null);
    for _ in 0..1000 {
        shown = world.admin().get(&hook_path(&made)).await.expect(200);
        if shown["enabled"] == false {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(shown["disabledBecause"].as_str().unwrap().contains("status 500"), "{shown}");
    assert!(world.log_of(HELLO).await.iter().any(|line| line.starts_with("mrx: webhook hook-")));
    world.queue("build").await;
    let enabled = world.admin().patch(&hook_path(&made)).json(&json!({ "enabled": true })).await.expect(200);
    assert_eq!((&enabled["disabledBecause"], &enabled["secret"]), (&json!(null), &json!(null)));
    let job = world.queue("build").await;
    let received = receiver.after(3).await;
    assert!(received[2].body.contains(&job), "those meanwhile are not sent later");
}

#[tokio::test]
async fn another_address_gets_another_secret_and_no_file_or_answer_holds_one() {
    let world = World::start().await;
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let made = hook(&world, &first.url, &["job.created"]).await;
    let old = made["secret"].as_str().unwrap().to_owned();
    let same = world.admin().patch(&hook_path(&made)).json(&json!({ "url": first.url })).await.expect(200);
    assert_eq!(same["secret"], json!(null), "nothing has changed");
    let moved = world.admin().patch(&hook_path(&made)).json(&json!({ "url": second.url })).await.expect(200);
    let new = moved["secret"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    world.queue("build").await;
    let received = second.after(1).await;
    let (time, sum) = received[0].header("mrx-signature").split_once(",v1=").unwrap();
    assert_eq!(sum, signed(&new, time.strip_prefix("t=").unwrap(), &received[0].body));
    let list = world.admin().get(&hooks()).await;
    world.app().webhooks.save().await;
    let path = format!("webhooks/{}.yaml", made["webhookId"].as_str().unwrap());
    let file = world.file(HELLO, &path).await.unwrap();
    assert!(file.contains("BEGIN AGE ENCRYPTED FILE") && !file.contains(&new), "{file}");
    for secret in [&old, &new] {
        assert!(!list.text().contains(secret.as_str()));
        for path in world.files() {
            // What a publish renamed meanwhile is gone.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
}

#[tokio::test]
async fn a_ping_and_a_delivery_once_more_tell_what_the_receiver_answered() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let made = hook(&world, &receiver.url, &["job.created"]).await;
    receiver.answer_with(&[418]);
    let ping = world.admin().post(&format!("{}/ping", hook_path(&made))).await.expect(200);
    assert_eq!((&ping["event"], &ping["attempts"][0]["status"]), (&json!("ping"), &json!(418)));
    world.queue("build").await;
    until(&world, &made, |newest| newest["state"] == "delivered").await;
    let again = |number: u64| format!("{}/deliveries/{number}/redeliver", hook_path(&made));
    world.published(HELLO).await;
    let delivery = world.admin().post(&again(2)).await.expect(200);
    assert_eq!((delivery["state"].as_str(), attempts(&delivery)), (Some("delivered"), 2));
    let received = receiver.after(3).await;
    assert_eq!(received[1].body, received[2].body);
    for none in [1, 9] {
        assert_eq!(world.admin().post(&again(none)).await.refused(404), "deliveryUnknown");
    }
}

#[tokio::test]
async fn a_removed_webhook_is_not_called_and_what_is_no_webhook_is_refused() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let made = hook(&world, &receiver.url, &["job.created"]).await;
    let removed = world.admin().delete(&hook_path(&made)).await;
    assert_eq!((removed.status, removed.header("mrx-commit").len()), (200, 40));
    assert_eq!(world.admin().get(&hook_path(&made)).await.refused(404), "webhookUnknown");
    let other = hook(&world, &receiver.url, &["*"]).await;
    world.queue("build").await;
    let received = receiver.after(2).await;
    let events: Vec<&str> = received.iter().map(Received::event).collect();
    assert_eq!(events, ["webhook.created", "job.created"]);
    let id = other["webhookId"].as_str().unwrap();
    assert!(received.iter().all(|one| one.header("mrx-delivery").starts_with(id)));
    for (body, status, code) in [
        (json!({ "url": "ftp://example.org/", "events": ["*"] }), 422, "webhookTarget"),
        (json!({ "url": receiver.url, "events": [] }), 400, "badRequest"),
        (json!({ "url": receiver.url, "events": ["job"], "secret": "mine" }), 400, "badRequest"),
        (json!({ "url": receiver.url, "events": ["job *"] }), 400, "badRequest"),
    ] {
        assert_eq!(world.admin().post(&hooks()).json(&body).await.refused(status), code, "{body}");
    }
    for _ in 0..9 {
        hook(&world, &receiver.url, &["log.*"]).await;
    }
    let more = json!({ "url": receiver.url, "events": ["*"] });
    assert_eq!(world.admin().post(&hooks()).json(&more).await.refused(409), "webhooksTooMany");
    let nowhere = world.admin().post("/projects/mrx-none/webhooks").json(&more).await;
    assert_eq!(nowhere.refused(404), "projectUnknown");
}
