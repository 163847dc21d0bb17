//! What makes one run different from another.

use serde_json::{Value as Json, json};

use super::*;

/// The effect digest of a plugin with these changes to its spec.
fn digest(name: &str, changes: Json) -> String {
    let mut spec = json!({
        "executable": "/opt/p", "args": ["-a", "b"], "env": {"K": "v"},
        "capabilities": ["observe.cloud", "propose.dynamicConfig"],
        "produces": [{"apiVersion": "a/v1", "kind": "A"}, {"apiVersion": "b/v1", "kind": "B"}],
    });
    for (key, value) in changes.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    effect_digest(name, &serde_json::from_value(spec).expect("a spec"))
}

#[test]
fn whatever_shapes_a_plugins_result_is_in_the_effect_digest() {
    let other = "0".repeat(64);
    let mut digests = vec![
        digest("p", json!({})),
        digest("q", json!({})),
        digest("p", json!({"executable": "/opt/q"})),
        digest("p", json!({"args": ["b", "-a"]})),
        digest("p", json!({"args": ["-a"]})),
        digest("p", json!({"args": ["-a", "b", ""]})),
        digest("p", json!({"env": {"K": "w"}})),
        digest("p", json!({"env": {"L": "v"}})),
        digest("p", json!({"env": {}})),
        digest("p", json!({"sha256": other})),
        digest("p", json!({"capabilities": ["propose.dynamicConfig"]})),
        digest("p", json!({"capabilities": ["observe.cloud", "propose.providerAction"]})),
        digest("p", json!({"produces": [{"apiVersion": "a/v1", "kind": "A"}]})),
        digest("p", json!({"produces": []})),
        digest("p", json!({"protocol": "stream"})),
        // One list's end is not another's beginning.
        digest("p", json!({"args": ["-a", "b", "K", "v"], "env": {}})),
    ];
    let count = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), count);
}

#[test]
fn what_shapes_no_result_is_not() {
    let base = digest("p", json!({}));
    for change in [
        json!({"timeout": "1m"}),
        json!({"concurrency": 8}),
        json!({"batch": {"maxEvents": 100}}),
        json!({"sandbox": {"network": "none"}}),
        json!({"triggers": [{"type": "x"}], "context": {"a": 1}}),
        json!({"protocol": "oneshot"}),
    ] {
        assert_eq!(digest("p", change.clone()), base, "{change}");
    }
}

#[test]
fn the_order_of_what_is_a_set_does_not_matter() {
    let base = digest("p", json!({}));
    let capabilities = json!(["propose.dynamicConfig", "observe.cloud"]);
    assert_eq!(digest("p", json!({"capabilities": capabilities})), base);
    let produces =
        json!([{"apiVersion": "b/v1", "kind": "B"}, {"apiVersion": "a/v1", "kind": "A"}]);
    assert_eq!(digest("p", json!({"produces": produces})), base);
}

#[test]
fn the_run_key_changes_with_each_of_its_words_and_is_the_same_for_the_same() {
    let base = run_key("uid", "g", "e", "effect", 0);
    assert_eq!(run_key("uid", "g", "e", "effect", 0), base);
    assert_eq!(base.len(), 32);
    let others = [
        run_key("uid2", "g", "e", "effect", 0),
        run_key("uid", "g2", "e", "effect", 0),
        run_key("uid", "g", "e2", "effect", 0),
        run_key("uid", "g", "e", "effect2", 0),
        run_key("uid", "g", "e", "effect", 1),
        run_key("uidg", "", "e", "effect", 0),
        run_key("uid", "ge", "", "effect", 0),
    ];
    let mut all: Vec<String> = others.into_iter().chain([base]).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 8);
}

#[test]
fn the_keys_that_a_store_has_seen_stay_the_same() {
    // Another hash here would run every plugin again after an upgrade.
    assert_eq!(run_key("uid", "g", "e", "effect", 1), "3432eabc546387a5d68cc83b8948a68c");
    let effect = "e5d6f0c5874d76bc4dd2edcdcabaf8a928dbb5c0c6f0d7c6bc930cc67f3118f1";
    assert_eq!(digest("p", json!({})), effect);
}
