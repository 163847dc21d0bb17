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
use crate::store::tables::{EventRow, FactRow};
use crate::store::{Rows, Scan, Store, StoreError};

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
        let newest = self.store().get::<FactRow>(&FactId::of(&row.event))?;
        let max_age = max_age.unwrap_or(Retention::default().max_age.get());
        Ok(EventView::of(row, newest.as_ref(), max_age, now))
    }

    /// `retention.maxAge` of each group.
    fn max_ages(&self) -> Result<BTreeMap<String, Duration>, ApiError> {
        let groups = self.typed::<EventGroupSpec>("EventGroup")?;
        Ok(groups.into_iter().map(|(name, spec)| (name, spec.retention.max_age.get())).collect())
    }
}

/// The groups that have events, also those whose EventGroup is gone: one seek for each.
fn groups_with_events(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut groups = Vec::new();
    let mut scan = Scan::all();
    while let Some(row) = store.scan::<EventRow>(&scan).next() {
        let group = row?.event.group;
        scan = Scan::after(&(group.clone(), u64::MAX));
        groups.push(group);
    }
    Ok(groups)
}

/// The events of some groups as one stream, the last received first.
struct Newest<'a> {
    streams: Vec<(EventRow, Rows<'a, EventRow>)>,
}

impl<'a> Newest<'a> {
    fn new(store: &'a Store, groups: &[String]) -> Result<Self, StoreError> {
        let mut streams = Vec::with_capacity(groups.len());
        for group in groups {
            let mut rows = store.scan::<EventRow>(&Scan::prefix(group).reverse());
            if let Some(first) = rows.next() {
                streams.push((first?, rows));
            }
        }
        Ok(Self { streams })
    }
}

impl Iterator for Newest<'_> {
    type Item = Result<EventRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Sequence numbers grow across the groups of a store, and groups are few.
        let newest = (0..self.streams.len()).max_by_key(|&at| self.streams[at].0.seq)?;
        let (head, rows) = &mut self.streams[newest];
        match rows.next() {
            Some(Ok(next)) => Some(Ok(std::mem::replace(head, next))),
            Some(Err(error)) => Some(Err(error)),
            None => Some(Ok(self.streams.swap_remove(newest).0)),
        }
    }
}
