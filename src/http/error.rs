//! One shape for every refusal: `{"error": true, "code": "…", "message": "…", "details": {…}}`.
//!
//! A 4xx says what was wrong with the request. A 5xx is logged with its cause, and the client gets only a sentence.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::request_id;
use crate::agent::AgentError;
use crate::artifact::ArtifactError;
use crate::artifact::store::StoreError;
use crate::chat::ChatError;
use crate::code::CodeError;
use crate::entity::RevertError;
use crate::forge::ForgeError;
use crate::forge::github::GitHubError;
use crate::identity::IdentityError;
use crate::job::JobError;
use crate::job::lifecycle::MoveError;
use crate::log::LogError;
use crate::project::ProjectError;
use crate::project::sync::SyncError;
use crate::remote::RemoteError;
use crate::schedule::ScheduleError;
use crate::secret::SecretError;
use crate::secret::token::TokenRefusal;
use crate::state::store::EngineError;
use crate::webhook::WebhookError;

/// A refusal on its way out.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of every refusal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    /// Always true.
    error: bool,
    /// A stable word for programs: `jobLeaseStale`.
    code: String,
    /// A sentence for a person.
    message: String,
    /// What a program needs to go on; `requestId` where the daemon is at fault.
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    details: Value,
}

/// What a handler gives.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A refusal with a stable code and a sentence for a person.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: json!({}), headers: Vec::new() }
    }

    /// The request is not understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "badRequest", message)
    }

    /// Adds what a program needs to go on.
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// Adds a header.
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Something went wrong on this side: the cause is logged, the client gets a sentence.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(request = request_id::current(), %cause, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the daemon could not do this; its log says why",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(mut self) -> Response {
        if let (true, Some(id)) = (self.status.is_server_error(), request_id::current()) {
            self.details["requestId"] = id.into();
        }
        let body = ErrorBody {
            error: true,
            code: self.code.to_owned(),
            message: self.message,
            details: self.details,
        };
        (self.status, AppendHeaders(self.headers), Json(body)).into_response()
    }
}

/// How long somebody waits at least after too many failed log-ins, in seconds; the answer's `until` is exact.
const THROTTLED_RETRY_SECONDS: &str = "30";
/// How long a client waits before it tries again what a full disk or a restart prevented, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";
/// The same for what a forge's limit prevented: a secondary limit lasts a minute.
const FORGE_RETRY_AFTER_SECONDS: &str = "60";

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Full(_) => {
                tracing::error!(request = request_id::current(), %error, "changes are refused");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "diskFull",
                    "the disk is full; reading works, writing will when there is room",
                )
                .with_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
            }
            EngineError::Unknown => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "stopping",
                "the daemon is stopping; ask again, with the same Idempotency-Key",
            )
            .with_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS),
            EngineError::NoRepo(_) => Self::new(StatusCode::NOT_FOUND, "notFound", error.to_string()),
            EngineError::OtherTree(_) => Self::new(StatusCode::BAD_REQUEST, "badCommit", error.to_string()),
            EngineError::Edit(_) => Self::new(StatusCode::CONFLICT, "pathClash", error.to_string()),
            EngineError::Load(_) => Self::internal(&error),
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        let message = error.to_string();
        match error {
            JobError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "jobUnknown", message),
            JobError::UnknownProject(_) => Self::new(StatusCode::NOT_FOUND, "projectUnknown", message),
            JobError::UnknownNeed(_) => Self::new(StatusCode::NOT_FOUND, "needUnknown", message),
            JobError::ProjectTrashed(_) => Self::new(StatusCode::CONFLICT, "projectTrashed", message),
            JobError::ProjectArchived(_) => Self::new(StatusCode::CONFLICT, "projectArchived", message),
            JobError::LeaseStale { state, attempt } => {
                Self::new(StatusCode::CONFLICT, "jobLeaseStale", message)
                    .with_details(json!({ "state": state, "attempt": attempt }))
            }
            JobError::Move(MoveError::Ended(state)) => {
                Self::new(StatusCode::CONFLICT, "jobEnded", message).with_details(json!({ "state": state }))
            }
            JobError::Move(MoveError::Blocked) => Self::new(StatusCode::CONFLICT, "jobState", message)
                .with_details(json!({ "state": "pending" })),
            JobError::Move(MoveError::NotBlocked(state)) => {
                Self::new(StatusCode::CONFLICT, "jobState", message).with_details(json!({ "state": state }))
            }
            JobError::Move(
                MoveError::NotPending(state) | MoveError::NotHeld(state) | MoveError::NotEnded(state),
            ) => Self::new(StatusCode::CONFLICT, "jobState", message).with_details(json!({ "state": state })),
            // A claim takes the next job then, so nobody hears of it.
            JobError::NoRoom => Self::new(StatusCode::CONFLICT, "jobState", message),
            JobError::Invalid(_) => Self::bad_request(message),
            JobError::CursorGone => Self::bad_request(message),
            JobError::Changed { found } => Self::new(StatusCode::PRECONDITION_FAILED, "jobChanged", message)
                .with_details(json!({ "version": found })),
            JobError::TooLarge { bytes } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "jobTooLarge", message)
                .with_details(json!({ "size": bytes })),
            JobError::LogIncomplete { stored, reported } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "logIncomplete", message)
                    .with_details(json!({ "size": stored, "reported": reported }))
                    .with_header(header::RANGE, &format!("0-{stored}"))
            }
            JobError::Bad(bad) => Self::new(StatusCode::CONFLICT, "fileInvalid", bad.to_string()),
            JobError::Engine(error) => error.into(),
        }
    }
}

