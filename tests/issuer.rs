//! Tokens of other issuers: believed with the right signature, audience and time, whoever may get an account gets one.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::world::{Answer, Caller, World, seconds};

/// The first two key pairs of RFC 8032 §7.1, as hexadecimal digits of the secret and the public key.
const KEYS: [(&str, &str); 2] = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
];
const ISSUER: &str = "https://login.example.org";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn jwk(number: usize) -> Value {
    let x = URL_SAFE_NO_PAD.encode(bytes(KEYS[number].1));
    json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": format!("key-{number}"), "x": x })
}

fn sign(number: usize, claims: &Value) -> String {
    // PKCS #8 of an Ed25519 key (RFC 8410): a fixed beginning and the seed.
    let mut der = bytes("302e020100300506032b657004220420");
    der.extend(bytes(KEYS[number].0));
    let header = Header { kid: Some(format!("key-{number}")), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&der)).unwrap()
}

/// A server of keys, on loopback, that counts how often it is asked and answers what the story says.
struct Keys {
    address: String,
    state: Arc<Mutex<(Value, usize)>>,
    _task: tokio::task::JoinSet<()>,
}

impl Keys {
    async fn serve() -> Self {
        let state = Arc::new(Mutex::new((json!({ "keys": [jwk(0)] }), 0)));
        let answer = state.clone();
        let answer = move || {
            let mut state = answer.lock();
            state.1 += 1;
            let text = state.0.to_string();
            async move { text }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            axum::serve(listener, Router::new().route("/jwks.json", get(answer))).await.unwrap()
        });
        Self { address, state, _task: task }
    }

    fn asked(&self) -> usize {
        self.state.lock().1
    }

    fn set(&self, keys: Value) {
        self.state.lock().0 = keys;
    }
}

async fn world(keys: &Keys, rest: &str) -> World {
    let mut world = World::start().await;
    let entry = format!("- issuer: {ISSUER}\n  jwksUrl: {}\n  audience: mrx\n{rest}", keys.address);
    world.reopen_with_issuers(&entry).await;
    world
}

fn claims(world: &World) -> Value {
    let now = world.clock.now().seconds();
    json!({ "iss": ISSUER, "aud": "mrx", "sub": "user|1", "exp": now + 600, "iat": now, "preferred_username": "ada", "email": "ada@example.org" })
}

async fn me(world: &World, token: &str) -> Answer {
    Caller::with_token(world, token).get("/auth/me").await
}

#[tokio::test]
async fn somebody_whom_an_issuer_vouches_for_gets_an_account_once_if_the_issuer_may_make_them() {
    let keys = Keys::serve().await;
    let mut world =
        world(&keys, "  provision: true\n  roleClaim: group\n  roles: { staff: developer }\n").await;
    let mut said = claims(&world);
    said["group"] = json!("staff");
    let token = sign(0, &said);
    let shown = me(&world, &token).await.expect(200);
    assert_eq!(
        (&shown["name"], &shown["role"], &shown["user"]["issuer"]),
        (&json!("ada"), &json!("developer"), &json!(ISSUER))
    );
    world.restart().await;
    assert_eq!(me(&world, &token).await.expect(200)["name"], "ada");
    let users = world.admin().get("/admin/users").await.expect(200);
    assert_eq!(users["users"].as_array().unwrap().len(), 1);
    said["sub"] = json!("user|2");
    let other = me(&world, &sign(0, &said)).await;
    assert_eq!(other.refused(401), "unauthorized", "a name is never given to another person");
    said["preferred_username"] = json!("../Ada Lovelace");
    said["group"] = json!("visitors");
    let shown = me(&world, &sign(0, &said)).await.expect(200);
    assert!(shown["name"].as_str().unwrap().starts_with("x-"), "what is no name is not made one: {shown}");
    assert_eq!(shown["role"], "viewer");
    world.admin().patch("/admin/users/ada").json(&json!({ "disabled": true })).await.expect(200);
    assert_eq!(me(&world, &token).await.refused(401), "unauthorized");
}

#[tokio::test]
async fn nobody_gets_an_account_where_the_issuer_may_not_make_them() {
    let keys = Keys::serve().await;
    let world = world(&keys, "").await;
    assert_eq!(me(&world, &sign(0, &claims(&world))).await.refused(401), "unauthorized");
    assert_eq!(world.admin().get("/admin/users").await.expect(200)["users"], json!([]));
}

#[tokio::test]
async fn a_token_with_another_audience_issuer_time_or_signature_is_none() {
    let keys = Keys::serve().await;
    let world = world(&keys, "  provision: true\n").await;
    let good = claims(&world);
    let now = world.clock.now().seconds();
    for (name, value) in [
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("iss", json!("https://evil.example.org")),
        ("exp", json!(now)),
        ("exp", json!((now + 600).to_string())),
        ("exp", json!(-1)),
        ("nbf", json!(now + 60)),
        ("nbf", json!("0")),
        ("sub", json!("")),
        ("sub", json!(["user|1"])),
    ] {
        let mut bad = good.clone();
        bad[name] = value.clone();
        assert_eq!(me(&world, &sign(0, &bad)).await.refused(401), "unauthorized", "{name}: {value}");
    }
    let token = sign(0, &good);
    let (signed, _) = token.rsplit_once('.').unwrap();
    assert_eq!(
        me(&world, &format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64]))).await.refused(401),
        "unauthorized"
    );
    // The public key as the secret of an HMAC: the algorithm is the issuer's kind, not the token's choice.
    let header = Header { kid: Some("key-0".to_owned()), ..Header::new(Algorithm::HS256) };
    let secret = EncodingKey::from_secret(&bytes(KEYS[0].1));
    let swapped = jsonwebtoken::encode(&header, &good, &secret).unwrap();
    assert_eq!(me(&world, &swapped).await.refused(401), "unauthorized");
    assert_eq!(me(&world, &token).await.status, 200, "and the good one is believed");
    world.clock.pass(seconds(600));
    assert_eq!(me(&world, &token).await.refused(401), "unauthorized");
}

#[tokio::test]
async fn keys_are_kept_fetched_again_for_an_unknown_one_and_stay_while_they_cannot_be_fetched() {
    let keys = Keys::serve().await;
    let world = world(&keys, "  provision: true\n").await;
    let old = sign(0, &claims(&world));
    for _ in 0..5 {
        me(&world, &old).await.expect(200);
    }
    assert_eq!(keys.asked(), 1);
    let new = sign(1, &claims(&world));
    for _ in 0..5 {
        assert_eq!(me(&world, &new).await.refused(401), "unauthorized");
    }
    assert_eq!(keys.asked(), 1, "an unknown key does not make every call a fetch");
    keys.set(json!({ "keys": [jwk(0), jwk(1)] }));
    world.clock.pass(seconds(30));
    me(&world, &new).await.expect(200);
    assert_eq!(keys.asked(), 2);
    keys.set(json!("down"));
    world.clock.pass(seconds(599));
    let now = world.clock.now().seconds();
    let mut later = claims(&world);
    later["exp"] = json!(now + 10_000);
    let later = sign(1, &later);
    world.clock.pass(seconds(5));
    me(&world, &later).await.expect(200);
    keys.set(json!({ "keys": [jwk(0)] }));
    world.clock.pass(seconds(600));
    assert_eq!(
        me(&world, &later).await.refused(401),
        "unauthorized",
        "a key that is gone is believed no more"
    );
}
