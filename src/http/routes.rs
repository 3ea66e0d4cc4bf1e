//! Every path, who may call it, and its handler: a line each. Reading this is reading the API.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};

use super::auth::{PathParams, Who, guard};
use super::client_address::ClientAddress;
use super::cors;
use super::error::ApiError;
use super::{client_address, debug, events, health, openapi, past, request_id};
use crate::app::App;
use crate::identity::{admin_api, api as auth_api, keys_api};
use crate::{
    agent, artifact, chat, code, entity, forge, git, history, job, log, project, remote, schedule, secret,
    ui, webhook,
};

/// Bodies are at most this large, but for uploads of artifacts.
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
    handler: MethodRouter<App>,
}

/// The table.
#[rustfmt::skip]
pub fn table() -> Vec<Route> {
    use routing::{delete, get, patch, post, put};
    use Who::{
        Account, Admin, AdminOrAgent, Agent, Anyone, Claimer, Deliver, Developer, Known, Manage, Person, Read, Secrets, Write,
    };
    vec![
        route(Method::GET,   "/",                                        Anyone, get(ui::api::root)),
        route(Method::GET,   "/ui",                                      Anyone, get(ui::api::without_slash)),
        route(Method::GET,   "/ui/",                                     Anyone, get(ui::api::index)),
        route(Method::GET,   "/ui/{path}",                               Anyone, get(ui::api::file)),
        route(Method::GET,   "/health",                                  Anyone, get(health::health)),
        route(Method::GET,   "/ready",                                   Anyone, get(health::ready)),
        route(Method::GET,   "/metrics",                                 Admin,  get(health::metrics)),
        route(Method::GET,   "/openapi.json",                            Anyone, get(openapi::document)),
        route(Method::GET,   "/events",                                  Known,  get(events::stream)),
        route(Method::GET,   "/auth/options",                            Anyone, get(auth_api::options)),
        route(Method::POST,  "/auth/setup",                              Anyone, post(auth_api::setup)),
        route(Method::POST,  "/auth/register",                           Anyone, post(auth_api::register)),
        route(Method::POST,  "/auth/login",                              Anyone, post(auth_api::login)),
        route(Method::POST,  "/auth/logout",                             Account, post(auth_api::logout)),
        route(Method::GET,   "/auth/me",                                 Known,  get(auth_api::me)),
        route(Method::POST,  "/auth/password",                           Account, post(auth_api::change_password)),
        route(Method::GET,   "/keys",                                    Person, get(keys_api::list)),
        route(Method::POST,  "/keys",                                    Account, post(keys_api::create)),
        route(Method::DELETE, "/keys/{keyId}",                           Account, delete(keys_api::revoke)),
        route(Method::GET,   "/admin/debug/projects",                    Admin,  get(debug::projects)),
        route(Method::GET,   "/admin/debug/state",                       Admin,  get(debug::state)),
        route(Method::POST,  "/admin/epochs",                            Admin,  post(history::epochs::end)),
        route(Method::GET,   "/admin/users",                             Admin,  get(admin_api::list_users)),
        route(Method::POST,  "/admin/users",                             Admin,  post(admin_api::add_user)),
        route(Method::GET,   "/admin/users/{name}",                      Admin,  get(admin_api::get_user)),
        route(Method::PATCH, "/admin/users/{name}",                      Admin,  patch(admin_api::change_user)),
        route(Method::POST,  "/admin/users/{name}/password",             Admin,  post(admin_api::reset_password)),
        route(Method::GET,   "/admin/invites",                           Admin,  get(admin_api::list_invites)),
        route(Method::POST,  "/admin/invites",                           Admin,  post(admin_api::invite)),
        route(Method::DELETE, "/admin/invites/{inviteId}",               Admin,  delete(admin_api::revoke_invite)),
        route(Method::POST,  "/admin/agents",                            Admin,  post(agent::api::add)),
        route(Method::PATCH, "/admin/agents/{agentId}",                  Admin,  patch(agent::api::change)),
        route(Method::POST,  "/admin/agents/{agentId}/rotate",           Admin,  post(agent::api::rotate)),
        route(Method::POST,  "/agents/claim-secret",                     AdminOrAgent, post(agent::api::claim_secret)),
        route(Method::PUT,   "/projects/{id}/members/{user}",            Manage, put(project::api::set_member)),
        route(Method::DELETE, "/projects/{id}/members/{user}",           Manage, delete(project::api::remove_member)),
        route(Method::GET,   "/projects",                                Known,  get(project::api::list)).at(),
        route(Method::POST,  "/projects",                                Developer, post(project::api::create)),
        route(Method::GET,   "/projects/{id}",                           Read,   get(project::api::get)).at(),
        route(Method::PATCH, "/projects/{id}",                           Manage, patch(project::api::edit)),
        route(Method::DELETE, "/projects/{id}",                          Manage, delete(project::api::trash)),
        route(Method::POST,  "/projects/{id}/restore",                   Manage, post(project::api::restore)),
        route(Method::POST,  "/projects/{id}/forks",                     Developer, post(project::api::fork)),
        route(Method::POST,  "/projects/{id}/sync",                      Write,  post(project::api::sync)),
        route(Method::GET,   "/projects/{id}/remote",                    Read,   get(remote::api::get)),
        route(Method::POST,  "/projects/{id}/remote/sync",               Write,  post(remote::api::sync)),
        route(Method::GET,   "/projects/{id}/jobs",                      Read,   get(job::list_api::list)).at(),
        route(Method::GET,   "/projects/{id}/schedules",                 Read,   get(schedule::api::list)).at(),
        route(Method::POST,  "/projects/{id}/schedules",                 Write,  post(schedule::api::create)),
        route(Method::GET,   "/projects/{id}/schedules/{name}",          Read,   get(schedule::api::get)).at(),
        route(Method::PATCH, "/projects/{id}/schedules/{name}",          Write,  patch(schedule::api::edit)),
        route(Method::DELETE, "/projects/{id}/schedules/{name}",         Write,  delete(schedule::api::remove)),
        route(Method::GET,   "/projects/{id}/quarantine",                Read,   get(job::list_api::quarantine)).at(),
        route(Method::GET,   "/projects/{id}/artifacts",                 Read,   get(artifact::api::list)).at(),
        route(Method::POST,  "/projects/{id}/artifacts",                 Deliver, post(artifact::api::upload).layer(DefaultBodyLimit::disable())),
        route(Method::GET,   "/projects/{id}/artifacts/{artifactId}",    Read,   get(artifact::api::get)).at(),
        route(Method::DELETE, "/projects/{id}/artifacts/{artifactId}",   Write,  delete(artifact::api::remove)),
        route(Method::GET,   "/projects/{id}/artifacts/{artifactId}/content", Read, get(artifact::api::content)),
        route(Method::GET,   "/projects/{id}/chats",                     Read,   get(chat::api::list)).at(),
        route(Method::POST,  "/projects/{id}/chats",                     Write,  post(chat::api::create)),
        route(Method::GET,   "/projects/{id}/chats/{chatId}",            Read,   get(chat::api::get)).at(),
        route(Method::PATCH, "/projects/{id}/chats/{chatId}",            Write,  patch(chat::api::patch)),
        route(Method::DELETE, "/projects/{id}/chats/{chatId}",           Write,  delete(chat::api::remove)),
        route(Method::GET,   "/projects/{id}/chats/{chatId}/messages",   Read,   get(chat::api::messages)).at(),
        route(Method::POST,  "/projects/{id}/chats/{chatId}/messages",   Write,  post(chat::api::append)),
        route(Method::GET,   "/projects/{id}/chats/{chatId}/stream",     Read,   get(chat::api::stream)),
        route(Method::GET,   "/projects/{id}/files",                     Read,   get(code::api::list)),
        route(Method::GET,   "/projects/{id}/prompt",                    Read,   get(chat::api::prompt)).at(),
        route(Method::PUT,   "/projects/{id}/prompt",                    Manage, put(chat::api::set_prompt)),
        route(Method::GET,   "/projects/{id}/webhooks",                  Manage, get(webhook::api::list)).at(),
        route(Method::POST,  "/projects/{id}/webhooks",                  Manage, post(webhook::api::create)),
        route(Method::GET,   "/projects/{id}/webhooks/{webhookId}",      Manage, get(webhook::api::get)).at(),
        route(Method::PATCH, "/projects/{id}/webhooks/{webhookId}",      Manage, patch(webhook::api::edit)),
        route(Method::DELETE, "/projects/{id}/webhooks/{webhookId}",     Manage, delete(webhook::api::remove)),
        route(Method::POST,  "/projects/{id}/webhooks/{webhookId}/ping", Manage, post(webhook::api::ping)),
        route(Method::GET,   "/projects/{id}/webhooks/{webhookId}/deliveries", Manage, get(webhook::api::deliveries)),
        route(Method::POST,  "/projects/{id}/webhooks/{webhookId}/deliveries/{number}/redeliver", Manage, post(webhook::api::redeliver)),
        route(Method::POST,  "/jobs/create",                             Person, post(job::api::create)),
        route(Method::POST,  "/jobs/claim",                              Claimer, post(job::api::claim)),
        route(Method::GET,   "/jobs/{id}",                               Read,   get(job::api::get)).at(),
        route(Method::PATCH, "/jobs/{id}",                               Agent,  patch(job::api::tell)),
        route(Method::POST,  "/jobs/{id}/cancel",                        Write,  post(job::api::cancel)),
        route(Method::POST,  "/jobs/{id}/retry",                         Write,  post(job::api::retry)),
        route(Method::GET,   "/jobs/{id}/logs",                          Read,   get(log::api::read)),
        route(Method::PATCH, "/jobs/{id}/logs",                          Agent,  patch(log::api::append)),
        route(Method::POST,  "/admin/secrets",                           Admin,  post(secret::api::store)),
        route(Method::GET,   "/admin/secrets/{id}",                      Secrets, get(secret::api::list)).at(),
        route(Method::POST,  "/admin/secrets/{id}/{name}/rotate",        Manage, post(secret::api::rotate)),
        route(Method::DELETE, "/admin/secrets/{id}/{name}",              Manage, delete(secret::api::remove)),
        route(Method::GET,   "/admin/recipients",                        Admin,  get(secret::api::recipients)).at(),
        route(Method::PUT,   "/admin/recipients",                        Admin,  put(secret::api::set_recipients)),
        route(Method::PATCH, "/jobs/{id}/answer",                        Agent,  patch(chat::api::answer)),
        route(Method::GET,   "/projects/{id}/history",                   Read,   get(history::api::list)),
        route(Method::GET,   "/projects/{id}/commits/{oid}",             Read,   get(history::api::get)),
        route(Method::POST,  "/projects/{id}/revert",                    Manage, post(entity::api::put_back)),
        route(Method::GET,   "/projects/{id}/diff",                      Read,   get(history::api::diff)),
        route(Method::GET,   "/allowed-signers",                         Anyone, get(git::api::allowed_signers)),
        route(Method::GET,   "/git/{repo}/info/refs",                    Read,   get(git::api::refs)),
        route(Method::POST,  "/git/{repo}/git-upload-pack",              Read,   post(git::api::upload_pack).layer(DefaultBodyLimit::max(git::serve::WANTS_BYTES_MAX as usize))),
        route(Method::POST,  "/git/{repo}/git-receive-pack",             Deliver, post(git::api::receive_pack).layer(DefaultBodyLimit::disable())),
        route(Method::GET,   "/git/code/{repo}/info/refs",               Read,   get(git::api::code_refs)),
        route(Method::POST,  "/git/code/{repo}/git-upload-pack",         Read,   post(git::api::code_upload_pack).layer(DefaultBodyLimit::max(git::serve::WANTS_BYTES_MAX as usize))),
        route(Method::POST,  "/webhooks/github",                         Anyone, post(forge::api::github).layer(DefaultBodyLimit::max(forge::api::DELIVERY_BYTES_MAX))),
        route(Method::GET,   "/agent.py",                                Anyone, get(agent::api::program)),
        route(Method::GET,   "/agents",                                  Admin,  get(agent::api::list)),
    ]
}

