//! One connection: HTTP/1 with bounded heads, closed when it idles or when the server stops.

use std::io::ErrorKind;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::control::error::{ApiError, Enveloped, Reason};

/// Bytes of one request's head, and of what is read ahead.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Headers of one request.
const MAX_HEADERS: usize = 64;

/// What all connections share.
pub(super) struct Connections {
    pub router: Router,
    pub head: Duration,
    pub shutdown: CancellationToken,
}

impl Connections {
    /// Serves one connection to its end.
    pub(super) fn serve(&self, stream: UnixStream) -> impl Future<Output = ()> + Send + use<> {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let shutdown = self.shutdown.clone();
        async move {
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                // A client that hangs up is nobody's fault.
                tracing::debug!(%error, "a control connection ended early");
            }
        }
    }
}

/// Tells a connection over the limit so, as far as that goes without waiting for it.
pub(super) fn refuse_busy(stream: &UnixStream) {
    let error = ApiError::new(Reason::Busy, "too many connections to the daemon")
        .hint("try again in a moment");
    let body = serde_json::to_string(&Enveloped { error }).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    match stream.try_write(answer.as_bytes()) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => tracing::debug!(%error, "cannot tell a client that the daemon is busy"),
    }
}
