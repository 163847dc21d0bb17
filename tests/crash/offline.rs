//! `routerctl` and a starting daemon against state directories that they cannot use: each says what
//! is in the way, with the exit code that scripts rely on, and changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use routerd::store::{OpenOptions, Store};

use super::node::{Node, event_line, finish};

pub fn run() {
    a_lock_without_a_socket_is_waited_for();
    a_newer_store_is_left_alone();
    files_in_its_place_are_named();
    a_stranger_is_told_about_permission();
    println!("offline: locked, newer, a file, SQLite, no permission: each named, exit 3");
}

fn options(node: &Node) -> OpenOptions {
    OpenOptions::daemon(node.state(), jiff::Timestamp::now())
}

/// A stopped node with one event.
fn stopped() -> Node {
    let mut node = Node::new();
    node.start();
    node.emit(&[event_line("event-1", 1, 1)]);
    node.converge();
    node.stop();
    node
}

/// Reading and emitting both say `words` and exit with 3, as does a daemon.
fn assert_refused(node: &mut Node, words: &str) {
    let line = event_line("event-2", 2, 2);
    for said in [node.ctl(&["get", "events"]), node.ctl_with(&["emit", "-f", "-"], &line)] {
        assert_eq!(said.code, Some(3), "{said:?}");
        assert!(said.stderr.contains(words), "{words:?} is not in {said:?}");
        assert!(said.stdout.is_empty(), "{said:?}");
    }
    let status = node.try_start(&[]).expect("no daemon starts there");
    assert_eq!(status.code(), Some(3), "{status}: {}", node.tail());
    assert!(node.log().contains(words), "{words:?} is not in the log: {}", node.log());
}

fn a_lock_without_a_socket_is_waited_for() {
    let mut node = stopped();
    let (store, _) = Store::open(&options(&node)).expect("the store opens");
    let began = Instant::now();
    let said = node.ctl(&["get", "events"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("is in use, and no routerd answers"), "{said:?}");
    assert!(began.elapsed() >= Duration::from_secs(5), "it did not wait for the lock");
    let status = node.try_start(&[]).expect("no second daemon");
    assert_eq!(status.code(), Some(3), "{status}");
    assert!(node.log().contains("is in use by another process"), "{}", node.log());
    // One that is released meanwhile is no hindrance, neither for a command nor for a daemon.
    let waiting = node.routerctl(&["get", "events"]);
    let waiting = std::thread::spawn(move || finish(waiting, ""));
    drop(store);
    let said = waiting.join().expect("routerctl");
    assert!(said.code == Some(0) && said.stdout.contains("event-1"), "{said:?}");
    let (store, _) = Store::open(&options(&node)).expect("the store opens");
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        drop(store);
    });
    node.start();
    release.join().expect("released");
    node.stop();
}

fn a_newer_store_is_left_alone() {
    let mut node = stopped();
    drop(Store::open(&OpenOptions { schema: 9, ..options(&node) }).expect("a newer program"));
    assert_refused(&mut node, "has schema 9, newer than the 2 this program knows");
    assert!(!node.has_quarantine());
}

fn files_in_its_place_are_named() {
    let mut node = Node::new();
    for (contents, words) in [
        (b"SQLite format 3\0and so on".as_slice(), "is an SQLite database"),
        (b"something else", "is a file, not a state directory"),
    ] {
        fs::write(node.state(), contents).expect("a file");
        assert_refused(&mut node, words);
        assert_eq!(fs::read(node.state()).expect("the file"), contents, "it was changed");
    }
}

fn a_stranger_is_told_about_permission() {
    if !rustix::process::geteuid().is_root() {
        println!("offline: no permission: SKIPPED: becoming somebody else needs root");
        return;
    }
    let node = stopped();
    // All may come to the door; the state directory is the owner's.
    let open = fs::Permissions::from_mode(0o755);
    let home = node.state().parent().expect("a parent");
    fs::set_permissions(home, open.clone()).expect("opened");
    let program = home.join("routerctl");
    fs::copy(env!("CARGO_BIN_EXE_routerctl"), &program).expect("copied");
    fs::set_permissions(&program, open).expect("executable");
    let before = listing(node.state());
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    command.args(["get", "events", "--state"]).arg(node.state());
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let said = finish(command, "");
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("no permission for"), "{said:?}");
    assert_eq!(listing(node.state()), before);
}

fn listing(directory: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names
}
