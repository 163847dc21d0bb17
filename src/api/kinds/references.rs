//! Which other resources a resource names.

use super::spec::Spec;
use super::{config, federation, hybrid, net, plugin};
use crate::api::object::ObjectKey;

/// One name of another resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The field, such as `spec.trigger.pluginRef`.
    pub path: String,
    /// The apiVersion of what it names.
    pub api_version: String,
    /// The Kind of what it names.
    pub kind: String,
    /// The name.
    pub name: String,
    /// Whether what it names must be there. A soft one that is not only warns: the thing may exist
    /// outside of the config.
    pub hard: bool,
}

impl Reference {
    fn new(path: &str, api_version: &str, kind: &str, name: &str, hard: bool) -> Self {
        Self {
            path: path.to_owned(),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            hard,
        }
    }

    /// The key of what it names.
    pub fn target(&self) -> ObjectKey {
        ObjectKey::new(&*self.api_version, &*self.kind, &*self.name)
    }
}

/// The names in a spec, in the order of its fields.
pub fn references(spec: &Spec) -> Vec<Reference> {
    let group = |name: &str| {
        Reference::new("spec.groupRef", federation::API_VERSION, "EventGroup", name, true)
    };
    let plugin = |path, name: &str| Reference::new(path, plugin::API_VERSION, "Plugin", name, true);
    let peer = |path, name: &str, hard| {
        Reference::new(path, hybrid::API_VERSION, "OverlayPeer", name, hard)
    };
    match spec {
        Spec::EventPeer(spec) => vec![group(&spec.group_ref)],
        Spec::EventSubscription(spec) => {
            vec![group(&spec.group_ref), plugin("spec.trigger.pluginRef", &spec.trigger.plugin_ref)]
        }
        Spec::DynamicConfigSource(spec) => vec![plugin("spec.pluginRef", &spec.plugin_ref)],
        Spec::DynamicOverridePolicy(spec) => policy(spec),
        Spec::HybridRoute(spec) => vec![peer("spec.peerRef", &spec.peer_ref, false)],
        Spec::OverlayPeer(spec) => overlay(spec),
        Spec::AddressMobilityDomain(spec) => {
            spec.peer_ref.iter().map(|name| peer("spec.peerRef", name, true)).collect()
        }
        Spec::RemoteAddressClaim(spec) => claim(spec),
        Spec::WireGuardPeer(spec) => vec![wireguard("spec.interface", &spec.interface)],
        Spec::Router(_)
        | Spec::EventGroup(_)
        | Spec::Plugin(_)
        | Spec::ConfigOutput(_)
        | Spec::CloudProviderProfile(_)
        | Spec::WireGuardInterface(_)
        | Spec::Opaque => Vec::new(),
    }
}

/// An interface by name: soft, since interfaces exist without a resource of ours.
fn wireguard(path: &str, name: &str) -> Reference {
    Reference::new(path, net::API_VERSION, "WireGuardInterface", name, false)
}

fn policy(spec: &config::DynamicOverridePolicySpec) -> Vec<Reference> {
    let mut found = Vec::new();
    for (index, allow) in spec.allow.iter().enumerate() {
        let path = format!("spec.allow[{index}]");
        if let Some(name) = allow.subscription() {
            let path = format!("{path}.source");
            let version = federation::API_VERSION;
            found.push(Reference::new(&path, version, "EventSubscription", name, false));
        }
        for (index, target) in allow.targets.iter().enumerate() {
            let path = format!("{path}.targets[{index}]");
            let (version, kind, name) = (&target.api_version, &target.kind, &target.name);
            found.push(Reference::new(&path, version, kind, name, false));
        }
    }
    found
}

fn overlay(spec: &hybrid::OverlayPeerSpec) -> Vec<Reference> {
    let Some(underlay) = &spec.underlay else { return Vec::new() };
    match (&underlay.r#type, &underlay.interface) {
        (hybrid::UnderlayType::Wireguard, Some(name)) => {
            vec![wireguard("spec.underlay.interface", name)]
        }
        // The other techniques have no Kind of ours that could be looked for.
        _ => Vec::new(),
    }
}

