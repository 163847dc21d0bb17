//! The plugin protocol: one PluginRequest in, one PluginResult out.

use serde::{Deserialize, Serialize};

use super::Time;
use super::duration::GoDuration;
use super::event::Event;
use super::value::Value;

/// The apiVersion of request and result.
pub const API_VERSION: &str = "plugin.routerd.net/v1alpha1";
/// The topic of a subscription's trigger, before the subscription's name.
pub const TOPIC: &str = "routerd.federation.subscription/";
/// The annotation that marks which event of a batch a resource answers.
pub const EVENT_MARK: &str = super::object::annotation::EVENT_ID;
/// The variable that tells a plugin how it is spoken to: `stream`, or it is not set.
pub const PROTOCOL: &str = "ROUTERD_PROTOCOL";

/// What a plugin reads on stdin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginRequest {
    /// [`API_VERSION`].
    pub api_version: String,
    /// `PluginRequest`.
    pub kind: String,
    /// The plugin's name.
    pub metadata: RequestMetadata,
    /// What is asked.
    pub spec: RequestSpec,
}

/// Names the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMetadata {
    /// The Plugin's `metadata.name`.
    pub name: String,
}

/// What is asked of the plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestSpec {
    /// Why it runs.
    pub trigger: Trigger,
    /// Node time at the start of the run.
    pub now: Time,
    /// The run key, when there is one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// Always empty: plugins never see the config.
    pub startup_config_hash: String,
    /// Generation of the part in force for the first event, 0 without one.
    pub previous_dynamic_generation: u64,
    /// The observed events.
    pub events: Vec<RequestEvent>,
}

/// Why a plugin runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// `federation-subscription`.
    pub r#type: String,
    /// [`TOPIC`] and the subscription's name.
    pub topic: String,
}

/// One event of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestEvent {
    /// The observed event.
    #[serde(flatten)]
    pub event: Event,
    /// The run key of this event.
    #[serde(default)]
    pub run_key: String,
    /// Generation of the part in force for this event, 0 without one.
    #[serde(default)]
    pub previous_dynamic_generation: u64,
}

/// What a plugin writes to stdout, as JSON or YAML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginResult {
    /// [`API_VERSION`].
    pub api_version: String,
    /// `PluginResult`.
    pub kind: String,
    /// Free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// What is proposed.
    #[serde(default)]
    pub status: ResultStatus,
}

/// What a plugin proposes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultStatus {
    /// When the plugin observed what it answers; default is the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,
    /// How long the result holds, 10 s to 30 d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<GoDuration>,
    /// Proposed resources.
    #[serde(default)]
    pub resources: Vec<Value>,
    /// Proposed directives.
    #[serde(default)]
    pub directives: Vec<Value>,
    /// Proposed provider actions.
    #[serde(default)]
    pub action_plans: Vec<Value>,
    /// Recorded, never emitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Value>,
}

#[cfg(test)]
mod tests;
