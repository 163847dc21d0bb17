//! The protocol as plugins in other languages read and write it.

use serde_json::json;

use super::*;

#[test]
fn a_request_reads_back_as_it_was_written() {
    let text = json!({
        "apiVersion": API_VERSION, "kind": "PluginRequest", "metadata": {"name": "p"},
        "spec": {
            "trigger": {"type": "federation-subscription", "topic": format!("{TOPIC}sub")},
            "now": "2026-05-30T12:00:00Z", "runKey": "k", "startupConfigHash": "",
            "previousDynamicGeneration": 2,
            "events": [{
                "id": "e", "group": "g", "type": "t", "observedAt": "2026-05-30T11:59:59Z",
                "runKey": "k", "previousDynamicGeneration": 2,
            }],
        },
    });
    let request: PluginRequest = serde_json::from_value(text.clone()).expect("a request");
    assert_eq!(request.spec.events[0].event.id, "e");
    assert_eq!(serde_json::to_value(&request).expect("plain data"), text);
}

#[test]
fn a_request_for_many_events_has_no_run_key_of_its_own() {
    let text = json!({
        "apiVersion": API_VERSION, "kind": "PluginRequest", "metadata": {"name": "p"},
        "spec": {
            "trigger": {"type": "x", "topic": "y"}, "now": "2026-05-30T12:00:00Z",
            "startupConfigHash": "", "previousDynamicGeneration": 0, "events": [],
        },
    });
    let request: PluginRequest = serde_json::from_value(text.clone()).expect("a request");
    assert_eq!(request.spec.run_key, None);
    assert_eq!(serde_json::to_value(&request).expect("plain data"), text);
}

#[test]
fn the_words_of_a_result_are_these() {
    let result: PluginResult = serde_json::from_value(json!({
        "apiVersion": API_VERSION, "kind": "PluginResult",
        "status": {
            "observedAt": "2026-05-30T12:00:00Z", "ttl": "5m",
            "resources": [{"kind": "A"}], "directives": [{"op": "mask"}, {}],
            "actionPlans": [1, 2, 3], "events": [{"id": "x"}],
        },
    }))
    .expect("a result");
    let status = result.status;
    assert_eq!(status.observed_at, Some("2026-05-30T12:00:00Z".parse().expect("a time")));
    assert_eq!(status.ttl, Some(GoDuration::from_secs(300)));
    let counts = [status.resources.len(), status.directives.len(), status.action_plans.len()];
    assert_eq!((counts, status.events.len()), ([1, 2, 3], 1));
}
