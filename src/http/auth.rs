//! Who may call a route, and the guard before each of them: who calls is told by the credential alone, never by anything
//! else in the request.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use futures_util::StreamExt;
use subtle::ConstantTimeEq;

use super::answer::Ack;
use super::client_address::ClientAddress;
use super::error::ApiError;
use crate::app::App;
use crate::git::repo_path::RepoPath;
use crate::id::{JobId, LeaseId, ProjectId};
use crate::identity::principal::{AgentCaller, Credential};
use crate::identity::token::{AGENT_PREFIX, Token};
use crate::identity::{Right, Role};
use crate::job::JobError;
use crate::project::ProjectError;
use crate::secret::Scope;
use crate::state::layout::RepoName;

pub use crate::identity::Principal;

/// The cookie of the dashboard's session.
pub const SESSION_COOKIE: &str = "mrx_session";
/// The header that a page sends with each change, so that no other site can make one in its name.
pub const CSRF_HEADER: &str = "mrx-csrf";
/// How often an open stream or a waiting claim asks whether its caller may still have it: a revoked one ends within a second.
pub const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, with or without a credential.
    Anyone,
    /// People and agents.
    Known,
    /// Agents.
    Agent,
    /// Agents, also one that has no key and brings a one-time claim secret in the body.
    Claimer,
    /// People, of any role.
    Person,
    /// People who are logged in, and not by an API key: whoever takes a key must not make more of it.
    Account,
    /// People who develop: developers and admins of the platform.
    Developer,
    /// Admins of the platform.
    Admin,
    /// Admins of the platform, and agents for themselves.
    AdminOrAgent,
    /// People who may read the project of the path, and the agents that work for it.
    Read,
    /// People who may write to the project of the path, and the agents that work for it, which bring their lease.
    Deliver,
    /// People who may write to the project of the path.
    Write,
    /// People who manage the project of the path.
    Manage,
    /// People who manage the project of the path, and agents with the token of their claim.
    Secrets,
}

impl Who {
    /// The right in the project of the path that the route asks for.
    fn right(self) -> Option<Right> {
        match self {
            Who::Read => Some(Right::Read),
            Who::Deliver | Who::Write => Some(Right::Write),
            Who::Manage | Who::Secrets => Some(Right::Admin),
            _ => None,
        }
    }
}

/// What a request brings to show who calls.
#[derive(Clone, Default)]
struct Shown {
    authorization: Option<HeaderValue>,
    cookie: Option<HeaderValue>,
}

impl Shown {
    fn of(headers: &HeaderMap) -> Self {
        let get = |name| headers.get(name).cloned();
        Self { authorization: get(header::AUTHORIZATION), cookie: get(header::COOKIE) }
    }

    fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.authorization.as_ref()?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
    }

    /// The password of `Basic`, which is how git sends a key; the user's name says nothing.
    fn password(&self) -> Option<String> {
        let (scheme, text) = self.authorization.as_ref()?.to_str().ok()?.split_once(' ')?;
        let decoded = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
        let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        scheme.eq_ignore_ascii_case("basic").then(|| password.to_owned())
    }

    /// The same credential as a bearer's.
    fn as_bearer(&self) -> Self {
        let bearer =
            self.password().and_then(|password| HeaderValue::from_str(&format!("Bearer {password}")).ok());
        Self { authorization: bearer.or_else(|| self.authorization.clone()), cookie: None }
    }

    fn session_cookie(&self) -> Option<&str> {
        let cookies = self.cookie.as_ref()?.to_str().ok()?;
        let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
    }
}

/// Lets a request pass if its caller may call the route, or answers it.
pub async fn guard(
    who: Who,
    app: &App,
    address: ClientAddress,
    params: Option<&RawPathParams>,
    request: &mut Request,
) -> Result<Admitted, Response> {
    let is_git = is_git(request.uri().path());
    let mut shown = Shown::of(request.headers());
    if is_git {
        shown = shown.as_bearer();
    }
    let caller = caller_of(app, &shown).await;
    app.limits.take(caller.as_ref(), address.0).map_err(|wait| too_many(wait).into_response())?;
    let place = Place::of(request.uri().path(), params);
    let admitted = place.and_then(|place| {
        admit(app, who, caller.as_ref(), &place)?;
        check_csrf(app, caller.as_ref(), request.method(), request.headers())?;
        check_ack(app, request, &place)?;
        Ok(place)
    });
    let place = admitted
        .map_err(|refusal| if is_git { asking_for_basic(refusal) } else { refusal.into_response() })?;
    let role = caller.as_ref().and_then(Principal::role);
    if let Some(principal) = caller {
        if is_git {
            request.extensions_mut().insert(Pass { shown: shown.clone(), caller: principal.clone() });
        }
        request.extensions_mut().insert(principal);
    }
    let is_in_use = is_git.then(|| place.is_in_use(app));
    Ok(Admitted { who, place, shown, role, is_in_use })
}

