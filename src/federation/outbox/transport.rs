//! The way to a peer, as the outbox needs it: one request, one answer.
//!
//! The daemon passes [`http`](super::http); a simulation passes a network of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::api::kinds::federation::PeerTls;

/// Bytes of an answer at most: a result for each event of the largest batch, with words.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// How long a connection may take to come about.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take, answer included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a peer listens, and how it is spoken to. Two that are equal are one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    /// What the manifest says about https.
    pub tls: Option<PeerTls>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to.
    pub endpoint: Arc<Endpoint>,
    /// The path.
    pub path: &'static str,
    /// A POST of this; a GET without.
    pub body: Option<Body>,
}

/// What is posted.
#[derive(Debug, Clone)]
pub struct Body {
    /// JSON.
    pub bytes: Bytes,
    /// When it was signed: unix seconds.
    pub timestamp: i64,
    /// Its signature, unless the group goes without.
    pub signature: Option<String>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Retry-After`, if it was a number of seconds.
    pub retry_after: Option<Duration>,
    /// The store that answers, if it says so.
    pub store: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer. Whether the peer took what was sent is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// What the manifest says cannot be used.
    #[error("{0}")]
    Config(String),
    /// Nobody is there.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The peer, or we, could not prove who they are.
    #[error("no trust between the two ends: {0}")]
    Tls(String),
    /// Somebody is there and does not answer.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection ended too early, or what came was not HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The answer does not end.
    #[error("the answer is over {0} bytes")]
    TooLarge(usize),
}

/// Carries requests to peers.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request and waits for the answer, no longer than [`REQUEST_TIMEOUT`]. Dropping the
    /// future gives the request up; the peer may have taken it.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Answer, TransportError>>;
}
