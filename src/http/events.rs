//! `GET /events`: what happens, as server-sent events; a listener that comes back resumes behind the commit it last saw.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;

use super::error::{ApiError, ApiResult};
use super::input::Asked;
use crate::app::App;
use crate::id::ProjectId;
use crate::state::commit::Event;
use crate::state::events::Subscription;
use crate::state::layout::{RepoName, STATE_REF};
use crate::state::oid::Oid;

/// A line of nothing is sent this often, so that proxies keep the connection and a dead one is found.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only those of one project.
    project: Option<ProjectId>,
    /// Those behind this commit; the header `Last-Event-ID` says the same and goes first.
    after: Option<String>,
    /// Also those of logs, of which there are many.
    #[serde(default)]
    logs: bool,
}

/// `GET /events?project=&after=&logs=`: a stream of events; the id of each is its commit.
pub async fn stream(
    State(app): State<App>, headers: HeaderMap, Asked(query): Asked<EventsQuery>,
) -> ApiResult<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>> {
    let last_seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let after = last_seen.or_else(|| query.after.clone()).filter(|text| !text.is_empty());
    let after: Option<Oid> = after.map(|text| text.parse()).transpose().map_err(|error: crate::state::oid::BadOid| ApiError::bad_request(error.to_string()))?;
    let mut subscription = app.state.events().subscribe(after);
    if let (Some(after), false) = (after, subscription.is_gapless) {
        subscription.missed = read_missed(&app, query.project.clone(), after, &subscription).await?;
    }
    Ok(Sse::new(told(subscription, query)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The events behind a commit that is no longer in memory: from the history of the project that has it.
async fn read_missed(
    app: &App, project: Option<ProjectId>, after: Oid, _: &Subscription,
) -> ApiResult<Vec<Arc<Event>>> {
    let repos: Vec<RepoName> = match project {
        Some(project) => vec![RepoName::Project(project)],
        None => std::iter::once(RepoName::Platform)
            .chain(app.projects.registry().names().into_iter().map(RepoName::Project))
            .collect(),
    };
    for repo in repos {
        if let Some(events) = app.state.events_after(&repo, STATE_REF, after).await? {
            return Ok(events.into_iter().map(Arc::new).collect());
        }
    }
    Err(ApiError::bad_request(format!("there is no commit {after} to resume from; ask without it, and read what is now")))
}

fn told(subscription: Subscription, query: EventsQuery) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    let wanted = move |event: &Event| {
        (query.logs || !event.event.starts_with("log."))
            && query.project.as_ref().is_none_or(|project| event.project_id.as_ref() == Some(project))
    };
    let Subscription { missed, live, .. } = subscription;
    futures_util::stream::unfold((missed.into_iter(), live, wanted), |(mut missed, mut live, wanted)| async move {
        loop {
            let event = match missed.next() {
                Some(event) => event,
                None => match live.recv().await {
                    Ok(event) => event,
                    // Too slow, or the daemon ends: the client comes back with the id of the last event it has.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
                },
            };
            if wanted(&event) {
                return Some((Ok(sse(&event)), (missed, live, wanted)));
            }
        }
    })
}

fn sse(event: &Event) -> SseEvent {
    let data = serde_json::to_string(event).expect("an event has string keys");
    SseEvent::default().id(event.commit.to_string()).event(event.event.clone()).data(data)
}
