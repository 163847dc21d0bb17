//! What an operator sees of the peers, with a daemon and without one.

use serde_json::json;

use super::harness::{Node, wait_for};
use super::pair::{Pair, sender_manifest, write_secret};
use super::proxy::Mode;

#[test]
fn peers_deliveries_and_the_summary_say_the_same_with_and_without_the_daemon() {
    let pair = Pair::start();
    pair.emit(["a".to_owned()]);
    pair.deliver();
    pair.proxy.set(Mode::Cut);
    pair.emit(["b".to_owned()]);
    pair.trouble(&["Broken", "Unreachable"]);
    let ask = |node: &Node| {
        let list = node.ctl("fed event deliveries -o json").json();
        let mut stands: Vec<_> = list
            .as_array()
            .expect("a list")
            .iter()
            .map(|d| (d["eventId"].clone(), d["status"].clone(), d["peer"].clone()))
            .collect();
        stands.sort_by_key(|stand| stand.0.to_string());
        let mut summary = node.ctl("federation deliveries summary -o json").json();
        summary[0].as_object_mut().expect("an object").remove("lag");
        let peers = node.ctl("federation peers -o json").json();
        (stands, summary, peers[0]["pending"].clone(), peers[0]["reason"].clone())
    };
    let with = ask(&pair.onprem);
    assert_eq!(
        with.0,
        [
            (json!("a"), json!("delivered"), json!("cloud")),
            (json!("b"), json!("pending"), json!("cloud"))
        ]
    );
    assert_eq!((with.1[0]["events"].clone(), with.1[0]["delivered"].clone()), (json!(2), json!(1)));
    assert!(with.1[0]["nearestExpiry"].is_string() && with.1[0]["oldestPending"].is_string());
    let one = pair.onprem.ctl("federation deliveries --event-id b --status pending -o json").json();
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    let none = pair.onprem.ctl("federation deliveries --event-id b --status dead -o json").json();
    assert_eq!(none, json!([]));
    let answer = pair.onprem.ctl("wait --converged --deliveries --timeout 1s -o json").exits(1);
    let pending: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
    let named = &pending["pending"][0];
    assert_eq!((&named["controller"], &named["key"]), (&json!("deliveries"), &json!("cloud")));
    pair.onprem.ctl("wait --converged --timeout 10s").exits(0);
    let page = pair.onprem.ctl("status").exits(0).stdout;
    assert!(page.contains("peer cloud is not delivered to, 1 event pending"), "{page}");
    let Pair { onprem, sender, .. } = pair;
    sender.expect("it runs").stop();
    assert_eq!(ask(&onprem), with);
    onprem.ctl("federation retry").exits(3);
}

#[test]
fn without_a_secret_nothing_is_pushed_and_the_condition_says_which_lines_to_add() {
    let node = Node::new();
    let text = sender_manifest(&node, "http://127.0.0.1:9");
    let auth = format!(", auth: {{secretFile: {}}}", node.path("secret").display());
    assert!(text.contains(&auth));
    node.write("peer.yaml", &text.replace(&auth, ""));
    let _daemon = node.serve();
    node.ctl("emit --group edge --type seen --subject a --ttl 1h").exits(0);
    let delivering = |reason: &str| {
        wait_for("the condition", &node.log_path(), || {
            let peer = node.get("eventpeer", "cloud");
            let conditions = peer["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let found = conditions.into_iter().find(|c| c["type"] == "Delivering");
            match found {
                Some(c) if c["reason"] == reason => Ok(c["message"].to_string()),
                _ => Err(peer.to_string()),
            }
        })
    };
    let message = delivering("NoSecret");
    for part in ["peer.yaml:", "secretFile", "mode: none"] {
        assert!(message.contains(part), "{message}");
    }
    // The lines are there, the file is not; then it is, for everyone; then for its owner only.
    node.write("peer.yaml", &text);
    assert!(delivering("SecretUnusable").contains("secret"));
    write_secret(&node.path("secret"), "now it is there");
    delivering("Unreachable");
}