impl From<ScheduleError> for ApiError {
    fn from(error: ScheduleError) -> Self {
        let message = error.to_string();
        match error {
            ScheduleError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "scheduleUnknown", message),
            ScheduleError::Exists(_) => Self::new(StatusCode::CONFLICT, "scheduleExists", message),
            ScheduleError::TooMany(_) => Self::new(StatusCode::CONFLICT, "schedulesTooMany", message),
            ScheduleError::Never(_) => Self::bad_request(message),
            ScheduleError::Bad(bad) => Self::new(StatusCode::CONFLICT, "fileInvalid", bad.to_string()),
            ScheduleError::Job(error) => error.into(),
            ScheduleError::Engine(error) => error.into(),
        }
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        let message = error.to_string();
        match error {
            LogError::Gap { size, .. } => Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "logGap", message)
                .with_details(json!({ "size": size }))
                .with_header(header::RANGE, &format!("0-{size}")),
            LogError::NoAttempt { .. } => Self::new(StatusCode::NOT_FOUND, "attemptUnknown", message),
            LogError::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "logTooLarge", message),
            LogError::Job(error) => error.into(),
        }
    }
}

impl From<ChatError> for ApiError {
    fn from(error: ChatError) -> Self {
        let message = error.to_string();
        match error {
            ChatError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "chatUnknown", message),
            ChatError::UnknownArtifact(_) => Self::new(StatusCode::NOT_FOUND, "artifactUnknown", message),
            ChatError::Invalid(_) | ChatError::CursorGone => Self::bad_request(message),
            ChatError::TooLarge { bytes, most } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "messageTooLarge", message)
                    .with_details(json!({ "size": bytes, "most": most }))
            }
            ChatError::Full(_) => Self::new(StatusCode::CONFLICT, "chatFull", message),
            ChatError::Changed { found } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "chatChanged", message)
                    .with_details(json!({ "version": found }))
            }
            ChatError::AnswerGap { size } => {
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "answerGap", message)
                    .with_details(json!({ "size": size }))
                    .with_header(header::RANGE, &format!("0-{size}"))
            }
            ChatError::AnswerTooLarge(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "answerTooLarge", message)
            }
            ChatError::Job(error) => error.into(),
            ChatError::Bad(bad) => Self::new(StatusCode::CONFLICT, "fileInvalid", bad.to_string()),
            ChatError::Engine(error) => error.into(),
        }
    }
}

impl From<CodeError> for ApiError {
    fn from(error: CodeError) -> Self {
        let message = error.to_string();
        match error {
            CodeError::Elsewhere(_) => Self::new(StatusCode::CONFLICT, "codeElsewhere", message),
            CodeError::NoRef(_) => Self::new(StatusCode::NOT_FOUND, "refUnknown", message),
            CodeError::CursorGone => Self::bad_request(message),
            CodeError::TooMany => Self::new(StatusCode::CONFLICT, "codeTooLarge", message),
            CodeError::Unreadable(_) => Self::internal(&error),
            CodeError::Stopped => EngineError::Unknown.into(),
        }
    }
}

