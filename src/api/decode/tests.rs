use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::api::value::Map;
use crate::api::yaml::{Limits, parse_documents};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    group_ref: String,
    #[serde(rename = "match")]
    matches: Match,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    port: u16,
    offset: Option<i8>,
    #[serde(default)]
    suspend: bool,
    ratio: Option<f64>,
    mode: Option<Mode>,
    raw: Option<Value>,
    #[serde(default)]
    prefixes: Vec<ipnet::Ipv4Net>,
    pair: Option<(u8, u8)>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Match {
    types: Vec<String>,
    #[serde(default)]
    subject_prefixes: Vec<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    ProxyArp,
    SecondaryIp,
    Custom { name: String },
    Ports(Vec<u16>),
}

fn node(text: &str) -> Node {
    let mut documents = parse_documents(text.as_bytes(), &Limits::default());
    assert_eq!(documents.error, None, "{text}");
    documents.docs.remove(0)
}

fn spec(text: &str) -> Spec {
    let text = format!("groupRef: g\nmatch: {{types: [t]}}\n{text}\n");
    decode(&node(&text), "spec").expect("it decodes")
}

/// The problems of a spec whose first two lines are right.
fn problems(text: &str) -> Vec<String> {
    let text = format!("groupRef: g\nmatch: {{types: [t]}}\n{text}\n");
    shown(&decode::<Spec>(&node(&text), "spec").expect_err("refused"))
}

fn shown(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_string_takes_the_source_text_of_any_scalar() {
    let env = spec("env: {A: 1, B: 1.10, C: yes, D: '', E: true, F: 0755, 7: x}").env;
    let expected = [
        ("7", "x"),
        ("A", "1"),
        ("B", "1.10"),
        ("C", "yes"),
        ("D", ""),
        ("E", "true"),
        ("F", "0755"),
    ];
    assert!(env.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected));
}

#[test]
fn numbers_and_booleans_are_what_they_look_like() {
    assert_eq!(spec("port: 0xFFFF").port, 65_535);
    assert_eq!(spec("port: 0o17").port, 15);
    assert_eq!(spec("offset: -128").offset, Some(-128));
    assert_eq!(spec("ratio: 1").ratio, Some(1.0));
    assert!(spec("suspend: true").suspend);
}

#[test]
fn a_null_field_is_an_absent_one() {
    let read = spec("env:\nport: ~\noffset: null\nsuspend:\nraw:");
    assert_eq!((read.env.len(), read.port, read.offset, read.raw), (0, 0, None, None));
}

#[test]
fn enums_are_names_or_one_name_with_content() {
    assert_eq!(spec("mode: proxy-arp").mode, Some(Mode::ProxyArp));
    assert_eq!(spec("mode: {custom: {name: 1}}").mode, Some(Mode::Custom { name: "1".into() }));
    assert_eq!(spec("mode: {ports: [1, 2]}").mode, Some(Mode::Ports(vec![1, 2])));
}

#[test]
fn a_value_field_keeps_what_was_written() {
    let raw = spec("raw: {on: yes, v: 1.10, m: 0755, l: [~, '1']}").raw;
    assert_eq!(
        raw,
        Some(
            Value::try_from(&node("{on: yes, v: 1.10, m: 0755, l: [~, '1']}")).expect("no faults")
        )
    );
    assert_eq!(
        crate::api::yaml::emit(&raw.expect("set")),
        "on: yes\nv: 1.10\nm: 0755\nl:\n- ~\n- \"1\"\n"
    );
}

