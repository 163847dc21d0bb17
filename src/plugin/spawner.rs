//! The real [`Spawner`]: launch, then supervise; or ask a warm process.

use super::contract::{HostError, Outcome, RunSpec, Spawner};
use super::launch::{Host, launch};
use super::sandbox;
use super::scratch::Scratches;
use super::stream::Process;
use super::supervise::supervise;
use super::threads::Privileged;
use super::walls::{WallState, Walls};
use super::warm::Warm;
use futures::future::{BoxFuture, FutureExt};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Starts real processes. Cheap to clone; how many run at once is the caller's to bound.
#[derive(Debug, Clone)]
pub struct ProcessSpawner {
    host: Arc<Host>,
    warm: Arc<Warm>,
}

impl ProcessSpawner {
    /// `scratch` will hold the runs' working directories, each private and empty at its start. It
    /// is created (0700) if missing, must be this process's alone, and is cleared of what an
    /// earlier process left. `passable` is the same for programs that run as another user, so its
    /// parents must let everybody pass; it is created (0711) when the first one runs.
    ///
    /// Call it when the program starts: hooks get the privileges that the calling thread has now.
    pub fn new(scratch: PathBuf, passable: PathBuf) -> io::Result<Self> {
        let host = Host {
            scratches: Scratches::open(scratch, passable)?,
            digests: Arc::default(),
            privileged: Privileged::start()?,
        };
        Ok(Self { host: Arc::new(host), warm: Arc::default() })
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
            if let Some(warm) = &spec.warm {
                let start = || Process::start(&spec, &self.host);
                return self.warm.run(&spec, warm, &cancel, start).await;
            }
            let launched = launch(&spec, &self.host).await?;
            supervise(launched, spec, &cancel).await
        }
        .boxed()
    }

    fn walls(&self, asked: &Walls) -> Vec<WallState> {
        sandbox::look(asked)
    }

    fn keep_warm(&self, pool: &str, version: Option<&str>) {
        self.warm.keep_only(pool, version);
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.warm.close().boxed()
    }
}
