//! A real daemon on a directory of its own, and the client of its socket.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use routerd::control::client::{Client, Target};
use routerd::control::views::StatusView;
use routerd::control::{WaitAnswer, WaitRequest};

use super::Place;

pub const GROUP: &str = "cloudedge";
pub const EVENT: &str = "routerd.client.ipv4.observed";

/// A daemon that is stopped when this is dropped.
pub struct Node {
    child: Child,
    state: PathBuf,
    pub client: Client,
    pub started: Instant,
}

impl Node {
    /// Starts a daemon on `<place>/<name>`; what an earlier one left there is kept.
    pub fn start(place: &Place, name: &str) -> Self {
        Self::start_with(place, name, "batch: {maxEvents: 256}")
    }

    /// The same with these members in the Plugin's spec.
    pub fn start_with(place: &Place, name: &str, plugin: &str) -> Self {
        let dir = place.dir(name);
        let manifests = manifests(&place.plugin, plugin);
        std::fs::write(dir.join("router.yaml"), manifests).expect("manifests");
        let state = dir.join("state");
        let log = std::fs::File::create(dir.join("log")).expect("a log");
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_routerd"))
            .args(["serve", "--log", "warn", "--config"])
            .arg(dir.join("router.yaml"))
            .arg("--state")
            .arg(&state)
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the daemon starts");
        let client = Client::new(state.join("control.sock"));
        Self { child, state, client, started }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `routerctl` for this node.
    pub fn routerctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routerctl"));
        command.arg("--state").arg(&self.state).args(args);
        command
    }

    /// The status, once it answers and `enough` says so.
    pub async fn status_when(&self, enough: impl Fn(&StatusView) -> bool) -> StatusView {
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            let status = self.client.get::<StatusView>(&Target::new("/v1/status")).await;
            match status {
                Ok(status) if enough(&status) => return status,
                status if Instant::now() > deadline => panic!("never came: {status:#?}"),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Waits for the fixed point.
    pub async fn converged(&self) {
        let timeout = "5m".parse().ok();
        let request = WaitRequest { timeout, deliveries: false };
        let answer: WaitAnswer = self
            .client
            .post(&Target::new("/v1/wait"), &request, Duration::from_secs(300))
            .await
            .expect("an answer");
        assert!(answer.converged, "{answer:?}");
    }

    /// Stops the daemon and waits for its end.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself; then there is nobody to tell.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        self.child.wait().expect("the daemon ends");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// One address out of 10.0.0.0/8, the same for the same number.
pub fn subject(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("10.{a}.{b}.{c}/32")
}

/// The manifests of `examples/event-federation/receiver-cloud.yaml`, as far as one node needs
/// them, with room for many clients.
fn manifests(plugin: &Path, more: &str) -> String {
    format!(
        "apiVersion: routerd.net/v1alpha1
kind: Router
metadata: {{name: cloud-router}}
spec:
  resources:
  - apiVersion: federation.routerd.net/v1alpha1
    kind: EventGroup
    metadata: {{name: {GROUP}}}
    spec: {{nodeName: cloud-router, retention: {{maxEvents: 2000000}}}}
  - apiVersion: federation.routerd.net/v1alpha1
    kind: EventSubscription
    metadata: {{name: cloud-claims}}
    spec:
      groupRef: {GROUP}
      match:
        types: [{EVENT}]
        retractTypes: [routerd.client.ipv4.expired]
        subjectCIDRs: [10.0.0.0/8]
      trigger: {{pluginRef: event-to-remote-claim}}
  - apiVersion: plugin.routerd.net/v1alpha1
    kind: Plugin
    metadata: {{name: event-to-remote-claim}}
    spec: {{executable: {}, capabilities: [observe.events, propose.dynamicConfig], {more}}}
  - apiVersion: hybrid.routerd.net/v1alpha1
    kind: OverlayPeer
    metadata: {{name: onprem-main}}
    spec: {{role: onprem, nodeID: onprem-router, underlay: {{type: wireguard, interface: wg-hybrid}}}}
  - apiVersion: hybrid.routerd.net/v1alpha1
    kind: AddressMobilityDomain
    metadata: {{name: cloudedge-same-subnet}}
    spec: {{prefix: 10.0.0.0/8, mode: selective-address, peerRef: onprem-main}}
  - apiVersion: hybrid.routerd.net/v1alpha1
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