#[test]
fn each_wrong_value_is_placed_and_explained() {
    for (text, expected) in [
        ("port: 65536", "3:7: spec.port: expected an integer from 0 to 65535, found 65536"),
        ("port: -1", "3:7: spec.port: expected an integer from 0 to 65535, found -1"),
        (
            "port: '80'",
            "3:7: spec.port: expected an integer from 0 to 65535, found \"80\" (write it without quotes)",
        ),
        (
            "port: 0755",
            "3:7: spec.port: expected an integer from 0 to 65535, found \"0755\" (octal is written 0o…, decimal has no leading 0)",
        ),
        ("port: 1.5", "3:7: spec.port: expected an integer from 0 to 65535, found 1.5"),
        ("port: [80]", "3:7: spec.port: expected an integer from 0 to 65535, found a list"),
        ("offset: 128", "3:9: spec.offset: expected an integer from -128 to 127, found 128"),
        ("suspend: yes", "3:10: spec.suspend: expected true or false, found \"yes\" (write true)"),
        ("suspend: Off", "3:10: spec.suspend: expected true or false, found \"Off\" (write false)"),
        (
            "suspend: 'true'",
            "3:10: spec.suspend: expected true or false, found \"true\" (write it without quotes)",
        ),
        ("suspend: 1", "3:10: spec.suspend: expected true or false, found 1"),
        ("ratio: fast", "3:8: spec.ratio: expected a number, found \"fast\""),
        ("env: x", "3:6: spec.env: expected a mapping, found \"x\""),
        ("env: {A.b: [1]}", "3:12: spec.env[\"A.b\"]: expected a string, found a list"),
        (
            "env: {A: }",
            "3:7: spec.env.A: expected a string, found nothing (an empty string is written \"\")",
        ),
        (
            "prefixes: 10.0.0.0/8",
            "3:11: spec.prefixes: expected a list, found \"10.0.0.0/8\" (a list of one is written [item], or - item on its own line)",
        ),
        (
            "prefixes: [10.0.0.0/8, 10.0.0.0/33]",
            "3:24: spec.prefixes[1]: invalid IP address syntax",
        ),
        (
            "mode: proxyarp",
            "3:7: spec.mode: expected one of \"proxy-arp\", \"secondary-ip\", \"custom\", \"ports\", found \"proxyarp\" (did you mean \"proxy-arp\"?)",
        ),
        ("mode: custom", "3:7: spec.mode: \"custom\" needs a value"),
        ("mode: {proxy-arp: 1}", "3:7: spec.mode: \"proxy-arp\" takes no value"),
        (
            "mode: {ports: [70000]}",
            "3:16: spec.mode.ports[0]: expected an integer from 0 to 65535, found 70000",
        ),
        ("pair: [1, 2, 3]", "3:7: spec.pair: expected a list of 2, found 3 items"),
    ] {
        assert_eq!(problems(text)[0], expected, "{text}");
    }
}

#[test]
fn a_misspelt_required_field_is_both_missing_and_unknown() {
    assert_eq!(
        problems("mode: {custom: {nam: x}}"),
        [
            "3:17: spec.mode.custom.nam: unknown field (did you mean \"name\"?)",
            "3:17: spec.mode.custom: missing field \"name\"",
        ]
    );
}

#[test]
fn every_unknown_field_is_reported_at_once_with_the_nearest() {
    let text =
        "groupref: g\nmatch:\n  types: [t]\n  subjectPrefix: [x]\n  zzz: 1\nnope: 2\nport: x\n";
    assert_eq!(
        shown(&decode::<Spec>(&node(text), "").expect_err("refused")),
        [
            "1:1: groupref: unknown field (did you mean \"groupRef\"?)",
            "4:3: match.subjectPrefix: unknown field (did you mean \"subjectPrefixes\"?)",
            "5:3: match.zzz: unknown field (known fields: types, subjectPrefixes)",
            "6:1: nope: unknown field (known fields: groupRef, match, env, port, offset, suspend, ratio, mode, raw, prefixes, pair)",
            "7:7: port: expected an integer from 0 to 65535, found \"x\"",
        ]
    );
}

#[test]
fn a_missing_field_is_named_at_its_parent_or_where_it_is_empty() {
    let missing = |text: &str| shown(&decode::<Spec>(&node(text), "spec").expect_err("refused"));
    assert_eq!(missing("port: 1"), ["1:1: spec: missing field \"groupRef\""]);
    assert_eq!(
        missing("groupRef:\nmatch: {types: [t]}"),
        ["1:1: spec: missing field \"groupRef\" (it is there, but empty)"]
    );
    assert_eq!(
        missing("groupRef: g\nmatch:\n  subjectPrefixes: []"),
        ["3:3: spec.match: missing field \"types\""]
    );
}

