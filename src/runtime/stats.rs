//! What a controller tells about itself: counters, depths, errors, and whether it is settled.
//!
//! Readable at any time from any thread, and consistent: each snapshot is taken under one lock.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::errors::KeyError;
use super::queue::{Depth, KeyState};
use super::shared::Shared;

/// A snapshot of one controller.
#[derive(Clone, Debug)]
pub struct Stats {
    /// The controller.
    pub name: Arc<str>,
    /// Whether it runs.
    pub phase: Phase,
    /// Its queue.
    pub depth: Depth,
    /// What it has done since it started.
    pub counters: Counters,
    /// The keys whose last run failed, oldest first; at most 64.
    pub errors: Vec<KeyError>,
}

/// Where a controller is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Collects triggers; waits to be run, or for its caches.
    Waiting,
    /// Reconciles.
    Started,
    /// Ended, or ending; drops triggers.
    Stopped,
}

/// What a controller has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Runs that ended, in any way.
    pub reconciles: u64,
    /// Of these: failed, to be retried.
    pub failures: u64,
    /// Of these: failed for good.
    pub terminal_failures: u64,
    /// Of these: panicked.
    pub panics: u64,
    /// Of these: exceeded the timeout.
    pub timeouts: u64,
}

/// How a run ended, as far as the counters are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Success,
    Failure,
    TerminalFailure,
    Panic,
    Timeout,
}

impl Counters {
    pub(super) fn count(&mut self, ending: Ending) {
        self.reconciles += 1;
        match ending {
            Ending::Success => {}
            Ending::Failure => self.failures += 1,
            Ending::TerminalFailure => self.terminal_failures += 1,
            Ending::Panic => self.panics += 1,
            Ending::Timeout => self.timeouts += 1,
        }
    }
}

/// A key with work at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The key, as its `Debug` shows it.
    pub key: String,
    /// Where it stands.
    pub state: KeyState,
    /// When it is looked at next, if it waits for that: held or backing off.
    pub due: Option<Instant>,
}

/// The controller stopped, so what was waited for will not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} has stopped")]
pub struct Stopped {
    /// Who stopped.
    pub name: Arc<str>,
}

/// Looks at one controller from outside, whatever its keys are. Cheap to clone.
#[derive(Clone)]
pub struct Observer(Arc<dyn Observe>);

impl Observer {
    pub(super) fn new<K>(shared: Arc<Shared<K>>) -> Self
    where
        K: Clone + Eq + Hash + Debug + Send + Sync + 'static,
    {
        Self(shared)
    }

    /// The controller's name.
    pub fn name(&self) -> Arc<str> {
        self.0.name()
    }

    /// A snapshot.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Up to `limit` keys with work at hand, in no order.
    pub fn pending(&self, limit: usize) -> Vec<Pending> {
        self.0.pending(limit)
    }

    /// True if the controller has started and no key is ready, running, held or backing off. A
    /// trigger that was sent before the call counts, and so does the first full pass.
    pub fn is_settled(&self) -> bool {
        self.0.settled_epoch().1
    }

    /// Waits until the controller [is settled](Self::is_settled), without polling. Returns its
    /// epoch, which moves when runs start: settled twice in one epoch is settled in between.
    pub async fn settled(&self) -> Result<u64, Stopped> {
        loop {
            // Made before the look, so that a ring between the look and the wait is not missed.
            let bell = self.0.settled_bell().notified();
            let (epoch, settled) = self.0.settled_epoch();
            if self.0.phase() == Phase::Stopped {
                return Err(Stopped { name: self.name() });
            }
            if settled {
                return Ok(epoch);
            }
            bell.await;
        }
    }

    /// The epoch if the controller is settled now.
    pub(super) fn settled_epoch(&self) -> Option<u64> {
        let (epoch, settled) = self.0.settled_epoch();
        settled.then_some(epoch)
    }
}

impl Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.name()).finish()
    }
}

/// [`Shared`] without its key type.
trait Observe: Send + Sync {
    fn name(&self) -> Arc<str>;
    fn stats(&self) -> Stats;
    fn pending(&self, limit: usize) -> Vec<Pending>;
    fn settled_epoch(&self) -> (u64, bool);
    fn settled_bell(&self) -> &Notify;
    fn phase(&self) -> Phase;
}

impl<K: Clone + Eq + Hash + Debug + Send + Sync> Observe for Shared<K> {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn stats(&self) -> Stats {
        self.stats()
    }

    fn pending(&self, limit: usize) -> Vec<Pending> {
        self.pending(limit)
    }

    fn settled_epoch(&self) -> (u64, bool) {
        self.settled_epoch()
    }

    fn settled_bell(&self) -> &Notify {
        &self.settled
    }

    fn phase(&self) -> Phase {
        self.phase()
    }
}
