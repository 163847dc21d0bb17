//! From `emit` on one node to the part in the effective config of the other, beside the bare spawn
//! of the same plugin; and what a peer that hangs adds to another's delivery.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use routerd::api::Time;
use routerd::control::client::{Client, Target};
use routerd::control::{Answer, RenderReport};
use serde_json::json;

use super::pair::{EVENT, GROUP, Node, free_port, receiver, secret, sender};
use super::report::{Goal, count, figure, percentile};

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
    let (mut visible, mut spawned) = (Vec::new(), Vec::new());
    for round in 0..rounds + CLIENTS {
        let took = observe(&onprem, &cloud.client, round % CLIENTS).await;
        let bare = spawn(plugin);
        // The first observation of each client warms both up.
        if round >= CLIENTS {
            visible.push(took);
            spawned.push(bare);
        }
    }
    let (p50, bare) = (percentile(&mut visible, 50), percentile(&mut spawned, 50));
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
        beside.push(observe(&onprem, &cloud.client, round % CLIENTS).await);
    }
    let added = percentile(&mut beside, 50) - p50;
    figure("two nodes: a peer that hangs adds, p50", added, "ms", Goal::AtMost(50.0));
    let added = percentile(&mut beside, 99) - percentile(&mut visible, 99);
    figure("two nodes: a peer that hangs adds, p99", added, "ms", Goal::AtMost(50.0));
}

/// Emits on one node; the time until the other's effective config is another one.
async fn observe(onprem: &Node, cloud: &Client, client: u32) -> Duration {
    let before = revision(cloud).await;
    let subject = format!("10.88.60.{}/32", client + 1);
    let event = json!({
        "group": GROUP, "type": EVENT, "subject": subject, "ttl": "30m",
        "payload": {"address": subject, "domain": "cloudedge-same-subnet", "ownerSide": "onprem",
            "peerRef": "onprem-main", "providerRef": "example-provider"},
    });
    let begun = Instant::now();
    let answer: Answer = onprem
        .client
        .post(&Target::new("/v1/events"), &event, Duration::ZERO)
        .await
        .expect("an answer");
    assert!(answer.accepted, "{answer:?}");
    while revision(cloud).await == before {
        assert!(begun.elapsed() < Duration::from_secs(10), "the part never came");
    }
    begun.elapsed()
}

async fn revision(client: &Client) -> Option<u64> {
    let report = Target::new("/v1/render").query("report", "true");
    client.get::<RenderReport>(&report).await.expect("an answer").revision
}

/// The least that gives the plugin a request and takes its answer.
fn spawn(plugin: &Path) -> Duration {
    let event = json!({
        "id": "e", "group": GROUP, "type": EVENT, "sourceNode": "onprem-router",
        "subject": "10.88.60.9/32", "observedAt": Time::now(), "runKey": "0123456789abcdef",
        "previousDynamicGeneration": 1,
        "payload": {"address": "10.88.60.9/32", "domain": "cloudedge-same-subnet"},
    });
    let request = json!({
        "apiVersion": "plugin.routerd.net/v1alpha1", "kind": "PluginRequest",
        "metadata": {"name": "event-to-remote-claim"},
        "spec": {
            "trigger": {"type": "federation-subscription",
                "topic": "routerd.federation.subscription/cloud-claims"},
            "now": Time::now(), "runKey": "0123456789abcdef", "startupConfigHash": "",
            "previousDynamicGeneration": 1, "events": [event],
        },
    });
    let input = serde_json::to_vec(&request).expect("plain data");
    let begun = Instant::now();
    let mut child = Command::new(plugin)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    child.stdin.take().expect("stdin").write_all(&input).expect("write");
    let mut out = Vec::new();
    child.stdout.take().expect("stdout").read_to_end(&mut out).expect("read");
    assert!(child.wait().expect("wait").success() && !out.is_empty());
    begun.elapsed()
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