/// Git's own paths, where a credential may come as `Basic`.
fn is_git(path: &str) -> bool {
    path.strip_prefix("/api").unwrap_or(path).starts_with("/git/")
}

/// Git asks its user for a credential only if it is asked for one in its own words.
fn asking_for_basic(refusal: ApiError) -> Response {
    let mut response = refusal.into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"MrX: any name, and a key as the password\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Whose credential it is.
async fn caller_of(app: &App, shown: &Shown) -> Option<Principal> {
    match (caller_known_here(app, shown), shown.bearer()) {
        (None, Some(text)) if !text.starts_with(AGENT_PREFIX) => app.identity.caller_of_issuer(text).await,
        (caller, _) => caller,
    }
}

/// Whose credential it is, if it is one of the daemon's own.
fn caller_known_here(app: &App, shown: &Shown) -> Option<Principal> {
    let Some(text) = shown.bearer() else {
        // A bad Authorization is not made good by a cookie.
        let cookie = shown.session_cookie().filter(|_| shown.authorization.is_none())?;
        return app.identity.caller_of_session(cookie, Credential::Cookie);
    };
    if text.starts_with(AGENT_PREFIX) {
        let agent = app.agents.by_key(&Token::of(text))?;
        let projects = agent.projects.clone();
        return Some(Principal::Agent(Arc::new(AgentCaller { agent, projects, only: None })));
    }
    if let Some(caller) = app.identity.caller_of(text) {
        return Some(caller);
    }
    let (agent, job, lease) = app.identity.read_lease_token(text)?;
    let agent = app.agents.find(&agent).filter(|agent| agent.disabled_at.is_none())?;
    let projects = app.projects.registry().tagged(job.tag()).into_iter().collect();
    Some(Principal::Agent(Arc::new(AgentCaller {
        agent,
        projects: Some(projects),
        only: Some((job, lease)),
    })))
}

/// By what a caller of a git path was let in, to be asked again at the moment when what took long to send is acted on.
#[derive(Clone)]
pub struct Pass {
    shown: Shown,
    caller: Principal,
}

impl Pass {
    /// Who calls.
    pub fn caller(&self) -> &Principal {
        &self.caller
    }

    /// Who calls by the same credential now; nobody if it is not good any more. It waits for nothing, so a writer may ask.
    pub fn again(&self, app: &App) -> Option<Principal> {
        caller_known_here(app, &self.shown).or_else(|| app.identity.vouched_again(&self.caller))
    }
}

impl<S: Sync> FromRequestParts<S> for Pass {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(unauthorized)
    }
}

/// Where in the state a path leads.
enum Place {
    Platform,
    Project(ProjectId),
    Job(JobId),
}

impl Place {
    /// A name in the path that is none leads nowhere, whoever asks.
    fn of(path: &str, params: Option<&RawPathParams>) -> Result<Self, ApiError> {
        let path = path.strip_prefix("/api").unwrap_or(path);
        let id = params.and_then(|params| params.iter().find(|(name, _)| *name == "id").map(|(_, id)| id));
        let nowhere = |error: crate::id::BadName| {
            ApiError::new(StatusCode::NOT_FOUND, "notFound", format!("no such path: {error}"))
        };
        let repo =
            params.and_then(|params| params.iter().find(|(name, _)| *name == "repo").map(|(_, repo)| repo));
        if let Some(repo) = repo {
            let repo: RepoPath = repo.parse().map_err(nowhere)?;
            return Ok(repo.name().project().cloned().map_or(Place::Platform, Place::Project));
        }
        match id {
            Some(id) if path.starts_with("/admin/secrets/") => {
                let scope: Scope = id.parse().map_err(nowhere)?;
                Ok(scope.repo().project().cloned().map_or(Place::Platform, Place::Project))
            }
            Some(id) if path.starts_with("/projects/") => id.parse().map(Place::Project).map_err(nowhere),
            Some(id) if path.starts_with("/jobs/") => id.parse().map(Place::Job).map_err(nowhere),
            _ => Ok(Place::Platform),
        }
    }

    /// The projects that it may be in: one, but for a coincidence of a job's tag.
    fn projects(&self, app: &App) -> Vec<ProjectId> {
        match self {
            Place::Platform => Vec::new(),
            Place::Project(project) => vec![project.clone()],
            Place::Job(job) => app.projects.registry().tagged(job.tag()),
        }
    }