fn route(method: Method, path: &'static str, who: Who, handler: MethodRouter<App>) -> Route {
    Route { method, path, who, reads_past: false, handler }
}

impl Route {
    /// The state that it reads can be read as it was.
    fn at(self) -> Self {
        Self { reads_past: true, ..self }
    }
}

/// Whether a path is the dashboard's and not the API's.
fn is_page(path: &str) -> bool {
    path == "/" || path == "/ui" || path.starts_with("/ui/")
}

/// The router: each route behind its guard, at `/` and, but for the dashboard's, under `/api`.
pub fn router(app: App) -> Router {
    let (mut routes, mut pages) = (Router::new(), Router::new());
    for Route { method, path, who, handler, reads_past } in table() {
        // As one layer, with one function: each layer that axum keeps by itself is boxed, and each function costs a claim about a
        // microsecond.
        let enter = middleware::from_fn_with_state((who, app.clone()), enter);
        let before = (DefaultBodyLimit::max(BODY_BYTES_MAX), enter);
        if is_page(path) {
            // A page's query is for the page itself. Axum's word for a name that may have slashes in it.
            pages = pages.route(&path.replace("{path}", "{*path}"), handler.layer(before));
            continue;
        }
        let handler = match method {
            Method::GET => handler.layer(middleware::from_fn_with_state(reads_past, past::look_back)),
            _ => handler,
        };
        routes = routes.route(path, handler.layer(before));
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

/// What every request passes before its handler: it gets a name and its caller's address, pages of invited origins may read its
/// answer, and the guard asks who calls.
async fn enter(
    State((who, app)): State<(Who, App)>,
    peer: ClientAddress,
    params: PathParams,
    mut request: Request,
    next: Next,
) -> Response {
    let address = client_address::look_behind_proxy(peer, &app.http.trusted_proxies, &mut request);
    // Boxed: what holds it by value would hold its two kilobytes several times.
    let guarded = |request| Box::pin(guard(who, &app, address, params, request, next));
    request_id::named(cors::invite(&app.http.dashboard_origins, request, guarded)).await
}

/// What a request for a path or with a method that there is not passes: it gets a name, and nobody is asked who they are.
async fn enter_elsewhere(State(app): State<App>, request: Request, next: Next) -> Response {
    request_id::named(cors::invite(&app.http.dashboard_origins, request, |request| next.run(request))).await
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
