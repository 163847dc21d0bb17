//! Peers and what is owed to them, as they are shown.

use serde::{Deserialize, Serialize};

use crate::api::Time;
use crate::api::duration::GoDuration;
use crate::api::kinds::federation::Direction;

/// An EventPeer, and how it fares. The figures are of what is pushed to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// The EventGroup.
    pub group: String,
    /// What it calls itself in the group.
    pub node_name: String,
    /// Which way events go.
    pub direction: Direction,
    /// Where it listens; empty where nothing is pushed.
    pub endpoint: String,
    /// Whether it takes what is owed to it; absent before it was spoken to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivering: Option<bool>,
    /// Why not: a word for programs.
    pub reason: String,
    /// Why not: a sentence for people.
    pub message: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Current events that are owed.
    pub pending: u64,
    /// Current events that its present store has.
    pub delivered: u64,
    /// Current events that it refused for good.
    pub dead: u64,
    /// All that it ever took, each refresh once more.
    pub delivered_total: u64,
    /// All that it ever refused for good.
    pub dead_total: u64,
    /// All that expired before it took it.
    pub expired_total: u64,
    /// When it last took one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivered_at: Option<Time>,
    /// When it was last spoken to, or would have been; absent without a daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_tried_at: Option<Time>,
    /// Attempts in a row that ended in trouble.
    pub failures: u32,
    /// The id of its store; empty where it does not tell.
    #[serde(rename = "storeID")]
    pub store_id: String,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeliveryStatus {
    /// Owed.
    Pending,
    /// On the peer's disk.
    Delivered,
    /// Refused for good.
    Dead,
    /// Expired before the peer took it.
    Expired,
}

impl DeliveryStatus {
    /// As it is typed and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Expired => "expired",
        }
    }
}

/// One current event and one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// The group.
    pub group: String,
    /// The EventPeer.
    pub peer: String,
    /// The event.
    pub event_id: String,
    /// Its fact.
    pub fact: String,
    /// Its type.
    pub r#type: String,
    /// Its subject.
    pub subject: String,
    /// When this node received it.
    pub received_at: Time,
    /// When it stops being true.
    pub live_until: Time,
    /// How it stands.
    pub status: DeliveryStatus,
    /// Since when it stands so, unless it is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Time>,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Some deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryList {
    /// They.
    pub items: Vec<DeliveryView>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// The deliveries to one peer in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliverySummary {
    /// The group.
    pub group: String,
    /// The EventPeer.
    pub peer: String,
    /// Current events that are meant for it.
    pub events: u64,
    /// Of these: on its disk.
    pub delivered: u64,
    /// Of these: owed.
    pub pending: u64,
    /// Of these: refused for good.
    pub dead: u64,
    /// Events that expired before it took them, since it was met.
    pub expired: u64,
    /// How long the oldest pending one has waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<GoDuration>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_pending: Option<Time>,
    /// When the next pending one expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest_expiry: Option<Time>,
}
