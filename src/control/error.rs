//! Why a request was refused: one word for programs, a sentence and a way out for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::store::{StoreError, WriteError};

/// A refusal, as it travels: `{"error": {"reason", "message", "hint"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiError {
    /// For programs.
    pub reason: Reason,
    /// What is wrong; names the field where there is one.
    pub message: String,
    /// The way out, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The kinds of refusal. The list may grow: treat an unknown one as `internal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// The request or the event is not valid.
    Invalid,
    /// The event's group is not among the accepted EventGroups.
    UnknownGroup,
    /// Another event has the same id.
    Conflict,
    /// The group holds as many live facts as it may.
    GroupFull,
    /// The disk is full; a later try may succeed.
    StoreFull,
    /// The store does not work; the daemon's log and `status` say why.
    StoreFailed,
    /// Not for this user.
    Forbidden,
    /// There is no such object, part or route.
    NotFound,
    /// The route exists, for another method.
    MethodNotAllowed,
    /// The body or a line is over its limit.
    TooLarge,
    /// A part of the request did not come in time.
    Timeout,
    /// Too many connections.
    Busy,
    /// Only a running daemon can answer this.
    NeedsDaemon,
    /// A bug, or an answer of a newer program.
    #[serde(other)]
    Internal,
}

impl Reason {
    /// The HTTP status it travels with.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::UnknownGroup => 422,
            Self::GroupFull => 429,
            Self::StoreFailed | Self::Busy | Self::NeedsDaemon => 503,
            Self::StoreFull => 507,
            Self::Internal => 500,
        }
    }
}

impl ApiError {
    /// A refusal without a hint.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), hint: None }
    }

    /// An invalid request.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, message)
    }

    /// The same, with a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = with_sources(&error);
        match error {
            StoreError::DiskFull { .. } => Self::new(Reason::StoreFull, message)
                .hint("make room on the file system of the state directory, then send it again"),
            _ => Self::new(Reason::StoreFailed, message).hint(
                "see routerctl status and the daemon's log; sending the same id again is safe",
            ),
        }
    }
}

impl From<WriteError<ApiError>> for ApiError {
    fn from(error: WriteError<ApiError>) -> Self {
        match error {
            WriteError::Rejected(refusal) => refusal,
            WriteError::Store(error) => error.into(),
            WriteError::Panicked(why) => Self::new(Reason::Internal, format!("a bug: {why}")),
        }
    }
}

/// The error and what it came from, as one line.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The envelope of a refusal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Enveloped {
    /// The refusal.
    pub error: ApiError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_a_newer_program_reads_as_internal() {
        let error: ApiError =
            serde_json::from_str(r#"{"reason": "somethingNew", "message": "m"}"#).unwrap();
        assert_eq!(error.reason, Reason::Internal);
        assert_eq!(error.message, "m");
    }

    #[test]
    fn the_whole_chain_is_in_the_message() {
        let inner = crate::store::EngineError::Io {
            operation: "read",
            message: "input/output error".to_owned(),
        };
        let error = ApiError::from(StoreError::Read(inner));
        assert_eq!(error.reason, Reason::StoreFailed);
        assert!(error.message.starts_with("the store failed to read: "), "{}", error.message);
        assert!(error.message.contains("input/output error"), "{}", error.message);
    }
}
