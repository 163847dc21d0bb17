//! Why a request, or an event of it, is not taken: the status, and the words.
//!
//! The order of the variants is the order of the checks. Limits first, then who speaks, then what is
//! said: before the signature holds no JSON is read and no store is touched.

use std::time::Duration;

use hyper::{Method, StatusCode};

use crate::store::StoreError;

/// A refusal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Another path.
    #[error("there is nothing here; events go to POST /v1/events")]
    NoRoute,
    /// Another method.
    #[error("{0} is what this path takes")]
    Method(Method),
    /// A compressed body.
    #[error(
        "a body must not be compressed; leave Content-Encoding out, and Transfer-Encoding is chunked alone"
    )]
    Encoding,
    /// Too many bytes.
    #[error("the body is over {0} bytes")]
    TooLarge(usize),
    /// Too many events.
    #[error("{0} events at once, {max} at most", max = crate::federation::wire::MAX_BATCH_EVENTS)]
    TooMany(usize),
    /// Too fast.
    #[error("too many requests; slow down")]
    Rate(Duration),
    /// The body took too long.
    #[error("the body did not come in time")]
    Slow,
    /// The timestamp is not there, or not one.
    #[error("X-Routerd-Timestamp: {0}; it is the time of signing in unix seconds, once")]
    Timestamp(&'static str),
    /// Signed too long ago, or in the future.
    #[error(
        "X-Routerd-Timestamp: {seconds} s {} this node's clock, more than the replayWindow of {window:?}; check the clocks",
        if *.seconds < 0 { "behind" } else { "ahead of" },
        seconds = .seconds.unsigned_abs()
    )]
    Stale {
        /// How far off it is; negative is the past.
        seconds: i64,
        /// How far off it may be.
        window: Duration,
    },
    /// The same words whatever was wrong with it.
    #[error("X-Routerd-Signature: does not verify")]
    Signature,
    /// Not an event.
    #[error("not an event: {0}")]
    NotAnEvent(String),
    /// An event of another group.
    #[error("group: this listener is that of {0:?}")]
    OtherGroup(String),
    /// Not from this sender.
    #[error("{0}")]
    NotAllowed(String),
    /// Another event has this id.
    #[error("{0}")]
    Conflict(String),
    /// The group is full.
    #[error("{0}")]
    GroupFull(String),
    /// Too much at once, whoever sends it.
    #[error("this node has too much to do")]
    Busy,
    /// The store does not take it now.
    #[error("the store does not take it: {0}")]
    Store(String),
}

impl Refusal {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) | Self::TooMany(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Rate(_) | Self::GroupFull(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Timestamp(_) | Self::NotAnEvent(_) => StatusCode::BAD_REQUEST,
            Self::Stale { .. } => StatusCode::FORBIDDEN,
            Self::Signature => StatusCode::UNAUTHORIZED,
            Self::OtherGroup(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::NotAllowed(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Busy | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One word for the figures.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRoute => "noRoute",
            Self::Method(_) => "method",
            Self::Encoding => "encoding",
            Self::TooLarge(_) | Self::TooMany(_) => "tooLarge",
            Self::Rate(_) => "rate",
            Self::Slow => "slow",
            Self::Timestamp(_) => "timestamp",
            Self::Stale { .. } => "stale",
            Self::Signature => "signature",
            Self::NotAnEvent(_) => "notAnEvent",
            Self::OtherGroup(_) => "otherGroup",
            Self::NotAllowed(_) => "notAllowed",
            Self::Conflict(_) => "conflict",
            Self::GroupFull(_) => "groupFull",
            Self::Busy => "busy",
            Self::Store(_) => "store",
        }
    }

    /// When to come again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rate(after) => Some(*after),
            // Room comes when a fact ends; nobody knows when.
            Self::GroupFull(_) => Some(Duration::from_secs(30)),
            Self::Busy | Self::Store(_) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}
