//! A node: its directories, its daemon, and how to talk to it.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::answer::Answer;
use super::daemon::Daemon;
use super::network::Network;
use super::plugins::claim_plugin;
use super::wait::{soon, wait_for};

/// The event of the guide, as arguments of routerctl.
pub const GUIDE_EVENT: &str = "emit --group cloudedge --type routerd.client.ipv4.observed \
    --subject 10.88.60.9/32 --source-node onprem-router --payload address=10.88.60.9/32 \
    --payload domain=cloudedge-same-subnet --payload ownerSide=onprem \
    --payload peerRef=onprem-main --payload providerRef=example-provider --ttl 30m";

/// One node in a directory of its own.
pub struct Node {
    dir: TempDir,
}

/// Ends what a daemon that was killed left behind: plugins that wait for ever.
impl Drop for Node {
    fn drop(&mut self) {
        let dir = self.dir.path().as_os_str().as_bytes();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes {
            let name = process.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            // Many end while they are looked at.
            let args = fs::read(process.path().join("cmdline")).unwrap_or_default();
            if let Some(pid) = pid
                && args.windows(dir.len()).any(|part| part == dir)
            {
                _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Node {
    /// An empty node: no manifests, no state, no daemon.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("routerd-e2e-").tempdir().expect("directory");
        for name in ["conf", "bin"] {
            fs::create_dir(dir.path().join(name)).expect("directory");
        }
        Self { dir }
    }

    /// The receiving node of the guide, its plugin installed.
    pub fn of_the_guide() -> Self {
        let node = Self::new();
        node.install(&claim_plugin(), "event-to-remote-claim");
        let text = include_str!("../../../examples/event-federation/receiver-cloud.yaml");
        let installed = "/usr/local/libexec/routerd/plugins/event-to-remote-claim/bin";
        let own = node.path("bin").display().to_string();
        node.write("router.yaml", &text.replace(installed, &own));
        node
    }

    /// A path below the node's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the watched directory.
    pub fn conf(&self, name: &str) -> PathBuf {
        self.path("conf").join(name)
    }

    /// Writes a manifest as an editor does: beside, then renamed over.
    pub fn write(&self, name: &str, text: &str) {
        let beside = self.path("beside");
        fs::write(&beside, text).expect("write");
        fs::rename(&beside, self.conf(name)).expect("rename");
    }

    /// Takes a manifest away.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.conf(name)).expect("remove");
    }

    /// Copies a program to the node's plugins. Returns its path.
    pub fn install(&self, program: &Path, name: &str) -> PathBuf {
        self.place(name, Command::new("cat").arg(program))
    }

    /// Writes a shell script as a plugin. Returns its path.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        self.place(name, Command::new("printf").args(["#!/bin/sh\n%s\n", body]))
    }

    /// Makes an executable of what `source` prints. Another process writes it: were it open for
    /// writing in here for an instant, a child that a parallel test is starting would hold it open,
    /// and executing it would fail as "text file busy".
    fn place(&self, name: &str, source: &mut Command) -> PathBuf {
        let (beside, to) = (self.path("beside"), self.path("bin").join(name));
        let mut printing = source.stdout(Stdio::piped()).spawn().expect("it prints");
        let printed = printing.stdout.take().expect("piped");
        let written = Command::new("dd")
            .args(["bs=1M", "status=none"])
            .arg(format!("of={}", beside.display()))
            .stdin(printed)
            .status();
        assert!(written.expect("dd runs").success() && printing.wait().expect("wait").success());
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).expect("mode");
        fs::rename(&beside, &to).expect("rename");
        to
    }

    /// The product's plugin behind a script that notes every run, first doing `before`. Returns
    /// its path; [`runs`](Self::runs) reads the notes.
    pub fn counted_plugin(&self, before: &str) -> PathBuf {
        let program = self.install(&claim_plugin(), "claim");
        let notes = self.path("runs");
        let body = format!(
            "echo \"$ROUTERD_RUN_KEY\" >> {}\n{before}\nexec {}",
            notes.display(),
            program.display()
        );
        self.script("counted", &body)
    }

    /// The run keys of the runs that [`counted_plugin`](Self::counted_plugin) noted.
    pub fn runs(&self) -> Vec<String> {
        let notes = fs::read_to_string(self.path("runs")).unwrap_or_default();
        notes.lines().map(str::to_owned).collect()
    }

    /// Starts the daemon and waits until it answers.
    #[track_caller]
    pub fn serve(&self) -> Daemon {
        self.answering(self.start(&[]))
    }

    #[track_caller]
    fn answering(&self, mut daemon: Daemon) -> Daemon {
        wait_for("the daemon to answer", &self.log_path(), || {
            if let Some(status) = daemon.ended() {
                panic!("routerd ended: {status}\n{}", self.log());
            }
            self.scanned()
        });
        daemon
    }

    /// Whether a daemon answers that has looked at its manifests.
    fn scanned(&self) -> Result<(), String> {
        let answer = self.ctl("status -o json");
        let status: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        let scanned = status["config"]["scanRevision"].as_u64().is_some_and(|scans| scans > 0);
        if scanned { Ok(()) } else { Err(answer.stdout + &answer.stderr) }
    }

