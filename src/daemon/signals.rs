//! Signals: the first asks to stop, the second insists, a hangup asks to look again.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::runtime::Shutdown;
use crate::sources::config_dir::ConfigHandle;

/// Turns signals into requests until the daemon stops.
pub async fn listen(shutdown: Shutdown, config: ConfigHandle) -> Result<(), io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            () = shutdown.aborting() => return Ok(()),
            _ = terminate.recv() => shutdown.request(),
            _ = interrupt.recv() => shutdown.request(),
            _ = hangup.recv() => {
                if let Err(error) = config.rescan().await {
                    tracing::warn!(%error, "cannot rescan the configuration");
                }
            }
        }
    }
}

/// A token that is cancelled when the daemon begins to stop.
pub fn token(shutdown: &Shutdown) -> CancellationToken {
    shutdown.drain_token()
}
