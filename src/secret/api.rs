//! The HTTP side of secrets. A value comes in by two routes, and leaves by one answer: to a redeemed token.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::recipients::{Recipient, Recipients};
use super::secrets::{Opened, Put};
use super::types::{Scope, Secret, SecretKind, SecretName};
use crate::app::App;
use crate::http::answer::{AckQuery, with_commit, written};
use crate::http::auth::{Principal, lease_of};
use crate::http::error::{ApiError, ApiResult};
use crate::http::health::check_ready;
use crate::http::input::{Asked, Body, Named, QuietBody, lease};
use crate::http::past::At;
use crate::id::{LeaseId, ProjectId};
use crate::identity::principal::AgentCaller;
use crate::mask::SecretText;
use crate::state::layout::RepoName;

/// The body of `POST /admin/secrets`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreBody {
    /// Whose secret it is; null or absent for the platform's default.
    project_id: Option<ProjectId>,
    /// What it opens: enough for `github`, `drive` and `llm`.
    kind: Option<SecretKind>,
    /// Its name; enough for one of kind `named`.
    name: Option<SecretName>,
    /// The value: 6 characters to 64 KiB of text.
    #[schema(value_type = String)]
    value: SecretText,
}

/// The body of `POST /admin/secrets/{id}/{name}/rotate`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateBody {
    /// The new value: 6 characters to 64 KiB of text.
    #[schema(value_type = String)]
    value: SecretText,
}

/// The body of `PUT /admin/recipients`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipientsBody {
    /// All of them: whoever is not in the list is a recipient no more.
    recipients: Vec<Recipient>,
}

/// What `PUT /admin/recipients` did.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecipientsSet {
    /// The list.
    recipients: Vec<Recipient>,
    /// Whose secrets could not be encrypted anew, as the log says; sending the list again tries again.
    not_resealed: Vec<String>,
}

/// Secrets.
#[derive(Serialize, ToSchema)]
pub struct SecretsList {
    /// By name.
    secrets: Vec<SecretView>,
}

/// A secret as its caller may see it.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum SecretView {
    /// For people: all but the value.
    Listed(Secret),
    /// For the agent of a job, once.
    Opened {
        /// Its name.
        name: SecretName,
        /// What it opens.
        kind: SecretKind,
        /// The value.
        value: String,
    },
}

impl From<&Opened> for SecretView {
    fn from(opened: &Opened) -> Self {
        let Opened { name, kind, value } = opened;
        Self::Opened { name: name.clone(), kind: *kind, value: value.reveal().to_owned() }
    }
}

/// `POST /admin/secrets`: stores a value, as a new secret or in place of the old value.
#[utoipa::path(post, path = "/admin/secrets", params(AckQuery), request_body = StoreBody,
    responses(
        (status = 201, description = "It is stored", body = Secret),
        (status = 404, description = "projectUnknown"),
        (status = 409, description = "secretsTooMany, secretsBusy, fileInvalid"),
        (status = 422, description = "secretTooShort, secretTooLong, secretUnusable"),
    ))]
pub async fn store(
    State(app): State<App>,
    caller: Principal,
    Asked(query): Asked<AckQuery>,
    QuietBody(body): QuietBody<StoreBody>,
) -> ApiResult<Response> {
    let name = name_of(body.kind, body.name)?;
    let scope = body.project_id.map_or(Scope::Platform, Scope::Project);
    query.ack.check(&app, &scope.repo())?;
    let done = app.secrets.put((&scope, &name), &body.value, Put::Store, &caller.actor()).await?;
    written(&app, query.ack, &scope.repo(), StatusCode::CREATED, &done, &done.answer.0).await
}

/// The name that a kind or a name says; both must agree.
fn name_of(kind: Option<SecretKind>, name: Option<SecretName>) -> Result<SecretName, ApiError> {
    let by_kind = kind.and_then(SecretKind::name);
    match (kind, name.or(by_kind)) {
        (None, Some(name)) => Ok(name),
        (Some(kind), Some(name)) if SecretKind::of(&name) == kind => Ok(name),
        (Some(kind), Some(name)) => Err(ApiError::bad_request(format!(
            "a secret named {name} is of kind {:?}, not {kind:?}",
            SecretKind::of(&name)
        ))),
        (_, None) => Err(ApiError::bad_request("say which secret it is: kind, or name")),
    }
}

/// `GET /admin/secrets/{id}`: a project's secrets; `platform` for the defaults of all projects.
///
/// People see all but the values. The agent of a job, with `Job-Lease` and the `Secrets-Token` that its claim gave, gets
/// the values that the job may use, once.
#[utoipa::path(get, path = "/admin/secrets/{id}", params(("id" = String, Path, description = "A project's name, or `platform`"),
        ("Secrets-Token" = Option<String>, Header, description = "An agent's token, from its claim"), ("Job-Lease" = Option<LeaseId>, Header)),
    responses(
        (status = 200, description = "They", body = SecretsList),
        (status = 403, description = "forbidden; secretsTokenInvalid, secretsTokenExpired; secretsTokenSpent: it was redeemed before, which is recorded"),
        (status = 409, description = "jobLeaseStale: the lease is no job's any more; secretBroken: a value cannot be decrypted; fileInvalid"),
    ))]
