//! The way into a controller: whoever sees a change names the keys that may be affected.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;

use super::queue::Trigger;
use super::shared::Shared;

/// How many keys enter under one lock: a large batch must not hold up other senders.
const BATCH: usize = 256;

/// Triggers the keys of one controller. Cheap to clone, usable from any thread.
///
/// Sending never waits and never loses a key: triggers of a key that already waits merge with it,
/// so what is held is bounded by the number of keys. Once the controller has stopped, triggers are
/// dropped: the next process starts from the state.
///
/// Change the state first, then trigger. A trigger that comes before its change may be used up
/// before the change is there to be seen.
pub struct TriggerSender<K> {
    shared: Arc<Shared<K>>,
}

impl<K: Clone + Eq + Hash + Debug> TriggerSender<K> {
    pub(super) fn new(shared: Arc<Shared<K>>) -> Self {
        Self { shared }
    }

    /// Something that `key` depends on may have changed.
    pub fn related(&self, key: K) {
        self.trigger(key, Trigger::Related);
    }

    /// The spec of `key` itself changed, appeared or disappeared.
    pub fn spec(&self, key: K) {
        self.trigger(key, Trigger::Spec);
    }

    /// Triggers one key.
    pub fn trigger(&self, key: K, trigger: Trigger) {
        self.shared.trigger([key], trigger);
    }

    /// Triggers many keys, in order, with one wake-up per few hundred of them.
    pub fn extend(&self, keys: impl IntoIterator<Item = K>, trigger: Trigger) {
        let mut keys = keys.into_iter();
        let mut batch = Vec::new();
        loop {
            // Collected before the lock is taken: the iterator may be slow, or trigger as well.
            batch.extend(keys.by_ref().take(BATCH));
            if batch.is_empty() {
                return;
            }
            self.shared.trigger(batch.drain(..), trigger);
        }
    }
}

impl<K> Clone for TriggerSender<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> Debug for TriggerSender<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TriggerSender").field(&self.shared.name).finish()
    }
}
