//! The effective config as the API hands it out: its text, its number, and what was left out.

use serde::{Deserialize, Serialize};

use super::error::{ApiError, Reason};
use crate::api::Time;
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::object::ObjectKey;
use crate::api::part::Part;
use crate::api::value::Value;
use crate::api::yaml;

/// The effective config of one moment. Cheap to share.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Moves only when the bytes change; `None` where nobody counts (offline).
    pub revision: Option<u64>,
    /// Digest of the content.
    pub digest: String,
    /// One Router document, inline secrets redacted.
    pub document: Value,
    /// Parts of which something is in force.
    pub parts: u64,
    /// What was left out, and why.
    pub report: Report,
}

impl Effective {
    /// The document in YAML.
    pub fn yaml(&self) -> String {
        yaml::emit(&self.document)
    }

    /// The document in JSON, ending in a line break.
    pub fn json(&self) -> Result<String, ApiError> {
        let mut text = serde_json::to_string_pretty(&self.document)
            .map_err(|error| ApiError::new(Reason::Internal, format!("cannot encode: {error}")))?;
        text.push('\n');
        Ok(text)
    }
}

/// What was left out of the effective config, and what in it needs a look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What parts proposed in vain.
    pub left_out: Vec<LeftOut>,
    /// Startup resources that are masked.
    pub masked: Vec<Masked>,
    /// What is wrong with startup resources, which stay in all the same.
    pub startup_problems: Vec<StartupProblem>,
}

/// One proposed resource or directive that is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// The proposed resource, or the target of the directive.
    pub object: ObjectKey,
    /// Set for a directive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directive: Option<String>,
    /// The part that proposes it.
    pub part: String,
    /// The part's subscription.
    pub subscription: String,
    /// The event behind the part.
    pub event_id: String,
    /// CamelCase word for programs: `Conflicted`, `Unresolved`, `MaskNotAllowed` …
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Since when.
    pub since: Time,
}

/// A startup resource that a directive took out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Masked {
    /// The startup resource.
    pub object: ObjectKey,
    /// Where it stands.
    pub source: SourceRef,
    /// Every directive that masks it.
    pub by: Vec<MaskedBy>,
    /// Since when.
    pub since: Time,
}

/// One directive that masks a startup resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaskedBy {
    /// The part.
    pub part: String,
    /// The part's subscription.
    pub subscription: String,
    /// The event behind the part.
    pub event_id: String,
    /// The DynamicOverridePolicy that allows it.
    pub policy: String,
    /// What the plugin gave as its reason.
    pub reason: String,
}

/// Something wrong with a startup resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartupProblem {
    /// The startup resource.
    pub object: ObjectKey,
    /// Where it stands.
    pub source: SourceRef,
    /// CamelCase word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// When the version in force was accepted.
    pub since: Time,
}

/// The effective config of these manifests and parts at `now`.
pub fn effective(
    _accepted: Vec<Accepted>,
    _parts: Vec<Part>,
    _now: Time,
) -> Result<Effective, ApiError> {
    Err(ApiError::new(Reason::NeedsDaemon, "only a running daemon renders"))
}
