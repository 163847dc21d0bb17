//! Signals: the first asks to stop, the second insists, a hangup asks to look again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::runtime::Shutdown;
use crate::sources::config_dir::ConfigHandle;

/// The signals that the daemon answers, installed: from here on they end nothing by themselves.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Turns signals into requests, for as long as it is polled.
    pub async fn listen(mut self, shutdown: Shutdown, config: ConfigHandle) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => shutdown.request(),
                _ = self.interrupt.recv() => shutdown.request(),
                _ = self.hangup.recv() => {
                    // Beside the loop: a scan that hangs must not keep a stop from being heard.
                    let config = config.clone();
                    tokio::spawn(async move {
                        if let Err(error) = config.rescan().await {
                            tracing::warn!(%error, "cannot rescan the configuration");
                        }
                    });
                }
            }
        }
    }
}

/// A token that is cancelled when the daemon begins to stop.
pub fn token(shutdown: &Shutdown) -> CancellationToken {
    shutdown.drain_token()
}
