//! TERM, INT, HUP: stop, insist, look again.

use std::time::{Duration, Instant};

use crate::harness::{Node, badplugin, group, plugin, soon, subscription, wait_for, wg_interface};

/// A node with a run under way that heeds no TERM.
fn stuck_node() -> Node {
    let node = Node::new();
    let stubborn = node.install(&badplugin(), "badplugin");
    node.write(
        "all.yaml",
        &[
            group(),
            plugin("p", &stubborn, "args: [ignore-term]\ntimeout: 10m"),
            subscription("s", "p", "[seen]", ""),
        ]
        .join("---\n"),
    );
    node
}

fn start_a_run(node: &Node) {
    node.emit("one", "seen", "a");
    wait_for("the run to be under way", &node.log_path(), || {
        let status = node.status();
        let pending = status["pending"].as_array().cloned().unwrap_or_default();
        let running = pending.iter().any(|p| p["controller"] == "runs" && p["state"] == "Running");
        if running { Ok(()) } else { Err(format!("{pending:?}")) }
    });
}

#[test]
fn term_and_int_stop_an_idle_daemon_with_success() {
    for signal in ["TERM", "INT"] {
        let node = Node::new();
        let daemon = node.serve();
        daemon.signal(signal);
        let status = daemon.wait();
        assert!(status.success(), "{signal}: {status}\n{}", node.log());
        assert!(!node.path("state/control.sock").exists(), "an orderly stop takes its socket away");
    }
}

#[test]
fn a_second_signal_does_not_wait_for_a_plugin_that_heeds_none() {
    let node = stuck_node();
    let daemon = node.serve();
    start_a_run(&node);
    let began = Instant::now();
    daemon.signal("TERM");
    daemon.signal("TERM");
    daemon.wait();
    let took = began.elapsed();
    println!("ended {} ms after two signals", took.as_millis());
    assert!(took < Duration::from_secs(10), "{took:?}\n{}", node.log());
    // What it did not finish is finished next time.
    node.script(
        "badplugin",
        "cat >/dev/null; echo '{\"apiVersion\":\"plugin.routerd.net/v1alpha1\",\
        \"kind\":\"PluginResult\",\"status\":{\"ttl\":\"30m\"}}'",
    );
    let _daemon = node.serve();
    node.converge();
    assert_eq!(node.parts().len(), 1);
}

#[test]
fn a_hangup_makes_the_daemon_look_at_its_manifests() {
    let node = Node::new();
    let daemon = node.serve();
    let scans = || node.status()["config"]["scanRevision"].as_u64().expect("a number");
    let before = scans();
    daemon.signal("HUP");
    soon("a scan after a hangup", &node.log_path(), || {
        let now = scans();
        if now > before { Ok(()) } else { Err(format!("{now} scans")) }
    });
    node.write("wg.yaml", &wg_interface("wg0", 1400));
    daemon.signal("HUP");
    node.soon_object("what was written before it", "WireGuardInterface", "wg0", |o| !o.is_null());
}