fn claim(spec: &hybrid::RemoteAddressClaimSpec) -> Vec<Reference> {
    let hard = |path, kind, name: &str| Reference::new(path, hybrid::API_VERSION, kind, name, true);
    let mut found = vec![hard("spec.domainRef", "AddressMobilityDomain", &spec.domain_ref)];
    if let Some(name) = &spec.capture.provider_ref {
        found.push(hard("spec.capture.providerRef", "CloudProviderProfile", name));
    }
    if let Some(name) = &spec.capture.interface {
        let path = "spec.capture.interface";
        found.push(Reference::new(path, net::API_VERSION, "Interface", name, false));
    }
    found.push(hard("spec.delivery.peerRef", "OverlayPeer", &spec.delivery.peer_ref));
    if let Some(name) = &spec.delivery.tunnel_interface {
        found.push(wireguard("spec.delivery.tunnelInterface", name));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::decode::decode_value;
    use crate::api::value::Value;

    fn named(kind: &str, api_version: &str, spec: &serde_json::Value) -> Vec<String> {
        let resource = serde_json::json!({
            "apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec,
        });
        let value = Value::from_serialize(&resource).unwrap();
        let decoded = decode_value(&value, "").unwrap();
        references(&decoded.spec)
            .iter()
            .map(|r| format!("{} -> {}{}", r.path, r.target(), if r.hard { "" } else { " (soft)" }))
            .collect()
    }

    #[test]
    fn a_claim_names_its_domain_its_provider_and_its_peer() {
        let spec = serde_json::json!({
            "domainRef": "d", "address": "10.0.0.1/32", "ownerSide": "onprem",
            "capture": {"type": "provider-secondary-ip", "providerRef": "p", "interface": "eth0"},
            "delivery": {"peerRef": "o", "mode": "route", "tunnelInterface": "wg-hybrid"},
        });
        assert_eq!(
            named("RemoteAddressClaim", hybrid::API_VERSION, &spec),
            [
                "spec.domainRef -> AddressMobilityDomain/d",
                "spec.capture.providerRef -> CloudProviderProfile/p",
                "spec.capture.interface -> Interface/eth0 (soft)",
                "spec.delivery.peerRef -> OverlayPeer/o",
                "spec.delivery.tunnelInterface -> WireGuardInterface/wg-hybrid (soft)",
            ]
        );
    }

    #[test]
    fn an_empty_optional_name_names_nothing() {
        let domain = serde_json::json!({
            "prefix": "10.0.0.0/8", "mode": "selective-address", "peerRef": "",
        });
        assert!(named("AddressMobilityDomain", hybrid::API_VERSION, &domain).is_empty());
        let claim = serde_json::json!({
            "domainRef": "d", "address": "10.0.0.1/32", "ownerSide": "onprem",
            "capture": {"type": "proxy-arp", "providerRef": " "}, "delivery": {"peerRef": "o"},
        });
        assert_eq!(named("RemoteAddressClaim", hybrid::API_VERSION, &claim).len(), 2);
    }

    #[test]
    fn subscriptions_peers_and_policies_name_what_they_need() {
        let subscription = serde_json::json!({
            "groupRef": "g", "match": {"types": ["t"]}, "trigger": {"pluginRef": "p"},
        });
        assert_eq!(
            named("EventSubscription", federation::API_VERSION, &subscription),
            ["spec.groupRef -> EventGroup/g", "spec.trigger.pluginRef -> Plugin/p"]
        );
        let peer = serde_json::json!({
            "groupRef": "g", "nodeName": "n", "direction": "receive",
        });
        assert_eq!(
            named("EventPeer", federation::API_VERSION, &peer),
            ["spec.groupRef -> EventGroup/g"]
        );
        let policy = serde_json::json!({"allow": [{
            "source": "EventSubscription/s", "operations": ["mask"],
            "targets": [{"apiVersion": "net.routerd.net/v1alpha1", "kind": "IPv4Route", "name": "r"}],
        }]});
        assert_eq!(
            named("DynamicOverridePolicy", config::API_VERSION, &policy),
            [
                "spec.allow[0].source -> EventSubscription/s (soft)",
                "spec.allow[0].targets[0] -> IPv4Route/r (soft)",
            ]
        );
        let overlay = |r#type| {
            serde_json::json!({
                "role": "cloud", "nodeID": "n", "underlay": {"type": r#type, "interface": "i"},
            })
        };
        let found = named("OverlayPeer", hybrid::API_VERSION, &overlay("wireguard"));
        assert_eq!(found, ["spec.underlay.interface -> WireGuardInterface/i (soft)"]);
        assert!(named("OverlayPeer", hybrid::API_VERSION, &overlay("ipsec")).is_empty());
    }
}
