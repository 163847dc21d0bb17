//! `net.routerd.net`: the WireGuard Kinds that the examples stand on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optional::given;

/// The group's apiVersion.
pub const API_VERSION: &str = "net.routerd.net/v1alpha1";

/// A WireGuard interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WireGuardInterfaceSpec {
    /// The key itself; redacted wherever it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub private_key: Option<String>,
    /// The file of the key.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub private_key_file: Option<String>,
    /// UDP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_port: Option<u16>,
    /// MTU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// A WireGuard peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WireGuardPeerSpec {
    /// The WireGuardInterface.
    pub interface: String,
    /// Any text.
    pub public_key: String,
    /// `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub endpoint: Option<String>,
    /// Networks behind it.
    #[serde(rename = "allowedIPs")]
    pub allowed_ips: Vec<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_keepalive: Option<u32>,
    /// The key itself; redacted wherever it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub preshared_key: Option<String>,
    /// The file of the key.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub preshared_key_file: Option<String>,
}
