//! Hostile pushes: whatever is pushed, it is refused for the reason that it should be, nothing has changed, and the next call works.

mod bombs;
mod craft;
mod packs;
mod slow;
mod trees;
mod wishes;

use std::collections::HashMap;
use std::future::IntoFuture;

use git2::Oid;
use mrx::identity::token::OPERATOR_TOKEN;
use mrx::state::layout;
use serde_json::{Value, json};

use self::craft::Craft;
use crate::world::{Caller, HELLO, World, git, url};

/// What is pushed, by whom, and a part of why it is refused.
type Attack = (&'static str, &'static str, &'static str, fn(&Site) -> How);

/// How it is pushed.
enum How {
    /// By git itself, from the crafted repository: what `git push` gets after the URL.
    Git(Vec<String>),
    /// As a body made by hand.
    Body(Vec<u8>),
    /// The same, said to be gzip.
    Gzip(Vec<u8>),
}

/// A push of a crafted commit to the branch.
fn state(commit: Oid) -> How {
    How::Git(vec![format!("{commit}:refs/heads/state")])
}

/// The same, where git would not: in a pack made by hand of all that the daemon does not have.
fn packed(site: &Site, commit: Oid) -> How {
    let theirs = site.world.repository(HELLO);
    let objects = site.craft.reachable(commit, &theirs.odb().unwrap());
    How::Body(craft::push_of(site.tip, commit, &craft::pack(&objects)))
}

/// A world under attack.
struct Site {
    world: World,
    craft: Craft,
    keys: HashMap<&'static str, String>,
    /// A job that waits, one that a colleague holds, and one that waits for it.
    job: String,
    held: String,
    blocked: String,
    labelled: String,
    chat: String,
    /// The newest commit.
    tip: Oid,
    calls: u32,
    /// Whether the branch goes on before what is pushed arrives.
    is_late: bool,
}

impl Site {
    async fn new() -> Self {
        let world = World::start().await;
        let held = world.queue_with(json!({ "jobType": "build", "concurrencyGroup": "deploy" })).await;
        assert_eq!(world.agent("colleague").claim().await.id, held);
        let blocked = world.queue_with(json!({ "jobType": "build", "needs": [&held] })).await;
        let labelled = world.queue_with(json!({ "jobType": "build", "labels": ["gpu"] })).await;
        let job = world.queue("build").await;
        let chat = world.admin().post(&format!("/projects/{HELLO}/chats")).json(&json!({ "title": "Plan" }));
        let chat = chat.await.expect(201)["chatId"].as_str().unwrap().to_owned();
        let keys = keys(&world).await;
        world.published(HELLO).await;
        let craft = Craft::beside(world.repository(HELLO).path());
        let tip = world.tip(HELLO).await.parse().unwrap();
        Self { world, craft, keys, job, held, blocked, labelled, chat, tip, calls: 0, is_late: false }
    }

    fn job_path(&self) -> String {
        layout::open_job(&self.job.parse().unwrap())
    }

    fn path_of(&self, job: &str) -> String {
        layout::open_job(&job.parse().unwrap())
    }

    fn chat_path(&self) -> String {
        layout::chat(&self.chat.parse().unwrap())
    }

    /// The tip with a file edited, committed.
    fn edited(&self, path: &str, changes: &[(&str, &str)]) -> Oid {
        let text = changes.iter().fold(self.craft.file(self.tip, path), |text, (from, to)| {
            assert!(text.contains(from), "{path} has no {from:?}: {text}");
            text.replace(from, to)
        });
        self.with_file(path, text.as_bytes())
    }

    /// The tip with a file, committed.
    fn with_file(&self, path: &str, bytes: &[u8]) -> Oid {
        self.craft.commit(self.craft.with_file(self.tip, path, bytes), self.tip)
    }

    /// All that the daemon says of the project from memory, and its branches.
    async fn seen(&self) -> (Value, Value, String, Vec<String>) {
        let ask = async |path: &str| self.world.admin().get(path).await.expect(200);
        (
            ask(&format!("/projects/{HELLO}/jobs")).await,
            ask(&format!("/projects/{HELLO}/chats")).await,
            self.world.tip(HELLO).await,
            self.world.branches(HELLO),
        )
    }

    async fn send(&self, who: &str, how: How) -> String {
        let key = &self.keys[who];
        let post = |body: Vec<u8>| {
            Caller::with_token(&self.world, key)
                .post(&format!("/git/{HELLO}.git/git-receive-pack"))
                .body(body)
        };
        match how {
            How::Git(arguments) => {
                let url = url(&self.world, key, &format!("{HELLO}.git"));
                let arguments: Vec<&str> = ["push", "--force", &url]
                    .into_iter()
                    .chain(arguments.iter().map(String::as_str))
                    .collect();
                let said = git(self.craft.path(), &arguments).await;
                if said.ok { format!("it was taken: {}", said.text) } else { said.text }
            }
            How::Body(body) => post(body).await.text(),
            How::Gzip(body) => post(body).header("Content-Encoding", "gzip").await.text(),
        }
    }

    /// Each attack is refused for its reason, changes nothing, and harms nobody.
    async fn withstands(&mut self, attacks: &[Attack]) {
        let mut wrong = Vec::new();
        for (name, who, why, how) in attacks {
            let attack = how(self);
            if self.is_late {
                let url = url(&self.world, &self.keys[who], &format!("{HELLO}.git"));
                // Whoever clones is told of all, whatever was fetched before, and some may not.
                let copy = tempfile::tempdir().unwrap();
                git(copy.path(), &["clone", "-q", "--bare", &url, "copy.git"]).await;
                self.world.queue("build").await;
                self.world.published(HELLO).await;
            }
            let before = self.seen().await;
            let said = self.send(who, attack).await;
            if !said.contains(why) || said.starts_with("it was taken") {
                wrong.push(format!("{name}: not refused by {why:?} but: {said}"));
            }
            let after = self.seen().await;
            if after != before {
                wrong.push(format!("{name}: something has changed: {before:?} is {after:?}"));
            }
            self.works().await;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        self.is_sound().await;
        let left = self.world.files();
        let left = left.iter().filter(|path| path.to_string_lossy().contains("/push-"));
        assert_eq!(left.count(), 0, "nothing is left of what was refused");
    }

    /// A call works, and the state moves on.
    async fn works(&mut self) {
        self.calls += 1;
        let path = format!("/projects/{HELLO}/chats/{}", self.chat);
        let body = json!({ "title": format!("Plan {}", self.calls) });
        self.world.admin().patch(&path).json(&body).await.expect(200);
        self.world.published(HELLO).await;
        self.tip = self.world.tip(HELLO).await.parse().unwrap();
    }

    async fn is_sound(&self) {
        let repository = self.world.repository(HELLO).path().to_owned();
        let checked = git(&repository, &["fsck", "--strict", "--no-dangling"]).await;
        assert!(checked.ok, "{}", checked.text);
    }

    /// A push as it should be is taken.
    async fn takes_a_good_push(&self) {
        let commit = self.edited(&self.chat_path(), &[("title: Plan", "title: Better plan")]);
        let url = url(&self.world, &self.keys["operator"], &format!("{HELLO}.git"));
        let said = git(self.craft.path(), &["push", &url, &format!("{commit}:refs/heads/state")]).await;
        assert!(said.ok, "{}", said.text);
    }
}

async fn keys(world: &World) -> HashMap<&'static str, String> {
    let agent = async |body: Value| {
        let made = world.admin().post("/admin/agents").json(&body).await.expect(201);
        made["key"].as_str().unwrap().to_owned()
    };
    let reader = member(world, "rita", "read").await;
    let writer = member(world, "ada", "write").await;
    let key = json!({ "name": "look", "permission": "read" });
    let made = Caller::with_token(world, &writer).post("/keys").json(&key).await.expect(201);
    HashMap::from([
        ("operator", world.token(OPERATOR_TOKEN)),
        ("builder-1", agent(json!({ "agentId": "builder-1" })).await),
        ("cpu", agent(json!({ "agentId": "cpu", "allowedLabels": ["linux"] })).await),
        ("elsewhere", agent(json!({ "agentId": "elsewhere", "projects": ["mrx-other"] })).await),
        ("reader", reader),
        ("writer", writer),
        ("read-only", made["key"].as_str().unwrap().to_owned()),
    ])
}

/// A person with this right in the project; tells their session's token.
async fn member(world: &World, name: &str, right: &str) -> String {
    let password = "correct horse battery";
    let body = json!({ "name": name, "role": "developer", "password": password });
    world.admin().post("/admin/users").json(&body).await.expect(201);
    let path = format!("/projects/{HELLO}/members/{name}");
    world.admin().put(&path).json(&json!({ "right": right })).await.expect(200);
    let login = json!({ "name": name, "password": password });
    world.stranger().post("/auth/login").json(&login).await.expect(200)["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn trees_that_no_state_has_are_refused() {
    let mut site = Site::new().await;
    site.withstands(trees::ENTRIES).await;
    site.takes_a_good_push().await;
}

#[tokio::test]
async fn histories_that_no_state_has_are_refused() {
    let mut site = Site::new().await;
    site.withstands(trees::HISTORIES).await;
    site.takes_a_good_push().await;
}

#[tokio::test]
async fn files_that_no_schema_takes_are_refused() {
    let mut site = Site::new().await;
    site.withstands(wishes::FILES).await;
    site.takes_a_good_push().await;
}

#[tokio::test]
async fn wishes_that_their_pusher_may_not_have_are_refused() {
    let mut site = Site::new().await;
    site.withstands(wishes::WISHES).await;
    site.takes_a_good_push().await;
}

#[tokio::test]
async fn packs_that_no_git_makes_are_refused() {
    let mut site = Site::new().await;
    site.withstands(packs::PACKS).await;
    site.takes_a_good_push().await;
}

#[tokio::test]
async fn what_is_refused_is_refused_as_well_where_the_branch_has_gone_on() {
    let mut site = Site::new().await;
    site.is_late = true;
    site.withstands(trees::ENTRIES).await;
    site.withstands(wishes::WISHES).await;
    // Whoever has fetched both may push what stands on either.
    let on_the_tip = |(name, ..): &&Attack| !name.contains("older");
    let histories: Vec<Attack> = trees::HISTORIES.iter().filter(on_the_tip).copied().collect();
    site.withstands(&histories).await;
    site.takes_a_good_push().await;
}

#[tokio::test]
async fn a_token_of_one_lease_is_of_no_use_for_another_and_a_full_project_takes_no_claim() {
    let mut site = Site::new().await;
    let file = site.craft.file(site.tip, &site.path_of(&site.held));
    let lease = file.split_once("lease-").map(|(_, rest)| format!("lease-{}", &rest[..26])).unwrap();
    let [good, old] = wishes::tokens(&site, &lease);
    site.keys.extend([("one-lease", good), ("old-lease", old)]);
    site.withstands(wishes::WITH_A_TOKEN).await;
    let limit = json!({ "concurrency": 1 });
    site.world.admin().patch(&format!("/projects/{HELLO}")).json(&limit).await.expect(200);
    site.works().await;
    site.withstands(wishes::WITHOUT_ROOM).await;
    site.takes_a_good_push().await;
}

#[tokio::test]
async fn who_stops_sending_is_told_so_and_holds_up_nobody() {
    let world = World::start().await;
    let world = world.reopened_with_short_patience().await;
    let path = format!("/git/{HELLO}.git/git-receive-pack");
    let stalled = || {
        let parts = futures_util::stream::iter([Ok::<_, std::io::Error>("0000")]);
        let parts = futures_util::StreamExt::chain(parts, futures_util::stream::pending());
        world.admin().post(&path).body(reqwest::Body::wrap_stream(parts)).into_future()
    };
    let (one, two, call) = tokio::join!(stalled(), stalled(), world.queue("build"));
    assert_eq!((one.refused(408), two.refused(408)), ("stalled".into(), "stalled".into()));
    assert_eq!(world.state(&call).await, "pending");
}

/// A body that changes the chat's title, or claims the job, as git would send it.
fn good_body(site: &Site, who: &str) -> Vec<u8> {
    let claim = format!("claimedBy: {who}");
    let commit = match who {
        "builder-1" => site.edited(
            &site.job_path(),
            &[("state: pending", "state: claimed"), ("claimedBy: null", claim.as_str())],
        ),
        _ => site.edited(&site.chat_path(), &[("title: Plan", "title: Other")]),
    };
    match packed(site, commit) {
        How::Body(body) => body,
        _ => unreachable!(),
    }
}

/// What shuts somebody out: by which call, and a part of what they are told.
type ShutOut = (&'static str, &'static str, reqwest::Method, String, Value, &'static str);

#[tokio::test]
async fn who_is_shut_out_while_a_push_is_sent_is_not_taken_at_its_word_any_more() {
    use reqwest::Method;
    let mut site = Site::new().await;
    let gone = "the credential is not good any more";
    let key = json!({ "name": "ci", "permission": "write" });
    let made =
        Caller::with_token(&site.world, &site.keys["writer"]).post("/keys").json(&key).await.expect(201);
    let key_path = format!("/keys/{}", made["keyId"].as_str().unwrap());
    site.keys.insert("key", made["key"].as_str().unwrap().to_owned());
    let member = format!("/projects/{HELLO}/members/ada");
    let (read, disabled) = (json!({ "right": "read" }), json!({ "disabled": true }));
    let (agent, none) = ("/admin/agents/builder-1".to_owned(), Value::Null);
    let cases: Vec<ShutOut> = vec![
        ("a key that is revoked", "key", Method::DELETE, key_path, none.clone(), gone),
        ("a right that is less", "writer", Method::PUT, member.clone(), read, "you may read this project"),
        ("a member who is one no more", "writer", Method::DELETE, member, none.clone(), "you may not read"),
        (
            "an account that is disabled",
            "writer",
            Method::PATCH,
            "/admin/users/ada".into(),
            disabled.clone(),
            gone,
        ),
        (
            "an agent's key that is another",
            "builder-1",
            Method::POST,
            format!("{agent}/rotate"),
            none.clone(),
            gone,
        ),
        ("an agent that is disabled", "builder-1", Method::PATCH, agent, disabled, gone),
        (
            "a project in the trash",
            "operator",
            Method::DELETE,
            format!("/projects/{HELLO}"),
            none,
            "in the trash",
        ),
    ];
    for (name, who, method, path, body, why) in cases {
        site.works().await;
        let push = slow::Slow::begin(&site, &site.keys[who], &good_body(&site, who)).await;
        let by = if path.starts_with("/keys") { &site.keys["writer"] } else { &site.keys["operator"] };
        let call = Caller::with_token(&site.world, by).call(method, &path);
        let call = if body.is_null() { call } else { call.json(&body) };
        let answer = call.await;
        assert!(answer.status < 300, "{name}: {} {}", answer.status, answer.text());
        site.world.published(HELLO).await;
        let before = site.world.tip(HELLO).await;
        let said = push.end().await;
        assert!(said.starts_with("HTTP/1.1 200") && said.contains(why), "{name}: {said}");
        assert_eq!(site.world.tip(HELLO).await, before, "{name}");
        // For the next case.
        if path.ends_with("/members/ada") {
            site.world.admin().put(&path).json(&json!({ "right": "write" })).await.expect(200);
        }
        if path.ends_with("/rotate") {
            let again = site.world.admin().post(&path).await.expect(200);
            site.keys.insert("builder-1", again["key"].as_str().unwrap().to_owned());
        }
    }
}

#[tokio::test]
async fn of_two_pushes_of_one_sender_at_once_that_touch_one_thing_one_is_taken() {
    let site = Site::new().await;
    let key = &site.keys["builder-1"];
    let body = good_body(&site, "builder-1");
    let (one, two) = (slow::Slow::begin(&site, key, &body).await, slow::Slow::begin(&site, key, &body).await);
    let said: [String; 2] = tokio::join!(one.end(), two.end()).into();
    let taken = said.iter().filter(|said| said.contains("pending -> claimed by builder-1")).count();
    let known = |said: &&String| said.contains("has all of this already") || said.contains("(fetch first)");
    assert_eq!((taken, said.iter().filter(known).count()), (1, 1), "{said:?}");
    assert_eq!(site.world.state(&site.job).await, "claimed");
    site.is_sound().await;
}

#[tokio::test]
async fn a_push_that_is_slow_to_send_is_taken_if_its_sender_may_still_write() {
    let mut site = Site::new().await;
    let push = slow::Slow::begin(&site, &site.keys["writer"], &good_body(&site, "writer")).await;
    site.world.queue("build").await;
    site.world.published(HELLO).await;
    let said = push.end().await;
    assert!(said.contains("unpack ok") && said.contains("made anew on what came meanwhile"), "{said}");
    site.works().await;
    site.is_sound().await;
}

#[tokio::test]
async fn the_token_of_one_lease_keeps_that_lease_alone() {
    let world = World::start().await;
    let (one, two) = (world.queue("build").await, world.queue("build").await);
    let colleague = world.agent("colleague");
    let (first, _second) = (colleague.claim().await, colleague.claim().await);
    let until = world.clock.now().after(std::time::Duration::from_secs(600));
    let (agent, job, lease) =
        ("colleague".parse().unwrap(), first.id.parse().unwrap(), first.lease.parse().unwrap());
    let token = world.app().identity.lease_token(&agent, &job, &lease, until).reveal().to_owned();
    let url = url(&world, &token, &format!("{HELLO}.git"));
    for _ in 0..3 {
        world.pass(std::time::Duration::from_secs(60)).await;
        let said = git(world.folder(), &["ls-remote", &url]).await;
        assert!(said.ok, "{}", said.text);
    }
    assert_eq!((world.state(&one).await, world.state(&two).await), ("claimed".into(), "failed".into()));
}