    /// [`serve`](Self::serve) in one of the namespaces of `network`.
    #[track_caller]
    pub fn serve_in(&self, network: &Network, of: &str) -> Daemon {
        let inside = self.inside(network.command(of, env!("CARGO_BIN_EXE_routerd")), &[]);
        self.answering(Daemon::start(inside, &self.log_path()))
    }

    /// Starts the daemon with further arguments and waits for nothing.
    pub fn start(&self, more: &[&str]) -> Daemon {
        Daemon::start(self.daemon_command(more), &self.log_path())
    }

    /// The command line of this node's daemon.
    pub fn daemon_command(&self, more: &[&str]) -> Command {
        self.inside(Command::new(env!("CARGO_BIN_EXE_routerd")), more)
    }

    fn inside(&self, mut command: Command, more: &[&str]) -> Command {
        self.environment(&mut command);
        command.arg("serve").arg("--config").arg(self.path("conf"));
        command.arg("--state").arg(self.path("state")).args(more);
        command
    }

    fn environment(&self, command: &mut Command) {
        for name in ["ROUTERD_CONFIG", "ROUTERD_STATE", "ROUTERD_SOCKET", "ROUTERD_LOG"] {
            command.env_remove(name);
        }
        command.current_dir(self.dir.path());
    }

    /// routerctl on this node; the arguments separated by white space.
    pub fn ctl(&self, args: &str) -> Answer {
        self.ctl_args(&args.split_whitespace().collect::<Vec<_>>())
    }

    /// routerctl on this node.
    pub fn ctl_args(&self, args: &[&str]) -> Answer {
        let mut command = self.bare_ctl();
        command.env("ROUTERD_STATE", self.path("state"));
        command.env("ROUTERD_CONFIG", self.path("conf"));
        command.args(args).output().expect("routerctl runs").into()
    }

    /// routerctl that is told nothing of this node.
    pub fn bare_ctl(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routerctl"));
        self.environment(&mut command);
        command.stdin(Stdio::null());
        command
    }

    /// routerctl on this node, with something to read.
    pub fn ctl_reading(&self, args: &str, input: &str) -> Answer {
        let mut child = self
            .bare_ctl()
            .env("ROUTERD_STATE", self.path("state"))
            .env("ROUTERD_CONFIG", self.path("conf"))
            .args(args.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("routerctl runs");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_owned();
        // On a thread of its own: routerctl answers while it reads.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let answer = child.wait_with_output().expect("routerctl ends").into();
        writer.join().expect("writer").expect("routerctl reads all");
        answer
    }

    /// `status -o json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.ctl("status -o json").json()
    }

    /// The only object of this kind and name, as `get -o json` prints it.
    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> Value {
        let mut list = self.ctl_args(&["get", kind, name, "-o", "json"]).json();
        let objects = list.as_array_mut().expect("a list");
        assert_eq!(objects.len(), 1, "{kind} {name}: {objects:?}");
        objects.remove(0)
    }

    /// The resources of the effective config.
    #[track_caller]
    pub fn effective(&self) -> Vec<Value> {
        let router = self.ctl("render -o json").json();
        router["spec"]["resources"].as_array().cloned().unwrap_or_default()
    }

    /// All parts.
    #[track_caller]
    pub fn parts(&self) -> Vec<Value> {
        self.ctl("dynamic list -o json").json().as_array().cloned().expect("a list")
    }

    /// Waits for the fixed point.
    #[track_caller]
    pub fn converge(&self) {
        let answer = self.ctl("wait --converged --timeout 30s");
        assert_eq!(answer.code, 0, "{}{}\n{}", answer.stdout, answer.stderr, self.log());
    }

    /// Emits an event of the group `edge` with this id, type and subject.
    #[track_caller]
    pub fn emit(&self, id: &str, event_type: &str, subject: &str) {
        let args = format!("emit --group edge --type {event_type} --subject {subject} --id {id}");
        self.ctl(&args).exits(0);
    }

    /// Waits, as an operator would, until the problems that `status` lists are as they should be.
    #[track_caller]
    pub fn soon_problems(&self, what: &str, matches: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        soon(what, &self.log_path(), || {
            let status = self.status();
            let problems = status["config"]["problems"].as_array().cloned().unwrap_or_default();
            if matches(&problems) { Ok(problems) } else { Err(format!("{problems:#?}")) }
        })
    }

    /// Waits, as an operator would, until an object (or its absence, `null`) is as it should be.
    #[track_caller]
    pub fn soon_object(
        &self,
        what: &str,
        kind: &str,
        name: &str,
        matches: impl Fn(&Value) -> bool,
    ) -> Value {
        soon(what, &self.log_path(), || {
            let answer = self.ctl_args(&["get", kind, name, "-o", "json"]);
            let list: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
            let object = list.get(0).cloned().unwrap_or_default();
            if matches(&object) {
                Ok(object)
            } else {
                Err(format!("{object:#}\n{}", answer.stderr))
            }
        })
    }

    /// Where the daemon logs.
    pub fn log_path(&self) -> PathBuf {
        self.path("log")
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}
