//! Checks of `net.routerd.net`. Messages never repeat a key.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::net::{WireGuardInterfaceSpec, WireGuardPeerSpec};
use super::super::place::Place;
use super::super::spec::KindSpec;
use super::words::{between, filled};

/// The largest `PersistentKeepalive` of WireGuard, in seconds.
const LONGEST_KEEPALIVE: u32 = 65_535;

impl KindSpec for WireGuardInterfaceSpec {
    fn check(&self, at: &Place<'_>) {
        one_of(at, ("privateKey", &self.private_key), ("privateKeyFile", &self.private_key_file));
        if let Some(mtu) = self.mtu {
            between(&at.field("mtu"), mtu, 576, 65_535);
        }
    }
}

impl KindSpec for WireGuardPeerSpec {
    fn check(&self, at: &Place<'_>) {
        filled(&at.field("interface"), &self.interface);
        filled(&at.field("publicKey"), &self.public_key);
        let list = at.field("allowedIPs");
        for (index, text) in self.allowed_ips.iter().enumerate() {
            // As `wg` reads them: an address is its /32 or /128, bits behind the prefix are cut.
            if text.parse::<IpNet>().is_err() && text.parse::<IpAddr>().is_err() {
                let message = format!("{text:?} is not an address or a network");
                list.item(index).refuse_with(message, "write it like 10.0.0.0/24");
            }
        }
        if let Some(seconds) = self.persistent_keepalive {
            between(&at.field("persistentKeepalive"), seconds, 0, LONGEST_KEEPALIVE);
        }
        let file = ("presharedKeyFile", &self.preshared_key_file);
        one_of(at, ("presharedKey", &self.preshared_key), file);
    }
}

/// A key stands in the manifest or in a file, not in both.
fn one_of(
    at: &Place<'_>,
    (inline, key): (&str, &Option<String>),
    (field, file): (&str, &Option<String>),
) {
    if key.is_some() && file.is_some() {
        at.field(field).refuse_with(format!("stands beside {inline}"), "keep one of them");
    }
}
