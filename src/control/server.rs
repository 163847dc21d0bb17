//! The control socket: HTTP/1 on a unix socket, with a limit on everything.
//!
//! May touch the socket's path and nothing else of the file system. Who may connect is decided by
//! the file's mode (0660) and the directory's; there is no other authentication.

mod connection;
mod routes;
mod socket;

pub(super) use routes::{DIGEST_HEADER, REVISION_HEADER, SERVER_HEADER};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Connections;
use super::operations::Control;

pub use socket::BindError;

/// Connections over the limit that are told so at a time; more are closed unheard.
const BUSY_CONNECTIONS: usize = 32;
/// How long such a one may take to ask.
const BUSY_HEAD: Duration = Duration::from_secs(1);

/// Bounds of the server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time; one more is told that the daemon is busy.
    pub connections: usize,
    /// Of these, connections for requests that stay: streams of lines, waits and watches. The rest
    /// is for those that are answered at once.
    pub stays: usize,
    /// How long a request's head, or an idle connection, may take.
    pub head: Duration,
    /// How long the rest of a small body may take.
    pub body: Duration,
    /// How long open requests may go on after the shutdown began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            stays: 192,
            head: Duration::from_secs(15),
            body: Duration::from_secs(15),
            drain: Duration::from_secs(5),
        }
    }
}

/// A bound socket, not yet served.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    limits: Limits,
}

impl Server {
    /// Binds the socket at `path` with mode 0660. A stale socket is replaced, one that somebody
    /// answers on never. Needs a tokio runtime.
    pub fn bind(path: impl Into<PathBuf>, limits: Limits) -> Result<Self, BindError> {
        let path = path.into();
        let listener = socket::bind(&path)?;
        Ok(Self { listener, path, limits })
    }

    /// Serves until `shutdown`, then lets open requests finish for a moment, and removes the
    /// socket.
    pub async fn serve(self, control: Control, shutdown: CancellationToken) {
        let head = self.limits.head;
        let router = routes::router(control, self.limits.body, self.limits.stays);
        let served = Connections { router, keep_alive: true, head, shutdown: shutdown.clone() };
        let busy = Connections {
            router: routes::busy(),
            keep_alive: false,
            head: head.min(BUSY_HEAD),
            shutdown: shutdown.clone(),
        };
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let busy_permits = Arc::new(Semaphore::new(BUSY_CONNECTIONS));
        let tasks = TaskTracker::new();
        while let Some(stream) = self.accept(&shutdown).await {
            let (connections, permit) = match Arc::clone(&permits).try_acquire_owned() {
                Ok(permit) => (&served, permit),
                Err(_) => match Arc::clone(&busy_permits).try_acquire_owned() {
                    Ok(permit) => (&busy, permit),
                    // Hanging up is all that is left.
                    Err(_) => continue,
                },
            };
            let serving = connections.serve(stream);
            tasks.spawn(async move {
                serving.await;
                drop(permit);
            });
        }
        tasks.close();
        if tokio::time::timeout(self.limits.drain, tasks.wait()).await.is_err() {
            tracing::warn!("some requests on the control socket did not end in time");
        }
        socket::remove(&self.path);
    }

    /// The next connection; `None` once the server is to stop.
    async fn accept(&self, shutdown: &CancellationToken) -> Option<UnixStream> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return None,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => return Some(stream),
                    Err(error) => {
                        // Out of descriptors, most often: going round at once would spin.
                        tracing::warn!(%error, "cannot accept on the control socket");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
