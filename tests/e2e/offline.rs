//! Without a daemon: reads, emit and validate work on the store; the rest says that it cannot.

use serde_json::json;

use crate::harness::{GUIDE_EVENT, Node, group, wait_for, wg_interface};

fn once(node: &Node) {
    let status = node.start(&["--once"]).wait();
    assert!(status.success(), "{status}\n{}", node.log());
}

#[test]
fn an_event_emitted_before_the_first_start_is_served_by_once_and_rendered_after_it() {
    let node = Node::of_the_guide();
    let answer = node.ctl(&format!("{GUIDE_EVENT} -o json")).json();
    assert_eq!(answer["accepted"], true);
    once(&node);
    let rendered = node.ctl("render").exits(0).stdout;
    assert!(rendered.contains("name: onprem-10-88-60-9"), "{rendered}");
    assert!(rendered.contains(answer["id"].as_str().expect("an id")), "{rendered}");
    assert_eq!(node.parts().len(), 1);
    assert_eq!(node.status()["running"], false);
}

#[test]
fn render_says_the_same_with_the_daemon_and_without_it() {
    let node = Node::of_the_guide();
    let daemon = node.serve();
    node.ctl(GUIDE_EVENT).exits(0);
    node.converge();
    for format in ["yaml", "json"] {
        let command = format!("dynamic render -o {format}");
        let with = node.ctl(&command).exits(0).stdout;
        assert!(with.contains("onprem-10-88-60-9"), "{with}");
        assert_eq!(with, node.ctl(&command).exits(0).stdout);
    }
    let with = node.ctl("render").exits(0).stdout;
    assert!(daemon.stop().success());
    assert_eq!(node.ctl("render").exits(0).stdout, with);
}

#[test]
fn the_command_of_the_guide_names_its_files_with_and_without_a_daemon() {
    let node = Node::of_the_guide();
    let daemon = node.serve();
    node.ctl(GUIDE_EVENT).exits(0);
    node.converge();
    let render = || {
        let (config, state) = (node.conf("router.yaml"), node.path("state"));
        let mut ctl = node.bare_ctl();
        ctl.args(["dynamic", "render", "--config"]).arg(config).arg("--state-file").arg(state);
        crate::harness::Answer::from(ctl.output().expect("routerctl runs")).exits(0)
    };
    let with = render();
    assert!(with.stdout.contains("name: onprem-10-88-60-9"), "{}", with.stdout);
    assert!(daemon.stop().success());
    let without = render();
    assert_eq!(with.stdout, without.stdout);
}

#[test]
fn a_stopped_node_lists_its_events_objects_and_runs() {
    let node = Node::of_the_guide();
    node.ctl(GUIDE_EVENT).exits(0);
    once(&node);
    assert_eq!(node.ctl("get events -o json").json().as_array().map(Vec::len), Some(1));
    let runs = node.ctl("get runs -o json").json();
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "{}", node.log());
    assert_eq!(node.get("EventGroup", "cloudedge")["spec"]["nodeName"], "cloud-router");
    node.ctl("status").exits(0);
}

#[test]
fn reading_where_nothing_is_creates_nothing() {
    let node = Node::new();
    for command in ["status", "get events", "dynamic list", "get all"] {
        let answer = node.ctl(command).exits(3);
        assert!(answer.stderr.contains("no store"), "{}", answer.stderr);
    }
    // Without a group there is nothing that could be emitted, and no reason to make a store.
    node.ctl("emit --group g --type t").exits(3);
    assert!(!node.path("state").exists());
}

#[test]
fn waiting_needs_a_daemon() {
    let node = Node::of_the_guide();
    let answer = node.ctl("wait --converged").exits(3);
    assert!(answer.stderr.contains("hint:"), "{}", answer.stderr);
}

#[test]
fn a_repeated_once_changes_nothing() {
    let node = Node::of_the_guide();
    node.ctl(GUIDE_EVENT).exits(0);
    once(&node);
    let (parts, revision) = (node.parts(), node.status()["store"]["revision"].clone());
    once(&node);
    assert_eq!(node.parts(), parts);
    assert_eq!(node.status()["store"]["revision"], revision, "a second pass writes nothing");
}

