//! The facts in memory: the newest event of each key, and who could retract it.
//!
//! Pure bookkeeping. It answers three questions at a cost that does not grow with the number of
//! facts: what is this fact, which facts have this type, and which others speak of the same thing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::api::Time;
use crate::api::event::Event;
use crate::api::fact::{FactId, Stretch, end_of, since};
use crate::store::tables::{EventRow, FactRow};

/// One fact: its newest event and when it has been live.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Its identity.
    pub id: FactId,
    /// Its newest event.
    pub event: Event,
    /// Where that event is stored.
    pub seq: u64,
    /// When that event was observed.
    pub observed_at: Time,
    /// When it has been live.
    pub stretches: Vec<Stretch>,
}

impl Fact {
    /// The fact of a stored row and its event.
    pub fn new(row: FactRow, event: EventRow) -> Self {
        Self {
            id: row.fact,
            observed_at: row.observed_at,
            seq: row.seq,
            event: event.event,
            stretches: row.stretches,
        }
    }

    /// When it stops being live.
    pub fn end(&self, max_age: Duration) -> Time {
        end_of(self.observed_at, self.event.expires_at, max_age)
    }

    /// Since when it has been live without a gap.
    pub fn since(&self) -> Time {
        since(&self.stretches, self.observed_at)
    }
}

/// What several facts may have in common: the group, the observer, and the subject or dedupeKey.
type Thing = [u8; 16];

fn things(event: &Event) -> impl Iterator<Item = Thing> {
    let of = |label: &str, word: &str| -> Option<Thing> {
        if word.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        for part in [label, &event.group, &event.source_node, word] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut thing = [0; 16];
        thing.copy_from_slice(&hash.finalize()[..16]);
        Some(thing)
    };
    [of("subject", &event.subject), of("dedupeKey", &event.dedupe_key)].into_iter().flatten()
}

/// All facts that matter now.
#[derive(Debug, Default)]
pub struct Facts {
    by_id: HashMap<FactId, Arc<Fact>>,
    by_type: HashMap<Arc<str>, HashMap<Arc<str>, HashSet<FactId>>>,
    by_thing: HashMap<Thing, Vec<FactId>>,
    by_end: HashMap<Arc<str>, BTreeSet<(Time, FactId)>>,
}

impl Facts {
    /// The fact, if it is known.
    pub fn get(&self, id: &FactId) -> Option<&Arc<Fact>> {
        self.by_id.get(id)
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Fact>> {
        self.by_id.values()
    }

    /// The facts of one type in one group.
    pub fn of_type(&self, group: &str, r#type: &str) -> impl Iterator<Item = FactId> {
        self.by_type.get(group).and_then(|types| types.get(r#type)).into_iter().flatten().copied()
    }

    /// Facts of one group that are live at `now`.
    pub fn live(&self, group: &str, now: Time) -> usize {
        // What has ended and is not yet swept is few: count those from the front.
        self.by_end
            .get(group)
            .map_or(0, |ends| ends.len() - ends.iter().take_while(|(end, _)| *end <= now).count())
    }

    /// Other facts of the same observer and the same subject or dedupeKey, of any type.
    pub fn siblings<'a>(&'a self, fact: &'a Fact) -> impl Iterator<Item = &'a Arc<Fact>> {
        things(&fact.event)
            .filter_map(|thing| self.by_thing.get(&thing))
            .flatten()
            .filter(|id| **id != fact.id)
            .filter_map(|id| self.by_id.get(id))
    }

    /// When the fact was retracted for a subscription with these `retractTypes`: by the earliest
    /// event that was not observed before it.
    pub fn retracted_at(&self, fact: &Fact, retract_types: &[String]) -> Option<Time> {
        if retract_types.is_empty() {
            return None;
        }
        self.siblings(fact)
            .filter(|other| other.observed_at >= fact.observed_at)
            .filter(|other| retract_types.contains(&other.event.r#type))
            .map(|other| other.observed_at)
            .min()
    }

    /// Puts a fact in the place of what was known of it.
    pub fn put(&mut self, fact: Arc<Fact>, max_age: Duration) {
        self.remove(&fact.id, max_age);
        let group: Arc<str> = self.intern(&fact.event.group);
        let types = self.by_type.entry(Arc::clone(&group)).or_default();
        match types.get_mut(fact.event.r#type.as_str()) {
            Some(ids) => _ = ids.insert(fact.id),
            None => _ = types.insert(fact.event.r#type.as_str().into(), HashSet::from([fact.id])),
        }
        for thing in things(&fact.event) {
            self.by_thing.entry(thing).or_default().push(fact.id);
        }
        self.by_end.entry(group).or_default().insert((fact.end(max_age), fact.id));
        self.by_id.insert(fact.id, fact);
    }

    /// Takes a fact out.
    pub fn remove(&mut self, id: &FactId, max_age: Duration) -> Option<Arc<Fact>> {
        let fact = self.by_id.remove(id)?;
        let group = fact.event.group.as_str();
        if let Some(types) = self.by_type.get_mut(group)
            && let Some(ids) = types.get_mut(fact.event.r#type.as_str())
        {
            ids.remove(id);
            if ids.is_empty() {
                types.remove(fact.event.r#type.as_str());
            }
        }
        for thing in things(&fact.event) {
            if let Some(ids) = self.by_thing.get_mut(&thing) {
                ids.retain(|other| other != id);
                if ids.is_empty() {
                    self.by_thing.remove(&thing);
                }
            }
        }
        if let Some(ends) = self.by_end.get_mut(group) {
            ends.remove(&(fact.end(max_age), *id));
        }
        Some(fact)
    }

    /// A group's `maxAge` changed: facts without an expiry of their own end at another time.
    pub fn set_max_age(&mut self, group: &str, max_age: Duration) {
        if let Some(ends) = self.by_end.get_mut(group) {
            *ends = ends
                .iter()
                .filter_map(|(_, id)| self.by_id.get(id))
                .map(|fact| (fact.end(max_age), fact.id))
                .collect();
        }
    }

    /// The ids of a group's facts that had ended by `now`, the earliest first.
    pub fn ended(&self, group: &str, now: Time) -> impl Iterator<Item = (Time, FactId)> {
        self.by_end
            .get(group)
            .into_iter()
            .flatten()
            .copied()
            .take_while(move |(end, _)| *end <= now)
    }

    /// When the next fact of the group ends after `now`.
    pub fn next_end(&self, group: &str, now: Time) -> Option<Time> {
        self.by_end.get(group)?.range((now, FactId([0xff; 16]))..).next().map(|(end, _)| *end)
    }

    fn intern(&self, group: &str) -> Arc<str> {
        self.by_end.get_key_value(group).map_or_else(|| group.into(), |(name, _)| Arc::clone(name))
    }
}

#[cfg(test)]
mod tests;
