//! `config.routerd.net`: what may override the startup config, and who is given the result.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::Time;
use crate::api::duration::GoDuration;
use crate::api::part::{Directive, DirectiveOp};
use crate::api::value::Value;

/// The group's apiVersion.
pub const API_VERSION: &str = "config.routerd.net/v1alpha1";

/// Which source may do what to which startup resources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DynamicOverridePolicySpec {
    /// What is allowed; all else is not.
    pub allow: Vec<Allow>,
}

/// One permission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allow {
    /// The part's source: `EventSubscription/<name>`.
    pub source: String,
    /// Allowed operations.
    pub operations: Vec<DirectiveOp>,
    /// Allowed targets.
    pub targets: Vec<Target>,
}

impl Allow {
    /// What every source begins with.
    pub const SOURCE: &str = "EventSubscription/";

    /// The subscription that `source` names.
    pub fn subscription(&self) -> Option<&str> {
        self.source.strip_prefix(Self::SOURCE)
    }
}

/// A startup resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Its apiVersion.
    pub api_version: String,
    /// Its Kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Writes selected resources of the effective config to a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigOutputSpec {
    /// The file, absolute.
    pub path: String,
    /// Its format.
    #[serde(default)]
    pub format: OutputFormat,
    /// Which Kinds; empty means all.
    #[serde(default)]
    pub select: Vec<Select>,
    /// What to run after the file changed, until it exits 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_change: Option<OnChange>,
}

/// Format of an output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OutputFormat {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
}

/// A Kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Select {
    /// Its apiVersion.
    pub api_version: String,
    /// Its Kind.
    pub kind: String,
}

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnChange {
    /// Absolute path.
    pub executable: String,
    /// Arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// How long one run may take.
    #[serde(default = "default_timeout")]
    pub timeout: GoDuration,
}

fn default_timeout() -> GoDuration {
    GoDuration::from_secs(30)
}

/// What one subscription makes of one fact, as it is shown. Never read from a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DynamicConfigPartSpec {
    /// `EventSubscription/<name>`.
    pub source: String,
    /// Counts changes of the content.
    pub generation: u64,
    /// When the plugin observed what it answered.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub observed_at: Time,
    /// When it ends if nothing else happens.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires_at: Time,
    /// Digest of the content.
    pub digest: String,
    /// Proposed resources, inline keys redacted.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub resources: Vec<Value>,
    /// Proposed directives.
    pub directives: Vec<Directive>,
    /// Proposed provider actions: shown, never executed.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub action_plans: Vec<Value>,
}
