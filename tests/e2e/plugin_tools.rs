//! `routerctl plugin`: what there is, one run by hand, and a recorded run again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Daemon, Node, group, plugin, subscription, wait_for};

const OBSERVED: &str = "routerd.client.ipv4.observed";

/// A node whose plugin `p` is the product's own, and one event of it.
fn node(more: &str) -> Node {
    let node = Node::new();
    let path = node.counted_plugin("");
    let types = format!("[{OBSERVED}]");
    let manifest = [group(), plugin("p", &path, more), subscription("s", "p", &types, "")];
    node.write("all.yaml", &manifest.join("---\n"));
    fs::write(node.path("event.json"), event("e1", "192.0.2.7/32").to_string()).expect("write");
    node
}

fn event(id: &str, subject: &str) -> Value {
    json!({
        "id": id, "group": "edge", "type": OBSERVED, "subject": subject,
        "payload": {"domain": "d"}, "ttl": "30m",
    })
}

fn emit(node: &Node) {
    let answer = node.ctl_reading("emit -f -", &event("e1", "192.0.2.7/32").to_string());
    assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);
    node.converge();
}

#[test]
fn a_run_by_hand_shows_request_result_and_verdict_and_stores_nothing() {
    for more in ["", "protocol: stream"] {
        let node = node(more);
        let _daemon = node.serve();
        node.converge();
        let shown = node.ctl("plugin run p --event event.json -o json").json();
        assert_eq!(shown["outcome"], "Succeeded", "{shown:#}");
        assert_eq!(shown["exit"], "exited with status 0");
        assert_eq!(shown["events"][0]["id"], "e1");
        assert_eq!(shown["events"][0]["resources"], 1);
        assert_eq!(shown["request"]["spec"]["events"][0]["payload"]["domain"], "d");
        let claim = &shown["result"]["status"]["resources"][0];
        assert_eq!(claim["spec"]["address"], "192.0.2.7/32");
        let text = node.ctl("plugin run p --event event.json").exits(0).stdout;
        for words in ["Outcome:    Succeeded", "Event:      e1 Succeeded: 1 resources", "Request:"]
        {
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(node.runs().len(), 2, "it ran twice");
        assert_eq!(node.ctl("get runs -o json").json(), json!([]));
        assert!(node.parts().is_empty());
        assert_eq!(node.ctl("get events -o json").json(), json!([]));
    }
}

#[test]
fn a_plugin_is_tried_from_its_manifest_before_there_is_a_daemon() {
    let node = node("");
    let args = "plugin run p --event - --config conf -o json";
    let list = json!([event("a", "192.0.2.1/32"), event("b", "192.0.2.2/32")]).to_string();
    let refused = node.ctl_reading(args, &list);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("batch.maxEvents"), "{}", refused.stderr);
    let shown = node.ctl_reading(args, "type: seen\nsubject: x\n").json();
    assert_eq!(shown["events"][0]["id"], "trial-1", "{shown:#}");
    assert_eq!(shown["result"]["status"]["resources"], json!([]));
    assert!(!node.path("state").exists(), "nothing is stored");
    let no = node.ctl("plugin run q --event event.json --config conf").exits(1);
    assert!(no.stderr.contains("no Plugin \"q\""), "{}", no.stderr);
    for text in ["", "[]", "no: event\n", "{\"type\": 3", "{\"type\": \"\"}"] {
        let answer = node.ctl_reading(args, text);
        assert_eq!(answer.code, 4, "{text:?}: {}{}", answer.stdout, answer.stderr);
    }
}

