//! Names of objects, and a resource as it was written.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::value::Value;

/// The annotations that name the cause of a dynamic resource.
pub mod annotation {
    /// `EventSubscription/<name>`.
    pub const SOURCE: &str = "routerd.net/dynamic-source";
    /// The event's group.
    pub const GROUP: &str = "routerd.net/event-group";
    /// The event's id.
    pub const EVENT_ID: &str = "routerd.net/event-id";
    /// The event's subject.
    pub const SUBJECT: &str = "routerd.net/event-subject";
}

/// The identity of an object: the same three words twice are the same object.
#[derive(
    Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ObjectKey {
    /// Such as `federation.routerd.net/v1alpha1`.
    pub api_version: String,
    /// Such as `EventGroup`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectKey {
    /// The key of these three words.
    pub fn new(
        api_version: impl Into<String>,
        kind: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { api_version: api_version.into(), kind: kind.into(), name: name.into() }
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.api_version)
    }
}

impl fmt::Display for ObjectKey {
    /// `Kind/name`, as operators write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// One resource, carried as it was written. `body` is the whole document: `apiVersion`, `kind`,
/// `metadata`, `spec` and whatever else an opaque Kind has, without `status` and the metadata that
/// only a server sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its identity, as `body` has it.
    pub key: ObjectKey,
    /// The document.
    pub body: Value,
}

/// Whether `name` is a valid `metadata.name`: lower case letters, digits, `-` and `.`, beginning
/// and ending with a letter or digit, 253 bytes at most (the grammar of the design, §4).
pub fn is_valid_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            bytes.len() <= 253
                && edge(first)
                && edge(last)
                && bytes.iter().all(|&b| edge(b) || b == b'-' || b == b'.')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["a", "0", "cloud-claims", "a.b", &"a".repeat(253)] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".a", "A", "a_b", "a b", "é", &"a".repeat(254)] {
            assert!(!is_valid_name(bad), "{bad}");
        }
    }
}
