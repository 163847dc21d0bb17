use proptest::prelude::*;

use super::*;
use crate::api::yaml::{Limits, parse_documents};

/// The only document of a text.
fn value(text: &str) -> Value {
    let documents = parse_documents(text.as_bytes(), &Limits::default());
    assert_eq!(documents.error, None, "{text}");
    Value::try_from(&documents.docs[0]).expect("no faults")
}

fn json(value: &Value) -> String {
    serde_json::to_string(value).expect("values are JSON")
}

#[test]
fn the_store_gets_back_what_it_was_given() {
    let carried = value("on: yes\nversion: 1.10\nmode: 0755\nq: '1'\nn:\nl: [~, {a: 1e3}]\n");
    let stored = rmp_serde::to_vec(&carried).expect("values are msgpack");
    let read: Value = rmp_serde::from_slice(&stored).expect("what was written is read");
    assert_eq!(read, carried);
}

#[test]
fn a_row_that_announces_more_than_it_holds_is_refused() {
    // A list and a mapping of four milliards of entries, and one byte of them.
    for head in [0xdd, 0xdf] {
        let row = [head, 0xff, 0xff, 0xff, 0xff, 0x01];
        rmp_serde::from_slice::<Value>(&row).expect_err("it ends too soon");
    }
}

#[test]
fn json_has_the_core_schemas_types() {
    let carried = value("on: yes\nversion: 1.10\nmode: 0755\nq: '1'\nn:\nneg: -4\nbig: 1e400\n");
    assert_eq!(
        json(&carried),
        r#"{"on":"yes","version":1.1,"mode":"0755","q":"1","n":null,"neg":-4,"big":"1e400"}"#
    );
}

#[test]
fn json_comes_in_with_its_types() {
    let text = r#"{"a":[null,true,1,-1,1.5,"1",1e300],"b":{"":"x"}}"#;
    let read: Value = serde_json::from_str(text).expect("JSON is read");
    let again: serde_json::Value = serde_json::from_str(&json(&read)).expect("JSON is written");
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).expect("JSON is read"));
}

#[test]
fn a_key_given_twice_in_json_is_refused() {
    let error = serde_json::from_str::<Value>(r#"{"a":1,"a":2}"#).expect_err("refused");
    assert!(error.to_string().starts_with("key \"a\" given twice"), "{error}");
}

#[test]
fn a_value_survives_serdes_buffer() {
    #[derive(serde::Deserialize)]
    struct Outer {
        a: u8,
        #[serde(flatten)]
        rest: Map,
    }
    let outer: Outer = serde_json::from_str(r#"{"a":1,"b":{"c":[2]}}"#).expect("JSON is read");
    assert_eq!((outer.a, json(&outer.rest.into())), (1, r#"{"b":{"c":[2]}}"#.to_owned()));
}

#[test]
fn canonical_bytes_follow_meaning_not_spelling() {
    for (one, other) in [
        ("{a: 1, b: 2}", "b: 2\na: 1"),
        ("a: x", "a: 'x'"),
        ("a: ~", "a:"),
        ("a: True", "a: true"),
        ("1: x", "'1': x"),
    ] {
        assert_eq!(canonical_bytes(&value(one)), canonical_bytes(&value(other)), "{one}");
    }
    for (one, other) in [
        ("a: 1", "a: '1'"),
        ("a: 1.10", "a: 1.1"),
        ("a: yes", "a: 'yes'"),
        ("a: ''", "a:"),
        ("a: 'true'", "a: true"),
        ("a: [1, 2]", "a: [2, 1]"),
        ("a: []", "a: {}"),
        ("a: [[1], 2]", "a: [[1, 2]]"),
        ("{a: bc}", "{ab: c}"),
    ] {
        assert_ne!(canonical_bytes(&value(one)), canonical_bytes(&value(other)), "{one}");
    }
}

#[test]
fn paths_reach_into_mappings_only() {
    let carried = value("spec:\n  capture: {type: proxy-arp, list: [1]}\n");
    assert_eq!(carried.get_path("spec.capture.type").and_then(Value::as_str), Some("proxy-arp"));
    for path in ["spec.none", "spec.capture.type.x", "spec.capture.list.0", ""] {
        assert_eq!(carried.get_path(path), None, "{path}");
    }
}

#[test]
fn a_mapping_keeps_its_order_through_changes() {
    let mut map: Map = [("a", 1_u64), ("b", 2), ("c", 3)].into_iter().collect();
    assert_eq!(map.insert("b", "two"), Some(Value::from(2_u64)));
    assert_eq!(map.insert("d", true), None);
    assert_eq!(map.remove("a"), Some(Value::from(1_u64)));
    assert_eq!(map.remove("a"), None);
    assert_eq!(json(&map.into()), r#"{"b":"two","c":3,"d":true}"#);
}

#[test]
fn floats_are_written_so_that_every_yaml_reader_sees_a_number() {
    for (number, text) in
        [(1.0, "1.0"), (1e21, "1.0e+21"), (1.5e-9, "1.5e-9"), (f64::NAN, ".nan"), (-0.5, "-0.5")]
    {
        assert_eq!(Value::from(number).as_str(), Some(text));
    }
}

#[test]
fn an_invalid_node_is_carried_nowhere() {
    let documents = parse_documents(b"a: 1\nb: [!x 1, !y 2]", &Limits::default());
    let problems = Value::try_from(&documents.docs[0]).expect_err("refused");
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["2:5: b[0]: unknown tag !x", "2:11: b[1]: unknown tag !y"]);
}

proptest! {
    #[test]
    fn every_finite_number_keeps_its_value(number in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
        let read: f64 = json(&Value::from(number)).parse().expect("a number");
        prop_assert_eq!(read.to_bits(), number.to_bits());
    }
}