impl From<ProjectError> for ApiError {
    fn from(error: ProjectError) -> Self {
        let message = error.to_string();
        match error {
            ProjectError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "projectUnknown", message),
            ProjectError::Exists(_) => Self::new(StatusCode::CONFLICT, "projectExists", message),
            ProjectError::Trashed { .. } => Self::new(StatusCode::CONFLICT, "projectTrashed", message),
            ProjectError::NotTrashed(_) => Self::new(StatusCode::CONFLICT, "projectNotTrashed", message),
            ProjectError::Changed { found } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "projectChanged", message)
                    .with_details(json!({ "version": found }))
            }
            ProjectError::ForkTooLarge { .. } => {
                Self::new(StatusCode::CONFLICT, "forkTooLarge", error.to_string())
            }
            ProjectError::ForkBusy(_) | ProjectError::ForkChanges(_) => {
                Self::new(StatusCode::CONFLICT, "forkBusy", message)
            }
            ProjectError::NoFork(_) => Self::new(StatusCode::CONFLICT, "noFork", message),
            ProjectError::Bad(bad) => Self::new(StatusCode::CONFLICT, "fileInvalid", bad.to_string()),
            ProjectError::TooManyMembers => Self::bad_request(message),
            ProjectError::Engine(error) => error.into(),
        }
    }
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        let message = error.to_string();
        let (status, code) = match error {
            IdentityError::WrongPassword => (StatusCode::UNAUTHORIZED, "wrongPassword"),
            IdentityError::Throttled(until) => {
                return Self::new(StatusCode::TOO_MANY_REQUESTS, "loginThrottled", message)
                    .with_details(json!({ "until": until }))
                    .with_header(header::RETRY_AFTER, THROTTLED_RETRY_SECONDS);
            }
            IdentityError::NameTaken(_) => (StatusCode::CONFLICT, "nameTaken"),
            IdentityError::NameReserved(_) => (StatusCode::CONFLICT, "nameReserved"),
            IdentityError::SetUp => (StatusCode::CONFLICT, "setUp"),
            IdentityError::LastAdmin(_) => (StatusCode::CONFLICT, "lastAdmin"),
            IdentityError::UnknownUser(_) => (StatusCode::NOT_FOUND, "userUnknown"),
            IdentityError::UnknownKey(_) => (StatusCode::NOT_FOUND, "keyUnknown"),
            IdentityError::UnknownInvite(_) => (StatusCode::NOT_FOUND, "inviteUnknown"),
            IdentityError::SpentToken(_) => (StatusCode::FORBIDDEN, "spentToken"),
            IdentityError::RegistrationOff => (StatusCode::FORBIDDEN, "registrationOff"),
            IdentityError::InviteNeeded => (StatusCode::FORBIDDEN, "inviteNeeded"),
            IdentityError::Weak(_) | IdentityError::Invalid(_) => (StatusCode::BAD_REQUEST, "badRequest"),
            IdentityError::Engine(error) => return error.into(),
        };
        Self::new(status, code, message)
    }
}

impl From<AgentError> for ApiError {
    fn from(error: AgentError) -> Self {
        let message = error.to_string();
        match error {
            AgentError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "agentUnknown", message),
            AgentError::Exists(_) => Self::new(StatusCode::CONFLICT, "agentExists", message),
            AgentError::LabelNotAllowed { .. } => {
                Self::new(StatusCode::FORBIDDEN, "labelNotAllowed", message)
            }
            AgentError::Disabled(_) => Self::new(StatusCode::FORBIDDEN, "agentDisabled", message),
            AgentError::Engine(error) => error.into(),
        }
    }
}

