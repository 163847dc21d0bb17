//! Plugins that fail: each degrades its own facts only, and the operator sees which, why, and what
//! the plugin said.

use serde_json::Value;

use crate::harness::{Node, badplugin, group, plugin, subscription};

const ONE_TRY: &str = ", retry: {maxAttempts: 1, backoff: 10ms}";

/// A node with a good subscription and a bad one on the same events, after one event.
fn after_one_event(bad: &std::path::Path, more: &str, node: &Node) -> crate::harness::Daemon {
    let good = node.counted_plugin("");
    node.write(
        "all.yaml",
        &[
            group(),
            plugin("bad", bad, more),
            plugin("good", &good, ""),
            subscription("bad", "bad", "[seen]", ONE_TRY),
            subscription("good", "good", "[seen]", ""),
        ]
        .join("---\n"),
    );
    let daemon = node.serve();
    node.emit("one", "seen", "192.0.2.1/32");
    node.converge();
    let parts = node.parts();
    assert_eq!(parts.len(), 1, "the good one has its part: {parts:#?}");
    assert_eq!(parts[0]["spec"]["source"], "EventSubscription/good");
    daemon
}

/// The bad plugin's last run, after checking that `status` tells of it.
fn given_up(node: &Node) -> Value {
    let status = node.status();
    let bad = &status["subscriptions"][0];
    assert_eq!((&bad["name"], &bad["deadLettered"]), (&Value::from("bad"), &Value::from(1)));
    assert_eq!(status["subscriptions"][1]["deadLettered"], 0);
    let runs = node.ctl("get runs -o json").json();
    let runs = runs.as_array().expect("a list");
    runs.iter().find(|run| run["plugin"] == "bad").cloned().expect("its run is kept")
}

#[test]
fn a_plugin_that_fails_is_given_up_with_its_reason_and_its_last_words() {
    let node = Node::new();
    let path = node.script("bad", "cat >/dev/null; echo no route to the cloud >&2; exit 7");
    let _daemon = after_one_event(&path, "", &node);
    let run = given_up(&node);
    assert!(run["stderr"].as_str().is_some_and(|s| s.contains("no route to the cloud")), "{run:#}");
    assert!(run["message"].as_str().is_some_and(|m| m.contains('7')), "{run:#}");
    let text = node.ctl("status").exits(0).stdout;
    assert!(text.contains("no route to the cloud"), "status says why:\n{text}");
    assert!(node.log().contains("no route to the cloud"), "so does the log:\n{}", node.log());
}

#[test]
fn a_plugin_that_takes_too_long_is_ended_and_given_up() {
    let node = Node::new();
    let path = node.install(&badplugin(), "badplugin");
    let _daemon = after_one_event(&path, "args: [hang]\ntimeout: 200ms", &node);
    let run = given_up(&node);
    assert_eq!(run["outcome"], "TimedOut", "{run:#}");
}

#[test]
fn a_plugin_that_floods_its_output_is_ended_and_given_up() {
    let node = Node::new();
    let path = node.install(&badplugin(), "badplugin");
    let _daemon = after_one_event(&path, "args: [flood-stdout]", &node);
    let run = given_up(&node);
    assert!(
        run["message"].as_str().is_some_and(|m| m.contains("stdout") || m.contains("output")),
        "{run:#}"
    );
}

#[test]
fn what_is_no_result_is_given_up_whatever_it_is() {
    for mode in [
        "silent",
        "binary",
        "two-documents",
        "wrong-apiversion",
        "forbidden-kind",
        "ttl-century",
        "exit-1",
        "signal-with-valid-json",
    ] {
        let node = Node::new();
        let path = node.install(&badplugin(), "badplugin");
        let _daemon = after_one_event(&path, &format!("args: [{mode}]"), &node);
        let run = given_up(&node);
        assert!(run["message"].as_str().is_some_and(|m| !m.is_empty()), "{mode}: {run:#}");
    }
}

#[test]
fn a_newer_observation_gives_a_given_up_fact_another_chance() {
    let node = Node::new();
    let gate = node.path("gate");
    let program = node.install(&crate::harness::claim_plugin(), "claim");
    let body = format!(
        "[ -e {} ] || {{ cat >/dev/null; exit 1; }}\nexec {}",
        gate.display(),
        program.display()
    );
    let path = node.script("bad", &body);
    let _daemon = after_one_event(&path, "", &node);
    given_up(&node);
    std::fs::write(&gate, "").expect("write");
    node.emit("two", "seen", "192.0.2.1/32");
    node.converge();
    assert_eq!(node.parts().len(), 2);
    assert_eq!(node.status()["subscriptions"][0]["deadLettered"], 0);
}
