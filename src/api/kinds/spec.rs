//! A typed spec of any Kind.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::config::{ConfigOutputSpec, DynamicOverridePolicySpec};
use super::federation::{EventGroupSpec, EventPeerSpec, EventSubscriptionSpec};
use super::hybrid::{
    AddressMobilityDomainSpec, CloudProviderProfileSpec, HybridRouteSpec, OverlayPeerSpec,
    RemoteAddressClaimSpec,
};
use super::net::{WireGuardInterfaceSpec, WireGuardPeerSpec};
use super::place::Place;
use super::plugin::{DynamicConfigSourceSpec, PluginSpec};
use super::router::RouterSpec;

/// What the spec of a Kind can do beside being decoded.
pub(super) trait KindSpec: DeserializeOwned + JsonSchema + Into<Spec> {
    /// Complains about what the types let through. `at` is the place of the spec.
    fn check(&self, at: &Place<'_>);

    /// The spec of a resource that has none, if it may have none.
    fn absent() -> Option<Self> {
        None
    }
}

macro_rules! specs {
    ($($kind:ident($spec:ty)),* $(,)?) => {
        /// The spec of one resource, by its Kind. Boxed: the sizes differ much.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Spec {
            $(
                #[doc = concat!("Of a ", stringify!($kind), ".")]
                $kind(Box<$spec>),
            )*
            /// Of a Kind that is carried, not known.
            Opaque,
        }

        $(
            impl From<$spec> for Spec {
                fn from(spec: $spec) -> Self {
                    Self::$kind(Box::new(spec))
                }
            }
        )*
    };
}

specs! {
    Router(RouterSpec),
    EventGroup(EventGroupSpec),
    EventPeer(EventPeerSpec),
    EventSubscription(EventSubscriptionSpec),
    Plugin(PluginSpec),
    DynamicConfigSource(DynamicConfigSourceSpec),
    DynamicOverridePolicy(DynamicOverridePolicySpec),
    ConfigOutput(ConfigOutputSpec),
    HybridRoute(HybridRouteSpec),
    OverlayPeer(OverlayPeerSpec),
    AddressMobilityDomain(AddressMobilityDomainSpec),
    CloudProviderProfile(CloudProviderProfileSpec),
    RemoteAddressClaim(RemoteAddressClaimSpec),
    WireGuardInterface(WireGuardInterfaceSpec),
    WireGuardPeer(WireGuardPeerSpec),
}
