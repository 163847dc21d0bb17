//! Manifests and events of the simulations.

use std::time::Duration;

use routerd::api::Time;
use routerd::api::event::Event;
use routerd::api::object::ObjectKey;
use serde_json::{Value as Json, json};

use super::world::GROUP;

pub const FEDERATION: &str = "federation.routerd.net/v1alpha1";
pub const PLUGIN: &str = "plugin.routerd.net/v1alpha1";
pub const HYBRID: &str = "hybrid.routerd.net/v1alpha1";
pub const CONFIG: &str = "config.routerd.net/v1alpha1";
pub const NET: &str = "net.routerd.net/v1alpha1";

/// How long facts without an expiry live unless a history says otherwise.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

pub fn resource(api_version: &str, kind: &str, name: &str, spec: Json) -> Json {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

pub fn key(json: &Json) -> ObjectKey {
    let word = |path: &str| json.pointer(path).and_then(Json::as_str).expect("a resource");
    ObjectKey::new(word("/apiVersion"), word("/kind"), word("/metadata/name"))
}

pub fn group(max_age: &str) -> Json {
    let spec = json!({"nodeName": "edge", "retention": {"maxAge": max_age}});
    resource(FEDERATION, "EventGroup", GROUP, spec)
}

/// A plugin whose results hold for `ttl`.
pub fn plugin(name: &str, ttl: &str) -> Json {
    resource(
        PLUGIN,
        "Plugin",
        name,
        json!({
            "executable": format!("/opt/{name}"),
            "capabilities": ["propose.dynamicConfig", "propose.providerAction"],
            "produces": [{"apiVersion": NET, "kind": "NeighborProxy"}],
            "env": {"TTL": ttl, "DOMAIN": "d1"},
        }),
    )
}

/// A subscription of `plugin` to events of type `seen`, which `gone` retracts.
pub fn subscription(name: &str, plugin: &str) -> Json {
    resource(
        FEDERATION,
        "EventSubscription",
        name,
        json!({
            "groupRef": GROUP,
            "match": {"types": ["seen"], "retractTypes": ["gone"]},
            "trigger": {"pluginRef": plugin},
        }),
    )
}

pub fn domain(name: &str, prefix: &str) -> Json {
    let spec = json!({"prefix": prefix, "mode": "selective-address"});
    resource(HYBRID, "AddressMobilityDomain", name, spec)
}

pub fn peer(name: &str) -> Json {
    resource(HYBRID, "OverlayPeer", name, json!({"role": "cloud", "nodeID": name}))
}

pub fn interface(name: &str) -> Json {
    resource(NET, "Interface", name, json!({"name": name, "mtu": 1500}))
}

pub fn policy(subscriptions: &[&str]) -> Json {
    let target = json!({"apiVersion": NET, "kind": "Interface", "name": "lan0"});
    let allow = |s: &&str| {
        json!({"source": format!("EventSubscription/{s}"), "operations": ["mask"],
               "targets": [target]})
    };
    let allow: Vec<Json> = subscriptions.iter().map(allow).collect();
    resource(CONFIG, "DynamicOverridePolicy", "masks", json!({"allow": allow}))
}

/// What every simulation begins with: the group, the plugin `p1`, a domain and two peers.
pub fn basics(ttl: &str) -> Vec<Json> {
    vec![
        group("24h"),
        plugin("p1", ttl),
        domain("d1", "10.0.0.0/24"),
        peer("peer-a"),
        peer("peer-b"),
        interface("lan0"),
    ]
}

/// An event of type `seen` for which the plugin makes a claim of its own.
pub fn seen(id: &str, subject: &str, observed_at: Time) -> Event {
    let payload = [("make", "own"), ("tier", "a")];
    Event {
        id: id.to_owned(),
        group: GROUP.to_owned(),
        r#type: "seen".to_owned(),
        source_node: "edge".to_owned(),
        subject: subject.to_owned(),
        dedupe_key: String::new(),
        payload: payload.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect(),
        observed_at: Some(observed_at),
        expires_at: None,
    }
}
