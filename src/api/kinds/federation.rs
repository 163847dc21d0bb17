//! `federation.routerd.net`: groups, peers and subscriptions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optional::given;
use crate::api::duration::GoDuration;

/// The group's apiVersion.
pub const API_VERSION: &str = "federation.routerd.net/v1alpha1";

/// One federation of nodes, as this node takes part in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventGroupSpec {
    /// This node's name in the group.
    pub node_name: String,
    /// How much history is kept.
    #[serde(default)]
    pub retention: Retention,
    /// What the group may grow to.
    #[serde(default)]
    pub limits: GroupLimits,
    /// Where peers may push to this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<Listen>,
    /// How peers prove that they belong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<GroupAuth>,
    /// How far a sender's clock may be off.
    #[serde(default = "default_replay_window")]
    pub replay_window: GoDuration,
}

fn default_replay_window() -> GoDuration {
    GoDuration::from_secs(300)
}

/// Bounds of the history. Current events and what is owed to a peer are never pruned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// Events kept at most.
    #[serde(default = "default_max_events")]
    pub max_events: u64,
    /// How long an event is kept; also how long a fact without `expiresAt` lives.
    #[serde(default = "default_max_age")]
    pub max_age: GoDuration,
}

fn default_max_events() -> u64 {
    100_000
}

fn default_max_age() -> GoDuration {
    GoDuration::from_secs(24 * 3600)
}

impl Default for Retention {
    fn default() -> Self {
        Self { max_events: default_max_events(), max_age: default_max_age() }
    }
}

/// Limits of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupLimits {
    /// Live facts at most; beyond it new facts are refused.
    #[serde(default = "default_max_live_facts")]
    pub max_live_facts: u64,
}

fn default_max_live_facts() -> u64 {
    100_000
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self { max_live_facts: default_max_live_facts() }
    }
}

/// The listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listen {
    /// The address to bind, exactly; never a wildcard by default.
    pub address: String,
    /// The TCP port.
    pub port: u16,
    /// Serve https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenTls>,
}

/// The listener's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenTls {
    /// PEM chain.
    pub cert_file: String,
    /// PEM key, private to its owner.
    pub key_file: String,
    /// PEM of the CA that peers' certificates must come from; makes it mutual.
    #[serde(
        default,
        rename = "clientCAFile",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub client_ca_file: Option<String>,
}

/// How members prove themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupAuth {
    /// `hmac` or, explicitly, `none`.
    #[serde(default)]
    pub mode: AuthMode,
    /// The file of the group's secret.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub secret_file: Option<String>,
    /// Another name that the same file may be given by.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub secret_ref: Option<String>,
}

/// Authentication mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AuthMode {
    /// Signed with a shared secret.
    #[default]
    Hmac,
    /// Not at all.
    None,
}

/// Another node of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventPeerSpec {
    /// The EventGroup.
    pub group_ref: String,
    /// The peer's name in the group.
    pub node_name: String,
    /// Where to push; required unless `direction` is `receive`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub endpoint: Option<String>,
    /// Which way events go.
    #[serde(default)]
    pub direction: Direction,
    /// Only these types; empty means all; both directions.
    #[serde(default)]
    pub types: Vec<String>,
    /// Only subjects with one of these beginnings; empty means all; both directions.
    #[serde(default)]
    pub subject_prefixes: Vec<String>,
    /// The peer's own secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<PeerAuth>,
    /// How to speak https to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<PeerTls>,
    /// How fast it may send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// Direction of a peering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// From here to the peer.
    #[default]
    Push,
    /// From the peer to here.
    Receive,
    /// Both.
    Both,
}

/// The secret that admits one peer only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerAuth {
    /// The file of the secret.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub secret_file: Option<String>,
    /// Two files while a secret is rotated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_files: Vec<String>,
}

/// Client side of https.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerTls {
    /// PEM of the CA of the peer's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub ca_file: Option<String>,
    /// PEM of this node's certificate, for mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub cert_file: Option<String>,
    /// PEM of this node's key.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub key_file: Option<String>,
    /// The name to find in the peer's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub server_name: Option<String>,
}

/// A rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Events per second.
    pub per_second: f64,
    /// Events at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// Which facts run which plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["groupRef", "match", "trigger"]))]
pub struct EventSubscriptionSpec {
    /// The EventGroup.
    pub group_ref: String,
    /// Which facts.
    // Required: the default lets the check say what must stand in it.
    #[serde(default)]
    #[schemars(!default)]
    pub r#match: Match,
    /// Which plugin, and when.
    pub trigger: TriggerSpec,
    /// What happens to a part whose fact ended.
    #[serde(default)]
    pub retire: Retire,
    /// Start no runs; what is there lives on to its end.
    #[serde(default)]
    pub suspend: bool,
}

/// All given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["types"]))]
pub struct Match {
    /// Event types, exactly; at least one, none blank.
    #[serde(default)]
    #[schemars(!default, length(min = 1))]
    pub types: Vec<String>,
    /// Subjects that begin with one of these.
    #[serde(default)]
    pub subject_prefixes: Vec<String>,
    /// Subjects that are an address or network inside one of these.
    #[serde(default, rename = "subjectCIDRs")]
    pub subject_cidrs: Vec<String>,
    /// Payload entries that must be equal.
    #[serde(default)]
    pub payload: BTreeMap<String, String>,
    /// Observers.
    #[serde(default)]
    pub source_nodes: Vec<String>,
    /// Types that end facts of the same subject or dedupeKey.
    #[serde(default)]
    pub retract_types: Vec<String>,
}

/// What runs, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TriggerSpec {
    /// The Plugin.
    pub plugin_ref: String,
    /// Collect this long before a run.
    #[serde(default)]
    pub batch_window: GoDuration,
    /// Wait for this much quiet before a run.
    #[serde(default)]
    pub debounce: GoDuration,
    /// What a failing run gets.
    #[serde(default)]
    pub retry: Retry,
}

/// Retries of a failing run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// Attempts before the event is dead-lettered.
    #[serde(default = "default_attempts")]
    pub max_attempts: u32,
    /// Pause after the first failure; doubles.
    #[serde(default = "default_backoff")]
    pub backoff: GoDuration,
    /// Longest pause.
    #[serde(default = "default_max_backoff")]
    pub max_backoff: GoDuration,
}

fn default_attempts() -> u32 {
    5
}

fn default_backoff() -> GoDuration {
    GoDuration::from_secs(1)
}

fn default_max_backoff() -> GoDuration {
    GoDuration::from_secs(300)
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: default_attempts(),
            backoff: default_backoff(),
            max_backoff: default_max_backoff(),
        }
    }
}

/// Retiring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retire {
    /// How long a part outlives its fact: the hysteresis for a flapping client.
    #[serde(default)]
    pub grace: GoDuration,
}
