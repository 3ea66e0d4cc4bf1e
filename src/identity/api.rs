//! The HTTP side of logging in: setup, registration, sessions, passwords.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::accounts::{NewUser, Registration};
use super::password::Password;
use super::principal::{Credential, Principal};
use super::rights::{Right, Role};
use super::sessions::LoggedIn;
use super::token::Token;
use super::types::{ApiKey, User};
use crate::app::App;
use crate::clock::Time;
use crate::http::answer::{Ack, with_commit, written};
use crate::http::auth::SESSION_COOKIE;
use crate::http::client_address::ClientAddress;
use crate::http::error::{ApiError, ApiResult};
use crate::http::input::QuietBody;
use crate::id::{AgentId, KeyId, ProjectId, UserName};
use crate::state::layout::RepoName;

/// An account as it is shown: never its password's hash.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    name: UserName,
    role: Role,
    email: Option<String>,
    /// Whether it logs in with a password of its own.
    has_password: bool,
    /// The issuer that vouches for it, if one does.
    issuer: Option<String>,
    created_at: Time,
    updated_at: Time,
    disabled_at: Option<Time>,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            name: user.name.clone(),
            role: user.role,
            email: user.email.clone(),
            has_password: user.password_hash.is_some(),
            issuer: user.external.as_ref().map(|external| external.issuer.clone()),
            created_at: user.created_at,
            updated_at: user.updated_at,
            disabled_at: user.disabled_at,
        }
    }
}

/// How somebody who has no account can get one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthOptions {
    /// Who may make an account.
    registration: Registration,
    /// Whether there is no admin yet, so that the link that the daemon printed makes one.
    needs_setup: bool,
}

/// The body of `POST /auth/setup`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetupBody {
    /// The token of the link that the daemon printed.
    #[schema(value_type = String)]
    token: Token,
    /// The first admin's name.
    name: UserName,
    /// At least 12 characters.
    #[schema(value_type = String)]
    password: Password,
}

/// The body of `POST /auth/register`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterBody {
    /// The name to log in with.
    name: UserName,
    /// At least 12 characters.
    #[schema(value_type = String)]
    password: Password,
    /// Where to reach the person.
    email: Option<String>,
    /// The token of an invitation, where one is needed.
    #[schema(value_type = Option<String>)]
    invite: Option<Token>,
    /// Has no effect: the role comes from the invitation, or is viewer.
    #[serde(rename = "role")]
    #[schema(value_type = Option<Value>)]
    _role: Option<Value>,
}

/// The body of `POST /auth/login`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginBody {
    /// The account's name.
    name: String,
    /// Its password.
    #[schema(value_type = String)]
    password: Password,
    /// Whether the session's token comes as an HttpOnly cookie, for pages, and not in the answer.
    #[serde(default)]
    cookie: bool,
}

/// The body of `POST /auth/password`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordBody {
    /// The password as it is.
    #[schema(value_type = String)]
    current: Password,
    /// The next one, of at least 12 characters.
    #[schema(value_type = String)]
    next: Password,
}

/// A session that has begun.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    user: UserView,
    /// The session's token, a JWT; absent if it was set as a cookie.
    token: Option<String>,
    /// What a page sends as `Mrx-Csrf` with each change, if the token is a cookie.
    csrf_token: Option<String>,
    /// When the session ends.
    expires_at: Time,
}

/// Who calls, and by what.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeView {
    /// `operator`, `user` or `agent`.
    kind: String,
    /// The name in commits.
    name: String,
    /// The role that this credential has.
    role: Option<Role>,
    user: Option<UserView>,
    agent: Option<AgentId>,
    key: Option<KeyView>,
    /// What a page sends as `Mrx-Csrf` with each change.
    csrf_token: Option<String>,
}

/// An API key as it is shown: never its hash.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    key_id: KeyId,
    name: String,
    owner: UserName,
    project_id: Option<ProjectId>,
    permission: Right,
    created_at: Time,
    expires_at: Option<Time>,
    /// About when it was last used.
    last_used_at: Option<Time>,
}

impl KeyView {
    pub(super) fn of(app: &App, key: &ApiKey) -> Self {
        let noted = app.identity.known().noted_use(&key.key_id);
        Self {
            key_id: key.key_id.clone(),
            name: key.name.clone(),
            owner: key.owner.clone(),
            project_id: key.project_id.clone(),
            permission: key.permission,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: noted.or(key.last_used_at),
        }
    }
}

/// `GET /auth/options`: how somebody who has no account can get one.
#[utoipa::path(get, path = "/auth/options", responses((status = 200, description = "The ways", body = AuthOptions)))]
pub async fn options(State(app): State<App>) -> Json<AuthOptions> {
    let needs_setup = app.identity.known().admins() == 0;
    Json(AuthOptions { registration: app.identity.registration(), needs_setup })
}

/// `POST /auth/setup`: makes the first admin, with the token that the daemon printed when it started.
#[utoipa::path(post, path = "/auth/setup", request_body = SetupBody,
    responses(
        (status = 201, description = "The first admin is there and can log in", body = UserView),
        (status = 403, description = "spentToken: the token is not valid, or no more"),
        (status = 409, description = "setUp: there is an admin already; nameTaken, nameReserved"),
    ))]