    /// Whether none of its projects is in the trash or gone.
    fn is_in_use(&self, app: &App) -> bool {
        let find = |project: &ProjectId| app.projects.registry().find(project);
        self.projects(app).iter().all(|id| find(id).is_some_and(|project| project.trashed_at.is_none()))
    }

    /// What somebody is told who may not even know whether it is there.
    fn unknown(&self) -> ApiError {
        match self {
            Place::Platform => ApiError::new(StatusCode::NOT_FOUND, "notFound", "there is no such path"),
            Place::Project(project) => ProjectError::Unknown(project.clone()).into(),
            Place::Job(job) => JobError::Unknown(job.clone()).into(),
        }
    }
}

/// Whether the caller may call a route like this about this place.
fn admit(app: &App, who: Who, caller: Option<&Principal>, place: &Place) -> Result<(), ApiError> {
    let is_agent = matches!(caller, Some(Principal::Agent(_)));
    let role = caller.and_then(Principal::role);
    let fits = match who {
        Who::Anyone => true,
        Who::Claimer => is_agent || caller.is_none(),
        Who::Known => caller.is_some(),
        Who::Agent => is_agent,
        Who::Person => role.is_some(),
        Who::Account => caller.is_some_and(is_logged_in),
        Who::Developer => role >= Some(Role::Developer),
        Who::Admin => role >= Some(Role::Admin),
        Who::AdminOrAgent => is_agent || role >= Some(Role::Admin),
        Who::Read | Who::Deliver | Who::Secrets => caller.is_some(),
        Who::Write | Who::Manage => role.is_some(),
    };
    let Some(caller) = caller else {
        return if fits { Ok(()) } else { Err(unauthorized()) };
    };
    if !fits {
        return Err(forbidden(who));
    }
    check_lease_token(caller, place)?;
    if let (Some(wanted), false) = (who.right(), is_agent) {
        // What is the platform's own is its admins'.
        if matches!(place, Place::Platform) {
            return if role == Some(Role::Admin) { Ok(()) } else { Err(forbidden(Who::Admin)) };
        }
        demand(app, caller, wanted, place)?;
    } else if is_agent && !matches!(place, Place::Platform) {
        demand(app, caller, Right::Read, place)?;
    } else if is_agent && who == Who::Read {
        return Err(forbidden(Who::Admin));
    }
    Ok(())
}

fn is_logged_in(caller: &Principal) -> bool {
    match caller {
        Principal::Operator => true,
        Principal::Person(person) => !matches!(person.by, Credential::Key(_)),
        Principal::Agent(_) => false,
    }
}

/// The token of one lease is good for its job alone.
fn check_lease_token(caller: &Principal, place: &Place) -> Result<(), ApiError> {
    let Principal::Agent(agent) = caller else { return Ok(()) };
    match (&agent.only, place) {
        (Some((only, _)), Place::Job(job)) if only != job => Err(place.unknown()),
        _ => Ok(()),
    }
}

fn demand(app: &App, caller: &Principal, wanted: Right, place: &Place) -> Result<(), ApiError> {
    let projects = place.projects(app);
    let right = |project: &ProjectId| {
        let members = app.projects.registry().find(project)?;
        caller.right_in(project, &members.members)
    };
    // A project that is not there, and no project at all, are unknown to all but those who may read everything.
    match projects.iter().map(right).min().flatten() {
        Some(right) if right >= wanted => Ok(()),
        Some(_) => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("this needs the right to {wanted} in the project; who manages it can give it"),
        )),
        None => Err(place.unknown()),
    }
}

impl Principal {
    /// Refuses a caller without this right in a project that the path does not name; one without any is told that the project is unknown.
    pub fn demand(&self, app: &App, wanted: Right, project: &ProjectId) -> Result<(), ApiError> {
        demand(app, self, wanted, &Place::Project(project.clone()))
    }

    /// Whether the caller may read the project.
    pub fn may_read(&self, app: &App, project: &ProjectId) -> bool {
        self.demand(app, Right::Read, project).is_ok()
    }
}

