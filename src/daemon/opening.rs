//! Opening the store when somebody else holds it for a moment.

use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

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
        if Instant::now() >= deadline || UnixStream::connect(socket).await.is_ok() {
            return Err(locked.into());
        }
        sleep(RETRY).await;
    }
}
