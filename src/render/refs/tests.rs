use serde_json::json;

use super::*;
use crate::api::kinds::{decode, references as typed};

#[test]
fn every_hard_reference_leads_to_a_lower_rank() {
    let rank_of = |(api, kind): (&str, &str)| rank(&ObjectKey::new(api, kind, "x"));
    for field in &FIELDS {
        assert!(rank_of(field.of) > rank_of(field.to), "{} {}", field.of.1, field.path);
    }
}

#[test]
fn an_address_is_one_host() {
    assert!(parse_address("10.0.0.9/32").is_some());
    for bad in ["10.0.0.9", "10.0.0.0/24", "10.0.0", "fd00::1/128", "", "10.0.0.9/032", "/32"] {
        assert_eq!(parse_address(bad), None, "{bad}");
    }
}

/// A spec of each Kind with every name that it can hold.
fn full(kind: &str) -> serde_json::Value {
    match kind {
        "EventPeer" => json!({"groupRef": "g", "nodeName": "n", "direction": "receive"}),
        "EventSubscription" => json!({"groupRef": "g", "match": {"types": ["t"]},
            "trigger": {"pluginRef": "p"}}),
        "DynamicConfigSource" => json!({"pluginRef": "p"}),
        "DynamicOverridePolicy" => json!({"allow": [{"source": "EventSubscription/s",
            "operations": ["mask"],
            "targets": [{"apiVersion": "v1", "kind": "Interface", "name": "i"}]}]}),
        "HybridRoute" => json!({"destinationCIDRs": ["10.0.0.0/8"], "peerRef": "p"}),
        "OverlayPeer" => json!({"role": "cloud", "nodeID": "n",
            "underlay": {"type": "wireguard", "interface": "i"}}),
        "AddressMobilityDomain" => json!({"prefix": "10.0.0.0/8", "mode": "selective-address",
            "peerRef": "p"}),
        "CloudProviderProfile" => json!({"provider": "aws", "capabilities": ["c"],
            "auth": {"mode": "external-command", "command": "c"}}),
        "RemoteAddressClaim" => json!({"domainRef": "d", "address": "10.0.0.1/32",
            "ownerSide": "onprem",
            "capture": {"type": "provider-secondary-ip", "providerRef": "p", "interface": "i"},
            "delivery": {"peerRef": "p", "tunnelInterface": "i"}}),
        "EventGroup" => json!({"nodeName": "n"}),
        "Plugin" => json!({"executable": "/bin/true"}),
        "ConfigOutput" => json!({"path": "/tmp/x"}),
        "WireGuardPeer" => {
            json!({"interface": "i", "publicKey": "k", "allowedIPs": ["10.0.0.0/8"]})
        }
        _ => json!({}),
    }
}

#[test]
fn the_table_has_exactly_the_hard_references_of_the_kinds() {
    for info in registry::KINDS.iter().filter(|info| info.kind != "DynamicConfigPart") {
        let body = json!({"apiVersion": info.api_version, "kind": info.kind,
            "metadata": {"name": "x"}, "spec": full(info.kind)});
        let key = ObjectKey::new(info.api_version, info.kind, "x");
        let resource = Resource { key, body: Value::from_serialize(&body).unwrap() };
        let spec = decode::spec_of(&resource).unwrap_or_else(|e| panic!("{}: {e:?}", info.kind));
        let expected: Vec<_> = typed::references(&spec)
            .into_iter()
            .filter(|reference| reference.hard)
            .map(|reference| (reference.path.clone(), reference.target()))
            .collect();
        let ours: Vec<_> =
            references(&resource).map(|r| (r.path.to_owned(), r.to.to_key())).collect();
        assert_eq!(ours, expected, "{}", info.kind);
    }
}