/// A browser sends the cookie with whatever any site makes it ask; only our own pages know the token.
fn check_csrf(
    app: &App,
    caller: Option<&Principal>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let Some(Principal::Person(person)) = caller else { return Ok(()) };
    let Credential::Cookie(session) = &person.by else { return Ok(()) };
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let wanted = app.identity.csrf_token(session);
    let given = headers.get(CSRF_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
    if bool::from(given.ct_eq(wanted.as_bytes())) {
        return Ok(());
    }
    let message =
        "a change with the session's cookie also carries the header Mrx-Csrf, whose value GET /auth/me tells";
    Err(ApiError::new(StatusCode::FORBIDDEN, "csrf", message))
}

/// A write cannot wait for a remote that its project does not have.
fn check_ack(app: &App, request: &Request, place: &Place) -> Result<(), ApiError> {
    if request.uri().query().is_none() {
        return Ok(());
    }
    let asked = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let is_pushed = |(name, value): &(String, String)| name == "ack" && value == "pushed";
    if request.method().is_safe() || !asked.is_ok_and(|Query(asked)| asked.iter().any(is_pushed)) {
        return Ok(());
    }
    let checks = place.projects(app).into_iter();
    let mut checks = checks.map(|project| Ack::Pushed.check(app, &RepoName::Project(project)));
    // A job's tag can be that of two projects.
    let first = checks.next().unwrap_or(Ok(()));
    first.or_else(|refusal| if checks.any(|check| check.is_ok()) { Ok(()) } else { Err(refusal) })
}

/// What goes on for long: events, and the pack of a clone or fetch.
fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| {
        kind.starts_with(b"text/event-stream") || kind == b"application/x-git-upload-pack-result"
    })
}

/// With what a request was let in.
pub struct Admitted {
    who: Who,
    place: Place,
    shown: Shown,
    role: Option<Role>,
    /// Of a clone or fetch: whether its project was in use when it began.
    is_in_use: Option<bool>,
}

impl Admitted {
    /// Ends an answer that goes on for long when its caller may not have it any more.
    pub fn watch(self, app: &App, response: Response) -> Response {
        if is_stream(&response) { until_revoked(response, app.clone(), self) } else { response }
    }

    /// Whether the same credential would open the same stream now. One of another role would see other things.
    async fn still_is(&self, app: &App) -> bool {
        let caller = caller_of(app, &self.shown).await;
        let role = caller.as_ref().and_then(Principal::role);
        let is_as_it_was = self.is_in_use.is_none_or(|was| was == self.place.is_in_use(app));
        is_as_it_was && role == self.role && admit(app, self.who, caller.as_ref(), &self.place).is_ok()
    }
}

/// Ends a stream when its caller may not have it any more.
fn until_revoked(response: Response, app: App, admitted: Admitted) -> Response {
    let revoked = async move {
        loop {
            tokio::time::sleep(ASK_AGAIN).await;
            if !admitted.still_is(&app).await {
                return;
            }
        }
    };
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(revoked))))
}

/// There is no valid credential.
pub fn unauthorized() -> ApiError {
    let message = "send a valid credential as Authorization: Bearer <token>: a session's token, an API key or an agent's key";
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
        .with_header(header::WWW_AUTHENTICATE, "Bearer")
}

fn forbidden(who: Who) -> ApiError {
    let allowed = match who {
        Who::Agent | Who::Claimer => "agents",
        Who::Developer => "developers and admins",
        Who::Admin => "admins",
        Who::AdminOrAgent => "admins and agents",
        Who::Account => "people who are logged in (an API key is not enough)",
        _ => "people",
    };
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", format!("only {allowed} may do this"))
}

fn too_many(wait: Duration) -> ApiError {
    let seconds = (wait.as_millis().div_ceil(1000)).max(1).to_string();
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "tooManyRequests",
        "too many requests; ask again after Retry-After",
    )
    .with_header(header::RETRY_AFTER, &seconds)
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(unauthorized)
    }
}

/// The agent that calls; only an agent has one.
pub struct CallingAgent(pub Arc<AgentCaller>);

impl<S: Sync> FromRequestParts<S> for CallingAgent {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Principal::from_request_parts(parts, state).await? {
            Principal::Agent(caller) => Ok(Self(caller)),
            _ => Err(forbidden(Who::Agent)),
        }
    }
}

/// The agent that calls, if one does: a claim may bring a one-time secret instead.
pub struct MaybeAgent(pub Option<Arc<AgentCaller>>);

impl<S: Sync> FromRequestParts<S> for MaybeAgent {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(match parts.extensions.get() {
            Some(Principal::Agent(caller)) => Some(caller.clone()),
            _ => None,
        }))
    }
}

/// The lease that the request says it holds the job by; another agent's is refused.
pub fn lease_of(
    app: &App,
    caller: &AgentCaller,
    job: &JobId,
    headers: &HeaderMap,
) -> Result<LeaseId, ApiError> {
    let lease = super::input::lease(headers)?;
    let is_other = caller.only.as_ref().is_some_and(|(_, only)| *only != lease);
    if is_other || app.jobs.leases().is_of_another(job, &lease, &caller.agent.agent_id) {
        let message = format!("the lease {lease} is not one of agent {}", caller.agent.agent_id);
        return Err(ApiError::new(StatusCode::FORBIDDEN, "notTheHolder", message));
    }
    Ok(lease)
}