#[test]
fn what_is_wrong_with_an_answer_is_shown_and_the_answer_is_no() {
    let node = Node::new();
    let path = node.script("bad", "echo why >&2; exit 3");
    node.write("all.yaml", &[group(), plugin("bad", &path, "")].join("---\n"));
    let args = "plugin run bad --event - --config conf";
    let shown = node.ctl_reading(args, "type: t").exits(1).stdout;
    for words in ["Outcome:    ExitCode", "exited with status 3", "Stderr:\n  why"] {
        assert!(shown.contains(words), "{shown}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("mode");
    let refused = node.ctl_reading(args, "type: t").exits(1);
    assert!(refused.stderr.contains("chmod o-w"), "{}", refused.stderr);
}

#[test]
fn plugins_are_listed_and_described_with_how_their_runs_went() {
    let node = node("protocol: stream");
    let daemon = node.serve();
    emit(&node);
    let list = node.ctl("plugin list -o json").json();
    assert_eq!(list[0]["name"], "p");
    assert_eq!(list[0]["protocol"], "stream");
    assert_eq!((&list[0]["runs"], &list[0]["failed"]), (&json!(1), &json!(0)), "{list:#}");
    assert_eq!(list[0]["lastRun"]["outcome"], "Succeeded");
    assert_eq!(node.ctl("plugin list -o name").exits(0).stdout, "Plugin/p\n");
    let text = node.ctl("plugin describe p").exits(0).stdout;
    assert!(text.contains("PluginReady") && text.contains("Succeeded"), "{text}");
    node.ctl("plugin describe q").exits(1);
    assert!(daemon.stop().success());
    assert!(node.ctl("plugin list").exits(0).stdout.contains("stream"), "also from the store");
}

#[test]
fn a_recorded_run_again_gives_the_same_or_shows_what_differs() {
    let node = node("");
    let daemon = node.serve();
    emit(&node);
    let runs = node.ctl("get runs -o json").json();
    assert_eq!(runs.as_array().expect("a list").len(), 1);
    let run = &runs[0];
    assert_eq!(run["exit"], "exited with status 0");
    assert_eq!(run["shortened"], false);
    let number = run["run"].to_string();
    assert_eq!(node.ctl(&format!("get runs {number} -o json")).json()[0], *run);
    let same = node.ctl(&format!("plugin replay {number}")).exits(0).stdout;
    assert!(same.contains("the results are the same"), "{same}");

    let next = next(&node);
    let args = format!("plugin replay Run/{number} --executable {}", next.display());
    let text = node.ctl(&args).exits(1).stdout;
    for words in ["status.resources[0].spec.capture.nicRef", "- example-nic-ref", "+ other-nic"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(daemon.stop().success());
    // Without a daemon the store tells of the run.
    let compared = node.ctl(&format!("{args} -o json"));
    assert_eq!(compared.code, 1, "{}", compared.stderr);
    let compared: Value = serde_json::from_str(&compared.stdout).expect("JSON");
    assert_eq!(compared["same"], false);
    assert_eq!(compared["differences"].as_array().expect("a list").len(), 1);
    assert_eq!(compared["after"]["outcome"], "Succeeded");
    let failing = node.script("failing", "exit 9");
    let args = format!("plugin replay {number} --executable {}", failing.display());
    assert!(node.ctl(&args).exits(1).stdout.contains("exited with status 9"));
    node.ctl("plugin replay 999999").exits(1);
    node.ctl("plugin replay x").exits(2);
    assert_eq!(node.ctl("get runs -o json").json().as_array().expect("a list").len(), 1);
}

/// The plugin as its author changes it.
fn next(node: &Node) -> std::path::PathBuf {
    let program = node.path("bin/claim");
    let body = format!("{} | sed s/example-nic-ref/other-nic/", shell(&program));
    node.script("next", &body)
}

fn shell(path: &Path) -> String {
    format!("'{}'", path.display())
}

/// The same command, started with the password file open as descriptor 9.
fn with_an_open_file(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 9</etc/passwd; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.current_dir(command.get_current_dir().expect("it has one"));
    shell
}

#[test]
fn what_the_program_was_started_with_open_is_not_open_in_a_plugin() {
    let node = Node::new();
    let path = node.counted_plugin("[ -e /proc/self/fd/9 ] && cat <&9 >&2");
    let types = format!("[{OBSERVED}]");
    let manifest = [group(), plugin("p", &path, ""), subscription("s", "p", &types, "")];
    node.write("all.yaml", &manifest.join("---\n"));
    fs::write(node.path("event.json"), event("e1", "192.0.2.7/32").to_string()).expect("write");
    let daemon = Daemon::start(with_an_open_file(&node.daemon_command(&[])), &node.log_path());
    wait_for("an answer", &node.log_path(), || {
        let socket = node.path("state").join("control.sock");
        if socket.exists() && node.ctl("status").code == 0 { Ok(()) } else { Err(node.log()) }
    });
    assert!(Path::new(&format!("/proc/{}/fd/9", daemon.pid())).exists(), "it has it itself");
    emit(&node);
    let runs = node.ctl("get runs -o json").json();
    assert_eq!((&runs[0]["outcome"], &runs[0]["stderr"]), (&json!("Succeeded"), &json!("")));

    let mut by_hand = node.bare_ctl();
    by_hand.args(["plugin", "run", "p", "--event", "event.json", "--config", "conf", "-o", "json"]);
    let shown = with_an_open_file(&by_hand).output().expect("it runs");
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(
        (&shown["outcome"], &shown["stderr"]),
        (&json!("Succeeded"), &json!("")),
        "{shown:#}"
    );
}
