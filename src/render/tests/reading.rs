//! `diff` and `explain`.

use serde_json::json;

use super::fixtures::*;
use crate::render::{Cause, diff, explain};

#[test]
fn a_diff_names_what_came_went_and_changed_down_to_the_field() {
    let before = render(
        &base(),
        vec![part("s", 1, vec![claim("a", "domain", "10.0.0.1/32"), overlay("gone")])],
    );
    let mut world = base();
    world.push(accepted(9, resource("EventGroup", "g", &json!({"nodeName": "n"}))));
    let mut changed = part("s", 1, vec![claim("a", "domain", "10.0.0.2/32"), overlay("new")]);
    changed.event_id = "later".into();
    let out = diff(&before, &render(&world, vec![changed]));
    let words = |keys: &[crate::api::object::ObjectKey]| -> Vec<String> {
        keys.iter().map(ToString::to_string).collect()
    };
    assert_eq!(words(&out.added), ["EventGroup/g", "OverlayPeer/new"]);
    assert_eq!(words(&out.removed), ["OverlayPeer/gone"]);
    assert_eq!(out.document[0].path, "metadata.name");
    let paths: Vec<_> = out.changed[0].fields.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["metadata.annotations.routerd.net/event-id", "spec.address"]);
    assert_eq!(out.changed[0].fields[1].before.as_ref().unwrap().as_str(), Some("10.0.0.1/32"));
    assert!(diff(&before, &before).is_empty());
}

#[test]
fn lists_are_compared_place_by_place() {
    let world = |list| [accepted(1, resource("Interface", "i", &json!({ "list": list })))];
    let out =
        diff(&render(&world(json!([1, 2])), vec![]), &render(&world(json!([1, 3, 4])), vec![]));
    let paths: Vec<_> = out.changed[0].fields.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["spec.list[1]", "spec.list[2]"]);
}

#[test]
fn an_explanation_leads_from_the_resource_to_its_cause() {
    let claims = part("s", 1, vec![claim("a", "domain", "10.0.0.1/32")]);
    let rival = part("t", 2, vec![claim("a", "domain", "10.0.0.1/32")]);
    let out = render(&base(), vec![claims, rival]);
    let found = explain(&out, &key("RemoteAddressClaim", "a")).unwrap();
    let Some(Cause::Dynamic { part, event_id, plugin, run_key, .. }) = &found.cause else {
        panic!("{found:?}")
    };
    assert_eq!(
        (part.as_str(), event_id.as_str(), plugin.as_str(), run_key.as_str()),
        ("s-0101010101010101", "event-1", "plugin", "run")
    );
    assert_eq!(found.left_out[0].subscription, "t");

    let found = explain(&out, &key("OverlayPeer", "peer")).unwrap();
    assert_eq!(
        serde_json::to_value(found.cause).unwrap(),
        json!({"origin": "startup", "uid": "uid-2", "generation": 1,
            "acceptedAt": "1970-01-01T00:00:02Z",
            "source": {"file": "a.yaml", "document": 2, "index": null, "line": 2, "column": 1}})
    );
    assert_eq!(explain(&out, &key("OverlayPeer", "nobody")), None);
}

#[test]
fn the_report_has_stable_camel_case_json() {
    let mut world = base();
    let target = key("OverlayPeer", "peer");
    world.push(accepted(4, policy("p", "EventSubscription/s", std::slice::from_ref(&target))));
    world.push(accepted(5, claim("c", "domain", "10.0.0.1/32")));
    let masks = masking(part("s", 1, vec![overlay("x")]), target);
    let out = render(&world, vec![masks, masking(part("t", 2, vec![]), key("OverlayPeer", "x"))]);
    assert_eq!(
        serde_json::to_value(&out.report).unwrap(),
        json!({
            "leftOut": [{
                "object": {"apiVersion": HYBRID, "kind": "OverlayPeer", "name": "x"},
                "directive": "mask",
                "part": "t-0202020202020202", "subscription": "t", "eventId": "event-2",
                "reason": "MaskNotAllowed",
                "message": "no DynamicOverridePolicy allows EventSubscription/t to mask OverlayPeer/x",
                "since": "1970-01-01T00:01:00Z"}],
            "masked": [{
                "object": {"apiVersion": HYBRID, "kind": "OverlayPeer", "name": "peer"},
                "source": {"file": "a.yaml", "document": 2, "index": null, "line": 2, "column": 1},
                "by": [{"part": "s-0101010101010101", "subscription": "s", "eventId": "event-1",
                    "policy": "p", "reason": "it moved to the cloud"}],
                "since": "1970-01-01T00:01:00Z"}],
            "startupProblems": [{
                "object": {"apiVersion": HYBRID, "kind": "RemoteAddressClaim", "name": "c"},
                "source": {"file": "a.yaml", "document": 5, "index": null, "line": 5, "column": 1},
                "reason": "Unresolved",
                "message": "spec.delivery.peerRef: OverlayPeer/peer is not in the effective config",
                "since": "1970-01-01T00:00:02Z"}],
        })
    );
}
