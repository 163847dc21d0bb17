//! An event as it is shown: the envelope as it travelled, and what this node knows of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::Time;
use crate::api::event::Event;
use crate::api::fact::{FactId, end_of};
use crate::store::tables::{EventRow, FactRow};

/// One event. The envelope's members stand as they were sent, `observedAt` always set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// The envelope.
    #[serde(flatten)]
    pub event: Event,
    /// When this node received it first.
    pub received_at: Time,
    /// Who handed it over: `local`, or the peer's node name.
    pub received_from: String,
    /// Which key verified it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verified_by: String,
    /// Place in the order of receipt on this node.
    pub seq: u64,
    /// The fact that it speaks of.
    pub fact: String,
    /// Whether it is the newest of its fact: state, not history.
    pub current: bool,
    /// Whether it is the newest and has not expired.
    pub live: bool,
    /// When it stops being true: its own expiry, else the group's `retention.maxAge` after it was
    /// observed.
    pub live_until: Time,
}

/// Some events, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventList {
    /// They.
    pub items: Vec<EventView>,
    /// Whether there are older ones that match and were left out for the limit.
    pub more: bool,
}

impl EventView {
    /// The view of an event; `newest` is the row of its fact.
    pub fn of(row: EventRow, newest: Option<&FactRow>, max_age: Duration, now: Time) -> Self {
        let fact = FactId::of(&row.event);
        let current = newest.is_some_and(|newest| newest.seq == row.seq);
        let live_until = end_of(row.observed_at(), row.event.expires_at, max_age);
        Self {
            event: row.event,
            received_at: row.received_at,
            received_from: row.received_from,
            verified_by: row.verified_by,
            seq: row.seq,
            fact: fact.to_string(),
            current,
            live: current && live_until > now,
            live_until,
        }
    }
}
