//! Signals: the first asks to stop, the second insists, a hangup asks to look again.

use std::io;
use std::pin::pin;

use futures::FutureExt;
use futures::future::Fuse;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::runtime::Shutdown;
use crate::sources::config_dir::ConfigHandle;

/// The signals that the daemon heeds; from here on they no longer end the process by themselves.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Turns signals into requests for as long as `work` takes: to its very end, because the second
    /// signal comes while it is stopping. For the same reason nothing in here waits for a scan.
    pub async fn during<T>(
        mut self,
        work: impl Future<Output = T>,
        shutdown: &Shutdown,
        config: &ConfigHandle,
    ) -> T {
        let mut work = pin!(work);
        let mut rescan = pin!(Fuse::terminated());
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = self.terminate.recv() => stop(shutdown, "SIGTERM"),
                _ = self.interrupt.recv() => stop(shutdown, "SIGINT"),
                _ = self.hangup.recv() => rescan.set(config.rescan().fuse()),
                scanned = &mut rescan => if let Err(error) = scanned {
                    tracing::warn!(%error, "cannot rescan the configuration");
                },
            }
        }
    }
}

fn stop(shutdown: &Shutdown, signal: &str) {
    if shutdown.is_draining() {
        tracing::warn!(signal, "stopping at once");
    } else {
        tracing::info!(signal, "stopping");
    }
    shutdown.request();
}

/// A token that is cancelled when the daemon begins to stop.
pub fn token(shutdown: &Shutdown) -> CancellationToken {
    shutdown.drain_token()
}
