//! The HTTP side of outbound webhooks.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::place::Delivery;
use super::types::{EventPattern, WebhookView};
use super::webhooks::{WebhookEdit, WithSecret};
use crate::app::App;
use crate::http::answer::{AckQuery, written};
use crate::http::auth::Principal;
use crate::http::error::ApiResult;
use crate::http::input::{Asked, Body, Named};
use crate::http::past::At;
use crate::id::{ProjectId, WebhookId};
use crate::state::layout::RepoName;
use crate::state::store::Done;

/// A webhook to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewWebhook {
    /// Where events are sent: https, to a host of the public internet.
    url: String,
    /// Which: `job.claimed`, `job.*` or `*`; 1 to 32.
    events: Vec<EventPattern>,
}

/// What is to be changed of a webhook; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookPatch {
    /// Another address. It gets a new secret, which the answer shows.
    url: Option<String>,
    /// Other events.
    events: Option<Vec<EventPattern>>,
    /// Whether events are sent; those while it is false are not sent later.
    enabled: Option<bool>,
    /// Whether it gets a new secret, which the answer shows.
    #[serde(default)]
    rotate_secret: bool,
}

/// The webhooks of a project.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhooksList {
    webhooks: Vec<WebhookView>,
}

/// The last deliveries of a webhook, the newest first; at most 100 are kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveriesList {
    deliveries: Vec<Delivery>,
}

/// `GET /projects/{id}/webhooks`: all of a project, at most 10.
#[utoipa::path(get, path = "/projects/{id}/webhooks", params(("id" = ProjectId, Path)),
    responses((status = 200, description = "Webhooks", body = WebhooksList)))]
pub async fn list(
    State(app): State<App>,
    at: At,
    Named(project): Named<ProjectId>,
) -> ApiResult<Json<WebhooksList>> {
    let webhooks = match at.commit(&app, &RepoName::Project(project.clone())).await? {
        None => app.webhooks.list(&project).await?.iter().map(|hook| WebhookView::of(hook, None)).collect(),
        Some(commit) => {
            let hooks = app.webhooks.list_at(&project, commit).await?;
            hooks.iter().map(|hook| WebhookView::of(hook, None)).collect()
        }
    };
    Ok(Json(WebhooksList { webhooks }))
}

/// `POST /projects/{id}/webhooks`: makes one. The answer shows the secret that deliveries are signed with, this once.
#[utoipa::path(post, path = "/projects/{id}/webhooks", params(("id" = ProjectId, Path), AckQuery), request_body = NewWebhook,
    responses(
        (status = 201, description = "Made", body = WebhookView),
        (status = 409, description = "webhooksTooMany: a project has at most 10"),
        (status = 422, description = "webhookTarget: the address is not one of the public internet, by https"),
    ))]
pub async fn create(
    State(app): State<App>,
    caller: Principal,
    Named(project): Named<ProjectId>,
    Asked(query): Asked<AckQuery>,
    Body(new): Body<NewWebhook>,
) -> ApiResult<Response> {
    app.projects.get(&project)?;
    let done = app.webhooks.create(&project, new.url, new.events, caller.actor()).await?;
    answered(&app, query, project, StatusCode::CREATED, &done).await
}

/// `GET /projects/{id}/webhooks/{webhookId}`: one webhook.
#[utoipa::path(get, path = "/projects/{id}/webhooks/{webhookId}", params(("id" = ProjectId, Path), ("webhookId" = WebhookId, Path)),
    responses((status = 200, description = "The webhook", body = WebhookView)))]
pub async fn get(
    State(app): State<App>,
    at: At,
    Named((project, id)): Named<(ProjectId, WebhookId)>,
) -> ApiResult<Json<WebhookView>> {
    Ok(Json(match at.commit(&app, &RepoName::Project(project.clone())).await? {
        None => WebhookView::of(&*app.webhooks.get(&project, &id).await?, None),
        Some(commit) => WebhookView::of(&app.webhooks.get_at(&project, commit, &id).await?, None),
    }))
}

