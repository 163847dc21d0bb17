//! A node's store as one file, and a node made of that file.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{GUIDE_EVENT, Node};

fn store_id(node: &Node) -> String {
    let identity = fs::read_to_string(node.path("state/identity.json")).expect("identity.json");
    let identity: serde_json::Value = serde_json::from_str(&identity).expect("JSON");
    identity["storeId"].as_str().expect("an id").to_owned()
}

/// A node of the guide with one event that was acted on.
fn settled() -> (Node, crate::harness::Daemon) {
    let node = Node::of_the_guide();
    let daemon = node.serve();
    node.ctl(GUIDE_EVENT).exits(0);
    node.converge();
    (node, daemon)
}

#[test]
fn a_node_that_is_restored_from_a_backup_renders_the_same_and_runs_nothing_again() {
    let (node, daemon) = settled();
    let rendered = node.ctl("render").exits(0).stdout;
    assert!(rendered.contains("name: onprem-10-88-60-9"), "{rendered}");
    let backup = node.ctl("backup --to b1 -o json").exits(0).json();
    assert_eq!(backup["revision"], node.status()["store"]["revision"]);
    let mode = fs::metadata(node.path("b1")).expect("the backup").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (parts, events) = (node.parts(), node.ctl("get events -o json").json());
    let runs = node.ctl("get runs -o json").json();
    let before = store_id(&node);

    let refused = node.ctl("restore --from b1").exits(1);
    assert!(refused.stderr.contains("stop it first"), "{}", refused.stderr);
    assert!(daemon.stop().success());
    let refused = node.ctl("restore --from b1").exits(1);
    assert!(refused.stderr.contains("not empty"), "{}", refused.stderr);
    fs::rename(node.path("state"), node.path("state.old")).expect("rename");

    let restored = node.ctl("restore --from b1").exits(0);
    assert!(restored.stdout.contains("restored to revision"), "{}", restored.stdout);
    let after = store_id(&node);
    assert_ne!(after, before, "peers must notice that it is not the store that they knew");
    assert_eq!(node.ctl("render").exits(0).stdout, rendered);
    let _daemon = node.serve();
    node.converge();
    assert_eq!(node.ctl("render").exits(0).stdout, rendered);
    assert_eq!(node.parts(), parts);
    assert_eq!(node.ctl("get events -o json").json(), events);
    assert_eq!(node.ctl("get runs -o json").json(), runs);
    assert_eq!(store_id(&node), after);
    assert_eq!(node.status()["store"]["healthy"], true);
}

#[test]
fn a_stopped_node_is_backed_up_as_well_and_nothing_is_replaced_by_accident() {
    let (node, daemon) = settled();
    node.ctl("backup --to with").exits(0);
    assert!(daemon.stop().success());
    let rendered = node.ctl("render").exits(0).stdout;
    node.ctl("backup --to without").exits(0);
    let kept = fs::read(node.path("without")).expect("read");
    let refused = node.ctl("backup --to without").exits(1);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(fs::read(node.path("without")).expect("read"), kept);
    node.ctl("backup --to without --force").exits(0);
    let refused = node.ctl("backup --to state/db/db --force").exits(1);
    assert!(refused.stderr.contains("state directory"), "{}", refused.stderr);
    fs::remove_dir_all(node.path("state")).expect("remove");
    node.ctl("restore --from without").exits(0);
    assert_eq!(node.ctl("render").exits(0).stdout, rendered);
    let left: Vec<_> = fs::read_dir(node.path(".")).expect("list").flatten().collect();
    assert!(!left.iter().any(|f| f.file_name().to_string_lossy().contains("routerd-new")));
}

#[test]
fn a_damaged_backup_is_refused_by_name_and_makes_no_store() {
    let (node, daemon) = settled();
    node.ctl("backup --to good").exits(0);
    assert!(daemon.stop().success());
    fs::remove_dir_all(node.path("state")).expect("remove");
    let good = fs::read(node.path("good")).expect("read");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (bytes, said) in [
        (&good[..good.len() - 1], "cut short"),
        (&flipped[..], "damaged at byte"),
        (b"kind: EventGroup", "not a backup"),
    ] {
        fs::write(node.path("bad"), bytes).expect("write");
        let refused = node.ctl("restore --from bad").exits(4);
        assert!(refused.stderr.contains(said), "{said:?} not in {}", refused.stderr);
        assert!(!node.path("state").exists());
    }
    let refused = node.ctl("restore --from nowhere").exits(4);
    assert!(refused.stderr.contains("nowhere"), "{}", refused.stderr);
    node.ctl("restore --from good").exits(0);
}
