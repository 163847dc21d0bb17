//! The guide: one event becomes one claim that names its cause.

use serde_json::{Value, json};

use crate::harness::{GUIDE_EVENT, Node};

fn claim(node: &Node) -> Value {
    let resources = node.effective();
    let mut claims = resources.into_iter().filter(|r| r["kind"] == "RemoteAddressClaim");
    let claim = claims.next().expect("a claim");
    assert_eq!(claims.next(), None, "one event makes one claim");
    claim
}

fn annotations(event_id: &str) -> Value {
    json!({
        "routerd.net/dynamic-source": "EventSubscription/cloud-claims",
        "routerd.net/event-group": "cloudedge",
        "routerd.net/event-id": event_id,
        "routerd.net/event-subject": "10.88.60.9/32",
    })
}

#[test]
fn the_event_of_the_guide_becomes_a_claim_that_names_its_cause() {
    let node = Node::of_the_guide();
    let _daemon = node.serve();
    let answer = node.ctl(&format!("{GUIDE_EVENT} -o json")).json();
    assert_eq!((&answer["accepted"], &answer["duplicate"]), (&json!(true), &json!(false)));
    let id = answer["id"].as_str().expect("an id");
    node.converge();

    let claim = claim(&node);
    assert_eq!(claim["apiVersion"], "hybrid.routerd.net/v1alpha1");
    assert_eq!(claim["metadata"]["name"], "onprem-10-88-60-9");
    assert_eq!(claim["metadata"]["annotations"], annotations(id));
    assert_eq!(
        claim["spec"],
        json!({
            "domainRef": "cloudedge-same-subnet",
            "address": "10.88.60.9/32",
            "ownerSide": "onprem",
            "capture": {
                "type": "provider-secondary-ip",
                "providerRef": "example-provider",
                "providerMode": "secondary-ip",
                "nicRef": "example-nic-ref",
                "configureOSAddress": false,
            },
            "delivery": {"peerRef": "onprem-main", "mode": "route", "tunnelInterface": "wg-hybrid"},
        })
    );

    let parts = node.parts();
    assert_eq!(parts.len(), 1, "{parts:#?}");
    let part = &parts[0];
    assert_eq!(part["kind"], "DynamicConfigPart");
    assert_eq!(part["metadata"]["annotations"], annotations(id));
    assert_eq!(part["spec"]["source"], "EventSubscription/cloud-claims");
    assert_eq!(part["spec"]["generation"], 1);
    assert_eq!(part["status"]["served"], true);
}

#[test]
fn an_address_outside_the_domain_is_left_out_and_the_report_says_why() {
    let node = Node::of_the_guide();
    let text = std::fs::read_to_string(node.conf("router.yaml")).expect("manifest");
    node.write(
        "router.yaml",
        &text.replace("subjectCIDRs: [10.88.60.0/24]", "subjectPrefixes: [10.]"),
    );
    let _daemon = node.serve();
    let elsewhere = GUIDE_EVENT.replace("10.88.60.9", "10.99.0.1");
    node.ctl(&elsewhere).exits(0);
    node.converge();
    assert!(node.effective().iter().all(|r| r["kind"] != "RemoteAddressClaim"));
    let report = node.ctl("render --report").exits(0).stdout;
    assert!(report.contains("onprem-10-99-0-1") && report.contains("10.88.60.0/24"), "{report}");
    assert_eq!(node.status()["effective"]["leftOut"], 1);
}

#[test]
fn an_event_of_another_type_or_subject_or_sender_runs_nothing() {
    let node = Node::of_the_guide();
    let _daemon = node.serve();
    for (from, to) in [
        ("routerd.client.ipv4.observed", "routerd.client.ipv6.observed"),
        ("--subject 10.88.60.9/32", "--subject 10.88.61.9/32"),
        ("onprem-router", "another-router"),
    ] {
        node.ctl(&GUIDE_EVENT.replace(from, to)).exits(0);
    }
    node.converge();
    assert_eq!(node.parts(), Vec::<Value>::new());
    assert_eq!(node.ctl("get runs -o json").json(), json!([]));
}

#[test]
fn yaml_and_json_render_the_same_config() {
    let node = Node::of_the_guide();
    let _daemon = node.serve();
    node.ctl(GUIDE_EVENT).exits(0);
    node.converge();
    let yaml = node.ctl("render").exits(0).stdout;
    let from_yaml: Value = serde_yaml_value(&yaml);
    assert_eq!(from_yaml, node.ctl("render -o json").json());
    assert_eq!(from_yaml["kind"], "Router");
    assert_eq!(from_yaml["metadata"]["name"], "cloud-router");
}

fn serde_yaml_value(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_else(|e| panic!("{e}:\n{text}"))
}
