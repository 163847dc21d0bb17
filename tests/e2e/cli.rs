//! What scripts rely on: exit codes, where flags stand, complete JSON in camelCase.

use serde_json::Value;

use crate::harness::{GUIDE_EVENT, Node, group, wait_for};

#[test]
fn each_exit_code_means_what_the_help_says() {
    let node = Node::of_the_guide();
    let daemon = node.serve();
    node.ctl("status").exits(0);
    node.ctl("get EventGroup nosuch").exits(1);
    node.ctl("dynamic describe nosuch").exits(1);
    node.ctl("get nosuchkind").exits(1);
    for usage in [
        "",
        "frob",
        "emit",
        "get",
        "wait",
        "status --frob",
        "emit --group g",
        "version -o nosuch",
        "emit --group cloudedge --type t --payload nokey",
        "wait --converged --timeout soon",
    ] {
        node.ctl(usage).exits(2);
    }
    node.ctl("emit --group nosuch --type t").exits(4);
    node.ctl("emit --group cloudedge --type t --observed-at yesterday").exits(4);
    node.write("broken.yaml", "kind: [\n");
    node.ctl_args(&["validate", "-f", node.conf("broken.yaml").to_str().expect("UTF-8")]).exits(4);
    node.ctl_args(&["validate", "-f", node.conf("router.yaml").to_str().expect("UTF-8")]).exits(0);
    assert!(daemon.stop().success());
    node.ctl("wait --converged").exits(3);
    node.ctl_args(&["--state", "/nonexistent/state", "status"]).exits(3);
}

#[test]
fn every_failure_is_on_stderr_and_says_error_first() {
    let node = Node::of_the_guide();
    let _daemon = node.serve();
    for command in ["get EventGroup nosuch", "emit --group clouedge --type t", "frob", "get nosuch"]
    {
        let answer = node.ctl(command);
        assert_eq!(answer.stdout, "", "{command}");
        assert!(answer.stderr.starts_with("error: "), "{command}: {}", answer.stderr);
        assert!(!answer.stderr.contains('\x1b'), "colours off a terminal: {}", answer.stderr);
    }
    let hint = node.ctl("emit --group clouedge --type t").stderr;
    assert!(hint.contains("hint: did you mean cloudedge?"), "{hint}");
}

#[test]
fn shared_flags_stand_before_or_after_the_subcommand() {
    let node = Node::of_the_guide();
    let _daemon = node.serve();
    let state = node.path("state").display().to_string();
    let socket = node.path("state").join("control.sock").display().to_string();
    let run = |args: &[&str]| {
        let output = node.bare_ctl().args(args).output().expect("routerctl runs");
        crate::harness::Answer::from(output).json()
    };
    // What is found about the group comes after the daemon is ready.
    let one = wait_for("its three conditions", &node.log_path(), || {
        let one = run(&["--state", &state, "-o", "json", "get", "EventGroup"]);
        let conditions = one[0]["status"]["conditions"].as_array().map_or(0, Vec::len);
        if conditions == 3 { Ok(one) } else { Err(one.to_string()) }
    });
    for args in [
        &["get", "EventGroup", "--state", &state, "-o", "json"][..],
        &["get", "--state-file", &state, "EventGroup", "--output", "json"],
        &["--state-file", &state, "get", "eventgroups", "--output=json"],
        &["-o", "json", "get", "eg", "--socket", &socket, "--state", &state],
    ] {
        assert_eq!(run(args), one, "{args:?}");
    }
}

#[test]
fn the_long_and_the_short_names_are_the_same_commands() {
    let node = Node::of_the_guide();
    let _daemon = node.serve();
    node.ctl(&GUIDE_EVENT.replacen("emit", "federation event emit", 1)).exits(0);
    node.ctl(&GUIDE_EVENT.replacen("emit", "fed event emit --id second", 1)).exits(0);
    node.converge();
    let events = node.ctl("get events -o json").json();
    assert_eq!(events.as_array().map(Vec::len), Some(2));
    assert_eq!(node.ctl("federation event list -o json").json(), events);
    assert_eq!(node.ctl("fed event list -o json").json(), events);
    assert_eq!(node.ctl("render").stdout, node.ctl("dynamic render").stdout);
}

