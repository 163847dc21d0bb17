//! JSON text as a `Value`, where nothing of the text is lost on the way.
//!
//! Pure. The YAML parser reads JSON too, and keeps the places of things and the text of numbers; it
//! takes ten times as long. What a program writes by the hundreds is read here first.

use super::Value;
use crate::api::yaml::Resolved;

/// Levels of lists and mappings that are read; what is deeper is the YAML parser's to refuse.
const DEPTH: usize = 64;

impl Value {
    /// The value of a JSON text. `None` if it is none, or if its value would not say all that it
    /// says: then it has to be read as YAML.
    pub fn from_json(text: &[u8]) -> Option<Self> {
        let value: Self = serde_json::from_slice(text).ok()?;
        is_as_written(&value, DEPTH).then_some(value)
    }
}

/// Numbers with a fraction, or too large for 64 bits, are the ones that may be written in several
/// ways.
fn is_as_written(value: &Value, depth: usize) -> bool {
    match value {
        Value::Scalar(scalar) => !matches!(scalar.resolve(), Resolved::Float(_)),
        _ if depth == 0 => false,
        Value::Seq(items) => items.iter().all(|item| is_as_written(item, depth - 1)),
        Value::Map(map) => map.iter().all(|(_, value)| is_as_written(value, depth - 1)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::yaml::{Limits, parse_documents};

    fn as_yaml(text: &str) -> Option<Value> {
        let documents = parse_documents(text.as_bytes(), &Limits::default());
        match (&documents.docs[..], documents.error) {
            ([document], None) => Value::try_from(document).ok(),
            _ => None,
        }
    }

    #[test]
    fn what_json_would_change_is_left_to_the_yaml_parser() {
        let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
        for text in [
            "1.10",
            "[1e3]",
            r#"{"a": -0}"#,
            "123456789012345678901234567890",
            r#"{"a": 1, "a": 2}"#,
            r#"{"a": 1} {"a": 2}"#,
            "a: 1",
            "",
            &deep,
        ] {
            assert_eq!(Value::from_json(text.as_bytes()), None, "{text}");
        }
        let deep = format!("{}1{}", "[".repeat(64), "]".repeat(64));
        assert!(Value::from_json(deep.as_bytes()).is_some());
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            "[ -~]{0,12}".prop_map(Into::into),
            "[a-z<é東👍\n\t]{0,6}".prop_map(Into::into),
            prop::sample::select(vec!["yes", "null", "1.10", "~", "2026-11-22", "<<"])
                .prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map("[a-z<1. ]{0,6}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_readers_read_the_same(value in json(), pretty in any::<bool>()) {
            let value = serde_json::json!([value]);
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            prop_assert_eq!(Value::from_json(text.as_bytes()), as_yaml(&text));
        }
    }
}
