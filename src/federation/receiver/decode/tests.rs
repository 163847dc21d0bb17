use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(format: Format, json: &serde_json::Value) -> Result<(Event, usize), Refusal> {
    let mut decoded = decode(format, "cloudedge", json.to_string().as_bytes())?;
    assert_eq!(decoded.events.len(), 1);
    decoded.events.remove(0).map(|event| (event, decoded.ignored))
}

#[test]
fn members_that_are_not_known_are_counted_and_known_ones_are_strict() {
    let (event, ignored) = one(
        Format::Event,
        &json!({
            "id": "e", "group": "g", "type": "t", "sourceNode": "n", "payload": null,
            "observedAt": "0001-01-01T00:00:00Z", "hops": 3, "trace": {"a": [1]},
        }),
    )
    .unwrap();
    assert_eq!((event.source_node.as_str(), event.observed_at, ignored), ("n", None, 2));
    for bad in [
        json!({"id": "e", "group": "g"}),
        json!({"id": 7, "group": "g", "type": "t"}),
        json!({"id": "e", "group": "g", "type": "t", "payload": {"a": 1}}),
        json!({"id": "e", "group": "g", "type": "t", "observedAt": "yesterday"}),
        json!({"id": "", "group": "g", "type": "t"}),
        json!(["id"]),
    ] {
        let refused = one(Format::Event, &bad).unwrap_err();
        assert!(matches!(refused, Refusal::NotAnEvent(_)), "{bad}: {refused:?}");
    }
}

#[test]
fn what_is_wrong_with_an_event_is_told_by_the_name_of_its_member() {
    for (format, body, said) in [
        (Format::Event, r#"{"id": 7, "group": "g", "type": "t"}"#, "id: expected a string"),
        (Format::Event, r#"{"id": "e", "group": "g"}"#, "type: is required"),
        (
            Format::Event,
            r#"{"id": "e", "group": "g", "type": "t", "payload": {"a": "1", "a": "2"}}"#,
            "payload.a: is there twice",
        ),
        (Format::Event, "[]", "expected an object"),
        (Format::Batch, "[]", "an object with the list events"),
        (
            Format::CloudEvent,
            r#"{"specversion": "1.0", "id": "e", "type": "t", "source": "n", "data": {"a": "1", "a": "1"}}"#,
            "data.a: is there twice",
        ),
    ] {
        let refused = decode(format, "g", body.as_bytes()).and_then(|mut d| d.events.remove(0));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(said) && !refused.contains("struct"), "{body}: {refused}");
    }
}

#[test]
fn one_bad_event_of_a_batch_is_bad_alone() {
    let body = json!({"events": [
        {"id": "a", "group": "g", "type": "t"}, {"id": "b"}, {"id": "c", "group": "g", "type": "t"},
    ]});
    let decoded = decode(Format::Batch, "g", body.to_string().as_bytes()).unwrap();
    let good: Vec<bool> = decoded.events.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true]);
    let many = json!({"events": vec![json!({}); MAX_BATCH_EVENTS + 1]});
    let refused = decode(Format::Batch, "g", many.to_string().as_bytes());
    assert_eq!(refused, Err(Refusal::TooMany(MAX_BATCH_EVENTS + 1)));
}

#[test]
fn a_cloud_event_is_an_event_of_the_listeners_group() {
    let (event, ignored) = one(
        Format::CloudEvent,
        &json!({
            "specversion": "1.0", "id": "e", "type": "routerd.client.ipv4.observed",
            "source": "https://example.net/nodes/onprem-router", "subject": "10.88.60.9/32",
            "time": "2026-05-30T12:00:00Z", "expirytime": "2026-05-30T12:30:00Z",
            "datacontenttype": "application/json", "dataschema": "x", "dedupekey": "d",
            "data": {"address": "10.88.60.9/32"},
        }),
    )
    .unwrap();
    assert_eq!(
        serde_json::to_value(&event).unwrap(),
        json!({
            "id": "e", "group": "cloudedge", "type": "routerd.client.ipv4.observed",
            "sourceNode": "onprem-router", "subject": "10.88.60.9/32", "dedupeKey": "d",
            "payload": {"address": "10.88.60.9/32"},
            "observedAt": "2026-05-30T12:00:00Z", "expiresAt": "2026-05-30T12:30:00Z",
        })
    );
    assert_eq!(ignored, 1, "dataschema");
    let list = json!([{"specversion": "1.0", "id": "e", "type": "t", "source": "n"}]);
    assert!(one(Format::CloudEvents, &list).is_ok());
}

#[test]
fn the_source_node_is_the_last_segment_of_the_source() {
    for (source, node) in [
        ("onprem-router", "onprem-router"),
        ("/nodes/onprem-router/", "onprem-router"),
        ("https://h/a/b?x=/y#/z", "b"),
    ] {
        let event = json!({"specversion": "1.0", "id": "e", "type": "t", "source": source});
        assert_eq!(one(Format::CloudEvent, &event).unwrap().0.source_node, node);
    }
}

#[test]
fn a_cloud_event_that_cannot_be_an_event_says_which_attribute() {
    let base = json!({"specversion": "1.0", "id": "e", "type": "t", "source": "n"});
    for (attribute, value) in [
        ("specversion", json!("0.3")),
        ("data_base64", json!("eA==")),
        ("datacontenttype", json!("text/plain")),
        ("time", json!("noon")),
    ] {
        let mut event = base.clone();
        event[attribute] = value;
        let refused = one(Format::CloudEvent, &event).unwrap_err().to_string();
        assert!(refused.contains(attribute), "{refused}");
    }
}

#[test]
fn the_format_goes_by_the_content_type_whatever_its_case_and_parameters() {
    assert_eq!(Format::of(None), Format::Event);
    assert_eq!(Format::of(Some("application/json; charset=utf-8")), Format::Event);
    assert_eq!(Format::of(Some("application/x-www-form-urlencoded")), Format::Event);
    assert_eq!(Format::of(Some("Application/CloudEvents+JSON; charset=UTF-8")), Format::CloudEvent);
    assert_eq!(Format::of(Some("application/cloudevents-batch+json")), Format::CloudEvents);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        format in prop::sample::select(
            vec![Format::Event, Format::Batch, Format::CloudEvent, Format::CloudEvents]),
    ) {
        let _ = decode(format, "g", &bytes);
    }
}
