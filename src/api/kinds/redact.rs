//! Inline keys never leave the store: what is shown of a resource is shown without them.

use std::borrow::Cow;

use super::net;
use crate::api::object::ObjectKey;
use crate::api::value::Value;

/// What stands in place of a key.
pub const REDACTED: &str = "REDACTED";

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
}
