//! A name for each request, in its answer and in what is logged of it, so that a person finds the one by the other.
//!
//! It is made here and never taken from the caller, so two requests cannot be mistaken for one.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use crate::id::random_u64;

/// The header of every answer that carries the request's name.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("mrx-request-id");

tokio::task_local! {
    static CURRENT: u64;
}

/// Counts up from where chance put it: different within a process, and in all likelihood between two.
static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(random_u64()));

/// A request's name.
#[derive(Clone, Copy)]
pub struct RequestId(u64);

impl RequestId {
    /// A new one.
    pub fn next() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets what answers the request know its name.
    pub fn of<F: Future>(self, answering: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self.0, answering)
    }

    /// Puts the name into the answer.
    pub fn mark(self, response: &mut Response) {
        if let Ok(value) = HeaderValue::from_str(&text(self.0)) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
    }
}

/// The name of the request that is being answered, if one is.
pub fn current() -> Option<String> {
    CURRENT.try_with(|id| text(*id)).ok()
}

fn text(id: u64) -> String {
    format!("{id:016x}")
}
