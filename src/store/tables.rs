//! The tables of the program: which row lives where, and how it is keyed.
//!
//! One list, so that no two tables share a prefix and a reader sees at a glance what is kept.
//! Shapes of runtime objects are `api`'s; only what exists for storage alone is declared here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{KeyError, KeyReader, KeyWriter, Record, RecordKey, Table};
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::condition::Condition;
use crate::api::delivery::{Account, Ack, Verdict};
use crate::api::event::Event;
use crate::api::fact::{FactId, Stretch, end_of};
use crate::api::object::ObjectKey;
use crate::api::part::Part;
use crate::api::run::{RunRecord, Work};
use crate::api::stored_time;

/// Accepted manifests, by identity.
pub const ACCEPTED: Table = Table::new(0x10, "accepted", 1);
/// Conditions of manifest objects, by identity.
pub const STATUS: Table = Table::new(0x11, "status", 1);
/// Events, by id; in which order they came says [`super::order`].
pub const EVENTS: Table = Table::new(0x20, "events", 2);
/// Ids that outlive their events.
pub const IDENTITIES: Table = Table::new(0x21, "identities", 2);
/// How many events are stored of each group, and the last of them, see [`super::order`].
pub const TALLIES: Table = Table::new(0x26, "tallies", 1);
/// Pages of the order of receipt, but for the one that is being filled.
pub const ORDER: Table = Table::new(0x27, "order of receipt", 1);
/// Ids whose events are pruned, by the time when they may be forgotten.
pub const LINGERING: Table = Table::new(0x23, "lingering", 2);
/// The newest event of each fact key, of those that may have a say.
pub const FACTS: Table = Table::new(0x22, "facts", 2);
/// The same of all others: their end is on record.
pub const ENDED_FACTS: Table = Table::new(0x24, "ended facts", 2);
/// Work of subscriptions on facts.
pub const WORKS: Table = Table::new(0x30, "works", 2);
/// Parts.
pub const PARTS: Table = Table::new(0x31, "parts", 2);
/// Finished runs.
pub const RUNS: Table = Table::new(0x32, "runs", 2);
/// State of ConfigOutputs.
pub const OUTPUTS: Table = Table::new(0x33, "outputs", 1);
/// What is known of the peers that events are pushed to.
pub const OUTBOXES: Table = Table::new(0x50, "outboxes", 1);
/// How sending events to peers ended.
pub const DELIVERIES: Table = Table::new(0x51, "deliveries", 2);
/// Single values by name.
pub const SINGLES: Table = Table::new(0x40, "singles", 1);

impl RecordKey for FactId {
    fn encode(&self, writer: &mut KeyWriter) {
        writer.fixed(&self.0);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.fixed().map(Self)
    }
}

impl RecordKey for ObjectKey {
    fn encode(&self, writer: &mut KeyWriter) {
        writer.str(&self.kind).str(&self.api_version).str(&self.name);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let (kind, api_version, name) = (reader.str()?, reader.str()?, reader.str()?);
        Ok(Self { api_version, kind, name })
    }
}

impl Record for Accepted {
    const TABLE: Table = ACCEPTED;
    type Key = ObjectKey;

    fn key(&self) -> ObjectKey {
        self.resource.key.clone()
    }
}

/// The conditions of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusRow {
    /// The object.
    pub object: ObjectKey,
    /// Sorted by type.
    pub conditions: Vec<Condition>,
}

impl Record for StatusRow {
    const TABLE: Table = STATUS;
    type Key = ObjectKey;

    fn key(&self) -> ObjectKey {
        self.object.clone()
    }
}

/// One received event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRow {
    /// Place in the order of receipt on this node.
    pub seq: u64,
    /// The event; `observedAt` is always set.
    pub event: Event,
    /// When this node received it first.
    #[serde(with = "stored_time")]
    pub received_at: Time,
    /// Who handed it over: `local`, or the peer's node name.
    pub received_from: String,
    /// Which key verified it; empty for local ones.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verified_by: String,
    /// Until when its id is remembered at least.
    #[serde(with = "stored_time")]
    pub keep_until: Time,
}

impl EventRow {
    /// When it was observed.
    pub fn observed_at(&self) -> Time {
        self.event.observed_at.unwrap_or(self.received_at)
    }
}

impl Record for EventRow {
    const TABLE: Table = EVENTS;
    type Key = (String, String);