pub async fn list(
    State(app): State<App>,
    caller: Principal,
    headers: HeaderMap,
    at: At,
    Named(scope): Named<Scope>,
) -> ApiResult<Response> {
    if let Principal::Agent(agent) = &caller {
        if at.is_asked() {
            return Err(ApiError::bad_request("values are those of now alone: leave at out of the query"));
        }
        return redeem(&app, agent, &headers, scope).await;
    }
    let secrets = match at.commit(&app, &scope.repo()).await? {
        None => app
            .secrets
            .list(&scope)
            .await?
            .iter()
            .map(|secret| SecretView::Listed((**secret).clone()))
            .collect(),
        Some(commit) => {
            app.secrets.list_at(&scope, commit).await?.into_iter().map(SecretView::Listed).collect()
        }
    };
    Ok(Json(SecretsList { secrets }).into_response())
}

async fn redeem(app: &App, agent: &AgentCaller, headers: &HeaderMap, scope: Scope) -> ApiResult<Response> {
    let lease = lease(headers)?;
    let Scope::Project(project) = scope else {
        return Err(ApiError::bad_request("an agent asks for the secrets of its job's project"));
    };
    if let Some(job) = app.jobs.leases().job_of(&project, &lease) {
        lease_of(app, agent, &job, headers)?;
    }
    let token = headers.get("secrets-token").and_then(|value| value.to_str().ok()).ok_or_else(|| {
        ApiError::bad_request("send the secretsToken you got with the job as the header Secrets-Token")
    })?;
    let done = app.secrets.redeem(&project, &lease, &token.to_owned().into()).await?;
    let secrets = done.answer.iter().map(SecretView::from).collect();
    let mut response = with_commit(Json(SecretsList { secrets }).into_response(), &done);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `POST /admin/secrets/{id}/{name}/rotate`: replaces the value of a secret that is there.
#[utoipa::path(post, path = "/admin/secrets/{id}/{name}/rotate", request_body = RotateBody,
    params(("id" = String, Path, description = "A project's name, or `platform`"), ("name" = SecretName, Path), AckQuery),
    responses(
        (status = 200, description = "It is replaced", body = Secret),
        (status = 404, description = "secretUnknown, projectUnknown"),
        (status = 409, description = "secretsBusy, fileInvalid"),
        (status = 422, description = "secretTooShort, secretTooLong, secretUnusable"),
    ))]
pub async fn rotate(
    State(app): State<App>,
    caller: Principal,
    Named((scope, name)): Named<(Scope, SecretName)>,
    Asked(query): Asked<AckQuery>,
    QuietBody(body): QuietBody<RotateBody>,
) -> ApiResult<Response> {
    let done = app.secrets.put((&scope, &name), &body.value, Put::Rotate, &caller.actor()).await?;
    written(&app, query.ack, &scope.repo(), StatusCode::OK, &done, &done.answer.0).await
}

/// `DELETE /admin/secrets/{id}/{name}`: removes a secret. Its ciphertext stays in git's history.
#[utoipa::path(delete, path = "/admin/secrets/{id}/{name}",
    params(("id" = String, Path, description = "A project's name, or `platform`"), ("name" = SecretName, Path), AckQuery),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "secretUnknown, projectUnknown"),
    ))]
pub async fn remove(
    State(app): State<App>,
    caller: Principal,
    Named((scope, name)): Named<(Scope, SecretName)>,
    Asked(query): Asked<AckQuery>,
) -> ApiResult<Response> {
    let done = app.secrets.remove(&scope, &name, &caller.actor()).await?;
    let mut response = written(&app, query.ack, &scope.repo(), StatusCode::NO_CONTENT, &done, ()).await?;
    *response.body_mut() = axum::body::Body::empty();
    response.headers_mut().remove(header::CONTENT_TYPE);
    Ok(response)
}

/// `GET /admin/recipients`: who can read every secret with plain age, besides the daemon.
#[utoipa::path(get, path = "/admin/recipients", responses((status = 200, description = "They", body = Recipients)))]
pub async fn recipients(State(app): State<App>, at: At) -> ApiResult<Json<Recipients>> {
    Ok(Json(match at.commit(&app, &RepoName::Platform).await? {
        None => (*app.secrets.recipients().await?).clone(),
        Some(commit) => app.secrets.recipients_at(commit).await?,
    }))
}

/// `PUT /admin/recipients`: replaces the list, and encrypts every secret anew.
///
/// Who is no longer in the list can still read what git's history has: rotate the values too.
#[utoipa::path(put, path = "/admin/recipients", params(AckQuery), request_body = RecipientsBody,
    responses(
        (status = 200, description = "It is replaced", body = RecipientsSet),
        (status = 422, description = "recipientsInvalid: more than 32, or a name or key twice"),
    ))]
pub async fn set_recipients(
    State(app): State<App>,
    caller: Principal,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<RecipientsBody>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    check_ready(&app)?;
    let done = app.secrets.set_recipients(body.recipients, &caller.actor()).await?;
    let not_resealed = app.secrets.reseal_all().await.iter().map(ToString::to_string).collect();
    let body = RecipientsSet { recipients: done.answer.recipients.clone(), not_resealed };
    written(&app, query.ack, &RepoName::Platform, StatusCode::OK, &done, body).await
}
