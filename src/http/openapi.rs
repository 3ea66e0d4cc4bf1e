//! `GET /openapi.json`: the API as OpenAPI 3.1, derived from the handlers, their types and the table of routes.
//!
//! A handler says what it takes, what it gives, and which refusals are its own. What is the same everywhere is added
//! here: who may call (from the table), the refusals of every route, and the headers of every answer.

use std::sync::LazyLock;

use axum::Json;
use axum::http::Method;
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr, Required};

use super::answer::Ack;
use super::auth::Who;
use super::error::ErrorBody;
use super::routes::{self, Route};
use crate::id::{
    AgentId, ArtifactId, ChatId, InviteId, JobId, KeyId, Label, LeaseId, ProjectId, ScheduleName, SecretName,
    UserName,
};
use crate::job::JobType;
use crate::job::types::RequestKey;
use crate::state::commit::Event;
use crate::state::oid::Oid;
use crate::{
    agent, artifact, chat, code, entity, forge, git, history, identity, job, log, project, remote, schedule,
    secret, ui, webhook,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "MrX",
        description = "State as git commits: every answer to a write names the commit that records it."
    ),
    paths(
        ui::api::root,
        ui::api::without_slash,
        ui::api::index,
        ui::api::file,
        super::health::health,
        super::health::ready,
        super::health::metrics,
        super::debug::projects,
        super::debug::state,
        document,
        super::events::stream,
        identity::api::options,
        identity::api::setup,
        identity::api::register,
        identity::api::login,
        identity::api::logout,
        identity::api::me,
        identity::api::change_password,
        identity::keys_api::list,
        identity::keys_api::create,
        identity::keys_api::revoke,
        identity::admin_api::list_users,
        identity::admin_api::add_user,
        identity::admin_api::get_user,
        identity::admin_api::change_user,
        identity::admin_api::reset_password,
        identity::admin_api::list_invites,
        identity::admin_api::invite,
        identity::admin_api::revoke_invite,
        agent::api::add,
        agent::api::change,
        agent::api::rotate,
        agent::api::claim_secret,
        project::api::set_member,
        project::api::remove_member,
        project::api::list,
        project::api::get,
        project::api::create,
        project::api::edit,
        project::api::trash,
        project::api::restore,
        project::api::sync,
        project::api::fork,
        forge::api::github,
        job::list_api::list,
        job::list_api::quarantine,
        schedule::api::list,
        schedule::api::create,
        schedule::api::get,
        schedule::api::edit,
        schedule::api::remove,
        artifact::api::list,
        artifact::api::upload,
        artifact::api::get,
        artifact::api::remove,
        remote::api::get,
        remote::api::sync,
        webhook::api::list,
        webhook::api::create,
        webhook::api::get,
        webhook::api::edit,
        webhook::api::remove,
        webhook::api::ping,
        webhook::api::deliveries,
        webhook::api::redeliver,
        artifact::api::content,
        code::api::list,
        chat::api::list,
        chat::api::create,
        chat::api::get,
        chat::api::patch,
        chat::api::remove,
        chat::api::messages,
        chat::api::append,
        chat::api::stream,
        chat::api::prompt,
        chat::api::set_prompt,
        chat::api::answer,
        history::api::list,
        history::api::get,
        history::api::diff,
        history::epochs::end,
        entity::api::put_back,
        git::api::allowed_signers,
        git::api::refs,
        git::api::upload_pack,
        git::api::receive_pack,
        git::api::code_refs,
        git::api::code_upload_pack,
        job::api::create,
        job::api::claim,
        job::api::get,
        job::api::tell,
        job::api::cancel,
        job::api::retry,
        log::api::read,
        log::api::append,
        agent::api::list,
        agent::api::program,
        secret::api::store,
        secret::api::list,
        secret::api::rotate,
        secret::api::remove,
        secret::api::recipients,
        secret::api::set_recipients,
    ),
    components(schemas(
        ErrorBody,
        Event,
        Ack,
        crate::git::repo_path::RepoPath,
        AgentId,
        ArtifactId,
        ChatId,
        InviteId,
        JobId,
        KeyId,
        Label,
        LeaseId,
        ProjectId,
        UserName,
        ScheduleName,
        SecretName,
        crate::id::WebhookId,
        webhook::types::EventPattern,
        Oid,
        JobType,
        RequestKey,
        chat::stream::PartialAnswer,
        chat::stream::AnswerState,
        log::api::LogEnd
    ))
)]
struct Api;

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// `GET /openapi.json`: this document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "The API as OpenAPI 3.1", body = Value)))]
pub async fn document() -> Json<&'static Value> {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
    Json(&DOCUMENT)
}

/// The document.
pub fn build() -> Value {
    let mut api = Api::openapi();
    let components = api.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    for route in routes::table() {
        if let Some(operation) =
            api.paths.paths.get_mut(route.path).and_then(|item| of_method(item, &route.method))
        {
            complete(operation, &route);
        }
    }
    serde_json::to_value(api).expect("a document has string keys")
}

