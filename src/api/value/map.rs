//! An ordered mapping of text to values.
//!
//! A vector of pairs: manifests' mappings are small, their order is the operator's, and a scan of
//! a dozen keys beats a hash.

use super::Value;
use crate::api::yaml::Scalar;

/// A mapping in the order it was written. Keys are unique by their text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map(Vec<(Scalar, Value)>);

impl Map {
    /// An empty mapping.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty mapping with room for `capacity` entries.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Gives back room that no entry takes: values are kept for long.
    pub fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own.text() == key).map(|(_, value)| value)
    }

    /// The value of `key`.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(own, _)| own.text() == key).map(|(_, value)| value)
    }

    /// Sets the value of `key` in its place, or at the end if it is new; gives the old value.
    pub fn insert(&mut self, key: impl Into<Box<str>>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        if let Some(old) = self.get_mut(&key) {
            return Some(std::mem::replace(old, value));
        }
        self.0.push((Scalar::string(key), value));
        None
    }

    /// Takes the entry of `key` out; the order of the others stays.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(own, _)| own.text() == key)?;
        Some(self.0.remove(at).1)
    }

    /// The entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.text(), value))
    }

    /// The entries with their keys as written.
    pub(in crate::api) fn entries(&self) -> &[(Scalar, Value)] {
        &self.0
    }

    /// Adds an entry whose key is known to be new.
    pub(super) fn push(&mut self, key: Scalar, value: Value) {
        self.0.push((key, value));
    }
}

impl<K: Into<Box<str>>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}
