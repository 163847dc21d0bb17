//! One connection: TLS where it is asked for, then HTTP/1.1 with bounded heads, until it idles, its
//! certificate is outdated, or the listener stops.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::figures::Figures;
use super::listener::Current;
use super::service::{Caller, Desk, Gate};
use super::source::Source;
use crate::federation::tls;

/// Bytes of one request's head, and of what is read ahead.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Headers of one request.
const MAX_HEADERS: usize = 64;

/// What a connection needs to know.
pub(super) struct Connection {
    pub(super) gate: Arc<Gate>,
    pub(super) figures: Arc<Figures>,
    pub(super) follow: watch::Receiver<Arc<Current>>,
    pub(super) stop: CancellationToken,
    pub(super) source: Source,
}

/// Serves a connection to its end.
pub(super) async fn serve(connection: Connection, stream: TcpStream) {
    let current = Arc::clone(&connection.follow.borrow());
    let Some(config) = &current.tls else {
        let caller = Caller { source: connection.source, ..Caller::default() };
        return speak(connection, current.outdated.clone(), caller, stream).await;
    };
    let shaken = TlsAcceptor::from(Arc::clone(config)).accept(stream);
    let head = connection.gate.limits.head;
    let stream = tokio::select! {
        shaken = tokio::time::timeout(head, shaken) => match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return tracing::debug!(%error, "a TLS handshake of a peer failed");
            }
            Err(_) => return,
        },
        () = connection.stop.cancelled() => return,
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.map(tls::names);
    let caller = Caller { source: connection.source, certificate, ..Caller::default() };
    speak(connection, current.outdated.clone(), caller, stream).await;
}

async fn speak<S>(connection: Connection, outdated: CancellationToken, caller: Caller, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Connection { gate, figures, follow, stop, .. } = connection;
    let (head, drain) = (gate.limits.head, gate.limits.drain);
    let service = service_fn(|request| {
        let (gate, figures, caller) = (&*gate, &*figures, &caller);
        let admission = Arc::clone(&follow.borrow().admission);
        async move {
            let desk = Desk { gate, admission, figures };
            Ok::<_, Infallible>(desk.answer(caller, request).await)
        }
    });
    // Who reads no answers keeps its connection no longer than who sends no requests.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(head));
    let stream = Box::pin(stream);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = async { tokio::select! { () = stop.cancelled() => {}, () = outdated.cancelled() => {} } } => {
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(drain, serving).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        // A client that hangs up is nobody's fault.
        tracing::debug!(%error, "a connection of a peer ended early");
    }
}
