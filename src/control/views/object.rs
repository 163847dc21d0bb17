//! An accepted resource as it is shown: as it was written, with what the server knows of it.

use serde::{Deserialize, Serialize};

use crate::api::Time;
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::condition::Condition;
use crate::api::kinds::redact::redact;
use crate::api::value::{Map, Value};

/// One object. What it was written with stays in its place, so that it can be fed back in: the
/// server's own metadata and `status` are ignored there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectView {
    /// Such as `federation.routerd.net/v1alpha1`.
    pub api_version: String,
    /// Such as `EventGroup`.
    pub kind: String,
    /// Who it is.
    pub metadata: Metadata,
    /// What was asked for, inline secrets redacted; absent if the document has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Value>,
    /// What an opaque Kind has beside these.
    #[serde(flatten)]
    pub rest: Map,
    /// What is so.
    pub status: ObjectStatus,
}

/// Who an object is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// UUIDv7 of this life of it.
    pub uid: String,
    /// Counts changes of the content.
    pub generation: u64,
    /// When it was first accepted or made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// As written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Value>,
    /// As written; a part's name its cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
    /// As written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_refs: Option<Value>,
}

/// What is so of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    /// Where the version in force stands or last stood.
    pub source: SourceRef,
    /// When the version in force was accepted.
    pub accepted_at: Time,
    /// Sorted by type.
    pub conditions: Vec<Condition>,
}

impl ObjectView {
    /// The view of an accepted resource and its conditions.
    pub fn of(accepted: Accepted, conditions: Vec<Condition>) -> Self {
        let key = accepted.resource.key;
        let mut rest = match redact(&accepted.resource.body, &key).into_owned() {
            Value::Map(map) => map,
            _ => Map::new(),
        };
        let mut written = match rest.remove("metadata") {
            Some(Value::Map(map)) => map,
            _ => Map::new(),
        };
        let spec = rest.remove("spec");
        for known in ["apiVersion", "kind", "status"] {
            rest.remove(known);
        }
        Self {
            api_version: key.api_version,
            kind: key.kind,
            metadata: Metadata {
                name: key.name,
                uid: accepted.uid,
                generation: accepted.generation,
                creation_timestamp: Some(accepted.created_at),
                labels: written.remove("labels"),
                annotations: written.remove("annotations"),
                owner_refs: written.remove("ownerRefs"),
            },
            spec,
            rest,
            status: ObjectStatus {
                source: accepted.source,
                accepted_at: accepted.accepted_at,
                conditions,
            },
        }
    }
}