#[test]
fn once_tries_a_failing_plugin_to_the_end_and_leaves() {
    let node = Node::new();
    let script = node.script("fails", "cat >/dev/null; echo no luck >&2; exit 7");
    node.write(
        "all.yaml",
        &[
            crate::harness::group(),
            crate::harness::plugin("fails", &script, ""),
            crate::harness::subscription(
                "s",
                "fails",
                "[t]",
                ", retry: {maxAttempts: 2, backoff: 10ms}",
            ),
        ]
        .join("---\n"),
    );
    node.ctl("emit --group edge --type t --id one").exits(0);
    once(&node);
    assert_eq!(node.status()["subscriptions"][0]["deadLettered"], 1);
}

#[test]
fn a_socket_that_nobody_answers_is_no_daemon() {
    let node = Node::of_the_guide();
    node.ctl(GUIDE_EVENT).exits(0);
    let daemon = node.serve();
    node.converge();
    daemon.kill();
    let socket = node.path("state").join("control.sock");
    assert!(socket.exists(), "a killed daemon leaves its socket");
    assert_eq!(node.status()["running"], json!(false));
    assert!(node.ctl("render").exits(0).stdout.contains("onprem-10-88-60-9"));
    // And it is in nobody's way.
    let _daemon = node.serve();
    wait_for("the daemon on the old socket", &node.log_path(), || {
        if node.status()["running"] == true { Ok(()) } else { Err("not running".to_owned()) }
    });
}

#[test]
fn a_stopped_node_renders_and_reports_its_broken_files_as_the_daemon_would() {
    let node = Node::new();
    node.write("base.yaml", &[group(), wg_interface("kept", 1400)].join("---\n"));
    node.write("wg.yaml", &[wg_interface("a", 1400), wg_interface("b", 1400)].join("---\n"));
    node.write("gone.yaml", &wg_interface("gone", 1400));
    let daemon = node.serve();
    node.converge();
    assert!(daemon.stop().success());
    // One is broken, one has left its file, one came, and a file is gone.
    let broken = wg_interface("a", 1300).replace("mtu:", "mtuu:");
    node.write("wg.yaml", &[broken, wg_interface("new", 1400)].join("---\n"));
    node.remove("gone.yaml");
    let without = node.ctl("render").exits(0);
    assert!(without.stderr.contains("wg.yaml:5:"), "{}", without.stderr);
    let status = node.status();
    let problems = status["config"]["problems"].as_array().cloned().unwrap_or_default();
    assert_eq!(problems.len(), 1, "{status:#}");
    assert_eq!((&problems[0]["line"], &problems[0]["inForce"]), (&json!(5), &json!(true)));
    assert!(status["notices"].to_string().contains("1 problem in the files"), "{status:#}");
    let page = node.ctl("status").exits(0).stdout;
    assert!(page.contains("not watched") && page.contains("wg.yaml:5:"), "{page}");
    let _daemon = node.serve();
    node.converge();
    let with = node.ctl("render").exits(0).stdout;
    assert!(with.contains("name: a") && with.contains("name: new"), "{with}");
    assert!(!with.contains("name: b") && !with.contains("name: gone"), "{with}");
    assert_eq!(without.stdout, with);
}

#[test]
fn a_stopped_node_holds_on_to_what_is_gone_all_at_once_and_says_so() {
    let node = Node::new();
    let many: Vec<String> = (0..16).map(|n| wg_interface(&format!("i{n}"), 1400)).collect();
    node.write("many.yaml", &many.join("---\n"));
    let daemon = node.serve();
    node.converge();
    assert!(daemon.stop().success());
    node.write("many.yaml", &many[0]);
    let rendered = node.ctl("render").exits(0).stdout;
    assert!(rendered.contains("name: i15"), "{rendered}");
    let status = node.ctl("status").exits(0).stdout;
    assert!(status.contains("15 of 16 objects are gone"), "{status}");
}
