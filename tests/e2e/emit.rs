//! `emit`: identity, refusals, and thousands of lines at once.

use std::fmt::Write;

use serde_json::json;

use crate::harness::{Node, group, plugin, subscription};

fn node_with_plugin() -> Node {
    let node = Node::new();
    let counted = node.counted_plugin("");
    node.write(
        "all.yaml",
        &[group(), plugin("p", &counted, ""), subscription("s", "p", "[seen]", "")].join("---\n"),
    );
    node
}

#[test]
fn the_same_event_twice_is_a_duplicate_and_runs_once() {
    let node = node_with_plugin();
    let _daemon = node.serve();
    let args = "emit --group edge --type seen --subject 192.0.2.1/32 --id one \
        --observed-at 2026-01-01T00:00:00Z --expires-at 2099-01-01T00:00:00Z -o json";
    let first = node.ctl(args).json();
    assert_eq!((&first["accepted"], &first["duplicate"]), (&json!(true), &json!(false)));
    node.converge();
    let parts = node.parts();
    let second = node.ctl(args).json();
    assert_eq!((&second["accepted"], &second["duplicate"]), (&json!(true), &json!(true)));
    assert_eq!(second["refreshed"], false);
    node.converge();
    assert_eq!(node.runs().len(), 1);
    assert_eq!(node.parts(), parts);
    assert_eq!(node.ctl("get events -o json").json().as_array().map(Vec::len), Some(1));
}

#[test]
fn later_times_refresh_an_event_and_run_nothing() {
    let node = node_with_plugin();
    let _daemon = node.serve();
    node.ctl("emit --group edge --type seen --subject s --id one --ttl 1h").exits(0);
    node.converge();
    let again =
        node.ctl("emit --group edge --type seen --subject s --id one --ttl 2h -o json").json();
    assert_eq!((&again["duplicate"], &again["refreshed"]), (&json!(false), &json!(true)));
    node.converge();
    assert_eq!(node.runs().len(), 1);
}

#[test]
fn another_content_under_a_used_id_is_a_conflict_and_the_first_stays() {
    let node = node_with_plugin();
    let _daemon = node.serve();
    node.ctl("emit --group edge --type seen --subject s --id one --payload k=first").exits(0);
    let refused = node.ctl("emit --group edge --type seen --subject s --id one --payload k=second");
    let refused = refused.exits(1);
    assert!(refused.stderr.contains("the first one stays"), "{}", refused.stderr);
    let events = node.ctl("get events -o json").json();
    assert_eq!(events.as_array().map(Vec::len), Some(1));
    assert_eq!(events[0]["payload"], json!({"k": "first"}));
}

#[test]
fn what_cannot_be_an_event_is_refused_with_the_reason() {
    let node = Node::new();
    node.write("group.yaml", &group());
    let _daemon = node.serve();
    let long = |n: usize| "x".repeat(n);
    let payload = format!("k={}", long(33 * 1024));
    for (args, said) in [
        (vec!["--group", "egde", "--type", "t"], "did you mean edge?"),
        (vec!["--group", "zzzzzzzz", "--type", "t"], "accepted groups: edge"),
        (vec!["--group", "edge", "--type", ""], "type: is required"),
        (vec!["--group", "edge", "--type", "a\nb"], "control character"),
        (vec!["--group", "edge", "--type", &long(513)], "512"),
        (vec!["--group", "edge", "--type", "t", "--id", &long(257)], "256"),
        (vec!["--group", "edge", "--type", "t", "--subject", &long(513)], "512"),
        (vec!["--group", "edge", "--type", "t", "--dedupe-key", &long(513)], "512"),
        (vec!["--group", "edge", "--type", "t", "--payload", &payload], "payload"),
        (
            vec!["--group", "edge", "--type", "t", "--observed-at", "2999-01-01T00:00:00Z"],
            "observedAt",
        ),
        (vec!["--group", "edge", "--type", "t", "--ttl", "0s"], "ttl"),
    ] {
        let mut all = vec!["emit"];
        all.extend(&args);
        let answer = node.ctl_args(&all).exits(4);
        assert!(answer.stderr.contains(said), "{said:?} not in {}", answer.stderr);
    }
    assert_eq!(node.ctl("get events -o json --include-expired").json(), json!([]));
}

