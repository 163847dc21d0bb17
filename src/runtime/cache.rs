//! What reconcilers read: a map that one writer keeps in step with its source.
//!
//! The writer tells which keys changed, so that what it does not change triggers nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

type Map<K, V> = HashMap<K, Arc<V>>;

/// An empty cache: the end that writes, and the end that reads.
pub fn cache<K, V>() -> (CacheWriter<K, V>, Cache<K, V>) {
    let map = Arc::new(RwLock::new(Map::new()));
    (CacheWriter(Cache { map: Arc::clone(&map) }), Cache { map })
}

/// Reads the current values. Cheap to clone.
#[derive(Debug)]
pub struct Cache<K, V> {
    map: Arc<RwLock<Map<K, V>>>,
}

/// Writes the values; there is one writer, so its view is the whole one.
#[derive(Debug)]
pub struct CacheWriter<K, V>(Cache<K, V>);

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    /// The value of `key` as of now.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        self.read(|map| map.get(key).cloned())
    }

    /// All keys, in no order.
    pub fn keys(&self) -> Vec<K> {
        self.read(|map| map.keys().cloned().collect())
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.read(HashMap::len)
    }

    /// True if there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // A writer that panicked did so between two whole changes: the map itself is sound.
    fn read<T>(&self, look: impl FnOnce(&Map<K, V>) -> T) -> T {
        look(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Map<K, V>) -> T) -> T {
        change(&mut self.map.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { map: Arc::clone(&self.map) }
    }
}

impl<K: Clone + Eq + Hash, V: PartialEq> CacheWriter<K, V> {
    /// Puts `value` at `key`, or removes it; true if that changed anything.
    pub fn set(&mut self, key: K, value: Option<V>) -> bool {
        self.0.write(|map| set(map, key, value))
    }

    /// Makes the cache hold exactly `values`. Returns the keys that were added, changed or removed.
    pub fn replace(&mut self, values: impl IntoIterator<Item = (K, V)>) -> Vec<K> {
        // Collected first: the source may be slow, and readers should not wait for it.
        let mut values: HashMap<K, V> = values.into_iter().collect();
        self.0.write(|map| {
            let gone = map.keys().filter(|key| !values.contains_key(*key)).cloned();
            let mut changed: Vec<K> = gone.collect();
            for key in &changed {
                map.remove(key);
            }
            for (key, value) in values.drain() {
                if set(map, key.clone(), Some(value)) {
                    changed.push(key);
                }
            }
            changed
        })
    }
}

fn set<K: Eq + Hash, V: PartialEq>(map: &mut Map<K, V>, key: K, value: Option<V>) -> bool {
    match value {
        None => map.remove(&key).is_some(),
        Some(value) if map.get(&key).is_some_and(|old| **old == value) => false,
        Some(value) => {
            map.insert(key, Arc::new(value));
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_what_is_already_there_is_no_change() {
        let (mut writer, cache) = cache();
        assert!(writer.set("hall", Some(20)));
        assert!(!writer.set("hall", Some(20)));
        assert!(writer.set("hall", Some(21)));
        assert_eq!(cache.get(&"hall").as_deref(), Some(&21));
        assert!(writer.set("hall", None));
        assert!(!writer.set("hall", None));
        assert!(cache.is_empty());
    }

    #[test]
    fn replacing_tells_what_was_added_changed_and_removed_and_nothing_else() {
        let (mut writer, cache) = cache();
        writer.replace([("same", 1), ("changed", 1), ("removed", 1)]);
        let mut changed = writer.replace([("same", 1), ("changed", 2), ("added", 1)]);
        changed.sort_unstable();
        assert_eq!(changed, ["added", "changed", "removed"]);
        let mut keys = cache.keys();
        keys.sort_unstable();
        assert_eq!(keys, ["added", "changed", "same"]);
    }
}