/// `PATCH /projects/{id}/webhooks/{webhookId}`: changes one. One that is enabled begins with what happens next.
#[utoipa::path(patch, path = "/projects/{id}/webhooks/{webhookId}", request_body = WebhookPatch,
    params(("id" = ProjectId, Path), ("webhookId" = WebhookId, Path), AckQuery),
    responses(
        (status = 200, description = "Changed; `secret` is there if it is new", body = WebhookView),
        (status = 422, description = "webhookTarget: the address is not one of the public internet, by https"),
    ))]
pub async fn edit(
    State(app): State<App>,
    caller: Principal,
    Named((project, id)): Named<(ProjectId, WebhookId)>,
    Asked(query): Asked<AckQuery>,
    Body(patch): Body<WebhookPatch>,
) -> ApiResult<Response> {
    let WebhookPatch { url, events, enabled, rotate_secret } = patch;
    let edit = WebhookEdit { url, events, enabled, rotate_secret };
    let done = app.webhooks.edit(&project, &id, edit, caller.actor()).await?;
    answered(&app, query, project, StatusCode::OK, &done).await
}

/// `DELETE /projects/{id}/webhooks/{webhookId}`: removes one.
#[utoipa::path(delete, path = "/projects/{id}/webhooks/{webhookId}",
    params(("id" = ProjectId, Path), ("webhookId" = WebhookId, Path), AckQuery),
    responses((status = 200, description = "The webhook as it was", body = WebhookView)))]
pub async fn remove(
    State(app): State<App>,
    caller: Principal,
    Named((project, id)): Named<(ProjectId, WebhookId)>,
    Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    let done = app.webhooks.remove(&project, &id, caller.actor()).await?;
    let view = WebhookView::of(&done.answer, None);
    written(&app, query.ack, &RepoName::Project(project), StatusCode::OK, &done, &view).await
}

/// `GET /projects/{id}/webhooks/{webhookId}/deliveries`: the last 100, the newest first.
#[utoipa::path(get, path = "/projects/{id}/webhooks/{webhookId}/deliveries", params(("id" = ProjectId, Path), ("webhookId" = WebhookId, Path)),
    responses((status = 200, description = "Deliveries", body = DeliveriesList)))]
pub async fn deliveries(
    State(app): State<App>,
    Named((project, id)): Named<(ProjectId, WebhookId)>,
) -> ApiResult<Json<DeliveriesList>> {
    let hook = app.webhooks.get(&project, &id).await?;
    Ok(Json(DeliveriesList { deliveries: app.webhooks.deliveries(&hook).await }))
}

/// `POST /projects/{id}/webhooks/{webhookId}/deliveries/{number}/redeliver`: sends an event once more, now.
#[utoipa::path(post, path = "/projects/{id}/webhooks/{webhookId}/deliveries/{number}/redeliver",
    params(("id" = ProjectId, Path), ("webhookId" = WebhookId, Path), ("number" = u64, Path)),
    responses((status = 200, description = "The delivery, with this attempt", body = Delivery)))]
pub async fn redeliver(
    State(app): State<App>,
    Named((project, id, number)): Named<(ProjectId, WebhookId, u64)>,
) -> ApiResult<Json<Delivery>> {
    Ok(Json(app.webhooks.redeliver(&project, &id, number).await?))
}

/// `POST /projects/{id}/webhooks/{webhookId}/ping`: sends the event `ping`, now.
#[utoipa::path(post, path = "/projects/{id}/webhooks/{webhookId}/ping", params(("id" = ProjectId, Path), ("webhookId" = WebhookId, Path)),
    responses((status = 200, description = "The delivery; `attempts` says what the receiver answered", body = Delivery)))]
pub async fn ping(
    State(app): State<App>,
    caller: Principal,
    Named((project, id)): Named<(ProjectId, WebhookId)>,
) -> ApiResult<Json<Delivery>> {
    Ok(Json(app.webhooks.ping(&project, &id, &caller.actor()).await?))
}

async fn answered(
    app: &App,
    query: AckQuery,
    project: ProjectId,
    status: StatusCode,
    done: &Done<WithSecret>,
) -> ApiResult<Response> {
    let (hook, secret) = &done.answer;
    let view = WebhookView::of(hook, secret.as_ref().map(|secret| secret.reveal().to_owned()));
    written(app, query.ack, &RepoName::Project(project), status, done, &view).await
}
