//! What a stop of the daemon means for calls that would go on for long: streams of events end, and who waits for a job is told
//! that none came. Both come back by themselves, and so find the daemon that is started next.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::StreamExt;
use tokio::sync::watch;

/// Tells when the daemon stops. A request that came over no connection is never told.
#[derive(Clone, Debug)]
pub struct Stopping(Option<watch::Receiver<bool>>);

impl Stopping {
    /// Listens to whoever stops the daemon.
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        Self(Some(stop))
    }

    /// Ends when the daemon is to stop, or is gone.
    pub async fn told(self) {
        let Some(mut stop) = self.0 else { return std::future::pending().await };
        // Its sender being gone means the same.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Ends an answer that has no end of its own; others are left to end.
    pub fn ends(self, answer: Response) -> Response {
        let is_stream = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        if !is_stream {
            return answer;
        }
        answer.map(|body| Body::from_stream(body.into_data_stream().take_until(self.told())))
    }
}

impl<S: Sync> FromRequestParts<S> for Stopping {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().cloned().unwrap_or(Self(None)))
    }
}
