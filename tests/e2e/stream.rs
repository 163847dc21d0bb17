//! Plugins with `protocol: stream`: the same parts, fewer processes, and none that is left.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::{Node, group, plugin, subscription, wait_for};

const OBSERVED: &str = "routerd.client.ipv4.observed";

fn emit(node: &Node, number: u32) {
    let args = format!(
        "emit --group edge --type {OBSERVED} --id e{number} --subject 192.0.2.{number}/32 \
         --payload domain=d"
    );
    node.ctl(&args).exits(0);
}

/// Digests of a subscription's parts, by event.
fn digests(node: &Node, subscription: &str) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let source = format!("EventSubscription/{subscription}");
    let parts = node.parts().into_iter().filter(|part| part["spec"]["source"] == source);
    parts.map(|part| (text(&part["status"]["eventId"]), text(&part["spec"]["digest"]))).collect()
}

/// Warm processes that run in this node's working directories.
fn warm(node: &Node) -> usize {
    let state = node.path("state");
    let pids = fs::read_dir("/proc").expect("/proc").filter_map(|entry| {
        let pid = entry.ok()?.path();
        let ours = fs::read_link(pid.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&state));
        let environment = fs::read(pid.join("environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        (ours && variables.any(|v| v == b"ROUTERD_PROTOCOL=stream")).then_some(())
    });
    pids.count()
}

fn none_left(node: &Node) {
    wait_for("no warm process", &node.log_path(), || match warm(node) {
        0 => Ok(()),
        n => Err(format!("{n} processes")),
    });
}

fn both(node: &Node, more: &str) -> String {
    let types = format!("[{OBSERVED}]");
    [
        group(),
        plugin("once", &node.path("bin/claim"), ""),
        plugin("warm", &node.path("bin/counted"), more),
        subscription("once", "once", &types, ""),
        subscription("warm", "warm", &types, ""),
    ]
    .join("---\n")
}

#[test]
fn one_process_gives_the_parts_that_many_would() {
    let node = Node::new();
    node.counted_plugin("");
    node.write("all.yaml", &both(&node, "protocol: stream"));
    let daemon = node.serve();
    for number in 1..=5 {
        emit(&node, number);
        node.converge();
    }
    assert_eq!(digests(&node, "warm").len(), 5);
    assert_eq!(digests(&node, "warm"), digests(&node, "once"));
    assert_eq!(node.runs().len(), 1, "one process was started");
    assert_eq!(warm(&node), 1);

    // Another environment is another effect: all is run again, by another process.
    node.write("all.yaml", &both(&node, "protocol: stream\nenv: {A: b}"));
    node.converge();
    assert_eq!(node.runs().len(), 2);
    wait_for("one process", &node.log_path(), || match warm(&node) {
        1 => Ok(()),
        n => Err(format!("{n} processes")),
    });

    node.write("all.yaml", &group());
    none_left(&node);

    node.write("all.yaml", &both(&node, "protocol: stream"));
    node.converge();
    emit(&node, 6);
    node.converge();
    assert_eq!(warm(&node), 1);
    assert!(daemon.stop().success());
    none_left(&node);
}

#[test]
fn a_killed_daemons_process_ends_with_its_input() {
    let node = Node::new();
    node.counted_plugin("");
    node.write("all.yaml", &both(&node, "protocol: stream"));
    let daemon = node.serve();
    emit(&node, 1);
    node.converge();
    assert_eq!(warm(&node), 1);
    daemon.kill();
    none_left(&node);
}

#[test]
fn a_process_that_fails_is_an_attempt_and_the_others_events_go_on() {
    let node = Node::new();
    let answer = r#"{"apiVersion":"plugin.routerd.net/v1alpha1","kind":"PluginResult","status":{"ttl":"1h"}}"#;
    let body = format!(
        "while read -r line; do case $line in *poison*) echo no good >&2; exit 3;; esac\n\
         echo '{answer}'; done"
    );
    let path = node.script("brittle", &body);
    node.write(
        "all.yaml",
        &[
            group(),
            plugin("brittle", &path, "protocol: stream"),
            subscription("s", "brittle", "[seen]", ", retry: {maxAttempts: 3, backoff: 10ms}"),
        ]
        .join("---\n"),
    );
    let _daemon = node.serve();
    node.emit("good", "seen", "a");
    node.emit("poison", "seen", "b");
    node.emit("fine", "seen", "c");
    node.converge();
    let runs = node.ctl("get runs -o json").json();
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    for run in runs.as_array().expect("a list") {
        *outcomes.entry(run["outcome"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    assert_eq!(outcomes, BTreeMap::from([("Succeeded".into(), 2), ("ExitCode".into(), 3)]));
    let status = node.status();
    assert_eq!(status["subscriptions"][0]["deadLettered"], 1, "{status:#}");
    assert_eq!(node.parts().len(), 2);
    assert!(node.log().contains("no good"));
}
