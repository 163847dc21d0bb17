//! One connection: HTTP/1 with bounded heads, closed when it idles or when the server stops.

use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// Bytes of one request's head, and of what is read ahead.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Headers of one request.
const MAX_HEADERS: usize = 64;

/// Who connected: what the kernel says of the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    uid: Option<u32>,
}

impl Caller {
    fn of(stream: &UnixStream) -> Self {
        Self { uid: stream.peer_cred().ok().map(|peer| peer.uid()) }
    }

    /// Whether it could read the state directory itself, secrets and all.
    pub(super) fn owns_the_state(self) -> bool {
        self.uid.is_some_and(|uid| uid == 0 || uid == rustix::process::geteuid().as_raw())
    }
}

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
        let (router, caller) = (TowerToHyperService::new(self.router.clone()), Caller::of(&stream));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(caller);
            router.call(request)
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_daemons_own_user_own_the_state_and_nobody_else_does() {
        let own = rustix::process::geteuid().as_raw();
        let may = |uid| Caller { uid }.owns_the_state();
        assert!(may(Some(0)) && may(Some(own)));
        assert!(!may(Some(own + 1)) && !may(None));
    }
}
