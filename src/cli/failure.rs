//! How a command fails: an exit code, an `error:` line, `hint:` lines.

use std::io::{self, Write};

use super::escape;
use crate::control::client::ClientError;
use crate::control::{ApiError, Reason};

/// The answer is no.
pub(super) const NO: u8 = 1;
/// The command was not understood.
pub(super) const USAGE: u8 = 2;
/// No daemon answers and no store can be used.
pub(super) const UNAVAILABLE: u8 = 3;
/// What was given is not valid.
pub(super) const INVALID: u8 = 4;

/// Why a command ends with something else than 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub code: u8,
    /// Nothing is said if there is no message.
    pub message: Option<String>,
    pub hints: Vec<String>,
}

impl Failure {
    pub(super) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()), hints: Vec::new() }
    }

    /// All that is to be said was said.
    pub(super) fn silent(code: u8) -> Self {
        Self { code, message: None, hints: Vec::new() }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(super) fn print(&self, stderr: &mut dyn Write) -> io::Result<()> {
        if let Some(message) = &self.message {
            writeln!(stderr, "error: {}", escape::text(message))?;
        }
        for hint in &self.hints {
            writeln!(stderr, "hint: {}", escape::text(hint))?;
        }
        stderr.flush()
    }
}

/// A reader that went away has what it wanted: `routerctl get events | head` is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(0),
            _ => Self::new(NO, format!("cannot write the answer: {error}")),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let code = match error.reason {
            Reason::Invalid | Reason::UnknownGroup | Reason::TooLarge => INVALID,
            Reason::Conflict
            | Reason::GroupFull
            | Reason::StoreFull
            | Reason::Forbidden
            | Reason::NotFound
            | Reason::MethodNotAllowed
            | Reason::Internal => NO,
            Reason::StoreFailed | Reason::Timeout | Reason::Busy | Reason::NeedsDaemon => {
                UNAVAILABLE
            }
        };
        Self { code, message: Some(error.message), hints: error.hint.into_iter().collect() }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => refusal.into(),
            other => Self {
                code: UNAVAILABLE,
                message: Some(other.to_string()),
                hints: other.hint().into_iter().collect(),
            },
        }
    }
}
