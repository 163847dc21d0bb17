//! The real [`Spawner`]: launches on a blocking thread, supervises on the runtime.

use super::contract::{HostError, Outcome, RunSpec, Spawner};
use super::launch::launch;
use super::pin::Digests;
use super::scratch::Base;
use super::supervise::supervise;
use futures::future::{BoxFuture, FutureExt};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Starts real processes. Cheap to clone; how many run at once is the caller's to bound.
#[derive(Debug, Clone)]
pub struct ProcessSpawner {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    scratch: Base,
    digests: Digests,
}

impl ProcessSpawner {
    /// `scratch` will hold each run's private, empty working directory, removed at its end. It is
    /// created (0700) if missing, must be this process's alone, and is cleared of what an earlier
    /// process left.
    pub fn new(scratch: PathBuf) -> io::Result<Self> {
        let shared = Shared { scratch: Base::open(scratch)?, digests: Digests::default() };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Spawner for ProcessSpawner {
    fn run(
        &self,
        spec: RunSpec,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<Outcome, HostError>> {
        async move {
            if cancel.is_cancelled() {
                return Err(HostError::Cancelled);
            }
            let shared = Arc::clone(&self.shared);
            // If this future is dropped in between, the runtime drops what `launch` answers, and
            // with it the process group is killed.
            let launched = tokio::task::spawn_blocking(move || {
                launch(&spec, &shared.scratch, &shared.digests).map(|launched| (launched, spec))
            });
            let (launched, spec) = match launched.await {
                Ok(launched) => launched?,
                Err(failed) => match failed.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return Err(HostError::Cancelled),
                },
            };
            supervise(launched, spec, &cancel).await
        }
        .boxed()
    }
}
