//! Listing events: newest first, reading no further than the limit asks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::read::Reader;
use super::views::{EventList, EventView};
use crate::api::Time;
use crate::api::fact::FactId;
use crate::api::kinds::federation::{EventGroupSpec, Retention};
use crate::store::order::Tally;
use crate::store::tables::EventRow;
use crate::store::{Scan, Store, StoreError, facts, order};

/// Events of one answer at most, whatever `limit` says.
pub const MAX_EVENTS_LISTED: usize = 100_000;
/// Events of one answer where `limit` does not say.
const DEFAULT_LIMIT: usize = 1_000;

/// Which events to list; what is absent selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventFilter {
    /// The group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The type, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// The subject, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Also those that are true no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_expired: bool,
    /// How many at most: 1,000 if absent, 100,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl EventFilter {
    fn takes(&self, row: &EventRow) -> bool {
        self.r#type.as_ref().is_none_or(|r#type| *r#type == row.event.r#type)
            && self.subject.as_ref().is_none_or(|subject| *subject == row.event.subject)
    }
}

impl Reader {
    /// The events that the filter takes, newest first by the order of receipt. Blocking.
    pub(super) fn events(&self, filter: &EventFilter) -> Result<EventList, ApiError> {
        let limit = filter.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_EVENTS_LISTED);
        let ages = self.max_ages()?;
        let now = self.now();
        let groups = match &filter.group {
            Some(group) => vec![group.clone()],
            None => groups_with_events(self.store())?,
        };
        let mut list = EventList::default();
        for row in Newest::new(self.store(), &groups)? {
            let row = row?;
            if !filter.takes(&row) {
                continue;
            }
            let age = ages.get(&row.event.group).copied();
            let view = self.event(row, age, now)?;
            if !filter.include_expired && view.live_until <= now {
                continue;
            }
            if list.items.len() == limit {
                list.more = true;
                break;
            }
            list.items.push(view);
        }
        Ok(list)
    }

    fn event(
        &self,
        row: EventRow,
        max_age: Option<Duration>,
        now: Time,
    ) -> Result<EventView, ApiError> {
        let newest = facts::find(self.store(), &FactId::of(&row.event))?;
        let max_age = max_age.unwrap_or(Retention::default().max_age.get());
        Ok(EventView::of(row, newest.as_ref(), max_age, now))
    }

    /// `retention.maxAge` of each group.
    fn max_ages(&self) -> Result<BTreeMap<String, Duration>, ApiError> {
        let groups = self.typed::<EventGroupSpec>("EventGroup")?;
        Ok(groups.into_iter().map(|(name, spec)| (name, spec.retention.max_age.get())).collect())
    }
}

/// The groups that have events, also those whose EventGroup is gone.
fn groups_with_events(store: &Store) -> Result<Vec<String>, StoreError> {
    store.scan::<Tally>(&Scan::all()).map(|tally| tally.map(|tally| tally.group)).collect()
}

/// The events of some groups as one stream, the last received first.
struct Newest<'a> {
    streams: Vec<(EventRow, Events<'a>)>,
}

type Events<'a> = Box<dyn Iterator<Item = Result<EventRow, StoreError>> + 'a>;

impl<'a> Newest<'a> {
    fn new(store: &'a Store, groups: &'a [String]) -> Result<Self, StoreError> {
        let mut streams = Vec::with_capacity(groups.len());
        for group in groups {
            let mut events = newest_of(store, group)?;
            if let Some(first) = events.next() {
                streams.push((first?, events));
            }
        }
        Ok(Self { streams })
    }
}

/// The events of one group, the last received first.
fn newest_of<'a>(store: &'a Store, group: &'a str) -> Result<Events<'a>, StoreError> {
    let read = move |event: Result<(u64, String), StoreError>| {
        let (seq, id) = event?;
        let row = store.get::<EventRow>(&(group.to_owned(), id))?;
        // Pruned since the page was read.
        Ok(row.filter(|row| row.seq == seq))
    };
    let places = order::newest_first(store, group)?;
    Ok(Box::new(places.filter_map(move |event| read(event).transpose())))
}

impl Iterator for Newest<'_> {
    type Item = Result<EventRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Sequence numbers grow across the groups of a store, and groups are few.
        let newest = (0..self.streams.len()).max_by_key(|&at| self.streams[at].0.seq)?;
        let (head, events) = &mut self.streams[newest];
        match events.next() {
            Some(Ok(next)) => Some(Ok(std::mem::replace(head, next))),
            Some(Err(error)) => Some(Err(error)),
            None => Some(Ok(self.streams.swap_remove(newest).0)),
        }
    }
}
