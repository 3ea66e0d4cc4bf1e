//! Every path, who may call it, and its handler: a line each. Reading this is reading the API.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodFilter, MethodRouter};

use super::auth::Who;
use super::cors::Invitation;
use super::error::ApiError;
use super::gate::{Gate, Gated};
use super::request_id::RequestId;
use super::{debug, events, health, openapi};
use crate::app::App;
use crate::identity::{admin_api, api as auth_api, keys_api};
use crate::{
    agent, artifact, chat, code, entity, forge, git, history, job, log, project, remote, schedule, secret,
    ui, webhook,
};

/// Bodies are at most this large, but where the table says otherwise.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A line of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{names}`; a `{path}` at the end may have slashes in it.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
    /// Whether `?at=` reads it as it was.
    pub reads_past: bool,
    body_limit: DefaultBodyLimit,
    behind: Box<dyn FnOnce(Gate) -> MethodRouter<App>>,
}

/// The table.
#[rustfmt::skip]
pub fn table() -> Vec<Route> {
    use Who::{
        Account, Admin, AdminOrAgent, Agent, Anyone, Claimer, Deliver, Developer, Known, Manage, Person, Read, Secrets, Write,
    };
    vec![
        route(Method::GET,   "/",                                        Anyone, ui::api::root),
        route(Method::GET,   "/ui",                                      Anyone, ui::api::without_slash),
        route(Method::GET,   "/ui/",                                     Anyone, ui::api::index),
        route(Method::GET,   "/ui/{path}",                               Anyone, ui::api::file),
        route(Method::GET,   "/health",                                  Anyone, health::health),
        route(Method::GET,   "/ready",                                   Anyone, health::ready),
        route(Method::GET,   "/metrics",                                 Admin,  health::metrics),
        route(Method::GET,   "/openapi.json",                            Anyone, openapi::document),
        route(Method::GET,   "/events",                                  Known,  events::stream),
        route(Method::GET,   "/auth/options",                            Anyone, auth_api::options),
        route(Method::POST,  "/auth/setup",                              Anyone, auth_api::setup),
        route(Method::POST,  "/auth/register",                           Anyone, auth_api::register),
        route(Method::POST,  "/auth/login",                              Anyone, auth_api::login),
        route(Method::POST,  "/auth/logout",                             Account, auth_api::logout),
        route(Method::GET,   "/auth/me",                                 Known,  auth_api::me),
        route(Method::POST,  "/auth/password",                           Account, auth_api::change_password),
        route(Method::GET,   "/keys",                                    Person, keys_api::list),
        route(Method::POST,  "/keys",                                    Account, keys_api::create),
        route(Method::DELETE, "/keys/{keyId}",                           Account, keys_api::revoke),
        route(Method::GET,   "/admin/debug/projects",                    Admin,  debug::projects),
        route(Method::GET,   "/admin/debug/state",                       Admin,  debug::state),
        route(Method::POST,  "/admin/epochs",                            Admin,  history::epochs::end),
        route(Method::GET,   "/admin/users",                             Admin,  admin_api::list_users),
        route(Method::POST,  "/admin/users",                             Admin,  admin_api::add_user),
        route(Method::GET,   "/admin/users/{name}",                      Admin,  admin_api::get_user),
        route(Method::PATCH, "/admin/users/{name}",                      Admin,  admin_api::change_user),
        route(Method::POST,  "/admin/users/{name}/password",             Admin,  admin_api::reset_password),
        route(Method::GET,   "/admin/invites",                           Admin,  admin_api::list_invites),
        route(Method::POST,  "/admin/invites",                           Admin,  admin_api::invite),
        route(Method::DELETE, "/admin/invites/{inviteId}",               Admin,  admin_api::revoke_invite),
        route(Method::POST,  "/admin/agents",                            Admin,  agent::api::add),
        route(Method::PATCH, "/admin/agents/{agentId}",                  Admin,  agent::api::change),
        route(Method::POST,  "/admin/agents/{agentId}/rotate",           Admin,  agent::api::rotate),
        route(Method::POST,  "/agents/claim-secret",                     AdminOrAgent, agent::api::claim_secret),
        route(Method::PUT,   "/projects/{id}/members/{user}",            Manage, project::api::set_member),
        route(Method::DELETE, "/projects/{id}/members/{user}",           Manage, project::api::remove_member),
        route(Method::GET,   "/projects",                                Known,  project::api::list).at(),
        route(Method::POST,  "/projects",                                Developer, project::api::create),
        route(Method::GET,   "/projects/{id}",                           Read,   project::api::get).at(),
        route(Method::PATCH, "/projects/{id}",                           Manage, project::api::edit),
        route(Method::DELETE, "/projects/{id}",                          Manage, project::api::trash),
        route(Method::POST,  "/projects/{id}/restore",                   Manage, project::api::restore),
        route(Method::POST,  "/projects/{id}/forks",                     Developer, project::api::fork),
        route(Method::POST,  "/projects/{id}/sync",                      Write,  project::api::sync),
        route(Method::GET,   "/projects/{id}/remote",                    Read,   remote::api::get),
        route(Method::POST,  "/projects/{id}/remote/sync",               Write,  remote::api::sync),
        route(Method::GET,   "/projects/{id}/jobs",                      Read,   job::list_api::list).at(),
        route(Method::GET,   "/projects/{id}/schedules",                 Read,   schedule::api::list).at(),
        route(Method::POST,  "/projects/{id}/schedules",                 Write,  schedule::api::create),
        route(Method::GET,   "/projects/{id}/schedules/{name}",          Read,   schedule::api::get).at(),
        route(Method::PATCH, "/projects/{id}/schedules/{name}",          Write,  schedule::api::edit),
        route(Method::DELETE, "/projects/{id}/schedules/{name}",         Write,  schedule::api::remove),
        route(Method::GET,   "/projects/{id}/quarantine",                Read,   job::list_api::quarantine).at(),
        route(Method::GET,   "/projects/{id}/artifacts",                 Read,   artifact::api::list).at(),
        route(Method::POST,  "/projects/{id}/artifacts",                 Deliver, artifact::api::upload).body(DefaultBodyLimit::disable()),
        route(Method::GET,   "/projects/{id}/artifacts/{artifactId}",    Read,   artifact::api::get).at(),
        route(Method::DELETE, "/projects/{id}/artifacts/{artifactId}",   Write,  artifact::api::remove),
        route(Method::GET,   "/projects/{id}/artifacts/{artifactId}/content", Read, artifact::api::content),
        route(Method::GET,   "/projects/{id}/chats",                     Read,   chat::api::list).at(),
        route(Method::POST,  "/projects/{id}/chats",                     Write,  chat::api::create),
        route(Method::GET,   "/projects/{id}/chats/{chatId}",            Read,   chat::api::get).at(),
        route(Method::PATCH, "/projects/{id}/chats/{chatId}",            Write,  chat::api::patch),
        route(Method::DELETE, "/projects/{id}/chats/{chatId}",           Write,  chat::api::remove),
        route(Method::GET,   "/projects/{id}/chats/{chatId}/messages",   Read,   chat::api::messages).at(),
        route(Method::POST,  "/projects/{id}/chats/{chatId}/messages",   Write,  chat::api::append),
        route(Method::GET,   "/projects/{id}/chats/{chatId}/stream",     Read,   chat::api::stream),
        route(Method::GET,   "/projects/{id}/files",                     Read,   code::api::list),
        route(Method::GET,   "/projects/{id}/prompt",                    Read,   chat::api::prompt).at(),
        route(Method::PUT,   "/projects/{id}/prompt",                    Manage, chat::api::set_prompt),
        route(Method::GET,   "/projects/{id}/webhooks",                  Manage, webhook::api::list).at(),
        route(Method::POST,  "/projects/{id}/webhooks",                  Manage, webhook::api::create),
        route(Method::GET,   "/projects/{id}/webhooks/{webhookId}",      Manage, webhook::api::get).at(),
        route(Method::PATCH, "/projects/{id}/webhooks/{webhookId}",      Manage, webhook::api::edit),
        route(Method::DELETE, "/projects/{id}/webhooks/{webhookId}",     Manage, webhook::api::remove),
        route(Method::POST,  "/projects/{id}/webhooks/{webhookId}/ping", Manage, webhook::api::ping),
        route(Method::GET,   "/projects/{id}/webhooks/{webhookId}/deliveries", Manage, webhook::api::deliveries),
        route(Method::POST,  "/projects/{id}/webhooks/{webhookId}/deliveries/{number}/redeliver", Manage, webhook::api::redeliver),
        route(Method::POST,  "/jobs/create",                             Person, job::api::create),
        route(Method::POST,  "/jobs/claim",                              Claimer, job::api::claim),
        route(Method::GET,   "/jobs/{id}",                               Read,   job::api::get).at(),
        route(Method::PATCH, "/jobs/{id}",                               Agent,  job::api::tell),
        route(Method::POST,  "/jobs/{id}/cancel",                        Write,  job::api::cancel),
        route(Method::POST,  "/jobs/{id}/retry",                         Write,  job::api::retry),
        route(Method::GET,   "/jobs/{id}/logs",                          Read,   log::api::read),
        route(Method::PATCH, "/jobs/{id}/logs",                          Agent,  log::api::append),
        route(Method::POST,  "/admin/secrets",                           Admin,  secret::api::store),
        route(Method::GET,   "/admin/secrets/{id}",                      Secrets, secret::api::list).at(),
        route(Method::POST,  "/admin/secrets/{id}/{name}/rotate",        Manage, secret::api::rotate),
        route(Method::DELETE, "/admin/secrets/{id}/{name}",              Manage, secret::api::remove),
        route(Method::GET,   "/admin/recipients",                        Admin,  secret::api::recipients).at(),
        route(Method::PUT,   "/admin/recipients",                        Admin,  secret::api::set_recipients),
        route(Method::PATCH, "/jobs/{id}/answer",                        Agent,  chat::api::answer),
        route(Method::GET,   "/projects/{id}/history",                   Read,   history::api::list),
        route(Method::GET,   "/projects/{id}/commits/{oid}",             Read,   history::api::get),
        route(Method::POST,  "/projects/{id}/revert",                    Manage, entity::api::put_back),
        route(Method::GET,   "/projects/{id}/diff",                      Read,   history::api::diff),
        route(Method::GET,   "/allowed-signers",                         Anyone, git::api::allowed_signers),
        route(Method::GET,   "/git/{repo}/info/refs",                    Read,   git::api::refs),
        route(Method::POST,  "/git/{repo}/git-upload-pack",              Read,   git::api::upload_pack).body(DefaultBodyLimit::max(git::serve::WANTS_BYTES_MAX as usize)),
        route(Method::POST,  "/git/{repo}/git-receive-pack",             Deliver, git::api::receive_pack).body(DefaultBodyLimit::disable()),
        route(Method::GET,   "/git/code/{repo}/info/refs",               Read,   git::api::code_refs),
        route(Method::POST,  "/git/code/{repo}/git-upload-pack",         Read,   git::api::code_upload_pack).body(DefaultBodyLimit::max(git::serve::WANTS_BYTES_MAX as usize)),
        route(Method::POST,  "/webhooks/github",                         Anyone, forge::api::github).body(DefaultBodyLimit::max(forge::api::DELIVERY_BYTES_MAX)),
        route(Method::GET,   "/agent.py",                                Anyone, agent::api::program),
        route(Method::GET,   "/agents",                                  Admin,  agent::api::list),
    ]
}

