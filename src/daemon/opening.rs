//! Opening the store when somebody else holds it for a moment.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::control::client::{Client, Target};
use crate::store::{OpenError, OpenOptions, OpenReport, Store};

/// How long a routerctl that reads the store, or a daemon that is stopping, is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often a held lock is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Opens the store. A routerctl that finds no daemon opens it too, for an instant: that must not
/// keep a daemon from starting. A daemon that answers on `socket` is not waited for.
pub(super) async fn open(
    options: OpenOptions,
    socket: &Path,
) -> anyhow::Result<(Store, OpenReport)> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let options = options.clone();
        let locked = match tokio::task::spawn_blocking(move || Store::open(&options)).await? {
            Ok(opened) => return Ok(opened),
            Err(error @ OpenError::Locked { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        if Instant::now() >= deadline || answers(socket).await {
            return Err(locked.into());
        }
        sleep(RETRY).await;
    }
}

/// Whether a daemon is well and at work there. That the socket takes a connection says little: what
/// a daemon was just starting when it was killed holds its files for an instant longer.
async fn answers(socket: &Path) -> bool {
    let client = Client::new(socket);
    let version = Target::new("/v1/version");
    let asked = timeout(RETRY * 10, client.get::<serde_json::Value>(&version));
    matches!(asked.await, Ok(Ok(_)))
}
