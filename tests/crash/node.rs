//! A node of its own for one test: the real `routerd`, the real `routerctl`, the example plugin,
//! in a directory that goes away with it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Everything that is waited for comes within this, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// The group and the type of all events here.
pub const GROUP: &str = "cloudedge";
pub const TYPE: &str = "routerd.client.ipv4.observed";

const MANIFESTS: &str = r"
apiVersion: routerd.net/v1alpha1
kind: Router
metadata: {name: cloud-router}
spec:
  resources:
    - apiVersion: federation.routerd.net/v1alpha1
      kind: EventGroup
      metadata: {name: cloudedge}
      spec: {nodeName: cloud-router}
    - apiVersion: federation.routerd.net/v1alpha1
      kind: EventSubscription
      metadata: {name: cloud-claims}
      spec:
        groupRef: cloudedge
        match: {types: [routerd.client.ipv4.observed]}
        trigger: {pluginRef: claims}
    - apiVersion: plugin.routerd.net/v1alpha1
      kind: Plugin
      metadata: {name: claims}
      spec:
        executable: PLUGIN
        capabilities: [propose.dynamicConfig]
        batch: {maxEvents: 64}
    - apiVersion: hybrid.routerd.net/v1alpha1
      kind: OverlayPeer
      metadata: {name: onprem-main}
      spec:
        role: onprem
        nodeID: onprem-router
        underlay: {type: route, address: 169.254.110.2}
    - apiVersion: hybrid.routerd.net/v1alpha1
      kind: AddressMobilityDomain
      metadata: {name: everywhere}
      spec: {prefix: 10.0.0.0/8, mode: selective-address, peerRef: onprem-main}
    - apiVersion: hybrid.routerd.net/v1alpha1
      kind: CloudProviderProfile
      metadata: {name: example-provider}
      spec:
        provider: azure
        capabilities: [secondary-ip]
        auth: {mode: external-command, command: /bin/true}
";

/// A node; ends its daemon when dropped.
pub struct Node {
    home: tempfile::TempDir,
    state: PathBuf,
    child: Option<Child>,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// The answer as JSON; panics if the command failed.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The program that cargo built beside this test. `cargo test` builds the examples; with `--test`
/// it does not: `cargo build --example event-to-remote-claim` first.
fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("this test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("examples").join(name)
}

impl Node {
    /// A node whose state is in its own directory.
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let state = home.path().join("state");
        Self::with(home, state)
    }

    /// A node whose state is elsewhere.
    pub fn on(state: &Path) -> Self {
        Self::with(tempfile::tempdir().expect("a directory"), state.to_owned())
    }

    fn with(home: tempfile::TempDir, state: PathBuf) -> Self {
        let node = Self { home, state, child: None };
        fs::create_dir(node.path("conf")).expect("a directory");
        let plugin = example("event-to-remote-claim");
        fs::copy(&plugin, node.path("claims"))
            .unwrap_or_else(|e| panic!("{}: {e}; is the example built?", plugin.display()));
        let executable = node.path("plugin").display().to_string();
        let manifests = MANIFESTS.replace("PLUGIN", &executable);
        fs::write(node.path("conf/router.yaml"), manifests).expect("written");
        node.wrap_plugin("exec \"$PLUGIN\"");
        node
    }

