//! The work queue: which key runs next, and when.
//!
//! A plain synchronous state machine. No async, no clock, no threads: time is an argument and jitter
//! has a seed, so every rule here is tested by calling functions. The [controller](super::Controller)
//! is the thin asynchronous shell around it.
//!
//! A key that is in the queue is in exactly one [`KeyState`]; a key that is not in the queue is
//! idle and costs nothing:
//!
//! ```text
//!            trigger             pop              done: await change
//!    idle ───────────▶ ready ───────────▶ running ───────────────────▶ idle
//!                        ▲                  │ done: requeue after, hold for
//!                        ├── delayed, held ◀┤   any trigger, or the deadline
//!                        ├── backing off ◀──┤   a spec trigger, or the deadline
//!                        └── parked ◀───────┘   a spec trigger only
//! ```
//!
//! A trigger during a run is remembered, whatever their number, as one more run.
//!
//! The queue has no limit of its own: it holds at most one entry per key, so its bound is the
//! number of distinct keys its domain has.

mod keyed;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

use self::keyed::{Keyed, NIL};
use super::backoff::{Backoff, Jitter};

/// Why a key should run. The kind decides what the trigger does to a key that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// Something the key depends on may have changed. It never shortens a backoff and never revives
    /// a parked key: a busy neighbour must not turn a failing key into a busy loop.
    Related,
    /// The key's own spec changed (or it was created or deleted, or an operator asked): what failed
    /// before may work now, so earlier failures are forgotten and the key runs at once.
    Spec,
}

/// How a run ended, as far as the queue is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Succeeded; idle until triggered.
    Done,
    /// Succeeded; run again after this long, without counting as pending.
    RequeueAfter(Duration),
    /// Succeeded; run again after this long, counting as pending.
    HoldFor(Duration),
    /// Failed; run again after a backoff.
    Retry,
    /// Failed for good; parked until a [`Trigger::Spec`].
    Terminal,
}

/// Where a key in the queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Waits for its turn.
    Ready,
    /// Runs.
    Running,
    /// Waits for work that is due later; the present is settled.
    Delayed,
    /// Waits on purpose with work at hand.
    Held,
    /// Waits after a failure.
    BackingOff,
    /// Failed for good; waits for its spec to change.
    Parked,
}

impl KeyState {
    /// True while there is work at hand: everything but delayed and parked.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Ready | Self::Running | Self::Held | Self::BackingOff)
    }
}

/// How many keys are in each [`KeyState`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Keys that wait for their turn.
    pub ready: usize,
    /// Keys that run.
    pub running: usize,
    /// Keys that wait for work that is due later.
    pub delayed: usize,
    /// Keys that wait on purpose with work at hand.
    pub held: usize,
    /// Keys that wait after a failure.
    pub backing_off: usize,
    /// Keys that failed for good.
    pub parked: usize,
}

impl Depth {
    /// Keys with work at hand; zero means settled.
    pub const fn pending(&self) -> usize {
        self.ready + self.running + self.held + self.backing_off
    }

    /// All keys in the queue.
    pub const fn total(&self) -> usize {
        self.pending() + self.delayed + self.parked
    }

    fn count(&mut self, state: KeyState) -> &mut usize {
        match state {
            KeyState::Ready => &mut self.ready,
            KeyState::Running => &mut self.running,
            KeyState::Delayed => &mut self.delayed,
            KeyState::Held => &mut self.held,
            KeyState::BackingOff => &mut self.backing_off,
            KeyState::Parked => &mut self.parked,
        }
    }
}

/// A key taken from the queue, to be given back with [`Queue::done`]. Until then the key does not
/// run again.
#[derive(Debug)]
#[must_use = "a key runs again only after its run is given back"]
pub struct Run<K> {
    /// What to reconcile.
    pub key: K,
    /// Counts the runs since the last success or spec change, from 1.
    pub attempt: u32,
    slot: u32,
}

/// The work queue of one controller. See the [module](self).
pub struct Queue<K> {
    entries: Keyed<K, Entry>,
    // First and last of the ready, linked through their entries.
    head: u32,
    tail: u32,
    // One element per entry that waits for a deadline, so an earlier trigger leaves nothing behind.
    // Ties go by slot.
    timers: BTreeSet<(u64, u32)>,
    depth: Depth,
    backoff: Backoff,
    jitter: Jitter,
    origin: Instant,
}

/// Sixteen bytes, beside the key and its hash: this is what a waiting key costs.
struct Entry {
    // Nanoseconds since the queue's origin; meaningful while delayed, held or backing off.
    at: u64,
    // The next ready slot; meaningful while ready.
    next: u32,
    failures: u16,
    state: KeyState,
    // The strongest trigger since the run began; meaningful while running.
    again: Option<Trigger>,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// An empty queue. No deadline is earlier than `origin`; `seed` fixes the jitter.
    pub fn new(backoff: Backoff, seed: u64, origin: Instant) -> Self {
        Self {
            entries: Keyed::new(),
            head: NIL,
            tail: NIL,
            timers: BTreeSet::new(),
            depth: Depth::default(),
            backoff,
            jitter: Jitter::seeded(seed),
            origin,
        }
    }

    /// Asks for a run of `key`; true if that made the key ready.
    pub fn trigger(&mut self, key: K, trigger: Trigger) -> bool {
        let idle = Entry { at: 0, next: NIL, failures: 0, state: KeyState::Ready, again: None };
        let (slot, new) = self.entries.find_or_insert(key, idle);
        if new {
            self.depth.ready += 1;
            self.link(slot);
            return true;
        }
        self.merge(slot, trigger)
    }

