//! Small worlds to render.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::api::Time;
use crate::api::accepted::{Accepted, SourceRef};
use crate::api::fact::FactId;
use crate::api::object::{ObjectKey, Resource};
use crate::api::part::{Directive, DirectiveOp, Part};
use crate::api::value::Value;
use crate::render::{Effective, Input, effective};

pub const HYBRID: &str = "hybrid.routerd.net/v1alpha1";
pub const FEDERATION: &str = "federation.routerd.net/v1alpha1";
pub const CONFIG: &str = "config.routerd.net/v1alpha1";
pub const NET: &str = "net.routerd.net/v1alpha1";

pub fn at(second: i64) -> Time {
    Time::from_second(second).unwrap()
}

pub fn key(kind: &str, name: &str) -> ObjectKey {
    let group = match kind {
        "EventGroup" | "EventPeer" | "EventSubscription" => FEDERATION,
        "DynamicOverridePolicy" | "ConfigOutput" => CONFIG,
        "Router" => "routerd.net/v1alpha1",
        "Interface" | "WireGuardInterface" | "WireGuardPeer" => NET,
        _ => HYBRID,
    };
    ObjectKey::new(group, kind, name)
}

pub fn resource(kind: &str, name: &str, spec: &Json) -> Resource {
    let key = key(kind, name);
    let body = json!({"apiVersion": key.api_version, "kind": kind,
        "metadata": {"name": name}, "spec": spec});
    Resource { key, body: Value::from_serialize(&body).unwrap() }
}

pub fn domain(name: &str, prefix: &str) -> Resource {
    resource("AddressMobilityDomain", name, &json!({"prefix": prefix, "mode": "selective-address"}))
}

pub fn overlay(name: &str) -> Resource {
    resource("OverlayPeer", name, &json!({"role": "onprem", "nodeID": name}))
}

pub fn profile(name: &str) -> Resource {
    resource("CloudProviderProfile", name, &json!({"provider": "azure", "capabilities": ["x"]}))
}

pub fn claim(name: &str, domain: &str, address: &str) -> Resource {
    resource(
        "RemoteAddressClaim",
        name,
        &json!({"domainRef": domain, "address": address, "ownerSide": "onprem",
            "capture": {"type": "provider-secondary-ip", "providerRef": "cloud"},
            "delivery": {"peerRef": "peer", "mode": "route"}}),
    )
}

pub fn policy(name: &str, source: &str, targets: &[ObjectKey]) -> Resource {
    let allow = json!([{"source": source, "operations": ["mask"], "targets": targets}]);
    resource("DynamicOverridePolicy", name, &json!({"allow": allow}))
}

/// As it stands in the file `a.yaml` at this line.
pub fn accepted(line: u32, resource: Resource) -> Arc<Accepted> {
    accepted_in("a.yaml", line, resource)
}

pub fn accepted_in(file: &str, line: u32, resource: Resource) -> Arc<Accepted> {
    Arc::new(Accepted {
        resource,
        uid: format!("uid-{line}"),
        generation: 1,
        source: SourceRef { file: file.into(), document: line, index: None, line, column: 1 },
        created_at: at(1),
        accepted_at: at(2),
        digest: String::new(),
        typed: true,
    })
}

/// The part of a subscription for a fact: observed, since, and ending at these seconds.
pub fn part(subscription: &str, fact: u8, resources: Vec<Resource>) -> Part {
    Part {
        subscription: subscription.into(),
        fact: FactId([fact; 16]),
        subscription_uid: "u".into(),
        uid: "p".into(),
        group: "g".into(),
        event_id: format!("event-{fact}"),
        subject: format!("10.0.0.{fact}/32"),
        source_node: "node".into(),
        event_type: "seen".into(),
        event_observed_at: at(100 + i64::from(fact)),
        since: at(50 + i64::from(fact)),
        plugin: "plugin".into(),
        run_key: "run".into(),
        generation: 1,
        created_at: at(60),
        observed_at: at(100),
        result_expires_at: at(1000),
        expires_at: at(1000),
        grace: Duration::ZERO,
        retiring: None,
        digest: String::new(),
        resources,
        directives: Vec::new(),
        action_plans: Vec::new(),
    }
}

pub fn masking(mut part: Part, target: ObjectKey) -> Part {
    part.directives.push(Directive {
        op: DirectiveOp::Mask,
        target,
        reason: "it moved to the cloud".into(),
    });
    part
}

/// A domain 10.0.0.0/24 `domain`, the peer `peer` and the profile `cloud`.
pub fn base() -> Vec<Arc<Accepted>> {
    vec![
        accepted(1, domain("domain", "10.0.0.0/24")),
        accepted(2, overlay("peer")),
        accepted(3, profile("cloud")),
    ]
}

pub fn render(accepted: &[Arc<Accepted>], parts: Vec<Part>) -> Effective {
    let parts: Vec<Arc<Part>> = parts.into_iter().map(Arc::new).collect();
    effective(&Input { accepted, parts: &parts, now: at(200) })
}

/// `Kind/name` of all that is in, in order.
pub fn names(effective: &Effective) -> Vec<String> {
    effective.resources.iter().map(|origin| origin.key().to_string()).collect()
}

/// `Kind/name part-subscription: Reason: message` of all that is left out.
pub fn left_out(effective: &Effective) -> Vec<String> {
    let line = |l: &crate::render::LeftOut| {
        format!("{} {}: {}: {}", l.object, l.subscription, l.reason.as_str(), l.message)
    };
    effective.report.left_out.iter().map(line).collect()
}
