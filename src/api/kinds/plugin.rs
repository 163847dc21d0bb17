//! `plugin.routerd.net`: the executables that turn events into proposals.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optional::given;
use crate::api::duration::GoDuration;
use crate::api::value::Value;

/// The group's apiVersion.
pub const API_VERSION: &str = "plugin.routerd.net/v1alpha1";

/// One trusted local executable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginSpec {
    /// Absolute path.
    pub executable: String,
    /// Arguments after the path.
    #[serde(default)]
    pub args: Vec<String>,
    /// How long one run may take.
    #[serde(default = "default_timeout")]
    pub timeout: GoDuration,
    /// Environment beside PATH and the run's own variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What it may propose.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Kinds that it may produce beside the known ones.
    #[serde(default)]
    pub produces: Vec<Produces>,
    /// Batching.
    #[serde(default)]
    pub batch: Batch,
    /// Runs at the same time.
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    /// The digest that the executable must have, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub sha256: Option<String>,
    /// One process a run, or one for many.
    #[serde(default)]
    pub protocol: Protocol,
    /// Walls around the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// Accepted and carried, without effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Value>")]
    pub triggers: Vec<Value>,
    /// Accepted and carried, without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub context: Option<Value>,
}

fn default_timeout() -> GoDuration {
    GoDuration::from_secs(10)
}

fn default_concurrency() -> u32 {
    1
}

/// What a plugin may propose. `observe.*` gates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Capability {
    /// Declares that it looks at a cloud.
    #[serde(rename = "observe.cloud")]
    ObserveCloud,
    /// Declares that it looks at events.
    #[serde(rename = "observe.events")]
    ObserveEvents,
    /// May propose resources and directives.
    #[serde(rename = "propose.dynamicConfig")]
    ProposeDynamicConfig,
    /// May propose action plans.
    #[serde(rename = "propose.providerAction")]
    ProposeProviderAction,
}

impl Capability {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ObserveCloud => "observe.cloud",
            Self::ObserveEvents => "observe.events",
            Self::ProposeDynamicConfig => "propose.dynamicConfig",
            Self::ProposeProviderAction => "propose.providerAction",
        }
    }
}

/// A Kind that the plugin may produce.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Produces {
    /// Its apiVersion.
    pub api_version: String,
    /// Its Kind.
    pub kind: String,
}

/// Batching of events into runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// Events of one run at most.
    #[serde(default = "default_batch")]
    pub max_events: u32,
}

fn default_batch() -> u32 {
    1
}

impl Default for Batch {
    fn default() -> Self {
        Self { max_events: default_batch() }
    }
}

/// How the daemon speaks with the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// One process a run: a request on stdin, a result on stdout.
    #[default]
    Oneshot,
    /// One long-lived process: a request a line, a result a line.
    Stream,
}

impl Protocol {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oneshot => "oneshot",
            Self::Stream => "stream",
        }
    }
}

/// Walls around the process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sandbox {
    /// Run as this user.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub user: Option<String>,
    /// A read-only system and an own scratch directory.
    #[serde(default)]
    pub landlock: bool,
    /// `none` refuses sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<SandboxNetwork>,
    /// Address space at most, in bytes or like `256Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub memory: Option<String>,
    /// Processes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
}

impl Sandbox {
    /// `memory` in bytes; `None` where it is not given or not a size.
    pub fn memory_bytes(&self) -> Option<u64> {
        parse_size(self.memory.as_deref()?)
    }
}

/// A size as Kubernetes writes it: bytes, or a number and `Ki`, `Mi`, `Gi`, `k`, `M` or `G`.
fn parse_size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 6] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
    ];
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (digits, bytes) = unit.unwrap_or((text, 1));
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(bytes)
}

/// Network of a sandboxed plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SandboxNetwork {
    /// No sockets.
    None,
    /// As the daemon has it.
    Host,
}

/// Accepted for files of the Go program; has no effect (condition `Active=False`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DynamicConfigSourceSpec {
    /// The Plugin.
    pub plugin_ref: String,
    /// How long a result holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<GoDuration>,
    /// What happens on a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_policy: Option<MergePolicy>,
    /// Carried as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Value>")]
    pub triggers: Vec<Value>,
}

/// What happens on a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MergePolicy {
    /// `reject` is the only one.
    pub conflict: ConflictPolicy,
}

/// The only conflict policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConflictPolicy {
    /// The later proposal is left out.
    Reject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        let memory = |text: &str| {
            Sandbox { memory: Some(text.to_owned()), ..Sandbox::default() }.memory_bytes()
        };
        assert_eq!(memory("1024"), Some(1024));
        assert_eq!(memory("256Mi"), Some(256 << 20));
        assert_eq!(memory("1G"), Some(1_000_000_000));
        for text in ["", "Mi", "-1", "1.5Gi", "256 Mi", "256MB", "99999999999Gi"] {
            assert_eq!(memory(text), None, "{text}");
        }
    }
}
