use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::api::value::Value;
use crate::api::yaml::{Entry, NodeKind};

fn read(text: &str) -> Documents {
    parse_documents(text.as_bytes(), &Limits::default())
}

/// The only document of a text without faults, as JSON.
fn json(text: &str) -> String {
    let documents = read(text);
    assert_eq!(documents.error, None, "{text}");
    assert_eq!(documents.docs.len(), 1, "{text}");
    let value = Value::try_from(&documents.docs[0]).expect("no faults");
    serde_json::to_string(&value).expect("values are JSON")
}

/// The faults of the only document, as shown.
fn faults(text: &str) -> Vec<String> {
    let documents = read(text);
    assert_eq!(documents.error, None, "{text}");
    documents.docs[0].faults("").iter().map(ToString::to_string).collect()
}

fn error(text: &str) -> String {
    read(text).error.expect("an error").to_string()
}

#[test]
fn scalars_mean_what_the_core_schema_says() {
    for (text, expected) in [
        ("a: 1", r#"{"a":1}"#),
        ("a: '1'", r#"{"a":"1"}"#),
        ("a: !!str 1", r#"{"a":"1"}"#),
        ("a: ! 1", r#"{"a":"1"}"#),
        ("a: !!int '1'", r#"{"a":1}"#),
        ("a: !!float 1.5", r#"{"a":1.5}"#),
        ("a: !<tag:yaml.org,2002:str> 1", r#"{"a":"1"}"#),
        ("a: !!map {b: !!seq [1]}", r#"{"a":{"b":[1]}}"#),
        ("a:", r#"{"a":null}"#),
        ("a: ~", r#"{"a":null}"#),
        ("a: yes", r#"{"a":"yes"}"#),
        ("a: True", r#"{"a":true}"#),
        ("a: 0755", r#"{"a":"0755"}"#),
        ("a: 0o755", r#"{"a":493}"#),
        ("a: 0x1F", r#"{"a":31}"#),
        ("a: -0x1F", r#"{"a":"-0x1F"}"#),
        ("a: 18446744073709551615", r#"{"a":18446744073709551615}"#),
        ("a: 18446744073709551616", r#"{"a":"18446744073709551616"}"#),
        ("a: 1e999", r#"{"a":"1e999"}"#),
        ("a: .inf", r#"{"a":".inf"}"#),
        ("a: 1e3", r#"{"a":1000.0}"#),
        ("a: |\n  x\n  y\n", r#"{"a":"x\ny\n"}"#),
        ("a: >-\n  x\n  y\n", r#"{"a":"x y"}"#),
        ("\u{feff}a: 1", r#"{"a":1}"#),
        ("a: 1\r\nb: 2\r\n", r#"{"a":1,"b":2}"#),
        ("1: a\n2: b", r#"{"1":"a","2":"b"}"#),
        ("{\"a\":\t\"\\/\\u00e9\\t\"}", r#"{"a":"/é\t"}"#),
        ("{\n\t\"a\": [\n\t\t1,\n\t\t2\n\t]\n}\n", r#"{"a":[1,2]}"#),
    ] {
        assert_eq!(json(text), expected, "{text}");
    }
}

#[test]
fn aliases_expand_and_merge_keys_follow_their_rules() {
    for (text, expected) in [
        ("a: &x {k: 1}\nb: *x", r#"{"a":{"k":1},"b":{"k":1}}"#),
        ("a: &x [1]\nb: *x\nc: &x 2\nd: *x", r#"{"a":[1],"b":[1],"c":2,"d":2}"#),
        ("a: &x k\n*x : 1", r#"{"a":"k","k":1}"#),
        (
            "a: &x {k: 1, l: 2}\nb:\n  m: 0\n  <<: *x\n  k: 3",
            r#"{"a":{"k":1,"l":2},"b":{"m":0,"l":2,"k":3}}"#,
        ),
        (
            "a: &x {k: 1}\nb: &y {k: 2, l: 2}\nc: {<<: [*x, *y], z: 0}",
            r#"{"a":{"k":1},"b":{"k":2,"l":2},"c":{"k":1,"l":2,"z":0}}"#,
        ),
        (
            "a: &x {k: 1}\nb: &y {<<: *x, l: 2}\nc:\n  <<: *y",
            r#"{"a":{"k":1},"b":{"k":1,"l":2},"c":{"k":1,"l":2}}"#,
        ),
        ("'<<': 1", r#"{"<<":1}"#),
    ] {
        assert_eq!(json(text), expected, "{text}");
    }
}

#[test]
fn a_fault_inside_a_document_stays_where_it_is() {
    for (text, expected) in [
        ("a: 1\nb: 2\na: 3", r#"3:1: a: key "a" given twice, first at 1:1"#),
        ("a: {b: 1, b: 2}", r#"1:11: a.b: key "b" given twice, first at 1:5"#),
        ("a: 1\n\"a\": 2", r#"2:1: a: key "a" given twice, first at 1:1"#),
        ("a: !foo 1", "1:4: a: unknown tag !foo"),
        ("a: !foo {b: 1}", "1:4: a: unknown tag !foo"),
        ("a: !!binary aGk=", "1:4: a: unknown tag !!binary"),
        ("a: !!int x", "1:4: a: tagged !!int, but not an integer"),
        ("[a, b]: 1", r#"1:1: ["?"]: a key must be a scalar, not a list"#),
        ("{a: b}: 1", r#"1:1: ["?"]: a key must be a scalar, not a mapping"#),
        ("<<: 1", "1:5: [\"<<\"]: a merge key takes a mapping or a list of mappings"),
        (
            "a: &x [*x]",
            "1:8: a[0]: an alias must follow the end of what it names, in the same document",
        ),
    ] {
        assert_eq!(faults(text), [expected], "{text}");
    }
}

#[test]
fn a_key_given_twice_among_many_is_found() {
    let mut text = String::new();
    for n in 0..100 {
        writeln!(text, "k{n}: {n}").expect("a string takes writes");
    }
    text.push_str("k42: again\n");
    assert_eq!(faults(&text), [r#"101:1: k42: key "k42" given twice, first at 43:1"#]);
}

#[test]
fn a_fault_in_one_document_leaves_the_others_whole() {
    let documents = read("a: 1\n---\nb: 1\nb: 2\n---\nc: !x 1\n---\nd: 4\n");
    let clean: Vec<bool> = documents.docs.iter().map(|doc| doc.faults("").is_empty()).collect();
    assert_eq!((clean, documents.error), (vec![true, false, false, true], None));
}

#[test]
fn a_syntax_error_is_placed_and_leaves_earlier_documents_readable() {
    for (text, docs, expected) in [
        ("a: 1\n---\nb: [1,\n", 1, "4:1: not YAML: "),
        ("a: 1\n---\nb: 'x\n", 1, "not YAML: "),
        ("a: b: c\n", 0, "1:5: not YAML: "),
        ("a:\n\tb: 1\n", 0, "not YAML: "),
        ("a: *x\n", 0, "1:4: not YAML: while parsing node, found unknown anchor"),
        ("a: &x 1\n---\nb: *x\n", 2, ""),
        ("a: 1\n---\nb: \u{1}\n", 1, "3:4: control character U+0001"),
        ("a: 1\n---\nb: 1\0", 1, "3:5: control character U+0000"),
        ("a: é\u{9b}", 0, "1:5: control character U+009B"),
        ("a: '\u{7f}'", 0, "1:5: control character U+007F"),
        ("a: \"\\ud83d\"", 0, "not YAML: "),
    ] {
        let documents = read(text);
        assert_eq!(documents.docs.len(), docs, "{text}");
        let shown = documents.error.map(|error| error.to_string()).unwrap_or_default();
        assert!(shown.contains(expected), "{text}: {shown}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_placed() {
    let documents = parse_documents(b"a: 1\n---\nb: \xc3\xa9\xff\n---\nc: 3\n", &Limits::default());
    assert_eq!(documents.docs.len(), 1);
    assert_eq!(documents.error.expect("an error").to_string(), "3:5: not UTF-8: byte 0xff");
}

#[test]
fn an_anchor_ends_with_its_document() {
    let documents = read("a: &x 1\n---\nb: *x\n");
    assert_eq!(
        documents.docs[1].faults("")[0].to_string(),
        "3:4: b: an alias must follow the end of what it names, in the same document"
    );
}

#[test]
fn empty_documents_are_left_out() {
    for (text, docs) in
        [("", 0), ("# nothing\n", 0), ("---\n---\n", 0), ("---\na: 1\n---\n...\n", 1), ("~", 0)]
    {
        let documents = read(text);
        assert_eq!((documents.docs.len(), documents.error), (docs, None), "{text}");
    }
}

#[test]
fn every_node_knows_its_place() {
    let text = "# c\nkind: Plugin\nspec:\n  args:\n  - é: \"x\"\n    f: [1, {g: 2}]\n  empty:\n";
    let documents = read(text);
    let mut places = Vec::new();
    walk(&documents.docs[0], &mut places);
    assert_eq!(
        places,
        [
            "2:1 mapping",
            "2:1 kind",
            "2:7 Plugin",
            "3:1 spec",
            "4:3 mapping",
            "4:3 args",
            "5:5 list",
            "5:5 mapping",
            "5:5 é",
            "5:8 x",
            "6:5 f",
            "6:8 list",
            "6:9 1",
            "6:12 mapping",
            "6:13 g",
            "6:16 2",
            "7:3 empty",
            "7:3 "
        ]
    );
}

fn walk(node: &Node, places: &mut Vec<String>) {
    let pos = node.pos;
    let line = |what: &str| format!("{}:{} {what}", pos.line, pos.column);
    match &node.kind {
        NodeKind::Scalar { text, .. } | NodeKind::Invalid(text) => places.push(line(text)),
        NodeKind::Seq(items) => {
            places.push(line("list"));
            for item in items {
                walk(item, places);
            }
        }
        NodeKind::Map(entries) => {
            places.push(line("mapping"));
            for Entry { key, value } in entries {
                places.push(format!("{} {}", key.pos, key.text));
                walk(value, places);
            }
        }
    }
}

#[test]
fn json_surrogate_pairs_are_read_and_move_no_position() {
    let text =
        "{\"a\\\\\": \"\\uD83D\\uDE00 \\ud83d\\ude00 \\\\ud83d\\ude00x\", \"b\": 1,\n \"c\": 2}";
    // The last one follows an escaped backslash: its first half is text, its second is alone.
    assert!(read(text).error.is_some());
    let text = "{\"a\": \"\\uD83D\\uDE00 \\ud83d\\ude00\", \"b\": 1,\n \"c\": 2, \"c\": 3}";
    assert_eq!(faults(text), ["2:10: c: key \"c\" given twice, first at 2:2"]);
    let documents = read(text);
    let doc = &documents.docs[0];
    assert_eq!(doc.get("a").and_then(Node::text), Some("\u{1F600} \u{1F600}"));
    let b = doc.entry("b").expect("b is there");
    assert_eq!((b.key.pos.to_string(), b.value.pos.to_string()), ("1:36".into(), "1:41".into()));
    assert_eq!(text.find("\"b\""), Some(35));
}

#[test]
fn a_single_quoted_backslash_in_yaml_is_no_escape() {
    assert_eq!(json("{a: '\\ud83d\\ude00'}"), r#"{"a":"\\ud83d\\ude00"}"#);
}

#[test]
fn every_limit_stops_the_reading_where_it_is_passed() {
    let small = Limits {
        file_bytes: 1_000,
        documents: 2,
        depth: 3,
        nodes: 20,
        text_bytes: 100,
        scalar_bytes: 50,
        flow_marks: 30,
    };
    let long = format!("a: {}", "x".repeat(51));
    let many = "a: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(3);
    for (text, expected) in [
        ("x".repeat(1_001), "1:1: 1001 bytes, at most 1000 are read"),
        ("a: 1\n---\nb: 1\n---\nc: 1\n".into(), "4:1: more than 2 documents"),
        ("a: {b: {c: {d: 1}}}".into(), "1:12: nested deeper than 3 levels"),
        ("- a\n".repeat(20), "20:3: more than 20 nodes, aliases expanded"),
        (long, "1:4: a scalar longer than 50 bytes"),
        (many, "3:4: more than 100 bytes of text, aliases expanded"),
        (format!("a: 1\n---\n[{}]", "1,".repeat(30)), "3:61: more than 30 of the characters"),
    ] {
        let error = parse_documents(text.as_bytes(), &small).error.expect("an error").to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn a_billion_laughs_end_at_an_alias() {
    let mut text = String::from("a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n");
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        writeln!(text, "a{n}: &a{n} [{aliases}]").expect("a string takes writes");
    }
    assert!(error(&text).ends_with("more than 1000000 nodes, aliases expanded"));
    let long = format!("a: &a {}\nb: [{}]", "x".repeat(1_000_000), "*a, ".repeat(50));
    assert!(error(&long).ends_with("more than 16777216 bytes of text, aliases expanded"));
}

#[test]
fn hostile_shapes_are_refused_and_cost_little() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        "a: ".repeat(100_000),
        "!a ".repeat(100_000),
        "&a ".repeat(100_000),
        "- !x 1\n".repeat(100_000),
        format!("%TAG !e! {}\n---\n{}", "x".repeat(1_000_000), "- !e!a 1\n".repeat(100_000)),
    ] {
        let documents = read(&text);
        assert!(documents.error.is_some(), "{text:.20}");
    }
}

#[test]
fn ten_thousand_documents_are_read() {
    let documents = read(&"a: 1\n---\n".repeat(10_000));
    assert_eq!((documents.docs.len(), documents.error), (10_000, None));
}

/// Text made of what YAML cares about.
fn yaml_soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b: ", "- ", "\n", "\n  ", "\n    ", ": ", "? ", "[", "]", "{", "}", ",", "&x ", "*x",
        "!!str ", "!t ", "|\n", ">-\n", "'", "\"", "\\", "\\u", "#", " #c", "---\n", "...\n", "\t",
        "<<: ", "%TAG ", "\u{feff}", "é", "\u{85}", "\r", "~", "1",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_documents(&bytes, &Limits::default());
    }

    #[test]
    fn no_yaml_like_text_makes_the_parser_fail(text in yaml_soup()) {
        let documents = read(&text);
        let breaks = text.matches(['\n', '\r']).count();
        let lines = u32::try_from(breaks).expect("few") + 2;
        if let Some(error) = documents.error {
            prop_assert!(!error.message.contains("failed on this file"), "{error}");
            prop_assert!(error.pos.line <= lines);
        }
        for doc in &documents.docs {
            prop_assert_eq!(doc.faults("").is_empty(), Value::try_from(doc).is_ok());
        }
    }
}
