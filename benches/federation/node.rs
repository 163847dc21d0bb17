//! A real daemon with one group that listens, and nothing that acts on it.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const GROUP: &str = "cloudedge";
pub const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A daemon that is stopped when this is dropped.
pub struct Node {
    child: Child,
    pub at: SocketAddr,
}

impl Node {
    /// Starts a daemon on `place`; what an earlier one left there is kept.
    pub fn start(place: &Path) -> Self {
        std::fs::create_dir_all(place).expect("a directory");
        let at: SocketAddr = "127.79.0.1:8787".parse().expect("an address");
        let secret = place.join("secret");
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&secret);
        std::io::Write::write_all(&mut file.expect("a file"), SECRET.as_bytes()).expect("room");
        let manifest = format!(
            "apiVersion: federation.routerd.net/v1alpha1
kind: EventGroup
metadata: {{name: {GROUP}}}
spec:
  nodeName: cloud-router
  retention: {{maxEvents: 100000000}}
  limits: {{maxLiveFacts: 100000000}}
  listen: {{address: {}, port: {}}}
  auth: {{secretFile: {}}}
",
            at.ip(),
            at.port(),
            secret.display()
        );
        std::fs::write(place.join("group.yaml"), manifest).expect("a manifest");
        let log = std::fs::File::create(place.join("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_routerd"))
            .args(["serve", "--log", "warn", "--config"])
            .arg(place.join("group.yaml"))
            .arg("--state")
            .arg(place.join("state"))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the daemon starts");
        let node = Self { child, at };
        let deadline = Instant::now() + Duration::from_secs(120);
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        node
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
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
