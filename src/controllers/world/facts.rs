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
    /// The place of that event in the order of receipt.
    pub seq: u64,
    /// When that event was observed.
    pub observed_at: Time,
    /// When it has been live.
    pub stretches: Vec<Stretch>,
    /// The end of its newest event that this node has seen pass.
    pub ended: Option<Time>,
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
            ended: row.ended,
        }
    }

    /// When it stops being live.
    pub fn end(&self, max_age: Duration) -> Time {
        end_of(self.observed_at, self.event.expires_at, max_age)
    }

    /// Whether this node has it on record that it ended, whatever the clock says now.
    pub fn is_ended(&self, max_age: Duration) -> bool {
        self.ended.is_some_and(|seen| self.end(max_age) <= seen)
    }

    /// Since when it has been live without a gap.
    pub fn since(&self) -> Time {
        since(&self.stretches, self.observed_at)
    }
}

/// What several facts may have in common: the group, the observer, and the subject or dedupeKey.
type Thing = [u8; 16];

fn things(event: &Event) -> impl Iterator<Item = Thing> {
    [by_subject(event), by_dedupe_key(event)].into_iter().flatten()
}

fn by_subject(event: &Event) -> Option<Thing> {
    thing(event, "subject", &event.subject)
}

fn by_dedupe_key(event: &Event) -> Option<Thing> {
    thing(event, "dedupeKey", &event.dedupe_key)
}

fn thing(event: &Event, label: &str, word: &str) -> Option<Thing> {
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
}

/// One of the facts that speak of a thing. Sorted by type, then by time: who retracts a fact is the
/// next one of its type, however many there are. A sorted vector, for nearly every thing has one.
type Mention = (Arc<str>, Time, FactId);

