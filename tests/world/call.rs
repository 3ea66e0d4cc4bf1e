//! A caller, its calls, and their answers. Each answer is checked against the API's document, so every story is a test of it.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use super::World;
use crate::openapi;

/// Somebody with a token, or without.
#[derive(Clone)]
pub struct Caller<'w> {
    world: &'w World,
    token: Option<String>,
}

/// A call in the making; await it.
pub struct Call {
    request: reqwest::RequestBuilder,
    method: Method,
    path: String,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl<'w> Caller<'w> {
    pub fn with_token(world: &'w World, token: &str) -> Self {
        Self { world, token: Some(token.to_owned()) }
    }

    pub fn without_token(world: &'w World) -> Self {
        Self { world, token: None }
    }

    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    pub fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    pub fn call(&self, method: Method, path: &str) -> Call {
        let mut request = self.world.http.request(method.clone(), format!("{}{path}", self.world.address()));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Call { request, method, path: path.to_owned() }
    }
}

impl Call {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        self.request = self.request.json(body);
        self
    }

    pub fn text_as_json(self, body: impl Into<String>) -> Self {
        self.header("content-type", "application/json").body(body.into())
    }

    pub fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.body(body);
        self
    }

    /// Sends it and leaves the answer's body to the caller.
    pub async fn open(self) -> reqwest::Response {
        self.try_open().await.unwrap()
    }

    /// The same, for a call that may break.
    pub async fn try_open(self) -> reqwest::Result<reqwest::Response> {
        self.request.send().await
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (method, path) = (self.method.clone(), self.path.clone());
            let response = self.open().await;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = response.bytes().await.unwrap().to_vec();
            let answer = Answer { status, headers, body };
            openapi::check_answer(&method, &path, &answer);
            answer
        })
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// The code of a refusal that must have this status, whole and well formed.
    #[track_caller]
    pub fn refused(&self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(body["error"], true, "{body}");
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        assert!(body["details"].is_object(), "{body}");
        body["code"].as_str().unwrap().to_owned()
    }
}
