//! The order in which events were received, in pages: an event is kept under its id, and costs a part
//! of a row more to be found by its place.
//!
//! Pruning walks it from the oldest end, listings from the newest.

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::tables::{ORDER, TALLIES};
use super::{Record, Scan, Store, StoreError, Table, Txn};

/// Events of a page. It is written anew with each event that it gets: a longer one would cost more than
/// the rows that it saves.
const PAGE: usize = 32;

/// Events that were received one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderPage {
    /// The group.
    pub group: String,
    /// The place of its first event when it was full.
    pub first: u64,
    /// Place and id of each, in order.
    pub events: Places,
}

/// Places and ids, one behind the other: a page is read and written with each event that it gets, so
/// that must cost next to nothing. `place u64 | length of the id u16 | id`, integers big-endian.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(Vec<u8>);

impl Places {
    /// Each place and id, in order. What is cut off, which a checksum rules out, is left out.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &str)> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (place, after) = rest.split_first_chunk()?;
            let (length, after) = after.split_first_chunk()?;
            let (id, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = after;
            Some((u64::from_be_bytes(*place), std::str::from_utf8(id).ok()?))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, place: u64, id: &str) {
        let length = u16::try_from(id.len()).expect("ids are at most 256 bytes");
        self.0.extend(place.to_be_bytes());
        self.0.extend(length.to_be_bytes());
        self.0.extend_from_slice(id.as_bytes());
    }

    /// Takes out those of these sorted places that are here; says how many.
    fn remove(&mut self, places: &[u64]) -> u64 {
        let (mut left, mut removed) = (Self::default(), 0);
        for (place, id) in self.iter() {
            if places.binary_search(&place).is_ok() {
                removed += 1;
            } else {
                left.push(place, id);
            }
        }
        if removed > 0 {
            *self = left;
        }
        removed
    }
}

impl Serialize for Places {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(PlacesVisitor)
    }
}

struct PlacesVisitor;

impl Visitor<'_> for PlacesVisitor {
    type Value = Places;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Places, E> {
        Ok(Places(bytes.to_vec()))
    }

    fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Places, E> {
        Ok(Places(bytes))
    }
}

impl Record for OrderPage {
    const TABLE: Table = ORDER;
    type Key = (String, u64);

    fn key(&self) -> Self::Key {
        (self.group.clone(), self.first)
    }
}

/// How many events are stored of a group, and the page that is being filled: it is with the number,
/// for both change with each event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// The group.
    pub group: String,
    /// Its events.
    pub events: u64,
    /// The last of them.
    pub last: Places,
}

impl Record for Tally {
    const TABLE: Table = TALLIES;
    type Key = String;

    fn key(&self) -> String {
        self.group.clone()
    }
}

/// Puts an event that is stored now at the end of its group's order, and counts it.
pub(super) fn append(txn: &mut Txn<'_>, group: &str, seq: u64, id: &str) -> Result<(), StoreError> {
    let mut tally = match txn.get::<Tally>(&group.to_owned())? {
        Some(tally) => tally,
        None => Tally { group: group.to_owned(), events: 0, last: Places::default() },
    };
    if tally.last.len() == PAGE {
        let events = std::mem::take(&mut tally.last);
        let first = events.iter().next().map_or(seq, |(place, _)| place);
        txn.put(&OrderPage { group: group.to_owned(), first, events })?;
    }
    tally.last.push(seq, id);
    tally.events += 1;
    txn.put(&tally)
}

/// Takes events out of the order, by their places.
pub fn remove(txn: &mut Txn<'_>, group: &str, places: &[u64]) -> Result<(), StoreError> {
    let name = group.to_owned();
    let Some(mut tally) = txn.get::<Tally>(&name)? else { return Ok(()) };
    let mut places = places.to_vec();
    places.sort_unstable();
    let mut removed = tally.last.remove(&places);
    while let Some(&last) = places.last() {
        let upto = Scan::prefix(&name).until(&(name.clone(), last.saturating_add(1))).reverse();
        let Some(page) = txn.scan::<OrderPage>(&upto).next() else { break };
        let mut page = page?;
        removed += page.events.remove(&places);
        places.truncate(places.partition_point(|place| *place < page.first));
        if page.events.is_empty() {
            txn.delete::<OrderPage>(&page.key())?;
        } else {
            txn.put(&page)?;
        }
    }
    tally.events = tally.events.saturating_sub(removed);
    txn.put(&tally)
}

/// Events stored of a group.
pub fn count(store: &Store, group: &str) -> Result<u64, StoreError> {
    Ok(store.get::<Tally>(&group.to_owned())?.map_or(0, |tally| tally.events))
}

/// The page that is being filled. Readers look at it before they look at the others: it may become
/// one of them meanwhile, and would be missed the other way round.
fn last(store: &Store, group: &String) -> Result<Places, StoreError> {
    Ok(store.get::<Tally>(group)?.map(|tally| tally.last).unwrap_or_default())
}

/// The id of the event at a place.
pub fn at(store: &Store, group: &str, place: u64) -> Result<Option<String>, StoreError> {
    let group = group.to_owned();
    let last = last(store, &group)?;
    let upto = Scan::prefix(&group).until(&(group.clone(), place.saturating_add(1))).reverse();
    let page = store.scan::<OrderPage>(&upto).next().transpose()?;
    let pages = page.iter().map(|page| &page.events).chain([&last]);
    Ok(pages.flat_map(Places::iter).find(|(own, _)| *own == place).map(|(_, id)| id.to_owned()))
}

/// The events of a group after a place, the oldest first.
pub fn after<'a>(
    store: &'a Store,
    group: &str,
    place: u64,
) -> Result<impl Iterator<Item = Result<(u64, String), StoreError>> + use<'a>, StoreError> {
    let group = group.to_owned();
    let last = last(store, &group)?;
    // The page of that place may hold later ones.
    let upto = Scan::prefix(&group).until(&(group.clone(), place.saturating_add(1))).reverse();
    let page = store.scan::<OrderPage>(&upto).next().transpose()?;
    let from = Scan::prefix(&group).and_from(&(group, page.map_or(0, |page| page.first)));
    let pages = store.scan::<OrderPage>(&from).map(|page| page.map(|page| page.events));
    let mut passed = place;
    Ok(pages.chain([Ok(last)]).flat_map(listed).filter(move |event| {
        let Ok((place, _)) = event else { return true };
        let is_later = *place > passed;
        passed = passed.max(*place);
        is_later
    }))
}

/// The events of a group, the newest first.
pub fn newest_first<'a>(
    store: &'a Store,
    group: &str,
) -> Result<impl Iterator<Item = Result<(u64, String), StoreError>> + use<'a>, StoreError> {
    let group = group.to_owned();
    let last = last(store, &group)?;
    let pages = store.scan::<OrderPage>(&Scan::prefix(&group).reverse());
    let pages = pages.map(|page| page.map(|page| page.events));
    let mut passed = u64::MAX;
    let newest =
        [Ok(last)].into_iter().chain(pages).flat_map(|page| listed(page).into_iter().rev());
    Ok(newest.filter(move |event| {
        let Ok((place, _)) = event else { return true };
        let is_earlier = *place < passed;
        passed = passed.min(*place);
        is_earlier
    }))
}

fn listed(page: Result<Places, StoreError>) -> Vec<Result<(u64, String), StoreError>> {
    match page {
        Ok(places) => places.iter().map(|(place, id)| Ok((place, id.to_owned()))).collect(),
        Err(error) => vec![Err(error)],
    }
}

#[cfg(test)]
mod tests;
