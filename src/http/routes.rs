//! Every path, who may call it, and its handler: a line each. Reading this is reading the API.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};

use super::auth::{Tokens, Who, guard};
use super::error::ApiError;
use super::{events, health, openapi, request_id};
use crate::app::App;
use crate::{agent, artifact, chat, code, job, log, project, secret};

/// Bodies are at most this large, but for uploads of artifacts.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A line of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{names}`.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
    handler: MethodRouter<App>,
}

/// The table.
#[rustfmt::skip]
pub fn table() -> Vec<Route> {
    use routing::{delete, get, patch, post, put};
    use Who::{Admin, Agent, Anyone, Deliver, Developer, Known, Manage, Read, Write};
    vec![
        route(Method::GET,   "/health",                                  Anyone, get(health::health)),
        route(Method::GET,   "/ready",                                   Anyone, get(health::ready)),
        route(Method::GET,   "/metrics",                                 Admin,  get(health::metrics)),
        route(Method::GET,   "/openapi.json",                            Anyone, get(openapi::document)),
        route(Method::GET,   "/events",                                  Admin,  get(events::stream)),
        route(Method::GET,   "/projects",                                Known,  get(project::api::list)),
        route(Method::GET,   "/projects/{id}",                           Read,   get(project::api::get)),
        route(Method::GET,   "/projects/{id}/jobs",                      Read,   get(job::api::list)),
        route(Method::GET,   "/projects/{id}/quarantine",                Read,   get(job::api::quarantine)),
        route(Method::GET,   "/projects/{id}/artifacts",                 Read,   get(artifact::api::list)),
        route(Method::POST,  "/projects/{id}/artifacts",                 Deliver, post(artifact::api::upload).layer(DefaultBodyLimit::disable())),
        route(Method::GET,   "/projects/{id}/artifacts/{artifactId}",    Read,   get(artifact::api::get)),
        route(Method::GET,   "/projects/{id}/artifacts/{artifactId}/content", Read, get(artifact::api::content)),
        route(Method::GET,   "/projects/{id}/chats",                     Read,   get(chat::api::list)),
        route(Method::POST,  "/projects/{id}/chats",                     Write,  post(chat::api::create)),
        route(Method::GET,   "/projects/{id}/chats/{chatId}",            Read,   get(chat::api::get)),
        route(Method::PATCH, "/projects/{id}/chats/{chatId}",            Write,  patch(chat::api::patch)),
        route(Method::DELETE, "/projects/{id}/chats/{chatId}",           Write,  delete(chat::api::remove)),
        route(Method::GET,   "/projects/{id}/chats/{chatId}/messages",   Read,   get(chat::api::messages)),
        route(Method::POST,  "/projects/{id}/chats/{chatId}/messages",   Write,  post(chat::api::append)),
        route(Method::GET,   "/projects/{id}/chats/{chatId}/stream",     Read,   get(chat::api::stream)),
        route(Method::GET,   "/projects/{id}/files",                     Read,   get(code::api::list)),
        route(Method::GET,   "/projects/{id}/prompt",                    Read,   get(chat::api::prompt)),
        route(Method::PUT,   "/projects/{id}/prompt",                    Manage, put(chat::api::set_prompt)),
        route(Method::POST,  "/jobs/create",                             Developer, post(job::api::create)),
        route(Method::POST,  "/jobs/claim",                              Agent,  post(job::api::claim)),
        route(Method::GET,   "/jobs/{id}",                               Read,   get(job::api::get)),
        route(Method::PATCH, "/jobs/{id}",                               Agent,  patch(job::api::tell)),
        route(Method::POST,  "/jobs/{id}/cancel",                        Write,  post(job::api::cancel)),
        route(Method::POST,  "/jobs/{id}/retry",                         Write,  post(job::api::retry)),
        route(Method::GET,   "/jobs/{id}/logs",                          Read,   get(log::api::read)),
        route(Method::PATCH, "/jobs/{id}/logs",                          Agent,  patch(log::api::append)),
        route(Method::POST,  "/admin/secrets",                           Admin,  post(secret::api::store)),
        route(Method::GET,   "/admin/secrets/{id}",                      Deliver, get(secret::api::list)),
        route(Method::POST,  "/admin/secrets/{id}/{name}/rotate",        Manage, post(secret::api::rotate)),
        route(Method::DELETE, "/admin/secrets/{id}/{name}",              Manage, delete(secret::api::remove)),
        route(Method::GET,   "/admin/recipients",                        Admin,  get(secret::api::recipients)),
        route(Method::PUT,   "/admin/recipients",                        Admin,  put(secret::api::set_recipients)),
        route(Method::PATCH, "/jobs/{id}/answer",                        Agent,  patch(chat::api::answer)),
        route(Method::GET,   "/agents",                                  Admin,  get(agent::api::list)),
    ]
}

fn route(method: Method, path: &'static str, who: Who, handler: MethodRouter<App>) -> Route {
    Route { method, path, who, handler }
}

/// The router: each route behind its guard, at `/` and under `/api`.
pub fn router(app: App, tokens: Tokens) -> Router {
    let mut routes = Router::new();
    for Route { path, who, handler, .. } in table() {
        let guard = middleware::from_fn_with_state((who, tokens.clone()), guard);
        routes = routes.route(path, handler.layer(guard));
    }
    Router::new()
        .nest("/api", routes.clone())
        .merge(routes)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(request_id::stamp))
        .with_state(app)
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