/// Fails on a member that is not camelCase. What users name themselves is not looked into.
fn assert_camel_case(value: &Value, path: &str) {
    match value {
        Value::Object(map) => {
            for (name, member) in map {
                let camel = name.starts_with(|c: char| c.is_ascii_lowercase())
                    && name.chars().all(|c| c.is_ascii_alphanumeric());
                assert!(camel, "{path}.{name}");
                if !["annotations", "labels", "payload", "counts", "outcomes"]
                    .contains(&name.as_str())
                {
                    assert_camel_case(member, &format!("{path}.{name}"));
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|item| assert_camel_case(item, path)),
        _ => {}
    }
}

#[test]
fn json_is_complete_and_in_camel_case() {
    let node = Node::of_the_guide();
    node.write(
        "broken.yaml",
        "kind: EventGroup\napiVersion: federation.routerd.net/v1alpha1\n\
        metadata: {name: b}\nspec: {nodeName: x, listn: {}}\n",
    );
    let _daemon = node.serve();
    node.ctl(GUIDE_EVENT).exits(0);
    node.converge();
    let members = |command: &str, wanted: &[&str]| {
        let answer = node.ctl(&format!("{command} -o json")).json();
        assert_camel_case(&answer, command);
        let one = answer.get(0).unwrap_or(&answer);
        for pointer in wanted {
            assert!(one.pointer(pointer).is_some(), "{command}: no {pointer} in {one:#}");
        }
    };
    members(
        "status",
        &[
            "/node",
            "/version",
            "/now",
            "/running",
            "/startedAt",
            "/store/id",
            "/store/revision",
            "/store/healthy",
            "/store/writable",
            "/config/roots/0/path",
            "/config/problems/0/line",
            "/config/problems/0/column",
            "/config/problems/0/file",
            "/config/problems/0/hint",
            "/config/problems/0/inForce",
            "/config/watching/mode",
            "/groups/0/liveFacts",
            "/groups/0/storedEvents",
            "/subscriptions/0/matched",
            "/subscriptions/0/deadLettered",
            "/plugins/0/ready",
            "/parts/effective",
            "/effective/digest",
            "/effective/leftOut",
            "/pending",
            "/pendingTotal",
            "/notices",
        ],
    );
    members(
        "get events",
        &[
            "/id",
            "/group",
            "/type",
            "/sourceNode",
            "/subject",
            "/payload/address",
            "/observedAt",
            "/expiresAt",
            "/receivedAt",
            "/receivedFrom",
            "/current",
            "/live",
        ],
    );
    members(
        "dynamic list",
        &[
            "/metadata/name",
            "/metadata/annotations",
            "/spec/source",
            "/spec/generation",
            "/spec/observedAt",
            "/spec/expiresAt",
            "/spec/digest",
            "/spec/resources/0/kind",
            "/spec/directives",
            "/spec/actionPlans",
            "/status/conditions",
            "/status/runKey",
            "/status/eventId",
        ],
    );
    members(
        "get EventSubscription",
        &[
            "/apiVersion",
            "/kind",
            "/metadata/uid",
            "/metadata/generation",
            "/metadata/creationTimestamp",
            "/spec/match/types/0",
            "/status/source/file",
            "/status/source/line",
            "/status/conditions/0/type",
            "/status/conditions/0/status",
            "/status/conditions/0/reason",
            "/status/conditions/0/message",
            "/status/conditions/0/lastTransitionTime",
            "/status/conditions/0/observedGeneration",
        ],
    );
    members(
        "get runs",
        &[
            "/plugin",
            "/subscription",
            "/runKeys/0",
            "/eventIds/0",
            "/startedAt",
            "/duration",
            "/outcome",
            "/stderr",
        ],
    );
    members("version", &[]);
    members("render --report", &[]);
}

#[test]
fn output_of_get_can_be_fed_back_in() {
    let node = Node::of_the_guide();
    let _daemon = node.serve();
    let text = node.ctl("get EventGroup cloudedge -o yaml").exits(0).stdout;
    let file = node.path("group.yaml");
    std::fs::write(&file, text).expect("write");
    node.ctl_args(&["validate", "-f", file.to_str().expect("UTF-8")]).exits(0);
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let node = Node::of_the_guide();
    let _daemon = node.serve();
    let mut ctl = node.bare_ctl();
    let child = ctl
        .env("ROUTERD_STATE", node.path("state"))
        .args(["get", "all", "-o", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let mut child = child.expect("routerctl runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("routerctl ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_group_that_is_not_there_has_no_deliveries_and_is_named() {
    let node = Node::new();
    node.write("group.yaml", &group());
    let daemon = node.serve();
    node.converge();
    node.ctl("federation deliveries --group edge").exits(0);
    for command in ["federation deliveries --group nope", "federation retry --group nope"] {
        let answer = node.ctl(command).exits(1);
        assert!(answer.stderr.contains("no EventGroup \"nope\""), "{}", answer.stderr);
    }
    assert!(daemon.stop().success());
    let answer = node.ctl("federation deliveries --group nope").exits(1);
    assert!(answer.stderr.contains("nope"), "{}", answer.stderr);
}

#[test]
fn what_get_prints_is_read_again_as_manifests() {
    let node = Node::of_the_guide();
    let _daemon = node.serve();
    node.converge();
    let objects = node.ctl("get all -o json").json().as_array().map(Vec::len).expect("a list");
    for format in ["json", "yaml"] {
        let file = format!("all.{format}");
        let printed = node.ctl(&format!("get all -o {format}")).exits(0).stdout;
        std::fs::write(node.path(&file), printed).expect("write");
        let valid = node.ctl(&format!("validate -f {file}")).exits(0).stdout;
        assert!(valid.contains(&format!("ok: {objects} objects in 1 files")), "{valid}");
    }
}
