//! `get events`: the filters, and what is history.

use serde_json::Value;

use crate::harness::{Node, group};

fn ids(node: &Node, filters: &str) -> Vec<String> {
    let list = node.ctl(&format!("get events -o json {filters}")).json();
    let id = |event: &Value| event["id"].as_str().expect("an id").to_owned();
    list.as_array().expect("a list").iter().map(id).collect()
}

#[test]
fn events_are_filtered_by_group_type_subject_limit_and_expiry() {
    let node = Node::new();
    node.write(
        "groups.yaml",
        &format!("{}---\n{}", group(), group().replace("name: edge", "name: other")),
    );
    let _daemon = node.serve();
    for (id, group, event_type, subject) in [
        ("e1", "edge", "seen", "a"),
        ("e2", "edge", "seen", "b"),
        ("e3", "edge", "gone", "a"),
        ("e4", "other", "seen", "a"),
    ] {
        let args =
            format!("emit --group {group} --type {event_type} --subject {subject} --id {id}");
        node.ctl(&args).exits(0);
    }
    node.ctl(
        "emit --group edge --type seen --subject old --id e5 \
        --observed-at 2020-01-01T00:00:00Z --expires-at 2020-01-02T00:00:00Z",
    )
    .exits(0);
    assert_eq!(ids(&node, ""), ["e4", "e3", "e2", "e1"], "the newest first");
    assert_eq!(ids(&node, "--group edge"), ["e3", "e2", "e1"]);
    assert_eq!(ids(&node, "--type seen"), ["e4", "e2", "e1"]);
    assert_eq!(ids(&node, "--subject a"), ["e4", "e3", "e1"]);
    assert_eq!(ids(&node, "--group edge --type seen --subject a"), ["e1"]);
    assert_eq!(ids(&node, "--limit 2"), ["e4", "e3"]);
    assert!(ids(&node, "--include-expired").contains(&"e5".to_owned()));
    assert_eq!(ids(&node, "--include-expired --subject old"), ["e5"]);
    assert_eq!(ids(&node, "--group nosuch"), Vec::<String>::new());
    assert_eq!(ids(&node, "--subject a --type nosuch"), Vec::<String>::new());
    node.ctl("get events --limit 0").exits(2);
}

#[test]
fn a_newer_observation_makes_the_older_one_history() {
    let node = Node::new();
    node.write("group.yaml", &group());
    let _daemon = node.serve();
    node.emit("first", "seen", "a");
    node.emit("second", "seen", "a");
    let all = node.ctl("get events -o json --include-expired").json();
    let of = |id: &str| all.as_array().expect("a list").iter().find(|e| e["id"] == id).cloned();
    assert_eq!(of("second").expect("kept")["current"], true);
    assert_eq!(of("first").expect("kept")["current"], false);
}