    fn key(&self) -> Self::Key {
        (self.event.group.clone(), self.event.id.clone())
    }
}

/// What is remembered of an event that was pruned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityRow {
    /// The group.
    pub group: String,
    /// The event's id.
    pub id: String,
    /// Digest of the content.
    #[serde(with = "hex::serde")]
    pub digest: [u8; 16],
    /// When it was last observed.
    #[serde(with = "stored_time")]
    pub observed_at: Time,
    /// Its expiry.
    #[serde(default, with = "stored_time::optional")]
    pub expires_at: Option<Time>,
    /// Until when the id is remembered at least.
    #[serde(with = "stored_time")]
    pub keep_until: Time,
}

impl IdentityRow {
    /// Of an event that is to be pruned.
    pub fn of(row: &EventRow) -> Self {
        Self {
            group: row.event.group.clone(),
            id: row.event.id.clone(),
            digest: row.event.content_digest(),
            observed_at: row.observed_at(),
            expires_at: row.event.expires_at,
            keep_until: row.keep_until,
        }
    }
}

impl Record for IdentityRow {
    const TABLE: Table = IDENTITIES;
    type Key = (String, String);

    fn key(&self) -> Self::Key {
        (self.group.clone(), self.id.clone())
    }
}

/// An id that outlives its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LingeringId {
    /// The group.
    pub group: String,
    /// Until when the id was to be remembered when its event was pruned.
    #[serde(with = "stored_time")]
    pub until: Time,
    /// The event's id.
    pub id: String,
}

impl Record for LingeringId {
    const TABLE: Table = LINGERING;
    /// The group; the time in seconds, rounded up, from the beginning of the calendar; the id.
    type Key = (String, u64, String);

    fn key(&self) -> Self::Key {
        let whole = self.until.as_second() + i64::from(self.until.subsec_nanosecond() > 0);
        let from_the_start = whole.saturating_sub(Time::MIN.as_second());
        (self.group.clone(), from_the_start.unsigned_abs(), self.id.clone())
    }
}

/// Points at the newest event of a fact key; where it is kept, [`super::facts`] knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FactRow {
    /// The fact.
    pub fact: FactId,
    /// Its group.
    pub group: String,
    /// The place of its newest event in the order of receipt.
    pub seq: u64,
    /// That event's id.
    pub event_id: String,
    /// That event's type, to know a retraction without reading the event.
    pub event_type: String,
    /// When that event was observed.
    #[serde(with = "stored_time")]
    pub observed_at: Time,
    /// That event's own expiry.
    #[serde(default, with = "stored_time::optional")]
    pub expires_at: Option<Time>,
    /// When the fact was and is live.
    pub stretches: Vec<Stretch>,
    /// The end of that event's observation that this node has seen pass. A clock that goes back
    /// does not revive what ended; a later end of the same event does.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "stored_time::optional")]
    pub ended: Option<Time>,
}

impl FactRow {
    /// When the fact ends, in a group with this `maxAge`.
    pub fn end(&self, max_age: Duration) -> Time {
        end_of(self.observed_at, self.expires_at, max_age)
    }

    /// Whether it has ended by `now`, or was seen to.
    pub fn is_over(&self, max_age: Duration, now: Time) -> bool {
        self.end(max_age) <= now || self.is_ended(max_age)
    }

    /// Whether it is on record that it ended, whatever the clock says now.
    pub fn is_ended(&self, max_age: Duration) -> bool {
        self.ended.is_some_and(|seen| self.end(max_age) <= seen)
    }
}

/// The fields of a [`FactRow`] that say whether the fact still has a say: what a start reads of all
/// those that have not.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FactEnd {
    /// The fact.
    pub fact: FactId,
    /// Its group.
    pub group: String,
    /// Its event's type.
    pub event_type: String,
    #[serde(with = "stored_time")]
    observed_at: Time,
    #[serde(default, with = "stored_time::optional")]
    expires_at: Option<Time>,
    #[serde(default, with = "stored_time::optional")]
    ended: Option<Time>,
}

impl FactEnd {
    /// See [`FactRow::is_ended`].
    pub fn is_ended(&self, max_age: Duration) -> bool {
        self.ended.is_some_and(|seen| end_of(self.observed_at, self.expires_at, max_age) <= seen)
    }
}

impl Record for FactRow {
    const TABLE: Table = FACTS;
    type Key = FactId;

    fn key(&self) -> FactId {
        self.fact
    }
}