impl From<ForgeError> for ApiError {
    fn from(error: ForgeError) -> Self {
        let message = error.to_string();
        match error {
            ForgeError::Invalid(_) => Self::bad_request(message),
            ForgeError::Stopping => EngineError::Unknown.into(),
            ForgeError::GitHub(GitHubError::Limited(until)) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "forgeBusy", message)
                    .with_details(json!({ "until": until }))
                    .with_header(header::RETRY_AFTER, FORGE_RETRY_AFTER_SECONDS)
            }
            ForgeError::Local(_) => Self::internal(&error),
            ForgeError::GitHub(_) => {
                tracing::error!(request = request_id::current(), %error, "the forge failed");
                Self::new(StatusCode::BAD_GATEWAY, "forgeFailed", message)
                    .with_details(json!({ "problem": error.code() }))
            }
        }
    }
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Forge(error) => error.into(),
            SyncError::Project(error) => error.into(),
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        let message = error.to_string();
        match error {
            ArtifactError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "artifactUnknown", message),
            ArtifactError::UnknownProject(_) => Self::new(StatusCode::NOT_FOUND, "projectUnknown", message),
            ArtifactError::BadName(_)
            | ArtifactError::BadBuildNumber(_)
            | ArtifactError::BadDrivePath(_)
            | ArtifactError::BadSum(_)
            | ArtifactError::NotYet(_) => Self::bad_request(message),
            ArtifactError::Elsewhere(path) => Self::new(StatusCode::NOT_FOUND, "artifactElsewhere", message)
                .with_details(json!({ "drivePath": path })),
            ArtifactError::Store(StoreError::Broken { .. }) => {
                Self::new(StatusCode::BAD_REQUEST, "uploadBroken", message)
            }
            ArtifactError::Store(StoreError::TooLarge) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "tooLarge", message)
            }
            ArtifactError::Store(error) if error.is_full() => EngineError::Full(message).into(),
            ArtifactError::Store(error) => Self::internal(&error),
            ArtifactError::Bad(bad) => Self::new(StatusCode::CONFLICT, "fileInvalid", bad.to_string()),
            ArtifactError::Job(error) => error.into(),
            ArtifactError::Engine(error) => error.into(),
        }
    }
}

impl From<RemoteError> for ApiError {
    fn from(error: RemoteError) -> Self {
        let message = error.to_string();
        match error {
            RemoteError::None(_) | RemoteError::Nowhere | RemoteError::Platform => {
                Self::new(StatusCode::CONFLICT, "noRemote", message)
            }
            RemoteError::Late => Self::new(StatusCode::GATEWAY_TIMEOUT, "remoteLate", message),
            RemoteError::Engine(error) => error.into(),
            _ => Self::new(StatusCode::BAD_GATEWAY, "remoteFailed", message),
        }
    }
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        let message = error.to_string();
        match error {
            WebhookError::UnknownProject(_) => Self::new(StatusCode::NOT_FOUND, "projectUnknown", message),
            WebhookError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "webhookUnknown", message),
            WebhookError::UnknownDelivery(_) => Self::new(StatusCode::NOT_FOUND, "deliveryUnknown", message),
            WebhookError::TooMany => Self::new(StatusCode::CONFLICT, "webhooksTooMany", message),
            WebhookError::BadEvents => Self::bad_request(message),
            WebhookError::Target(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "webhookTarget", message),
            WebhookError::Secret(error) => error.into(),
            WebhookError::History(error) => Self::internal(&error),
            WebhookError::Engine(error) => error.into(),
        }
    }
}

impl From<RevertError> for ApiError {
    fn from(error: RevertError) -> Self {
        match error {
            RevertError::NotThere { .. } => Self::new(StatusCode::NOT_FOUND, "notThere", error.to_string()),
            RevertError::Refused { .. } => {
                Self::new(StatusCode::CONFLICT, "revertRefused", error.to_string())
            }
            RevertError::Project(error) => error.into(),
            RevertError::Job(error) => error.into(),
            RevertError::Store(error) => ArtifactError::from(error).into(),
            RevertError::Engine(error) => error.into(),
        }
    }
}

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        let message = error.to_string();
        let refused = |code| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message.clone());
        let forbidden = |code| Self::new(StatusCode::FORBIDDEN, code, message.clone());
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, message.clone());
        match error {
            SecretError::UnknownProject(_) => Self::new(StatusCode::NOT_FOUND, "projectUnknown", message),
            SecretError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "secretUnknown", message),
            SecretError::TooShort => refused("secretTooShort"),
            SecretError::TooLong => refused("secretTooLong"),
            SecretError::ZeroByte => refused("secretUnusable"),
            SecretError::BadRecipients => refused("recipientsInvalid"),
            SecretError::TooMany(_) => conflict("secretsTooMany"),
            SecretError::RecipientsMoved => conflict("secretsBusy"),
            SecretError::NoLease => conflict("jobLeaseStale"),
            SecretError::NoCiphertext { .. } | SecretError::Open(_) => conflict("secretBroken"),
            SecretError::Token(TokenRefusal::Wrong) => forbidden("secretsTokenInvalid"),
            SecretError::Token(TokenRefusal::Late) => forbidden("secretsTokenExpired"),
            SecretError::Token(TokenRefusal::Spent) => forbidden("secretsTokenSpent"),
            SecretError::Bad(_) => conflict("fileInvalid"),
            SecretError::Seal(error) => Self::internal(&error),
            SecretError::Job(error) => error.into(),
            SecretError::Engine(error) => error.into(),
        }
    }
}