    /// A file or directory of this node's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Puts a shell script in the plugin's place; in it `$PLUGIN` is the plugin and `$NODE` this
    /// node's directory.
    pub fn wrap_plugin(&self, script: &str) {
        let path = self.path("plugin");
        let home = self.home.path().display();
        let text = format!("#!/bin/sh\nNODE={home}\nPLUGIN={home}/claims\n{script}\n");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    /// Starts the daemon and waits until it has taken up its manifests and what was left to do.
    pub fn start(&mut self) {
        self.start_busy();
        self.converge();
    }

    /// Starts the daemon and waits until it answers; panics if it ends instead.
    pub fn start_busy(&mut self) {
        if let Some(status) = self.try_start(&[]) {
            panic!("the daemon ended with {status} instead of starting:\n{}", self.tail());
        }
    }

    /// Starts the daemon with more environment, and waits until it answers or ends.
    pub fn try_start(&mut self, environment: &[(&str, &str)]) -> Option<ExitStatus> {
        self.spawn(environment);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if UnixStream::connect(self.path("sock")).is_ok() {
                return None;
            }
            assert!(
                Instant::now() < deadline,
                "the daemon neither answers nor ends:\n{}",
                self.tail()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Starts the daemon without waiting.
    pub fn spawn(&mut self, environment: &[(&str, &str)]) {
        assert!(self.child.is_none(), "one daemon at a time");
        // What a killed one left behind would be taken for an answer that is refused.
        _ = fs::remove_file(self.path("sock"));
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_routerd"));
        command.arg("serve").arg("--config").arg(self.path("conf"));
        command.arg("--state").arg(&self.state).arg("--socket").arg(self.path("sock"));
        command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log.expect("a log"));
        self.child = Some(command.spawn().expect("the daemon is spawned"));
    }

    /// The daemon's end, if it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().expect("its status")?;
        self.child = None;
        Some(status)
    }

    /// Waits for the daemon to end by itself.
    pub fn wait_ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "the daemon does not end:\n{}", self.tail());
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// `kill -9`, without waiting for the end.
    pub fn signal_kill(&mut self) {
        self.child.as_mut().expect("a daemon").kill().expect("killed");
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            _ = child.kill();
            _ = child.wait();
        }
    }

    /// Asks the daemon to stop, and waits for the end.
    pub fn stop(&mut self) {
        let pid = self.child.as_ref().expect("a daemon").id();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid"));
        rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::TERM)
            .expect("signalled");
        let status = self.wait_ended();
        assert!(status.success(), "{status}:\n{}", self.tail());
    }

    /// All that the daemons of this node have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The end of the log, for messages.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// A `routerctl` of this node, not yet started.
    pub fn routerctl(&self, arguments: &[&str]) -> Command {
        self.routerctl_with(arguments, &self.state)
    }

    /// The same, which cannot do without the daemon.
    pub fn routerctl_online(&self, arguments: &[&str]) -> Command {
        self.routerctl_with(arguments, Path::new("/dev/null"))
    }

    fn routerctl_with(&self, arguments: &[&str], state: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routerctl"));
        command.args(arguments).arg("--config").arg(self.path("conf"));
        command.arg("--state").arg(state).arg("--socket").arg(self.path("sock"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `routerctl`.
    pub fn ctl(&self, arguments: &[&str]) -> Said {
        self.ctl_with(arguments, "")
    }

    /// Runs `routerctl` with an input.
    pub fn ctl_with(&self, arguments: &[&str], input: &str) -> Said {
        finish(self.routerctl(arguments), input)
    }

    /// Emits events, one line each, and returns the answers; a command that failed gives what it
    /// got.
    pub fn emit(&self, lines: &[String]) -> Vec<Value> {
        let said = self.ctl_with(&["emit", "-f", "-"], &(lines.join("\n") + "\n"));
        said.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for the fixed point; panics with what is pending if it does not come.
    pub fn converge(&self) {
        let said = self.ctl(&["wait", "--converged", "--timeout", "90s"]);
        assert_eq!(said.code, Some(0), "{said:?}\n{}", self.tail());
    }

    /// The ids of all events that are kept.
    pub fn event_ids(&self) -> std::collections::HashSet<String> {
        let arguments = ["get", "events", "--include-expired", "--limit", "100000", "-o", "json"];
        let events = self.ctl(&arguments).json();
        let events = events.as_array().expect("a list");
        events.iter().map(|e| e["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// The parts as they are stored.
    pub fn parts(&self) -> Vec<Value> {
        let parts = self.ctl(&["dynamic", "list", "-o", "json"]).json();
        parts.as_array().expect("a list").clone()
    }

    /// The effective config, byte for byte but for this node's own directory.
    pub fn render(&self) -> String {
        let said = self.ctl(&["render"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.stdout.replace(&*self.home.path().to_string_lossy(), "NODE")
    }

    pub fn status(&self) -> Value {
        self.ctl(&["status", "-o", "json"]).json()
    }

    /// Whether a database was moved aside.
    pub fn has_quarantine(&self) -> bool {
        self.state.join("quarantine").exists()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end.
pub fn finish(mut command: Command, input: &str) -> Said {
    let mut child = command.spawn().expect("the command is spawned");
    let (mut stdin, input) = (child.stdin.take().expect("stdin"), input.to_owned());
    // Beside the reading: it answers while it reads. One that does not read to the end says why in
    // its answer.
    std::thread::spawn(move || _ = stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the command ends");
    Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// An event as a line for `emit -f -`: the `n`th observation, which is about `subject`. Times are
/// given, so that two nodes that get the same lines come to the same state.
pub fn event_line(id: &str, subject: u32, n: u64) -> String {
    let [_, b, c, d] = subject.to_be_bytes();
    let address = format!("10.{b}.{c}.{d}/32");
    let second = jiff::SignedDuration::from_millis(i64::try_from(n).expect("small"));
    json!({
        "id": id,
        "group": GROUP,
        "type": TYPE,
        "sourceNode": "onprem-router",
        "subject": address,
        "observedAt": (base() + second).to_string(),
        "payload": {"address": address, "domain": "everywhere"},
    })
    .to_string()
}

/// When the first event was observed: the same moment in one run of the tests.
fn base() -> jiff::Timestamp {
    static BASE: std::sync::OnceLock<jiff::Timestamp> = std::sync::OnceLock::new();
    *BASE.get_or_init(|| jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2))
}

/// What two nodes with the same input must have in common: of each part its name, its cause and
/// its content.
pub fn essence(parts: &[Value]) -> Vec<Value> {
    let mut essence: Vec<Value> = parts
        .iter()
        .map(|part| {
            json!({
                "name": part["metadata"]["name"],
                "annotations": part["metadata"]["annotations"],
                "resources": part["spec"]["resources"],
                "directives": part["spec"]["directives"],
                "served": part["status"]["served"],
                "event": part["status"]["eventId"],
                "since": part["status"]["since"],
            })
        })
        .collect();
    essence.sort_by_key(|part| part["name"].as_str().unwrap_or_default().to_owned());
    essence
}