#[test]
fn each_line_gets_its_own_answer_in_order() {
    let node = Node::new();
    node.write("group.yaml", &group());
    let _daemon = node.serve();
    let lines = [
        r#"{"group":"edge","type":"seen","subject":"a","id":"one"}"#,
        "not json",
        "",
        r#"{"group":"nosuch","type":"seen"}"#,
        r#"{"group":"edge","type":"seen","subject":"a","id":"one","colour":"red"}"#,
        r#"{"group":"edge","type":"other","subject":"a","id":"one"}"#,
        r#"{"group":"edge","type":"seen","subject":"b","id":"two","ttl":"5m","payload":{"k":"v"}}"#,
        r#"{"group":"edge","type":"seen","payload":{"k":1}}"#,
        r#"{"group":"edge","type":"seen","payload":{"k":"1","k":"2"}}"#,
        r#"["edge","seen"]"#,
        r#"{"group":"edge","type":"seen","expiresAt":"9999-12-31T23:59:59Z"}"#,
    ];
    let answer = node.ctl_reading("emit -f -", &lines.join("\n")).exits(1);
    let said = answer.lines();
    let numbers: Vec<_> = said.iter().map(|line| line["line"].as_u64().expect("line")).collect();
    assert_eq!(
        numbers,
        [1, 2, 4, 5, 6, 7, 8, 9, 10, 11],
        "an empty line is not an event: {}",
        answer.stdout
    );
    let accepted: Vec<_> = said.iter().map(|line| line["accepted"] == true).collect();
    assert!(accepted[0] && accepted[5], "{}", answer.stdout);
    for (refused, words) in [
        (1, "not an event"),
        (2, "nosuch"),
        (4, "one"),
        (6, "payload.k: expected a string, found 1"),
        (7, "payload.k: is there twice"),
        (8, "expected an object"),
        (9, "after 9999-12-30T22:00:00"),
    ] {
        assert!(!accepted[refused], "{}", said[refused]);
        let message = said[refused]["error"]["message"].as_str().expect("a message");
        assert!(message.contains(words) && !message.contains("struct"), "{message}");
    }
    assert_eq!(node.ctl("get events -o json").json().as_array().map(Vec::len), Some(2));
}

#[test]
fn ten_thousand_lines_get_ten_thousand_answers() {
    const LINES: usize = 10_000;
    let node = Node::new();
    node.write("group.yaml", &group());
    let _daemon = node.serve();
    let mut input = String::new();
    for n in 0..LINES {
        writeln!(input, r#"{{"group":"edge","type":"seen","subject":"s{n}","id":"e{n}"}}"#)
            .expect("a string");
    }
    let answer = node.ctl_reading("emit -f -", &input).exits(0);
    let said = answer.lines();
    assert_eq!(said.len(), LINES);
    for (n, line) in said.iter().enumerate() {
        assert_eq!((&line["id"], &line["accepted"]), (&json!(format!("e{n}")), &json!(true)));
    }
    assert_eq!(node.status()["groups"][0]["storedEvents"], LINES);
    let again = node.ctl_reading("emit -f -", &input).exits(0).lines();
    assert!(again.iter().all(|line| line["accepted"] == true));
    assert_eq!(node.status()["groups"][0]["storedEvents"], LINES);
}

#[test]
fn lines_come_from_a_file_too_and_without_a_daemon() {
    let node = Node::new();
    node.write("group.yaml", &group());
    let file = node.path("events.jsonl");
    std::fs::write(&file, "{\"group\":\"edge\",\"type\":\"seen\",\"id\":\"one\"}\n")
        .expect("write");
    let said = node.ctl_args(&["emit", "-f", file.to_str().expect("UTF-8")]).exits(0).lines();
    assert_eq!(said[0]["id"], "one");
    let _daemon = node.serve();
    assert_eq!(node.ctl("get events -o json").json()[0]["id"], "one");
}

fn emit_lines(node: &Node, lines: impl Iterator<Item = serde_json::Value>) -> usize {
    let mut text = String::new();
    lines.for_each(|line| writeln!(text, "{line}").expect("text"));
    let answers = node.ctl_reading("emit -f - -o json", &text).lines();
    answers.iter().filter(|answer| answer["accepted"] == true).count()
}

#[test]
fn a_flood_of_retractions_about_nothing_takes_no_room_from_facts_and_has_a_limit() {
    let node = Node::new();
    let counted = node.counted_plugin("");
    let small = group().replace("here}", "here, limits: {maxLiveFacts: 20}}");
    let wants = subscription("s", "p", "[seen]\n    retractTypes: [gone]", "");
    node.write("all.yaml", &[small, plugin("p", &counted, ""), wants].join("---\n"));
    let daemon = node.serve();
    let of = |kind: &str, from: u32, to: u32| {
        let kind = kind.to_owned();
        (from..to).map(move |n| json!({"group": "edge", "type": kind, "subject": format!("s{n}"), "ttl": "1h"}))
    };
    assert_eq!(emit_lines(&node, of("gone", 1000, 1100)), 20, "as many as there may be facts");
    assert_eq!(emit_lines(&node, of("seen", 0, 30)), 20, "the facts have their own room");
    // What is known may be retracted, whatever else there is.
    assert_eq!(emit_lines(&node, of("gone", 0, 20)), 20);
    assert_eq!(emit_lines(&node, of("gone", 20, 30)), 0);
    node.converge();
    assert_eq!(node.effective().iter().filter(|r| r["kind"] == "RemoteAddressClaim").count(), 0);
    assert!(daemon.stop().success());
    // The same without a daemon.
    assert_eq!(emit_lines(&node, of("gone", 2000, 2010)), 0);
    assert_eq!(emit_lines(&node, of("seen", 40, 50)), 0);
    assert_eq!(
        emit_lines(
            &node,
            of("gone", 0, 20).map(|mut line| {
                line["id"] = line["subject"].clone();
                line
            })
        ),
        20
    );
}
