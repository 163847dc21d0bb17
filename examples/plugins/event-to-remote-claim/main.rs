//! An example plugin: each observed client becomes one RemoteAddressClaim.
//!
//! The kit speaks the protocol, with one run or many; what is left is a function from an event to a
//! resource. It uses no network, no files and no state, so the same request gives the same result,
//! and running it again changes nothing. It knows no cloud: the claim only says what should be so.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use routerd::kit::{self, Event, Value, json};

fn main() -> ExitCode {
    kit::per_event("30m", claim)
}

/// The claim for one event; none if it names no usable address or no domain.
fn claim(event: &Event) -> Option<Value> {
    let payload = |key| event.payload.get(key).filter(|text| !text.is_empty());
    let text = payload("address").unwrap_or(&event.subject);
    // One host, 10.88.60.9 or 10.88.60.9/32, and nothing wider.
    let address: Ipv4Addr = text.strip_suffix("/32").unwrap_or(text).parse().ok()?;
    let owner_side = payload("ownerSide").unwrap_or("onprem");
    let dashed = address.to_string().replace('.', "-");
    let claim = json!({
        "apiVersion": "hybrid.routerd.net/v1alpha1",
        "kind": "RemoteAddressClaim",
        "metadata": { "name": format!("{owner_side}-{dashed}") },
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
    });
    (event.r#type == "routerd.client.ipv4.observed").then_some(claim)
}
