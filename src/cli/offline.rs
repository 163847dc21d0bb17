//! The store without a daemon: opened only when no daemon holds it.

use std::time::Duration;

use super::failure::{Failure, UNAVAILABLE};
use crate::api::Time;
use crate::store::{OpenError, OpenOptions, Store};

/// How often a held lock is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// What came of one try.
pub(super) enum Opened {
    Store(Store),
    /// Another process holds it: a daemon that is starting or stopping, or another command.
    Locked,
    /// There is none, and none was to be created.
    Absent(Failure),
}

/// Tries once to open the store in `state`. Moves nothing, and creates only if `create`.
pub(super) fn open(state: &std::path::Path, now: Time, create: bool) -> Result<Opened, Failure> {
    match Store::open(&OpenOptions::offline(state, now, create)) {
        Ok((store, _)) => Ok(Opened::Store(store)),
        Err(OpenError::Locked { .. }) => Ok(Opened::Locked),
        Err(error @ OpenError::Absent { .. }) => Ok(Opened::Absent(explain(&error))),
        Err(error) => Err(explain(&error)),
    }
}

/// The next try is due then.
pub(super) async fn pause() {
    tokio::time::sleep(RETRY).await;
}

fn explain(error: &OpenError) -> Failure {
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        message = format!("{message}: {source}");
    }
    Failure::new(UNAVAILABLE, message)
}
