//! The state directory: who may open it, and what is refused in its place.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use routerd::api::Time;
use routerd::api::fact::FactId;
use routerd::store::tables::PARTS;
use routerd::store::{OpenOptions, Record, Store, Table};
use serde::{Deserialize, Serialize};

use crate::harness::{Node, group, wait_for};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode()
        & 0o777
}

#[test]
fn the_state_is_private_and_the_socket_is_for_the_group() {
    let node = Node::new();
    let _daemon = node.serve();
    let state = node.path("state");
    assert_eq!(mode(&state), 0o750);
    assert_eq!(mode(&state.join("db")), 0o700);
    assert_eq!(mode(&state.join("control.sock")), 0o660);
}

#[test]
fn a_second_daemon_on_the_same_state_leaves_with_a_clear_error_and_harms_nothing() {
    let node = Node::new();
    node.write("group.yaml", &group());
    let _daemon = node.serve();
    let output = node.daemon_command(&[]).output().expect("routerd runs");
    assert_eq!(output.status.code(), Some(3), "no usable store");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("in use") && said.contains("state"), "{said}");
    node.emit("one", "seen", "a");
    assert_eq!(node.status()["running"], true);
}

#[test]
fn a_file_in_place_of_the_state_is_refused_and_left_alone() {
    for (content, said) in [
        (&b"SQLite format 3\0 and so on, as the older routerd left it"[..], "SQLite"),
        (b"something else", "is a file"),
        (b"", "is a file"),
    ] {
        let node = Node::new();
        fs::write(node.path("state"), content).expect("write");
        let output = node.daemon_command(&[]).output().expect("routerd runs");
        assert_eq!(output.status.code(), Some(3));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(said), "{said:?} not in {stderr}");
        let answer = node.ctl("status").exits(3);
        assert!(answer.stderr.contains(said), "{said:?} not in {}", answer.stderr);
        assert_eq!(fs::read(node.path("state")).expect("read"), content);
    }
}

#[test]
fn a_damaged_database_is_moved_aside_and_said() {
    let node = Node::new();
    node.write("group.yaml", &group());
    let daemon = node.serve();
    node.emit("one", "seen", "a");
    assert!(daemon.stop().success());
    let db = node.path("state/db/db");
    let length = fs::metadata(&db).expect("the log of sled").len();
    fs::write(&db, vec![0xAB; usize::try_from(length.min(1 << 20)).expect("small")])
        .expect("write");
    let _daemon = node.serve();
    let status = node.status();
    assert_eq!(status["store"]["healthy"], false, "{status:#}");
    let notices = status["notices"].to_string();
    assert!(notices.contains("quarantine"), "{notices}");
    wait_for("the manifests to be taken in anew", &node.log_path(), || {
        let answer = node.ctl("get EventGroup edge");
        if answer.code == 0 { Ok(()) } else { Err(answer.stderr) }
    });
}

#[test]
fn a_socket_elsewhere_works_as_well() {
    let node = Node::new();
    let socket = node.path("other.sock").display().to_string();
    let _daemon = node.start(&["--socket", &socket]);
    wait_for("the daemon on its socket", &node.log_path(), || {
        let answer = node.ctl_args(&["--socket", &socket, "status", "-o", "json"]);
        if answer.stdout.contains("\"running\": true") { Ok(()) } else { Err(answer.stderr) }
    });
    assert_eq!(mode(&node.path("other.sock")), 0o660);
}

/// A part as no version of the program writes it.
#[derive(Serialize, Deserialize)]
struct NoPart(u8);

impl Record for NoPart {
    const TABLE: Table = PARTS;
    type Key = (String, FactId);

    fn key(&self) -> Self::Key {
        ("s".to_owned(), FactId([self.0; 16]))
    }
}

#[test]
fn a_stored_row_that_does_not_read_is_told_and_never_shown_as_an_empty_node() {
    let node = Node::new();
    node.write("group.yaml", &group());
    node.serve().stop();
    let store = OpenOptions::offline(node.path("state"), Time::now(), false);
    let (store, _) = Store::open(&store).expect("nobody has it");
    store.write_blocking(|txn| txn.put(&NoPart(7))).expect("a durable write");
    drop(store);

    let once = node.daemon_command(&["--once"]).output().expect("routerd runs");
    assert_eq!(once.status.code(), Some(1));
    let said = String::from_utf8_lossy(&once.stderr);
    assert!(said.contains("cannot read what is stored") && said.contains("parts"), "{said}");

    let _daemon = node.serve();
    let status = node.status();
    let told = status["conditions"].to_string();
    assert!(told.contains("StoreUnread") && told.contains("parts"), "{status:#}");
    let text = node.ctl("status").exits(0).stdout;
    assert!(text.contains("StoreUnread"), "{text}");
    let refused = node.ctl("emit --group edge --type seen --subject a");
    assert!(refused.code != 0 && refused.stderr.contains("still reading"), "{}", refused.stderr);
}
