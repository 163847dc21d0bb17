//! The effective config as the API hands it out: its text, its number, and what was left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{ApiError, Reason};
use crate::api::Time;
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::object::ObjectKey;
use crate::api::part::Part;
use crate::render::{self, Document, Input, Origin};

/// The effective config of one moment. Cheap to share.
#[derive(Debug, Clone)]
pub struct Effective {
    /// Moves only when the bytes change; `None` where nobody counts (offline).
    pub revision: Option<u64>,
    /// Digest of the content.
    pub digest: String,
    /// It.
    pub config: render::Effective,
}

impl Effective {
    /// Computes the effective config of these manifests and parts at `now`.
    pub fn of(accepted: &[Arc<Accepted>], parts: &[Arc<Part>], now: Time) -> Self {
        let config = render::effective(&Input { accepted, parts, now });
        Self { revision: None, digest: config.digest(), config }
    }

    /// The document in YAML.
    pub fn yaml(&self) -> String {
        Document(&self.config).yaml()
    }

    /// The document in JSON, ending in a line break.
    pub fn json(&self) -> Result<String, ApiError> {
        Document(&self.config).json().map_err(|error| encoding(&error))
    }

    /// Parts of which something is in force.
    pub fn parts(&self) -> u64 {
        let dynamic = self.config.resources.iter().filter_map(|origin| match origin {
            Origin::Dynamic(proposal) => {
                let part = proposal.part();
                Some((part.subscription.as_str(), part.fact))
            }
            Origin::Startup(_) => None,
        });
        dynamic.collect::<BTreeSet<_>>().len() as u64
    }

    /// What was left out, and why.
    pub fn report(&self) -> Result<Report, ApiError> {
        // The renderer's own words are written only; the shape is the same by definition.
        let report = serde_json::to_value(&self.config.report).and_then(serde_json::from_value);
        report.map_err(|error| encoding(&error))
    }
}

fn encoding(error: &serde_json::Error) -> ApiError {
    ApiError::new(Reason::Internal, format!("cannot encode the effective config: {error}"))
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
