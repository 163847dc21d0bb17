//! Restarts and crashes: nothing accepted is missing, nothing is done twice.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Node, group, plugin, subscription, wait_for};

fn node_with_plugin(before_each_run: &str) -> Node {
    let node = Node::new();
    let counted = node.counted_plugin(before_each_run);
    node.write(
        "all.yaml",
        &[group(), plugin("p", &counted, "concurrency: 4"), subscription("s", "p", "[seen]", "")]
            .join("---\n"),
    );
    node
}

/// Parts by subject, without what differs between two lives of the same story: uids and times.
fn story(node: &Node) -> BTreeMap<String, Value> {
    let of = |part: Value| {
        let subject = part["status"]["subject"].as_str().expect("subject").to_owned();
        let said = serde_json::json!({
            "name": part["metadata"]["name"],
            "annotations": part["metadata"]["annotations"],
            "generation": part["spec"]["generation"],
            "resources": part["spec"]["resources"],
            "digest": part["spec"]["digest"],
            "served": part["status"]["served"],
        });
        (subject, said)
    };
    node.parts().into_iter().map(of).collect()
}

#[test]
fn a_restart_changes_nothing_and_runs_nothing() {
    let node = node_with_plugin("");
    let daemon = node.serve();
    node.emit("one", "seen", "192.0.2.1/32");
    node.emit("two", "seen", "192.0.2.2/32");
    node.converge();
    let (parts, runs, rendered) = (node.parts(), node.runs(), node.ctl("render").stdout);
    let revision = node.status()["store"]["revision"].clone();
    assert!(daemon.stop().success());
    let daemon = node.serve();
    node.converge();
    assert_eq!((node.parts(), node.runs()), (parts, runs));
    assert_eq!(node.ctl("render").stdout, rendered);
    assert_eq!(node.status()["store"]["revision"], revision, "a second pass writes nothing");
    assert!(daemon.stop().success());
}

#[test]
fn a_stop_during_a_run_is_not_an_attempt_and_the_run_is_made_up_for() {
    let node = node_with_plugin("[ -e GATE ] || exec sleep 600");
    let gate = node.path("gate");
    let script = std::fs::read_to_string(node.path("bin/counted")).expect("script");
    node.script(
        "counted",
        script
            .trim_start_matches("#!/bin/sh\n")
            .replace("GATE", gate.to_str().expect("UTF-8"))
            .as_str(),
    );
    let daemon = node.serve();
    node.emit("one", "seen", "192.0.2.1/32");
    wait_for("the run to start", &node.log_path(), || match node.runs().len() {
        1 => Ok(()),
        n => Err(format!("{n} runs")),
    });
    let status = daemon.stop();
    assert!(status.success(), "{status}\n{}", node.log());
    assert_eq!(node.ctl("get runs -o json").json(), serde_json::json!([]), "it was not tried");

    std::fs::write(&gate, "").expect("write");
    let _daemon = node.serve();
    node.converge();
    let runs = node.runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[0], runs[1], "the same run, by its key");
    let parts = node.parts();
    assert_eq!((parts.len(), &parts[0]["spec"]["generation"]), (1, &Value::from(1)));
}

#[test]
fn a_kill_during_a_run_repeats_it_under_the_same_key_and_stores_its_effect_once() {
    let node = node_with_plugin("");
    let gate = node.path("gate");
    let body = format!(
        "echo \"$ROUTERD_RUN_KEY\" >> {}\nuntil [ -e {} ]; do sleep 0.02; done\nexec {}",
        node.path("runs").display(),
        gate.display(),
        node.path("bin/claim").display()
    );
    node.script("counted", &body);
    let daemon = node.serve();
    node.emit("one", "seen", "192.0.2.1/32");
    wait_for("the run to start", &node.log_path(), || match node.runs().len() {
        1 => Ok(()),
        n => Err(format!("{n} runs")),
    });
    daemon.kill();
    std::fs::write(&gate, "").expect("write");
    let _daemon = node.serve();
    node.converge();
    let runs = node.runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[0], runs[1], "the same run, by its key");
    let parts = node.parts();
    assert_eq!((parts.len(), &parts[0]["spec"]["generation"]), (1, &Value::from(1)));
}

#[test]
fn kills_at_any_moment_lose_nothing_that_was_accepted_and_end_like_an_undisturbed_run() {
    const ROUNDS: usize = 6;
    const EACH: usize = 20;
    let subjects = |round: usize| {
        (0..EACH).map(move |n| (format!("e{round}-{n}"), format!("10.0.{round}.{n}/32")))
    };
    let disturbed = node_with_plugin("");
    for round in 0..ROUNDS {
        let daemon = disturbed.serve();
        for (n, (id, subject)) in subjects(round).enumerate() {
            disturbed.emit(&id, "seen", &subject);
            // A different moment each round: while runs are starting, running, being stored.
            if n == 3 * round + 2 {
                break;
            }
        }
        daemon.kill();
    }
    let _daemon = disturbed.serve();
    for (id, subject) in (0..ROUNDS).flat_map(subjects) {
        // Some of them for the second time.
        disturbed.emit(&id, "seen", &subject);
    }
    disturbed.converge();

    let undisturbed = node_with_plugin("");
    let _other = undisturbed.serve();
    for (id, subject) in (0..ROUNDS).flat_map(subjects) {
        undisturbed.emit(&id, "seen", &subject);
    }
    undisturbed.converge();
    let end = story(&disturbed);
    assert_eq!(end.len(), ROUNDS * EACH);
    assert_eq!(end, story(&undisturbed));
    assert_eq!(
        disturbed.ctl("render").stdout,
        undisturbed.ctl("render").stdout.replace(
            undisturbed.path("").to_str().expect("UTF-8"),
            disturbed.path("").to_str().expect("UTF-8"),
        )
    );
}