pub async fn setup(State(app): State<App>, QuietBody(body): QuietBody<SetupBody>) -> ApiResult<Response> {
    let done = app.identity.set_up(&body.token, body.name, body.password).await?;
    written(
        &app,
        Ack::Durable,
        &RepoName::Platform,
        StatusCode::CREATED,
        &done,
        UserView::from(&*done.answer),
    )
    .await
}

/// `POST /auth/register`: makes an account for whoever asks, if the operator lets them.
#[utoipa::path(post, path = "/auth/register", request_body = RegisterBody,
    responses(
        (status = 201, description = "The account is there and can log in", body = UserView),
        (status = 403, description = "registrationOff, inviteNeeded, spentToken"),
        (status = 409, description = "nameTaken, nameReserved"),
    ))]
pub async fn register(
    State(app): State<App>,
    QuietBody(body): QuietBody<RegisterBody>,
) -> ApiResult<Response> {
    let new = NewUser {
        name: body.name,
        role: Role::Viewer,
        email: body.email,
        password: Some(body.password),
        external: None,
    };
    let done = app.identity.register(new, body.invite).await?;
    written(
        &app,
        Ack::Durable,
        &RepoName::Platform,
        StatusCode::CREATED,
        &done,
        UserView::from(&*done.answer),
    )
    .await
}

/// `POST /auth/login`: begins a session.
///
/// After five failures for an account, or twenty from an address, each next attempt waits longer, up to 15 minutes.
#[utoipa::path(post, path = "/auth/login", request_body = LoginBody,
    responses(
        (status = 200, description = "The session", body = SessionView, headers(("Set-Cookie" = Option<String>, description = "The session's token, if it was asked for as a cookie"))),
        (status = 401, description = "wrongPassword: the name or the password is wrong"),
    ))]
pub async fn login(
    State(app): State<App>,
    address: ClientAddress,
    QuietBody(body): QuietBody<LoginBody>,
) -> ApiResult<Response> {
    let done = app.identity.log_in(&body.name, body.password, &address.0.to_string()).await?;
    let LoggedIn { user, session, token } = &done.answer;
    let csrf_token = body.cookie.then(|| app.identity.csrf_token(&session.session_id));
    let shown = (!body.cookie).then(|| token.reveal().to_owned());
    let view = SessionView {
        user: UserView::from(&**user),
        token: shown,
        csrf_token,
        expires_at: session.expires_at,
    };
    let mut response = with_commit(Json(view).into_response(), &done);
    if body.cookie {
        set_cookie(&app, &mut response, token.reveal(), session.expires_at.since(app.clock.now()).as_secs());
    }
    Ok(response)
}

fn set_cookie(app: &App, response: &mut Response, value: &str, seconds: u64) {
    let secure = if app.http.are_cookies_secure { "; Secure" } else { "" };
    let cookie =
        format!("{SESSION_COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = cookie.parse() {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// `POST /auth/logout`: ends the caller's session; its token is worth nothing from this moment on.
#[utoipa::path(post, path = "/auth/logout",
    responses((status = 204, description = "The session has ended"), (status = 400, description = "badRequest: the caller has no session to end")))]
pub async fn logout(State(app): State<App>, caller: Principal) -> ApiResult<Response> {
    let session = caller.session().cloned().ok_or_else(|| {
        ApiError::bad_request(
            "the caller has no session to end; an API key is revoked with DELETE /keys/{keyId}",
        )
    })?;
    let done = app.identity.log_out(&session, caller.actor()).await?;
    let mut response = with_commit(StatusCode::NO_CONTENT.into_response(), &done);
    set_cookie(&app, &mut response, "", 0);
    Ok(response)
}

/// `GET /auth/me`: who calls, and by what.
#[utoipa::path(get, path = "/auth/me", responses((status = 200, description = "The caller", body = MeView)))]
pub async fn me(State(app): State<App>, caller: Principal) -> Json<MeView> {
    let actor = caller.actor();
    let mut me = MeView {
        kind: actor.kind.to_owned(),
        name: actor.name.to_string(),
        role: caller.role(),
        user: None,
        agent: None,
        key: None,
        csrf_token: None,
    };
    match &caller {
        Principal::Operator => {}
        Principal::Agent(agent) => me.agent = Some(agent.agent.agent_id.clone()),
        Principal::Person(person) => {
            me.user = Some(UserView::from(&*person.user));
            match &person.by {
                Credential::Key(key) => me.key = Some(KeyView::of(&app, key)),
                Credential::Cookie(session) => me.csrf_token = Some(app.identity.csrf_token(session)),
                Credential::Session(_) | Credential::External { .. } => {}
            }
        }
    }
    Json(me)
}

/// `POST /auth/password`: changes the caller's password; all its sessions end.
#[utoipa::path(post, path = "/auth/password", request_body = PasswordBody,
    responses(
        (status = 204, description = "The next log-in needs the new password"),
        (status = 401, description = "wrongPassword: the current password is wrong"),
    ))]
pub async fn change_password(
    State(app): State<App>,
    caller: Principal,
    address: ClientAddress,
    QuietBody(body): QuietBody<PasswordBody>,
) -> ApiResult<Response> {
    let name = match (&caller, caller.session()) {
        (Principal::Person(person), Some(_)) => person.user.name.clone(),
        _ => return Err(ApiError::bad_request("only a person who is logged in has a password to change")),
    };
    let done = app.identity.change_password(&name, body.current, body.next, &address.0.to_string()).await?;
    Ok(with_commit(StatusCode::NO_CONTENT.into_response(), &done))
}
