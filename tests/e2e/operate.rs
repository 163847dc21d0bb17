//! Retry and rerun: what an operator asks for by hand.

use serde_json::Value;

use crate::harness::{Node, group, plugin, subscription};

/// A plugin that answers well only while the file `mended` is there, and notes its runs.
fn fragile(node: &Node) -> std::path::PathBuf {
    let mended = node.path("mended").display().to_string();
    node.counted_plugin(&format!("[ -e {mended} ] || {{ echo not yet >&2; exit 3; }}"))
}

fn manifest(node: &Node, retry: &str) {
    let path = fragile(node);
    let trigger = format!(", retry: {retry}");
    node.write(
        "all.yaml",
        &[group(), plugin("p", &path, ""), subscription("s", "p", "[seen]", &trigger)]
            .join("---\n"),
    );
}

fn mend(node: &Node) {
    std::fs::write(node.path("mended"), "").expect("written");
}

#[track_caller]
fn failures(node: &Node, what: &str) -> Vec<Value> {
    node.ctl(&format!("get {what} -o json")).json().as_array().cloned().expect("a list")
}

#[test]
fn what_was_given_up_is_listed_with_its_reason_and_runs_again_when_an_operator_says_so() {
    let node = Node::new();
    manifest(&node, "{maxAttempts: 1}");
    let daemon = node.serve();
    for n in 1..=3 {
        node.emit(&format!("e{n}"), "seen", &format!("192.0.2.{n}/32"));
    }
    node.converge();
    let dead = failures(&node, "deadletters");
    assert_eq!(dead.len(), 3, "{dead:#?}");
    for letter in &dead {
        assert_eq!(letter["deadLettered"], true);
        assert_eq!((&letter["reason"], &letter["attempts"]), (&"ExitCode".into(), &1.into()));
        assert_eq!(letter["stderr"], "not yet\n");
    }
    let condition = node.get("eventsubscription", "s")["status"]["conditions"]
        .as_array()
        .and_then(|all| all.iter().find(|c| c["type"] == "DeadLettered").cloned())
        .expect("the subscription says so");
    assert_eq!(condition["status"], "True", "{condition}");
    assert!(condition["message"].as_str().expect("text").starts_with("3 facts"), "{condition}");

    // Still broken: each is tried once more, and given up again.
    let name = dead[0]["name"].as_str().expect("a name").to_owned();
    let answer = node.ctl(&format!("retry {name} -o json")).json();
    assert_eq!((&answer["changed"], &answer["names"][0]), (&1.into(), &name.clone().into()));
    node.converge();
    assert_eq!(node.runs().len(), 4);

    mend(&node);
    node.ctl("retry --event e2").exits(0);
    node.converge();
    assert_eq!((node.parts().len(), failures(&node, "deadletters").len()), (1, 2));
    let all = node.ctl("retry --plugin p").exits(0).stdout;
    assert_eq!(all, "2 facts run again; 1 with nothing to do\n");
    node.converge();
    assert_eq!((node.parts().len(), failures(&node, "failures").len()), (3, 0));
    assert_eq!(node.runs().len(), 7);
    // Nothing is left to retry, which is no error; what is not there is one.
    node.ctl("retry").exits(0);
    node.ctl("retry --subscription nosuch").exits(1);
    node.ctl("retry --event nosuch").exits(1);
    node.converge();
    assert_eq!(node.runs().len(), 7);
    let conditions = &node.get("eventsubscription", "s")["status"]["conditions"];
    assert!(!conditions.to_string().contains("DeadLettered"), "{conditions}");
    assert!(daemon.stop().success());
    node.ctl("retry").exits(3);
}

