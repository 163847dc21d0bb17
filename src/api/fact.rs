//! Facts: the newest event of each key, and since when it has been true without a gap.

use std::fmt;
use std::time::Duration;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::Time;
use super::event::{Event, feed, first16};
use super::stored_time;

/// Names one fact: the first half of the SHA-256 of (group, sourceNode, type, K).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FactId(pub [u8; 16]);

impl FactId {
    /// The fact that `event` speaks of.
    pub fn of(event: &Event) -> Self {
        Self::of_type(event, &event.r#type)
    }

    /// The fact that the event would speak of if it had another type.
    pub fn of_type(event: &Event, r#type: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [event.group.as_str(), event.source_node.as_str(), r#type] {
            feed(&mut hash, part);
        }
        feed(&mut hash, event.fact_name());
        Self(first16(&hash.finalize()))
    }

    /// The 16 hex digits that name the parts made from this fact.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

/// Bytes in the store, where each row has one; a list of numbers for people, as serde has arrays.
impl Serialize for FactId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for FactId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FactIdVisitor)
    }
}

/// Takes either form.
struct FactIdVisitor;

impl<'de> Visitor<'de> for FactIdVisitor {
    type Value = FactId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("16 bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<FactId, E> {
        bytes.try_into().map(FactId).map_err(|_| E::invalid_length(bytes.len(), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<FactId, A::Error> {
        let mut id = [0; 16];
        for (at, byte) in id.iter_mut().enumerate() {
            let next = seq.next_element()?;
            *byte = next.ok_or_else(|| de::Error::invalid_length(at, &FactIdVisitor))?;
        }
        Ok(FactId(id))
    }
}

impl fmt::Display for FactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for FactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// How many separate earlier stretches a fact remembers, so that events that arrive late and out
/// of order still give one answer to "since when". Beyond it the oldest is forgotten.
const MAX_STRETCHES: usize = 8;

/// A half-open time `[from, to)` in which the fact was live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stretch {
    /// When it began.
    #[serde(with = "stored_time")]
    pub from: Time,
    /// When it ended or will end.
    #[serde(with = "stored_time")]
    pub to: Time,
}

/// Which of two observations of one key is the fact: the later, then the larger id.
pub fn is_newer(a: (Time, &str), b: (Time, &str)) -> bool {
    a > b
}

/// When an observation ends: its own expiry, else the group's `maxAge` after it was observed.
pub fn end_of(observed_at: Time, expires_at: Option<Time>, max_age: Duration) -> Time {
    expires_at.unwrap_or_else(|| add(observed_at, max_age))
}

/// `time + duration`, held at the ends of the calendar.
pub fn add(time: Time, duration: Duration) -> Time {
    jiff::SignedDuration::try_from(duration)
        .ok()
        .and_then(|d| time.checked_add(d).ok())
        .unwrap_or(Time::MAX)
}

/// Puts one observation among the stretches (disjoint, ascending): those that it touches melt
/// into one. The outcome does not depend on the order in which observations arrive.
pub fn melt(stretches: &mut Vec<Stretch>, new: Stretch) {
    if new.to < new.from {
        return;
    }
    let mut merged = new;
    stretches.retain(|old| {
        let apart = old.to < merged.from || merged.to < old.from;
        if !apart {
            merged.from = merged.from.min(old.from);
            merged.to = merged.to.max(old.to);
        }
        apart
    });
    // Growing may have reached a neighbour that was checked before: they are ascending, so the
    // only one left to check is found by a second look.
    let at = stretches.partition_point(|old| old.from < merged.from);
    stretches.insert(at, merged);
    if stretches.len() > MAX_STRETCHES {
        stretches.remove(0);
    }
}

/// Since when the observation of `observed_at` has been live without a gap.
pub fn since(stretches: &[Stretch], observed_at: Time) -> Time {
    stretches
        .iter()
        .find(|s| s.from <= observed_at && observed_at <= s.to)
        .map_or(observed_at, |s| s.from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Time {
        Time::from_second(second).unwrap()
    }

    fn stretch((from, length): (i64, i64)) -> Stretch {
        Stretch { from: at(from), to: at(from + length) }
    }

    #[test]
    fn a_gap_begins_a_new_stretch_and_a_late_arrival_closes_it() {
        let mut stretches = Vec::new();
        melt(&mut stretches, stretch((0, 10)));
        melt(&mut stretches, stretch((20, 10)));
        assert_eq!(since(&stretches, at(20)), at(20));
        melt(&mut stretches, stretch((10, 10)));
        assert_eq!(since(&stretches, at(20)), at(0));
        assert_eq!(stretches.len(), 1);
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            mut list in prop::collection::vec((0i64..40, 0i64..6), 1..8),
            seed in any::<u64>(),
        ) {
            let mut one = Vec::new();
            list.iter().for_each(|&s| melt(&mut one, stretch(s)));
            let shift = usize::try_from(seed % list.len() as u64).unwrap();
            list.rotate_left(shift);
            if seed % 2 == 0 { list.reverse(); }
            let mut other = Vec::new();
            list.iter().for_each(|&s| melt(&mut other, stretch(s)));
            prop_assert_eq!(&one, &other);
            prop_assert!(one.windows(2).all(|w| w[0].to < w[1].from));
        }
    }

    #[test]
    fn an_id_is_bytes_in_the_store_and_a_list_for_people_and_is_read_from_either() {
        let id = FactId(std::array::from_fn(|at| u8::try_from(at * 16).unwrap()));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, serde_json::to_string(&id.0).unwrap());
        assert_eq!(serde_json::from_str::<FactId>(&json).unwrap(), id);
        let packed = rmp_serde::to_vec_named(&id).unwrap();
        assert_eq!(packed.len(), 18, "two bytes say that sixteen follow");
        assert_eq!(rmp_serde::from_slice::<FactId>(&packed).unwrap(), id);
        let list = rmp_serde::to_vec_named(&id.0).unwrap();
        assert_eq!(rmp_serde::from_slice::<FactId>(&list).unwrap(), id);
        assert!(serde_json::from_str::<FactId>("[1, 2]").is_err());
    }

    #[test]
    fn the_fact_key_tells_its_four_words_apart() {
        let base: Event = serde_json::from_value(serde_json::json!(
            {"id": "e", "group": "g", "type": "t", "sourceNode": "n", "subject": "s"}))
        .unwrap();
        let mut seen = vec![FactId::of(&base)];
        for change in [
            |e: &mut Event| e.group = "g2".into(),
            |e: &mut Event| e.r#type = "t2".into(),
            |e: &mut Event| e.source_node = "n2".into(),
            |e: &mut Event| e.subject = "s2".into(),
        ] {
            let mut other = base.clone();
            change(&mut other);
            seen.push(FactId::of(&other));
        }
        let mut again = base.clone();
        again.id = "e2".into();
        again.payload = [("k", "v")].into();
        assert_eq!(FactId::of(&again), seen[0]);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5);
    }
}
