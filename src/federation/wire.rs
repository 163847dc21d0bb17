//! What travels between nodes: paths, headers, bodies, limits.
//!
//! The shapes are a contract with nodes of other versions and other programs. What we send is
//! complete; what we read may lack whatever has a default here, and may have members that we do
//! not know.

use serde::{Deserialize, Serialize};

use crate::api::event::Event;

/// One event, or one or more CloudEvents: POST.
pub const EVENTS_PATH: &str = "/v1/events";
/// Many events: POST. Only where [`Status::features`] has [`FEATURE_BATCH`].
pub const BATCH_PATH: &str = "/v1/events:batch";
/// Who answers here: GET.
pub const STATUS_PATH: &str = "/v1/status";

/// When the request was signed: unix seconds, in decimal.
pub const TIMESTAMP_HEADER: &str = "x-routerd-timestamp";
/// The [signature](super::signature).
pub const SIGNATURE_HEADER: &str = "x-routerd-signature";
/// On every answer of ours that says what became of an event: the id of the store that holds it,
/// as in [`Status::store_id`]. What an answer acknowledges, it acknowledges for that store.
pub const STORE_HEADER: &str = "x-routerd-store";

/// The node takes batches at [`BATCH_PATH`].
pub const FEATURE_BATCH: &str = "batch";
/// The node takes CloudEvents 1.0, structured and batch, at [`EVENTS_PATH`].
pub const FEATURE_CLOUDEVENTS: &str = "cloudevents";

/// Bytes of a request with one event, at most: a full payload with every character escaped, and
/// room.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;
/// Bytes of a request with many events, at most.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// Events in one request, at most.
pub const MAX_BATCH_EVENTS: usize = 1_000;

/// What became of the event of one request: status 200, or that of the refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventAnswer {
    /// Whether it is durable on the node that answers.
    pub accepted: bool,
    /// The event's id; empty if the request could not be read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Whether it was known there already.
    pub duplicate: bool,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Many events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchRequest {
    /// At most [`MAX_BATCH_EVENTS`], and [`MAX_BATCH_BYTES`] as JSON.
    pub events: Vec<Event>,
}

/// What became of them: status 200 if the request as a whole could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAnswer {
    /// One for each event, in the order of the request.
    pub results: Vec<BatchResult>,
}

/// What became of one event of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchResult {
    /// The event's id; empty if it could not be read.
    pub id: String,
    /// The status that it would have had alone.
    pub status: u16,
    /// Whether it is durable on the node that answers.
    pub accepted: bool,
    /// Whether it was known there already.
    pub duplicate: bool,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Who answers, and how it fares. Counts are of this run of the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The node's name in the group.
    pub node: String,
    /// The group.
    pub group: String,
    /// Events taken in, duplicates not counted.
    pub received: u64,
    /// Events that were known already.
    pub duplicate: u64,
    /// Requests and events refused.
    pub rejected: u64,
    /// Events stored.
    pub stored_events: u64,
    /// How far a sender's clock may be off, in seconds.
    pub replay_window_seconds: u64,
    /// The node's store: another id, another store, which knows nothing of what the old one
    /// acknowledged. Absent from nodes that do not tell.
    #[serde(rename = "storeID", skip_serializing_if = "Option::is_none")]
    pub store_id: Option<String>,
    /// What the node can do beyond single events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

impl Status {
    /// Whether the node has this feature.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|own| own == feature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_are_those_of_the_protocol() {
        let status = Status {
            node: "n".into(),
            group: "g".into(),
            store_id: Some("s".into()),
            features: vec![FEATURE_BATCH.into()],
            ..Status::default()
        };
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(
            json,
            r#"{"node":"n","group":"g","received":0,"duplicate":0,"rejected":0,"storedEvents":0,"replayWindowSeconds":0,"storeID":"s","features":["batch"]}"#
        );
        let accepted = EventAnswer { accepted: true, id: "e".into(), ..EventAnswer::default() };
        assert_eq!(
            serde_json::to_string(&accepted).unwrap(),
            r#"{"accepted":true,"id":"e","duplicate":false}"#
        );
    }

    #[test]
    fn a_node_that_tells_less_or_more_is_understood() {
        let old: Status = serde_json::from_str(
            r#"{"node": "n", "group": "g", "received": 1, "duplicate": 0, "rejected": 0,
                "storedEvents": 7, "replayWindowSeconds": 300, "uptime": "3h"}"#,
        )
        .unwrap();
        assert_eq!(
            (old.stored_events, old.store_id.clone(), old.has(FEATURE_BATCH)),
            (7, None, false)
        );
        let answer: EventAnswer = serde_json::from_str(r#"{"accepted": true, "id": "e"}"#).unwrap();
        assert!(answer.accepted && !answer.duplicate);
    }
}