#[test]
fn a_retry_does_not_wait_for_the_rest_of_a_pause() {
    let node = Node::new();
    manifest(&node, "{backoff: 5m, maxBackoff: 5m}");
    let _daemon = node.serve();
    node.emit("e1", "seen", "192.0.2.1/32");
    let waiting = node.ctl("wait --converged --timeout 300ms -o json");
    assert_eq!(waiting.code, 1, "a run that is tried again is pending");
    let pending = &serde_json::from_str::<Value>(&waiting.stdout).expect("JSON")["pending"];
    // It may not have failed yet; once it has, the list says when it is tried again.
    crate::harness::wait_for("the failure", &node.log_path(), || {
        match failures(&node, "failures").as_slice() {
            [one] if one["due"].is_string() => Ok(()),
            other => Err(format!("{other:?} {pending}")),
        }
    });
    let status = node.status();
    let plan = status["pending"].as_array().expect("a list").iter().find(|p| p["due"].is_string());
    assert_eq!(plan.expect("it is due some time")["state"], "BackingOff", "{status:#}");
    mend(&node);
    assert_eq!(node.ctl("retry -o json").json()["changed"], 1);
    node.converge();
    assert_eq!((node.parts().len(), node.runs().len()), (1, 2));
}

#[test]
fn a_rerun_runs_what_succeeded_under_another_key_and_only_what_was_meant() {
    let node = Node::new();
    manifest(&node, "{}");
    mend(&node);
    let _daemon = node.serve();
    for n in 1..=2 {
        node.emit(&format!("e{n}"), "seen", &format!("192.0.2.{n}/32"));
    }
    node.converge();
    node.ctl("rerun").exits(2);
    node.ctl("rerun --event e1").exits(0);
    node.converge();
    let runs = node.runs();
    assert_eq!(runs.len(), 3, "{runs:?}");
    assert!(!runs[..2].contains(&runs[2]), "a key that succeeded is never run again: {runs:?}");
    assert_eq!(node.ctl("rerun --all -o name").exits(0).stdout.lines().count(), 2);
    node.converge();
    assert_eq!(node.runs().len(), 5);
    let generations: Vec<_> =
        node.parts().iter().map(|part| part["metadata"]["generation"].clone()).collect();
    assert_eq!(generations, [1, 1], "the content is the same");
    node.ctl("rerun --subscription nosuch").exits(1);
}

#[test]
fn a_dead_letter_whose_fact_has_ended_is_no_concern_any_more() {
    let node = Node::new();
    manifest(&node, "{maxAttempts: 1}");
    let _daemon = node.serve();
    node.ctl("emit --group edge --type seen --subject a --id e1 --ttl 2s").exits(0);
    node.converge();
    assert_eq!(failures(&node, "deadletters").len(), 1);
    // The list goes by the clock, the figures by what was reconciled: they follow at once.
    crate::harness::wait_for("the end of the fact", &node.log_path(), || {
        let status = node.status();
        let notices = status["notices"].as_array().map(Vec::len);
        match (failures(&node, "deadletters").len(), &status["subscriptions"][0]["deadLettered"]) {
            (0, figure) if figure == 0 && notices == Some(0) => Ok(()),
            (listed, _) => Err(format!("{listed} dead letters; {status:#}")),
        }
    });
    mend(&node);
    // There is nothing to run for it, and it says so.
    node.ctl("retry --event e1").exits(1);
    assert_eq!(node.runs().len(), 1);
}

#[test]
fn a_retry_of_a_suspended_subscription_says_that_it_waits_for_that() {
    let node = Node::new();
    manifest(&node, "{maxAttempts: 1}");
    let _daemon = node.serve();
    node.emit("e1", "seen", "192.0.2.1/32");
    node.converge();
    assert_eq!(failures(&node, "deadletters").len(), 1);
    let manifests = std::fs::read_to_string(node.conf("all.yaml")).expect("read");
    let subscription = manifests.find("kind: EventSubscription").expect("it is there");
    let spec = subscription + manifests[subscription..].find("spec:").expect("a spec");
    let suspended =
        format!("{}spec:\n  suspend: true{}", &manifests[..spec], &manifests[spec + 5..]);
    node.write("all.yaml", &suspended);
    node.converge();
    mend(&node);
    let said = node.ctl("retry").exits(0).stdout;
    assert_eq!(said, "0 facts run again; 1 when the suspended subscription is resumed\n");
    node.converge();
    assert_eq!(node.runs().len(), 1, "it is suspended");
    node.write("all.yaml", &manifests);
    node.converge();
    assert_eq!((node.runs().len(), node.parts().len()), (2, 1));
}
