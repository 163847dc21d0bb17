//! What every typed resource has around its spec.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::place::Place;
use crate::api::object::is_valid_name;

/// Fields of `metadata` that only a server sets: ignored, so that its output can be fed back in.
pub(super) const SERVER_SET: [&str; 6] =
    ["uid", "generation", "creationTimestamp", "resourceVersion", "managedFields", "selfLink"];

/// A resource as a document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Envelope<S> {
    #[serde(rename = "apiVersion")]
    pub(super) _api_version: String,
    #[serde(rename = "kind")]
    pub(super) _kind: String,
    pub(super) metadata: Metadata,
    #[serde(default = "none")]
    pub(super) spec: Option<S>,
    #[serde(default, rename = "status")]
    pub(super) _status: Option<IgnoredAny>,
}

/// Keeps the derive from asking `Default` of the spec.
fn none<S>() -> Option<S> {
    None
}

/// Names and marks of a resource.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Metadata {
    /// Unique among the resources of its Kind.
    #[schemars(regex(pattern = "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"))]
    pub(super) name: String,
    /// Words to select by.
    #[serde(default, rename = "labels")]
    _labels: BTreeMap<String, String>,
    /// Words for people and tools.
    #[serde(default, rename = "annotations")]
    _annotations: BTreeMap<String, String>,
    /// The resources that this one belongs to; carried, without effect.
    #[serde(default, rename = "ownerRefs")]
    _owner_refs: Vec<OwnerRef>,
    #[serde(default, rename = "uid")]
    #[schemars(skip)]
    _uid: Option<IgnoredAny>,
    #[serde(default, rename = "generation")]
    #[schemars(skip)]
    _generation: Option<IgnoredAny>,
    #[serde(default, rename = "creationTimestamp")]
    #[schemars(skip)]
    _creation_timestamp: Option<IgnoredAny>,
    #[serde(default, rename = "resourceVersion")]
    #[schemars(skip)]
    _resource_version: Option<IgnoredAny>,
    #[serde(default, rename = "managedFields")]
    #[schemars(skip)]
    _managed_fields: Option<IgnoredAny>,
    #[serde(default, rename = "selfLink")]
    #[schemars(skip)]
    _self_link: Option<IgnoredAny>,
}

/// A resource that another one belongs to.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OwnerRef {
    /// Its apiVersion.
    #[serde(default, rename = "apiVersion")]
    _api_version: Option<String>,
    /// Its Kind.
    #[serde(rename = "kind")]
    _kind: String,
    /// Its name.
    #[serde(rename = "name")]
    _name: String,
}

/// Complains at `metadata.name` unless it follows the grammar.
pub(super) fn check_name(name: &str, at: &Place<'_>) {
    if !is_valid_name(name) {
        let (message, hint) = name_fault(name);
        at.refuse_with(message, hint);
    }
}

/// What is wrong with a name, and the grammar.
fn name_fault(name: &str) -> (String, String) {
    const GRAMMAR: &str = "a name is a-z, 0-9, '-' and '.', beginning and ending with a letter or \
                           digit, 253 bytes at most";
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let message = if name.is_empty() {
        "the name is empty".to_owned()
    } else if name.len() > 253 {
        format!("the name is {} bytes long", name.len())
    } else if let Some(c) = name.chars().find(|&c| !allowed(c) && c != '-' && c != '.') {
        format!("the name {name:?} holds {c:?}")
    } else if name.starts_with(['-', '.']) {
        format!("the name {name:?} begins with {:?}", name.chars().next().unwrap_or('-'))
    } else {
        format!("the name {name:?} ends with {:?}", name.chars().last().unwrap_or('-'))
    };
    (message, GRAMMAR.to_owned())
}