/// A fact whose end is on record, and that has no say beyond it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndedFact(pub FactRow);

impl Record for EndedFact {
    const TABLE: Table = ENDED_FACTS;
    type Key = FactId;

    fn key(&self) -> FactId {
        self.0.fact
    }
}

impl Record for Work {
    const TABLE: Table = WORKS;
    type Key = (String, FactId);

    fn key(&self) -> Self::Key {
        (self.subscription.clone(), self.fact)
    }
}

impl Record for Part {
    const TABLE: Table = PARTS;
    type Key = (String, FactId);

    fn key(&self) -> Self::Key {
        (self.subscription.clone(), self.fact)
    }
}

impl Record for RunRecord {
    const TABLE: Table = RUNS;
    type Key = u64;

    fn key(&self) -> u64 {
        self.run
    }
}

/// What became of a ConfigOutput.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputRow {
    /// The ConfigOutput's name.
    pub name: String,
    /// Its uid; another one makes the rest void.
    pub uid: String,
    /// Digest of the content, the path and the hook that were last brought about.
    pub applied_digest: String,
    /// The effective revision of that file.
    pub applied_revision: u64,
    /// When that was.
    pub applied_at: Option<Time>,
    /// Why the present content is not applied.
    pub failure: Option<String>,
    /// Failures since the last success.
    pub attempts: u32,
}

impl OutputRow {
    /// Nothing was applied yet.
    pub fn new(name: &str, uid: &str) -> Self {
        Self {
            name: name.to_owned(),
            uid: uid.to_owned(),
            applied_digest: String::new(),
            applied_revision: 0,
            applied_at: None,
            failure: None,
            attempts: 0,
        }
    }
}

impl Record for OutputRow {
    const TABLE: Table = OUTPUTS;
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
}

/// What is known of a peer that events are pushed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboxRow {
    /// The EventPeer's name.
    pub peer: String,
    /// Its uid; under another one the rest is another peer's.
    pub uid: String,
    /// What the peer's present store calls itself; empty where it does not say.
    pub store: String,
    /// +1 with each store that was met, so that what another store took counts no more.
    pub epoch: u32,
    /// When the present store was met first.
    pub since: Time,
    /// Events that the peer took, refreshed ones once more.
    pub delivered: u64,
    /// Events that it refused for good.
    pub dead: u64,
    /// Events that expired before it took them.
    pub expired: u64,
    /// When it last took one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Time>,
}

impl OutboxRow {
    /// Nothing was sent yet to this store.
    pub fn new(peer: &str, uid: &str, store: &str, epoch: u32, since: Time) -> Self {
        Self {
            peer: peer.to_owned(),
            uid: uid.to_owned(),
            store: store.to_owned(),
            epoch,
            since,
            delivered: 0,
            dead: 0,
            expired: 0,
            delivered_at: None,
        }
    }
}

impl Record for OutboxRow {
    const TABLE: Table = OUTBOXES;
    type Key = String;

    fn key(&self) -> String {
        self.peer.clone()
    }
}

/// The account of an EventPeer; without a row it has met no store.
pub fn account(row: Option<&OutboxRow>, peer: &Accepted) -> Account {
    match row.filter(|row| row.uid == peer.uid) {
        Some(row) => Account { epoch: row.epoch, since: row.since.max(peer.accepted_at) },
        None => Account { epoch: 0, since: peer.accepted_at },
    }
}

/// How sending the current event of a fact to a peer ended, the last time it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryRow {
    /// The EventPeer's name.
    pub peer: String,
    /// The fact.
    pub fact: FactId,
    /// Its group.
    pub group: String,
    /// The event's id.
    pub event_id: String,
    /// The event as it was sent, and how it ended.
    pub ack: Ack,
    /// When that was.
    #[serde(with = "stored_time")]
    pub at: Time,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl DeliveryRow {
    /// Whether it was given up: refused for good, or expired.
    pub fn is_given_up(&self) -> bool {
        self.ack.verdict != Verdict::Delivered
    }
}

impl Record for DeliveryRow {
    const TABLE: Table = DELIVERIES;
    type Key = (String, FactId);

    fn key(&self) -> Self::Key {
        (self.peer.clone(), self.fact)
    }
}

/// A single value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Single {
    /// Its name.
    pub name: String,
    /// It.
    pub value: String,
}

impl Record for Single {
    const TABLE: Table = SINGLES;
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests;
