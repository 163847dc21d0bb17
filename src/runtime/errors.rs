//! The last errors of failing keys: few, short, and gone with the next success.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use tokio::time::Instant;

/// How many failing keys a controller remembers the error of; the oldest makes room.
const REMEMBERED_ERRORS: usize = 64;

/// How much of an error's text is remembered, in bytes.
const REMEMBERED_TEXT: usize = 1024;

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
