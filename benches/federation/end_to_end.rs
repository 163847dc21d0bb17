//! From `emit` on one node to the part in the effective config of the other, beside the bare spawn
//! of the same plugin; and what a peer that hangs adds to another's delivery.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use routerd::api::Time;
use routerd::api::event::Event;

use super::pair::{EVENT, GROUP, Node, free_port, receiver, secret, sender};
use super::report::{Goal, count, figure, percentile};
use super::visible::{observe, spawn};

/// Clients that are observed in turns: the config stays small, so asking for it stays cheap.
const CLIENTS: u32 = 8;

pub async fn run(dir: &Path, plugin: &Path) {
    let (secret, address) = (secret(dir), free_port());
    let cloud = Node::start(&dir.join("cloud"), &receiver(&secret, address, &reaction(plugin)));
    cloud.converged(false).await;
    let endpoint = format!("http://{address}");
    let alone = sender(&secret, &[("cloud-router", endpoint.clone())]);
    let onprem = Node::start(&dir.join("onprem"), &alone);
    onprem.converged(true).await;
    let rounds = count(200, 10);
    let (mut asked, mut accepted, mut visible, mut spawned) = (vec![], vec![], vec![], vec![]);
    for round in 0..rounds + CLIENTS {
        let event = observation(round % CLIENTS);
        let took = observe(&onprem.client, &cloud.client, &event).await;
        let bare = spawn(plugin, &event);
        // The first observation of each client warms both up.
        if round >= CLIENTS {
            asked.push(took.question);
            accepted.push(took.accepted);
            visible.push(took.visible);
            spawned.push(bare);
        }
    }
    let (p50, bare) = (percentile(&mut visible, 50), percentile(&mut spawned, 50));
    figure("two nodes: one question to B, p50", percentile(&mut asked, 50), "ms", Goal::None);
    figure("two nodes: emit → accepted on A", percentile(&mut accepted, 50), "ms", Goal::None);
    figure("two nodes: bare spawn of the plugin, p50", bare, "ms", Goal::None);
    figure("two nodes: emit on A → part on B, p50", p50, "ms", Goal::AtMost(bare + 5.0));
    figure("two nodes: emit on A → part on B, p99", percentile(&mut visible, 99), "ms", Goal::None);

    // Beside a peer that takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hung = format!("http://{}", silent.local_addr().expect("an address"));
    onprem.write(&sender(&secret, &[("cloud-router", endpoint), ("hung", hung)]));
    onprem.converged(false).await;
    let mut beside = Vec::new();
    for round in 0..rounds {
        let event = observation(round % CLIENTS);
        beside.push(observe(&onprem.client, &cloud.client, &event).await.visible);
    }
    let added = percentile(&mut beside, 50) - p50;
    figure("two nodes: a peer that hangs adds, p50", added, "ms", Goal::AtMost(50.0));
    let added = percentile(&mut beside, 99) - percentile(&mut visible, 99);
    figure("two nodes: a peer that hangs adds, p99", added, "ms", Goal::AtMost(50.0));
}

/// An observation of one of the clients.
fn observation(client: u32) -> Event {
    let subject = format!("10.88.60.{}/32", client + 1);
    let now = Time::now();
    Event {
        id: uuid::Uuid::now_v7().to_string(),
        group: GROUP.to_owned(),
        r#type: EVENT.to_owned(),
        source_node: "onprem-router".to_owned(),
        payload: [
            ("address", subject.as_str()),
            ("domain", "cloudedge-same-subnet"),
            ("ownerSide", "onprem"),
            ("peerRef", "onprem-main"),
            ("providerRef", "example-provider"),
        ]
        .into(),
        subject,
        dedupe_key: String::new(),
        observed_at: Some(now),
        expires_at: Some(now + Duration::from_secs(1800)),
    }
}

fn reaction(plugin: &Path) -> String {
    format!(
        "---
apiVersion: federation.routerd.net/v1alpha1
kind: EventSubscription
metadata: {{name: cloud-claims}}
spec:
  groupRef: {GROUP}
  match: {{types: [{EVENT}], subjectCIDRs: [10.88.60.0/24], sourceNodes: [onprem-router]}}
  trigger: {{pluginRef: event-to-remote-claim}}
---
apiVersion: plugin.routerd.net/v1alpha1
kind: Plugin
metadata: {{name: event-to-remote-claim}}
spec:
  executable: {}
  capabilities: [observe.events, propose.dynamicConfig]
  batch: {{maxEvents: 256}}
---
apiVersion: hybrid.routerd.net/v1alpha1
kind: OverlayPeer
metadata: {{name: onprem-main}}
spec: {{role: onprem, nodeID: onprem-router, underlay: {{type: wireguard, interface: wg-hybrid}}}}
---
apiVersion: hybrid.routerd.net/v1alpha1
kind: AddressMobilityDomain
metadata: {{name: cloudedge-same-subnet}}
spec: {{prefix: 10.88.60.0/24, mode: selective-address, peerRef: onprem-main}}
---
apiVersion: hybrid.routerd.net/v1alpha1
kind: CloudProviderProfile
metadata: {{name: example-provider}}
spec:
  provider: azure
  capabilities: [secondary-ip]
  auth: {{mode: external-command, command: /usr/local/libexec/cloud-login}}
",
        plugin.display()
    )
}