#[test]
fn faults_of_the_document_are_all_reported() {
    let text = "groupRef: g\ngroupRef: h\nmatch: {types: [!x t]}\n";
    assert_eq!(
        shown(&decode::<Spec>(&node(text), "spec").expect_err("refused")),
        [
            "2:1: spec.groupRef: key \"groupRef\" given twice, first at 1:1",
            "3:17: spec.match.types[0]: unknown tag !x",
        ]
    );
}

#[test]
fn the_tolerant_way_reports_unknown_fields_beside_the_result() {
    let text = "types: [a]\nnew: {deep: [1]}\n";
    let (read, unknown) = decode_tolerant::<Match>(&node(text), "").expect("it decodes");
    assert_eq!(read.types, ["a"]);
    assert_eq!(shown(&unknown), ["2:1: new: unknown field (known fields: types, subjectPrefixes)"]);
}

#[test]
fn a_value_decodes_as_a_node_does_but_for_places() {
    let json = r#"{"groupRef": 7, "match": {"types": ["t"], "typos": 1}, "raw": {"a": [1.5]}}"#;
    let value: Value = serde_json::from_str(json).expect("JSON is read");
    assert_eq!(
        shown(&decode_value::<Spec>(&value, "spec").expect_err("refused")),
        ["spec.match.typos: unknown field (did you mean \"types\"?)"]
    );
    let (read, unknown) = decode_value_tolerant::<Spec>(&value, "").expect("it decodes");
    assert_eq!((read.group_ref.as_str(), unknown.len()), ("7", 1));
    assert_eq!(read.raw.as_ref(), value.get("raw"));
}

#[test]
fn a_field_may_hold_any_mapping() {
    let read: BTreeMap<String, Map> = decode(&node("a: {on: 1}"), "").expect("it decodes");
    assert_eq!(read["a"].get("on"), Some(&Value::from(1_u64)));
    let json: serde_json::Value = decode(&node("a: [1, x, ~]"), "").expect("it decodes");
    assert_eq!(json, serde_json::json!({"a": [1, "x", null]}));
}

#[test]
fn long_values_are_cut_in_messages() {
    let problem = &problems(&format!("port: {}", "x".repeat(500)))[0];
    assert!(problem.chars().count() < 130 && problem.ends_with('…'), "{problem}");
}

#[test]
fn the_nearest_word_is_a_likely_slip_or_none() {
    let kinds = ["EventGroup", "EventPeer", "EventSubscription", "Plugin"];
    for (word, expected) in [
        ("EventGruop", Some("EventGroup")),
        ("eventgroup", Some("EventGroup")),
        ("event-peer", Some("EventPeer")),
        ("Plugins", Some("Plugin")),
        ("Interface", None),
        ("", None),
    ] {
        assert_eq!(nearest(word, kinds), expected, "{word}");
    }
    assert_eq!(nearest_within("EventSubscriptoin", kinds, 2), Some("EventSubscription"));
    assert_eq!(nearest_within("EvntSubscrptio", kinds, 2), None);
    assert_eq!(nearest(&"x".repeat(10_000), kinds), None);
}

#[test]
fn a_misspelt_required_field_is_told_before_what_it_leaves_missing() {
    let refused = |text: &str| {
        let text = format!("env: {{A: x}}\n{text}");
        shown(&decode::<Spec>(&node(&text), "spec").expect_err("refused"))
    };
    let problems = refused("groupRef: g\nmatches: {types: [t]}\n");
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("spec.matches: unknown field"), "{problems:?}");
    assert!(problems[0].contains("did you mean \"match\"?"), "{problems:?}");
    assert!(problems[1].contains("missing field \"match\""), "{problems:?}");
    // Where nothing is a slip of it, what is missing is told where the mapping begins.
    let problems = refused("groupRef: g\nunrelated: 1\n");
    assert!(problems[0].contains("missing field \"match\""), "{problems:?}");
}