    /// Takes the key that has been ready the longest, among those ready at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Run<K>> {
        self.promote(now);
        let slot = self.unlink()?;
        self.enter(slot, KeyState::Running);
        let entry = &mut self.entries[slot];
        entry.again = None;
        let attempt = u32::from(entry.failures) + 1;
        Some(Run { key: self.entries.key(slot).clone(), attempt, slot })
    }

    /// Gives a run back. Returns how long the key now waits, if it waits for a deadline.
    #[expect(clippy::needless_pass_by_value, reason = "a run that was given back is gone")]
    pub fn done(&mut self, run: Run<K>, outcome: Outcome, now: Instant) -> Option<Duration> {
        let slot = run.slot;
        let entry = &mut self.entries[slot];
        debug_assert_eq!(entry.state, KeyState::Running, "a run is given back once");
        match (outcome, entry.again) {
            // The spec that was tried is gone, and its verdict with it.
            (_, Some(Trigger::Spec)) => self.make_ready_afresh(slot),
            (Outcome::Retry, _) => {
                entry.failures = entry.failures.saturating_add(1);
                let delay = self.backoff.delay(entry.failures, &mut self.jitter);
                return Some(self.wait(slot, KeyState::BackingOff, delay, now));
            }
            (Outcome::Terminal, _) => self.enter(slot, KeyState::Parked),
            (_, Some(Trigger::Related)) => self.make_ready_afresh(slot),
            (Outcome::Done, None) => {
                self.depth.running -= 1;
                self.entries.remove(slot);
            }
            (Outcome::RequeueAfter(delay), None) => {
                entry.failures = 0;
                return Some(self.wait(slot, KeyState::Delayed, delay, now));
            }
            (Outcome::HoldFor(delay), None) => {
                entry.failures = 0;
                return Some(self.wait(slot, KeyState::Held, delay, now));
            }
        }
        None
    }

    /// When the next waiting key becomes ready. Earlier than now means: pop.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (at, _) = self.timers.first()?;
        Some(self.origin + Duration::from_nanos(*at))
    }

    /// How many keys are in each state.
    pub const fn depth(&self) -> Depth {
        self.depth
    }

    /// How many keys are in the queue, in any state.
    pub const fn len(&self) -> usize {
        self.depth.total()
    }

    /// True if every key is idle.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys in the queue and where they stand, in no order.
    pub fn keys(&self) -> impl Iterator<Item = (&K, KeyState)> {
        self.entries.iter().map(|(key, entry)| (key, entry.state))
    }

    /// The keys with work at hand, where they stand, and until when they wait, in no order.
    pub fn pending(&self) -> impl Iterator<Item = (&K, KeyState, Option<Instant>)> {
        let due = |entry: &Entry| match entry.state {
            KeyState::Held | KeyState::BackingOff => {
                Some(self.origin + Duration::from_nanos(entry.at))
            }
            _ => None,
        };
        self.entries
            .iter()
            .filter(|(_, entry)| entry.state.is_pending())
            .map(move |(key, entry)| (key, entry.state, due(entry)))
    }

    /// What a trigger does to a key that is already in.
    fn merge(&mut self, slot: u32, trigger: Trigger) -> bool {
        let entry = &mut self.entries[slot];
        match entry.state {
            KeyState::Running => {
                entry.again = entry.again.max(Some(trigger));
                false
            }
            KeyState::Ready => {
                if trigger == Trigger::Spec {
                    entry.failures = 0;
                }
                false
            }
            KeyState::BackingOff | KeyState::Parked if trigger == Trigger::Related => false,
            KeyState::Delayed | KeyState::Held | KeyState::BackingOff => {
                let at = entry.at;
                self.timers.remove(&(at, slot));
                self.make_ready_afresh(slot);
                true
            }
            KeyState::Parked => {
                self.make_ready_afresh(slot);
                true
            }
        }
    }

    /// Makes every key ready whose deadline has come, the earliest first.
    fn promote(&mut self, now: Instant) {
        // Most pops find no timer at all; they should not pay for reading the time.
        if self.timers.is_empty() {
            return;
        }
        let now = self.nanos(now);
        while let Some(&(at, slot)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            self.make_ready(slot);
        }
    }

    /// Makes a key ready that has no failures to remember.
    fn make_ready_afresh(&mut self, slot: u32) {
        self.entries[slot].failures = 0;
        self.make_ready(slot);
    }

    fn make_ready(&mut self, slot: u32) {
        self.enter(slot, KeyState::Ready);
        self.link(slot);
    }

    /// Makes a key wait; the deadline saturates some 500 years after the origin.
    fn wait(&mut self, slot: u32, state: KeyState, delay: Duration, now: Instant) -> Duration {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let at = self.nanos(now).saturating_add(nanos);
        self.entries[slot].at = at;
        self.timers.insert((at, slot));
        self.enter(slot, state);
        delay
    }

    fn enter(&mut self, slot: u32, state: KeyState) {
        let old = std::mem::replace(&mut self.entries[slot].state, state);
        *self.depth.count(old) -= 1;
        *self.depth.count(state) += 1;
    }

    /// Puts a slot at the end of the ready.
    fn link(&mut self, slot: u32) {
        self.entries[slot].next = NIL;
        match std::mem::replace(&mut self.tail, slot) {
            NIL => self.head = slot,
            last => self.entries[last].next = slot,
        }
    }

    /// Takes the first of the ready.
    fn unlink(&mut self) -> Option<u32> {
        if self.head == NIL {
            return None;
        }
        let slot = self.head;
        self.head = self.entries[slot].next;
        if self.head == NIL {
            self.tail = NIL;
        }
        Some(slot)
    }

    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
