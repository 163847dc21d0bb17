//! What a plugin is told, to the letter.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::api::event::Event;
use crate::api::fact::FactId;
use crate::controllers::plan::Due;

fn subject(event: serde_json::Value, run_key: &str, previous_generation: u64) -> Subject {
    let event: Event = serde_json::from_value(event).unwrap();
    let id = FactId::of(&event);
    let (renewal, event_id) = (0, event.id.clone());
    let due = Due { run_key: run_key.into(), renewal, event_id, retry: false };
    let observed_at = event.observed_at.unwrap_or_default();
    Subject {
        item: Item { fact: id, due, subject: event.subject.as_str().into(), cohort: None },
        fact: Arc::new(Fact { id, event, seq: 1, observed_at, stretches: Vec::new(), ended: None }),
        previous_generation,
    }
}

fn full() -> Subject {
    let event = json!({
        "id": "e1", "group": "g", "type": "routerd.client.ipv4.observed", "sourceNode": "onprem",
        "subject": "10.88.60.9/32", "dedupeKey": "d", "payload": {"mac": "02:00"},
        "observedAt": "2026-05-30T12:00:00Z", "expiresAt": "2026-05-30T12:10:00Z",
    });
    subject(event, "key-1", 3)
}

fn bare() -> Subject {
    let event = json!({
        "id": "e2", "group": "g", "type": "t", "observedAt": "2026-05-30T12:00:01.5Z",
    });
    subject(event, "key-2", 0)
}

fn asked(subjects: &[Subject]) -> serde_json::Value {
    let now = "2026-05-30T12:00:02Z".parse().unwrap();
    serde_json::to_value(request("plug", "cloud-claims", subjects, now)).unwrap()
}

#[test]
fn a_request_for_one_event_is_exactly_this() {
    let expected = json!({
        "apiVersion": "plugin.routerd.net/v1alpha1",
        "kind": "PluginRequest",
        "metadata": {"name": "plug"},
        "spec": {
            "trigger": {
                "type": "federation-subscription",
                "topic": "routerd.federation.subscription/cloud-claims",
            },
            "now": "2026-05-30T12:00:02Z",
            "runKey": "key-1",
            "startupConfigHash": "",
            "previousDynamicGeneration": 3,
            "events": [{
                "id": "e1", "group": "g", "type": "routerd.client.ipv4.observed",
                "sourceNode": "onprem", "subject": "10.88.60.9/32", "dedupeKey": "d",
                "payload": {"mac": "02:00"},
                "observedAt": "2026-05-30T12:00:00Z", "expiresAt": "2026-05-30T12:10:00Z",
                "runKey": "key-1", "previousDynamicGeneration": 3,
            }],
        },
    });
    assert_eq!(asked(&[full()]), expected);
}

#[test]
fn a_request_for_several_events_names_each_with_its_own_key_and_generation() {
    let expected = json!({
        "apiVersion": "plugin.routerd.net/v1alpha1",
        "kind": "PluginRequest",
        "metadata": {"name": "plug"},
        "spec": {
            "trigger": {
                "type": "federation-subscription",
                "topic": "routerd.federation.subscription/cloud-claims",
            },
            "now": "2026-05-30T12:00:02Z",
            "startupConfigHash": "",
            "previousDynamicGeneration": 0,
            "events": [
                {
                    "id": "e2", "group": "g", "type": "t",
                    "observedAt": "2026-05-30T12:00:01.5Z",
                    "runKey": "key-2", "previousDynamicGeneration": 0,
                },
                {
                    "id": "e1", "group": "g", "type": "routerd.client.ipv4.observed",
                    "sourceNode": "onprem", "subject": "10.88.60.9/32", "dedupeKey": "d",
                    "payload": {"mac": "02:00"},
                    "observedAt": "2026-05-30T12:00:00Z", "expiresAt": "2026-05-30T12:10:00Z",
                    "runKey": "key-1", "previousDynamicGeneration": 3,
                },
            ],
        },
    });
    assert_eq!(asked(&[bare(), full()]), expected);
}

fn spec(env: &[(&str, &str)]) -> PluginSpec {
    let env: BTreeMap<&str, &str> = env.iter().copied().collect();
    serde_json::from_value(json!({"executable": "/opt/p", "env": env})).unwrap()
}

fn variables(env: &[(&str, &str)], run_key: &str) -> BTreeMap<String, String> {
    let list = environment("plug", &spec(env), run_key);
    let count = list.len();
    let map: BTreeMap<String, String> = list.into_iter().collect();
    assert_eq!(map.len(), count, "no variable stands twice");
    map
}

#[test]
fn the_environment_is_path_env_and_the_runs_own_variables_and_nothing_else() {
    let found = variables(&[("DEBUG", "1")], "0123456789abcdef0123456789abcdef");
    let expected: BTreeMap<String, String> = [
        ("DEBUG", "1"),
        ("PATH", PATH),
        ("ROUTERD_PLUGIN_NAME", "plug"),
        ("ROUTERD_RUN_KEY", "0123456789abcdef0123456789abcdef"),
        ("TRACEPARENT", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_process_for_many_runs_is_told_so_and_nothing_of_one_run() {
    let spec = PluginSpec { protocol: Protocol::Stream, ..spec(&[("DEBUG", "1")]) };
    let names: Vec<String> =
        environment("plug", &spec, "key").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["PATH", "DEBUG", "ROUTERD_PLUGIN_NAME", "ROUTERD_PROTOCOL"]);
}

#[test]
fn a_plugins_own_path_is_the_path() {
    assert_eq!(variables(&[("PATH", "/opt/bin")], "k")["PATH"], "/opt/bin");
}

#[test]
fn one_item_runs_under_its_own_key_and_a_batch_under_one_made_of_all() {
    assert_eq!(batch_key(&[full()]), "key-1");
    let both = batch_key(&[full(), bare()]);
    assert_eq!(both, batch_key(&[full(), bare()]), "a repeated run has the same name");
    assert_ne!(both, batch_key(&[bare(), full()]));
    assert_eq!(variables(&[], &both)["TRACEPARENT"].len(), 55);
}
