//! The controller: one loop that starts the runs the queue hands out and gives them back.
//!
//! All decisions are the [queue](super::queue)'s. This file only waits for the four things that can
//! happen: a key became ready, a deadline came, a run ended, someone asked to stop.

mod run;
#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::fmt::{self, Debug};
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, Interval};
use tracing::{debug, warn};

use super::backoff::Backoff;
use super::beat::Beat;
use super::queue::{Queue, Trigger};
use super::readiness::{NeverReady, Ready};
use super::reconciler::Reconciler;
use super::shared::{Finished, Shared};
use super::shutdown::Shutdown;
use super::stats::Observer;
use super::trigger::TriggerSender;

const DEFAULT_CONCURRENCY: usize = 4;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs one [`Reconciler`] for the keys that are triggered.
///
/// The triggers exist before the reconciler does, so that controllers may trigger each other in any
/// direction: make all controllers, hand out their [triggers](Self::triggers), then
/// [run](Self::run) them.
pub struct Controller<K> {
    shared: Arc<Shared<K>>,
    concurrency: usize,
    timeout: Duration,
    caches: Vec<Ready>,
    full_pass: Option<FullPass<K>>,
}

struct FullPass<K> {
    beat: Beat,
    keys: Box<dyn Fn() -> Vec<K> + Send + Sync>,
}