/// All facts that matter now.
#[derive(Debug, Default)]
pub struct Facts {
    by_id: HashMap<FactId, Arc<Fact>>,
    by_type: HashMap<Arc<str>, HashMap<Arc<str>, HashSet<FactId>>>,
    by_thing: HashMap<Thing, Vec<Mention>>,
    /// Those whose end is not on record, by their end.
    by_end: HashMap<Arc<str>, BTreeSet<(Time, FactId)>>,
    /// How many those are of each type.
    unended: HashMap<Arc<str>, HashMap<Arc<str>, usize>>,
    /// Those whose end is on record.
    ended: HashMap<Arc<str>, HashSet<FactId>>,
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
        // What has ended and is not yet on record is few: count those from the front.
        self.by_end
            .get(group)
            .map_or(0, |ends| ends.len() - ends.iter().take_while(|(end, _)| *end <= now).count())
    }

    /// Facts of one group whose end is not on record.
    pub fn unended(&self, group: &str) -> usize {
        self.by_end.get(group).map_or(0, BTreeSet::len)
    }

    /// Facts of one type in one group whose end is not on record.
    pub fn unended_of_type(&self, group: &str, r#type: &str) -> usize {
        self.unended.get(group).and_then(|types| types.get(r#type)).copied().unwrap_or(0)
    }

    /// Facts of the observer of this event about its subject or dedupeKey, of any type.
    pub fn about<'a>(&'a self, event: &Event) -> impl Iterator<Item = &'a Arc<Fact>> + use<'a> {
        let things: Vec<Thing> = things(event).collect();
        things
            .into_iter()
            .filter_map(|thing| self.by_thing.get(&thing))
            .flatten()
            .filter_map(|(.., id)| self.by_id.get(id))
    }

    /// Whether the observer of this event has a fact of a type that passes about what names this one:
    /// its dedupeKey, or without one its subject. So of each known thing there is one such event of
    /// each type, however many claim to be about it.
    pub fn is_about(&self, event: &Event, mut passes: impl FnMut(&str) -> bool) -> bool {
        let named_by_key = event.fact_name() == event.dedupe_key;
        let thing = if named_by_key { by_dedupe_key(event) } else { by_subject(event) };
        thing.and_then(|thing| self.by_thing.get(&thing)).is_some_and(|mentions| {
            let mut rest = &mentions[..];
            while let Some((r#type, ..)) = rest.first() {
                if passes(r#type) {
                    return true;
                }
                rest = &rest[rest.partition_point(|(other, ..)| other == r#type)..];
            }
            false
        })
    }

    /// Other facts of the same observer and the same subject or dedupeKey, of any type.
    pub fn siblings<'a>(&'a self, fact: &'a Fact) -> impl Iterator<Item = &'a Arc<Fact>> {
        self.about(&fact.event).filter(|other| other.id != fact.id)
    }

    /// Those of one type among the siblings of a fact.
    pub fn siblings_of_type<'a>(
        &'a self,
        fact: &'a Fact,
        r#type: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Fact>> {
        let mentions = things(&fact.event).filter_map(|thing| self.by_thing.get(&thing));
        let own = mentions.flat_map(move |mentions| {
            let first = mentions.partition_point(|(other, ..)| **other < *r#type);
            mentions[first..].iter().take_while(move |(other, ..)| **other == *r#type)
        });
        own.filter(|(.., id)| *id != fact.id).filter_map(|(.., id)| self.by_id.get(id))
    }

    /// When the fact was retracted for a subscription with these `retractTypes`: by the earliest
    /// event that was not observed before it.
    pub fn retracted_at(&self, fact: &Fact, retract_types: &[String]) -> Option<Time> {
        self.retractions(fact, retract_types).map(|(at, _)| at).min()
    }

    /// For each of these types and each thing the fact speaks of, the earliest other fact that was not
    /// observed before it.
    fn retractions<'a>(
        &'a self,
        fact: &'a Fact,
        retract_types: &'a [String],
    ) -> impl Iterator<Item = (Time, FactId)> + 'a {
        let things = (!retract_types.is_empty()).then(|| things(&fact.event)).into_iter().flatten();
        let mentions = things.filter_map(|thing| self.by_thing.get(&thing));
        mentions.flat_map(move |mentions| {
            retract_types.iter().filter_map(move |r#type| {
                let before =
                    |(of, at, _): &Mention| (&**of, *at) < (r#type.as_str(), fact.observed_at);
                let rest = &mentions[mentions.partition_point(before)..];
                let own = rest.iter().take_while(|(of, ..)| **of == **r#type);
                own.map(|(_, at, id)| (*at, *id)).find(|(_, id)| *id != fact.id)
            })
        })
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
        let r#type = self.type_of(&fact);
        for thing in things(&fact.event) {
            let mention = (Arc::clone(&r#type), fact.observed_at, fact.id);
            match self.by_thing.get_mut(&thing) {
                None => _ = self.by_thing.insert(thing, Vec::from([mention])),
                Some(mentions) => {
                    let at = mentions.partition_point(|other| *other < mention);
                    mentions.insert(at, mention);
                }
            }
        }
        self.file_by_end(&group, &fact, max_age);
        self.by_id.insert(fact.id, fact);
    }

    fn file_by_end(&mut self, group: &Arc<str>, fact: &Fact, max_age: Duration) {
        if fact.is_ended(max_age) {
            self.ended.entry(Arc::clone(group)).or_default().insert(fact.id);
            return;
        }
        self.by_end.entry(Arc::clone(group)).or_default().insert((fact.end(max_age), fact.id));
        let types = self.unended.entry(Arc::clone(group)).or_default();
        match types.get_mut(fact.event.r#type.as_str()) {
            Some(count) => *count += 1,
            None => _ = types.insert(fact.event.r#type.as_str().into(), 1),
        }
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
            if let Some(mentions) = self.by_thing.get_mut(&thing) {
                let own = (fact.event.r#type.as_str(), fact.observed_at, *id);
                if let Ok(at) =
                    mentions.binary_search_by(|(r#type, at, id)| (&**r#type, *at, *id).cmp(&own))
                {
                    mentions.remove(at);
                }
                if mentions.is_empty() {
                    self.by_thing.remove(&thing);
                }
            }
        }
        if let Some(ends) = self.by_end.get_mut(group)
            && ends.remove(&(fact.end(max_age), *id))
            && let Some(types) = self.unended.get_mut(group)
            && let Some(count) = types.get_mut(fact.event.r#type.as_str())
        {
            *count -= 1;
            if *count == 0 {
                types.remove(fact.event.r#type.as_str());
            }
        }
        if let Some(ended) = self.ended.get_mut(group) {
            ended.remove(id);
        }
        Some(fact)
    }

    /// A group's `maxAge` changed: facts without an expiry of their own end at another time.
    pub fn set_max_age(&mut self, group: &str, max_age: Duration) {
        let name = self.intern(group);
        let ends = self.by_end.remove(group).unwrap_or_default();
        let ended = self.ended.remove(group).unwrap_or_default();
        self.unended.remove(group);
        for id in ends.into_iter().map(|(_, id)| id).chain(ended) {
            let Some(fact) = self.by_id.get(&id).cloned() else { continue };
            self.file_by_end(&name, &fact, max_age);
        }
    }

    /// The ids of a group's facts that had ended by `now` and whose end is not on record, the
    /// earliest first.
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

    /// The type's name, shared by all facts of it.
    fn type_of(&self, fact: &Fact) -> Arc<str> {
        let r#type = fact.event.r#type.as_str();
        let known = self
            .by_type
            .get(fact.event.group.as_str())
            .and_then(|types| types.get_key_value(r#type));
        known.map_or_else(|| r#type.into(), |(name, _)| Arc::clone(name))
    }

    fn intern(&self, group: &str) -> Arc<str> {
        self.by_end.get_key_value(group).map_or_else(|| group.into(), |(name, _)| Arc::clone(name))
    }
}

#[cfg(test)]
mod tests;
