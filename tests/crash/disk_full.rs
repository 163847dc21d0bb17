//! A full disk: what cannot be stored is refused in plain words, what was acknowledged stays, and
//! everything goes on when there is room.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::mounts::{self, Mounted};
use super::node::{Node, event_line};

const MEGABYTES: u64 = 224;

pub fn run() {
    let directory = mounts::directory();
    let disk = Mounted::memory(&directory.path().join("disk"), MEGABYTES);
    let mut node = Node::on(&disk.path().join("state"));
    // The plugin waits at a gate, so that a run is under way when the disk is full.
    node.wrap_plugin("while ! test -e \"$NODE/gate\"; do sleep 0.05; done; exec \"$PLUGIN\"");
    node.start();
    let line = |n: u32| event_line(&format!("event-{n}"), n, u64::from(n));
    assert_eq!(node.emit(&[line(1), line(2)])[1]["accepted"], true);
    until_it_runs(&node);

    let filler = fill(disk.path());
    refuses(&node, &line(3));
    fs::write(node.path("gate"), b"").expect("the gate opens");
    restarts_when_full(&mut node, &line(4));

    fs::remove_file(filler).expect("room");
    let answers = node.emit(&[line(3), line(4)]);
    assert!(answers.iter().all(|answer| answer["accepted"] == true), "{answers:?}");
    node.converge();
    let (kept, parts) = (node.event_ids(), node.parts());
    assert_eq!((kept.len(), parts.len()), (4, 4), "{kept:?}\n{}", node.tail());
    let status = node.status();
    assert_eq!(status["store"]["healthy"], true, "{status}");
    assert!(!node.has_quarantine());
    node.stop();
    println!("disk full: refused with storeFull, nothing lost, runs went on when there was room");
}

/// Takes all the room there is.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut file = fs::File::create(&path).expect("a file");
    let block = vec![1; 1 << 16];
    while file.write_all(&block).is_ok() {}
    path
}

/// Waits until the plugin stands at the gate.
fn until_it_runs(node: &Node) {
    let running = |status: &Value| {
        let pending = status["pending"].as_array().expect("a list");
        pending.iter().any(|item| item["controller"] == "runs" && item["state"] == "Running")
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let status = node.status();
        if running(&status) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "the plugin does not run: {status}");
    }
}

fn refuses(node: &Node, line: &str) {
    let answers = node.emit(&[line.to_owned()]);
    let error = &answers[0]["error"];
    assert_eq!(answers[0]["accepted"], false, "{answers:?}");
    assert_eq!(error["reason"], "storeFull", "{answers:?}");
    let event = ["emit", "--group", super::node::GROUP, "--type", super::node::TYPE];
    let said = node.ctl(&event);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("full") && said.stderr.contains("hint: make room"), "{said:?}");
    let page = node.ctl(&["status"]).stdout;
    assert!(page.contains("takes no writes") && page.contains("disk full"), "{page}");
    // Reading goes on.
    assert_eq!(node.event_ids().len(), 2);
    println!("  emit on a full disk: {}", said.stderr.trim().replace('\n', " / "));
}

/// With not one byte free the daemon says so and does not start, or starts and refuses; it takes
/// nothing for damaged.
fn restarts_when_full(node: &mut Node, line: &str) {
    node.kill();
    match node.try_start(&[]) {
        None => {
            let answers = node.emit(&[line.to_owned()]);
            assert_eq!(answers[0]["error"]["reason"], "storeFull", "{answers:?}");
            println!("  restart on a full disk: starts, reads, refuses to write");
        }
        Some(status) => {
            assert_eq!(status.code(), Some(3), "{status}:\n{}", node.tail());
            let log = node.log();
            let last = log.lines().last().unwrap_or_default();
            assert!(last.contains("full"), "{log}");
            println!("  restart on a full disk: {last}");
        }
    }
    assert!(!node.has_quarantine(), "{}", node.tail());
    if node.ended().is_some() || node.ctl(&["status"]).code != Some(0) {
        // Some room, less than the reserve: now it starts.
        let filler = fs::OpenOptions::new().write(true).open(node.state().with_file_name("filler"));
        let filler = filler.expect("the filler");
        let length = filler.metadata().expect("metadata").len();
        filler.set_len(length - (8 << 20)).expect("shortened");
        node.start_busy();
        let answers = node.emit(&[line.to_owned()]);
        assert_eq!(answers[0]["error"]["reason"], "storeFull", "{answers:?}");
    }
}
