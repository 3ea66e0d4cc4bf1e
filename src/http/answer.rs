//! What every write answers with: the object, and the commit that records it in `Mrx-Commit`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::error::ApiResult;
use crate::app::App;
use crate::state::layout::RepoName;
use crate::state::store::Done;

/// `?ack=`: what an answer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// The change survives a crash.
    #[default]
    Durable,
    /// And plain git shows it.
    Published,
}

/// The query of every write.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AckQuery {
    /// What to wait for.
    #[serde(default)]
    pub ack: Ack,
}

/// Answers a write, when it is as far as was asked.
pub async fn written<T, B: Serialize>(
    app: &App, ack: Ack, repo: &RepoName, status: StatusCode, done: &Done<T>, body: B,
) -> ApiResult<Response> {
    if ack == Ack::Published {
        app.state.published(repo, done.lsn).await?;
    }
    let mut response = (status, Json(body)).into_response();
    if let Ok(commit) = HeaderValue::from_str(&done.commit.to_string()) {
        response.headers_mut().insert("mrx-commit", commit);
    }
    Ok(response)
}

/// A page of a list: the name of the list is its field.
pub fn page<T: Serialize>(name: &str, items: Vec<T>, next_cursor: Option<String>) -> Json<serde_json::Value> {
    Json(serde_json::json!({ name: items, "nextCursor": next_cursor }))
}

/// How many items a page has if nobody says, and at most.
pub const PAGE_DEFAULT: usize = 50;
/// The most.
pub const PAGE_MAX: usize = 200;

/// The length of a page from what was asked.
pub fn page_length(asked: Option<usize>) -> usize {
    asked.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
}