fn of_method<'a>(item: &'a mut PathItem, method: &Method) -> Option<&'a mut Operation> {
    match method.as_str() {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PATCH" => item.patch.as_mut(),
        "PUT" => item.put.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => None,
    }
}

/// Adds to an operation what the table knows of it and what is the same everywhere.
fn complete(operation: &mut Operation, route: &Route) {
    operation.operation_id = Some(operation_id(route));
    operation.tags =
        Some(vec![route.path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned()]);
    let before = operation.description.take().map(|text| format!("{text}\n\n")).unwrap_or_default();
    operation.description = Some(format!("{before}Who may call: {}.", who_in_words(route.who)));
    if route.who != Who::Anyone {
        operation.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    }
    for (status, description) in common_refusals(operation, route) {
        let refusal = ResponseBuilder::new().description(description).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(refusal));
    }
    if route.reads_past {
        add_past(operation);
    }
    let is_write = route.method != Method::GET;
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        add_headers(response, is_write && matches!(status.as_str(), "200" | "201" | "202" | "204"));
        if status.starts_with(['4', '5']) && response.content.is_empty() {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
            response.content.insert("application/json".to_owned(), content.into());
        }
    }
}

/// What every path has that can be read as it was.
fn add_past(operation: &mut Operation) {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let description = "As it was then: a commit of the project's state, or of the platform's for what is the platform's, or a time (RFC 3339), which is the newest commit that is not younger. Rights are those of now; the answer's Mrx-Commit is the commit that was read.";
    let at = ParameterBuilder::new()
        .name("at")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(text))
        .build();
    operation.parameters.get_or_insert_default().push(at.into());
    let description = "commitUnknown: the branch has no such commit, or began after that time; notFound, projectUnknown: there is no such thing, or was not then";
    let refusal = ResponseBuilder::new().description(description).build();
    operation.responses.responses.entry("404".to_owned()).or_insert(RefOr::T(refusal));
}

fn add_headers(response: &mut Response, is_write: bool) {
    let mut add = |name: &str, description: &str| {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        let header = HeaderBuilder::new().schema(Some(text)).description(Some(description)).build();
        response.headers.insert(name.to_owned(), header.into());
    };
    add("Mrx-Request-Id", "The request's name, as the daemon's log has it");
    if is_write {
        add("Mrx-Commit", "The commit that records the change");
    }
}

/// The refusals that every route like this can give.
fn common_refusals(operation: &Operation, route: &Route) -> Vec<(&'static str, &'static str)> {
    let mut refusals = vec![("500", "internal: the daemon could not do this; its log says why")];
    refusals.push(("503", "diskFull, stopping, starting: ask again after Retry-After"));
    if operation.parameters.is_some() || operation.request_body.is_some() || route.reads_past {
        refusals.push(("400", "badRequest: the request is not as it must be"));
    }
    if route.path.contains('{') {
        refusals.push((
            "404",
            "notFound, projectUnknown, jobUnknown, artifactUnknown, chatUnknown: there is no such thing",
        ));
        refusals
            .push(("409", "fileInvalid: a person has changed the file into something that cannot be read"));
    }
    if takes(operation, "ack") {
        refusals.push(("409", "noRemote: with `ack=pushed`, there is no remote that could have it"));
        refusals.push(("502", "remoteFailed: with `ack=pushed`, the remote did not take it"));
        refusals.push(("504", "remoteLate: with `ack=pushed`, the remote has it not within 60 s"));
    }
    if operation.request_body.is_some() {
        refusals.push(("413", "tooLarge: the body is larger than this route takes"));
        refusals.push(("415", "notJson: the body must be sent as what it is"));
    }
    if route.who != Who::Anyone {
        refusals.push(("401", "unauthorized: there is no valid credential"));
        refusals.push((
            "403",
            "forbidden: the caller may not do this; csrf: a change by cookie needs the header Mrx-Csrf",
        ));
    }
    refusals.push(("429", "tooManyRequests, loginThrottled: ask again after Retry-After"));
    refusals
}

/// Whether the operation has a parameter of this name.
fn takes(operation: &Operation, name: &str) -> bool {
    let all = operation.parameters.iter().flatten();
    all.into_iter().any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == name))
}

fn who_in_words(who: Who) -> &'static str {
    match who {
        Who::Anyone => "anyone",
        Who::Known => "people and agents",
        Who::Agent => "agents",
        Who::Claimer => "agents, by key or one-time claim secret",
        Who::AdminOrAgent => "admins, and agents for themselves",
        Who::Person => "people",
        Who::Account => "people who are logged in, not by an API key",
        Who::Developer => "developers and admins",
        Who::Admin => "admins",
        Who::Read => "people who may read the project, and its agents",
        Who::Deliver => "people who may write to the project, and its agents",
        Who::Write => "people who may write to the project",
        Who::Manage => "people who manage the project",
        Who::Secrets => {
            "people who manage the project (what is known of them), agents with the token of their claim (values)"
        }
    }
}

/// `PATCH /jobs/{id}/logs` is `patchJobsIdLogs`.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.as_str().to_lowercase();
    for word in route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        id.push_str(&word[..1].to_uppercase());
        id.push_str(&word[1..]);
    }
    id
}
