//! Inline secrets are shown nowhere: not in `get`, not in `render`, not in a log.

use crate::api::kinds::net;
use crate::api::value::Value;

/// What stands in place of a secret.
pub const REDACTED: &str = "<redacted>";

/// Replaces the inline secrets of a resource. `body` is the whole document.
pub fn redact(api_version: &str, kind: &str, body: &mut Value) {
    if api_version != net::API_VERSION {
        return;
    }
    let field = match kind {
        "WireGuardInterface" => "privateKey",
        "WireGuardPeer" => "presharedKey",
        _ => return,
    };
    let spec = body.as_map_mut().and_then(|body| body.get_mut("spec"));
    if let Some(secret) = spec.and_then(Value::as_map_mut).and_then(|spec| spec.get_mut(field)) {
        *secret = Value::string(REDACTED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: serde_json::Value) -> Value {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn inline_keys_are_replaced_and_nothing_else() {
        let mut interface =
            body(serde_json::json!({"spec": {"privateKey": "cGFzcw==", "listenPort": 51820}}));
        redact(net::API_VERSION, "WireGuardInterface", &mut interface);
        let expected =
            body(serde_json::json!({"spec": {"privateKey": REDACTED, "listenPort": 51820}}));
        assert_eq!(interface, expected);

        let mut peer = body(serde_json::json!({"spec": {"presharedKey": "s", "publicKey": "p"}}));
        redact(net::API_VERSION, "WireGuardPeer", &mut peer);
        assert_eq!(
            peer,
            body(serde_json::json!({"spec": {"presharedKey": REDACTED, "publicKey": "p"}}))
        );

        let file = body(serde_json::json!({"spec": {"privateKeyFile": "/k"}}));
        let mut same = file.clone();
        redact(net::API_VERSION, "WireGuardInterface", &mut same);
        assert_eq!(same, file, "a file's name is no secret");
    }
}
