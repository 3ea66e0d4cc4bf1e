//! `GET /events`: what happens where the caller may read, as server-sent events; a listener that comes back resumes behind the commit it last saw.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

use super::auth::Principal;
use super::error::{ApiError, ApiResult};
use super::input::Asked;
use crate::app::App;
use crate::id::ProjectId;
use crate::identity::{Right, Role};
use crate::state::commit::Event;
use crate::state::events::Subscription;
use crate::state::layout::{RepoName, STATE_REF};
use crate::state::oid::Oid;

/// A line of nothing is sent this often, so that proxies keep the connection and a dead one is found.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
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
///
/// A place that memory has forgotten is read from the project's git history, so name the project to resume after a
/// restart of the daemon; between projects git knows no order.
#[utoipa::path(get, path = "/events", params(EventsQuery, ("Last-Event-ID" = Option<Oid>, Header, description = "The last event seen; goes before `after`")),
    responses(
        (status = 200, description = "Server-sent events: `event` is what happened, `id` the commit, `data` an Event", body = String, content_type = "text/event-stream"),
        (status = 404, description = "projectUnknown"),
        (status = 410, description = "eventsGone: the place to resume from is not known; begin anew and read what is now"),
    ))]
pub async fn stream(
    State(app): State<App>,
    caller: Principal,
    headers: HeaderMap,
    Asked(query): Asked<EventsQuery>,
) -> ApiResult<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>> {
    let last_seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let after = last_seen.or_else(|| query.after.clone()).filter(|text| !text.is_empty());
    let after: Option<Oid> = after
        .map(|text| text.parse())
        .transpose()
        .map_err(|error: crate::state::oid::BadOid| ApiError::bad_request(error.to_string()))?;
    if let Some(project) = &query.project {
        caller.demand(&app, Right::Read, project)?;
    }
    let mut subscription = app.state.events().subscribe(after);
    if let (Some(after), false) = (after, subscription.is_gapless) {
        subscription.missed = read_missed(&app, query.project.clone(), after).await?;
    }
    Ok(Sse::new(told(subscription, query, app, caller)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The events behind a commit that memory has forgotten, from the history of the project.
async fn read_missed(app: &App, project: Option<ProjectId>, after: Oid) -> ApiResult<Vec<Arc<Event>>> {
    let gone = |message: String| ApiError::new(StatusCode::GONE, "eventsGone", message);
    let Some(project) = project else {
        let hint = "resume each project by itself with ?project=, or begin without it and read what is now";
        return Err(gone(format!(
            "the daemon does not remember what happened since {after} in all projects; {hint}"
        )));
    };
    app.projects.get(&project)?;
    let found = app.state.events_after(&RepoName::Project(project.clone()), STATE_REF, after).await?;
    let missed = found.ok_or_else(|| {
        gone(format!("{project} has no commit {after} to resume from, or it is too long ago; begin without it and read what is now"))
    })?;
    Ok(missed.into_iter().map(Arc::new).collect())
}

/// Events of projects go to who may read them, and those of the platform to its admins.
fn told(
    subscription: Subscription,
    query: EventsQuery,
    app: App,
    caller: Principal,
) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    let wanted = move |event: &Event| {
        (query.logs || !event.event.starts_with("log."))
            && query.project.as_ref().is_none_or(|project| event.project_id.as_ref() == Some(project))
            && match &event.project_id {
                Some(project) => caller.may_read(&app, project),
                None => caller.role() == Some(Role::Admin),
            }
    };
    let Subscription { missed, live, .. } = subscription;
    // What happens between listening and reading the history is in both; it is told once.
    let read: HashSet<Oid> = missed.iter().map(|event| event.commit).collect();
    let state = (missed.into_iter(), live, wanted, read);
    futures_util::stream::unfold(state, |(mut missed, mut live, wanted, read)| async move {
        loop {
            let event = match missed.next() {
                Some(event) => event,
                None => match live.recv().await {
                    Ok(event) if read.contains(&event.commit) => continue,
                    Ok(event) => event,
                    // Too slow, or the daemon ends: the client comes back with the id of the last event it has.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
                },
            };
            if wanted(&event) {
                return Some((Ok(sse(&event)), (missed, live, wanted, read)));
            }
        }
    })
}

fn sse(event: &Event) -> SseEvent {
    let data = serde_json::to_string(event).expect("an event has string keys");
    SseEvent::default().id(event.commit.to_string()).event(event.event.clone()).data(data)
}
