//! What a controller's loop, its trigger senders and its observers share: one lock, two bells.
//!
//! There is no inbox in front of the queue. The queue is an inbox already: it merges triggers, is
//! bounded by the number of keys, and takes tens of nanoseconds. Because triggers go straight into
//! it, "is anything pending" is one question under one lock, and a trigger that was sent before the
//! question is part of the answer.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::errors::{Errors, KeyError};
use super::queue::{Outcome, Queue, Run, Trigger};
use super::stats::{Counters, Ending, Pending, Phase, Stats};

pub(super) struct Shared<K> {
    pub(super) name: Arc<str>,
    state: Mutex<State<K>>,
    /// Rings when a key became ready: for the loop.
    pub(super) work: Notify,
    /// Rings when nothing is pending any more, or the controller stopped: for those who wait.
    pub(super) settled: Notify,
}

struct State<K> {
    queue: Queue<K>,
    counters: Counters,
    errors: Errors<K>,
    /// Moves when runs start. Settled twice in one epoch is settled in between: a trigger that
    /// came meanwhile would still be pending, or have started a run.
    epoch: u64,
    phase: Phase,
}

/// One run that ended, with all that is worth telling of it.
pub(super) struct Finished<K> {
    pub(super) run: Run<K>,
    pub(super) outcome: Outcome,
    pub(super) ending: Ending,
    /// What went wrong, if anything did.
    pub(super) error: Option<String>,
}

impl<K: Clone + Eq + Hash + Debug> Shared<K> {
    pub(super) fn new(name: Arc<str>, queue: Queue<K>) -> Self {
        let state = State {
            queue,
            counters: Counters::default(),
            errors: Errors::new(),
            epoch: 0,
            phase: Phase::Waiting,
        };
        Self { name, state: Mutex::new(state), work: Notify::new(), settled: Notify::new() }
    }

    /// Triggers under one lock and rings once. Dropped when the controller has stopped.
    pub(super) fn trigger(&self, keys: impl IntoIterator<Item = K>, trigger: Trigger) {
        let mut woke = false;
        {
            let mut state = self.lock();
            if state.phase == Phase::Stopped {
                return;
            }
            for key in keys {
                woke |= state.queue.trigger(key, trigger);
            }
        }
        if woke {
            self.work.notify_one();
        }
    }

    /// Takes up to `limit` ready keys, and tells when to look again if no trigger comes first.
    pub(super) fn pop(
        &self,
        limit: usize,
        now: Instant,
        into: &mut Vec<Run<K>>,
    ) -> Option<Instant> {
        let mut state = self.lock();
        let popped = std::iter::from_fn(|| state.queue.pop(now)).take(limit);
        into.extend(popped);
        state.epoch += u64::from(!into.is_empty());
        state.queue.next_deadline()
    }

    /// Gives a run back and counts it. Returns how long the key waits, if it does.
    pub(super) fn finish(&self, finished: Finished<K>, now: Instant) -> Option<Duration> {
        let Finished { run, outcome, ending, error } = finished;
        let mut state = self.lock();
        state.counters.count(ending);
        match error {
            Some(message) => state.errors.record(&run.key, message, run.attempt, now),
            None => state.errors.clear(&run.key),
        }
        let waits = state.queue.done(run, outcome, now);
        let settled = state.queue.depth().pending() == 0;
        drop(state);
        if settled {
            self.settled.notify_waiters();
        }
        waits
    }

    /// From here on an empty queue means that there is nothing to do, and not that nobody looked.
    pub(super) fn start(&self) {
        self.enter(Phase::Started);
    }

    /// From here on triggers are dropped, and nobody waits for what will not happen.
    pub(super) fn stop(&self) {
        self.enter(Phase::Stopped);
    }

    fn enter(&self, phase: Phase) {
        self.lock().phase = phase;
        self.settled.notify_waiters();
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// The epoch, and whether nothing is pending in it.
    pub(super) fn settled_epoch(&self) -> (u64, bool) {
        let state = self.lock();
        let idle = state.queue.depth().pending() == 0;
        (state.epoch, idle && state.phase == Phase::Started)
    }

    pub(super) fn stats(&self) -> Stats {
        let state = self.lock();
        let (phase, depth, counters) = (state.phase, state.queue.depth(), state.counters);
        let errors = state.errors.snapshot();
        drop(state);
        // Keys are formatted outside of the lock: their Debug is not ours.
        let errors = errors.into_iter().map(KeyError::from).collect();
        Stats { name: Arc::clone(&self.name), phase, depth, counters, errors }
    }

    pub(super) fn pending(&self, limit: usize) -> Vec<Pending> {
        let state = self.lock();
        let pending = state.queue.pending().take(limit);
        let pending: Vec<_> = pending.map(|(key, state, due)| (key.clone(), state, due)).collect();
        drop(state);
        pending
            .into_iter()
            .map(|(key, state, due)| Pending { key: format!("{key:?}"), state, due })
            .collect()
    }

    /// A panic under the lock can only come from a key's own `Eq`, `Hash` or `Clone`, before
    /// anything was changed: the state is whole, and one bad caller must not stop all others.
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
