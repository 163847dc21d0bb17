//! What the effective config of ten thousand parts costs: from scratch, printed, and kept.
//!
//! `cargo bench --bench render` prints one line a measurement, the best of several rounds.

#[path = "common/report.rs"]
mod report;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routerd::api::Time;
use routerd::api::accepted::{Accepted, SourceRef};
use routerd::api::fact::FactId;
use routerd::api::object::{ObjectKey, Resource};
use routerd::api::part::Part;
use routerd::api::value::Value;
use routerd::render::{Change, Document, Index, Input, effective};
use serde_json::json;

use self::report::{Goal, count, figure};

const ROUNDS: usize = 7;
const HYBRID: &str = "hybrid.routerd.net/v1alpha1";

fn resource(kind: &str, name: &str, spec: &serde_json::Value) -> Resource {
    let body = json!({"apiVersion": HYBRID, "kind": kind, "metadata": {"name": name},
        "spec": spec});
    let body = Value::from_serialize(&body).expect("JSON is a value");
    Resource { key: ObjectKey::new(HYBRID, kind, name), body }
}

fn accepted() -> Vec<Arc<Accepted>> {
    let domain = json!({"prefix": "10.0.0.0/8", "mode": "selective-address"});
    let profile = json!({"provider": "azure", "capabilities": ["secondary-ip"]});
    [
        resource("AddressMobilityDomain", "cloudedge-same-subnet", &domain),
        resource("OverlayPeer", "onprem-main", &json!({"role": "onprem", "nodeID": "onprem"})),
        resource("CloudProviderProfile", "example-provider", &profile),
    ]
    .into_iter()
    .zip(1..)
    .map(|(resource, line)| {
        Arc::new(Accepted {
            resource,
            uid: String::new(),
            generation: 1,
            source: SourceRef {
                file: "router.yaml".into(),
                document: line,
                index: None,
                line,
                column: 1,
            },
            created_at: Time::UNIX_EPOCH,
            accepted_at: Time::UNIX_EPOCH,
            digest: String::new(),
            typed: true,
        })
    })
    .collect()
}

fn part(number: u32) -> Arc<Part> {
    let [_, a, b, c] = number.to_be_bytes();
    let address = format!("10.{a}.{b}.{c}/32");
    let claim = json!({"domainRef": "cloudedge-same-subnet", "address": address,
        "ownerSide": "onprem",
        "capture": {"type": "provider-secondary-ip", "providerRef": "example-provider",
            "providerMode": "secondary-ip", "nicRef": "example-nic-ref",
            "configureOSAddress": false},
        "delivery": {"peerRef": "onprem-main", "mode": "route", "tunnelInterface": "wg-hybrid"}});
    let mut fact = [0; 16];
    fact[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    Arc::new(Part {
        subscription: "cloud-claims".into(),
        fact: FactId(fact),
        subscription_uid: "01935b2e-7b70-7000-8000-000000000000".into(),
        uid: "01935b2e-7b70-7000-8000-000000000001".into(),
        group: "cloudedge".into(),
        event_id: format!("01935b2e-7b70-7000-8000-{number:012}"),
        subject: address,
        source_node: "onprem-router".into(),
        event_type: "routerd.client.ipv4.observed".into(),
        event_observed_at: Time::UNIX_EPOCH,
        since: Time::UNIX_EPOCH,
        plugin: "event-to-remote-claim".into(),
        run_key: format!("{number:032x}"),
        generation: 1,
        created_at: Time::UNIX_EPOCH,
        observed_at: Time::UNIX_EPOCH,
        result_expires_at: Time::MAX,
        expires_at: Time::MAX,
        grace: Duration::ZERO,
        retiring: None,
        digest: String::new(),
        resources: vec![resource("RemoteAddressClaim", &format!("onprem-10-{a}-{b}-{c}"), &claim)],
        directives: Vec::new(),
        action_plans: Vec::new(),
    })
}

/// The shortest of several rounds, in milliseconds.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    let round = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn main() {
    let accepted = accepted();
    let count = count(10_000, 500);
    let parts: Vec<_> = (0..count).map(part).collect();
    let told = |what: &str, ms: f64, goal: Goal| {
        figure(&format!("{what}, {count} parts"), ms, "ms", goal);
    };
    let input = Input { accepted: &accepted, parts: &parts, now: Time::UNIX_EPOCH };

    let ms = best(|| effective(&input));
    told("effective", ms, Goal::AtMost(50.0));
    let config = effective(&input);
    assert_eq!(config.resources.len(), parts.len() + accepted.len());
    let document = Document(&config);
    let ms = best(|| document.yaml());
    told("effective as YAML", ms, Goal::AtMost(100.0));
    let ms = best(|| document.json());
    told("effective as JSON", ms, Goal::AtMost(50.0));

    let fill = || {
        let mut index = Index::new(Time::UNIX_EPOCH);
        for accepted in &accepted {
            index.apply(Change::PutAccepted(Arc::clone(accepted)));
        }
        for part in &parts {
            index.apply(Change::PutPart(Arc::clone(part)));
        }
        index
    };
    let ms = best(fill);
    told("index, filled one by one", ms, Goal::None);
    let mut index = fill();
    let changed: Vec<_> = (count..count + 1000).map(part).collect();
    let ms = best(|| {
        for part in &changed {
            index.apply(Change::PutPart(Arc::clone(part)));
            index.apply(Change::DeletePart(routerd::render::PartKey::of(part)));
        }
    });
    told("index, one change", ms / 2000.0, Goal::None);
    let ms = best(|| index.view());
    told("index, view", ms, Goal::None);
}
