//! What was accepted from the manifests: the durable half of "f(accepted manifests, live facts)".

use serde::{Deserialize, Serialize};

use super::Time;
use super::object::{ObjectKey, Resource};

/// Where a resource stands. Orders by file path, then document, then index in a Router.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRef {
    /// The file.
    pub file: String,
    /// The document in the file, from 0.
    pub document: u32,
    /// The place in `spec.resources` of a Router, from 0.
    pub index: Option<u32>,
    /// 1-based line of the resource.
    pub line: u32,
    /// 1-based column of the resource.
    pub column: u32,
}

impl std::fmt::Display for SourceRef {
    /// `file:line`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One accepted resource. It stays in force until a good version replaces it or its source is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The resource as it was written. A Router's body is without `spec.resources`: those are
    /// accepted one by one.
    pub resource: Resource,
    /// UUIDv7 given at first acceptance; new after a deletion.
    pub uid: String,
    /// +1 when the content changes (a move or a reformat changes nothing).
    pub generation: u64,
    /// Where the version in force stands or last stood.
    pub source: SourceRef,
    /// When the first version was accepted.
    pub created_at: Time,
    /// When the version in force was accepted.
    pub accepted_at: Time,
    /// Digest of the content, to tell a change from a touch.
    pub digest: String,
    /// Whether the Kind is one that we know.
    pub typed: bool,
}

impl Accepted {
    /// Its identity.
    pub fn key(&self) -> &ObjectKey {
        &self.resource.key
    }
}