impl<K> Controller<K>
where
    K: Clone + Eq + Hash + Debug + Send + Sync + 'static,
{
    /// A controller with 4 runs at a time, a timeout of 60 s for each, and `backoff` between the
    /// attempts of a failing key. The name is for logs and statistics.
    pub fn new(name: impl Into<Arc<str>>, backoff: Backoff) -> Self {
        // Two nodes that lose the same peer should not come back in step: the seed is random.
        let seed = RandomState::new().hash_one(0);
        let queue = Queue::new(backoff, seed, Instant::now());
        Self {
            shared: Arc::new(Shared::new(name.into(), queue)),
            concurrency: DEFAULT_CONCURRENCY,
            timeout: DEFAULT_TIMEOUT,
            caches: Vec::new(),
            full_pass: None,
        }
    }

    /// At most this many runs at a time.
    #[must_use]
    pub fn concurrency(mut self, runs: NonZeroUsize) -> Self {
        self.concurrency = runs.get();
        self
    }

    /// A run that takes longer is dropped at its next await point and counts as a failure to retry.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts no run before this cache is ready. May be called once for each cache.
    #[must_use]
    pub fn after(mut self, cache: Ready) -> Self {
        self.caches.push(cache);
        self
    }

    /// Triggers all `keys` when the controller starts and again at each [`Beat`]: the slow pass
    /// that makes a lost trigger a matter of latency. The keys count as [related](Trigger::Related),
    /// so a pass disturbs no backoff.
    ///
    /// `keys` is called on the controller's task and should only read memory.
    #[must_use]
    pub fn full_pass(
        mut self,
        beat: impl Into<Beat>,
        keys: impl Fn() -> Vec<K> + Send + Sync + 'static,
    ) -> Self {
        self.full_pass = Some(FullPass { beat: beat.into(), keys: Box::new(keys) });
        self
    }

    /// The way in. Triggers sent before [`run`](Self::run) wait for it.
    pub fn triggers(&self) -> TriggerSender<K> {
        TriggerSender::new(Arc::clone(&self.shared))
    }

    /// The way to look at it.
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.shared))
    }

    /// Waits for the caches, then reconciles until `shutdown` asks to stop: runs under way finish
    /// when it drains, and are dropped when it aborts. Fails only if a cache can never be ready.
    pub async fn run<R>(self, reconciler: Arc<R>, shutdown: Shutdown) -> Result<(), NeverReady>
    where
        R: Reconciler<Key = K>,
    {
        // However this future ends, even when it is dropped, nobody keeps waiting for it.
        let _stop = StopOnDrop(&self.shared);
        // Asked to stop first: a cache that gives up because it was asked to stop is no failure.
        tokio::select! {
            biased;
            () = shutdown.draining() => return Ok(()),
            ready = self.caches_ready() => ready?,
        }
        // The first pass is in the queue before the controller counts as started: until then it
        // must not look settled.
        self.trigger_all();
        self.shared.start();
        let mut runs = JoinSet::new();
        self.reconcile_until_draining(&reconciler, &shutdown, &mut runs).await;
        debug!(controller = %self.shared.name, running = runs.len(), "draining");
        tokio::select! {
            () = self.finish_all(&mut runs) => {}
            () = shutdown.aborting() => {
                warn!(controller = %self.shared.name, running = runs.len(), "aborting");
            }
        }
        Ok(())
    }

    async fn caches_ready(&self) -> Result<(), NeverReady> {
        for cache in &self.caches {
            if !cache.is_ready() {
                debug!(controller = %self.shared.name, cache = cache.name(), "waiting for cache");
                cache.wait().await?;
            }
        }
        Ok(())
    }

    async fn reconcile_until_draining<R: Reconciler<Key = K>>(
        &self,
        reconciler: &Arc<R>,
        shutdown: &Shutdown,
        runs: &mut JoinSet<Finished<K>>,
    ) {
        let mut full_pass = self.full_pass.as_ref().map(|pass| pass.beat.interval());
        // One timer for the life of the loop: moving it is cheaper than making it.
        let mut alarm = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let deadline = self.start_ready(reconciler, runs);
            let room = runs.len() < self.concurrency;
            if let Some(deadline) = deadline
                && alarm.deadline() != deadline
            {
                alarm.as_mut().reset(deadline);
            }
            // In order of importance; the pass is rare, so it cannot starve the runs below it.
            tokio::select! {
                biased;
                () = shutdown.draining() => return,
                () = tick(full_pass.as_mut()) => self.trigger_all(),
                Some(finished) = runs.join_next() => {
                    self.finish(finished);
                    while let Some(finished) = runs.try_join_next() {
                        self.finish(finished);
                    }
                }
                () = self.shared.work.notified(), if room => {}
                () = &mut alarm, if deadline.is_some() => {}
            }
        }
    }

    /// Starts runs until there are enough or none is ready.
    fn start_ready<R: Reconciler<Key = K>>(
        &self,
        reconciler: &Arc<R>,
        runs: &mut JoinSet<Finished<K>>,
    ) -> Option<Instant> {
        let room = self.concurrency - runs.len();
        if room == 0 {
            return None;
        }
        let mut popped = Vec::new();
        let deadline = self.shared.pop(room, Instant::now(), &mut popped);
        for run in popped {
            let (name, reconciler) = (Arc::clone(&self.shared.name), Arc::clone(reconciler));
            runs.spawn(run::guarded(name, reconciler, run, self.timeout));
        }
        deadline
    }

    async fn finish_all(&self, runs: &mut JoinSet<Finished<K>>) {
        while let Some(finished) = runs.join_next().await {
            self.finish(finished);
        }
    }

    fn finish(&self, finished: Result<Finished<K>, tokio::task::JoinError>) {
        let finished = match finished {
            Ok(finished) => finished,
            // The guard caught what the reconciler threw, so this one is ours: do not hide it.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Only a tokio runtime that shuts down cancels a run that we still wait for.
            Err(_) => return,
        };
        let report = run::Report::of(&finished);
        let retry_in = self.shared.finish(finished, Instant::now());
        if let Some(report) = report {
            report.log(&self.shared.name, retry_in);
        }
    }

    fn trigger_all(&self) {
        if let Some(pass) = &self.full_pass {
            self.triggers().extend((pass.keys)(), Trigger::Related);
        }
    }
}

async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

struct StopOnDrop<'a, K: Clone + Eq + Hash + Debug>(&'a Shared<K>);

impl<K: Clone + Eq + Hash + Debug> Drop for StopOnDrop<'_, K> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<K> Debug for Controller<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("name", &self.shared.name)
            .field("concurrency", &self.concurrency)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
