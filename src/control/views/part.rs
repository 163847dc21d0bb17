//! A part as it is shown: a DynamicConfigPart document that names its cause.

use serde::{Deserialize, Serialize};

use super::Metadata;
use crate::api::Time;
use crate::api::condition::{Condition, set_condition};
use crate::api::fact::FactId;
use crate::api::kinds::config;
use crate::api::kinds::redact::redact;
use crate::api::object::{ObjectKey, annotation};
use crate::api::part::{Directive, Part};
use crate::api::value::{Map, Value};

/// One part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartView {
    /// `config.routerd.net/v1alpha1`.
    pub api_version: String,
    /// `DynamicConfigPart`.
    pub kind: String,
    /// Who it is; the annotations name the event that it was made from.
    pub metadata: Metadata,
    /// What is proposed.
    pub spec: PartSpec,
    /// What is so.
    pub status: PartStatus,
}

/// What a part proposes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartSpec {
    /// `EventSubscription/<name>`.
    pub source: String,
    /// Counts changes of the content.
    pub generation: u64,
    /// When the plugin observed what it answered.
    pub observed_at: Time,
    /// When it ends if nothing else happens.
    pub expires_at: Time,
    /// Digest of the content.
    pub digest: String,
    /// Proposed resources, inline secrets redacted.
    pub resources: Vec<Value>,
    /// Proposed directives.
    pub directives: Vec<Directive>,
    /// Proposed provider actions: never executed.
    pub action_plans: Vec<Value>,
}

/// What is so of a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartStatus {
    /// Sorted by type: `Effective` always; `Conflicted` and `Unresolved` while something is left out
    /// for that; `Retiring` once it lost its reason.
    pub conditions: Vec<Condition>,
    /// Whether it may be served now.
    pub served: bool,
    /// The plugin that made it.
    pub plugin: String,
    /// The key of the run that made it.
    pub run_key: String,
    /// The fact that it was made from.
    pub fact: String,
    /// Since when that fact has been live.
    pub since: Time,
    /// The event's group.
    pub group: String,
    /// The event that it was made from.
    pub event_id: String,
    /// That event's type.
    pub event_type: String,
    /// That event's subject.
    pub subject: String,
    /// That event's observer.
    pub source_node: String,
}

impl PartView {
    /// The key of a part as an object.
    pub fn key(name: String) -> ObjectKey {
        ObjectKey::new(config::API_VERSION, "DynamicConfigPart", name)
    }

    /// The view of a part and the conditions stored of it.
    pub fn of(part: Part, mut conditions: Vec<Condition>, now: Time) -> Self {
        if let Some(retiring) = &part.retiring {
            let message = format!("ends at {}", part.expires_at);
            let reason = retiring.reason.as_str();
            let condition = Condition::new("Retiring", true, reason, message, retiring.since)
                .at_generation(part.generation);
            set_condition(&mut conditions, condition);
        }
        let served = part.is_served(now);
        if !served {
            let message = format!("ended at {}", part.expires_at);
            let over = Condition::new("Effective", false, "Expired", message, part.expires_at);
            set_condition(&mut conditions, over.at_generation(part.generation));
        } else if !conditions.iter().any(|c| c.r#type == "Effective") {
            // Nothing was ever stored of a part that has been in force since it was made.
            let message = "everything that it proposes is in force";
            let fine = Condition::new("Effective", true, "InForce", message, part.created_at);
            set_condition(&mut conditions, fine.at_generation(part.generation));
        }
        let key = Self::key(part.name());
        let source = part.source();
        let annotations: Map = [
            (annotation::SOURCE, source.as_str()),
            (annotation::GROUP, &part.group),
            (annotation::EVENT_ID, &part.event_id),
            (annotation::SUBJECT, &part.subject),
        ]
        .into_iter()
        .collect();
        Self {
            api_version: key.api_version,
            kind: key.kind,
            metadata: Metadata {
                name: key.name,
                uid: part.uid,
                generation: part.generation,
                creation_timestamp: Some(part.created_at),
                annotations: Some(annotations.into()),
                ..Metadata::default()
            },
            spec: PartSpec {
                source,
                generation: part.generation,
                observed_at: part.observed_at,
                expires_at: part.expires_at,
                digest: part.digest,
                resources: part
                    .resources
                    .iter()
                    .map(|resource| redact(&resource.body, &resource.key).into_owned())
                    .collect(),
                directives: part.directives,
                action_plans: part.action_plans,
            },
            status: PartStatus {
                conditions,
                served,
                plugin: part.plugin,
                run_key: part.run_key,
                fact: part.fact.to_string(),
                since: part.since,
                group: part.group,
                event_id: part.event_id,
                event_type: part.event_type,
                subject: part.subject,
                source_node: part.source_node,
            },
        }
    }
}

/// The subscription and the beginning of the fact that a part's name speaks of.
pub(in crate::control) fn parse_name(name: &str) -> Option<(&str, [u8; 8])> {
    let (subscription, short) = name.rsplit_once('-')?;
    let mut bytes = [0; 8];
    hex::decode_to_slice(short, &mut bytes).ok()?;
    // Upper case digits would name the same part twice.
    let lower = short.bytes().all(|b| !b.is_ascii_uppercase());
    (!subscription.is_empty() && lower).then_some((subscription, bytes))
}

/// Whether `fact` begins with what a part's name holds of it.
pub(in crate::control) fn is_fact(fact: FactId, short: [u8; 8]) -> bool {
    fact.0[..8] == short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_by_its_name_and_by_nothing_like_it() {
        let name = "cloud-claims-00ff00ff00ff00ff";
        let (subscription, short) = parse_name(name).unwrap();
        assert_eq!(subscription, "cloud-claims");
        let mut fact = [0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 1, 1, 1, 1, 1, 1, 1, 1];
        assert!(!is_fact(FactId(fact), short));
        fact[..8].copy_from_slice(&short);
        assert!(is_fact(FactId(fact), short));
        for other in ["cloud-claims", "-00ff00ff00ff00ff", "a-00FF00FF00FF00FF", "a-00ff", ""] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }
}
