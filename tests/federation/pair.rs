//! Two nodes: `onprem` pushes to `cloud` through the proxy.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::harness::{Daemon, Node, wait_for};
use super::proxy::Proxy;

/// A port that nobody has now.
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// Two nodes and what is between them.
pub struct Pair {
    pub onprem: Node,
    pub cloud: Node,
    pub address: SocketAddr,
    pub proxy: Proxy,
    pub sender: Option<Daemon>,
    pub receiver: Option<Daemon>,
}

/// Writes a secret as keygen does: private to its owner, renamed into its place.
pub fn write_secret(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("write");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("mode");
    fs::rename(&beside, path).expect("rename");
}

pub fn sender_manifest(node: &Node, endpoint: &str) -> String {
    format!(
        "apiVersion: federation.routerd.net/v1alpha1\nkind: EventGroup\nmetadata: {{name: edge}}\n\
         spec: {{nodeName: onprem, auth: {{secretFile: {}}}}}\n---\n\
         apiVersion: federation.routerd.net/v1alpha1\nkind: EventPeer\nmetadata: {{name: cloud}}\n\
         spec: {{groupRef: edge, nodeName: cloud, endpoint: \"{endpoint}\"}}\n",
        node.path("secret").display()
    )
}

pub fn receiver_manifest(node: &Node, address: SocketAddr) -> String {
    format!(
        "apiVersion: federation.routerd.net/v1alpha1\nkind: EventGroup\nmetadata: {{name: edge}}\n\
         spec: {{nodeName: cloud, listen: {{address: {}, port: {}}}, auth: {{secretFile: {}}}}}\n",
        address.ip(),
        address.port(),
        node.path("secret").display()
    )
}

impl Pair {
    pub fn start() -> Self {
        Self::start_with(|_| Ok(())).expect("nothing to prepare")
    }

    /// The same, once something was done to the receiver's place.
    pub fn start_with(prepare: impl FnOnce(&Node) -> Result<(), String>) -> Result<Self, String> {
        let (onprem, cloud, address) = (Node::new(), Node::new(), free_port());
        prepare(&cloud)?;
        let proxy = Proxy::before(address);
        for node in [&onprem, &cloud] {
            write_secret(&node.path("secret"), "a secret of both");
        }
        cloud.write("group.yaml", &receiver_manifest(&cloud, address));
        onprem.write("peer.yaml", &sender_manifest(&onprem, &proxy.url()));
        let receiver = Some(cloud.serve());
        let sender = Some(onprem.serve());
        Ok(Self { onprem, cloud, address, proxy, sender, receiver })
    }

    /// Emits events, a new subject each.
    #[track_caller]
    pub fn emit(&self, ids: impl IntoIterator<Item = String>) {
        let event = |id: String| serde_json::json!({"group": "edge", "type": "seen", "subject": id, "id": id, "ttl": "1h"});
        let lines: Vec<String> = ids.into_iter().map(|id| format!("{}\n", event(id))).collect();
        self.onprem.ctl_reading("emit -f -", &lines.concat()).exits(0);
    }

    /// Waits until the peer has everything; tries it at once, so that no pause is waited for.
    #[track_caller]
    pub fn deliver(&self) {
        wait_for("everything to be delivered", &self.onprem.log_path(), || {
            self.onprem.ctl("federation retry");
            let answer = self.onprem.ctl("wait --converged --deliveries --timeout 2s");
            if answer.code == 0 { Ok(()) } else { Err(answer.stdout + &answer.stderr) }
        });
    }

    /// The ids of the live events on the cloud node; each of them once.
    #[track_caller]
    pub fn arrived(&self) -> BTreeSet<String> {
        ids(&self.cloud)
    }

    /// All is there, once, and nothing was refused.
    #[track_caller]
    pub fn check(&self) {
        assert_eq!(self.arrived(), ids(&self.onprem));
        let summary = self.onprem.ctl("federation deliveries summary -o json").json();
        assert_eq!(summary[0]["dead"], 0, "{summary:#}");
        assert_eq!(summary[0]["pending"], 0, "{summary:#}");
        let dead = self.onprem.ctl("federation deliveries --status dead -o json").json();
        assert_eq!(dead, Value::Array(Vec::new()));
    }

    /// Waits until the peer is seen to be in trouble of this sort.
    #[track_caller]
    pub fn trouble(&self, reasons: &[&str]) -> Value {
        wait_for("the peer's trouble", &self.onprem.log_path(), || {
            let peers = self.onprem.ctl("federation peers -o json").json();
            let reason = peers[0]["reason"].as_str().unwrap_or_default();
            if peers[0]["delivering"] == false && reasons.contains(&reason) {
                Ok(peers[0].clone())
            } else {
                Err(peers.to_string())
            }
        })
    }
}

#[track_caller]
fn ids(node: &Node) -> BTreeSet<String> {
    let events = node.ctl("get events -o json --limit 100000").json();
    let events = events.as_array().cloned().expect("a list");
    let ids: BTreeSet<String> =
        events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(ids.len(), events.len(), "each event is there once");
    ids
}
