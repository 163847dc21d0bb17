//! The printed document.

use std::sync::Arc;

use serde_json::json;

use super::fixtures::*;
use crate::api::accepted::Accepted;
use crate::api::object::Resource;
use crate::api::value::{Map, Value};
use crate::api::yaml::emit;
use crate::render::{Document, Effective};

fn yaml(effective: &Effective) -> String {
    Document(effective).yaml()
}

fn router(name: &str, body: &serde_json::Value) -> Resource {
    Resource { key: key("Router", name), body: Value::from_serialize(body).unwrap() }
}

#[test]
fn the_claim_of_the_guide_is_printed_like_this() {
    let world = [
        accepted(1, domain("cloudedge-same-subnet", "10.88.60.0/24")),
        accepted(2, overlay("onprem-main")),
        accepted(3, profile("example-provider")),
        accepted(4, resource("EventGroup", "cloudedge", &json!({"nodeName": "cloud-router"}))),
    ];
    let body = json!({
        "apiVersion": HYBRID, "kind": "RemoteAddressClaim",
        "metadata": {"name": "onprem-10-88-60-9",
            "annotations": {"routerd.net/event-id": "forged", "team": "edge"}},
        "spec": {
            "domainRef": "cloudedge-same-subnet", "address": "10.88.60.9/32",
            "ownerSide": "onprem",
            "capture": {"type": "provider-secondary-ip", "providerRef": "example-provider",
                "providerMode": "secondary-ip", "nicRef": "example-nic-ref",
                "configureOSAddress": false},
            "delivery": {"peerRef": "onprem-main", "mode": "route",
                "tunnelInterface": "wg-hybrid"}}});
    let claim = Resource {
        key: key("RemoteAddressClaim", "onprem-10-88-60-9"),
        body: Value::from_serialize(&body).unwrap(),
    };
    let mut proposed = part("cloud-claims", 9, vec![claim]);
    proposed.group = "cloudedge".into();
    proposed.event_id = "0198c5d0".into();
    proposed.subject = "10.88.60.9/32".into();
    let text = yaml(&render(&world, vec![proposed]));
    assert!(text.starts_with(
        "apiVersion: routerd.net/v1alpha1\n\
         kind: Router\n\
         metadata:\n  name: cloud-router\n\
         spec:\n  resources:\n  - apiVersion: hybrid.routerd.net/v1alpha1\n"
    ));
    let claim = "  - apiVersion: hybrid.routerd.net/v1alpha1
    kind: RemoteAddressClaim
    metadata:
      name: onprem-10-88-60-9
      annotations:
        routerd.net/event-id: 0198c5d0
        team: edge
        routerd.net/dynamic-source: EventSubscription/cloud-claims
        routerd.net/event-group: cloudedge
        routerd.net/event-subject: 10.88.60.9/32
    spec:
      domainRef: cloudedge-same-subnet
      address: 10.88.60.9/32
      ownerSide: onprem
      capture:
        type: provider-secondary-ip
        providerRef: example-provider
        providerMode: secondary-ip
        nicRef: example-nic-ref
        configureOSAddress: false
      delivery:
        peerRef: onprem-main
        mode: route
        tunnelInterface: wg-hybrid
";
    assert!(text.ends_with(claim), "{text}");
}

#[test]
fn printing_piece_by_piece_gives_the_bytes_of_the_whole() {
    let text = "first\n\n  indented\nlast\n";
    let world = [
        accepted(1, resource("Interface", "a", &json!({"script": text, "list": [[1, 2], {}, []]}))),
        accepted(2, router("r", &json!({"metadata": {"name": "r"}, "spec": {"a": {"b": 1}}}))),
    ];
    let out = render(&world, vec![part("s", 1, vec![overlay("x")])]);
    let mut whole: Map = out.header.value().as_map().unwrap().clone();
    let items: Vec<Value> = out.resources.iter().map(|o| o.body().into_owned()).collect();
    let spec = whole.get_mut("spec").unwrap().as_map_mut().unwrap();
    spec.insert("resources", items);
    assert_eq!(yaml(&out), emit(&Value::Map(whole.clone())));
    assert_eq!(
        Document(&out).json().unwrap(),
        serde_json::to_string_pretty(&Value::Map(whole)).unwrap() + "\n"
    );
}

#[test]
fn the_document_is_named_by_the_only_router_then_by_the_groups_then_by_default() {
    let named = |world: &[Arc<Accepted>]| render(world, vec![]).header.name().to_owned();
    let group = |line, node: &str| {
        accepted(line, resource("EventGroup", &format!("g{line}"), &json!({"nodeName": node})))
    };
    let only = accepted(1, router("edge", &json!({"metadata": {"name": "edge"}})));
    let second = accepted(2, router("core", &json!({"metadata": {"name": "core"}})));
    assert_eq!(named(&[]), "routerd");
    assert_eq!(named(&[group(3, "a"), group(4, "a")]), "a");
    assert_eq!(named(&[group(3, "a"), group(4, "b")]), "routerd");
    assert_eq!(named(&[only.clone(), group(3, "a")]), "edge");
    assert_eq!(named(&[only, second, group(3, "a")]), "a");
}

#[test]
fn routers_are_carried_around_the_resources_and_never_among_them() {
    let one = accepted(
        1,
        router(
            "edge",
            &json!({
        "metadata": {"name": "edge", "labels": {"site": "x"}},
        "spec": {"hostname": "h", "version": 1}}),
        ),
    );
    let out = render(std::slice::from_ref(&one), vec![]);
    assert_eq!(
        yaml(&out),
        "apiVersion: routerd.net/v1alpha1\nkind: Router\nmetadata:\n  name: edge\n  labels:\n    \
         site: x\nspec:\n  hostname: h\n  version: 1\n  resources: []\n"
    );
    let two = accepted(
        2,
        router(
            "core",
            &json!({
        "metadata": {"name": "core", "labels": {"site": "y"}},
        "spec": {"hostname": "other", "domain": "d"}}),
        ),
    );
    let out = render(&[two, one], vec![]);
    assert_eq!(
        yaml(&out),
        "apiVersion: routerd.net/v1alpha1\nkind: Router\nmetadata:\n  name: routerd\nspec:\n  \
         hostname: h\n  version: 1\n  domain: d\n  resources: []\n"
    );
    let told: Vec<String> = out
        .report
        .startup_problems
        .iter()
        .map(|p| format!("{} {}: {}", p.object, p.reason.as_str(), p.message))
        .collect();
    assert_eq!(
        told,
        [
            "Router/core MemberConflict: spec.hostname: Router/edge at a.yaml:1 has it too and comes \
          first; this value is not in the effective config"
        ]
    );
}

#[test]
fn inline_keys_never_show() {
    let world = [
        accepted(1, resource("WireGuardInterface", "wg", &json!({"privateKey": "SECRET"}))),
        accepted(2, resource("WireGuardPeer", "p", &json!({"publicKey": "pub"}))),
    ];
    let peer = resource("WireGuardPeer", "q", &json!({"presharedKey": "SECRET"}));
    let out = render(&world, vec![part("s", 1, vec![peer])]);
    for text in [yaml(&out), Document(&out).json().unwrap()] {
        assert!(!text.contains("SECRET"), "{text}");
        assert_eq!(text.matches("REDACTED").count(), 2, "{text}");
        assert!(text.contains("pub"));
    }
}
