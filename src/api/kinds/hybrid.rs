//! `hybrid.routerd.net`: on-prem and cloud, and the addresses that move between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optional::given;

/// The group's apiVersion.
pub const API_VERSION: &str = "hybrid.routerd.net/v1alpha1";

/// Routes into the overlay. Accepted; has no effect (condition `Active=False`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HybridRouteSpec {
    /// Destinations.
    #[serde(rename = "destinationCIDRs")]
    pub destination_cidrs: Vec<String>,
    /// The OverlayPeer.
    pub peer_ref: String,
    /// Where the routes go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
    /// What tells whether the peer is well.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub health_check_ref: Option<String>,
}

/// Where routes go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Install {
    /// `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<RouteTable>,
    /// The metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

/// The only table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RouteTable {
    /// The main table.
    Main,
}

/// A node at the other end of the overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverlayPeerSpec {
    /// Which side it is.
    pub role: Side,
    /// This side's node id.
    #[serde(rename = "nodeID")]
    pub node_id: String,
    /// What the overlay runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underlay: Option<Underlay>,
    /// The other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
}

/// On-prem or cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// On premises.
    Onprem,
    /// In a cloud.
    Cloud,
}

/// What the overlay runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Underlay {
    /// The technique.
    pub r#type: UnderlayType,
    /// The interface.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub interface: Option<String>,
    /// The address on it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub address: Option<String>,
}

/// Overlay techniques.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnderlayType {
    /// WireGuard.
    Wireguard,
    /// Tailscale.
    Tailscale,
    /// IPsec.
    Ipsec,
    /// A plain route.
    Route,
}

/// The other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Remote {
    /// Its node id.
    #[serde(
        default,
        rename = "nodeID",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub node_id: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub address: Option<String>,
}

/// A subnet whose addresses may live on either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressMobilityDomainSpec {
    /// IPv4 network.
    pub prefix: String,
    /// How addresses move.
    pub mode: MobilityMode,
    /// The OverlayPeer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub peer_ref: Option<String>,
}

/// How addresses move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MobilityMode {
    /// One by one.
    SelectiveAddress,
}

/// A cloud account, by reference: its credentials are never opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloudProviderProfileSpec {
    /// The cloud.
    pub provider: Provider,
    /// Azure's subscription.
    #[serde(
        default,
        rename = "subscriptionID",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub subscription_id: Option<String>,
    /// Azure's resource group.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub resource_group: Option<String>,
    /// What it can do, free text.
    pub capabilities: Vec<String>,
    /// How an executor would authenticate.
    pub auth: ProviderAuth,
}

/// Clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Azure.
    Azure,
    /// AWS.
    Aws,
    /// Oracle.
    Oci,
    /// Google.
    Gcp,
}

/// How an executor would authenticate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderAuth {
    /// `external-command`.
    pub mode: ProviderAuthMode,
    /// The command; never run from here.
    pub command: String,
}

/// The only mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderAuthMode {
    /// A command of the operator's.
    ExternalCommand,
}

/// One address that one side owns and the other delivers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoteAddressClaimSpec {
    /// The AddressMobilityDomain.
    pub domain_ref: String,
    /// An IPv4 /32 inside the domain.
    pub address: String,
    /// Who has it.
    pub owner_side: Side,
    /// How the other side attracts it.
    pub capture: Capture,
    /// How it gets back to its owner.
    pub delivery: Delivery,
}

/// How an address is attracted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capture {
    /// The technique.
    pub r#type: CaptureType,
    /// The CloudProviderProfile.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub provider_ref: Option<String>,
    /// How the provider does it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub provider_mode: Option<String>,
    /// The provider's NIC.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub nic_ref: Option<String>,
    /// The interface.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub interface: Option<String>,
    /// Announce it by gratuitous ARP.
    #[serde(default, rename = "gratuitousARP", skip_serializing_if = "Option::is_none")]
    pub gratuitous_arp: Option<bool>,
    /// Must be false: the address is never configured on this system.
    #[serde(default, rename = "configureOSAddress", skip_serializing_if = "Option::is_none")]
    pub configure_os_address: Option<bool>,
}

/// Capture techniques.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureType {
    /// A secondary address of a cloud NIC.
    ProviderSecondaryIp,
    /// Proxy ARP.
    ProxyArp,
}

/// How packets get back to the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delivery {
    /// The OverlayPeer.
    pub peer_ref: String,
    /// By route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<DeliveryMode>,
    /// The tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub tunnel_interface: Option<String>,
}

/// Delivery modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryMode {
    /// A route into the tunnel.
    Route,
}
