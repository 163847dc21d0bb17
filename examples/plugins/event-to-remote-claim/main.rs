//! An example plugin: each observed client becomes one RemoteAddressClaim.
//!
//! A PluginRequest comes in on stdin, a PluginResult goes out on stdout, and that is all: no
//! network, no files, no state. The same request gives the same result, so that running it again
//! changes nothing. It knows no cloud: the claim only says what should be so.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;

use routerd::api::plugin::{API_VERSION, EVENT_MARK, PluginRequest};
use serde_json::{Value, json};

/// The type of the events that are answered; others yield nothing.
const OBSERVED: &str = "routerd.client.ipv4.observed";
/// How long a claim holds unless it is renewed.
const TTL: &str = "30m";

fn main() -> Result<(), Box<dyn Error>> {
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    let request: PluginRequest = serde_json::from_slice(&input)?;
    let output = serde_json::to_vec(&answer(&request))?;
    io::stdout().write_all(&output)?;
    Ok(())
}

/// The claims for all events of a request.
fn answer(request: &PluginRequest) -> Value {
    let resources: Vec<Value> =
        request.spec.events.iter().filter_map(|item| claim(&item.event)).collect();
    json!({
        "apiVersion": API_VERSION,
        "kind": "PluginResult",
        "status": { "observedAt": request.spec.now, "ttl": TTL, "resources": resources },
    })
}

/// The claim for one event; none if it names no usable address or no domain.
fn claim(event: &routerd::api::event::Event) -> Option<Value> {
    let payload = |key| event.payload.get(key).map(String::as_str).filter(|text| !text.is_empty());
    let address = host(payload("address").unwrap_or(&event.subject))?;
    if event.r#type != OBSERVED {
        return None;
    }
    let owner_side = payload("ownerSide").unwrap_or("onprem");
    let dashed = address.to_string().replace('.', "-");
    Some(json!({
        "apiVersion": "hybrid.routerd.net/v1alpha1",
        "kind": "RemoteAddressClaim",
        "metadata": {
            "name": format!("{owner_side}-{dashed}"),
            // Tells the events of a batch apart.
            "annotations": { EVENT_MARK: event.id },
        },
        "spec": {
            "domainRef": payload("domain")?,
            "address": format!("{address}/32"),
            "ownerSide": owner_side,
            "capture": {
                "type": "provider-secondary-ip",
                "providerRef": payload("providerRef").unwrap_or("example-provider"),
                "providerMode": "secondary-ip",
                "nicRef": payload("nicRef").unwrap_or("example-nic-ref"),
                "configureOSAddress": false,
            },
            "delivery": {
                "peerRef": payload("peerRef").unwrap_or("onprem-main"),
                "mode": "route",
                "tunnelInterface": "wg-hybrid",
            },
        },
    }))
}

/// The IPv4 host that a text names: `10.88.60.9` or `10.88.60.9/32`, and nothing wider.
fn host(text: &str) -> Option<Ipv4Addr> {
    text.strip_suffix("/32").unwrap_or(text).parse().ok()
}
