//! The tables of the program: which row lives where, and how it is keyed.
//!
//! One list, so that no two tables share a prefix and a reader sees at a glance what is kept.
//! Shapes of runtime objects are `api`'s; only what exists for storage alone is declared here.

use serde::{Deserialize, Serialize};

use super::{KeyError, KeyReader, KeyWriter, Record, RecordKey, Table};
use crate::api::Time;
use crate::api::accepted::Accepted;
use crate::api::condition::Condition;
use crate::api::event::Event;
use crate::api::fact::{FactId, Stretch};
use crate::api::object::ObjectKey;
use crate::api::part::Part;
use crate::api::run::{RunRecord, Work};

/// Accepted manifests, by identity.
pub const ACCEPTED: Table = Table::new(0x10, "accepted", 1);
/// Conditions of manifest objects, by identity.
pub const STATUS: Table = Table::new(0x11, "status", 1);
/// Events in the order of receipt.
pub const EVENTS: Table = Table::new(0x20, "events", 1);
/// Event ids, which outlive their events.
pub const IDENTITIES: Table = Table::new(0x21, "identities", 1);
/// The newest event of each fact key.
pub const FACTS: Table = Table::new(0x22, "facts", 1);
/// Work of subscriptions on facts.
pub const WORKS: Table = Table::new(0x30, "works", 1);
/// Parts.
pub const PARTS: Table = Table::new(0x31, "parts", 1);
/// Finished runs.
pub const RUNS: Table = Table::new(0x32, "runs", 1);
/// State of ConfigOutputs.
pub const OUTPUTS: Table = Table::new(0x33, "outputs", 1);
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
    pub received_at: Time,
    /// Who handed it over: `local`, or the peer's node name.
    pub received_from: String,
    /// Which key verified it; empty for local ones.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verified_by: String,
}

impl EventRow {
    /// When it was observed.
    pub fn observed_at(&self) -> Time {
        self.event.observed_at.unwrap_or(self.received_at)
    }
}

impl Record for EventRow {
    const TABLE: Table = EVENTS;
    type Key = (String, u64);

    fn key(&self) -> Self::Key {
        (self.event.group.clone(), self.seq)
    }
}

/// What is remembered of an event id, also when the event is pruned.
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
    /// Where the event is, if it is still kept.
    pub seq: u64,
    /// When it was last observed.
    pub observed_at: Time,
    /// Its expiry.
    pub expires_at: Option<Time>,
    /// Until when the id is remembered at least.
    pub keep_until: Time,
}

impl Record for IdentityRow {
    const TABLE: Table = IDENTITIES;
    type Key = (String, String);

    fn key(&self) -> Self::Key {
        (self.group.clone(), self.id.clone())
    }
}

/// Points at the newest event of a fact key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FactRow {
    /// The fact.
    pub fact: FactId,
    /// Its group.
    pub group: String,
    /// Where its newest event is.
    pub seq: u64,
    /// That event's id.
    pub event_id: String,
    /// That event's type, to know a retraction without reading the event.
    pub event_type: String,
    /// When that event was observed.
    pub observed_at: Time,
    /// That event's own expiry.
    pub expires_at: Option<Time>,
    /// When the fact was and is live.
    pub stretches: Vec<Stretch>,
}

impl Record for FactRow {
    const TABLE: Table = FACTS;
    type Key = FactId;

    fn key(&self) -> FactId {
        self.fact
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
    /// Digest of the file that the hook last succeeded for.
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
