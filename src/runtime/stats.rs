//! What a controller tells about itself: counters, depths, errors, and whether it is settled.
//!
//! Readable at any time from any thread, and consistent: each snapshot is taken under one lock.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::queue::{Depth, KeyState};
use super::shared::Shared;

/// How many failing keys a controller remembers the error of; the oldest makes room.
const REMEMBERED_ERRORS: usize = 64;

/// How much of an error's text is remembered, in bytes.
const REMEMBERED_TEXT: usize = 1024;

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

/// The last error of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError {
    /// The key, as its `Debug` shows it.
    pub key: String,
    /// The error and its sources; at most 1 KiB.
    pub message: String,
    /// Which attempt in a row failed, from 1.
    pub attempt: u32,
    /// When it failed.
    pub at: Instant,
}

/// A key with work at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The key, as its `Debug` shows it.
    pub key: String,
    /// Where it stands.
    pub state: KeyState,
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
    /// epoch, which moves with everything that could unsettle it.
    pub async fn settled(&self) -> Result<u64, Stopped> {
        loop {
            // Enabled before the look, so a bell between the look and the wait is not missed.
            let mut bell = std::pin::pin!(self.0.settled_bell().notified());
            bell.as_mut().enable();
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

/// The errors of the keys whose last run failed, oldest first. Short enough to be searched.
pub(super) struct Errors<K>(VecDeque<RememberedError<K>>);

#[derive(Clone)]
pub(super) struct RememberedError<K> {
    key: K,
    message: Arc<str>,
    attempt: u32,
    at: Instant,
}

impl<K: Clone + Eq> Errors<K> {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(super) fn record(&mut self, key: &K, mut message: String, attempt: u32, at: Instant) {
        self.clear(key);
        if self.0.len() == REMEMBERED_ERRORS {
            self.0.pop_front();
        }
        cut(&mut message);
        self.0.push_back(RememberedError {
            key: key.clone(),
            message: message.into(),
            attempt,
            at,
        });
    }

    pub(super) fn clear(&mut self, key: &K) {
        if let Some(old) = self.0.iter().position(|error| error.key == *key) {
            self.0.remove(old);
        }
    }

    pub(super) fn snapshot(&self) -> Vec<RememberedError<K>> {
        self.0.iter().cloned().collect()
    }
}

/// Cuts a text to what is remembered, between two characters.
fn cut(text: &mut String) {
    let end = (0..=REMEMBERED_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    if text.len() > REMEMBERED_TEXT {
        text.truncate(end);
    }
}

impl<K: Debug> From<RememberedError<K>> for KeyError {
    fn from(error: RememberedError<K>) -> Self {
        let RememberedError { key, message, attempt, at } = error;
        Self { key: format!("{key:?}"), message: message.to_string(), attempt, at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(keys: impl IntoIterator<Item = u32>) -> Errors<u32> {
        let mut errors = Errors::new();
        for key in keys {
            errors.record(&key, format!("error of {key}"), 1, Instant::now());
        }
        errors
    }

    fn keys(errors: &Errors<u32>) -> Vec<u32> {
        errors.snapshot().into_iter().map(|error| error.key).collect()
    }

    #[test]
    fn the_oldest_error_makes_room_for_the_newest() {
        let errors = recorded(0..100);
        assert_eq!(keys(&errors), (36..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_key_has_one_error_its_last() {
        let mut errors = recorded([1, 2]);
        errors.record(&1, "again".to_owned(), 2, Instant::now());
        assert_eq!(keys(&errors), [2, 1]);
        let last = KeyError::from(errors.snapshot().remove(1));
        assert_eq!((last.message.as_str(), last.attempt), ("again", 2));
    }

    #[test]
    fn a_success_clears_the_error() {
        let mut errors = recorded([1, 2]);
        errors.clear(&1);
        assert_eq!(keys(&errors), [2]);
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let mut errors = Errors::new();
        errors.record(&1, "ü".repeat(REMEMBERED_TEXT), 1, Instant::now());
        errors.record(&2, format!("x{}", "ü".repeat(REMEMBERED_TEXT)), 1, Instant::now());
        let lengths: Vec<_> = errors.snapshot().iter().map(|error| error.message.len()).collect();
        assert_eq!(lengths, [REMEMBERED_TEXT, REMEMBERED_TEXT - 1]);
    }
}
