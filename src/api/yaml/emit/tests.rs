use proptest::prelude::*;

use super::*;
use crate::api::value::canonical_bytes;
use crate::api::yaml::{Limits, parse_documents};

fn value(text: &str) -> Value {
    let documents = parse_documents(text.as_bytes(), &Limits::default());
    assert_eq!(documents.error, None, "{text}");
    match documents.docs.as_slice() {
        [] => Value::null(),
        [one] => Value::try_from(one).expect("no faults"),
        _ => panic!("several documents: {text}"),
    }
}

#[test]
fn the_layout_is_kubectls() {
    let text = "\
apiVersion: net.routerd.net/v1alpha1
kind: Interface
metadata:
  name: wan0
spec:
  empty: {}
  none: []
  nothing:
  lists:
  - - 1
    - 2
  - name: a
    rules:
    - x
    - y
    last: 1
  - {}
  -
  script: |
    set -e

    \tip link
  on: yes
  version: 1.10
  mode: 0755
";
    assert_eq!(emit(&value(text)), text);
}

#[test]
fn strings_are_quoted_exactly_when_a_reader_would_misread_them() {
    for (text, written) in [
        ("eth0", "eth0"),
        ("10.88.60.9/32", "10.88.60.9/32"),
        ("a b", "a b"),
        ("a:b", "a:b"),
        ("a#b", "a#b"),
        ("it's", "it's"),
        ("say \"x\"", "say \"x\""),
        ("-x", "-x"),
        ("é ☃ \u{1F600}", "é ☃ \u{1F600}"),
        ("", "\"\""),
        ("yes", "\"yes\""),
        ("null", "\"null\""),
        ("1.10", "\"1.10\""),
        ("2026-11-22T10:00:00Z", "\"2026-11-22T10:00:00Z\""),
        ("22:22", "\"22:22\""),
        ("a: b", "\"a: b\""),
        ("a:", "\"a:\""),
        ("a #b", "\"a #b\""),
        ("- x", "\"- x\""),
        ("-", "\"-\""),
        ("---", "\"---\""),
        ("'x'", "\"'x'\""),
        ("\"x\"", "\"\\\"x\\\"\""),
        ("*x", "\"*x\""),
        ("[x", "\"[x\""),
        (" x", "\" x\""),
        ("x ", "\"x \""),
        ("a\tb", "\"a\\tb\""),
        ("a\u{7}b", "\"a\\x07b\""),
        ("a\u{85}b", "\"a\\x85b\""),
        ("a\u{2028}b", "\"a\\u2028b\""),
        ("a\u{202e}b", "\"a\\u202Eb\""),
        ("a\\b", "a\\b"),
    ] {
        assert_eq!(emit(&Value::string(text)), format!("{written}\n"), "{text:?}");
    }
}

#[test]
fn lines_become_a_literal_block_where_that_loses_nothing() {
    for (text, written) in [
        ("a\nb", "k: |-\n  a\n  b\n"),
        ("a\nb\n", "k: |\n  a\n  b\n"),
        ("a\n\n", "k: |+\n  a\n\n"),
        ("a\n  b\n", "k: |\n  a\n    b\n"),
        (" a\nb", "k: \" a\\nb\"\n"),
        ("\na", "k: \"\\na\"\n"),
        ("a \nb", "k: \"a \\nb\"\n"),
        ("a\r\nb", "k: \"a\\r\\nb\"\n"),
        ("\n", "k: \"\\n\"\n"),
    ] {
        let map: Map = [("k", text)].into_iter().collect();
        assert_eq!(emit(&map.into()), written, "{text:?}");
    }
}

#[test]
fn a_key_too_long_to_be_simple_is_marked() {
    let items = Value::Seq(vec![1_u64.into()]);
    let map: Map = [("k".repeat(1_100), items), ("b".into(), 2_u64.into())].into_iter().collect();
    let written = emit(&map.clone().into());
    assert!(written.starts_with("? k") && written.contains("\n:\n- 1\nb: 2\n"), "{written}");
    assert_eq!(value(&written), Value::Map(map));
}

/// Text that is likely to be misread.
fn tricky_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "B",
        "1",
        "0",
        "-",
        ".",
        ":",
        " ",
        "#",
        "\n",
        "'",
        "\"",
        "\\",
        "yes",
        "null",
        "true",
        "~",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&",
        "*",
        "!",
        "|",
        ">",
        "%",
        "@",
        "`",
        "?",
        "\t",
        "é",
        "\r",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{1}",
        "\u{7f}",
        "\u{1F600}",
        "---",
        "...",
        "e",
        "_",
        "0x",
        "0o",
        "+",
        "<<",
        "=",
        "2026-11-22",
        "T10:00:00Z",
    ]);
    prop_oneof![
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()),
        any::<String>(),
    ]
}

fn scalar() -> impl Strategy<Value = Scalar> {
    (tricky_text(), any::<bool>())
        .prop_map(|(text, plain)| if plain { Scalar::plain(text) } else { Scalar::string(text) })
}

fn any_value() -> impl Strategy<Value = Value> {
    scalar().prop_map(Value::Scalar).prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Seq),
            prop::collection::vec((tricky_text(), inner), 0..5)
                .prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    })
}

/// What the independent reader makes of a text, as JSON.
fn oracle(text: &str) -> serde_json::Value {
    let read: serde_yaml::Value = serde_yaml::from_str(text).expect("the oracle reads it");
    serde_json::to_value(read).expect("keys are strings")
}

/// Whether both readers agree on the type of every scalar: yaml_serde resolves a few plain
/// scalars in ways of its own (`.inf`, `0o17` with a sign, integers of 128 bits).
fn is_common(value: &Value) -> bool {
    match value {
        Value::Scalar(scalar) => !scalar.is_verbatim() || is_common_plain(scalar.text()),
        Value::Seq(items) => items.iter().all(is_common),
        Value::Map(map) => map.iter().all(|(_, value)| is_common(value)),
    }
}

fn is_common_plain(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "true" | "yes" | "2026-11-22")
        || (text.len() < 15
            && (text == "0" || !text.starts_with('0'))
            && text.bytes().all(|b| b.is_ascii_digit()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_reads_back_the_same(original in any_value()) {
        let written = emit(&original);
        let read = value(&written);
        prop_assert_eq!(canonical_bytes(&read), canonical_bytes(&original), "{}", written);
        // A document that is null as a whole is skipped by the reader, however it is written.
        if !original.is_null() {
            prop_assert_eq!(&read, &original, "{}", written);
            prop_assert_eq!(emit(&read), written);
        }
    }

    #[test]
    fn an_independent_reader_reads_the_same(original in any_value()) {
        prop_assume!(is_common(&original));
        let written = emit(&original);
        let ours = serde_json::to_value(&original).expect("values are JSON");
        prop_assert_eq!(oracle(&written), ours, "{}", written);
    }
}
