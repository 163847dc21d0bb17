//! The real [`Spawner`]: launch, then supervise.

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
    scratch: Arc<Base>,
    digests: Arc<Digests>,
}

impl ProcessSpawner {
    /// `scratch` will hold the runs' working directories, each private and empty at its start. It
    /// is created (0700) if missing, must be this process's alone, and is cleared of what an
    /// earlier process left.
    pub fn new(scratch: PathBuf) -> io::Result<Self> {
        Ok(Self { scratch: Arc::new(Base::open(scratch)?), digests: Arc::default() })
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
            let launched = launch(&spec, &self.scratch, &self.digests).await?;
            supervise(launched, spec, &cancel).await
        }
        .boxed()
    }
}
