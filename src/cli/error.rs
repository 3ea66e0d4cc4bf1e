//! Why a command of the client did not do what it was asked, and the exit code that says so to a script.

use std::io;

use serde_json::Value;

use super::screen::one_line;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The server understood and said no.
    #[error("{}", refusal(message, code, request_id))]
    Refused {
        /// The server's sentence.
        message: String,
        /// The stable code.
        code: String,
        /// The name of the request, which the server's log has too.
        request_id: String,
        /// The status of the answer.
        status: u16,
    },
    /// The command cannot be meant as it was given.
    #[error("{0}")]
    Usage(String),
    /// The server is not there, or the connection broke too often.
    #[error("{server} cannot be reached: {what}")]
    Unreachable {
        /// Its address.
        server: String,
        /// What went wrong.
        what: String,
    },
    /// There is no credential for the server, or it does not accept the one there is.
    #[error("{0}")]
    NotSignedIn(String),
    /// Something on this machine failed: a file, a terminal.
    #[error("{0}")]
    Failed(String),
    /// The job that was followed has not done its work.
    #[error("{job} {state}{}", because.as_deref().map(|why| format!(": {why}")).unwrap_or_default())]
    JobEnded {
        /// The job.
        job: String,
        /// How it ended: `failed` or `cancelled`.
        state: String,
        /// Why it failed.
        because: Option<String>,
    },
    /// Whoever reads the output has enough.
    #[error("the output was closed")]
    Closed,
}

/// What a command gives.
pub type CliResult<T> = Result<T, CliError>;

impl CliError {
    /// The exit code: 1 refused or failed, 2 usage, 3 not reachable, 4 not signed in, 5 the followed job did not complete.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Refused { .. } | Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::NotSignedIn(_) => 4,
            Self::JobEnded { .. } => 5,
        }
    }

    /// Something on this machine failed while `what` was tried.
    pub fn local(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::Failed(format!("cannot {what}: {error}"))
    }

    /// The output could not be written; a reader that went away is no failure.
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::local("write the output", error),
        }
    }

    /// The refusal that an answer's body says, if the body is one of MrX.
    pub fn refused(status: u16, body: &[u8], request_id: &str) -> Self {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| said[name].as_str().map(one_line);
        let (Some(code), Some(message)) = (text("code"), text("message")) else {
            let message = format!("the server answered {status}, and not as MrX does; is the address right?");
            return Self::Refused {
                message,
                code: "notMrx".to_owned(),
                request_id: one_line(request_id),
                status,
            };
        };
        if code == "unauthorized" {
            return Self::NotSignedIn(format!(
                "the server does not accept the credential; sign in with mrx login ({code}, request {})",
                one_line(request_id)
            ));
        }
        Self::Refused { message, code, request_id: one_line(request_id), status }
    }
}

fn refusal(message: &str, code: &str, request_id: &str) -> String {
    match request_id {
        "" => format!("{message} ({code})"),
        id => format!("{message} ({code}, request {id})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_shows_message_code_and_request_and_no_control_characters() {
        let body = br#"{"error":true,"code":"jobUnknown","message":"no job\u001b[31m x","details":{}}"#;
        let error = CliError::refused(404, body, "00ff");
        assert_eq!(error.to_string(), "no job[31m x (jobUnknown, request 00ff)");
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn an_answer_of_something_else_says_so() {
        let error = CliError::refused(502, b"<html>Bad Gateway</html>", "");
        assert!(error.to_string().contains("answered 502, and not as MrX does"), "{error}");
    }

    #[test]
    fn a_credential_that_is_not_accepted_is_not_signed_in() {
        let body = br#"{"error":true,"code":"unauthorized","message":"send a credential","details":{}}"#;
        assert_eq!(CliError::refused(401, body, "1").exit_code(), 4);
    }
}
