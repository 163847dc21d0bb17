//! One bound address: accepts connections, within their limits, until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::connection::{Connection, serve};
use super::figures::Figures;
use super::service::Gate;
use super::source::{Census, Source};

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: u32 = 1024;
/// Pause after an accept that failed: out of descriptors, most often.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is in force on a listener now. Requests read it anew each time.
pub(super) struct Current {
    pub(super) admission: Arc<Admission>,
    /// https, if it is to be; connections are bound to the one that they began with.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Cancelled when connections that began with this `tls` are to end.
    pub(super) outdated: CancellationToken,
}

/// What all listeners share beside the [`Gate`].
pub(super) struct House {
    pub(super) gate: Arc<Gate>,
    pub(super) connections: Arc<Semaphore>,
    pub(super) census: Arc<Census>,
    /// Every task of every listener.
    pub(super) tasks: TaskTracker,
    /// Cancelled when the daemon stops.
    pub(super) stop: CancellationToken,
}

/// A running listener. Dropping it stops it: requests under way finish.
pub(super) struct Listener {
    pub(super) at: SocketAddr,
    current: watch::Sender<Arc<Current>>,
    stop: CancellationToken,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Binds exactly this address.
pub(super) fn bind(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a previous run that linger do not hold the address up.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

impl Listener {
    /// Serves on `socket`.
    pub(super) fn start(
        house: &Arc<House>,
        socket: TcpListener,
        at: SocketAddr,
        figures: Arc<Figures>,
        current: Current,
    ) -> Self {
        let (current, follow) = watch::channel(Arc::new(current));
        let stop = house.stop.child_token();
        let accepting =
            Accepting { house: Arc::clone(house), socket, figures, follow, stop: stop.clone() };
        house.tasks.spawn(accepting.run());
        Self { at, current, stop }
    }

    /// What is in force.
    pub(super) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.borrow())
    }

    /// Puts something else in force: for the next request, not for those under way.
    pub(super) fn replace(&self, current: Current) {
        self.current.send_replace(Arc::new(current));
    }
}

struct Accepting {
    house: Arc<House>,
    socket: TcpListener,
    figures: Arc<Figures>,
    follow: watch::Receiver<Arc<Current>>,
    stop: CancellationToken,
}

impl Accepting {
    async fn run(self) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => self.admit(stream, from),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections of peers");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Starts a connection; one over a limit is closed unheard.
    fn admit(&self, stream: TcpStream, from: SocketAddr) {
        let source = Source::from(from.ip());
        let limits = &self.house.gate.limits;
        let Ok(permit) = Arc::clone(&self.house.connections).try_acquire_owned() else { return };
        let Some(counted) = self.house.census.enter(source, limits.connections_per_source) else {
            return;
        };
        // Answers are small and awaited.
        _ = stream.set_nodelay(true);
        let connection = Connection {
            gate: Arc::clone(&self.house.gate),
            figures: Arc::clone(&self.figures),
            follow: self.follow.clone(),
            stop: self.stop.clone(),
            source,
        };
        self.house.tasks.spawn(async move {
            serve(connection, stream).await;
            drop((permit, counted));
        });
    }
}
