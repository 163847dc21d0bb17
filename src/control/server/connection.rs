//! One connection: HTTP/1 with bounded heads, closed when it idles or when the server stops.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// Bytes of one request's head, and of what is read ahead.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Headers of one request.
const MAX_HEADERS: usize = 64;

/// What connections of one sort share.
pub(super) struct Connections {
    pub router: Router,
    /// Whether a connection may ask more than once.
    pub keep_alive: bool,
    pub head: Duration,
    pub shutdown: CancellationToken,
}

impl Connections {
    /// Serves one connection to its end.
    pub(super) fn serve(&self, stream: UnixStream) -> impl Future<Output = ()> + Send + use<> {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(self.keep_alive)
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
