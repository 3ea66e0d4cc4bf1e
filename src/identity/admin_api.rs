//! The HTTP side of what admins do with accounts and invitations.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{NewUser, UserPatch};
use super::api::UserView;
use super::error::IdentityError;
use super::password::Password;
use super::principal::Principal;
use super::rights::Role;
use super::types::Invite;
use crate::app::App;
use crate::clock::Time;
use crate::http::answer::{AckQuery, with_commit, written};
use crate::http::error::ApiResult;
use crate::http::input::{Asked, Body, Named, QuietBody, present};
use crate::id::{InviteId, UserName};
use crate::state::layout::RepoName;

/// The body of `POST /admin/users`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddUserBody {
    /// The name to log in with.
    name: UserName,
    /// What it is on the platform.
    role: Role,
    /// Where to reach the person.
    email: Option<String>,
    /// At least 12 characters.
    #[schema(value_type = String)]
    password: Password,
}

/// The body of `PATCH /admin/users/{name}`; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeUserBody {
    /// What it is on the platform.
    role: Option<Role>,
    /// Whether it may call; one that is disabled loses its sessions.
    disabled: Option<bool>,
    /// Where to reach the person; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
}

/// The body of `POST /admin/users/{name}/password`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetPasswordBody {
    /// The next password, of at least 12 characters.
    #[schema(value_type = String)]
    password: Password,
}

/// Accounts, by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsersPage {
    users: Vec<UserView>,
    next_cursor: Option<UserName>,
}

/// The body of `POST /admin/invites`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InviteBody {
    /// The role that whoever uses it gets; viewer if absent.
    role: Option<Role>,
}

/// An invitation as it is shown: never its hash.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InviteView {
    invite_id: InviteId,
    role: Role,
    created_by: String,
    created_at: Time,
    expires_at: Time,
    /// The token that `POST /auth/register` takes as `invite`; only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// Invitations that were not used yet, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitesPage {
    invites: Vec<InviteView>,
    next_cursor: Option<InviteId>,
}

fn view_of(invite: &Invite, token: Option<String>) -> InviteView {
    InviteView {
        invite_id: invite.invite_id.clone(),
        role: invite.role,
        created_by: invite.created_by.clone(),
        created_at: invite.created_at,
        expires_at: invite.expires_at,
        token,
    }
}

/// `GET /admin/users`: all accounts, by name.
#[utoipa::path(get, path = "/admin/users", responses((status = 200, description = "Accounts", body = UsersPage)))]
pub async fn list_users(State(app): State<App>) -> Json<UsersPage> {
    let users = app.identity.known().users().iter().map(|user| UserView::from(&**user)).collect();
    Json(UsersPage { users, next_cursor: None })
}

/// `POST /admin/users`: makes an account.
#[utoipa::path(post, path = "/admin/users", params(AckQuery), request_body = AddUserBody,
    responses((status = 201, description = "The account", body = UserView), (status = 409, description = "nameTaken, nameReserved")))]
pub async fn add_user(
    State(app): State<App>,
    caller: Principal,
    Asked(query): Asked<AckQuery>,
    QuietBody(body): QuietBody<AddUserBody>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    let new = NewUser {
        name: body.name,
        role: body.role,
        email: body.email,
        password: Some(body.password),
        external: None,
    };
    let done = app.identity.add_user(new, caller.actor()).await?;
    written(&app, query.ack, &RepoName::Platform, StatusCode::CREATED, &done, UserView::from(&*done.answer))
        .await
}

/// `GET /admin/users/{name}`: one account.
#[utoipa::path(get, path = "/admin/users/{name}", params(("name" = UserName, Path)), responses((status = 200, description = "The account", body = UserView)))]
pub async fn get_user(State(app): State<App>, Named(name): Named<UserName>) -> ApiResult<Json<UserView>> {
    let user = app.identity.known().user(&name).ok_or(IdentityError::UnknownUser(name))?;
    Ok(Json(UserView::from(&*user)))
}

/// `PATCH /admin/users/{name}`: changes an account's role, or disables it.
#[utoipa::path(patch, path = "/admin/users/{name}", params(("name" = UserName, Path), AckQuery), request_body = ChangeUserBody,
    responses((status = 200, description = "The account", body = UserView), (status = 409, description = "lastAdmin: somebody must stay an admin")))]
pub async fn change_user(
    State(app): State<App>,
    caller: Principal,
    Named(name): Named<UserName>,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<ChangeUserBody>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    let patch = UserPatch { role: body.role, disabled: body.disabled, email: body.email };
    let done = app.identity.change_user(&name, patch, caller.actor()).await?;
    written(&app, query.ack, &RepoName::Platform, StatusCode::OK, &done, UserView::from(&*done.answer)).await
}

/// `POST /admin/users/{name}/password`: gives an account another password; its sessions end.
#[utoipa::path(post, path = "/admin/users/{name}/password", params(("name" = UserName, Path)), request_body = ResetPasswordBody,
    responses((status = 204, description = "The next log-in needs the new password")))]
pub async fn reset_password(
    State(app): State<App>,
    caller: Principal,
    Named(name): Named<UserName>,
    QuietBody(body): QuietBody<ResetPasswordBody>,
) -> ApiResult<Response> {
    let done = app.identity.reset_password(&name, body.password, caller.actor()).await?;
    Ok(with_commit(StatusCode::NO_CONTENT.into_response(), &done))
}

/// `GET /admin/invites`: invitations that were not used yet.
#[utoipa::path(get, path = "/admin/invites", responses((status = 200, description = "Invitations", body = InvitesPage)))]
pub async fn list_invites(State(app): State<App>) -> Json<InvitesPage> {
    let invites = app.identity.known().invites().iter().map(|invite| view_of(invite, None)).collect();
    Json(InvitesPage { invites, next_cursor: None })
}

/// `POST /admin/invites`: invites somebody to register, within seven days.
#[utoipa::path(post, path = "/admin/invites", params(AckQuery), request_body = InviteBody,
    responses((status = 201, description = "The invitation, with its token", body = InviteView)))]
pub async fn invite(
    State(app): State<App>,
    caller: Principal,
    Asked(query): Asked<AckQuery>,
    Body(body): Body<InviteBody>,
) -> ApiResult<Response> {
    query.ack.check(&app, &RepoName::Platform)?;
    let done = app.identity.invite(body.role.unwrap_or(Role::Viewer), caller.actor()).await?;
    let view = view_of(&done.answer.0, Some(done.answer.1.reveal().to_owned()));
    written(&app, query.ack, &RepoName::Platform, StatusCode::CREATED, &done, view).await
}

/// `DELETE /admin/invites/{inviteId}`: takes an invitation back.
#[utoipa::path(delete, path = "/admin/invites/{inviteId}", params(("inviteId" = InviteId, Path)),
    responses((status = 204, description = "It is worth nothing any more"), (status = 404, description = "inviteUnknown")))]
pub async fn revoke_invite(
    State(app): State<App>,
    caller: Principal,
    Named(id): Named<InviteId>,
) -> ApiResult<Response> {
    let done = app.identity.revoke_invite(&id, caller.actor()).await?;
    Ok(with_commit(StatusCode::NO_CONTENT.into_response(), &done))
}
