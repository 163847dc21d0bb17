//! The payload of an event: a few texts by key, kept small.
//!
//! A node holds the newest event of every live fact in memory. For the usual handful of short texts
//! a tree map takes some 900 bytes, most of them room and the allocator's; one text and where its
//! pieces end take a fourth of that, and are copied in two pieces.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Texts by key, sorted, each key once. Made whole and read; 4 GiB at most.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload {
    /// Key, text, key, text, ….
    words: Box<str>,
    /// Where each of them ends.
    ends: Box<[u32]>,
}

impl Payload {
    /// The text of this key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            match self.word(2 * middle).cmp(key) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Some(self.word(2 * middle + 1)),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// Whether there is a text of this key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Keys and texts, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.len()).map(|at| (self.word(2 * at), self.word(2 * at + 1)))
    }

    /// The same with another text of one key.
    #[must_use]
    pub fn with(&self, key: &str, text: &str) -> Self {
        self.iter().chain([(key, text)]).collect()
    }

    fn word(&self, at: usize) -> &str {
        let end = |at: usize| self.ends[at] as usize;
        &self.words[at.checked_sub(1).map_or(0, end)..end(at)]
    }

    /// Of sorted entries, each key once.
    fn pack<K: AsRef<str>, V: AsRef<str>>(entries: &[(K, V)]) -> Self {
        let words = || entries.iter().flat_map(|(key, text)| [key.as_ref(), text.as_ref()]);
        let mut all = String::with_capacity(words().map(str::len).sum());
        let mut ends = Vec::with_capacity(2 * entries.len());
        for word in words() {
            all.push_str(word);
            ends.push(u32::try_from(all.len()).expect("limits of input are far below 4 GiB"));
        }
        Self { words: all.into_boxed_str(), ends: ends.into_boxed_slice() }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Of several texts of one key the last counts, as in every map.
impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Payload {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        entries.reverse();
        entries.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        entries.dedup_by(|earlier, last| earlier.0.as_ref() == last.0.as_ref());
        Self::pack(&entries)
    }
}

impl<K: AsRef<str>, V: AsRef<str>, const N: usize> From<[(K, V); N]> for Payload {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Refuses a key that is there twice: whoever wrote it meant both, and one would be lost.
impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PayloadVisitor)
    }
}

struct PayloadVisitor;

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload, A::Error> {
        let mut entries: Vec<(String, String)> = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        entries.sort_unstable();
        match entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(A::Error::custom(format_args!("duplicate key {:?}", pair[0].0))),
            None => Ok(Payload::pack(&entries)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_a_tree_map_would_be(
            entries in proptest::collection::vec(("[a-e]{0,2}", "[a-z]{0,3}"), 0..8),
            asked in "[a-e]{0,2}",
        ) {
            let payload: Payload = entries.iter().cloned().collect();
            let one_by_one = entries.iter().fold(Payload::default(), |p, (k, v)| p.with(k, v));
            let map: BTreeMap<String, String> = entries.into_iter().collect();
            prop_assert_eq!(&payload, &one_by_one);
            prop_assert_eq!(payload.get(&asked), map.get(&asked).map(String::as_str));
            prop_assert_eq!(payload.contains_key(&asked), map.contains_key(&asked));
            prop_assert_eq!((payload.len(), payload.is_empty()), (map.len(), map.is_empty()));
            let json = serde_json::to_string(&payload).expect("it encodes");
            prop_assert_eq!(&json, &serde_json::to_string(&map).expect("it encodes"));
            let read: Payload = serde_json::from_str(&json).expect("it decodes");
            prop_assert_eq!(&read, &payload);
            let packed = rmp_serde::to_vec_named(&payload).expect("it encodes");
            prop_assert_eq!(&packed, &rmp_serde::to_vec_named(&map).expect("it encodes"));
            prop_assert_eq!(rmp_serde::from_slice::<Payload>(&packed).expect("it decodes"), payload);
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_by_name() {
        let error = serde_json::from_str::<Payload>(r#"{"a": "1", "b": "2", "a": "3"}"#);
        assert!(
            error.expect_err("two texts of one key").to_string().contains("duplicate key \"a\"")
        );
    }
}