fn route<T: 'static, H: Handler<T, App>>(method: Method, path: &'static str, who: Who, handler: H) -> Route {
    let filter = MethodFilter::try_from(method.clone()).expect("the table has methods that a router knows");
    let behind = move |gate| routing::on(filter, Gated { gate, handler });
    let body_limit = DefaultBodyLimit::max(BODY_BYTES_MAX);
    Route { method, path, who, reads_past: false, body_limit, behind: Box::new(behind) }
}

impl Route {
    /// The state that it reads can be read as it was.
    fn at(self) -> Self {
        Self { reads_past: true, ..self }
    }

    /// How large its bodies may be.
    fn body(self, body_limit: DefaultBodyLimit) -> Self {
        Self { body_limit, ..self }
    }

    /// A page's query is for the page itself, and a change has no past.
    fn gate(&self) -> Gate {
        let looks_back = self.method == Method::GET && !is_page(self.path);
        Gate { who: self.who, reads_past: looks_back.then_some(self.reads_past), body_limit: self.body_limit }
    }
}

/// Whether a path is the dashboard's and not the API's.
fn is_page(path: &str) -> bool {
    path == "/" || path == "/ui" || path.starts_with("/ui/")
}

/// The router: each route behind its gate, at `/` and, but for the dashboard's, under `/api`.
pub fn router(app: App) -> Router {
    let (mut routes, mut pages) = (Router::new(), Router::new());
    for route in table() {
        let gate = route.gate();
        let handler = (route.behind)(gate);
        if is_page(route.path) {
            // Axum's word for a name that may have slashes in it.
            pages = pages.route(&route.path.replace("{path}", "{*path}"), handler);
        } else {
            routes = routes.route(route.path, handler);
        }
    }
    let elsewhere = middleware::from_fn_with_state(app.clone(), enter_elsewhere);
    Router::new()
        .nest("/api", routes.clone())
        .merge(routes)
        .merge(pages)
        .fallback(not_found.layer(elsewhere.clone()))
        .method_not_allowed_fallback(wrong_method.layer(elsewhere))
        .with_state(app)
}

/// What a request for a path or with a method that there is not passes: it gets a name, and nobody is asked who they are.
async fn enter_elsewhere(State(app): State<App>, request: Request, next: Next) -> Response {
    let (id, invitation) =
        (RequestId::next(), Invitation::of(&app.http.dashboard_origins, request.headers()));
    let mut response = match invitation.answer(&request) {
        Some(answer) => answer,
        None => id.of(next.run(request)).await,
    };
    invitation.mark(&mut response);
    id.mark(&mut response);
    response
}

async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "notFound", "there is no such path; /openapi.json lists them all")
}

/// `OPTIONS` is answered with the methods of the path, which axum puts into `Allow`; no other origin is invited.
async fn wrong_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let message = "this path takes other methods; the header Allow lists them";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", message).into_response()
}
