//! What the daemon logs when nobody asked for more: what an operator reads, once.

use crate::harness::{Node, group, plugin, subscription, wait_for, wg_interface};

fn count(node: &Node, text: &str) -> usize {
    node.log().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_start_takes_a_handful_of_lines_without_colours() {
    let node = Node::new();
    let _daemon = node.serve();
    node.converge();
    let log = node.log();
    assert!(log.lines().count() <= 5, "{log}");
    assert!(!log.contains('\x1b'), "{log}");
    assert!(log.contains("ready"), "{log}");
}

#[test]
fn each_change_of_a_manifest_is_logged_once() {
    let node = Node::new();
    let _daemon = node.serve();
    let after = |text: &str| {
        node.write("wg.yaml", text);
        // Twice: what is known already is no news.
        node.converge();
        node.converge();
    };
    after(&wg_interface("wg0", 1400));
    after(&wg_interface("wg0", 1300));
    after(&wg_interface("wg0", 1300).replace("mtu", "mtuu"));
    after(&wg_interface("wg0", 1300));
    node.remove("wg.yaml");
    node.converge();
    for text in [
        "accepted WireGuardInterface/wg0",
        "changed WireGuardInterface/wg0",
        "deleted WireGuardInterface/wg0",
        "resolved: ",
    ] {
        assert_eq!(count(&node, text), 1, "{text}\n{}", node.log());
    }
    let broken = format!("WARN config: {}:5:3: ", node.conf("wg.yaml").display());
    assert_eq!(count(&node, &broken), 1, "{broken}\n{}", node.log());
}

#[test]
fn each_failed_run_is_logged_with_its_reason_and_what_the_plugin_said() {
    let node = Node::new();
    let failing = node.script("fails", "cat >/dev/null; echo no luck >&2; exit 7");
    node.write(
        "all.yaml",
        &[
            group(),
            plugin("fails", &failing, ""),
            subscription("s", "fails", "[seen]", ", retry: {maxAttempts: 3, backoff: 10ms}"),
        ]
        .join("---\n"),
    );
    let _daemon = node.serve();
    node.emit("one", "seen", "a");
    node.converge();
    wait_for("three failures in the log", &node.log_path(), || {
        match count(&node, "a run failed: the plugin exited with status 7") {
            3 => Ok(()),
            n => Err(format!("{n} failures")),
        }
    });
    assert_eq!(count(&node, "no luck"), 3, "{}", node.log());
    assert_eq!(count(&node, "given_up=1"), 1, "{}", node.log());
}
