//! `wait --converged`: what it waits for, and what it says when that does not come.

use std::fmt::Write;

use crate::harness::{Node, badplugin, group, plugin, subscription, wg_interface};

#[test]
fn waiting_sees_what_was_written_just_before_it() {
    let node = Node::new();
    let _daemon = node.serve();
    for n in 0..10 {
        node.write(&format!("wg{n}.yaml"), &wg_interface(&format!("wg{n}"), 1400));
        node.converge();
        node.get("WireGuardInterface", &format!("wg{n}"));
    }
}

#[test]
fn waiting_lasts_until_what_left_a_file_is_gone() {
    let node = Node::new();
    node.write("two.yaml", &format!("{}---\n{}", wg_interface("a", 1400), wg_interface("b", 1400)));
    let _daemon = node.serve();
    node.converge();
    node.write("two.yaml", &wg_interface("a", 1400));
    node.converge();
    node.ctl("get WireGuardInterface b").exits(1);
}

#[test]
fn waiting_for_a_burst_leaves_every_part_visible() {
    const EVENTS: usize = 300;
    let node = Node::of_the_guide();
    let _daemon = node.serve();
    let mut lines = String::new();
    for n in 0..EVENTS {
        let address = format!("10.88.60.{}/32", n % 250);
        writeln!(
            lines,
            r#"{{"group":"cloudedge","type":"routerd.client.ipv4.observed","subject":"{address}","sourceNode":"onprem-router","dedupeKey":"k{n}","payload":{{"domain":"cloudedge-same-subnet"}}}}"#,
        )
        .expect("a string");
    }
    node.ctl_reading("emit -f -", &lines).exits(0);
    node.converge();
    assert_eq!(node.parts().len(), EVENTS);
    assert_eq!(node.status()["pendingTotal"], 0);
}

#[test]
fn a_plugin_that_hangs_makes_the_wait_say_what_is_pending() {
    let node = Node::new();
    let hanging = node.install(&badplugin(), "badplugin");
    node.write(
        "all.yaml",
        &[
            group(),
            plugin("sleepy", &hanging, "args: [hang]\ntimeout: 10m"),
            subscription("s", "sleepy", "[seen]", ""),
        ]
        .join("---\n"),
    );
    let _daemon = node.serve();
    node.emit("one", "seen", "a");
    let answer = node.ctl("wait --converged --timeout 500ms").exits(1);
    assert!(answer.stderr.contains("sleepy") || answer.stdout.contains("sleepy"), "{answer:?}");
    let json = node.ctl("wait --converged --timeout 100ms -o json").exits(1);
    let said: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(said["converged"], false, "{said:#}");
    assert!(said["pending"].to_string().contains("sleepy"), "{said:#}");
}

#[test]
fn given_up_work_and_missing_plugins_count_as_settled() {
    let node = Node::new();
    let failing = node.script("fails", "cat >/dev/null; exit 1");
    node.write(
        "all.yaml",
        &[
            group(),
            plugin("fails", &failing, ""),
            plugin("missing", &node.path("bin/missing"), ""),
            subscription("a", "fails", "[seen]", ", retry: {maxAttempts: 2, backoff: 20ms}"),
            subscription("b", "missing", "[seen]", ""),
            subscription("c", "no-such-plugin", "[seen]", ""),
        ]
        .join("---\n"),
    );
    let _daemon = node.serve();
    node.emit("one", "seen", "a");
    node.converge();
    let status = node.status();
    assert_eq!(status["subscriptions"][0]["deadLettered"], 1, "{status:#}\n{}", node.log());
    let notices = status["notices"].to_string();
    assert!(notices.contains("subscription c") && notices.contains("no-such-plugin"), "{notices}");
}

#[test]
fn no_time_at_all_means_one_look_and_more_than_an_hour_is_refused() {
    let node = Node::new();
    node.write("wg.yaml", &wg_interface("wg0", 1400));
    let _daemon = node.serve();
    node.converge();
    node.ctl("wait --converged --timeout 0s").exits(0);
    let refused = node.ctl("wait --converged --timeout 2h").exits(2);
    assert!(refused.stderr.contains("1h"), "{}", refused.stderr);

    let hanging = node.install(&badplugin(), "badplugin");
    let sleepy = plugin("sleepy", &hanging, "args: [hang]\ntimeout: 10m");
    node.write(
        "all.yaml",
        &[group(), sleepy, subscription("s", "sleepy", "[seen]", "")].join("---\n"),
    );
    crate::harness::wait_for("the group", &node.log_path(), || {
        let answer = node.ctl("get EventGroup edge");
        if answer.code == 0 { Ok(()) } else { Err(answer.stderr) }
    });
    node.emit("one", "seen", "a");
    let answer = node.ctl("wait --converged --timeout 0s").exits(1);
    assert!(!answer.stderr.contains("0 pending"), "{answer:?}");
}
