//! Two real daemons on loopback: one observes and pushes, the other takes in and, if it is asked
//! to, runs the example plugin.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use routerd::control::client::{Client, Target};
use routerd::control::{WaitAnswer, WaitRequest};

pub const GROUP: &str = "cloudedge";
pub const EVENT: &str = "routerd.client.ipv4.observed";

/// A daemon that is stopped when this is dropped.
pub struct Node {
    child: Child,
    dir: PathBuf,
    pub client: Client,
}

impl Node {
    /// Starts a daemon below `dir` with these manifests.
    pub fn start(dir: &Path, manifests: &str) -> Self {
        fs::create_dir_all(dir).expect("a directory");
        fs::write(dir.join("router.yaml"), manifests).expect("manifests");
        let log = fs::File::create(dir.join("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_routerd"))
            .args(["serve", "--log", "warn", "--config"])
            .arg(dir.join("router.yaml"))
            .arg("--state")
            .arg(dir.join("state"))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the daemon starts");
        let client = Client::new(dir.join("state").join("control.sock"));
        Self { child, dir: dir.to_owned(), client }
    }

    /// Writes other manifests; they are followed.
    pub fn write(&self, manifests: &str) {
        let beside = self.dir.join("beside");
        fs::write(&beside, manifests).expect("manifests");
        fs::rename(beside, self.dir.join("router.yaml")).expect("a rename");
    }

    /// `routerctl` for this node.
    pub fn routerctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routerctl"));
        command.arg("--state").arg(self.dir.join("state")).args(args);
        command
    }

    /// Waits for the fixed point; with `deliveries` until the peers have everything.
    pub async fn converged(&self, deliveries: bool) {
        let request = WaitRequest { timeout: "5m".parse().ok(), deliveries };
        let began = Instant::now();
        let answer: WaitAnswer = loop {
            let target = Target::new("/v1/wait");
            match self.client.post(&target, &request, Duration::from_secs(300)).await {
                Ok(answer) => break answer,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(30), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(answer.converged, "{answer:?}\n{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself; then there is nobody to tell.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        self.child.wait().expect("the daemon ends");
    }
}

/// A port that nobody has now.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port")
}

/// Writes a secret that is private to its owner.
pub fn secret(dir: &Path) -> PathBuf {
    fs::create_dir_all(dir).expect("a directory");
    let path = dir.join("secret");
    fs::write(&path, "the secret of both").expect("a secret");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    path
}

/// The observing node: the group, and these peers.
pub fn sender(secret: &Path, peers: &[(&str, String)]) -> String {
    let mut text = format!(
        "apiVersion: federation.routerd.net/v1alpha1\nkind: EventGroup\nmetadata: {{name: {GROUP}}}\n\
         spec: {{nodeName: onprem-router, retention: {{maxEvents: 2000000}}, limits: {{maxLiveFacts: 1000000}}, auth: {{secretFile: {}}}}}\n",
        secret.display()
    );
    for (name, endpoint) in peers {
        write!(
            text,
            "---\napiVersion: federation.routerd.net/v1alpha1\nkind: EventPeer\nmetadata: {{name: {name}}}\n\
             spec: {{groupRef: {GROUP}, nodeName: {name}, endpoint: \"{endpoint}\"}}\n"
        )
        .expect("a string takes all");
    }
    text
}

/// The taking node: the group with its listener, and `more`.
pub fn receiver(secret: &Path, address: SocketAddr, more: &str) -> String {
    format!(
        "apiVersion: federation.routerd.net/v1alpha1\nkind: EventGroup\nmetadata: {{name: {GROUP}}}\n\
         spec: {{nodeName: cloud-router, retention: {{maxEvents: 2000000}}, limits: {{maxLiveFacts: 1000000}}, listen: {{address: {}, port: {}}}, auth: {{secretFile: {}}}}}\n{more}",
        address.ip(),
        address.port(),
        secret.display()
    )
}
