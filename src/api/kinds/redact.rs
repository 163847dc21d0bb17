//! Inline keys never leave the store: what is shown of a resource is shown without them.

use std::borrow::Cow;

use super::net;
use crate::api::object::ObjectKey;
use crate::api::value::Value;
use crate::api::yaml::{Limits, parse_documents};

/// What stands in place of a key.
pub const REDACTED: &str = "REDACTED";
/// What stands in place of an answer that names a key and cannot be read.
const UNREADABLE: &str = "REDACTED: it names a key, and cannot be read";
/// The fields that hold a key.
const FIELDS: [&str; 2] = ["privateKey", "presharedKey"];

/// The body as it may be shown. Costs nothing where there is nothing to hide.
pub fn redact<'a>(body: &'a Value, key: &ObjectKey) -> Cow<'a, Value> {
    let field = match (key.api_version.as_str(), key.kind.as_str()) {
        (net::API_VERSION, "WireGuardInterface") => "privateKey",
        (net::API_VERSION, "WireGuardPeer") => "presharedKey",
        _ => return Cow::Borrowed(body),
    };
    let is_there = body.get("spec").and_then(|spec| spec.get(field)).is_some_and(|v| !v.is_null());
    if !is_there {
        return Cow::Borrowed(body);
    }
    let mut shown = body.clone();
    let spec = shown.as_map_mut().and_then(|map| map.get_mut("spec")).and_then(Value::as_map_mut);
    if let Some(spec) = spec {
        spec.insert(field, REDACTED);
    }
    Cow::Owned(shown)
}

/// What a plugin answered, as it may be shown: unchanged where no key is named in it, else without
/// the keys, as JSON. An answer that names one and cannot be read is not shown at all.
pub fn redact_answer(text: &str) -> Cow<'_, str> {
    if !FIELDS.iter().any(|field| text.contains(field)) {
        return Cow::Borrowed(text);
    }
    let read = || {
        let mut documents = parse_documents(text.as_bytes(), &Limits::default());
        let document = documents.docs.pop().filter(|_| documents.error.is_none())?;
        let value = Value::try_from(&document).ok().filter(|_| documents.docs.is_empty())?;
        serde_json::to_value(&value).ok()
    };
    let Some(mut answer) = serde_json::from_str(text).ok().or_else(read) else {
        return Cow::Borrowed(UNREADABLE);
    };
    hide(&mut answer);
    Cow::Owned(answer.to_string())
}

/// Takes the keys out of a value, at whatever depth a plugin has put them.
fn hide(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                if FIELDS.contains(&name.as_str()) && !member.is_null() {
                    *member = REDACTED.into();
                } else {
                    hide(member);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: &str, spec: &serde_json::Value) -> (bool, serde_json::Value) {
        let body = Value::from_serialize(&serde_json::json!({"spec": spec})).unwrap();
        let key = ObjectKey::new(net::API_VERSION, kind, "x");
        let redacted = redact(&body, &key);
        let copied = matches!(redacted, Cow::Owned(_));
        (copied, serde_json::to_value(&*redacted).unwrap()["spec"].clone())
    }

    #[test]
    fn inline_keys_are_hidden_in_place() {
        for (kind, field) in
            [("WireGuardInterface", "privateKey"), ("WireGuardPeer", "presharedKey")]
        {
            let (copied, spec) = shown(kind, &serde_json::json!({"a": 1, field: "s3cret", "b": 2}));
            assert!(copied);
            assert_eq!(spec, serde_json::json!({"a": 1, field: "REDACTED", "b": 2}));
            let (_, spec) = shown(kind, &serde_json::json!({field: ["s3cret"]}));
            assert_eq!(spec[field], "REDACTED", "whatever stands there");
        }
    }

    #[test]
    fn nothing_is_copied_where_there_is_nothing_to_hide() {
        let (copied, spec) =
            shown("WireGuardInterface", &serde_json::json!({"privateKeyFile": "/k"}));
        assert!(!copied);
        assert_eq!(spec["privateKeyFile"], "/k");
        assert!(!shown("Interface", &serde_json::json!({"privateKey": "x"})).0);
    }

    #[test]
    fn an_answer_is_shown_without_its_keys_in_whatever_notation() {
        let json = r#"{"status":{"resources":[{"spec":{"presharedKey":"s3cret","mtu":1}}]}}"#;
        let hidden = r#"{"status":{"resources":[{"spec":{"presharedKey":"REDACTED","mtu":1}}]}}"#;
        assert_eq!(redact_answer(json), hidden);
        let yaml = "status:\n  resources:\n  - spec: {presharedKey: s3cret, mtu: 1}\n";
        assert!(!redact_answer(yaml).contains("s3cret"), "{}", redact_answer(yaml));
        let plain = r#"{"status": {"ttl": "30m"}}"#;
        assert!(matches!(redact_answer(plain), Cow::Borrowed(text) if text == plain));
        for broken in ["{\"privateKey\": \"s3cret", "privateKey: s3cret\n---\na: 1\n"] {
            assert_eq!(redact_answer(broken), UNREADABLE);
        }
    }
}
